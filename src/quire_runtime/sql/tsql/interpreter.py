"""Carries out T-SQL batches: control flow here, everything else as statements of DuckDB.

What lasts how long: variables for a batch, temporary tables for a run, tables and procedures as
long as the database. A transaction left open at the end of a run is rolled back, and that is said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quire_runtime.sql.duck import DuckDatabase
from quire_runtime.sql.errors import SqlError, SqlUnsupported
from quire_runtime.sql.lexer import Statement, split_batches, tokenize, words
from quire_runtime.sql.placeholders import replace
from quire_runtime.sql.results import SqlResult, keeping
from quire_runtime.sql.tsql import nodes
from quire_runtime.sql.tsql.functions import install
from quire_runtime.sql.tsql.nodes import Node
from quire_runtime.sql.tsql.parser import parse_batch
from quire_runtime.sql.tsql.procedures import Procedures
from quire_runtime.sql.tsql.refusals import not_supported
from quire_runtime.sql.tsql.session_values import SessionValues, server_reason
from quire_runtime.sql.tsql.translate import RETURNED, Translated, Translator
from quire_runtime.sql.tsql.variables import Variables
from quire_runtime.sql.values import as_value, literal

__all__ = ["Interpreter"]

_HARMLESS_OPTIONS = words(
    "ANSI_NULLS ANSI_PADDING ANSI_WARNINGS ANSI_DEFAULTS ANSI_NULL_DFLT_ON ANSI_NULL_DFLT_OFF "
    "ARITHABORT ARITHIGNORE CONCAT_NULL_YIELDS_NULL CURSOR_CLOSE_ON_COMMIT DEADLOCK_PRIORITY "
    "LOCK_TIMEOUT NUMERIC_ROUNDABORT QUOTED_IDENTIFIER STATISTICS TRANSACTION XACT_ABORT "
    "QUERY_GOVERNOR_COST_LIMIT TEXTSIZE"
)
_DEEPEST = 32  # of procedures and texts that call each other, as in SQL Server
_DELAY = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.:](\d{1,3}))?)?")


class _LoopSignal(Exception):
    """Leaves the innermost loop, or goes on with it."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _Break(_LoopSignal):
    """Leaves the innermost loop."""


class _Continue(_LoopSignal):
    """Goes on with the innermost loop."""


