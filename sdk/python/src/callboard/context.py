"""What a handler gets besides its input."""

from __future__ import annotations

import asyncio
import concurrent.futures
import datetime as dt
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from callboard import convert, interceptors, loop, wire
from callboard.blocking import wait_for
from callboard.calls import Call
from callboard.children import AsyncChild, Child, ChildKey, Children, OnParentEnd
from callboard.claims import progress
from callboard.convert import Seconds
from callboard.errors import Cancelled, StatusError
from callboard.interceptors import Interceptor
from callboard.messages import MessageReceipt, message_send
from callboard.models import DependencyResult, Receipt, Task, WorkflowLink
from callboard.output import Chunk, chunks_of
from callboard.pausing import Ends
from callboard.payload import Payload, decode, encode
from callboard.quorum import Quorum, Rest
from callboard.spec import TaskOptions, TaskSpec
from callboard.steps import Recording, StepKey, Steps, read, record_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from callboard import aio
    from callboard.client import Client

Saved = concurrent.futures.Future[None]
"""Done when the checkpoint or step is committed, or the output is in the buffer; fails when it was
refused."""

Begun = concurrent.futures.Future[StatusError | None]
"""Done when it is known whether steps can be had; gives why none can be recorded now, if so."""

Waited = concurrent.futures.Future[Ends]
"""Done when a wait for children is over, with the ends that are known then, and the handler may go on.
Cancelling it gives the wait up."""

Decided = Callable[[Ends], None]
"""Is told how a wait for children comes out as soon as that is known."""

Sent = concurrent.futures.Future[MessageReceipt]
"""Done when the message is committed; fails when it was refused."""


class Link(Protocol):
    """How a handler reaches the server. Any thread may call it."""

    @property
    def client(self) -> Client:
        """A client of the agent's server and namespace."""

    @property
    def async_client(self) -> aio.Client:
        """The same for async handlers."""

    @property
    def agent(self) -> str:
        """The agent's name."""

    def send(self, send: wire.message.MessageSend) -> Sent:
        """Sends a message."""


class Reporter(Link, Protocol):
    """What carries a context's reports to the connection, too."""

    @property
    def namespace(self) -> str:
        """The agent's namespace."""

    @property
    def interceptors(self) -> Sequence[Interceptor]:
        """What stands around the tasks that are submitted."""

    def progress(self, progress: wire.agent.Progress) -> None:
        """Tells how far the handler is."""

    def checkpoint(self, data: Payload) -> Saved:
        """Saves a checkpoint."""

    def begin_step(self) -> Begun:
        """Asks whether steps can be had now; fails when not even recorded ones can."""

    def record_step(self, record: wire.step.StepRecord) -> Saved:
        """Records a step."""

    def fetch_steps(self, run: int) -> Recording:
        """Asks the server for what a run of the task has recorded."""

    def begin_child(self) -> Saved:
        """Asks whether a child could be created now; fails when it couldn't."""

    def create_child(self, call: Call[Receipt], timeout: float | None) -> concurrent.futures.Future[Receipt]:
        """Creates a child."""

    def wait_children(self, children: Sequence[str], count: int, decided: Decided | None = None) -> Waited:
        """Waits until so many of these children have completed, or can't any more. One alone has ended
        then. When that is so, `decided` is called, on the SDK's loop: before the handler goes on, which may
        have to wait for its slot."""

    def cancel_task(self, task_id: str, request_id: str) -> concurrent.futures.Future[Receipt]:
        """Cancels a task."""

    def get_task(self, task_id: str) -> concurrent.futures.Future[Task]:
        """Asks the server for a task."""

    def output(self, chunks: list[Chunk]) -> Saved:
        """Gives output."""


