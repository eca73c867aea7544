"""The agent's side of the attach protocol, without any I/O: see section 6 of `sdk/SPEC.md`.

What happens is told to a `Session` (frames that came, handlers that ended, streams that broke, time that
passed); what is to be done about it is asked of it: `take_actions()` for handlers and streams, `next_frame()`
for the next frame to send (`send_at()` says when to ask again), `tick_at()` for when to call `tick()` again.
Time and randomness are passed in, so that every test is a script.

Frames are asked for one at a time, when the stream can take one: reports that wait meanwhile go out together,
and nothing piles up behind a slow connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import grpc

from callboard import wire
from callboard.actions import Action, Connect, Cut, End, Handle, SendSettled, StopHandling
from callboard.attempts import Attempts
from callboard.convert import duration_seconds
from callboard.errors import StatusError, status_error
from callboard.failure import WireFailure
from callboard.mail import Mail
from callboard.output import Chunk
from callboard.payload import Payload
from callboard.refusals import no_messages
from callboard.reports import Key
from callboard.retry import Backoff
from callboard.settings import Address
from callboard.states import Drain, State, Stream, usable

Frame: TypeAlias = wire.agent.AttachRequest

FEATURES = ("cancellation", "drain", "message_receipts", "steps", "children")
HOLD_ACCEPTANCE = 0.005
"""Seconds that an acceptance waits for the end of its handler, which implies it: then it is no report of its
own, and has no receipt."""
RECEIPTS_WITHIN = 5.0
"""Seconds that a drain waits for receipts once no handler runs."""


class Session:
    """The state machine. Every method that takes `now` takes the caller's monotonic clock, in seconds."""

    def __init__(
        self,
        namespace: str,
        profile: wire.agent.AgentProfile,
        addresses: Sequence[Address],
        random: Callable[[], float],
        drain_timeout: float = 30.0,
        instance_id: str = "",
        takes_messages: bool = False,
        hold_acceptance: float = HOLD_ACCEPTANCE,
    ) -> None:
        self._namespace = namespace
        self._profile = profile
        self._types = frozenset(handler.type for handler in profile.handles)
        self._addresses = tuple(addresses)
        self._next_address = 0
        # Endpoints of the latest drain notice that were not tried yet.
        self._named: deque[Address] = deque()
        self._backoff = Backoff(random)
        self._drain_timeout = drain_timeout
        self._instance_id = instance_id
        self._takes_messages = takes_messages

        self.state = State.DETACHED
        self.agent_id = ""
        self.epoch = 0
        self._connect_at: float | None = None
        self._stream = Stream(0.0, 0.0, 0.0)
        self._drain: Drain | None = None
        self._actions: list[Action] = []
        self._attempts = Attempts(profile.slots, random, self._lacks, self._actions, hold_acceptance)
        self._mail = Mail(random)

    # What happens.

    def start(self, now: float) -> None:
        """Begins; does nothing when it was stopped before."""
        self._connect_at = now
        self.tick(now)

    def disconnected(self, now: float, error: StatusError | None) -> None:
        """The stream ended or could not be opened; with its status unless that was OK."""
        if self.state in (State.DETACHED, State.STOPPED):
            return
        if error is not None and self._stream.is_fatal(error):
            self._end(error)
            return
        self._detach(now, self._backoff.delay())
        self.tick(now)

    def received(self, now: float, frame: wire.agent.AttachResponse) -> None:
        """A frame came."""
        if self.state not in (State.HELLO, State.ATTACHED):
            return
        self._stream.last_received = now
        kind = frame.WhichOneof("frame")
        if kind == "welcome":
            self._welcome(now, frame.welcome)
        elif self.state is State.ATTACHED:
            if kind == "assignments":
                for assignment in frame.assignments.assignments:
                    self._attempts.assigned(now, assignment, self._refusal(assignment))
            elif kind == "receipts":
                self._attempts.receipts(now, frame.receipts.receipts)
            elif kind == "cancellations":
                for cancellation in frame.cancellations.cancellations:
                    self._attempts.cancelled(cancellation)
            elif kind == "task_ends":
                self._attempts.task_ends(now, frame.task_ends.ends)
            elif kind == "resumptions":
                self._attempts.resumptions(frame.resumptions.resumptions)
            elif kind == "messages" and self._takes_messages:
                for message in frame.messages.messages:
                    self._mail.deliver(message)
            elif kind == "message_receipts":
                self._message_receipts(now, frame.message_receipts)
            elif kind == "drain":
                self._server_drains(now, frame.drain.endpoints)
        self.tick(now)

    def completed(self, now: float, key: Key, result: Payload) -> None:
        """A handler ended with a result."""
        report = wire.agent.Report()
        report.completed.result.CopyFrom(result)
        self._attempts.ended(key, report)
        self.tick(now)

    def failed(self, now: float, key: Key, failure: WireFailure) -> None:
        """A handler ended with an error."""
        self._attempts.ended(key, wire.agent.Report(failed=wire.agent.FailureReport(failure=failure)))
        self.tick(now)

    def progressed(self, key: Key, progress: wire.agent.Progress) -> None:
        """A handler told how far it is. The latest wins."""
        self._attempts.progressed(key, progress)

    def save(self, key: Key, save: wire.agent.Report, ticket: int) -> None:
        """A handler wants a checkpoint or a step saved; `ReportSettled` with the ticket tells what became of
        it."""
        self._attempts.save(key, save, ticket)

    def refusal(self, key: Key, kind: str) -> StatusError | None:
        """Why this attempt can't have a `checkpoint`, a `step` (a `recorded` one), `children` or `output`
        now, if so."""
        return self._attempts.refusal(key, kind)

    def output(self, key: Key, chunks: list[Chunk], ticket: int) -> None:
        """A handler gives output; `ReportSettled` with the ticket tells that it is in the buffer, or why it
        isn't."""
        self._attempts.output(key, chunks, ticket)

    def wait(self, key: Key, children: Sequence[str], count: int, ticket: int) -> None:
        """A handler waits until so many of these children have completed, or can't any more; `WaitSettled`
        with the ticket tells how they ended, when the handler may go on."""
        self._attempts.wait(key, children, count, ticket)

    def stop_waiting(self, now: float, key: Key, ticket: int) -> None:
        """Whoever waited for children does so no longer."""
        self._attempts.stop_waiting(now, key, ticket)

    def followed(self, now: float, outcome: wire.agent.TaskEnd | tuple[str, StatusError]) -> None:
        """A task that was waited for by calls has ended, or could not be waited for."""
        if isinstance(outcome, tuple):
            self._attempts.follow_failed(now, *outcome)
        else:
            self._attempts.task_ends(now, [outcome])

    def send(self, send: wire.message.MessageSend, ticket: int) -> None:
        """A handler sends a message; `SendSettled` with the ticket tells what became of it."""
        if self.state is State.STOPPED:
            error = status_error(grpc.StatusCode.UNAVAILABLE, "the agent has stopped")
            self._actions.append(SendSettled(ticket, error))
        elif self._lacks("messages"):
            self._actions.append(SendSettled(ticket, no_messages()))
        else:
            self._mail.send(send, ticket)

    def handled(self, now: float, message_id: str, ok: bool) -> bool:
        """The handler of a message has ended; `ok` when without an error. False when the message failed too
        often, and is given up."""
        kept = self._mail.finish(now, message_id, ok)
        self.tick(now)
        return kept

    def drain(self, now: float, timeout: float | None = None) -> None:
        """The agent takes nothing new and ends when what it has is done, or the time is over."""
        if self._drain is None and self.state is not State.STOPPED:
            self._drain = Drain(now + (self._drain_timeout if timeout is None else timeout))
            self.tick(now)

    def stop(self) -> None:
        """Ends at once; what was running is requeued by the server."""
        if self.state is not State.STOPPED:
            self._end(None)

    def tick(self, now: float) -> None:
        """Time passed: does whatever is due."""
        if self.state is State.STOPPED:
            return
        self._attempts.tick(now)
        if self._drain is not None:
            self._tick_drain(now, self._drain)
        elif self._takes_messages and (message := self._mail.start(now)) is not None:
            self._actions.append(Handle(message))
        if self.state is State.DETACHED and self._connect_at is not None and now >= self._connect_at:
            self._connect(now)
        elif self._is_silent(now):
            self._actions.append(Cut())
            self._detach(now, self._backoff.delay())

    # What is to be done.

    def take_actions(self) -> list[Action]:
        """What to do now, in this order."""
        self._attempts.settle()
        for ticket, outcome in self._mail.take_settled():
            self._actions.append(SendSettled(ticket, outcome))
        actions = list(self._actions)
        self._actions.clear()
        return actions

    def next_frame(self, now: float) -> Frame | None:
        """The next frame to send, if there is one. Ask when the stream can take it: asking means sending."""
        frame = self._next_frame(now)
        if frame is not None:
            self._stream.last_sent = now
        return frame

    def tick_at(self) -> float | None:
        """When `tick` is due at the latest; None when only an event can change something."""
        times: list[float] = []
        if self.state is State.DETACHED and self._connect_at is not None:
            times.append(self._connect_at)
        elif self._has_stream():
            times.append(self._stream.silent_at())
        if self._drain is not None and self.state is not State.STOPPED:
            times.append(self._drain.due())
        if (due := self._attempts.tick_at()) is not None:
            times.append(due)
        again = self._mail.start_at()
        if again is not None and self._drain is None and self.state is not State.STOPPED:
            times.append(again)
        return min(times, default=None)

    def send_at(self) -> float | None:
        """When `next_frame` has one at the latest, after it had none; None when only an event can bring
        one."""
        if self.state is not State.ATTACHED:
            return None
        times = [self._stream.last_sent + self._stream.lease / 3]
        if not self._lacks("messages") and (due := self._mail.send_at()) is not None:
            times.append(due)
        if (due := self._attempts.reports_at()) is not None:
            times.append(due)
        return min(times)

    @property
    def readiness(self) -> str:
        """Whether it takes tasks, in the word that a probe is told."""
        if self.state is State.STOPPED:
            return "stopped"
        if self._drain is not None:
            return "draining"
        return "attached" if self.state is State.ATTACHED else "connecting"

    def running(self) -> list[Key]:
        """The attempts whose handlers run."""
        return self._attempts.running()

    # Streams.

    def _connect(self, now: float) -> None:
        named = bool(self._named)
        if named:
            address = self._named.popleft()
        else:
            address = self._addresses[self._next_address]
            self._next_address = (self._next_address + 1) % len(self._addresses)
        self.state = State.CONNECTING
        self._connect_at = None
        self._stream = Stream(opened=now, last_sent=now, last_received=now, named=named)
        self._actions.append(Connect(address))

    def _detach(self, now: float, delay: float) -> None:
        self.state = State.DETACHED
        self._connect_at = now + delay
        self._attempts.detached()

    def _is_silent(self, now: float) -> bool:
        return self._has_stream() and now >= self._stream.silent_at()

    def _has_stream(self) -> bool:
        return self.state in (State.CONNECTING, State.HELLO, State.ATTACHED)

    def _server_drains(self, now: float, endpoints: Iterable[str]) -> None:
        self._named = usable(endpoints)
        self._actions.append(Cut())
        self._detach(now, self._backoff.delay() if self._stream.is_brief(now) else 0.0)

    def _end(self, error: StatusError | None) -> None:
        self.state = State.STOPPED
        self._attempts.give_up("the agent stops")
        self._mail.give_up(status_error(grpc.StatusCode.UNAVAILABLE, "the agent stops"))
        if self._mail.running():
            self._mail.abort()
            self._actions.append(StopHandling())
        self._actions.append(End(error))

    # Frames that come.

    def _welcome(self, now: float, welcome: wire.agent.Welcome) -> None:
        if self.state is not State.HELLO:
            return
        self.state = State.ATTACHED
        self.agent_id = welcome.agent_id
        self.epoch = welcome.session_epoch
        self._named.clear()
        self._stream.welcomed = now
        self._stream.features = frozenset(welcome.features)
        self._stream.lease = duration_seconds(welcome.lease) or self._stream.lease
        self._backoff.reset()
        self._attempts.welcomed(now, welcome.held)
        self._mail.send_all_again()
        if self._lacks("messages"):
            self._mail.give_up(no_messages())
        if self._drain is not None:
            self._drain.announced = self._drain.closed_slots = False

    def _refusal(self, assignment: wire.agent.Assignment) -> str:
        if self._drain is not None:
            return "drain"
        if assignment.spec.type not in self._types and "*" not in self._types:
            return f"no handler takes the task type {assignment.spec.type!r}"
        return ""

    def _message_receipts(self, now: float, batch: wire.message.MessageReceiptBatch) -> None:
        for receipt in batch.sent:
            self._mail.sent(now, receipt)
        self._mail.acknowledged(batch.acknowledged_ids)
        self._mail.acknowledge_again(now, batch.retry_ids)

    # Drain.

    def _tick_drain(self, now: float, drain: Drain) -> None:
        ours = self._attempts.ours()
        if self._mail.running() and now >= drain.handlers_until:
            self._mail.abort()
            self._actions.append(StopHandling())
        if ours and now >= drain.handlers_until:
            self._attempts.hand_back("the agent stops", "drain")
            ours = []
        if ours or self._mail.running():
            return
        if drain.receipts_until is None:
            drain.receipts_until = now + RECEIPTS_WITHIN
        # The server hears of the drain before the stream's end: it hands what it was just pushing to others
        # at once.
        told = drain.announced or self.state is not State.ATTACHED
        if (told and self._attempts.all_receipted() and self._mail.idle()) or now >= drain.receipts_until:
            self._end(None)

    # Frames that go.

    def _next_frame(self, now: float) -> Frame | None:
        if self.state is State.CONNECTING:
            self.state = State.HELLO
            return Frame(hello=self._hello())
        if self.state is not State.ATTACHED:
            return None
        if self._drain is not None and not self._drain.announced:
            frame = self._drain_frame(self._drain)
            if frame is not None:
                return frame
        if not self._lacks("messages"):
            handled = self._mail.take_acknowledgements(now)
            if handled:
                return Frame(acknowledgements=wire.message.MessageAcknowledgementBatch(message_ids=handled))
            sends = self._mail.take_sends(now)
            if sends:
                return Frame(messages=wire.message.MessageSendBatch(messages=sends))
        if awaits := self._attempts.take_awaits():
            return Frame(awaits=wire.agent.TaskAwaitBatch(task_ids=awaits))
        reports = self._attempts.take_reports(now)
        if reports:
            frame = Frame()
            frame.reports.reports.extend(reports)
            return frame
        if now >= self._stream.last_sent + self._stream.lease / 3:
            return Frame(heartbeat=wire.agent.Heartbeat())
        return None

    def _drain_frame(self, drain: Drain) -> Frame | None:
        """Says that the agent drains. The server ends the stream of an agent that has drained and has no
        attempt left: while a message is being handled, or has no receipt, it is only told to give nothing
        more."""
        if not self._mail.idle() and not self._lacks("messages"):
            if drain.closed_slots or self._lacks("slots"):
                return None
            drain.closed_slots = True
            return Frame(slots=wire.agent.SlotsChange(slots=0))
        drain.announced = True
        return None if self._lacks("drain") else Frame(drain=wire.agent.DrainRequest())

    def _hello(self) -> wire.agent.Hello:
        return wire.agent.Hello(
            namespace=self._namespace,
            profile=self._profile,
            held=self._attempts.held(),
            features=(*FEATURES, "messages") if self._takes_messages else FEATURES,
            previous_epoch=self.epoch,
            instance_id=self._instance_id,
        )

    def _lacks(self, feature: str) -> bool:
        """Whether the server is known not to take such frames. While detached nobody knows."""
        return self.state is State.ATTACHED and feature not in self._stream.features