class _Return(Exception):
    """Leaves the batch or procedure."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value


@dataclass
class _Frame:
    """Where statements are carried out: a batch, a procedure, or a text."""

    variables: Variables = field(default_factory=Variables)
    given: Mapping[str, Any] = field(default_factory=dict)  # parameters of the run, by name


class Interpreter:
    """T-SQL on one DuckDB connection."""

    def __init__(self, database: DuckDatabase, *, sleep: Callable[[float], None] = time.sleep):
        self._database = database
        self._sleep = sleep
        self._translator = Translator()
        self._procedures = Procedures(database)
        self._values = SessionValues(database)
        self._frames = [_Frame()]
        self._results: list[SqlResult] = []
        self._notebook: Mapping[str, Any] = {}
        self._count_rows = True
        self._made = 0
        install(database.connection)
        self._prepare_schema()

    def run(
        self,
        text: str,
        variables: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> list[SqlResult]:
        """Run a text of batches.

        ``variables`` is the notebook's namespace: for ``{name}`` and for frames as tables.
        ``parameters`` are there as ``@name`` in each batch; a batch that declares such a variable
        itself keeps its own type and gets the parameter's value (Fabric contract 12.5).
        """
        results: list[SqlResult] = []
        self._results = results
        self._notebook = variables
        self._count_rows = True
        self._values.reset()
        given = {f"@{name.lower()}": as_value(value) for name, value in (parameters or {}).items()}
        try:
            with keeping(results):
                for batch, count in split_batches(text):
                    bound, values = replace(
                        batch.text, batch.line, variables, dialect="tsql", mark="@{}".format
                    )
                    for _ in range(count):
                        self._run_batch(Statement(bound, batch.line), values, given)
        finally:
            self._clear(results)
        return results

    # -- batches ----------------------------------------------------------------------------

    def _run_batch(
        self, batch: Statement, values: Mapping[str, Any], given: Mapping[str, Any]
    ) -> None:
        body = parse_batch(batch.text, batch.line)
        frame = _Frame(given=given)
        for name, value in values.items():
            frame.variables.declare_value(f"@{name.lower()}", value)
        for name, value in given.items():
            frame.variables.declare_value(name, value)
        self._database.offer_frames(batch.text, self._notebook, "tsql")
        self._inside(frame, body)

    def _inside(self, frame: _Frame, body: Sequence[Node]) -> int:
        """Carry out statements in a frame of their own; the value of their RETURN."""
        if len(self._frames) > _DEEPEST:
            raise SqlError(
                f"Maximum stored procedure nesting level exceeded (limit {_DEEPEST}).", number=217
            )
        self._frames.append(frame)
        try:
            self._do_all(body)
        except _Return as returned:
            return returned.value
        except _LoopSignal as signal:
            raise SqlError(
                "BREAK and CONTINUE stand in WHILE loops only.", number=135, line=signal.line
            ) from None
        finally:
            self._frames.pop()
            for table in frame.variables.tables():
                self._database.rows(f'DROP TABLE IF EXISTS temp.main."{table}"')
        return 0

    def _prepare_schema(self) -> None:
        """Unqualified names are those of the schema ``dbo``, then DuckDB's own."""
        rows = self._database.rows(
            "SELECT readonly FROM duckdb_databases() WHERE database_name = current_database()"
        )
        if not rows[0][0]:
            self._database.rows("CREATE SCHEMA IF NOT EXISTS dbo")
        name = self._database.rows("SELECT current_database()")[0][0]
        self._use(str(name))

    def _use(self, database: str) -> None:
        known = self._database.rows(
            "SELECT database_name FROM duckdb_databases() WHERE lower(database_name) = lower($name)"
            " AND NOT internal",
            {"name": database},
        )
        if not known:
            raise SqlError(
                f"Database '{database}' does not exist. Make sure that the name is entered "
                "correctly.",
                number=911,
            )
        name = str(known[0][0]).replace('"', '""').replace("'", "''")
        schemas = self._database.rows(
            "SELECT 1 FROM duckdb_schemas() WHERE database_name = $name AND schema_name = 'dbo'",
            {"name": known[0][0]},
        )
        places = [f'"{name}".dbo', f'"{name}".main'] if schemas else [f'"{name}".main']
        self._database.rows(f"SET search_path = '{','.join(places)}'")

    def _clear(self, results: list[SqlResult]) -> None:
        if self._values.transactions:
            self._database.rows("ROLLBACK")
            self._values.transactions = 0
            results.append(
                SqlResult(message="The transaction that was left open has been rolled back.")
            )
        for table, sequence in self._temporary_objects():
            self._database.rows(f'DROP {sequence} IF EXISTS temp.main."{table}"')

    def _temporary_objects(self) -> list[tuple[str, str]]:
        tables = self._database.rows(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = 'temp' "
            "AND table_name[1] = '#'"
        )
        sequences = self._database.rows(
            "SELECT sequence_name FROM duckdb_sequences() WHERE database_name = 'temp' "
            "AND starts_with(sequence_name, 'quire_identity_')"
        )
        return [(str(row[0]), "TABLE") for row in tables] + [
            (str(row[0]), "SEQUENCE") for row in sequences
        ]

    # -- the scope of a statement (translate.Scope) -------------------------------------------

    @property
    def _frame(self) -> _Frame:
        return self._frames[-1]

    def variable(self, name: str) -> str:
        """A variable as a literal."""
        return self._frame.variables.literal(name)

    def table_variable(self, name: str) -> str | None:
        """The table behind a variable."""
        return self._frame.variables.table(name)

    def system_value(self, name: str) -> str:
        """``@@name`` as a literal."""
        return self._values.system_value(name)

    def call(self, name: str, arguments: Sequence[str | None]) -> str | None:
        """A function of the session as a literal."""
        return self._values.call(name, arguments)

    def identity_columns(self, table: Sequence[str]) -> tuple[list[str], list[str]]:
        """A table's columns, and those that number its rows."""
        return self._values.identity_columns(table)

    # -- statements -------------------------------------------------------------------------

    def _do_all(self, body: Sequence[Node]) -> None:
        for node in body:
            self._do(node)

    def _do(self, node: Node) -> None:
        method = getattr(self, f"_do_{type(node).__name__.lower()}")
        try:
            method(node)
        except SqlError as error:
            error.reason = server_reason(error)
            simple = not isinstance(node, (nodes.If, nodes.While, nodes.Block, nodes.TryCatch))
            raise error.at(node.line, node.text if simple else "") from None

    def _do_block(self, node: nodes.Block) -> None:
        self._do_all(node.body)

    def _do_if(self, node: nodes.If) -> None:
        branch = node.then if self._holds(node.condition) else node.otherwise
        if branch is not None:
            self._do(branch)

    def _do_while(self, node: nodes.While) -> None:
        assert node.body is not None
        while self._holds(node.condition):
            try:
                self._do(node.body)
            except _Break:
                break
            except _Continue:
                continue

    def _do_break(self, node: nodes.Break) -> None:
        raise _Break(node.line)

    def _do_continue(self, node: nodes.Continue) -> None:
        raise _Continue(node.line)

    def _do_return(self, node: nodes.Return) -> None:
        value = self._value(node.value, "INTEGER") if node.value else 0
        raise _Return(int(value or 0))

    def _do_trycatch(self, node: nodes.TryCatch) -> None:
        depth = len(self._frames)
        try:
            self._do_all(node.body)
            return
        except SqlUnsupported:
            raise
        except SqlError as error:
            del self._frames[depth:]
            caught = error
        self._forget_failed_transaction()
        with self._values.handling(caught):
            self._do_all(node.handler)

    def _forget_failed_transaction(self) -> None:
        """DuckDB takes nothing more in a transaction that has failed."""
        if not self._values.transactions:
            return
        try:
            self._database.rows("SELECT 1")
        except SqlError:
            self._database.rows("ROLLBACK")
            self._values.transactions = 0

    def _do_print(self, node: nodes.Print) -> None:
        value = self._value(node.value, "VARCHAR")
        self._results.append(SqlResult(message="" if value is None else str(value), line=node.line))

    def _do_raise(self, node: nodes.Raise) -> None:
        if node.keyword == "THROW":
            if not node.arguments:
                raise self._values.current_error()
            number, message, state = (self._value(each) for each in node.arguments)
            raise SqlError(str(message), number=int(number), severity=16, state=int(state))
        message, severity, state, *rest = (self._value(each) for each in node.arguments)
        text = _formatted(str(message), rest)
        if int(severity) <= 10:  # information, not an error
            self._results.append(SqlResult(message=text, line=node.line))
            return
        raise SqlError(text, number=50000, severity=int(severity), state=int(state))

    def _do_waitfor(self, node: nodes.WaitFor) -> None:
        value = self._value(node.value, "VARCHAR")
        match = _DELAY.fullmatch(str(value))
        if match is None:
            raise SqlError(f"Incorrect time syntax in time string '{value}' used with WAITFOR.")
        hours, minutes, seconds, thousandths = (int(part or 0) for part in match.groups())
        self._sleep(hours * 3600 + minutes * 60 + seconds + thousandths / 1000)

    def _do_use(self, node: nodes.Use) -> None:
        self._use(node.database)

    def _do_begin(self, node: nodes.Begin) -> None:
        if self._values.transactions == 0:
            self._database.rows("BEGIN TRANSACTION")
        self._values.transactions += 1

    def _do_commit(self, node: nodes.Commit) -> None:
        if self._values.transactions == 0:
            raise SqlError(
                "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
                number=3902,
            )
        if self._values.transactions == 1:
            self._database.rows("COMMIT")
        self._values.transactions -= 1

    def _do_rollback(self, node: nodes.Rollback) -> None:
        if self._values.transactions == 0:
            raise SqlError(
                "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
                number=3903,
            )
        self._database.rows("ROLLBACK")
        self._values.transactions = 0

    # -- variables --------------------------------------------------------------------------

    def _do_declare(self, node: nodes.Declare) -> None:
        variables = self._frame.variables
        for each in node.declarations:
            if each.columns is not None:
                self._made += 1
                table = f"#{each.name}-{self._made}"
                variables.declare_table(each.name, table)
                self._execute(f"CREATE TABLE {each.name} ({each.columns})", node)
                continue
            given = self._frame.given
            if each.name in given and each.name in variables:
                self._declare_parameter(each, given[each.name])
                continue
            variable = variables.declare(each.name, each.type_text)
            if each.value is not None:
                value = self._value(each.value, variable.type_name)
                variables.assign(each.name, value)

    def _declare_parameter(self, declared: nodes.Declaration, value: Any) -> None:
        fresh = Variables()
        type_name = fresh.declare(declared.name, declared.type_text).type_name
        fresh.assign(declared.name, self._converted(value, type_name))
        self._frame.variables.replace(declared.name, fresh.get(declared.name))

    def _do_setvariable(self, node: nodes.SetVariable) -> None:
        variable = self._frame.variables.get(node.name)
        text = f"{node.name} {node.operator} ({node.value})" if node.operator else node.value
        self._frame.variables.assign(node.name, self._value(text, variable.type_name))

    def _do_setoption(self, node: nodes.SetOption) -> None:
        words = node.words
        if words[:1] == ["NOCOUNT"]:
            self._count_rows = words[-1] == "OFF"
        elif words[:1] == ["IDENTITY_INSERT"]:
            parts = [word for word in words[1:-1] if word != "."]
            self._values.allow_identity([part.strip('[]"') for part in parts], words[-1] == "ON")
        elif words[:2] != ["DATEFIRST", "7"] and words[0] not in _HARMLESS_OPTIONS:
            raise not_supported(f"SET {words[0]}.")

    def _value(self, text: str, type_name: str | None = None) -> Any:
        """The value of an expression, converted to a type of DuckDB."""
        query = self._translator.expression(text, self)
        if type_name is not None:
            query = f"SELECT CAST({_assigned(type_name)} AS {type_name}) FROM ({query})"
        return self._database.rows(query)[0][0]

    def _holds(self, condition: str) -> bool:
        return bool(self._database.rows(self._translator.condition(condition, self))[0][0])

    # -- procedures -------------------------------------------------------------------------

    def _do_createprocedure(self, node: nodes.CreateProcedure) -> None:
        self._procedures.store(node)

    def _do_dropprocedure(self, node: nodes.DropProcedure) -> None:
        for name in node.names:
            self._procedures.drop(name, if_exists=node.if_exists)

    def _do_executetext(self, node: nodes.ExecuteText) -> None:
        text = self._value(node.value, "VARCHAR")
        if text:
            self._inside(_Frame(), parse_batch(str(text), node.line))

    def _do_execute(self, node: nodes.Execute) -> None:
        if node.procedure[-1].lower() == "sp_executesql":
            self._execute_sql(node)
            return
        procedure = self._procedures.find(node.procedure)
        frame = _Frame()
        given = _match_arguments(node, [each.name for each in procedure.parameters])
        outputs: list[tuple[str, str]] = []
        for each in procedure.parameters:
            variable = frame.variables.declare(each.name, each.type_text)
            argument = given.get(each.name)
            if argument is None and each.default is None:
                raise SqlError(
                    f"Procedure or function '{node.procedure[-1]}' expects parameter "
                    f"'{each.name}', which was not supplied.",
                    number=201,
                )
            text = argument.value if argument is not None else each.default
            assert text is not None
            value = self._argument(text, variable.type_name)
            frame.variables.assign(each.name, value)
            if argument is not None and argument.output and each.output:
                outputs.append((each.name, argument.value.lower()))
        value = self._inside(frame, procedure.body)
        self._hand_back(frame, outputs)
        if node.result:
            self._frame.variables.assign(node.result, value)

    def _execute_sql(self, node: nodes.Execute) -> None:
        """``sp_executesql text, declarations, values``."""
        if not node.arguments:
            raise SqlError("sp_executesql needs a text.", number=201)
        text = self._value(node.arguments[0].value, "VARCHAR")
        frame = _Frame()
        outputs: list[tuple[str, str]] = []
        if len(node.arguments) > 1:
            declared = self._value(node.arguments[1].value, "VARCHAR")
            made = parse_batch(f"CREATE PROCEDURE p {declared} AS RETURN", node.line)[0]
            assert isinstance(made, nodes.CreateProcedure)
            rest = nodes.Execute(node.line, node.text, ["sp"], node.arguments[2:])
            given = _match_arguments(rest, [each.name for each in made.parameters])
            for each in made.parameters:
                variable = frame.variables.declare(each.name, each.type_text)
                argument = given.get(each.name)
                if argument is None:
                    raise SqlError(
                        f"The parameterized query expects the parameter '{each.name}', which was "
                        "not supplied.",
                        number=8178,
                    )
                frame.variables.assign(
                    each.name, self._argument(argument.value, variable.type_name)
                )
                if argument.output:
                    outputs.append((each.name, argument.value.lower()))
        if text:
            self._inside(frame, parse_batch(str(text), node.line))
        self._hand_back(frame, outputs)

    def _argument(self, text: str, type_name: str) -> Any:
        tokens = tokenize(text, "tsql")
        if len(tokens) == 1 and tokens[0].kind == "word" and tokens[0].key != "NULL":
            text = "'" + tokens[0].text.replace("'", "''") + "'"  # a bare word is a text
        return self._value(text, type_name)

    def _hand_back(self, frame: _Frame, outputs: Sequence[tuple[str, str]]) -> None:
        for inner, outer in outputs:
            self._frame.variables.assign(outer, frame.variables.get(inner).value)

    def _do_insertexecute(self, node: nodes.InsertExecute) -> None:
        assert node.call is not None
        outer, self._results = self._results, []
        try:
            self._do(node.call)
            made = self._results
        finally:
            self._results = outer
        count = 0
        for result in made:
            if result.frame is None:
                self._results.append(result)
                continue
            name = "quire_insert"
            self._database.connection.register(name, result.frame)
            try:
                translated = self._translator.statement(f"{node.target} SELECT * FROM {name}", self)
                for statement in translated.statements:
                    place = Statement(node.text, node.line)
                    done = self._database.execute(statement, place, queries=False)
                    count += (done.row_count or 0) if done is not None else 0
            finally:
                self._database.connection.unregister(name)
        self._tell_count(count, node.line)

    # -- plain statements -------------------------------------------------------------------

    def _do_plain(self, node: nodes.Plain) -> None:
        self._execute(node.text, node)

    def _execute(self, text: str, node: Node) -> None:
        translated = self._translator.statement(text, self)
        place = Statement(node.text, node.line)
        for notice in translated.notices:
            self._results.append(SqlResult(message=notice, line=node.line))
        if translated.kind == "assignment":
            self._assign(translated, place)
            return
        self._values.check_identity(translated.columns, translated.target)
        queries = translated.kind == "query"
        for statement in translated.statements:
            result = self._database.execute(statement, place, queries=queries)
            if translated.kind == "query":
                assert result is not None
                self._values.row_count = len(result.frame)
                self._results.append(result)
            elif translated.kind == "change" and result is not None:
                self._changed(translated, result, node.line)

    def _changed(self, translated: Translated, result: SqlResult, line: int) -> None:
        if result.frame is None:
            count = result.row_count or 0
        else:
            count = len(result.frame)
            if translated.into:
                self._insert_returned(translated.into, result.frame)
            else:
                self._results.append(result)
        self._values.inserted(translated.target)
        self._tell_count(count, line)

    def _tell_count(self, count: int, line: int) -> None:
        self._values.row_count = count
        if self._count_rows:
            self._results.append(SqlResult(row_count=count, line=line))

    def _insert_returned(self, into: str, frame: Any) -> None:
        self._database.connection.register(RETURNED, frame)
        try:
            self._database.rows(into)
        finally:
            self._database.connection.unregister(RETURNED)

    def _assign(self, translated: Translated, place: Statement) -> None:
        """``SELECT @x = …``: the last row's values; expressions may build on earlier rows."""
        variables = self._frame.variables
        names = list(translated.assignments)
        for name in names:
            variables.get(name)
        if _refers_to_itself(translated):
            rows = self._row_by_row(translated, names)
            self._values.row_count = rows
            return
        query = translated.statements[0]
        found = self._database.rows(query)
        self._values.row_count = len(found)
        if found:
            for name, value in zip(names, found[-1]):
                variables.assign(name, self._converted(value, variables.get(name).type_name))

    def _row_by_row(self, translated: Translated, names: Sequence[str]) -> int:
        from sqlglot import exp

        tree = translated.tree
        columns = {
            column.sql(dialect="tsql"): column
            for part in tree.expressions
            for column in part.find_all(exp.Column)
        }
        fetch = tree.copy()
        given = [
            exp.alias_(column.copy(), f"c{number}")
            for number, column in enumerate(columns.values())
        ] or [exp.alias_(exp.Literal.number(1), "c0")]
        fetch.set("expressions", given)
        rows = self._database.rows(self._translator.finish(fetch, self))
        variables = self._frame.variables
        for row in rows:
            for name, part in zip(names, tree.expressions):
                expression = exp.Select(expressions=[part.copy()])
                for column in list(expression.find_all(exp.Column)):
                    at = list(columns).index(column.sql(dialect="tsql"))
                    column.replace(exp.Var(this=literal(row[at])))
                value = self._database.rows(self._translator.finish(expression, self))[0][0]
                variables.assign(name, self._converted(value, variables.get(name).type_name))
        return len(rows)

    def _converted(self, value: Any, type_name: str) -> Any:
        source = f"(SELECT {literal(value)} AS value)"
        query = f"SELECT CAST({_assigned(type_name)} AS {type_name}) FROM {source}"
        return self._database.rows(query)[0][0]


