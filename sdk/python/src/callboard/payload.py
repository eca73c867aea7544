"""Payloads: how Python values go over the wire and come back."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from callboard import wire
from callboard.errors import invalid_argument

Payload: TypeAlias = wire.payload.Payload
"""A value as it goes over the wire. Give one instead of a value to choose content type and metadata."""

MAX_CONTENT = 1_048_576
"""The most bytes of content in a payload."""

TEXT = "text/plain"
BINARY = "application/octet-stream"
JSON = "application/json"


def text_payload(text: str, content_type: str = TEXT, metadata: Mapping[str, str] | None = None) -> Payload:
    """A payload of text, with a content type of your choice."""
    return Payload(content_type=content_type, text=text, metadata=metadata)


def binary_payload(
    content: bytes, content_type: str = BINARY, metadata: Mapping[str, str] | None = None
) -> Payload:
    """A payload of bytes, with a content type of your choice."""
    return Payload(content_type=content_type, binary=content, metadata=metadata)


def encode(value: Any, field: str) -> Payload:
    """The payload of a value. Raises InvalidArgument, naming the field, when it can't be one."""
    try:
        payload = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_argument(field, f"{field} is not a string, bytes, or JSON: {error}") from error
    size = content_size(payload)
    if size > MAX_CONTENT:
        fault = f"{field} has {size} bytes, more than {MAX_CONTENT}: keep it elsewhere and send where it is"
        raise invalid_argument(field, fault, "PAYLOAD_TOO_LARGE")
    return payload


def json_text(value: Any, field: str) -> str:
    """The JSON of a value. Raises InvalidArgument, naming the field, when it has none."""
    try:
        return _json_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_argument(field, f"{field} is not JSON: {error}") from error


def parse_json(text: str) -> Any:
    """The value of JSON. Raises ValueError when it is none, or has a number that no float can hold."""
    return _json.decode(text)


def _encode(value: Any) -> Payload:
    if isinstance(value, Payload):
        return value
    if isinstance(value, str):
        _check_unicode(value)
        return Payload(content_type=TEXT, text=value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Payload(content_type=BINARY, binary=bytes(value))
    return Payload(content_type=JSON, text=_json_text(value))


def _json_text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    _check_unicode(text)
    return text


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text is not valid Unicode at index {error.start}") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"object of type {type(value).__name__} is not JSON serializable")


def decode(payload: Payload) -> Any:
    """The value of a payload. Raises ValueError when it says it is JSON and isn't, or has a number that no
    Python number can hold. Whole numbers keep all their digits; others are floats, which keep about 17."""
    kind = payload.WhichOneof("content")
    if kind is None:
        return ""
    binary = kind == "binary"
    media_type, parameters = _media_type(payload.content_type or (BINARY if binary else TEXT))
    if media_type == JSON or media_type.endswith("+json"):
        return parse_json(payload.binary.decode() if binary else payload.text)
    if not binary:
        return payload.text
    if media_type.startswith("text/"):
        return _decode_text(payload.binary, parameters.get("charset", "utf-8"))
    return payload.binary


def content_size(payload: Payload) -> int:
    """How many bytes of content a payload has."""
    if payload.WhichOneof("content") == "binary":
        return len(payload.binary)
    return len(payload.text.encode())


def _to_float(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is more than a float can hold: read the payload")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


_json = json.JSONDecoder(parse_float=_to_float, parse_constant=_no_constant)


@functools.lru_cache(maxsize=64)
def _media_type(content_type: str) -> tuple[str, Mapping[str, str]]:
    first, *rest = content_type.split(";")
    parameters = {}
    for part in rest:
        name, _, value = part.partition("=")
        parameters[name.strip().lower()] = value.strip().strip('"')
    return first.strip().lower(), parameters


def _decode_text(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset, errors="replace")
    except LookupError:
        return content.decode(errors="replace")
