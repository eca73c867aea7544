"""Scripts of the attach protocol: a session, the frames that it sends, the actions that it wants, and a
clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from callboard import wire
from callboard.actions import Action
from callboard.errors import StatusError
from callboard.failure import WireFailure
from callboard.output import chunks_of
from callboard.payload import encode
from callboard.reports import Key
from callboard.session import Frame, Session
from callboard.settings import parse_addresses

A = TypeVar("A")

FEATURES = ("progress", "checkpoint", "slots", "drain", "steps", "children", "output")
LEASE = 9


def attempt(task: str, number: int = 1) -> wire.agent.Attempt:
    return wire.agent.Attempt(task_id=task, attempt=number, lease_token=f"token-{task}-{number}")


class Script:
    """One side of a conversation. `random` is always 1: jitter leaves the whole delay."""

    def __init__(
        self,
        slots: int = 2,
        addresses: str = "http://a:1",
        types: Sequence[str] = ("greet",),
        hold_acceptance: float = 0.0,
    ) -> None:
        profile = wire.agent.AgentProfile(
            name="agent-1", slots=slots, handles=[wire.agent.TaskHandler(type=type) for type in types]
        )
        self.now = 100.0
        self.session = Session(
            "default",
            profile,
            parse_addresses(addresses),
            lambda: 1.0,
            instance_id="i",
            hold_acceptance=hold_acceptance,
        )
        self.seen: list[Action] = []

    def actions(self) -> list[Action]:
        taken = self.session.take_actions()
        self.seen += taken
        return taken

    def only(self, kind: type[A]) -> list[A]:
        """The actions of a kind that are wanted now."""
        return [action for action in self.actions() if isinstance(action, kind)]

    def frames(self) -> list[Frame]:
        """All that the session wants to send now."""
        sent = []
        while (frame := self.session.next_frame(self.now)) is not None:
            sent.append(frame)
            self.session.tick(self.now)
        return sent

    def reports(self) -> list[wire.agent.Report]:
        """The reports that the session wants to send now."""
        return [report for frame in self.frames() for report in frame.reports.reports]

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)

    def attach(
        self,
        held: Sequence[wire.agent.Attempt] = (),
        features: Sequence[str] = FEATURES,
        epoch: int = 1,
    ) -> wire.agent.Hello:
        """Goes from detached to attached; gives the hello that was sent."""
        if self.session.state.value == "detached":
            if self.session.tick_at() is None:
                self.session.start(self.now)
            else:
                due = self.session.tick_at()
                assert due is not None
                self.later(max(0.0, due - self.now))
        frames = self.frames()
        assert [frame.WhichOneof("frame") for frame in frames] == ["hello"]
        welcome = wire.agent.Welcome(agent_id="id", session_epoch=epoch, held=held, features=features)
        welcome.lease.seconds = LEASE
        self.receive(welcome=welcome)
        return frames[0].hello

    def receive(self, **frame: Any) -> None:
        self.session.received(self.now, wire.agent.AttachResponse(**frame))

    def assign(self, *tasks: str, type: str = "greet", number: int = 1) -> None:
        assignments = [
            wire.agent.Assignment(attempt=attempt(task, number), spec=wire.task.TaskSpec(type=type))
            for task in tasks
        ]
        self.receive(assignments=wire.agent.AssignmentBatch(assignments=assignments))

    def receipt(
        self,
        report: wire.agent.Report,
        status: str = "COMMITTED",
        reason: str = "",
        message: str = "",
        state: str = "UNSPECIFIED",
    ) -> None:
        receipt = wire.agent.Receipt(
            report_id=report.report_id,
            attempt=report.attempt,
            status=f"RECEIPT_STATUS_{status}",
            reason=f"ERROR_REASON_{reason or 'UNSPECIFIED'}",
            message=message,
            state=f"TASK_STATE_{state}",
        )
        self.receive(receipts=wire.agent.ReceiptBatch(receipts=[receipt]))

    def cancel(self, task: str, reason: str, number: int = 1) -> None:
        cancellation = wire.agent.Cancellation(
            attempt=attempt(task, number), reason=f"CANCELLATION_REASON_{reason}"
        )
        self.receive(cancellations=wire.agent.CancellationBatch(cancellations=[cancellation]))

    def working(self, *tasks: str) -> None:
        """Attached, with these tasks running and their acceptance committed."""
        self.attach()
        self.assign(*tasks)
        for report in self.reports():
            self.receipt(report)
        self.actions()

    def complete(self, task: str, result: Any = "done") -> None:
        self.session.completed(self.now, Key(task, 1), encode(result, "result"))

    def fail(self, task: str, type: str = "Broken") -> None:
        self.session.failed(self.now, Key(task, 1), WireFailure(type=type))

    def checkpoint(self, task: str, value: Any, ticket: int) -> None:
        data = encode(value, "checkpoint")
        self.session.save(Key(task, 1), wire.agent.Report(checkpoint={"data": data}), ticket)

    def step(self, task: str, name: str, ticket: int) -> None:
        record = wire.step.StepRecord(name=name, result=encode(name, "result"))
        self.session.save(Key(task, 1), wire.agent.Report(step=record), ticket)

    def wait(self, task: str, child: str, ticket: int) -> None:
        self.session.wait(Key(task, 1), [child], 1, ticket)

    def wait_some(self, task: str, children: Sequence[str], count: int, ticket: int) -> None:
        self.session.wait(Key(task, 1), children, count, ticket)

    def stop_waiting(self, task: str, ticket: int) -> None:
        self.session.stop_waiting(self.now, Key(task, 1), ticket)

    def ends(self, *children: str, state: str = "COMPLETED") -> None:
        ends = [wire.agent.TaskEnd(task_id=child, state=f"TASK_STATE_{state}", run=1) for child in children]
        self.receive(task_ends=wire.agent.TaskEndBatch(ends=ends))

    def resumption(self, task: str, deadline: int = 0) -> None:
        resumption = wire.agent.Resumption(attempt=attempt(task))
        if deadline:
            resumption.deadline.seconds = deadline
        self.receive(resumptions=wire.agent.ResumptionBatch(resumptions=[resumption]))

    def output(self, task: str, value: Any, ticket: int) -> None:
        self.session.output(Key(task, 1), chunks_of(value), ticket)

    def progress(self, task: str, fraction: float) -> None:
        self.session.progressed(Key(task, 1), wire.agent.Progress(fraction=fraction))

    def drop(self, error: StatusError | None = None) -> None:
        self.session.disconnected(self.now, error)


def kinds(reports: Sequence[wire.agent.Report]) -> list[str]:
    return [str(report.WhichOneof("kind")) for report in reports]
