"""The attempts that an agent has, without any I/O: what their handlers report, what the server says of them,
and who is told what. See sections 6 and 8 to 10 of `sdk/SPEC.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from callboard import wire
from callboard.actions import Action, Follow, Prolong, ReportSettled, Start, Stop, WaitDecided, WaitSettled
from callboard.convert import enum_name
from callboard.errors import StatusError
from callboard.output import Chunk, Output
from callboard.refusals import follow_up, lease_lost, refused, takes_no, untaken
from callboard.reports import Kept, Key, Outbox, Settled, key_of
from callboard.states import Attempt
from callboard.waiting import Waiting

Reason = wire.agent.CancellationReason


class Attempts:
    """The attempts of one agent. `lacks` tells whether the server is known not to take something; what is to
    be done is added to `actions`."""

    def __init__(
        self,
        slots: int,
        random: Callable[[], float],
        lacks: Callable[[str], bool],
        actions: list[Action],
        hold_acceptance: float,
    ) -> None:
        self._attempts: dict[Key, Attempt] = {}
        self._outbox = Outbox(limit=max(1, slots) * 4, random=random)
        self._waiting = Waiting(self._outbox)
        self._outputs: dict[Key, Output] = {}
        self._given: list[tuple[int, StatusError | None]] = []
        # Those that have progress to tell.
        self._progressing: dict[Key, Attempt] = {}
        self._lacks = lacks
        self._actions = actions
        # Those whose acceptance is held back, until when: the earliest first.
        self._unaccepted: dict[Key, float] = {}
        self._hold_acceptance = hold_acceptance

    def ours(self) -> list[Key]:
        """Those that run under their lease."""
        return [key for key, attempt in self._attempts.items() if attempt.is_ours()]

    def running(self) -> list[Key]:
        """Those whose handlers run."""
        return [key for key, attempt in self._attempts.items() if attempt.running]

    def held(self) -> list[wire.agent.Attempt]:
        """Those that a hello lists: they run, or have reports without a receipt."""
        return [
            attempt.lease
            for key, attempt in self._attempts.items()
            if attempt.is_ours() or self._outbox.has(key)
        ]

    def all_receipted(self) -> bool:
        """Whether no report waits for its receipt."""
        return self._outbox.empty()

    # What handlers say.

    def ended(self, key: Key, report: wire.agent.Report) -> None:
        """A handler ended, and this tells how."""
        attempt = self._attempts.get(key)
        if attempt is None or not attempt.running:
            return
        attempt.running = False
        self._forget_progress(key, attempt)
        if not attempt.closed:
            attempt.closed = True
            if self._waiting.has(key) or self._outbox.is_full():
                # What a handler that ended still waits for it doesn't want any more.
                why = lease_lost("the handler has ended")
                self._waiting.lose(key, why)
                self._outbox.drop_waiting(key, why)
            self._report_output(key)
            # An acceptance that has not left need not be sent: the end implies it.
            if self._unaccepted.pop(key, None) is None:
                self._outbox.recall(attempt.accepted_id)
            report.attempt.CopyFrom(attempt.lease)
            self._outbox.add(report)
        self._forget_if_done(key, attempt)

    def progressed(self, key: Key, progress: wire.agent.Progress) -> None:
        """A handler told how far it is. The latest wins."""
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.is_ours():
            self._accept(key)
            attempt.progress = progress
            self._progressing[key] = attempt

    def refusal(self, key: Key, kind: str) -> StatusError | None:
        """Why an attempt can't have a `checkpoint`, a `step` (a `recorded` one), `children` or `output` now,
        if so."""
        attempt = self._attempts.get(key)
        if attempt is None or not attempt.is_ours():
            return lease_lost("the lease is lost")
        return untaken(kind, attempt, self._lacks)

    def save(self, key: Key, save: wire.agent.Report, ticket: int) -> None:
        """A handler wants a checkpoint or a step saved; its ticket is settled when that is committed."""
        refusal = self.refusal(key, str(save.WhichOneof("kind")))
        if refusal is not None:
            self._actions.append(ReportSettled(ticket, refusal))
            return
        self._accept(key)
        self._report_output(key)
        save.attempt.CopyFrom(self._attempts[key].lease)
        self._outbox.add_save(save, ticket)

    def output(self, key: Key, chunks: list[Chunk], ticket: int) -> None:
        """A handler gives output; its ticket is settled when that is in the buffer."""
        refusal = self.refusal(key, "output")
        if refusal is not None:
            self._actions.append(ReportSettled(ticket, refusal))
            return
        self._accept(key)
        output = self._outputs.get(key)
        if output is None:
            output = self._outputs[key] = Output(self._attempts[key].lease, self._outbox, self._given)
        output.give(chunks, ticket)

    def wait(self, key: Key, children: Sequence[str], count: int, ticket: int) -> None:
        """A handler waits until so many of these children have completed, or can't any more; its ticket is
        settled when that is so, and the handler may go on."""
        attempt = self._attempts.get(key)
        if attempt is None or not attempt.is_ours():
            self._actions.append(WaitSettled(ticket, lease_lost("the lease is lost")))
        else:
            self._accept(key)
            calls = self._lacks("children")
            self._waiting.begin(key, attempt.lease, children, count, ticket, calls)

    def stop_waiting(self, now: float, key: Key, ticket: int) -> None:
        """Whoever waited for children does so no longer."""
        self._waiting.give_up(now, key, ticket)

    def follow_failed(self, now: float, task_id: str, error: StatusError) -> None:
        """A task could not be waited for by calls."""
        self._waiting.failed(now, task_id, error)

    # What the server says.

    def assigned(self, now: float, assignment: wire.agent.Assignment, refusal: str) -> None:
        """It gives an attempt; `refusal` is why it is handed back at once, if so."""
        key = key_of(assignment.attempt)
        if key in self._attempts:
            return
        attempt = Attempt(lease=assignment.attempt, has_steps=not self._lacks("steps"))
        self._attempts[key] = attempt
        if refusal:
            report = wire.agent.Report(attempt=attempt.lease)
            report.rejected.reason = refusal
            attempt.running, attempt.closed = False, True
            self._outbox.add(report)
            return
        self._unaccepted[key] = now + self._hold_acceptance
        self._actions.append(Start(key, assignment))

    def receipts(self, now: float, receipts: Iterable[wire.agent.Receipt]) -> None:
        """It has decided reports."""
        for receipt in receipts:
            kept = self._outbox.find(receipt.report_id)
            settled = self._outbox.receipt(now, receipt)
            if kept is not None:
                settled = self._decided(kept, receipt, settled)
            key = key_of(receipt.attempt) if kept is None else kept.key
            attempt = self._attempts.get(key)
            if attempt is None:
                continue
            if settled is Settled.REFUSED and attempt.is_ours():
                self._close(key, attempt, receipt.message or "a report was refused")
            self._forget_if_done(key, attempt)

    def _decided(self, kept: Kept, receipt: wire.agent.Receipt, settled: Settled | None) -> Settled | None:
        """What follows from what became of a report, by its kind. Gives what it counts as."""
        if kept.kind == "completed":
            if settled is Settled.REFUSED and (failure := follow_up(kept.report, receipt)) is not None:
                self._outbox.add(failure)
        elif kept.kind == "resume":
            if settled is Settled.COMMITTED:
                self._waiting.receipted(kept.key, receipt)
        elif kept.kind == "output" and (output := self._outputs.get(kept.key)) is not None:
            return self._output_decided(kept.key, output, kept.report, receipt, settled)
        return settled

    def _output_decided(
        self,
        key: Key,
        output: Output,
        report: wire.agent.Report,
        receipt: wire.agent.Receipt,
        settled: Settled | None,
    ) -> Settled | None:
        if output.is_refused:
            # What was on its way behind what was refused leaves a gap, and is refused for that.
            return Settled.PART_REFUSED
        if settled is Settled.PART_REFUSED:
            error = refused(report, receipt)
            output.refuse(error)
            self._outbox.give_up_kinds({"output"}, error, key)
        elif settled is Settled.COMMITTED:
            output.receipted(receipt.report_id)
        return settled

    def cancelled(self, cancellation: wire.agent.Cancellation) -> None:
        """It wants an attempt stopped."""
        key = key_of(cancellation.attempt)
        attempt = self._attempts.get(key)
        if attempt is None or not attempt.is_ours():
            return
        why = cancellation.message or enum_name(Reason, cancellation.reason, "CANCELLATION_REASON_")
        if cancellation.reason == Reason.CANCELLATION_REASON_REQUESTED:
            if not attempt.cancel_requested:
                attempt.cancel_requested = True
                self._actions.append(Stop(key, why, reported=True))
        elif cancellation.reason in (
            Reason.CANCELLATION_REASON_LEASE_LOST,
            Reason.CANCELLATION_REASON_TIMED_OUT,
        ):
            self._close(key, attempt, why)

    def task_ends(self, now: float, ends: Iterable[wire.agent.TaskEnd]) -> None:
        """Tasks that were awaited have ended."""
        for end in ends:
            self._waiting.ended(now, end)

    def resumptions(self, resumptions: Iterable[wire.agent.Resumption]) -> None:
        """Paused attempts have a slot again."""
        for resumption in resumptions:
            key = key_of(resumption.attempt)
            if key not in self._attempts:
                continue
            if resumption.HasField("deadline"):
                self._actions.append(Prolong(key, resumption.deadline))
            self._waiting.resumed(key)

    def welcomed(self, now: float, still_ours: Iterable[wire.agent.Attempt]) -> None:
        """A new stream begins: what has no receipt is sent again, and what this server doesn't take is given
        up."""
        held = {key_of(attempt) for attempt in still_ours}
        for key, attempt in self._attempts.items():
            if key not in held and attempt.is_ours():
                self._close(key, attempt, "the lease was lost while the agent was away")
        self._outbox.send_all_again()
        if self._lacks("steps"):
            self._outbox.give_up_kinds({"step"}, takes_no("steps"))
        if self._lacks("output"):
            self._give_up_output()
        if self._lacks("children"):
            self._outbox.give_up_kinds({"pause", "resume"}, takes_no("children"))
            self._waiting.attached_without()
        else:
            self._waiting.attached(now)
        for key, attempt in list(self._attempts.items()):
            self._forget_if_done(key, attempt)

    def _give_up_output(self) -> None:
        """What was given and not committed is lost: the whole attempt takes no more, lest its output have a
        gap."""
        error = takes_no("output")
        for output in self._outputs.values():
            output.refuse(error)
        self._outbox.give_up_kinds({"output"}, error)

    def detached(self) -> None:
        """The stream is over. Progress isn't kept across streams."""
        for attempt in self._progressing.values():
            attempt.progress = None
        self._progressing.clear()

    # The end of all.

    def hand_back(self, why: str, reason: str) -> None:
        """The agent waits for its handlers no longer: others are to have what they do."""
        for key in self.ours():
            attempt = self._attempts[key]
            self._report_output(key)
            self._close(key, attempt, why)
            report = wire.agent.Report(attempt=attempt.lease)
            report.rejected.reason = reason
            self._outbox.add(report)

    def give_up(self, why: str) -> None:
        """Nothing more is told or heard of any."""
        for key in self.ours():
            self._close(key, self._attempts[key], why)
        self._outbox.give_up(lease_lost(why))

    # What is to be done.

    def tick(self, now: float) -> None:
        """Time passed."""
        self._waiting.tick(now)

    def tick_at(self) -> float | None:
        """When `tick` is due."""
        return self._waiting.due_at()

    def settle(self) -> None:
        """Adds what handlers are to be told to the actions."""
        for ticket, error in self._outbox.take_settled():
            self._actions.append(ReportSettled(ticket, error))
        for ticket, error in self._given:
            self._actions.append(ReportSettled(ticket, error))
        self._given.clear()
        for ticket, ends in self._waiting.take_decided():
            self._actions.append(WaitDecided(ticket, ends))
        for ticket, outcome in self._waiting.take_settled():
            self._actions.append(WaitSettled(ticket, outcome))
        for task_id in self._waiting.take_follows():
            self._actions.append(Follow(task_id))

    def take_awaits(self) -> list[str]:
        """Tasks whose ends the server is asked to tell."""
        return [] if self._lacks("children") else self._waiting.take_awaits()

    def take_reports(self, now: float) -> list[wire.agent.Report]:
        """The reports to send now, in one frame."""
        for key in [key for key, until in self._unaccepted.items() if until <= now]:
            self._accept(key)
        for output in self._outputs.values():
            output.report_due(now)
        return self._outbox.take(now) + self._due_progress(now)

    def reports_at(self) -> float | None:
        """When `take_reports` has some at the latest, after it had none."""
        times = [output.due_at() for output in self._outputs.values()]
        if not self._lacks("progress"):
            times += [attempt.progress_due for attempt in self._progressing.values()]
        times.append(self._outbox.due_at())
        times.append(next(iter(self._unaccepted.values()), None))
        return min((time for time in times if time is not None), default=None)

    def _due_progress(self, now: float) -> list[wire.agent.Report]:
        if not self._progressing or self._lacks("progress"):
            return []
        reports = []
        for key, attempt in list(self._progressing.items()):
            report = attempt.take_progress(now)
            if report is not None:
                report.report_id = self._outbox.new_id()
                reports.append(report)
                del self._progressing[key]
        return reports

    # One attempt.

    def _accept(self, key: Key) -> None:
        """Reports that an attempt was accepted, if that was held back. It goes ahead of all else that is
        reported of it."""
        if self._unaccepted.pop(key, None) is not None:
            attempt = self._attempts[key]
            report = wire.agent.Report(attempt=attempt.lease)
            report.accepted.SetInParent()
            attempt.accepted_id = self._outbox.add(report)

    def _close(self, key: Key, attempt: Attempt, why: str) -> None:
        """The attempt isn't ours any more: its handler is to stop, and nothing more is reported of it."""
        attempt.closed = True
        self._unaccepted.pop(key, None)
        self._forget_progress(key, attempt)
        error = lease_lost(why)
        self._outbox.lose(key, error)
        self._waiting.lose(key, error)
        output = self._outputs.pop(key, None)
        if output is not None:
            output.refuse(error)
        self._actions.append(Stop(key, why, reported=False))

    def _report_output(self, key: Key) -> None:
        """What was given as output stands before what is reported now."""
        output = self._outputs.get(key)
        if output is not None:
            output.report_all()

    def _forget_progress(self, key: Key, attempt: Attempt) -> None:
        attempt.progress = None
        self._progressing.pop(key, None)

    def _forget_if_done(self, key: Key, attempt: Attempt) -> None:
        if not attempt.running and not self._outbox.has(key):
            self._attempts.pop(key, None)
            self._outputs.pop(key, None)
