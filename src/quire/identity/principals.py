"""Makes, finds and disables principals. Their tokens are in :mod:`quire.identity.tokens`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import AlreadyExists, InvalidValue, NotFound
from quire.identity.models import Principal, PrincipalKind, Role
from quire.identity.names import check_name, is_storable, name_key
from quire.ids import PrincipalId
from quire.store import nodes as node_rows
from quire.store import principals as principal_rows
from quire.store.database import Database
from quire.store.locks import lock_names, lock_tree

__all__ = ["Principal", "PrincipalKind", "Principals", "Role"]


class Principals:
    """The users, groups and services of this server."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create_user(
        self, name: str, *, role: Role = Role.MEMBER, groups: Iterable[str] = ()
    ) -> Principal:
        """Make a user, their folder ``/Users/<name>``, and put them in groups that exist.

        Raises InvalidValue for a bad name, AlreadyExists when any principal has it in any case,
        NotFound for an unknown group.
        """
        with self._database.write() as connection:
            return self.create_user_in(connection, name, role=role, groups=groups)

    def create_user_in(
        self,
        connection: Connection,
        name: str,
        *,
        role: Role = Role.MEMBER,
        groups: Iterable[str] = (),
    ) -> Principal:
        """:meth:`create_user` as a part of the caller's transaction."""
        user = self._insert(connection, PrincipalKind.USER, name, role)
        for group in groups:
            self._join(connection, group, user)
        lock_tree(connection)
        node_rows.ensure_home(connection, user, self._clock.now())
        return self._found(connection, user.name)

    def create_group(self, name: str) -> Principal:
        """Make an empty group. Raises as :meth:`create_user` does."""
        with self._database.write() as connection:
            return self._insert(connection, PrincipalKind.GROUP, name, Role.MEMBER)

    def create_service(self, name: str, *, role: Role = Role.MEMBER) -> Principal:
        """Make a principal for a program; it has no folder. Raises as :meth:`create_user` does."""
        with self._database.write() as connection:
            service = self._insert(connection, PrincipalKind.SERVICE, name, role)
            lock_tree(connection)
            node_rows.ensure_roots(connection, self._clock.now())
            return service

    def get(self, principal_id: PrincipalId) -> Principal:
        """Raises NotFound."""
        with self._database.read() as connection:
            found = principal_rows.get_principal(connection, principal_id)
        if found is None:
            raise NotFound("principal", principal_id)
        return found

    def get_by_name(self, name: str, kind: PrincipalKind | None = None) -> Principal:
        """The principal of that name, whatever the case. Raises NotFound, also for another kind."""
        with self._database.read() as connection:
            return self._found(connection, name, kind)

    def list(self, kind: PrincipalKind | None = None) -> Sequence[Principal]:
        """Everybody, oldest first."""
        with self._database.read() as connection:
            return principal_rows.list_principals(connection, kind)

    def add_to_group(self, group: str, member: str) -> Principal:
        """Put a user or service in a group; the member as it is then.

        Raises NotFound for unknown names, InvalidValue when the member is a group itself.
        """
        with self._database.write() as connection:
            self._join(connection, group, self._found(connection, member))
            return self._found(connection, member)

    def disable(self, name: str) -> Principal:
        """Shut a user or service out: their tokens fail from now on. What they own stays.

        Raises NotFound, and InvalidValue for a group.
        """
        with self._database.write() as connection:
            principal = self._found(connection, name)
            if principal.kind is PrincipalKind.GROUP:
                raise InvalidValue("name", f"{principal.name} is a group; only users are disabled.")
            if principal.disabled_at is None:
                principal_rows.set_disabled(connection, principal.id, self._clock.now())
            return self._found(connection, name)

    def enable(self, name: str) -> Principal:
        """Let a disabled principal in again. Raises NotFound."""
        with self._database.write() as connection:
            principal = self._found(connection, name)
            principal_rows.set_disabled(connection, principal.id, None)
            return self._found(connection, name)

    def _insert(
        self, connection: Connection, kind: PrincipalKind, name: str, role: Role
    ) -> Principal:
        checked = check_name(name)
        key = name_key(checked)
        lock_names(connection)
        taken = principal_rows.find_by_key(connection, key)
        if taken is not None:
            raise AlreadyExists(f"There is a {taken.kind} named {taken.name} already.")
        return principal_rows.insert_principal(
            connection, kind=kind, name=checked, key=key, role=role, at=self._clock.now()
        )

    def _join(self, connection: Connection, group: str, member: Principal) -> None:
        found = self._found(connection, group, PrincipalKind.GROUP)
        if member.kind is PrincipalKind.GROUP:
            raise InvalidValue("member", f"{member.name} is a group; groups do not hold groups.")
        principal_rows.insert_membership(connection, found.id, member.id)

    @staticmethod
    def _found(connection: Connection, name: str, kind: PrincipalKind | None = None) -> Principal:
        found = None
        if is_storable(name):
            found = principal_rows.find_by_key(connection, name_key(name))
        if found is None or kind not in (None, found.kind):
            what = kind.value if kind else "principal"
            raise NotFound(what, name)
        return found