def _assigned(type_name: str) -> str:
    """How the column ``value`` is converted when it is assigned to a variable of a type."""
    if type_name in ("INTEGER", "INT", "BIGINT", "SMALLINT", "UTINYINT"):
        return "tsql_whole(value)"
    if type_name in ("DATE", "TIMESTAMP"):
        return "tsql_moment(value)"
    return "tsql_text(value)" if type_name == "VARCHAR" else "value"


def _refers_to_itself(translated: Translated) -> bool:
    from sqlglot import exp

    assigned = set(translated.assignments)
    return translated.tree.args.get("from_") is not None and any(
        "@" + parameter.name.lower() in assigned
        for part in translated.tree.expressions
        for parameter in part.find_all(exp.Parameter)
    )


def _match_arguments(node: nodes.Execute, names: Sequence[str]) -> dict[str, nodes.Argument]:
    """Arguments by the parameter they are for. Raises SqlError for too many and unknown ones."""
    matched: dict[str, nodes.Argument] = {}
    for position, argument in enumerate(node.arguments):
        name = argument.name
        if not name:
            if position >= len(names):
                raise SqlError(
                    f"Procedure or function {node.procedure[-1]} has too many arguments specified.",
                    number=8144,
                )
            name = names[position]
        elif name not in names:
            raise SqlError(
                f"{name} is not a parameter for procedure {node.procedure[-1]}.", number=8145
            )
        tokens = tokenize(argument.value, "tsql")
        if len(tokens) == 1 and tokens[0].is_word("DEFAULT"):
            continue
        matched[name] = argument
    return matched


def _formatted(message: str, arguments: Sequence[Any]) -> str:
    """RAISERROR's message: ``%s``, ``%d`` and their like."""
    values = iter(arguments)

    def fill(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        value = next(values, None)
        return "(null)" if value is None else f"%{match.group(1)}s" % (value,)

    return re.sub(r"%([-0-9]*)(?:[dioxXus]|I64d)|%%", fill, message)
