"""One statement of T-SQL as statements of DuckDB.

Owns: the changes to the parsed statement that plain translation does not make. What the parser
cannot read, or reads as something opaque, is an error here and never skipped.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from quire_runtime.sql.errors import SqlError, SqlUnsupported
from quire_runtime.sql.tsql import calls, definitions, types
from quire_runtime.sql.tsql.formats import like_regex
from quire_runtime.sql.tsql.functions import PREFIX
from quire_runtime.sql.tsql.prepare import prepare
from quire_runtime.sql.tsql.refusals import not_supported

__all__ = ["RETURNED", "Scope", "Translated", "Translator", "dialect"]

RETURNED = "quire_returned"  # where rows wait that OUTPUT puts into a table
_UNNAMED = "(No column name)"  # as SQL Server's own tools show it


class Scope(Protocol):
    """What a statement may refer to beyond its own text."""

    def variable(self, name: str) -> str:
        """A variable as a literal of DuckDB. Raises SqlError when it was not declared."""

    def table_variable(self, name: str) -> str | None:
        """The table behind a variable; None when it is no table."""

    def system_value(self, name: str) -> str:
        """``@@name`` as a literal. Raises SqlUnsupported."""

    def call(self, name: str, arguments: Sequence[str | None]) -> str | None:
        """A function of the session as a literal; None when it is none of them.

        Arguments that are texts are given as such, others as None.
        """

    def identity_columns(self, table: Sequence[str]) -> tuple[list[str], list[str]]:
        """Names of all columns of a table, and of those that number their rows."""


@dataclass(frozen=True)
class Translated:
    """What to execute. ``kind``: query, change, definition or assignment.

    ``assignments`` names the variables the columns of an assignment's rows go to, ``tree`` is that
    assignment before its change. ``into`` is the statement that takes returned rows. ``target`` is
    the table an INSERT fills, ``columns`` those it names.
    """

    statements: Sequence[str]
    kind: str
    assignments: Sequence[str] = ()
    into: str = ""
    target: Sequence[str] = ()
    notices: Sequence[str] = ()
    columns: Sequence[str] = field(default=())
    tree: Any = None


@functools.lru_cache(maxsize=1)
def dialect() -> Any:
    """T-SQL as sqlglot reads it, with its functions left to this package."""
    from sqlglot.dialects.tsql import TSQL

    own = calls.own_functions()

    def kept(table: Mapping[str, Any]) -> dict[str, Any]:
        return {name: read for name, read in table.items() if name.lower() not in own}

    base: Any = TSQL

    class Reader(base):  # type: ignore[misc]
        class Parser(base.Parser):  # type: ignore[misc]
            FUNCTIONS: ClassVar[dict[str, Any]] = kept(base.Parser.FUNCTIONS)
            FUNCTION_PARSERS: ClassVar[dict[str, Any]] = kept(base.Parser.FUNCTION_PARSERS)

    return Reader


class Translator:
    """Translates for one connection; parsed statements are remembered, loops repeat them."""

    def __init__(self) -> None:
        self._parsed: dict[str, Any] = {}

    def expression(self, text: str, scope: Scope) -> str:
        """A query of one row with the value of an expression."""
        tree = self._parse(f"SELECT {text} AS value")
        return self._finish(tree, scope)

    def condition(self, text: str, scope: Scope) -> str:
        """A query of one row: 1 when a condition holds, else 0."""
        tree = self._parse(f"SELECT CASE WHEN {text} THEN 1 ELSE 0 END AS value")
        return self._finish(tree, scope)

    def statement(self, text: str, scope: Scope) -> Translated:
        """One statement. Raises SqlError, and SqlUnsupported for what has no counterpart."""
        from sqlglot import exp

        prepared = prepare(text)
        if not prepared.text:
            return Translated((), "definition", notices=prepared.notices)
        tree = self._parse(prepared.text)
        if prepared.output:
            _set_returning(tree, self._parse(f"SELECT {prepared.output}").expressions)
        into = ""
        if prepared.into:
            filled = f"INSERT INTO {prepared.into} SELECT * FROM {RETURNED}"
            into = self._finish(self._parse(filled), scope)
        if isinstance(tree, (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)):
            made = definitions.define(tree, lambda part: self._finish(part, scope))
            return Translated(made, "definition", notices=prepared.notices)
        if isinstance(tree, exp.Query):
            names = _take_assignments(tree)
            if names:
                return Translated(
                    [self._finish(tree.copy(), scope)], "assignment", names, tree=tree
                )
            target = tree.args.get("into") if isinstance(tree, exp.Select) else None
            if target is not None:
                tree.set("into", None)
                table = self._finish(target.this, scope)
                query = self._finish(tree, scope)
                temporary = "TEMP " if table.startswith('"#') else ""
                return Translated([f"CREATE {temporary}TABLE {table} AS {query}"], "change")
            _name_columns(tree)
            return Translated([self._finish(tree, scope)], "query")
        if not isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            raise _unsupported(text)
        target_parts: list[str] = []
        if isinstance(tree, exp.Insert):
            target_parts = _table_parts(tree.this, scope)
            _list_columns(tree, target_parts, scope)
        columns = _named_columns(tree)
        return Translated(
            [self._finish(tree, scope)],
            "change",
            into=into,
            target=target_parts,
            columns=columns,
        )

    def finish(self, tree: Any, scope: Scope) -> str:
        """DuckDB's text of a parsed statement, which is changed."""
        return self._finish(tree, scope)

    def _parse(self, text: str) -> Any:
        from sqlglot import exp
        from sqlglot.errors import ParseError, TokenError

        known = self._parsed.get(text)
        if known is None:
            try:
                with _quiet():
                    from sqlglot import parse

                    trees = parse(text, read=dialect())
            except (ParseError, TokenError) as error:
                raise SqlError(f"Incorrect syntax: {_parse_reason(error)}", number=102) from None
            if len(trees) != 1 or trees[0] is None:
                raise SqlError("Incorrect syntax: one statement is expected.", number=102)
            known = trees[0]
            opaque = next(known.find_all(exp.Command, exp.Execute), None)
            if opaque is not None:
                raise _unsupported(text)
            self._parsed[text] = known
        return known.copy()

    def _finish(self, tree: Any, scope: Scope) -> str:
        from sqlglot import exp
        from sqlglot.errors import ErrorLevel, UnsupportedError

        for name in ("for_", "for"):
            clause = next((n for n in tree.walk() if n.args.get(name)), None)
            if clause is not None and isinstance(clause, exp.Query):
                kind = clause.args[name]
                raise not_supported(f"FOR {_kind(kind)}.")
        wrapped = exp.Paren(this=tree) if not isinstance(tree, exp.Query) else tree
        for change in _CHANGES:
            for node in list(wrapped.walk(bfs=False))[::-1]:
                change(node, scope)
        tree = wrapped.this if isinstance(wrapped, exp.Paren) and wrapped is not tree else wrapped
        try:
            with _quiet():
                text: str = tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
        except UnsupportedError as error:
            raise not_supported(f"{error}") from None
        return text