class BaseContext:
    """What is the same for sync and async handlers."""

    def __init__(
        self,
        assignment: wire.agent.Assignment,
        dependencies: Callable[[], tuple[DependencyResult, ...]],
        reporter: Reporter,
        cancelled: threading.Event,
    ) -> None:
        spec = assignment.spec
        self.task_id: str = assignment.attempt.task_id
        """The task."""
        self.attempt: int = assignment.attempt.attempt
        """The attempt's number; goes on rising across runs."""
        self.run: int = assignment.run
        """The run that the attempt belongs to."""
        self.attempts_used: int = assignment.attempts_used
        """How many attempts of this run were used up before this one."""
        self.namespace: str = assignment.namespace
        """The namespace."""
        self.agent: str = reporter.agent
        """The name of the agent that does it."""
        self.type: str = spec.type
        """The task type."""
        self.description: str = spec.description
        """What the task is about, for people."""
        self.headers: Mapping[str, str] = dict(spec.headers)
        """What is carried to every attempt and child: trace context."""
        self.metadata: Mapping[str, str] = dict(spec.metadata)
        """What the application keeps with the task."""
        link = assignment.workflow if assignment.HasField("workflow") else None
        self.workflow: WorkflowLink | None = None if link is None else WorkflowLink.from_wire(link)
        """What workflow the task is of, if it is of one."""
        self.deadline: dt.datetime | None = convert.datetime(assignment, "deadline")
        """When the attempt times out. The time in which its handler waited for children doesn't count: it may
        become later."""
        self.payload: Payload = spec.input
        """The input as it came."""
        self.cancelled = cancelled
        """Set once the handler is to stop."""
        self.cancel_reason = ""
        """Why the handler is to stop."""
        self._assignment = assignment
        self._dependencies = dependencies
        self._reporter = reporter
        self._steps = Steps(assignment, reporter)
        self._children = Children(assignment)

    @cached_property
    def dependencies(self) -> tuple[DependencyResult, ...]:
        """How the tasks ended that this one depends on, in order."""
        return self._dependencies()

    def dependency(self, name: str) -> DependencyResult:
        """How the task ended that this one depends on by this name. Raises LookupError, naming those that
        there are, when none is called so."""
        if name in self._named_dependencies:
            return self._named_dependencies[name]
        known = ", ".join(map(repr, self._named_dependencies))
        raise LookupError(
            f"no dependency is called {name!r}: " + (f"there are {known}" if known else "none has a name")
        )

    @cached_property
    def _named_dependencies(self) -> Mapping[str, DependencyResult]:
        return {one.name: one for one in self.dependencies if one.name}

    @cached_property
    def checkpoint(self) -> Any:
        """What the last attempt saved, decoded; None if it saved nothing."""
        if not self._assignment.HasField("checkpoint"):
            return None
        return decode(self._assignment.checkpoint)

    def progress(self, fraction: float | None = None, phase: str = "", message: str = "") -> None:
        """Tells how far the work is: a fraction from 0 to 1, a phase (`reasoning`, `executing`, `validating`,
        or any short word), a message for people. Never waits; at most ten a second are sent, the latest
        wins."""
        self._reporter.progress(progress(fraction, phase, message))


