"""The words of a ``spark-submit`` command: its options, what it runs, and what it passes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "FILE_OPTIONS",
    "SubmitArguments",
    "SubmitOption",
    "bound_memory",
    "read_submit_arguments",
    "replace_files",
]

_WITHOUT_VALUE = frozenset(
    {"--help", "-h", "--supervise", "--usage-error", "--verbose", "-v", "--version"}
)
FILE_OPTIONS = frozenset({"--archives", "--files", "--jars", "--py-files", "--properties-file"})
"""Options whose value names files, with commas between them."""

_SIZE = re.compile(r"(\d+)([bkmgtp]?)b?", re.IGNORECASE)  # without a unit: mebibytes
_UNITS = {unit: 1024**power for power, unit in enumerate("bkmgtp")}


@dataclass(frozen=True)
class SubmitOption:
    """One option; ``index`` is where it stands among the words."""

    name: str
    value: str | None
    index: int

    @property
    def property_name(self) -> str | None:
        """The Spark property that it sets by name; None when it is none of ``--conf``."""
        if self.name not in ("--conf", "-c") or self.value is None:
            return None
        return self.value.partition("=")[0].strip()


@dataclass(frozen=True)
class SubmitArguments:
    """A command taken apart."""

    options: tuple[SubmitOption, ...]
    resource: str | None  # the jar or file it runs; None when the words end before it
    words: tuple[str, ...]  # for the program itself

    def render(self) -> tuple[str, ...]:
        """The words again."""
        rendered: list[str] = []
        for option in self.options:
            rendered += [option.name] if option.value is None else [option.name, option.value]
        return (*rendered, *([self.resource] if self.resource is not None else []), *self.words)


def read_submit_arguments(words: Sequence[str]) -> SubmitArguments:
    """Take a command apart as ``spark-submit`` does: the first word that is no option is run.

    An option it does not know is left to it to refuse.
    """
    options = []
    position = 0
    while position < len(words) and words[position].startswith("-"):
        index = position
        name, equals, value = words[position].partition("=")
        position += 1
        if equals and name.startswith("--"):
            options.append(SubmitOption(name, value, index))
        elif words[index] in _WITHOUT_VALUE or position == len(words):
            options.append(SubmitOption(words[index], None, index))
        else:
            options.append(SubmitOption(words[index], words[position], index))
            position += 1
    resource = words[position] if position < len(words) else None
    return SubmitArguments(tuple(options), resource, tuple(words[position + 1 :]))


def replace_files(arguments: SubmitArguments, change: Callable[[str], str]) -> SubmitArguments:
    """The same command with every file it names replaced; a name after ``#`` stays."""

    def renamed(text: str) -> str:
        location, mark, alias = text.partition("#")
        return change(location) + mark + alias

    options = tuple(
        SubmitOption(each.name, ",".join(map(renamed, each.value.split(","))), each.index)
        if each.name in FILE_OPTIONS and each.value is not None
        else each
        for each in arguments.options
    )
    resource = renamed(arguments.resource) if arguments.resource is not None else None
    return SubmitArguments(options, resource, arguments.words)


def bound_memory(arguments: SubmitArguments, most: Mapping[str, int]) -> SubmitArguments:
    """The same command, asking by the options of ``most`` for no more than those bytes."""

    def bounded(option: SubmitOption) -> SubmitOption:
        found = _SIZE.fullmatch((option.value or "").strip())
        if option.name not in most or found is None:
            return option
        wanted = int(found[1]) * _UNITS[found[2].lower() or "m"]
        return replace(option, value=f"{min(wanted, most[option.name]) // 1024**2}m")

    return replace(arguments, options=tuple(map(bounded, arguments.options)))
