"""Tables, views and other definitions: T-SQL's as DuckDB's, and the system views about them.

A column that numbers its rows (``IDENTITY``) takes its values from a sequence of its own, whose
name begins with :data:`IDENTITY_PREFIX`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire_runtime.sql.tsql.refusals import not_supported

__all__ = ["IDENTITY_PREFIX", "define", "redirect_system_view"]

IDENTITY_PREFIX = "quire_identity_"

_OWN = "database_name = current_database() AND NOT internal"
_SYSTEM_VIEWS = {
    ("information_schema", name): f"SELECT * FROM information_schema.{name} "
    f"WHERE {catalog} = current_database()"
    for name, catalog in {
        "tables": "table_catalog",
        "columns": "table_catalog",
        "views": "table_catalog",
        "schemata": "catalog_name",
    }.items()
}
_SYSTEM_VIEWS.update(
    {
        ("sys", "tables"): "SELECT table_name AS name, table_oid AS object_id, schema_oid AS "
        f"schema_id, 'U' AS type, 'USER_TABLE' AS type_desc FROM duckdb_tables() WHERE {_OWN}",
        ("sys", "views"): "SELECT view_name AS name, view_oid AS object_id, schema_oid AS "
        f"schema_id, 'V' AS type, 'VIEW' AS type_desc FROM duckdb_views() WHERE {_OWN}",
        ("sys", "schemas"): "SELECT schema_name AS name, oid AS schema_id FROM duckdb_schemas() "
        "WHERE database_name = current_database()",
        ("sys", "columns"): "SELECT table_oid AS object_id, column_name AS name, column_index AS "
        "column_id, data_type AS type_name, is_nullable FROM duckdb_columns() "
        f"WHERE {_OWN}",
        ("sys", "databases"): "SELECT database_name AS name, database_oid AS database_id "
        "FROM duckdb_databases() WHERE NOT internal",
        ("sys", "objects"): "SELECT table_name AS name, table_oid AS object_id, schema_oid AS "
        f"schema_id, 'U' AS type, 'USER_TABLE' AS type_desc FROM duckdb_tables() WHERE {_OWN} "
        "UNION ALL SELECT view_name, view_oid, schema_oid, 'V', 'VIEW' FROM duckdb_views() "
        f"WHERE {_OWN}",
    }
)


def redirect_system_view(table: Any) -> None:
    """A system view of SQL Server as a query of DuckDB's catalogue, of the current database."""
    from sqlglot import exp, parse_one

    schema = table.db.lower()
    query = _SYSTEM_VIEWS.get((schema, table.name.lower()))
    if query is None:
        if schema == "sys":
            raise not_supported(f"the system view sys.{table.name}.")
        return
    parsed: Any = parse_one(query, read="duckdb")
    alias = exp.TableAlias(this=exp.to_identifier(table.alias or table.name))
    table.replace(exp.Subquery(this=parsed, alias=alias, joins=table.args.get("joins")))


def define(tree: Any, finish: Callable[[Any], str]) -> list[str]:
    """The statements of DuckDB for one definition; ``finish`` gives the text of a part."""
    from sqlglot import exp

    if isinstance(tree, exp.Drop):
        return _drop(tree, finish)
    if isinstance(tree, exp.Alter):
        return _alter(tree, finish)
    if isinstance(tree, exp.TruncateTable):
        return [finish(tree)]
    properties = tree.args.get("properties")
    if properties is not None:
        tree.set("properties", None)
    kind = str(tree.args.get("kind") or "").upper()
    if kind == "INDEX":
        for ordered in list(tree.find_all(exp.Ordered)):
            ordered.replace(ordered.this.copy())
        return [finish(tree)]
    if kind in ("VIEW", "SCHEMA", "SEQUENCE"):
        return [finish(tree)]
    if kind != "TABLE":
        raise not_supported(f"CREATE {kind}.")
    return _create_table(tree, finish)


def _create_table(tree: Any, finish: Callable[[Any], str]) -> list[str]:
    from sqlglot import exp

    schema = tree.this
    table = schema.this if isinstance(schema, exp.Schema) else schema
    temporary = bool(table.this.args.get("temporary"))
    statements: list[str] = []
    if isinstance(schema, exp.Schema):
        for column in schema.expressions:
            if isinstance(column, exp.ColumnDef):
                statements += _identity(table, column, temporary, finish)
                _column(column)
    text = finish(tree)
    if temporary:
        text = text.replace("CREATE TABLE", "CREATE TEMP TABLE", 1)
    return [*statements, text]


def _identity(table: Any, column: Any, temporary: bool, finish: Callable[[Any], str]) -> list[str]:
    from sqlglot import exp

    numbered = next(
        (
            each
            for each in column.args.get("constraints") or ()
            if isinstance(
                each.kind,
                (exp.GeneratedAsIdentityColumnConstraint, exp.AutoIncrementColumnConstraint),
            )
        ),
        None,
    )
    if numbered is None:
        return []
    start = numbered.kind.args.get("start")
    increment = numbered.kind.args.get("increment")
    name = f'"{IDENTITY_PREFIX}{table.name.lower()}_{column.name.lower()}"'
    if temporary:
        place, kind = "temp.main", "TEMP SEQUENCE"
    else:
        parts = [part.name for part in table.parts][:-1]
        schema = parts[-1] if parts and parts[-1] else "dbo"
        place, kind = f'"{schema}"', "SEQUENCE"
        if len(parts) > 1:
            place = f'"{parts[0]}".{place}'
    default = exp.Anonymous(this="nextval", expressions=[exp.Literal.string(f"{place}.{name}")])
    numbered.replace(exp.ColumnConstraint(kind=exp.DefaultColumnConstraint(this=default)))
    first = start.sql() if start is not None else "1"
    step = increment.sql() if increment is not None else "1"
    qualified = name if temporary else f"{place}.{name}"
    least = f" MINVALUE {first}" if first.startswith("-") else ""
    return [f"CREATE OR REPLACE {kind} {qualified} START WITH {first} INCREMENT BY {step}{least}"]


def _column(column: Any) -> None:
    """Constraints of a column that DuckDB writes otherwise."""
    from sqlglot import exp

    for each in list(column.args.get("constraints") or ()):
        kind = each.kind
        if isinstance(kind, exp.DefaultColumnConstraint):
            each.set("this", None)  # DuckDB gives defaults no name
        elif isinstance(kind, exp.CollateColumnConstraint):
            if "_CI" in kind.this.name.upper():
                kind.set("this", exp.Var(this="NOCASE"))
            else:
                each.pop()


def _drop(tree: Any, finish: Callable[[Any], str]) -> list[str]:
    tables = tree.args.get("tables") or ([tree.this] if tree.this is not None else [])
    if not tables:
        return [finish(tree)]
    kind = str(tree.args.get("kind") or "TABLE").upper()
    condition = "IF EXISTS " if tree.args.get("exists") else ""
    return [f"DROP {kind} {condition}{finish(table.copy())}" for table in tables]


def _alter(tree: Any, finish: Callable[[Any], str]) -> list[str]:
    from sqlglot import exp

    statements = []
    for action in tree.args.get("actions") or ():
        if isinstance(action, exp.ColumnDef):
            _column(action)
        one = tree.copy()
        one.set("actions", [action.copy()])
        statements.append(finish(one))
    return statements
