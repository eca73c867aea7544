"""Interceptors of agents and clients: see `interceptors` in DRIVER.md."""

from __future__ import annotations

import dataclasses
from typing import Any

from callboard import AsyncContext, Context, Interceptor, TaskSpec
from conformance.fields import Fields, Option, flag, item, items, text, text_map
from conformance.lines import Line


class Marking(Interceptor):
    """Leaves its name at what it stands around."""

    def __init__(self, name: str, headers: dict[str, str] | None, handles: bool) -> None:
        self._name = name
        self._headers = headers
        self._handles = handles

    async def submit(self, spec: TaskSpec, next: Any) -> Any:
        if self._headers is None:
            return await next(spec)
        before = spec.headers.get("x-path")
        path = self._name if before is None else f"{before},{self._name}"
        headers = {**spec.headers, **self._headers, "x-path": path}
        return await next(dataclasses.replace(spec, headers=headers))

    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
        result = await next(input)
        if not self._handles or not isinstance(result, dict):
            return result
        return {**result, "path": [*result.get("path", []), self._name]}


def _read(line: Line) -> Marking:
    fields = Fields(line, "the interceptor")
    name, submit = fields.take("name", text), fields.get("submit", item)
    handles = fields.get("handle", flag, False)
    fields.all_taken()
    headers = None
    if submit is not None:
        fields = Fields(submit, "the interceptor's submit")
        headers = fields.get("headers", text_map, {})
        fields.all_taken()
    return Marking(name, headers, handles)


def _all(lines: Any) -> list[Marking]:
    return [_read(line) for line in items(lines)]


INTERCEPTORS = Option("interceptors", _all)
"""The field, as the argument of clients and agents."""
