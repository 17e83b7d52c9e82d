"""Reads a T-SQL batch into a tree of control flow with plain statements between.

Owns: where statements end, which T-SQL leaves to their first words, and the grammar of everything
that is not plain SQL. What is known and not carried out is refused here, by its name and line.
"""

from __future__ import annotations

from collections.abc import Sequence

from quire_runtime.sql.errors import SqlError, SqlUnsupported
from quire_runtime.sql.lexer import Statement, Token, tokenize, words
from quire_runtime.sql.tsql import nodes
from quire_runtime.sql.tsql.nodes import Node
from quire_runtime.sql.tsql.refusals import not_supported

__all__ = ["parse_batch"]

# A statement begins with one of these wherever they stand outside parentheses, but see _begins.
_STARTERS = words(
    "ALTER BACKUP BEGIN BREAK BULK CHECKPOINT CLOSE COMMIT CONTINUE CREATE DBCC DEALLOCATE DECLARE "
    "DELETE DENY DISABLE DROP ELSE ENABLE END EXEC EXECUTE GOTO GRANT IF INSERT KILL MERGE OPEN "
    "PRINT RAISERROR RECONFIGURE RESTORE RETURN REVERT REVOKE ROLLBACK SAVE SELECT SET "
    "THROW TRUNCATE UPDATE USE WAITFOR WHILE WITH"
)
_REFUSED = {
    "OPEN": "cursors (OPEN)",
    "CLOSE": "cursors (CLOSE)",
    "DEALLOCATE": "cursors (DEALLOCATE)",
    "FETCH": "cursors (FETCH)",
    "GOTO": "GOTO",
    "DBCC": "DBCC",
    "BACKUP": "BACKUP",
    "RESTORE": "RESTORE",
    "GRANT": "GRANT; rights are the server's",
    "REVOKE": "REVOKE; rights are the server's",
    "DENY": "DENY; rights are the server's",
    "BULK": "BULK INSERT",
    "KILL": "KILL",
    "SAVE": "savepoints (SAVE TRANSACTION)",
    "REVERT": "REVERT",
    "RECONFIGURE": "RECONFIGURE",
    "CHECKPOINT": "CHECKPOINT",
    "ENABLE": "triggers (ENABLE TRIGGER)",
    "DISABLE": "triggers (DISABLE TRIGGER)",
}
_OBJECTS = words("TABLE VIEW SCHEMA SEQUENCE INDEX PROCEDURE PROC")
_REFUSED_OBJECTS = {
    "TRIGGER": "triggers",
    "FUNCTION": "user-defined functions",
    "TYPE": "user-defined types",
    "SYNONYM": "synonyms",
    "LOGIN": "logins",
    "USER": "users",
    "ROLE": "roles",
    "DATABASE": "databases; a database is made by the server",
    "ASSEMBLY": "assemblies",
    "STATISTICS": "statistics",
    "PARTITION": "partitions",
    "FULLTEXT": "full-text indexes",
    "SECURITY": "security policies",
    "MASTER": "keys",
    "CERTIFICATE": "certificates",
    "EXTERNAL": "external tables and data sources",
}


def parse_batch(text: str, first_line: int = 1) -> list[Node]:
    """The statements of one batch. Raises SqlError, and SqlUnsupported for what is refused."""
    return _Parser(Statement(text, first_line)).batch()


