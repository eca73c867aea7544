"""The blocking client."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from callboard import calls, claims, following, loop
from callboard import interceptors as chain
from callboard.admin import Admin
from callboard.agents import Agents
from callboard.calls import Call, TaskRef
from callboard.children import OnParentEnd
from callboard.claims import Claim, Held, Lease, StepRecord
from callboard.convert import Seconds, seconds
from callboard.credentials import resolve_credentials
from callboard.explanations import AssignmentExplanation
from callboard.interceptors import Interceptor
from callboard.messages import Messages
from callboard.models import (
    ChildInfo,
    DependencyResult,
    Event,
    OutputChunk,
    Page,
    Receipt,
    Step,
    Task,
)
from callboard.namespaces import Namespaces
from callboard.running import Running
from callboard.settings import DEFAULT_TIMEOUT, resolve_addresses, resolve_namespace
from callboard.spec import DependsOn, Priority, TaskOptions, TaskSpec
from callboard.transport import Transport
from callboard.unset import UNSET, Unset
from callboard.watches import OutputWatch, Watch
from callboard.watching import EventStream, OutputStream
from callboard.workflows import Workflows

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")


class Client:
    """Submits tasks, follows them and steers them. Every call blocks until it is answered; threads may share
    a client.

    `callboard.aio.Client` is the same for asyncio. Every method takes `timeout`, in seconds; the client's
    holds where none is given. Commands take `request_id`, which makes a repetition safe; one is made up where
    none is given.

    On a server that knows identities give `token` or `token_file`, or `client_cert` and `client_key`; `ca` is
    the file with the roots that the server's certificate is checked with, where gRPC's don't."""

    def __init__(
        self,
        address: str | None = None,
        namespace: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        token: str | None = None,
        token_file: str | None = None,
        ca: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        allow_plaintext: bool | None = None,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        credentials = resolve_credentials(token, token_file, ca, client_cert, client_key, allow_plaintext)
        transport = Transport(resolve_addresses(address), credentials)
        self._set_up(transport, resolve_namespace(namespace), timeout, tuple(interceptors), owned=True)

    @classmethod
    def _over(cls, transport: Transport, namespace: str, interceptors: Sequence[Interceptor]) -> Self:
        """A client over an agent's connections, which end with the agent."""
        client = cls.__new__(cls)
        client._set_up(transport, namespace, DEFAULT_TIMEOUT, interceptors, owned=False)
        return client

    def _set_up(
        self,
        transport: Transport,
        namespace: str,
        timeout: float,
        interceptors: Sequence[Interceptor],
        owned: bool,
    ) -> None:
        self._transport = transport
        self._running = Running(transport)
        self._owned = owned
        self._interceptors = interceptors
        self.namespace = namespace
        self.timeout = timeout
        self.agents = Agents(self)
        self.namespaces = Namespaces(self)
        self.messages = Messages(self)
        self.workflows = Workflows(self)
        self.admin = Admin(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        if self._owned:
            loop.block_on(self._end())

    async def _end(self) -> None:
        """Ends what goes over the connections, and those that are its own. Runs on the SDK's loop."""
        await self._running.close()
        if self._owned:
            await self._transport.close()

    def create(
        self,
        type: str,
        input: Any = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Receipt:
        """Creates a task, or gives the live one that has its key. The options are the fields of TaskSpec."""
        spec = TaskSpec(type, input, **options)
        return self._submit(spec, lambda s: self._sent(calls.create(self.namespace, s, request_id), timeout))

    def create_all(
        self, tasks: Iterable[TaskSpec], *, request_id: str | None = None, timeout: float | None = None
    ) -> list[Receipt]:
        """Creates up to 1,000 tasks, all or none."""
        specs = list(tasks)

        def send(specs: Sequence[TaskSpec]) -> Coroutine[Any, Any, Sequence[Receipt]]:
            return self._sent(calls.create_all(self.namespace, specs, request_id), timeout)

        if not self._interceptors:
            return list(loop.block_on(send(specs)))
        submitting = chain.submit_all(self._interceptors, specs, lambda specs: loop.bridge(send(specs)))
        return loop.interceptors.block_on(submitting)

    def run(
        self,
        type: str,
        input: Any = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Creates a task, waits for its end, and gives its result. Raises TaskFailed when it did not
        complete. `timeout` is for the whole; none means for ever."""
        spec = TaskSpec(type, input, **options)
        running, namespace, patience = self._running, self.namespace, self.timeout
        if not self._interceptors:
            return running.run_blocking(namespace, spec, request_id, timeout, patience)
        submitting = chain.submit(
            self._interceptors, spec, lambda s: running.run(namespace, s, request_id, timeout, patience)
        )
        return loop.interceptors.block_on(submitting)

    def get(self, task: TaskRef, *, timeout: float | None = None) -> Task:
        """Gives a task with its input and result."""
        return self._do(calls.get(self.namespace, task), timeout)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        type: str = "",
        agent: str = "",
        key: str = "",
        tags: Sequence[str] = (),
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        id_suffix: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Task]:
        """Gives all tasks that fit all filters, newest first, without inputs and results; pages are fetched
        as needed."""

        def page(token: str) -> Call[Page[Task]]:
            return calls.list_tasks(
                self.namespace,
                states=states,
                type=type,
                agent=agent,
                key=key,
                tags=tags,
                created_after=created_after,
                created_before=created_before,
                id_suffix=id_suffix,
                page_size=page_size,
                page_token=token,
            )

        return self._pages(page, timeout)

    def wait(self, task: TaskRef, *, timeout: float | None = None) -> Task:
        """Waits until a task has ended, however; none means for ever. Raises DeadlineExceeded, a
        TimeoutError, when the time is over before."""
        return loop.block_on(following.wait(self._transport, self.namespace, task, timeout))

    def result(self, task: TaskRef, *, timeout: float | None = None) -> Any:
        """Waits until a task has ended, and gives its result. Raises TaskFailed when it did not complete."""
        return self.wait(task, timeout=timeout).result()

    def cancel(
        self,
        task: TaskRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Cancels a task. One that has ended is left as it is."""
        return self._do(calls.cancel(self.namespace, task, reason, request_id), timeout)

    def retry(self, task: TaskRef, *, request_id: str | None = None, timeout: float | None = None) -> Receipt:
        """Opens the next run of a task that ended FAILED, CANCELLED or SKIPPED."""
        return self._do(calls.retry(self.namespace, task, request_id), timeout)

    def hold(
        self,
        task: TaskRef,
        reason: str = "",
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Keeps a WAITING or READY task from being assigned until it is released."""
        return self._do(calls.hold(self.namespace, task, reason, request_id), timeout)

    def release(
        self, task: TaskRef, *, request_id: str | None = None, timeout: float | None = None
    ) -> Receipt:
        """Ends a hold."""
        return self._do(calls.release(self.namespace, task, request_id), timeout)

    def explain(self, task: TaskRef, *, timeout: float | None = None) -> AssignmentExplanation:
        """Says who could have a task now, who could not and why. Of a READY one that is who gets it next; of
        any other, who would if it were."""
        return self._do(calls.explain(self.namespace, task), timeout)

    def update(
        self,
        task: TaskRef,
        *,
        priority: Priority | Unset = UNSET,
        assignee: str | Unset = UNSET,
        deadline: dt.datetime | Unset | None = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Changes what is given of a live task. An empty assignee means any agent; a deadline of None means
        none."""
        call = calls.update(
            self.namespace,
            task,
            priority=priority,
            assignee=assignee,
            deadline=deadline,
            tags=tags,
            given_id=request_id,
        )
        return self._do(call, timeout)

    def add_dependencies(
        self,
        task: TaskRef,
        dependencies: Sequence[DependsOn],
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Makes a WAITING task wait for more, as its `depends_on` would; all of it, or nothing. Raises
        FailedPrecondition when it doesn't wait any more (hold it, or its workflow, first), and
        InvalidArgument when a task would wait for itself."""
        return self._do(calls.add_dependencies(self.namespace, task, dependencies, request_id), timeout)

    def history(self, task: TaskRef, *, timeout: float | None = None) -> Iterator[Event]:
        """Gives the events of a task, oldest first; pages are fetched as needed."""
        return self._pages(lambda token: calls.history(self.namespace, task, token), timeout)

    def dependency_results(
        self, task: TaskRef, *, timeout: float | None = None
    ) -> Iterator[DependencyResult]:
        """Gives how the tasks ended that a task depends on, in the order of its dependencies."""
        return self._pages(lambda token: calls.dependency_results(self.namespace, task, token), timeout)

    def steps(self, task: TaskRef, run: int = 0, *, timeout: float | None = None) -> Iterator[Step]:
        """Gives the steps that a run of a task recorded, in that order; without a run, of the latest."""
        return self._pages(lambda token: calls.steps(self.namespace, task, run, token), timeout)

    def watch(self, task: TaskRef | None = None, *, cursor: str = "", until_ended: bool = False) -> Watch:
        """Gives events as they are committed: of a task from its first, of the namespace from now, or behind
        a cursor. With `until_ended` it stops when the task has ended."""
        stream = EventStream(self._transport, self.namespace, task, cursor, until_ended, self.timeout)
        return Watch(stream, cursor)

    def children(self, task: TaskRef, run: int = 0, *, timeout: float | None = None) -> Iterator[ChildInfo]:
        """Gives the children that a run of a task created, in that order; without a run, of the latest."""
        return self._pages(lambda token: calls.children(self.namespace, task, run, token), timeout)

    def output(
        self,
        task: TaskRef,
        run: int = 0,
        offset: int = 0,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[OutputChunk]:
        """Gives the output that a run of a task gave so far; without a run, the latest. Chunks that end at or
        before `offset` bytes are left out."""
        return self._pages(
            lambda token: calls.output(self.namespace, task, run, offset, token, page_size), timeout
        )

    def watch_output(self, task: TaskRef, run: int = 0, offset: int = 0) -> OutputWatch:
        """Gives the output of a run of a task, what there is and what comes, each chunk once, until the run
        has ended; without a run, of the one that is the latest now. Chunks that end at or before `offset`
        bytes are left out."""
        stream = OutputStream(self._transport, self.namespace, task, run, offset, self.timeout)
        return OutputWatch(stream, offset)

    def claim(
        self,
        name: str,
        types: Sequence[str],
        *,
        agent_type: str = "agent",
        role: str = "",
        skills: Sequence[str] = (),
        tools: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, float] | None = None,
        build_id: str = "",
        slots: int = 1,
        max_tasks: int = 1,
        lease: Seconds | None = None,
        wait: Seconds = 0,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Sequence[Claim]:
        """Leases tasks to the agent of this name, waiting for one if there is none. `slots` bounds what it
        may hold."""
        call = claims.claim(
            self.namespace,
            name,
            types,
            agent_type=agent_type,
            role=role,
            skills=skills,
            tools=tools,
            labels=labels,
            resources=resources,
            build_id=build_id,
            slots=slots,
            max_tasks=max_tasks,
            lease=lease,
            wait=seconds(wait),
            given_id=request_id,
        )
        return self._do(call, timeout if timeout is not None else seconds(wait) + following.MORE)

    def heartbeat(
        self,
        claim: Claim,
        *,
        lease: Seconds | None = None,
        progress: float | None = None,
        phase: str = "",
        message: str = "",
        checkpoint: Any = UNSET,
        steps: Iterable[StepRecord] = (),
        timeout: float | None = None,
    ) -> Lease:
        """Extends the lease of a claimed task, and reports progress, a checkpoint and up to 100 steps if
        given: all of it, or nothing. A checkpoint of None is one, too."""
        call = claims.heartbeat(
            self.namespace,
            claim,
            lease=lease,
            fraction=progress,
            phase=phase,
            message=message,
            checkpoint=checkpoint,
            steps=steps,
        )
        return self._do(call, timeout)

    def create_child(
        self,
        claim: Claim,
        type: str,
        input: Any = "",
        *,
        name: str | None = None,
        occurrence: int = 0,
        on_parent_end: OnParentEnd = "CANCEL",
        request_id: str | None = None,
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Receipt:
        """Creates a child of a claimed task, or gives the one of this name (the task type unless given) and
        occurrence that an earlier attempt of its run created. The options are the fields of TaskSpec."""
        call = claims.create_child(
            self.namespace,
            claim,
            TaskSpec(type, input, **options),
            name=type if name is None else name,
            occurrence=occurrence,
            on_parent_end=on_parent_end,
            given_id=request_id,
        )
        return self._do(call, timeout)

    def complete(
        self,
        task: Held,
        result: Any = "",
        *,
        agent: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Completes a claimed task, or one that nobody has."""
        return self._do(claims.complete(self.namespace, task, result, agent, request_id), timeout)

    def fail(
        self,
        task: Held,
        error: BaseException | str,
        *,
        agent: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Fails a claimed attempt, or a task that nobody has. A TaskError says just how."""
        return self._do(claims.fail(self.namespace, task, error, agent, request_id), timeout)

    def _submit(self, spec: TaskSpec, send: Callable[[TaskSpec], Coroutine[Any, Any, T]]) -> T:
        """Submits a task, through interceptors if there are some. `send` runs on the SDK's loop."""
        if not self._interceptors:
            return loop.block_on(send(spec))
        submitting = chain.submit(self._interceptors, spec, lambda spec: loop.bridge(send(spec)))
        return loop.interceptors.block_on(submitting)

    def _do(self, call: Call[T], timeout: float | None) -> T:
        return loop.block_on(self._sent(call, timeout))

    def _sent(self, call: Call[T], timeout: float | None) -> Coroutine[Any, Any, T]:
        return self._transport.unary(call, self.timeout if timeout is None else timeout)

    def _pages(self, page: Callable[[str], Call[Page[T]]], timeout: float | None) -> Iterator[T]:
        token = ""
        while True:
            answer = self._do(page(token), timeout)
            yield from answer.items
            token = answer.next_page_token
            if not token:
                return
