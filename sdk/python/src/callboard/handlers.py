"""Handlers: the functions that `@agent.task` takes, and what their signatures say."""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from callboard import wire
from callboard.annotations import Conversion, conversions, signature

log = logging.getLogger("callboard")

MAX_SCHEMA = 64 * 1024
"""The most bytes of a schema that the server takes."""

_CONTEXT_NAMES = ("ctx", "context")


@dataclass(frozen=True)
class Handler:
    """A function that does tasks of a type."""

    type: str
    function: Callable[..., Any]
    is_async: bool
    takes_context: bool
    description: str
    input_schema: str
    output_schema: str
    input: Conversion
    result: Conversion

    def to_wire(self) -> wire.agent.TaskHandler:
        return wire.agent.TaskHandler(
            type=self.type,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
        )


def inspect_handler(
    type: str,
    function: Callable[..., Any],
    description: str = "",
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
) -> Handler:
    """Makes a handler of a function; raises TypeError when it can't be called with an input."""
    if not type:
        raise ValueError("the task type is empty: name the kind of work, or '*' for any")
    takes_context = _takes_context(type, function)
    input, result = conversions(type, function)
    return Handler(
        type=type,
        function=function,
        is_async=_is_async(function),
        takes_context=takes_context,
        description=description,
        input_schema=_schema(f"input schema of {type!r}", input_schema, input),
        output_schema=_schema(f"output schema of {type!r}", output_schema, result),
        input=input,
        result=result,
    )


@dataclass(frozen=True)
class MessageHandler:
    """A function that handles messages."""

    function: Callable[..., Any]
    is_async: bool
    takes_context: bool


def inspect_message_handler(function: Callable[..., Any]) -> MessageHandler:
    """Makes a message handler of a function; raises TypeError when it can't be called with a message."""
    return MessageHandler(function, _is_async(function), _takes_context("on_message", function))


def _schema(what: str, given: Mapping[str, Any] | None, conversion: Conversion) -> str:
    """The schema that was given, else what the annotation says."""
    schema = conversion.schema if given is None else json.dumps(given)
    size = len(schema.encode())
    if size > MAX_SCHEMA:
        log.warning("the %s has %d bytes, more than %d, and is left out", what, size, MAX_SCHEMA)
        return ""
    return schema


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    # An object whose __call__ is async counts, too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


def _takes_context(type: str, function: Callable[..., Any]) -> bool:
    try:
        parameters = signature(function).parameters.values()
    except ValueError:  # some builtins don't tell
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    required = [p for p in positional if p.default is p.empty]
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(required) > 2 or keyword or (not positional and not variadic):
        raise TypeError(f"the handler of {type!r} is not a function of (input) or (input, ctx)")
    if len(positional) < 2:
        return False
    # A second parameter with a default is the handler's own, unless its name says otherwise.
    second = positional[1]
    return second.default is second.empty or second.name in _CONTEXT_NAMES
