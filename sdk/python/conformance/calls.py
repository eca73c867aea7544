"""The instructions `client.…` that are one call of a client each: what is called, and how its answer is
shown. The SDK's blocking client and its client for asyncio have the same methods: a call is said once for
both."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from callboard import Claim, Client, NamespaceSettings, TaskError, aio
from conformance import shown, spec
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
    time_or_none,
    value,
    whole,
)
from conformance.lines import Fault, Line

AnyClient: TypeAlias = Client | aio.Client

REQUEST_ID = Option("request_id", text)
TIMEOUT = Option("timeout_ms", seconds, "timeout")
REASON = Option("reason", text)
RUN = Option("run", whole)
OFFSET = Option("offset", whole)
FAILURE = (
    Option("type", text),
    Option("retryable", flag),
    Option("retry_after_ms", seconds, "retry_after"),
    Option("details", value),
)
"""What a TaskError takes besides its message."""
MESSAGE = (Option("headers", text_map), Option("ttl_ms", seconds, "ttl"), REQUEST_ID)
"""What sending a message takes besides recipient and body."""


@dataclass(frozen=True)
class Call:
    """A call that can be made with a client of either kind."""

    begin: Callable[[AnyClient], Any]
    shown: Callable[[Any], Line]

    async def ask(self, client: aio.Client) -> Line:
        """Makes it, for asyncio."""
        given = self.begin(client)
        if inspect.isawaitable(given):
            given = await given
        elif isinstance(given, AsyncIterator):
            given = [one async for one in given]
        return self.shown(given)

    def ask_blocking(self, client: Client) -> Line:
        """Makes it, blocking."""
        given = self.begin(client)
        return self.shown(list(given) if isinstance(given, Iterator) else given)


class Claims:
    """The claims that were made, by task and attempt."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, int], Claim] = {}

    def keep(self, claims: list[Claim]) -> Line:
        """Keeps them, and shows them."""
        self._claims |= {(claim.task_id, claim.attempt): claim for claim in claims}
        return {"claims": [shown.claim(claim) for claim in claims]}

    def find(self, task_id: str, attempt: int) -> Claim:
        """One of them: ask when it is needed, for a handler's program is read before anything is claimed."""
        claim = self._claims.get((task_id, attempt))
        if claim is None:
            raise Fault(f"attempt {attempt} of task {task_id} was not claimed")
        return claim

    def held(self, task_id: str, attempt: int | None) -> Claim | str:
        """The claim, or a task that nobody has."""
        return task_id if attempt is None else self.find(task_id, attempt)


def read(name: str, fields: Fields, claims: Claims) -> Call:
    """Reads an instruction; a Fault when it is none of these."""
    reader = _READERS.get(name)
    if reader is not None:
        call = reader(fields)
    elif name in _OF_CLAIMS:
        call = _OF_CLAIMS[name](fields, claims)
    else:
        raise Fault(f"{name} is unknown")
    fields.all_taken()
    return call


# Tasks.


def _create(fields: Fields) -> Call:
    given = spec.arguments(fields.take("task", item)) | fields.given(REQUEST_ID)
    return Call(lambda client: client.create(**given), shown.receipt)


def _create_all(fields: Fields) -> Call:
    specs, given = [spec.task(one) for one in fields.take("tasks", items)], fields.given(REQUEST_ID)
    return Call(lambda client: client.create_all(specs, **given), shown.receipts)


def _run(fields: Fields) -> Call:
    given = spec.arguments(fields.take("task", item)) | fields.given(REQUEST_ID, TIMEOUT)
    return Call(lambda client: client.run(**given), shown.value)


def _get(fields: Fields) -> Call:
    task_id = fields.take("task_id", text)
    return Call(lambda client: client.get(task_id), shown.task)


def _list(fields: Fields) -> Call:
    given = fields.given(
        Option("states", texts),
        Option("type", text),
        Option("agent", text),
        Option("key", text),
        Option("tags", texts),
        Option("page_size", whole),
    )
    return Call(lambda client: client.list(**given), shown.tasks)


