"""Values as lines have them, and as the SDK takes and gives them: see "Values" in DRIVER.md."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

from callboard import Payload, binary_payload, text_payload
from conformance.lines import Fault


def read(line: Any) -> Any:
    """The value of a line; raises ValueError when it is none."""
    if not isinstance(line, dict) or len(line) != 1:
        return line
    if "$bytes" in line:
        return _bytes(line["$bytes"])
    if "$payload" in line:
        return _payload(line["$payload"])
    return line


def shown(value: Any) -> Any:
    """The same for a line; a Fault when JSON can't hold it."""
    if isinstance(value, bytes):
        return {"$bytes": _base64(value)}
    if isinstance(value, Payload):
        return {"$payload": _shown_payload(value)}
    _check(value)
    return value


def size(payload: Payload) -> int:
    """How many bytes of content a payload has."""
    return len(payload.binary or payload.text.encode())


def _payload(line: Any) -> Payload:
    if not isinstance(line, dict) or not isinstance(content_type := line.get("content_type"), str):
        raise ValueError("is a payload without a content type")
    content = {name: line[name] for name in line if name != "content_type"}
    if content.keys() == {"base64"}:
        return binary_payload(_bytes(content["base64"]), content_type)
    if content.keys() == {"text"} and isinstance(content["text"], str):
        return text_payload(content["text"], content_type)
    raise ValueError("is a payload with other things than `content_type` and one of `text` and `base64`")


def _shown_payload(payload: Payload) -> dict[str, str]:
    line = {"content_type": payload.content_type}
    content = payload.WhichOneof("content")
    if content == "text":
        line["text"] = payload.text
    elif content == "binary":
        line["base64"] = _base64(payload.binary)
    return line


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("has base64 that is not a string")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"has base64 that can't be read: {error}") from None


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _check(value: Any) -> None:
    """Python's json reads 1e400 as an infinity, which no line can hold."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, float) and not math.isfinite(one):
            raise Fault(f"the SDK gave {one}, which JSON has not")
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
