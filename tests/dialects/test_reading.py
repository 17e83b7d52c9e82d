"""Bodies and queries: whatever a client sends is read or refused, and never breaks the server."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel
from starlette.requests import Request

from quire.dialects.reading import (
    FormFile,
    describe_value,
    read_body,
    read_form,
    read_json_object,
    read_query,
    validate,
)
from quire.errors import InvalidValue, MalformedRequest, MissingField, TooLarge


def request_of(*chunks: bytes, headers: dict[str, str] | None = None, query: str = "") -> Request:
    sent = list(chunks)

    async def receive() -> dict[str, object]:
        if not sent:
            raise AssertionError("more of the body was asked for than was sent")
        return {"type": "http.request", "body": sent.pop(0), "more_body": bool(sent)}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
    }
    return Request(scope, receive)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
class TestBody:
    async def test_whole_body_is_joined(self) -> None:
        assert await read_body(request_of(b"ab", b"cd"), 4) == b"abcd"

    async def test_declared_length_over_the_limit_is_refused_unread(self) -> None:
        with pytest.raises(TooLarge) as refused:
            await read_body(request_of(headers={"Content-Length": "5"}), 4)
        assert refused.value.limit == 4
        assert refused.value.field is None

    async def test_chunked_body_is_read_only_until_it_passes_the_limit(self) -> None:
        request = request_of(b"abc", b"de", b"never read")
        with pytest.raises(TooLarge):
            await read_body(request, 4)
        assert (await request.receive())["body"] == b"never read"

    async def test_multipart_parts_become_fields(self) -> None:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="path"\r\n\r\n/a\r\n'
            b'--x\r\nContent-Disposition: form-data; name="content"; filename="c"\r\n\r\n'
            b"\xff\x00\r\n--x--\r\n"
        )
        request = request_of(headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert await read_form(request, body) == {"path": "/a", "content": b"\xff\x00"}

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("multipart/form-data", b"--x--"),  # no boundary named
            ("multipart/form-data; boundary=x", b"nothing of the kind"),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n2\r\n--x--\r\n',
            ),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\nno disposition\r\n--x--\r\n"),
        ],
    )
    async def test_broken_form_is_refused(self, kind: str, body: bytes) -> None:
        with pytest.raises(MalformedRequest):
            await read_form(request_of(headers={"Content-Type": kind}), body)


class TestJson:
    @pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
    def test_empty_is_an_empty_object(self, body: bytes) -> None:
        assert read_json_object(body) == {}

    def test_byte_order_mark_is_tolerated(self) -> None:
        assert read_json_object(b'\xef\xbb\xbf{"a":1}') == {"a": 1}

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"{", "not valid JSON"),
            (b"job_id=1", "not valid JSON"),
            (b'{"a": \xff}', "not UTF-8"),
            (b"[1]", "a list"),
            (b"null", "null"),
            (b'"x"', "the text"),
            (b"3", "the number 3"),
            (b'{"a": NaN}', "NaN"),
            (b'{"a": -Infinity}', "-Infinity"),
            (b'{"a": 1e999}', "too large"),
            (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
            (b'{"a": 1, "a": 2}', '"a" twice'),
            (b'{"b": {"a": 1, "a": 1}}', '"a" twice'),
            (b'{"a":' + b"[" * 100_000, "nested too deeply"),
            (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
            (b'{"a":' * 90 + b"1" + b"}" * 90, "nested too deeply"),
            (b'{"a":' + b"[" * 90 + b"]" * 90 + b"}", "nested too deeply"),
        ],
    )
    def test_unreadable_is_refused(self, body: bytes, said: str) -> None:
        with pytest.raises(MalformedRequest, match=said):
            read_json_object(body)

    @pytest.mark.parametrize(
        ("value", "field"),
        [
            ({"a": {"b": ["x", "\x00"]}}, "a.b[1]"),
            ({"a": "\ud800"}, "a"),
            ({"a": {"\udfff": 1}}, "a"),
        ],
    )
    def test_text_no_store_can_hold_is_refused_by_field(self, value: object, field: str) -> None:
        with pytest.raises(InvalidValue) as refused:
            read_json_object(json.dumps(value).encode())
        assert refused.value.field == field


class TestQuery:
    def test_repeated_different_values_become_a_list(self) -> None:
        assert read_query(request_of(query="a=1&b=2&b=2&c=1&c=2")) == {
            "a": "1",
            "b": "2",
            "c": ["1", "2"],
        }

    def test_nul_is_refused(self) -> None:
        with pytest.raises(InvalidValue):
            read_query(request_of(query="a=%00"))


class Inner(BaseModel):
    count: int


class Outer(BaseModel):
    name: str
    inner: list[Inner] = []
    texts: dict[str, str] = {}


class TestValidate:
    @pytest.mark.parametrize(
        ("fields", "kind", "field", "said"),
        [
            ({}, MissingField, "name", "Missing required field: name"),
            ({"name": 5}, InvalidValue, "name", "expected a text, not the number 5"),
            ({"name": "x", "inner": {}}, InvalidValue, "inner", "expected a list, not an object"),
            ({"name": "x", "inner": [3]}, InvalidValue, "inner[0]", "expected an object"),
            ({"name": "x", "inner": [{}]}, MissingField, "inner[0].count", "Missing"),
            ({"name": "x", "texts": {"a": []}}, InvalidValue, "texts.a", "not a list"),
        ],
    )
    def test_first_wrong_field_is_named(
        self, fields: dict[str, object], kind: type[Exception], field: str, said: str
    ) -> None:
        with pytest.raises(kind, match=said) as refused:
            validate(Outer, fields)
        assert refused.value.field == field  # type: ignore[attr-defined]

    def test_path_begins_with_where_the_fields_came_from(self) -> None:
        with pytest.raises(MissingField, match=r"settings\.name"):
            validate(Outer, {}, inside="settings")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (7, "the number 7"),
        (10**40, "a number too large"),
        (1.5, "the number 1.5"),
        ("é", 'the text "\\u00e9"'),
        ("x" * 41, "a text"),
        ([], "a list"),
        ({}, "an object"),
        (b"", "a file"),
    ],
)
def test_values_in_words(value: object, words: str) -> None:
    assert describe_value(value) == words


async def test_a_file_keeps_its_name() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a b.csv"\r\n\r\n\xff\x00\r\n'
        b'--b\r\nContent-Disposition: form-data; name="t"\r\n\r\ntext\r\n--b--\r\n'
    )
    request = request_of(headers={"content-type": "multipart/form-data; boundary=b"})
    form = await read_form(request, body)
    assert form == {"f": b"\xff\x00", "t": "text"}
    assert isinstance(form["f"], FormFile)
    assert form["f"].filename == "a b.csv"