class Context(BaseContext):
    """The context of a sync handler."""

    @property
    def client(self) -> Client:
        """A client of the agent's server and namespace, as the agent's principal. It ends with the agent."""
        return self._reporter.client

    def save_checkpoint(self, value: Any) -> None:
        """Saves what the next attempt is to begin from; returns when it is committed. Raises Cancelled when
        the handler is to stop, for then it isn't needed any more."""
        self.check_cancelled()
        saved = self._reporter.checkpoint(encode(value, "checkpoint"))
        try:
            wait_for(saved, self.check_cancelled)
        except StatusError:
            self.check_cancelled()
            raise

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Does a part of the work once for all attempts of the run, as far as that can be: calls the
        function, has its result recorded, and returns it when it is committed. An attempt that comes to the
        same step later (the agent crashed, say) is given the result, and the function isn't called. A
        function whose result was not recorded any more before the crash runs again.

        A step is told from others by its name (1 to 128 bytes), and by how many of that name the attempt
        began before it: so a loop may use one name, while its steps begin in the same order in every attempt.
        A step within the function of another is refused with InvalidArgument.

        The result is a value of at most 1 MiB, and comes back as it is read from its payload, in the first
        attempt, too: a dataclass as a dict, a tuple as a list. When what a step gives changes, change its
        name.

        What the function raises is raised here, and not recorded. Otherwise raises InvalidArgument for a
        name or result that can't be; ResourceExhausted when the run has 1,000 steps or 16 MiB of results, and
        AlreadyExists when another result is recorded: the attempt goes on if you catch them;
        FailedPrecondition when the server has no steps, or (`STALE_ATTEMPT`) the attempt is lost; ValueError
        when a recorded result can't be decoded; and what calls may raise, when the recorded steps did not fit
        into the assignment."""
        key = self._steps.begin(name)
        refusal = self._reporter.begin_step().result()
        recorded = self._steps.recorded().result()
        if key in recorded:
            return read(key, recorded[key])
        if refusal is not None:
            raise refusal
        with self._steps.inside():
            result = function()
        record = record_of(key, result)
        # What later attempts could not read is not recorded.
        value = read(key, record.result)
        self._reporter.record_step(record).result()
        return value

    def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
    ) -> MessageReceipt:
        """Sends a message as this agent; it is durable when this returns. Raises NotFound when the recipient
        is unknown, ResourceExhausted when its mailbox is full, Cancelled when the handler is to stop."""
        sent = self._reporter.send(message_send(to, body, headers, ttl, request_id))
        return wait_for(sent, self.check_cancelled)

    def start_child(
        self,
        type: str,
        input: Any = "",
        *,
        name: str | None = None,
        on_parent_end: OnParentEnd = "CANCEL",
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Child:
        """Creates a task of this run, once for all its attempts: an attempt that comes to the same child
        later is given the one that is there (`existing`). The options are the fields of TaskSpec.

        A child is told from others by its name (the task type unless you give another; 1 to 128 bytes), and
        by how many of that name the attempt began before it: start those of one name in the same order in
        every attempt. When the parent's run ends, however, a child that has not ended is cancelled; with
        `on_parent_end="DETACH"` it goes on.

        `timeout` is for the call. Raises InvalidArgument for a name that can't be; ResourceExhausted when the
        run has 1,000 children or they would stand more than 32 deep; AlreadyExists when the child that is
        there has another type; FailedPrecondition when the server takes no children, or (`STALE_ATTEMPT`) the
        attempt is lost; and what calls may raise."""
        key = self._children.begin(type if name is None else name)
        spec = TaskSpec(type, input, **options)
        self._reporter.begin_child().result()
        if not self._reporter.interceptors:
            receipt = self._reporter.create_child(
                self._children.create(key, spec, on_parent_end), timeout
            ).result()
            return Child(receipt, spec, self._reporter, self.check_cancelled)

        async def send(spec: TaskSpec) -> Child:
            call = self._children.create(key, spec, on_parent_end)
            receipt = await asyncio.wrap_future(self._reporter.create_child(call, timeout))
            return Child(receipt, spec, self._reporter, self.check_cancelled)

        return loop.interceptors.block_on(interceptors.submit(self._reporter.interceptors, spec, send))

    def run_child(
        self,
        type: str,
        input: Any = "",
        *,
        name: str | None = None,
        on_parent_end: OnParentEnd = "CANCEL",
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Starts a child, waits for its end without holding the handler's slot, and gives its result: see
        `start_child` and `Child.result`."""
        child = self.start_child(
            type, input, name=name, on_parent_end=on_parent_end, timeout=timeout, **options
        )
        return child.result()

    def wait_children(
        self, children: Sequence[Child], count: int | None = None, rest: Rest = "KEEP"
    ) -> list[Task]:
        """Waits until so many of these children have completed, all of them unless said, and gives the tasks
        of those that have by then, in this order: `count=1` waits for any. The handler's slot is free
        meanwhile.

        As soon as so many can't complete any more, raises what `Child.result` of the first of those raises
        that ended badly: TaskFailed. `rest` is what becomes of those that have not ended then, either way:
        with KEEP they go on, with CANCEL they are cancelled before this returns.

        Raises InvalidArgument for a count that can't be, and for a child that stands there twice; what
        `Child.wait` raises; and what calls may raise, when the rest can't be cancelled."""
        return Quorum(children, count, rest).wait(self._reporter, self.check_cancelled)

    def output(self, value: Any) -> None:
        """Gives a piece of output, which is kept and which others can watch while the handler works: text and
        bytes of at most 1 MiB, which are joined with what follows, or any other value of at most 64 KiB.
        Returns when it is in the buffer; waits while 1 MiB or more wait there.

        Raises InvalidArgument for a value that can't be; ResourceExhausted, from then on, when the run has
        16 MiB or 50,000 chunks: the handler may go on without; FailedPrecondition when the server takes no
        output, or (`STALE_ATTEMPT`) the attempt is lost; Cancelled when the handler is to stop while it
        waits."""
        chunks = chunks_of(value)
        if chunks:
            wait_for(self._reporter.output(chunks), self.check_cancelled)

    def check_cancelled(self) -> None:
        """Raises Cancelled once the handler is to stop."""
        if self.cancelled.is_set():
            raise Cancelled(self.cancel_reason or "the handler is to stop")