def _wait(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(TIMEOUT)
    return Call(lambda client: client.wait(task_id, **given), shown.task)


def _result(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(TIMEOUT)
    return Call(lambda client: client.result(task_id, **given), shown.value)


def _history(fields: Fields) -> Call:
    task_id = fields.take("task_id", text)
    return Call(lambda client: client.history(task_id), shown.events)


def _dependency_results(fields: Fields) -> Call:
    task_id = fields.take("task_id", text)
    return Call(lambda client: client.dependency_results(task_id), shown.dependencies)


def _children(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(RUN)
    return Call(lambda client: client.children(task_id, **given), shown.children)


def _output(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(RUN, OFFSET, Option("page_size", whole))
    return Call(lambda client: client.output(task_id, **given), shown.output)


def _cancel(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(REASON, REQUEST_ID)
    return Call(lambda client: client.cancel(task_id, **given), shown.receipt)


def _hold(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(REASON, REQUEST_ID)
    return Call(lambda client: client.hold(task_id, **given), shown.receipt)


def _retry(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(REQUEST_ID)
    return Call(lambda client: client.retry(task_id, **given), shown.receipt)


def _release(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(REQUEST_ID)
    return Call(lambda client: client.release(task_id, **given), shown.receipt)


def _update(fields: Fields) -> Call:
    task_id = fields.take("task_id", text)
    given = fields.given(
        Option("priority", text),
        Option("assignee", text),
        Option("tags", texts),
        Option("deadline_at_ms", time_or_none, "deadline"),
        REQUEST_ID,
    )
    return Call(lambda client: client.update(task_id, **given), shown.receipt)


def _add_dependencies(fields: Fields) -> Call:
    task_id, given = fields.take("task_id", text), fields.given(REQUEST_ID)
    dependencies = spec.dependencies(fields.take("dependencies", items))
    return Call(lambda client: client.add_dependencies(task_id, dependencies, **given), shown.receipt)


def _explain(fields: Fields) -> Call:
    task_id = fields.take("task_id", text)
    return Call(lambda client: client.explain(task_id), shown.explanation)


def _set_limits(fields: Fields) -> Call:
    settings = NamespaceSettings(limits=spec.limits(fields.take("limits", items)))
    return Call(lambda client: client.namespaces.update(client.namespace, settings), shown.limits)


# Claims.


def _claim(fields: Fields, claims: Claims) -> Call:
    given = {"name": fields.take("name", text), "types": fields.take("types", texts)}
    given |= fields.given(
        Option("slots", whole),
        Option("max_tasks", whole),
        Option("lease_ms", seconds, "lease"),
        Option("wait_ms", seconds, "wait"),
        Option("skills", texts),
    )
    return Call(lambda client: client.claim(**given), claims.keep)


def _heartbeat(fields: Fields, claims: Claims) -> Call:
    task_id, attempt = fields.take("task_id", text), fields.take("attempt", whole)
    given = fields.given(
        Option("lease_ms", seconds, "lease"),
        Option("fraction", number, "progress"),
        Option("phase", text),
        Option("message", text),
        Option("checkpoint", value),
    )
    return Call(lambda client: client.heartbeat(claims.find(task_id, attempt), **given), shown.lease)


def _complete(fields: Fields, claims: Claims) -> Call:
    task_id, attempt = fields.take("task_id", text), fields.get("attempt", whole)
    result, given = fields.take("result", value), fields.given(Option("agent", text), REQUEST_ID)
    return Call(lambda client: client.complete(claims.held(task_id, attempt), result, **given), shown.receipt)


def _fail(fields: Fields, claims: Claims) -> Call:
    task_id, attempt = fields.take("task_id", text), fields.get("attempt", whole)
    message, how = fields.take("message", text), fields.given(*FAILURE)
    given = fields.given(Option("agent", text), REQUEST_ID)
    return Call(
        lambda client: client.fail(claims.held(task_id, attempt), TaskError(message, **how), **given),
        shown.receipt,
    )


# Workflows.


def _create_workflow(fields: Fields) -> Call:
    given = spec.workflow(fields.take("workflow", item)) | fields.given(REQUEST_ID)
    return Call(lambda client: client.workflows.create(**given), shown.workflow_receipt)


def _get_workflow(fields: Fields) -> Call:
    workflow_id = fields.take("workflow_id", text)
    return Call(lambda client: client.workflows.get(workflow_id), shown.workflow)


def _list_workflows(fields: Fields) -> Call:
    given = fields.given(Option("states", texts), Option("name", text), Option("page_size", whole))
    return Call(lambda client: client.workflows.list(**given), shown.workflows)


def _workflow_tasks(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(Option("page_size", whole))
    return Call(lambda client: client.workflows.tasks(workflow_id, **given), shown.workflow_tasks)


def _wait_workflow(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(TIMEOUT)
    return Call(lambda client: client.workflows.wait(workflow_id, **given), shown.workflow)


def _cancel_workflow(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(REASON, REQUEST_ID)
    return Call(lambda client: client.workflows.cancel(workflow_id, **given), shown.workflow)


def _retry_workflow(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(REQUEST_ID)
    return Call(lambda client: client.workflows.retry(workflow_id, **given), shown.workflow)


def _add_workflow_tasks(fields: Fields) -> Call:
    workflow_id = fields.take("workflow_id", text)
    tasks, given = spec.workflow_tasks(fields.take("tasks", items)), fields.given(REQUEST_ID)
    return Call(lambda client: client.workflows.add(workflow_id, tasks, **given), shown.named_receipts)


def _hold_workflow(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(REASON, REQUEST_ID)
    return Call(lambda client: client.workflows.hold(workflow_id, **given), shown.workflow)


def _release_workflow(fields: Fields) -> Call:
    workflow_id, given = fields.take("workflow_id", text), fields.given(REQUEST_ID)
    return Call(lambda client: client.workflows.release(workflow_id, **given), shown.workflow)


def _forecast_workflow(fields: Fields) -> Call:
    workflow_id = fields.take("workflow_id", text)
    return Call(lambda client: client.workflows.forecast(workflow_id), shown.forecast)


# Agents and messages.


def _get_agent(fields: Fields) -> Call:
    name = fields.take("name", text)
    return Call(lambda client: client.agents.get(name), shown.agent)


def _list_agents(fields: Fields) -> Call:
    given = fields.given(Option("states", texts), Option("agent_type", text), Option("page_size", whole))
    return Call(lambda client: client.agents.list(**given), shown.agents)


def _cordon(fields: Fields) -> Call:
    name = fields.take("name", text)
    return Call(lambda client: client.agents.cordon(name), shown.agent)


def _uncordon(fields: Fields) -> Call:
    name = fields.take("name", text)
    return Call(lambda client: client.agents.uncordon(name), shown.agent)


def _remove_agent(fields: Fields) -> Call:
    name = fields.take("name", text)
    return Call(lambda client: client.agents.remove(name), shown.nothing)


def _send_message(fields: Fields) -> Call:
    to, body, given = fields.take("to", text), fields.take("body", value), fields.given(*MESSAGE)
    return Call(lambda client: client.messages.send(to, body, **given), shown.message_receipt)


def _list_messages(fields: Fields) -> Call:
    agent = fields.take("agent", text)
    return Call(lambda client: client.messages.list(agent), shown.messages)


def _acknowledge_messages(fields: Fields) -> Call:
    agent, message_ids = fields.take("agent", text), fields.take("message_ids", texts)
    return Call(lambda client: client.messages.acknowledge(agent, *message_ids), shown.acknowledged)


_READERS: dict[str, Callable[[Fields], Call]] = {
    "client.create": _create,
    "client.create_all": _create_all,
    "client.run": _run,
    "client.get": _get,
    "client.list": _list,
    "client.wait": _wait,
    "client.result": _result,
    "client.history": _history,
    "client.dependency_results": _dependency_results,
    "client.children": _children,
    "client.output": _output,
    "client.cancel": _cancel,
    "client.hold": _hold,
    "client.retry": _retry,
    "client.release": _release,
    "client.update": _update,
    "client.add_dependencies": _add_dependencies,
    "client.explain": _explain,
    "client.set_limits": _set_limits,
    "client.create_workflow": _create_workflow,
    "client.get_workflow": _get_workflow,
    "client.list_workflows": _list_workflows,
    "client.workflow_tasks": _workflow_tasks,
    "client.wait_workflow": _wait_workflow,
    "client.cancel_workflow": _cancel_workflow,
    "client.retry_workflow": _retry_workflow,
    "client.add_workflow_tasks": _add_workflow_tasks,
    "client.hold_workflow": _hold_workflow,
    "client.release_workflow": _release_workflow,
    "client.forecast_workflow": _forecast_workflow,
    "client.get_agent": _get_agent,
    "client.list_agents": _list_agents,
    "client.cordon": _cordon,
    "client.uncordon": _uncordon,
    "client.remove_agent": _remove_agent,
    "client.send_message": _send_message,
    "client.list_messages": _list_messages,
    "client.acknowledge_messages": _acknowledge_messages,
}
_OF_CLAIMS: dict[str, Callable[[Fields, Claims], Call]] = {
    "client.claim": _claim,
    "client.heartbeat": _heartbeat,
    "client.complete": _complete,
    "client.fail": _fail,
}
