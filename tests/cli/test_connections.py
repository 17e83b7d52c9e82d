from __future__ import annotations

from tests.cli.conftest import Quire

URL = "postgresql://reader:hush-hush@db.example.com:5433/sales?sslmode=require"


def test_makes_lists_and_deletes_without_showing_passwords(quire: Quire) -> None:
    quire("user", "create", "ann")
    made = quire("connection", "create", "sales", "--url", URL, "--allow", "ann")
    assert made.stdout == "Made connection sales to postgresql://db.example.com:5433/sales.\n"
    quire("connection", "create", "open", "--url", "duckdb:////data/x.duckdb", "--everybody")
    quire("connection", "create", "own", "--url", "Server=tcp:s,1433;Password=hush-hush")
    listed = quire("connection", "list").stdout
    assert [line.split()[:3] for line in listed.splitlines()] == [
        ["NAME", "DATABASE", "ALLOWED"],
        ["open", "duckdb:////data/x.duckdb", "everybody"],
        ["own", "sqlserver://tcp:s,1433/", "administrators"],
        ["sales", "postgresql://db.example.com:5433/sales", "ann"],
    ]
    assert "hush-hush" not in listed
    assert quire("connection", "delete", "sales").stdout == "Deleted connection sales.\n"
    again = quire("connection", "delete", "sales")
    assert (again.exit_code, again.stderr) == (1, "quire: Connection sales does not exist.\n")


def test_says_what_is_wrong(quire: Quire) -> None:
    quire("user", "create", "ann")
    for arguments, said in (
        (["a/b", "--url", URL], "name: a name has"),
        (["x", "--url", "mysql://u:hush-hush@h/d"], "url: the address has an unknown beginning"),
        (["x", "--url", "nothing"], "has to name a Server"),
        (["x", "--url", "postgresql://u:hush-hush@h:port/d"], "cannot be read"),
        (["x", "--url", URL, "--allow", "nobody"], "nobody"),
        (["x", "--url", URL, "--allow", "ann", "--everybody"], "either --everybody or"),
    ):
        result = quire("connection", "create", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr
        assert "hush" not in result.stderr
