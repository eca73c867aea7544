"""Types of handlers, through pydantic: only who has it imports this."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from callboard.annotations import Conversion, Mode
from callboard.payload import Payload

MAX_FAULTS = 10
"""The most faults of a value that are told."""


@dataclass(frozen=True, kw_only=True)
class Typed(Conversion):
    """Between plain values and those of a type that pydantic knows."""

    adapter: TypeAdapter[Any]

    @classmethod
    def of(cls, annotated: Any, mode: Mode) -> Typed:
        """Raises pydantic's error when it doesn't know the type."""
        adapter = TypeAdapter(annotated)
        try:
            # This also shows whether all is there that the type is made of.
            schema = json.dumps(adapter.json_schema(mode=mode))
        except PydanticInvalidForJsonSchema:
            schema = ""
        return cls(schema, adapter=adapter)

    def read(self, value: Any) -> Any:
        """Validates it, and converts it to the type."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            # Without its own text, which repeats the value: that is the task's, and for no log.
            raise ValueError(_text(error)) from None

    def write(self, value: Any) -> Any:
        """Text and bytes stay what they are, and so does a payload. What isn't of the type is written as what
        it is."""
        if isinstance(value, (str, bytes, bytearray, memoryview, Payload)):
            return value
        return self.adapter.dump_python(value, mode="json", by_alias=True, warnings=False)


def _text(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_fault(fault["loc"], fault["msg"]) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        told.append(f"and {len(faults) - MAX_FAULTS} more")
    return f"it is no {error.title}: {'; '.join(told)}"


def _fault(path: tuple[int | str, ...], fault: str) -> str:
    return f"{'.'.join(map(str, path))}: {fault}" if path else fault
