"""A SPEC of a line, as the SDK's TaskSpec, and what a workflow is asked to be: see DRIVER.md."""

from __future__ import annotations

from typing import Any

from callboard import (
    Dependency,
    Fallback,
    Limit,
    ResultCondition,
    RetryPolicy,
    TaskSpec,
    Timeouts,
    WorkflowDependency,
    WorkflowTask,
)
from conformance.fields import (
    Fields,
    Option,
    flag,
    item,
    items,
    number,
    number_map,
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
    Option("anti_affinity", text_map),
    Option("resources", number_map),
    Option("near", texts),
    Option("apart", texts),
    Option("fairness_key", text),
    Option("limit_keys", texts),
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
_FALLBACK = (
    Option("skills", texts),
    Option("tools", texts),
    Option("role", text),
    Option("assignee", text),
)
_LIMIT = (
    Option("max_concurrent", whole),
    Option("rate", whole),
    Option("rate_period_ms", seconds, "rate_period"),
)
_TERMS = (
    Option("on_failure", text),
    Option("condition", text),
)


def arguments(line: Line) -> dict[str, Any]:
    """The arguments of `Client.create`, `Client.run` and TaskSpec."""
    fields = Fields(line, "the task")
    given = {"type": fields.take("type", text), **fields.given(*_TASK)}
    if retry := fields.given(*_RETRY):
        given["retry"] = RetryPolicy(**retry)
    if timeouts := fields.given(*_TIMEOUTS):
        given["timeouts"] = Timeouts(**timeouts)
    fallbacks = fields.get("fallbacks", items)
    if fallbacks is not None:
        given["fallbacks"] = [_fallback(one) for one in fallbacks]
    depends_on = fields.get("depends_on", items)
    if depends_on is not None:
        given["depends_on"] = dependencies(depends_on)
    fields.all_taken()
    return given


def task(line: Line) -> TaskSpec:
    """The task that is asked for."""
    return TaskSpec(**arguments(line))


def dependencies(all: list[Line]) -> list[Dependency]:
    """What a task is to wait for."""
    return [_dependency(one) for one in all]


def limits(all: list[Line]) -> list[Limit]:
    """The limits that a namespace is to have."""
    return [_limit(one) for one in all]


def _limit(line: Line) -> Limit:
    fields = Fields(line, "the limit")
    key, given = fields.take("key", text), fields.given(*_LIMIT)
    fields.all_taken()
    return Limit(key, **given)


def workflow(line: Line) -> dict[str, Any]:
    """The arguments of `client.workflows.create`."""
    fields = Fields(line, "the workflow")
    given = {
        "name": fields.take("name", text),
        "tasks": workflow_tasks(fields.take("tasks", items)),
        **fields.given(
            Option("description", text),
            Option("tags", texts),
            Option("metadata", text_map),
            Option("headers", text_map),
        ),
    }
    fields.all_taken()
    return given


def workflow_tasks(all: list[Line]) -> list[WorkflowTask]:
    """The tasks that a workflow is to have."""
    return [_workflow_task(one) for one in all]


def _workflow_task(line: Line) -> WorkflowTask:
    fields = Fields(line, "the workflow's task")
    name, asked = fields.take("name", text), task(fields.take("task", item))
    given = fields.given(
        Option("depends_on", _workflow_dependencies),
        Option("allow_failure", flag),
        Option("weight", whole),
    )
    fields.all_taken()
    return WorkflowTask(name, asked, **given)


def _workflow_dependencies(line: Any) -> list[str | WorkflowDependency]:
    if not isinstance(line, list):
        raise ValueError("is not a list")
    return [one if isinstance(one, str) else _workflow_dependency(item(one)) for one in line]


def _workflow_dependency(line: Line) -> WorkflowDependency:
    fields = Fields(line, "the workflow's dependency")
    return WorkflowDependency(fields.take("task", text), **_terms(fields))


def _fallback(line: Line) -> Fallback:
    fields = Fields(line, "the fallback")
    after, given = fields.take("after_ms", seconds), fields.given(*_FALLBACK)
    fields.all_taken()
    return Fallback(after, **given)


def _dependency(line: Line) -> Dependency:
    fields = Fields(line, "the dependency")
    given = {"task_id": fields.take("task_id", text), **fields.given(Option("name", text))}
    return Dependency(**given, **_terms(fields))


def _terms(fields: Fields) -> dict[str, Any]:
    """What is asked of a dependency, whichever it is; nothing else is left of it."""
    given = fields.given(*_TERMS)
    result = fields.get("result", item)
    if result is not None:
        given["result"] = _result_condition(result)
    fields.all_taken()
    return given


def _result_condition(line: Line) -> ResultCondition:
    fields = Fields(line, "the condition of the result")
    pointer = fields.get("pointer", text, "")
    comparison = fields.take("comparison", text)
    compared = fields.given(Option("value", value))
    fields.all_taken()
    return ResultCondition(pointer, comparison, **compared)
