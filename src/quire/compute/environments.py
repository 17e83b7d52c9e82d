"""Named environments: sets of packages that runs may ask for by name.

An environment is a list of requirements, or a conda specification. Its owner and administrators
change it; everybody may run with it. The requirements are resolved once, when it is built, and
stay as resolved until it is built anew, so that a run gets tomorrow what it got today.
"""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.exc import IntegrityError

from quire.clock import Clock
from quire.compute.package_builder import (
    BuildFailed,
    Layer,
    PackageBuilder,
    PipRequest,
    check_requirement,
)
from quire.errors import AlreadyExists, InvalidValue, NotFound, PermissionDenied, Unsupported
from quire.identity.models import Principal
from quire.ids import PrincipalId
from quire.naming import check_name
from quire.store import environments as environment_rows
from quire.store.database import Database

__all__ = ["Environment", "EnvironmentKind", "Environments", "read_conda"]

_MOST_REQUIREMENTS = 1000
_CONDA_PIN = re.compile(r"([A-Za-z0-9_.-]+)\s*(==|=|>=|<=|>|<|!=)?\s*([^\s=]*)(?:=\S*)?")


class EnvironmentKind(StrEnum):
    """How an environment is written down."""

    PIP = "pip"  # requirements, one a line
    CONDA = "conda"  # environment.yml


@dataclass(frozen=True)
class Environment:
    """A named set of packages."""

    id: str
    name: str
    kind: EnvironmentKind
    requirements: tuple[str, ...]  # of kind pip
    indexes: tuple[str, ...]  # package indexes asked before the usual one
    specification: str  # of kind conda: the text of its file
    pins: tuple[str, ...] | None  # what it resolved to; None: not built yet
    owner_id: PrincipalId | None
    created_at: datetime
    updated_at: datetime
    built_at: datetime | None


class Environments:
    """The environments of this server."""

    def __init__(self, database: Database, clock: Clock, builder: PackageBuilder) -> None:
        self._database = database
        self._clock = clock
        self._builder = builder

    # -- records ----------------------------------------------------------------------------

    def create(
        self,
        actor: Principal,
        name: str,
        *,
        requirements: Sequence[str] = (),
        conda: str | None = None,
        indexes: Sequence[str] = (),
    ) -> Environment:
        """Store an environment; it is built when first used, or by :meth:`build`.

        Raises InvalidValue, AlreadyExists, and Unsupported for what needs conda where there is
        none.
        """
        check_name(name)
        kind = EnvironmentKind.PIP
        specification = ""
        wanted = tuple(check_requirement(each, "requirements") for each in requirements)
        if conda is not None:
            if wanted:
                raise InvalidValue("requirements", "give requirements or a conda file, not both.")
            listed = read_conda(conda)
            if isinstance(listed, str):
                if _micromamba() is None:
                    raise Unsupported(
                        f"This environment needs conda ({listed}), and this server has no "
                        "micromamba. List packages of pip instead, or install micromamba."
                    )
                kind, specification = EnvironmentKind.CONDA, conda
            else:
                wanted = tuple(listed)
        if len(wanted) > _MOST_REQUIREMENTS:
            raise InvalidValue("requirements", f"at most {_MOST_REQUIREMENTS} can be given.")
        for index in indexes:
            if "://" not in index:
                raise InvalidValue("indexes", f"{index!r} is not the URL of a package index.")
        now = self._clock.now()
        environment = Environment(
            id=str(uuid.uuid4()),
            name=name,
            kind=kind,
            requirements=wanted,
            indexes=tuple(indexes),
            specification=specification,
            pins=None,
            owner_id=actor.id,
            created_at=now,
            updated_at=now,
            built_at=None,
        )
        try:
            with self._database.write() as connection:
                environment_rows.insert_environment(connection, _to_row(environment))
        except IntegrityError:
            raise AlreadyExists(f"There is an environment named {name!r} already.") from None
        return environment

    def get(self, name: str) -> Environment:
        """An environment by its name or id; everybody may run with it. Raises NotFound."""
        with self._database.read() as connection:
            row = environment_rows.find_environment(connection, name)
        if row is None:
            raise NotFound("environment", name)
        return _from_row(row)

    def list(self) -> list[Environment]:
        """All, by name."""
        with self._database.read() as connection:
            return [_from_row(row) for row in environment_rows.list_environments(connection)]

    def delete(self, actor: Principal, name: str) -> None:
        """Remove an environment. Runs that have it go on. Raises NotFound, PermissionDenied."""
        environment = self._owned(actor, name, "delete")
        with self._database.write() as connection:
            environment_rows.delete_environment(connection, environment.id)

    # -- building ---------------------------------------------------------------------------

    def build(self, actor: Principal, name: str) -> Environment:
        """Resolve anew and build now. Raises NotFound, PermissionDenied, BuildFailed."""
        environment = self._owned(actor, name, "build")
        if environment.kind is EnvironmentKind.CONDA:
            self.build_conda(environment, actor)
            return self.get(environment.id)
        pins = self._resolve(environment, actor)
        self._builder.build(pins, _request(environment), actor)
        return self.get(environment.id)

    def pins(self, environment: Environment, actor: Principal) -> tuple[str, ...]:
        """What an environment resolved to, resolving it when nobody has. Raises BuildFailed."""
        if environment.pins is not None:
            return environment.pins
        return self._resolve(environment, actor)

    def layer(self, environment: Environment, actor: Principal) -> Layer:
        """An environment of kind pip, built. Raises BuildFailed."""
        return self._builder.build(self.pins(environment, actor), _request(environment), actor)

    def build_conda(self, environment: Environment, actor: Principal) -> str:
        """The interpreter of an environment of kind conda. Raises BuildFailed."""
        program = _micromamba()
        if program is None:
            raise BuildFailed("this server has no micromamba.")
        file = self._builder.keep_file("environment.yml", environment.specification.encode())
        folder = self._builder.build_with(
            ["conda", environment.specification],
            lambda target: [
                program,
                *("create", "--yes", "--quiet", "--no-rc", "--root-prefix", f"{target}-root"),
                *("--prefix", str(target), "--file", str(file)),
            ],
            actor,
        )
        return str(folder / "bin" / "python")

    def _owned(self, actor: Principal, name: str, verb: str) -> Environment:
        environment = self.get(name)
        if not actor.is_admin and actor.id != environment.owner_id:
            raise PermissionDenied(f"Only the owner of {environment.name!r} may {verb} it.")
        return environment

    def _resolve(self, environment: Environment, actor: Principal) -> tuple[str, ...]:
        request = _request(environment)
        pins = self._builder.resolve(request, actor) if request else ()
        with self._database.write() as connection:
            environment_rows.update_environment(
                connection, environment.id, pins=list(pins), built_at=self._clock.now()
            )
        return pins


