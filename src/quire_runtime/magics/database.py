"""``%sql`` and ``%tsql`` where SQL means a database and not Spark; ``%database`` always does.

    %%sql [-connection NAME] [-bind VARIABLE] [-dialect duckdb|tsql]
    SELECT ...

The kernel has one database of its own (DuckDB); ``-connection`` names another, which the server
knows. Each query's rows are shown as a table; those of the last one are in ``_sqldf``, and in the
variable that ``-bind`` names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from quire_runtime import tables
from quire_runtime.errors import ServerRefused
from quire_runtime.session import Session
from quire_runtime.sql import SqlError, SqlResult, SqlSession, last_frame
from quire_runtime.sql.session import DIALECTS

__all__ = ["make_database"]

_OPTION = re.compile(r"--?([a-zA-Z]+)[ \t]+(\"[^\"]*\"|'[^']*'|\S+)[ \t]*")
_KEPT = "_quire_database"  # the shell's attribute that holds it
_NAMES = {
    "connection": "connection",
    "bind": "bind",
    "output": "bind",
    "dialect": "dialect",
}


@dataclass
class _Options:
    connection: str | None = None
    bind: str | None = None
    dialect: str | None = None


def make_database(shell: Any, session: Session) -> dict[str, Callable[..., None]]:
    """The magics ``sql`` and ``tsql``, each for a line or a whole cell."""
    settings = session.sql

    def run(line: str, cell: str | None, dialect: str) -> None:
        __tracebackhide__ = True
        database = _database(shell, session)
        options, rest = _read_options(line)
        text = "\n".join(part for part in (rest, cell or "") if part)
        try:
            results = database.run(
                text,
                shell.user_ns,
                dialect=options.dialect or dialect,
                connection=options.connection or settings.get("connection"),
                parameters=session.parameters if settings.get("parameters") else None,
            )
        except SqlError as error:
            _show(error.results)
            raise error.with_traceback(None) from None  # where in this package is nobody's matter
        _show(results)
        frame = last_frame(results)
        if frame is not None:
            shell.user_ns["_sqldf"] = frame
        if options.bind:
            shell.user_ns[options.bind] = frame

    def sql(line: str, cell: str | None = None) -> None:
        """Run SQL in the notebook's database."""
        __tracebackhide__ = True
        run(line, cell, settings.get("dialect") or "duckdb")

    def tsql(line: str, cell: str | None = None) -> None:
        """Run T-SQL in the notebook's database."""
        __tracebackhide__ = True
        run(line, cell, "tsql")

    return {"sql": sql, "tsql": tsql}


def _database(shell: Any, session: Session) -> SqlSession:
    """The kernel's SQL session; later runs in the same kernel go on with it."""
    settings = session.sql
    known: tuple[Any, Any, SqlSession] | None = getattr(shell, _KEPT, None)
    if known is not None and known[0] == settings:
        known[1].session = session
        return known[2]
    look_up = _LookUp(session)
    made = SqlSession(
        settings.get("database"),
        attached={
            name: (str(path), bool(read_only))
            for name, (path, read_only) in (settings.get("attached") or {}).items()
        },
        connections=look_up,
    )
    if known is not None:
        known[2].close()
    setattr(shell, _KEPT, (settings, look_up, made))
    return made


class _LookUp:
    """Asks the server where a named database is, with the token of the run that is on."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(self, name: str) -> str:
        try:
            answer = self.session.channel.get(f"/connections/{quote(name, safe='')}")
        except ServerRefused as refusal:
            raise SqlError(str(refusal)) from None
        return str(answer["url"])


def _read_options(line: str) -> tuple[_Options, str]:
    """The options a magic's line begins with, and what follows them."""
    options = _Options()
    at = 0
    while (match := _OPTION.match(line, at)) is not None:
        name = _NAMES.get(match.group(1).lower())
        if name is None:
            raise SqlError(
                f"The option -{match.group(1)} is not known; there are -connection, -bind and "
                "-dialect."
            )
        setattr(options, name, "".join(shlex.split(match.group(2))))
        at = match.end()
    if options.dialect is not None and options.dialect not in DIALECTS:
        raise SqlError(f"The dialect is one of {', '.join(DIALECTS)}, not {options.dialect}.")
    if options.bind is not None and not options.bind.isidentifier():
        raise SqlError(f"-bind needs the name of a variable, not {options.bind!r}.")
    return options, line[at:]


def _show(results: Sequence[SqlResult]) -> None:
    from IPython.display import display

    for result in results:
        if result.frame is not None:
            table = tables.read(result.frame)
            assert table is not None
            display(table.bundle(), raw=True)  # type: ignore[no-untyped-call]
        elif result.message is not None:
            print(result.message)
        else:
            print(f"({result.row_count} row{'' if result.row_count == 1 else 's'} affected)")