class _Parser:
    def __init__(self, source: Statement) -> None:
        self._text = source.text
        self._offset = source.line - 1
        self._tokens = tokenize(source.text, "tsql")
        self._at = 0

    # -- tokens -----------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> Token | None:
        at = self._at + ahead
        return self._tokens[at] if 0 <= at < len(self._tokens) else None

    def _is(self, *words: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token is not None and token.is_word(*words)

    def _is_symbol(self, text: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token is not None and token.kind == "symbol" and token.text == text

    def _take(self) -> Token:
        token = self._peek()
        if token is None:
            raise SqlError("The statement is not complete.", line=self._line(), number=102)
        self._at += 1
        return token

    def _accept(self, *words: str) -> bool:
        if self._is(*words):
            self._at += 1
            return True
        return False

    def _accept_symbol(self, text: str) -> bool:
        if self._is_symbol(text):
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            self._fail(f"{word} is expected")

    def _expect_symbol(self, text: str) -> None:
        if not self._accept_symbol(text):
            self._fail(f"{text!r} is expected")

    def _fail(self, reason: str) -> None:
        token = self._peek()
        near = f"near {token.text!r}" if token is not None else "at the end"
        raise SqlError(f"Incorrect syntax {near}: {reason}.", line=self._line(), number=102)

    def _line(self) -> int:
        token = self._peek() or (self._tokens[-1] if self._tokens else None)
        return self._offset + (token.line if token is not None else 1)

    def _slice(self, first: int, last: int) -> str:
        """The text from one token up to, not including, another."""
        if last <= first:
            return ""
        return self._text[self._tokens[first].start : self._tokens[last - 1].end]

    # -- statements -------------------------------------------------------------------------

    def batch(self) -> list[Node]:
        body = []
        while self._skip_semicolons():
            body.append(self._statement())
        return body

    def _skip_semicolons(self) -> bool:
        while self._accept_symbol(";"):
            pass
        return self._peek() is not None

    def _statement(self) -> Node:
        first, line = self._at, self._line()
        token = self._tokens[first]
        self._refuse_known(token, line)
        method = getattr(self, f"_read_{token.key.lower()}", None) if token.kind == "word" else None
        if method is not None:
            node: Node | None = method(first, line)
            if node is not None:
                return node
            self._at = first
        if token.kind == "word" and first == 0 and not token.is_word(*_STARTERS):
            call = self._bare_call(first, line)
            if call is not None:
                return call
        return self._plain(first, line)

    def _is_over(self) -> bool:
        """Whether nothing more of a statement stands here."""
        token = self._peek()
        return token is None or token.text == ";" or token.is_word(*_STARTERS)

    def _refuse_known(self, token: Token, line: int) -> None:
        if token.kind != "word":
            return
        reason = _REFUSED.get(token.key)
        if reason is not None:
            raise not_supported(f"{reason}.", line=line)
        if token.key in ("CREATE", "ALTER", "DROP"):
            ahead = 3 if self._is("OR", ahead=1) else 1
            named = self._peek(ahead)
            if named is not None and named.is_word(*_REFUSED_OBJECTS):
                reason = _REFUSED_OBJECTS[named.key]
                raise not_supported(f"{token.key} {named.key} ({reason}).", line=line)
        if token.key == "UPDATE" and self._is("STATISTICS", ahead=1):
            raise not_supported("UPDATE STATISTICS.", line=line)

    def _plain(self, first: int, line: int) -> Node:
        self._skip_statement()
        target = self._insert_execute(first, line)
        if target is not None:
            return target
        return nodes.Plain(line, self._slice(first, self._at))

    def _skip_statement(self) -> None:
        """Go behind the plain statement that begins here."""
        first = self._at
        depth = cases = 0
        while (token := self._peek()) is not None:
            if token.kind == "symbol":
                if token.text == ";" and depth == 0:
                    return
                depth += (token.text == "(") - (token.text == ")")
            elif token.kind == "word" and depth == 0:
                if token.key == "CASE":
                    cases += 1
                elif token.key == "END" and cases:
                    cases -= 1
                elif self._at > first and not cases and self._begins(first):
                    return
            self._at += 1

    def _begins(self, first: int) -> bool:
        """Whether the token here begins another statement than the one that began at ``first``."""
        token = self._tokens[self._at]
        if token.key not in _STARTERS:
            return self._is_cursor_fetch()
        before = self._tokens[self._at - 1]
        after = self._peek(1)
        opening = self._tokens[first].key
        key = token.key
        if before.kind == "symbol" and before.text in (".", ","):
            return False
        if key == "SELECT":
            return not self._continues_with_select(first, before)
        if key == "WITH":
            return self._is_common_table(before)
        if key in ("UPDATE", "DELETE", "INSERT"):
            return not (
                before.is_word("THEN", "ON", "FOR", "AFTER") or self._follows_common_table(first)
            )
        if key == "MERGE":
            is_join = before.is_word("INNER", "LEFT", "RIGHT", "FULL") or self._is("JOIN", ahead=1)
            return not (is_join or self._follows_common_table(first))
        if key == "SET":
            return not self._is_set_clause(first, before)
        if key == "IF":
            return not (opening in ("DROP", "CREATE", "ALTER") and self._is_existence_test())
        if key in ("ALTER", "DROP") and opening == "ALTER":
            is_part = after is not None and after.is_word("COLUMN", "CONSTRAINT")
            return not is_part
        if key == "ALTER":
            return not before.is_word("OR")
        if key in ("EXEC", "EXECUTE"):
            return not (opening == "INSERT" or before.is_word("WITH", "AS"))
        if key == "OPEN":
            return self._at > 0 and after is not None and after.kind in ("word", "quoted")
        return not before.is_word("AS")

    def _is_cursor_fetch(self) -> bool:
        return self._is("FETCH") and not self._tokens[self._at - 1].is_word("ROW", "ROWS")

    def _continues_with_select(self, first: int, before: Token) -> bool:
        opening = self._tokens[first].key
        if before.is_word("UNION", "ALL", "EXCEPT", "INTERSECT", "AS", "EXISTS"):
            return True
        if opening == "INSERT" and not self._holds(first, "SELECT", "VALUES", "EXEC", "EXECUTE"):
            return not self._holds(first, "DEFAULT")
        if opening in ("CREATE", "ALTER") and self._holds(first, "WITH"):
            return not self._holds(first, "SELECT")
        return self._follows_common_table(first)

    def _is_common_table(self, before: Token) -> bool:
        """``WITH name AS (`` or ``WITH name (columns) AS (``, at the start of a statement."""
        if before.is_word("AS") or before.text == "(":
            return False
        named = self._peek(1)
        if named is None or named.kind not in ("word", "quoted"):
            return False
        ahead = 2
        if self._is_symbol("(", ahead=ahead):
            depth = 0
            while (token := self._peek(ahead)) is not None:
                depth += (token.text == "(") - (token.text == ")")
                ahead += 1
                if depth == 0:
                    break
        return self._is("AS", ahead=ahead) and self._is_symbol("(", ahead=ahead + 1)

    def _follows_common_table(self, first: int) -> bool:
        """Whether this is the verb of the statement whose WITH stands at ``first``."""
        opening = self._tokens[first]
        if not opening.is_word("WITH"):
            return False
        return not self._holds(first, "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE")

    def _is_set_clause(self, first: int, before: Token) -> bool:
        if before.is_word("UPDATE", "NULL", "DEFAULT") and self._tokens[first].key != "UPDATE":
            return before.is_word("UPDATE") or not self._is_variable_or_option()
        opening = self._tokens[first].key
        updates = opening == "UPDATE" or (opening == "WITH" and self._holds(first, "UPDATE"))
        return updates and not self._holds(first, "SET")

    def _is_variable_or_option(self) -> bool:
        after = self._peek(1)
        return after is not None and (after.kind == "variable" or after.kind == "word")

    def _is_existence_test(self) -> bool:
        return self._is("EXISTS", ahead=1) or (
            (self._is("NOT", ahead=1) and self._is("EXISTS", ahead=2))
            and self._tokens[self._at - 1].is_word(*_OBJECTS)
        )

    def _holds(self, first: int, *words: str) -> bool:
        """Whether one of the words stands outside parentheses between ``first`` and here."""
        depth = 0
        for token in self._tokens[first : self._at]:
            if token.kind == "symbol":
                depth += (token.text == "(") - (token.text == ")")
            elif depth == 0 and token.is_word(*words):
                return True
        return False

    # -- expressions ------------------------------------------------------------------------

    def _expression(self, *, commas: bool = False, stops: Sequence[str] = ()) -> str:
        """The text of an expression, up to whatever cannot belong to it."""
        first = self._at
        depth = cases = 0
        while (token := self._peek()) is not None:
            if token.kind == "symbol":
                if depth == 0 and (token.text == ";" or (token.text == "," and not commas)):
                    break
                if token.text == ")" and depth == 0:
                    break
                depth += (token.text == "(") - (token.text == ")")
            elif token.kind == "word" and depth == 0:
                if token.key == "CASE":
                    cases += 1
                elif token.key == "END" and cases:
                    cases -= 1
                elif not cases and (token.key in stops or token.key in _STARTERS):
                    break
            self._at += 1
        if self._at == first:
            self._fail("an expression is expected")
        return self._slice(first, self._at)

    def _name(self) -> list[str]:
        """A name of one to four parts; an empty part is an empty text."""
        parts = [self._part()]
        while self._accept_symbol("."):
            parts.append("" if self._is_symbol(".") else self._part())
        return parts

    def _part(self) -> str:
        token = self._take()
        if token.kind == "quoted":
            close = token.text[-1]
            return token.text[1:-1].replace(close * 2, close)
        if token.kind not in ("word", "variable"):
            self._at -= 1
            self._fail("a name is expected")
        return token.text

    def _variable(self) -> str:
        token = self._take()
        if token.kind != "variable":
            self._at -= 1
            self._fail("a variable is expected")
        return token.key

    def _type(self) -> str:
        first = self._at
        self._name()
        if self._is_symbol("("):
            self._parentheses()
        return self._slice(first, self._at)

    def _parentheses(self) -> str:
        """The text between parentheses that begin here."""
        first = self._at
        depth = 0
        while True:
            token = self._take()
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0:
                return self._slice(first + 1, self._at - 1)

    # -- control flow -----------------------------------------------------------------------

    def _branch(self) -> Node:
        if not self._skip_semicolons():
            self._fail("a statement is expected")
        return self._statement()

    def _read_if(self, first: int, line: int) -> Node:
        self._take()
        condition = self._condition()
        then = self._branch()
        mark = self._at
        while self._accept_symbol(";"):
            pass
        otherwise = None
        if self._accept("ELSE"):
            otherwise = self._branch()
        else:
            self._at = mark
        return nodes.If(line, self._slice(first, self._at), condition, then, otherwise)

    def _read_while(self, first: int, line: int) -> Node:
        self._take()
        condition = self._condition()
        body = self._branch()
        return nodes.While(line, self._slice(first, self._at), condition, body)

    def _condition(self) -> str:
        return self._expression(commas=True)

    def _read_begin(self, first: int, line: int) -> Node | None:
        self._take()
        if self._accept("TRAN", "TRANSACTION"):
            self._skip_transaction_name()
            return nodes.Begin(line, self._slice(first, self._at))
        if self._is("DISTRIBUTED"):
            raise SqlUnsupported("Distributed transactions are not supported here.", line=line)
        if self._accept("TRY"):
            body = self._until("TRY")
            while self._accept_symbol(";"):
                pass
            self._expect("BEGIN")
            self._expect("CATCH")
            handler = self._until("CATCH")
            return nodes.TryCatch(line, self._slice(first, self._at), body, handler)
        if self._is("CATCH"):
            self._fail("BEGIN TRY … END TRY must stand before it")
        body = self._until("")
        return nodes.Block(line, self._slice(first, self._at), body)

    def _until(self, word: str) -> list[Node]:
        """Statements up to ``END`` and the word."""
        body: list[Node] = []
        while self._skip_semicolons():
            if self._is("END") and (not word or self._is(word, ahead=1)):
                self._at += 2 if word else 1
                return body
            body.append(self._statement())
        self._fail(f"END {word}".strip() + " is expected")
        return body

    def _read_end(self, first: int, line: int) -> Node | None:
        self._fail("there is no BEGIN for it")
        return None

    def _read_else(self, first: int, line: int) -> Node | None:
        self._fail("there is no IF for it")
        return None

    def _read_break(self, first: int, line: int) -> Node:
        self._take()
        return nodes.Break(line, "BREAK")

    def _read_continue(self, first: int, line: int) -> Node:
        self._take()
        return nodes.Continue(line, "CONTINUE")

    def _read_return(self, first: int, line: int) -> Node:
        self._take()
        value = "" if self._is_over() else self._expression()
        return nodes.Return(line, self._slice(first, self._at), value)

    def _read_print(self, first: int, line: int) -> Node:
        self._take()
        value = self._expression()
        return nodes.Print(line, self._slice(first, self._at), value)

    def _read_throw(self, first: int, line: int) -> Node:
        self._take()
        arguments: list[str] = []
        token = self._peek()
        if token is not None and token.kind in ("number", "variable"):
            arguments = self._list()
        return nodes.Raise(line, self._slice(first, self._at), "THROW", arguments)

    def _read_raiserror(self, first: int, line: int) -> Node:
        self._take()
        self._expect_symbol("(")
        arguments = self._list()
        self._expect_symbol(")")
        if self._accept("WITH"):
            self._take()
            while self._accept_symbol(","):
                self._take()
        return nodes.Raise(line, self._slice(first, self._at), "RAISERROR", arguments)

    def _list(self) -> list[str]:
        values = [self._expression()]
        while self._accept_symbol(","):
            values.append(self._expression())
        return values

    def _read_waitfor(self, first: int, line: int) -> Node:
        self._take()
        if not self._accept("DELAY"):
            raise SqlUnsupported("Of WAITFOR only WAITFOR DELAY is supported here.", line=line)
        value = self._expression()
        return nodes.WaitFor(line, self._slice(first, self._at), value)

    def _read_use(self, first: int, line: int) -> Node:
        self._take()
        database = self._part()
        return nodes.Use(line, self._slice(first, self._at), database)

    def _read_commit(self, first: int, line: int) -> Node:
        self._end_transaction()
        return nodes.Commit(line, self._slice(first, self._at))

    def _read_rollback(self, first: int, line: int) -> Node:
        self._end_transaction()
        return nodes.Rollback(line, self._slice(first, self._at))

    def _end_transaction(self) -> None:
        self._take()
        if not self._accept("WORK") and self._accept("TRAN", "TRANSACTION"):
            self._skip_transaction_name()

    def _skip_transaction_name(self) -> None:
        token = self._peek()
        if token is not None and (
            token.kind in ("variable", "quoted")
            or (token.kind == "word" and token.key not in _STARTERS)
        ):
            self._take()

    # -- variables --------------------------------------------------------------------------

    def _read_declare(self, first: int, line: int) -> Node:
        self._take()
        declared = [self._declaration()]
        while self._accept_symbol(","):
            declared.append(self._declaration())
        return nodes.Declare(line, self._slice(first, self._at), declared)

    def _declaration(self) -> nodes.Declaration:
        token = self._peek()
        if token is not None and token.kind != "variable" and self._is("CURSOR", ahead=1):
            raise not_supported("cursors (DECLARE CURSOR).", line=self._line())
        name = self._variable()
        self._accept("AS")
        if self._is("CURSOR"):
            raise not_supported("cursors (DECLARE CURSOR).", line=self._line())
        if self._accept("TABLE"):
            return nodes.Declaration(name, "TABLE", columns=self._parentheses())
        type_text = self._type()
        value = self._expression() if self._accept_symbol("=") else None
        return nodes.Declaration(name, type_text, value)

    def _read_set(self, first: int, line: int) -> Node:
        self._take()
        token = self._peek()
        if token is None or token.kind != "variable":
            return self._set_option(first, line)
        name = self._variable()
        operator = ""
        symbol = self._take()
        if symbol.text in ("+", "-", "*", "/", "%", "&", "|", "^"):
            operator = symbol.text
            symbol = self._take()
        if symbol.text != "=":
            self._at -= 1
            self._fail("'=' is expected")
        value = self._expression()
        return nodes.SetVariable(line, self._slice(first, self._at), name, operator, value)

    def _set_option(self, first: int, line: int) -> Node:
        words: list[str] = []
        while (token := self._peek()) is not None:
            if token.text == ";" or (words and token.kind == "word" and token.key in _STARTERS):
                break
            words.append(token.key)
            self._at += 1
            if token.is_word("ON", "OFF") and words[0] != "IDENTITY_INSERT":
                break
            if words[0] == "IDENTITY_INSERT" and token.is_word("ON", "OFF"):
                break
        return nodes.SetOption(line, self._slice(first, self._at), words)

    # -- procedures -------------------------------------------------------------------------

    def _read_exec(self, first: int, line: int) -> Node:
        self._take()
        return self._call(first, line)

    _read_execute = _read_exec

    def _bare_call(self, first: int, line: int) -> Node | None:
        """A batch may begin with the name of a procedure alone."""
        if not self._is("SP_EXECUTESQL") and self._peek(1) is not None:
            return None
        return self._call(first, line)

    def _call(self, first: int, line: int) -> nodes.Execute | nodes.ExecuteText:
        if self._is_symbol("("):
            value = self._parentheses()
            if self._accept("AS") or self._accept("AT"):
                raise SqlUnsupported("EXECUTE … AS and … AT are not supported here.", line=line)
            return nodes.ExecuteText(line, self._slice(first, self._at), value)
        result = ""
        if self._is_symbol("=", ahead=1):
            result = self._variable()
            self._take()
        token = self._peek()
        if token is not None and token.kind == "variable":
            raise not_supported("EXEC of a procedure that a variable names.", line=line)
        procedure = self._name()
        arguments: list[nodes.Argument] = []
        if not self._is_over():
            arguments.append(self._argument())
            while self._accept_symbol(","):
                arguments.append(self._argument())
        if self._is("WITH") and self._is("RECOMPILE", ahead=1):
            self._at += 2
        return nodes.Execute(line, self._slice(first, self._at), procedure, arguments, result)

    def _argument(self) -> nodes.Argument:
        name = ""
        token = self._peek()
        if token is not None and token.kind == "variable" and self._is_symbol("=", ahead=1):
            name = self._variable()
            self._take()
        value = self._expression(stops=("OUTPUT", "OUT"))
        return nodes.Argument(value, name, self._accept("OUTPUT", "OUT"))

    def _insert_execute(self, first: int, line: int) -> Node | None:
        """``INSERT … EXEC``, when what was skipped since ``first`` is one."""
        if not self._tokens[first].is_word("INSERT"):
            return None
        depth = 0
        for at in range(first, self._at):
            token = self._tokens[at]
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0 and token.is_word("EXEC", "EXECUTE"):
                target = self._slice(first, at)
                self._at = at + 1
                call = self._call(at, line)
                return nodes.InsertExecute(line, self._slice(first, self._at), target, call)
        return None

    def _read_create(self, first: int, line: int) -> Node | None:
        self._take()
        replaces = self._accept("OR")
        if replaces:
            self._expect("ALTER")
        return self._procedure(first, line, replaces=replaces, must_exist=False)

    def _read_alter(self, first: int, line: int) -> Node | None:
        self._take()
        return self._procedure(first, line, replaces=True, must_exist=True)

    def _procedure(self, first: int, line: int, *, replaces: bool, must_exist: bool) -> Node | None:
        if not self._accept("PROC", "PROCEDURE"):
            return None
        name = self._name()
        wrapped = self._accept_symbol("(")
        parameters: list[nodes.Parameter] = []
        token = self._peek()
        if token is not None and token.kind == "variable":
            parameters.append(self._parameter())
            while self._accept_symbol(","):
                parameters.append(self._parameter())
        if wrapped:
            self._expect_symbol(")")
        if self._accept("WITH"):
            while not self._is("AS"):
                self._take()
        self._expect("AS")
        body = self.batch()  # a procedure's body goes to the end of its batch
        return nodes.CreateProcedure(
            line,
            self._slice(first, self._at),
            name,
            parameters,
            body,
            replaces,
            must_exist,
        )

    def _parameter(self) -> nodes.Parameter:
        name = self._variable()
        self._accept("AS")
        type_text = self._type()
        default = None
        if self._accept_symbol("="):
            default = self._expression(stops=("OUTPUT", "OUT", "AS", "READONLY"))
        output = self._accept("OUTPUT", "OUT")
        if self._is("READONLY"):
            raise SqlUnsupported("Tables as parameters are not supported here.", line=self._line())
        return nodes.Parameter(name, type_text, default, output)

    def _read_drop(self, first: int, line: int) -> Node | None:
        self._take()
        if not self._accept("PROC", "PROCEDURE"):
            return None
        if_exists = self._accept("IF")
        if if_exists:
            self._expect("EXISTS")
        names = [self._name()]
        while self._accept_symbol(","):
            names.append(self._name())
        return nodes.DropProcedure(line, self._slice(first, self._at), names, if_exists)