def _micromamba() -> str | None:
    return shutil.which("micromamba")


def _request(environment: Environment) -> PipRequest:
    return PipRequest(requirements=environment.requirements, indexes=environment.indexes)


def read_conda(text: str) -> list[str] | str:
    """The requirements of an ``environment.yml`` that pip can meet; else why conda is needed.

    Raises InvalidValue for what is no such file.
    """
    yaml: Any = importlib.import_module("yaml")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidValue("conda", f"the file is not YAML ({error}).") from None
    if not isinstance(value, Mapping) or not isinstance(value.get("dependencies"), list):
        raise InvalidValue("conda", "the file has no list of dependencies.")
    listed: list[str] = []
    for each in value["dependencies"]:
        if isinstance(each, Mapping) and isinstance(each.get("pip"), list):
            listed += [check_requirement(str(item), "conda") for item in each["pip"]]
            continue
        match = _CONDA_PIN.fullmatch(each.strip()) if isinstance(each, str) else None
        if match is None:
            raise InvalidValue("conda", f"{each!r} is not a dependency such as numpy=2.1.")
        name, operator, version = match.groups()
        if name in ("python", "pip"):
            if name == "python" and version and not _is_this_python(version):
                return f"it asks for Python {version}"
            continue
        channels = [each for each in value.get("channels") or () if each != "pypi"]
        if channels:
            return f"its packages come from {', '.join(str(each) for each in channels)}"
        listed.append(_pip_pin(name, operator, version))
    return listed


def _is_this_python(version: str) -> bool:
    asked = version.removesuffix(".*").split(".")
    return asked == [str(part) for part in sys.version_info[: min(len(asked), 3)]]


def _pip_pin(name: str, operator: str | None, version: str) -> str:
    if not operator or not version:
        return name
    if operator == "=":
        return f"{name}=={version}" if version.endswith(".*") else f"{name}=={version}.*"
    return f"{name}{operator}{version}"


def _to_row(environment: Environment) -> dict[str, Any]:
    return {
        "id": environment.id,
        "name": environment.name,
        "kind": environment.kind,
        "requirements": list(environment.requirements),
        "indexes": list(environment.indexes),
        "specification": environment.specification,
        "pins": None if environment.pins is None else list(environment.pins),
        "owner_id": environment.owner_id,
        "created_at": environment.created_at,
        "updated_at": environment.updated_at,
        "built_at": environment.built_at,
    }


def _from_row(row: Any) -> Environment:
    return Environment(
        id=row.id,
        name=row.name,
        kind=EnvironmentKind(row.kind),
        requirements=tuple(row.requirements),
        indexes=tuple(row.indexes),
        specification=row.specification,
        pins=None if row.pins is None else tuple(row.pins),
        owner_id=row.owner_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        built_at=row.built_at,
    )
