"""Values to payloads and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from callboard import InvalidArgument, Payload, binary_payload, text_payload
from callboard.payload import MAX_CONTENT, decode, encode


@dataclasses.dataclass
class Point:
    x: int
    y: list[int]


@pytest.mark.parametrize(
    ("value", "content_type", "content"),
    [
        ("", "text/plain", ""),
        ("Grüße\0", "text/plain", "Grüße\0"),
        (b"", "application/octet-stream", b""),
        (bytearray(b"\xff\0"), "application/octet-stream", b"\xff\0"),
        (None, "application/json", "null"),
        (True, "application/json", "true"),
        (2**70, "application/json", "1180591620717411303424"),
        ({"a": [1, "ü", None]}, "application/json", '{"a":[1,"ü",null]}'),
        ((1, 2), "application/json", "[1,2]"),
        (Point(1, [2]), "application/json", '{"x":1,"y":[2]}'),
        ([Point(1, [])], "application/json", '[{"x":1,"y":[]}]'),
    ],
)
def test_encode(value: Any, content_type: str, content: str | bytes) -> None:
    payload = encode(value, "input")
    assert payload.content_type == content_type
    assert (payload.binary if isinstance(content, bytes) else payload.text) == content
    assert payload.WhichOneof("content") == ("binary" if isinstance(content, bytes) else "text")


@pytest.mark.parametrize("value", ["", "text", b"", b"\0\xff", None, 1.5, 2**70, [], {"a": {"b": [1]}}])
def test_round_trip(value: Any) -> None:
    again = decode(Payload.FromString(encode(value, "input").SerializeToString()))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {1, 2}, object(), "\ud800", {"a": "\udfff"}, Point]
)
def test_refused_values(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="result is not") as caught:
        encode(value, "result")
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.violations[0].field == "result"


def test_endless_values_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidArgument):
        encode(loop, "input")


@pytest.mark.parametrize("value", ["ü" * (MAX_CONTENT // 2), b"x" * MAX_CONTENT])
def test_the_limit_counts_bytes(value: Any) -> None:
    encode(value, "input")
    with pytest.raises(InvalidArgument) as caught:
        encode(value + value[:1], "input")
    assert caught.value.reason == "PAYLOAD_TOO_LARGE"


def test_payloads_go_as_they_are_but_not_above_the_limit() -> None:
    payload = text_payload("<a/>", "text/xml", {"k": "v"})
    assert encode(payload, "input") is payload
    with pytest.raises(InvalidArgument):
        encode(binary_payload(bytes(MAX_CONTENT + 1)), "input")


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (Payload(), ""),
        (Payload(content_type="application/json"), ""),
        (Payload(text="a"), "a"),
        (Payload(binary=b"a"), b"a"),
        (Payload(content_type="text/csv", text="a,b"), "a,b"),
        (Payload(content_type="text/plain", binary="ü".encode()), "ü"),
        (Payload(content_type="text/plain; charset=latin-1", binary=b"\xfc"), "ü"),
        (Payload(content_type="text/plain; charset=nonsense", binary=b"a"), "a"),
        (Payload(content_type="Application/JSON; charset=utf-8", text="[1]"), [1]),
        (Payload(content_type="application/problem+json", text='{"a":1}'), {"a": 1}),
        (Payload(content_type="application/json", binary=b"[1]"), [1]),
        (Payload(content_type="application/xml", text="<a/>"), "<a/>"),
        (Payload(content_type="image/png", binary=b"\x89"), b"\x89"),
    ],
)
def test_decode(payload: Payload, value: Any) -> None:
    assert decode(payload) == value


def test_broken_json_is_an_error() -> None:
    with pytest.raises(ValueError):
        decode(Payload(content_type="application/json", text="{"))


def test_whole_numbers_keep_all_digits_and_others_are_floats() -> None:
    payload = text_payload("[12345678901234567890123, 1.10, 0.1234567890123456, 1e300]", "application/json")
    numbers = decode(payload)
    assert numbers == [12345678901234567890123, 1.1, 0.1234567890123456, 1e300]
    assert decode(encode(numbers, "numbers")) == numbers, "a float comes back as the same float"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_numbers_that_python_would_make_something_else_of_are_refused(number: str) -> None:
    with pytest.raises(ValueError, match=number):
        decode(text_payload(f"[{number}]", "application/json"))
