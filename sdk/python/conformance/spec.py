"""A SPEC of a line, as the SDK's TaskSpec: see DRIVER.md."""

from __future__ import annotations

from typing import Any

from callboard import Dependency, ResultCondition, RetryPolicy, TaskSpec, Timeouts
from conformance.fields import (
    Fields,
    Option,
    flag,
    item,
    items,
    number,
    seconds,
    text,
    text_map,
    texts,
    time,
    value,
    whole,
)
from conformance.lines import Line

_TASK = (
    Option("input", value),
    Option("description", text),
    Option("key", text),
    Option("key_conflict", text),
    Option("skills", texts),
    Option("tools", texts),
    Option("role", text),
    Option("assignee", text),
    Option("preferred_agent", text),
    Option("affinity", text_map),
    Option("priority", text),
    Option("deadline_at_ms", time, "deadline"),
    Option("start_at_ms", time, "start_at"),
    Option("hold", flag),
    Option("tags", texts),
    Option("metadata", text_map),
    Option("headers", text_map),
)
_RETRY = (
    Option("max_attempts", whole),
    Option("initial_backoff_ms", seconds, "initial_backoff"),
    Option("multiplier", number),
    Option("max_backoff_ms", seconds, "max_backoff"),
    Option("non_retryable_types", texts),
)
_TIMEOUTS = (
    Option("schedule_to_start_ms", seconds, "schedule_to_start"),
    Option("start_to_close_ms", seconds, "start_to_close"),
    Option("schedule_to_close_ms", seconds, "schedule_to_close"),
    Option("heartbeat_ms", seconds, "heartbeat"),
)
_DEPENDENCY = (
    Option("on_failure", text),
    Option("condition", text),
    Option("name", text),
)


def arguments(line: Line) -> dict[str, Any]:
    """The arguments of `Client.create`, `Client.run` and TaskSpec."""
    fields = Fields(line, "the task")
    given = {"type": fields.take("type", text), **fields.given(*_TASK)}
    if retry := fields.given(*_RETRY):
        given["retry"] = RetryPolicy(**retry)
    if timeouts := fields.given(*_TIMEOUTS):
        given["timeouts"] = Timeouts(**timeouts)
    depends_on = fields.get("depends_on", items)
    if depends_on is not None:
        given["depends_on"] = [_dependency(one) for one in depends_on]
    fields.all_taken()
    return given


def task(line: Line) -> TaskSpec:
    """The task that is asked for."""
    return TaskSpec(**arguments(line))


def _dependency(line: Line) -> Dependency:
    fields = Fields(line, "the dependency")
    given = {"task_id": fields.take("task_id", text), **fields.given(*_DEPENDENCY)}
    result = fields.get("result", item)
    if result is not None:
        given["result"] = _result_condition(result)
    fields.all_taken()
    return Dependency(**given)


def _result_condition(line: Line) -> ResultCondition:
    fields = Fields(line, "the condition of the result")
    pointer = fields.get("pointer", text, "")
    comparison = fields.take("comparison", text)
    compared = fields.given(Option("value", value))
    fields.all_taken()
    return ResultCondition(pointer, comparison, **compared)