def _unsupported(text: str) -> SqlUnsupported:
    words = " ".join(text.split()[:3])
    return not_supported(f"{words}.")


def _kind(clause: Any) -> str:
    return str(clause.args.get("kind") or "JSON or XML")


@contextmanager
def _quiet() -> Iterator[None]:
    """The parser's warnings say what is an error here anyway."""
    logger = logging.getLogger("sqlglot")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _parse_reason(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if details:
        first: Mapping[str, Any] = details[0]
        near = str(first.get("highlight") or "").strip()
        reason = str(first.get("description") or "").partition(" but got")[0].rstrip(".")
        return f"{reason} near {near!r}." if near else f"{reason}."
    return str(error).split("\n")[0]


# -- assignments and results ----------------------------------------------------------------


def _take_assignments(tree: Any) -> list[str]:
    """The variables a SELECT assigns to; its columns become their values."""
    from sqlglot import exp

    if not isinstance(tree, exp.Select):
        return []
    names: list[str] = []
    values: list[Any] = []
    for part in tree.expressions:
        if isinstance(part, exp.EQ) and isinstance(part.this, exp.Parameter):
            names.append("@" + part.this.name.lower())
            values.append(exp.alias_(part.expression.copy(), f"v{len(names)}", quoted=False))
    if names and len(names) != len(tree.expressions):
        raise SqlError(
            "A SELECT statement that assigns a value to a variable must not be combined with "
            "data-retrieval operations.",
            number=141,
        )
    if names:
        tree.set("expressions", values)
    return names


def _name_columns(query: Any) -> None:
    """Columns that have no name in T-SQL are not named after their translation."""
    from sqlglot import exp

    first = query
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    if not isinstance(first, exp.Select):
        return
    named = [
        part
        if isinstance(part, (exp.Alias, exp.Aliases, exp.Column, exp.Star))
        else exp.alias_(part.copy(), _UNNAMED, quoted=True)
        for part in first.expressions
    ]
    first.set("expressions", named)


def _set_returning(tree: Any, parts: Sequence[Any]) -> None:
    from sqlglot import exp

    is_update = isinstance(tree, exp.Update)
    for part in parts:
        for column in list(part.find_all(exp.Column)):
            if column.table.lower() == "deleted" and is_update:
                raise not_supported("OUTPUT of deleted values of an UPDATE.")
            if column.table.lower() in ("inserted", "deleted"):
                column.set("table", None)
            elif column.name == "$action":
                column.replace(exp.column("merge_action"))
    tree.set("returning", exp.Returning(expressions=[part.copy() for part in parts]))


def _named_columns(tree: Any) -> Sequence[str]:
    from sqlglot import exp

    if not isinstance(tree, exp.Insert) or not isinstance(tree.this, exp.Schema):
        return ()
    return [each.name for each in tree.this.expressions]


def _list_columns(tree: Any, target: Sequence[str], scope: Scope) -> None:
    """An INSERT without columns leaves out those that number their rows."""
    from sqlglot import exp

    if isinstance(tree.this, exp.Schema) or tree.args.get("default"):
        return
    columns, numbered = scope.identity_columns(target)
    if numbered:
        given = [exp.to_identifier(name, quoted=True) for name in columns if name not in numbered]
        tree.set("this", exp.Schema(this=tree.this, expressions=given))


def _table_parts(node: Any, scope: Scope) -> list[str]:
    from sqlglot import exp

    table = node.this if isinstance(node, exp.Schema) else node
    if isinstance(table.this, exp.Parameter):
        return [scope.table_variable("@" + table.this.name.lower()) or ""]
    parts = [part.name for part in table.parts]
    if table.this.args.get("temporary"):
        parts[-1] = "#" + parts[-1].lower()
    return parts


# -- changes of nodes -----------------------------------------------------------------------


def _names(node: Any, scope: Scope) -> None:
    """Temporary tables keep their mark, table variables are tables, ``db..t`` is ``db.dbo.t``."""
    from sqlglot import exp

    if not isinstance(node, exp.Table):
        return
    if isinstance(node.this, exp.Parameter):
        name = scope.table_variable("@" + node.this.name.lower())
        if name is None:
            raise SqlError(f'Must declare the table variable "@{node.this.name}".', number=1087)
        node.set("this", exp.to_identifier(name, quoted=True))
        return
    identifier = node.this
    if isinstance(identifier, exp.Identifier) and identifier.args.get("temporary"):
        node.set("this", exp.to_identifier("#" + identifier.name.lower(), quoted=True))
        node.set("db", None)
        node.set("catalog", None)
    elif node.args.get("catalog") and not node.db:
        node.set("db", exp.to_identifier("dbo"))
    if node.args.get("hints"):
        node.set("hints", None)
    if isinstance(node.this, exp.Identifier):
        definitions.redirect_system_view(node)
    calls.table_function(node)


def _values(node: Any, scope: Scope) -> None:
    """Variables and ``@@`` values as literals, functions as DuckDB's."""
    from sqlglot import exp

    if isinstance(node, exp.Parameter):
        if isinstance(node.parent, (exp.Table, exp.Parameter)):
            return  # a table variable, or the second sign of a system value
        if isinstance(node.this, exp.Parameter):
            value = scope.system_value(node.this.name.upper())
        else:
            value = scope.variable("@" + node.name.lower())
        node.replace(types.parsed_literal(value))
    else:
        calls.change(node, scope.call)


def _operators(node: Any, scope: Scope) -> None:
    from sqlglot import exp

    if isinstance(node, exp.Add):
        if not node.meta.get("plain"):
            _call_for(node, "add")
    elif isinstance(node, exp.Sub):
        _call_for(node, "subtract")
    elif isinstance(node, exp.Div):
        node.set("typed", False)
        node.set("safe", False)
    elif isinstance(node, exp.Collate):
        name = node.expression.name.upper()
        if "_CI" in name:
            node.set("expression", exp.Var(this="NOCASE"))
        else:
            node.replace(node.this.copy())
    elif isinstance(node, exp.Like):
        _like(node)
    elif isinstance(node, exp.National):
        node.replace(exp.Literal.string(node.name))


def _call_for(node: Any, name: str) -> None:
    from sqlglot import exp

    if isinstance(node.this, exp.Literal) and isinstance(node.expression, exp.Literal):
        both = not node.this.is_string and not node.expression.is_string
        if both:
            return
    if node.find_ancestor(exp.Lateral) is not None and _call_for_apply(node):
        return
    node.replace(exp.Anonymous(this=PREFIX + name, expressions=[node.this, node.expression]))


def _call_for_apply(node: Any) -> bool:
    """Inside APPLY, where DuckDB binds no macro with several heads to columns from outside.

    A literal tells what the operator does; False where none does.
    """
    from sqlglot import exp

    sides = [each for each in (node.this, node.expression) if isinstance(each, exp.Literal)]
    if any(each.is_string for each in sides) and isinstance(node, exp.Add):
        node.replace(exp.DPipe(this=node.this.copy(), expression=node.expression.copy()))
    return bool(sides)


def _like(node: Any) -> None:
    from sqlglot import exp

    escape = node.parent if isinstance(node.parent, exp.Escape) else None
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or "[" not in pattern.name:
        return
    mark = escape.expression.name if escape is not None else None
    match: Any = exp.Anonymous(
        this="regexp_full_match",
        expressions=[
            node.this.copy(),
            exp.Literal.string(like_regex(pattern.name, mark)),
            exp.Literal.string("s"),
        ],
    )
    if node.args.get("negate"):
        match = exp.Not(this=match)
    (escape or node).replace(match)


def _queries(node: Any, scope: Scope) -> None:
    from sqlglot import exp

    if node.args.get("options") and isinstance(node, (exp.Query, exp.Update, exp.Delete)):
        node.set("options", None)
    if isinstance(node, exp.With) and any(_names_itself(each) for each in node.expressions):
        node.set("recursive", True)
    if isinstance(node, exp.Select):
        _ties(node)
    if isinstance(node, exp.Join) and isinstance(node.this, exp.Lateral):
        _apply(node)
    if isinstance(node, exp.Update):
        _update(node)
    if isinstance(node, exp.Delete):
        _delete(node)
    if isinstance(node, exp.Merge):
        _merge(node)


def _names_itself(common_table: Any) -> bool:
    from sqlglot import exp

    name = common_table.alias.lower()
    return any(table.name.lower() == name for table in common_table.this.find_all(exp.Table))


def _ties(select: Any) -> None:
    """``TOP n WITH TIES`` as a rank."""
    from sqlglot import exp

    limit = select.args.get("limit")
    options = limit.args.get("limit_options") if limit is not None else None
    if options is None:
        return
    if options.args.get("with_ties"):
        order = select.args.get("order")
        if order is None:
            raise SqlError("TOP … WITH TIES needs an ORDER BY.", number=1062)
        rank = exp.Window(this=exp.Anonymous(this="rank"), order=order.copy())
        count = limit.expression.copy()
        select.set("qualify", exp.Qualify(this=exp.LTE(this=rank, expression=count)))
        select.set("limit", None)
    elif not options.args.get("percent"):
        limit.set("limit_options", None)


def _apply(join: Any) -> None:
    from sqlglot import exp

    lateral = join.this
    crosses = lateral.args.get("cross_apply")
    if crosses is None:
        return
    inner = lateral.this
    if isinstance(inner, exp.Anonymous):
        made = calls.table_query(inner)
        if made is None:
            raise not_supported(f"APPLY of {inner.name}.")
        lateral.set("this", exp.Subquery(this=made))
    lateral.set("cross_apply", None)
    if crosses:
        join.set("kind", "CROSS")
        join.set("side", None)
    else:
        join.set("side", "LEFT")
        join.set("kind", None)
        join.set("on", exp.true())


def _update(update: Any) -> None:
    """The target is the table its alias stands for; its joins become conditions."""
    from sqlglot import exp

    source = update.args.get("from_") or update.args.get("from")
    target = update.this
    for assignment in update.expressions:
        if isinstance(assignment.this, exp.Column):
            assignment.this.set("table", None)
    limit = update.args.get("limit")
    if limit is not None:
        raise not_supported("UPDATE TOP.")
    if source is None:
        return
    update.set("from_", None)
    update.set("from", None)
    tables, conditions = _flatten(source.this)
    own = next((t for t in tables if _is_named(t, target)), None)
    if own is not None:
        tables.remove(own)
        update.set("this", own)
    if tables:
        first, *others = tables
        first.set("joins", [exp.Join(this=table, kind="CROSS") for table in others] or None)
        update.set("from_", exp.From(this=first))
    _add_conditions(update, conditions)


def _delete(delete: Any) -> None:
    from sqlglot import exp

    if delete.args.get("limit") is not None:
        raise not_supported("DELETE TOP.")
    targets = delete.args.get("tables")
    if not targets:
        return
    tables, conditions = _flatten(delete.this)
    own = next((t for t in tables if _is_named(t, targets[0])), None)
    if own is None:
        raise SqlError(f"The table {targets[0].name!r} is not in the FROM clause.", number=208)
    tables.remove(own)
    delete.set("tables", None)
    delete.set("this", own)
    if tables:
        delete.set("using", tables)
    _add_conditions(delete, conditions)
    del exp


def _flatten(first: Any) -> tuple[list[Any], list[Any]]:
    """The tables of a FROM clause of inner joins, and the joins' conditions."""
    joins = first.args.get("joins") or []
    first = first.copy()
    first.set("joins", None)
    tables, conditions = [first], []
    for join in joins:
        if join.side:
            # An outer join keeps rows of its own side only when they stay together.
            raise not_supported("outer joins in UPDATE … FROM and DELETE … FROM.")
        tables.append(join.this.copy())
        if join.args.get("on") is not None:
            conditions.append(join.args["on"].copy())
    return tables, conditions


def _is_named(table: Any, target: Any) -> bool:
    wanted = target.name.lower()
    return bool(table.alias_or_name.lower() == wanted or table.name.lower() == wanted)


def _add_conditions(node: Any, conditions: Sequence[Any]) -> None:
    from sqlglot import exp

    where = node.args.get("where")
    parts = [*conditions, *([where.this.copy()] if where is not None else [])]
    if parts:
        node.set("where", exp.Where(this=exp.and_(*parts)))


def _merge(merge: Any) -> None:
    from sqlglot import exp

    for update in merge.find_all(exp.Update):
        for assignment in update.expressions:
            if isinstance(assignment.this, exp.Column):
                assignment.this.set("table", None)


def _types(node: Any, scope: Scope) -> None:
    types.change(node)


_CHANGES: Sequence[Callable[[Any, Scope], None]] = (_names, _queries, _values, _operators, _types)
