"""Workflows: `client.workflows`."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any

from callboard import following, loop
from callboard import interceptors as chain
from callboard import workflow_calls as calls
from callboard.calls import Call
from callboard.errors import InvalidArgument, invalid_argument
from callboard.interceptors import Interceptor
from callboard.models import Page, Receipt, Task
from callboard.spec import TaskSpec, WorkflowTask
from callboard.workflow_calls import Workflow, WorkflowForecast, WorkflowReceipt, WorkflowRef, workflow_id_of

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client


class Workflows:
    """Tasks that are created together, and what they wait for among each other: `client.workflows`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        name: str,
        tasks: Iterable[WorkflowTask],
        *,
        description: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WorkflowReceipt:
        """Creates a workflow with 1 to 10,000 tasks, all or none; they stand in any order, and have at most
        3 MiB together. Many workflows may have the same name. `headers` are given to each task that has none
        of the same name. Raises InvalidArgument that names all that is wrong, a cycle among them."""
        client, tasks = self._client, list(tasks)

        def send(tasks: Sequence[WorkflowTask]) -> Coroutine[Any, Any, WorkflowReceipt]:
            call = calls.create(
                client.namespace,
                name,
                tasks,
                description=description,
                tags=tags,
                metadata=metadata,
                headers=headers,
                given_id=request_id,
            )
            return client._sent(call, timeout)

        if not client._interceptors or not tasks:
            return loop.block_on(send(tasks))
        return loop.interceptors.block_on(
            _submit(client._interceptors, tasks, lambda tasks: loop.bridge(send(tasks)))
        )

    def add(
        self,
        workflow: WorkflowRef,
        tasks: Iterable[WorkflowTask],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Mapping[str, Receipt]:
        """Adds 1 to 10,000 tasks to a workflow that runs, all or none, and gives them by their names. They
        may depend on each other and on any of its tasks, ended ones too. Raises InvalidArgument that names
        all that is wrong, and FailedPrecondition when the workflow has ended, or is being cancelled."""
        client, tasks = self._client, list(tasks)

        def send(tasks: Sequence[WorkflowTask]) -> Coroutine[Any, Any, WorkflowReceipt]:
            return client._sent(calls.add(client.namespace, workflow, tasks, request_id), timeout)

        if not client._interceptors or not tasks:
            return loop.block_on(send(tasks)).receipts
        return loop.interceptors.block_on(
            _submit(client._interceptors, tasks, lambda tasks: loop.bridge(send(tasks)))
        ).receipts

    def get(self, workflow: WorkflowRef, *, timeout: float | None = None) -> Workflow:
        """Gives one workflow."""
        return self._client._do(calls.get(self._client.namespace, workflow), timeout)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        name: str = "",
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        id_suffix: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Workflow]:
        """Gives all workflows that fit all filters, newest first; pages are fetched as needed."""

        def page(token: str) -> Call[Page[Workflow]]:
            return calls.list_workflows(
                self._client.namespace,
                states=states,
                name=name,
                created_after=created_after,
                created_before=created_before,
                id_suffix=id_suffix,
                page_size=page_size,
                page_token=token,
            )

        return self._client._pages(page, timeout)

    def tasks(
        self, workflow: WorkflowRef, *, page_size: int = 0, timeout: float | None = None
    ) -> Iterator[Task]:
        """Gives the tasks of a workflow, each behind those that it waits for, and children behind them,
        without inputs and results; pages are fetched as needed. The `workflow` of each says what it is called
        there, its `dependencies` what it waits for."""

        def page(token: str) -> Call[Page[Task]]:
            return calls.list_tasks(self._client.namespace, workflow, page_size, token)

        return self._client._pages(page, timeout)

    def wait(self, workflow: WorkflowRef, *, timeout: float | None = None) -> Workflow:
        """Waits until a workflow has ended, however: its state tells. None means for ever. Raises
        DeadlineExceeded, a TimeoutError, when the time is over before."""
        return loop.block_on(_wait(self._client, workflow, timeout))

    def cancel(
        self,
        workflow: WorkflowRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Workflow:
        """Cancels all tasks of a workflow that have not ended; some may end later than this returns. One that
        has ended is left as it is."""
        call = calls.cancel(self._client.namespace, workflow, reason, request_id)
        return self._client._do(call, timeout)

    def retry(
        self, workflow: WorkflowRef, *, request_id: str | None = None, timeout: float | None = None
    ) -> Workflow:
        """Opens the next run of each task that FAILED or was CANCELLED and may not, and of what was SKIPPED
        because of it; of a workflow that was cancelled, of all that was CANCELLED. What completed is kept; so
        is a task whose deadline has passed, or that waited for an end that is not to come now. Raises
        FailedPrecondition while it is being cancelled, and when there is no such task."""
        return self._client._do(calls.retry(self._client.namespace, workflow, request_id), timeout)

    def hold(
        self,
        workflow: WorkflowRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Workflow:
        """Holds all tasks of a workflow that no agent has, and those that are added; what agents have goes
        on. Raises FailedPrecondition when it has ended, or is being cancelled or retried."""
        call = calls.hold(self._client.namespace, workflow, reason, request_id)
        return self._client._do(call, timeout)

    def release(
        self, workflow: WorkflowRef, *, request_id: str | None = None, timeout: float | None = None
    ) -> Workflow:
        """Ends the hold of a workflow: all of its tasks that are held are released, also those that were held
        by themselves."""
        return self._client._do(calls.release(self._client.namespace, workflow, request_id), timeout)

    def forecast(self, workflow: WorkflowRef, *, timeout: float | None = None) -> WorkflowForecast:
        """Says when a workflow is expected to end, and which tasks its end waits for. Raises
        ResourceExhausted for one of more than 20,000 tasks."""
        return self._client._do(calls.forecast(self._client.namespace, workflow), timeout)


class AsyncWorkflows:
    """The same for asyncio: `client.workflows` of `callboard.aio.Client`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def create(
        self,
        name: str,
        tasks: Iterable[WorkflowTask],
        *,
        description: str = "",
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WorkflowReceipt:
        """Creates a workflow with 1 to 10,000 tasks, all or none; they stand in any order, and have at most
        3 MiB together. Many workflows may have the same name. `headers` are given to each task that has none
        of the same name. Raises InvalidArgument that names all that is wrong, a cycle among them."""
        client, tasks = self._client, list(tasks)

        def send(tasks: Sequence[WorkflowTask]) -> Awaitable[WorkflowReceipt]:
            call = calls.create(
                client.namespace,
                name,
                tasks,
                description=description,
                tags=tags,
                metadata=metadata,
                headers=headers,
                given_id=request_id,
            )
            return client._do(call, timeout)

        if not client._interceptors or not tasks:
            return await send(tasks)
        return await _submit(client._interceptors, tasks, send)

    async def add(
        self,
        workflow: WorkflowRef,
        tasks: Iterable[WorkflowTask],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Mapping[str, Receipt]:
        """Adds 1 to 10,000 tasks to a workflow that runs, all or none, and gives them by their names. They
        may depend on each other and on any of its tasks, ended ones too. Raises InvalidArgument that names
        all that is wrong, and FailedPrecondition when the workflow has ended, or is being cancelled."""
        client, tasks = self._client, list(tasks)

        def send(tasks: Sequence[WorkflowTask]) -> Awaitable[WorkflowReceipt]:
            return client._do(calls.add(client.namespace, workflow, tasks, request_id), timeout)

        if not client._interceptors or not tasks:
            return (await send(tasks)).receipts
        return (await _submit(client._interceptors, tasks, send)).receipts

    async def get(self, workflow: WorkflowRef, *, timeout: float | None = None) -> Workflow:
        """Gives one workflow."""
        return await self._client._do(calls.get(self._client.namespace, workflow), timeout)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        name: str = "",
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        id_suffix: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Workflow]:
        """Gives all workflows that fit all filters, newest first; pages are fetched as needed."""

        def page(token: str) -> Call[Page[Workflow]]:
            return calls.list_workflows(
                self._client.namespace,
                states=states,
                name=name,
                created_after=created_after,
                created_before=created_before,
                id_suffix=id_suffix,
                page_size=page_size,
                page_token=token,
            )

        return self._client._pages(page, timeout)

    def tasks(
        self, workflow: WorkflowRef, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[Task]:
        """Gives the tasks of a workflow, each behind those that it waits for, and children behind them,
        without inputs and results; pages are fetched as needed. The `workflow` of each says what it is called
        there, its `dependencies` what it waits for."""

        def page(token: str) -> Call[Page[Task]]:
            return calls.list_tasks(self._client.namespace, workflow, page_size, token)

        return self._client._pages(page, timeout)

    async def wait(self, workflow: WorkflowRef, *, timeout: float | None = None) -> Workflow:
        """Waits until a workflow has ended, however: its state tells. None means for ever. Raises
        DeadlineExceeded, a TimeoutError, when the time is over before."""
        return await loop.bridge(_wait(self._client, workflow, timeout))

    async def cancel(
        self,
        workflow: WorkflowRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Workflow:
        """Cancels all tasks of a workflow that have not ended; some may end later than this returns. One that
        has ended is left as it is."""
        call = calls.cancel(self._client.namespace, workflow, reason, request_id)
        return await self._client._do(call, timeout)

    async def retry(
        self, workflow: WorkflowRef, *, request_id: str | None = None, timeout: float | None = None
    ) -> Workflow:
        """Opens the next run of each task that FAILED or was CANCELLED and may not, and of what was SKIPPED
        because of it; of a workflow that was cancelled, of all that was CANCELLED. What completed is kept; so
        is a task whose deadline has passed, or that waited for an end that is not to come now. Raises
        FailedPrecondition while it is being cancelled, and when there is no such task."""
        return await self._client._do(calls.retry(self._client.namespace, workflow, request_id), timeout)

    async def hold(
        self,
        workflow: WorkflowRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Workflow:
        """Holds all tasks of a workflow that no agent has, and those that are added; what agents have goes
        on. Raises FailedPrecondition when it has ended, or is being cancelled or retried."""
        call = calls.hold(self._client.namespace, workflow, reason, request_id)
        return await self._client._do(call, timeout)

    async def release(
        self, workflow: WorkflowRef, *, request_id: str | None = None, timeout: float | None = None
    ) -> Workflow:
        """Ends the hold of a workflow: all of its tasks that are held are released, also those that were held
        by themselves."""
        return await self._client._do(calls.release(self._client.namespace, workflow, request_id), timeout)

    async def forecast(self, workflow: WorkflowRef, *, timeout: float | None = None) -> WorkflowForecast:
        """Says when a workflow is expected to end, and which tasks its end waits for. Raises
        ResourceExhausted for one of more than 20,000 tasks."""
        return await self._client._do(calls.forecast(self._client.namespace, workflow), timeout)


async def _wait(client: Client | aio.Client, workflow: WorkflowRef, timeout: float | None) -> Workflow:
    workflow_id = workflow_id_of(workflow)
    return await following.until_ended(
        client._transport,
        f"workflow {workflow_id}",
        lambda part: calls.wait(client.namespace, workflow_id, part),
        timeout,
    )


async def _submit(
    interceptors: Sequence[Interceptor],
    tasks: Sequence[WorkflowTask],
    send: Callable[[Sequence[WorkflowTask]], Awaitable[WorkflowReceipt]],
) -> WorkflowReceipt:
    """Creates tasks of a workflow by one call, with each of them going through the interceptors."""
    workflow_id = ""

    async def create(specs: Sequence[TaskSpec]) -> list[Receipt]:
        nonlocal workflow_id
        if workflow_id or len(specs) < len(tasks):
            raise _not_together()
        whole = [dataclasses.replace(task, task=spec) for task, spec in zip(tasks, specs, strict=True)]
        created = await send(whole)
        workflow_id = created.workflow_id
        return [created.receipts[task.name] for task in tasks]

    receipts = await chain.submit_all(interceptors, [task.task for task in tasks], create)
    if not workflow_id:
        raise _not_together()
    names = [task.name for task in tasks]
    return WorkflowReceipt(workflow_id, dict(zip(names, receipts, strict=True)))


def _not_together() -> InvalidArgument:
    fault = "a workflow's tasks are created together: no interceptor answers for one of them, or asks twice"
    return invalid_argument("interceptors", fault)
