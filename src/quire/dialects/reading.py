"""Reading requests safely: bounded bodies, strict JSON, queries, forms, and models made of them.

Everything here raises errors of :mod:`quire.errors` for what a client can get wrong, so that no
body whatever can end as a server error. What a vendor makes of the fields is the dialect's matter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from quire.errors import InvalidValue, MalformedRequest, MissingField, QuireError, TooLarge

__all__ = [
    "FormFile",
    "describe_value",
    "read_body",
    "read_form",
    "read_json_object",
    "read_query",
    "translate_validation_error",
    "validate",
]

_DEEPEST = 64
_FORM_FIELDS = 64

ModelT = TypeVar("ModelT", bound=BaseModel)


class FormFile(bytes):
    """The bytes of a form's file, with the name it came under."""

    filename: str = ""


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes. Raises TooLarge as soon as it is known to be more.

    A declared length over the limit is refused before anything is read; a body without a declared
    length is read only until it passes the limit.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise TooLarge("The request body", limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge("The request body", limit)
        parts.append(part)
    return b"".join(parts)


async def read_form(request: Request, body: bytes) -> dict[str, Any]:
    """The parts of a multipart body already read: text parts as str, file parts as FormFile.

    Raises MalformedRequest when the body is not what its content type says, or names a part twice.
    """

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    fields: dict[str, Any] = {}
    again = Request(request.scope, receive)
    try:
        async with again.form(
            max_files=_FORM_FIELDS, max_fields=_FORM_FIELDS, max_part_size=len(body) + 1
        ) as form:
            for name, value in form.multi_items():
                if name in fields:
                    raise MalformedRequest(f"The form holds the part {name!r} twice.", field=name)
                fields[name] = await _read_file(value) if isinstance(value, UploadFile) else value
    except HTTPException as error:
        raise MalformedRequest(f"The form cannot be read: {error.detail}") from None
    except MultiPartException as error:
        raise MalformedRequest(f"The form cannot be read: {error.message}") from None
    except (KeyError, ValueError, LookupError):
        raise MalformedRequest("The form cannot be read.") from None
    _check_texts(fields, ())
    return fields


async def _read_file(part: UploadFile) -> FormFile:
    file = FormFile(await part.read())
    file.filename = part.filename or ""
    return file


def read_json_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object; an empty body is an empty object.

    Raises MalformedRequest for bad UTF-8, bad JSON, NaN and infinities, numbers too long to read,
    a key given twice, nesting deeper than 64, and anything that is not an object. Raises
    InvalidValue for text no store can hold: NUL characters and lone surrogates.
    """
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The request body is not UTF-8: {error.reason}.") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except QuireError:
        raise
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"The request body is not valid JSON: {error.msg} "
            f"(line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        raise MalformedRequest("The request body is nested too deeply.") from None
    except ValueError:  # a number of thousands of digits
        raise MalformedRequest("The request body holds a number that is too long.") from None
    if not isinstance(value, dict):
        raise MalformedRequest(
            f"The request body has to be a JSON object, not {describe_value(value)}."
        )
    _check_texts(value, ())
    return value


def read_query(request: Request) -> dict[str, Any]:
    """Query parameters; one that is given more than once with different values becomes a list."""
    fields: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name not in fields or fields[name] == value:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    _check_texts(fields, ())
    return fields


def validate(model: type[ModelT], fields: Mapping[str, Any], *, inside: str = "") -> ModelT:
    """``fields`` as ``model``; ``inside`` names the field they came from, for the message.

    Raises MissingField or InvalidValue for the first field that is wrong, by its dotted path.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise translate_validation_error(error, inside) from None


def translate_validation_error(error: ValidationError, inside: str = "") -> QuireError:
    """The first thing pydantic found wrong, as one of Quire's errors."""
    first = error.errors(include_url=False)[0]
    path = _path((inside, *first["loc"]) if inside else first["loc"])
    context = first.get("ctx", {})
    kind = first["type"]
    if kind == "missing":
        return MissingField(path)
    if kind == "too_long":
        return InvalidValue(path, f"at most {context['max_length']} entries are allowed.")
    if kind == "too_short":
        return InvalidValue(path, f"at least {context['min_length']} entries are needed.")
    if kind == "string_too_long":
        return InvalidValue(path, f"at most {context['max_length']} characters are allowed.")
    if kind in _WANTED:
        found = describe_value(first["input"])
        return InvalidValue(path, f"expected {_WANTED[kind]}, not {found}.")
    message = first["msg"].removeprefix("Value error, ")
    message = message.removeprefix("Input should be ")
    if kind in _BOUNDS:
        message = f"has to be {message}"
    if not message.endswith("."):
        message += "."
    allowed = context.get("allowed")
    return InvalidValue(path, message, allowed=list(allowed) if allowed else None)


def describe_value(value: object) -> str:
    """What kind of JSON value this is, in words, with the value itself when it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"the number {value}" if abs(value) < 10**20 else "a number too large"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {json.dumps(value)}" if len(value) <= 40 else "a text"
    if isinstance(value, bytes):
        return "a file"
    if isinstance(value, Sequence):
        return "a list"
    return "an object"


_WANTED = {
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "an integer",
}
_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


def _path(location: Sequence[str | int]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            name = part if len(part) <= 100 else part[:100] + "…"
            path += f".{name}" if path else name
    return path or "request"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                shown = json.dumps(key[:100])
                raise MalformedRequest(f"The request body holds {shown} twice.", field=key)
            seen.add(key)
    return found


def _refuse_constant(name: str) -> Any:
    raise MalformedRequest(f"The request body is not valid JSON: {name} is not a JSON number.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedRequest(f"The request body holds a number that is too large: {text[:40]}.")
    return value


def _check_texts(value: object, path: tuple[str | int, ...]) -> None:
    """Refuse what the store cannot hold, and nesting that later steps could not follow."""
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        if len(path) >= _DEEPEST:
            raise MalformedRequest("The request body is nested too deeply.")
        for key, each in value.items():
            _check_text(key, path)
            _check_texts(each, (*path, key))
    elif isinstance(value, list):
        if len(path) >= _DEEPEST:
            raise MalformedRequest("The request body is nested too deeply.")
        for index, each in enumerate(value):
            _check_texts(each, (*path, index))


def _check_text(text: str, path: tuple[str | int, ...]) -> None:
    if "\x00" in text:
        raise InvalidValue(_path(path), "the text holds a NUL character.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidValue(_path(path), "the text holds half a surrogate pair.") from None
