"""What a handler's annotations say of its input and its result. With pydantic they are schemas, and values
are read and written by them; without it, and where they say nothing, values stay as they are."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_origin, get_type_hints

from callboard.payload import Payload

log = logging.getLogger("callboard")

Mode = Literal["validation", "serialization"]
"""Whose schema it is: that of what may come, or of what is given."""


@dataclass(frozen=True)
class Conversion:
    """Between plain values (those that payloads have) and the handler's: here they are the same."""

    schema: str = ""
    """JSON Schema of the plain values; empty when it isn't known."""

    def read(self, value: Any) -> Any:
        """The handler's value of a plain one. Raises ValueError when it has none."""
        return value

    def write(self, value: Any) -> Any:
        """The plain value of a handler's; what it has none for stays. Raises ValueError when it can't be."""
        return value


AS_IT_IS = Conversion()


def conversions(type: str, function: Callable[..., Any]) -> tuple[Conversion, Conversion]:
    """What the annotations of a handler say of its input, and of its result."""
    try:
        known = signature(function)
    except ValueError:
        return AS_IT_IS, AS_IT_IS
    empty = inspect.Signature.empty
    first = next(iter(known.parameters.values()), None)
    positional = first is not None and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    input = first.annotation if first is not None and positional else empty
    return (
        _conversion(f"the input of {type!r}", function, input, "validation"),
        _conversion(f"the result of {type!r}", function, known.return_annotation, "serialization"),
    )


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function. Annotations in it may be text, or not known yet. Raises ValueError when it
    has none to tell, as some builtins."""
    if sys.version_info >= (3, 14):
        # They are evaluated only now, and one that can't be must not hide the rest.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def _conversion(what: str, function: Callable[..., Any], annotation: Any, mode: Mode) -> Conversion:
    if annotation is inspect.Signature.empty:
        return AS_IT_IS
    try:
        annotated = _resolve(function, annotation)
    except Exception as error:  # it is code, and needs names that may only be there for a type checker
        log.info("the annotation of %s can't be resolved, and is not used: %s", what, error)
        return AS_IT_IS
    if annotated in (Any, object, Payload, NoReturn):
        return AS_IT_IS
    try:
        from callboard.typed import Typed
    except ImportError:  # no pydantic, or its first version
        return AS_IT_IS
    try:
        typed = Typed.of(annotated, mode)
    except Exception as error:  # the handler does without it, as it would without pydantic
        log.warning("pydantic can't use the annotation of %s: %s", what, error)
        return AS_IT_IS
    # Of a plain builtin only the schema is new: handlers had such annotations when nobody looked at them.
    return Conversion(typed.schema) if _is_plain(annotated) else typed


def _resolve(function: Callable[..., Any], annotation: Any) -> Any:
    """The type that an annotation names. It alone: others of the function may not be resolvable."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return get_type_hints(holder, globalns=_globals(function), include_extras=True)["it"]


def _globals(function: Callable[..., Any]) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__globals__"):  # an object that can be called
        function = getattr(type(function), "__call__")  # noqa: B004, B009
    found: dict[str, Any] = getattr(function, "__globals__", {})
    return found


def _is_plain(annotated: Any) -> bool:
    return (
        isinstance(annotated, type) and annotated.__module__ == "builtins" and get_origin(annotated) is None
    )