class AsyncContext(BaseContext):
    """The context of an async handler, which is cancelled by asyncio's CancelledError."""

    @property
    def client(self) -> aio.Client:
        """A client of the agent's server and namespace, as the agent's principal. It ends with the agent."""
        return self._reporter.async_client

    async def save_checkpoint(self, value: Any) -> None:
        """Saves what the next attempt is to begin from; returns when it is committed."""
        await asyncio.wrap_future(self._reporter.checkpoint(encode(value, "checkpoint")))

    def step(self, name: str, function: Callable[[], Any]) -> Coroutine[Any, Any, Any]:
        """Does a part of the work once for all attempts of the run, as `Context.step` does: await it. The
        function is async, or gives something to await, or blocks no longer than an async handler may. Steps
        may run beside each other; those of one name are told apart by the order in which `step` was called.
        """
        # Counted now, and not when it is awaited.
        return self._step(self._steps.begin(name), function)

    async def _step(self, key: StepKey, function: Callable[[], Any]) -> Any:
        refusal = await asyncio.wrap_future(self._reporter.begin_step())
        # Other steps may wait for it, too: who is cancelled doesn't cancel it.
        recorded = await asyncio.shield(asyncio.wrap_future(self._steps.recorded()))
        if key in recorded:
            return read(key, recorded[key])
        if refusal is not None:
            raise refusal
        with self._steps.inside():
            result = function()
            if inspect.isawaitable(result):
                result = await result
        record = record_of(key, result)
        # What later attempts could not read is not recorded.
        value = read(key, record.result)
        await asyncio.wrap_future(self._reporter.record_step(record))
        return value

    def start_child(
        self,
        type: str,
        input: Any = "",
        *,
        name: str | None = None,
        on_parent_end: OnParentEnd = "CANCEL",
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Coroutine[Any, Any, AsyncChild]:
        """Creates a task of this run, once for all its attempts, as `Context.start_child` does: await it.
        Children of one name are told apart by the order in which `start_child` was called."""
        # Counted now, and not when it is awaited.
        key = self._children.begin(type if name is None else name)
        return self._start_child(key, TaskSpec(type, input, **options), on_parent_end, timeout)

    async def _start_child(
        self, key: ChildKey, spec: TaskSpec, on_parent_end: OnParentEnd, timeout: float | None
    ) -> AsyncChild:
        async def send(spec: TaskSpec) -> AsyncChild:
            call = self._children.create(key, spec, on_parent_end)
            receipt = await asyncio.wrap_future(self._reporter.create_child(call, timeout))
            return AsyncChild(receipt, spec, self._reporter)

        await asyncio.wrap_future(self._reporter.begin_child())
        return await interceptors.submit(self._reporter.interceptors, spec, send)

    def run_child(
        self,
        type: str,
        input: Any = "",
        *,
        name: str | None = None,
        on_parent_end: OnParentEnd = "CANCEL",
        timeout: float | None = None,
        **options: Unpack[TaskOptions],
    ) -> Coroutine[Any, Any, Any]:
        """Starts a child, waits for its end without holding the handler's slot, and gives its result: await
        it. See `start_child` and `AsyncChild.result`."""
        started = self.start_child(
            type, input, name=name, on_parent_end=on_parent_end, timeout=timeout, **options
        )
        return _result_of(started)

    async def wait_children(
        self, children: Sequence[AsyncChild], count: int | None = None, rest: Rest = "KEEP"
    ) -> list[Task]:
        """Waits until so many of these children have completed, as `Context.wait_children` does. Cancelling
        gives the wait up."""
        return await Quorum(children, count, rest).wait_async(self._reporter)

    async def output(self, value: Any) -> None:
        """Gives a piece of output, as `Context.output` does."""
        chunks = chunks_of(value)
        if chunks:
            await asyncio.wrap_future(self._reporter.output(chunks))

    async def send(
        self,
        to: str,
        body: Any = "",
        *,
        headers: Mapping[str, str] | None = None,
        ttl: Seconds | None = None,
        request_id: str | None = None,
    ) -> MessageReceipt:
        """Sends a message as this agent; it is durable when this returns."""
        return await asyncio.wrap_future(
            self._reporter.send(message_send(to, body, headers, ttl, request_id))
        )


async def _result_of(started: Coroutine[Any, Any, AsyncChild]) -> Any:
    return await (await started).result()
