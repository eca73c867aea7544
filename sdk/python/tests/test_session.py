"""The agent's state machine, as scripts."""

from __future__ import annotations

import grpc
import pytest
from script import LEASE, Script, attempt, kinds

from callboard import wire
from callboard.actions import Connect, Cut, End, ReportSettled, Start, Stop
from callboard.errors import status_error
from callboard.reports import Key
from callboard.states import State

UNAVAILABLE = status_error(grpc.StatusCode.UNAVAILABLE, "gone")


def test_says_hello_and_nothing_else_before_the_welcome() -> None:
    s = Script()
    s.session.start(s.now)
    assert [c.address.url for c in s.only(Connect)] == ["http://a:1"]
    (frame,) = s.frames()
    assert frame.hello.profile.name == "agent-1"
    assert list(frame.hello.features) == ["cancellation", "drain", "message_receipts", "steps", "children"]
    assert frame.hello.previous_epoch == 0
    s.later(5)
    assert s.frames() == []


def test_tries_the_next_address_when_no_welcome_comes() -> None:
    s = Script(addresses="http://a:1,http://b:2")
    s.session.start(s.now)
    s.frames()
    s.later(9.9)
    assert [c.address.url for c in s.only(Connect)] == ["http://a:1"]
    s.later(0.1)
    assert s.only(Cut) == [Cut()]
    assert s.session.state is State.DETACHED
    s.later(0.1)
    assert [c.address.url for c in s.only(Connect)] == ["http://b:2"]


def test_backs_off_doubling_and_a_welcome_resets_it() -> None:
    s = Script()
    s.session.start(s.now)
    delays = []
    for _ in range(8):
        s.drop(UNAVAILABLE)
        due = s.session.tick_at()
        assert due is not None
        delays.append(round(due - s.now, 3))
        s.later(due - s.now)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    s.attach()
    s.drop(UNAVAILABLE)
    assert s.session.tick_at() == pytest.approx(s.now + 0.1)


def test_an_assignment_is_accepted_and_started_at_once() -> None:
    s = Script()
    s.attach()
    s.assign("t1", "t2")
    assert [start.key.task_id for start in s.only(Start)] == ["t1", "t2"]
    (frame,) = s.frames()
    assert kinds(frame.reports.reports) == ["accepted", "accepted"]
    assert frame.reports.reports[0].attempt == attempt("t1")


def test_the_same_attempt_coming_twice_runs_once() -> None:
    s = Script()
    s.attach()
    s.assign("t1")
    s.assign("t1")
    assert len(s.only(Start)) == 1
    assert kinds(s.reports()) == ["accepted"]


def test_a_type_without_a_handler_is_rejected() -> None:
    s = Script()
    s.attach()
    s.assign("t1", type="sing")
    assert s.only(Start) == []
    (report,) = s.reports()
    assert "sing" in report.rejected.reason
    s.receipt(report)
    assert s.session.running() == []


def test_a_star_takes_any_type() -> None:
    s = Script(types=["*"])
    s.attach()
    s.assign("t1", type="sing")
    assert len(s.only(Start)) == 1


def test_a_heartbeat_when_nothing_was_sent_for_a_third_of_the_lease() -> None:
    s = Script()
    s.attach()
    assert s.session.send_at() == pytest.approx(s.now + LEASE / 3)
    s.later(LEASE / 3 - 0.01)
    assert s.frames() == []
    s.later(0.01)
    assert [f.WhichOneof("frame") for f in s.frames()] == ["heartbeat"]
    s.later(2)
    s.assign("t1")
    s.reports()
    s.later(2)
    assert s.frames() == []


def test_a_silent_server_is_cut_after_a_lease() -> None:
    s = Script()
    s.attach()
    s.later(5)
    s.receive(heartbeat=wire.agent.Heartbeat())
    s.later(LEASE - 0.01)
    assert s.only(Cut) == []
    s.later(0.01)
    assert len(s.only(Cut)) == 1
    assert s.session.state is State.DETACHED


def test_comes_back_with_its_running_attempts_and_epoch() -> None:
    s = Script()
    s.working("t1", "t2")
    s.drop(UNAVAILABLE)
    hello = s.attach(held=[attempt("t1")], epoch=2)
    assert list(hello.held) == [attempt("t1"), attempt("t2")]
    assert (hello.previous_epoch, hello.instance_id) == (1, "i")
    assert [(stop.key.task_id, stop.reported) for stop in s.only(Stop)] == [("t2", False)]
    s.complete("t2")
    assert s.reports() == []
    s.complete("t1")
    assert kinds(s.reports()) == ["completed"]


def test_reports_without_a_receipt_are_sent_again_in_order_with_their_ids() -> None:
    s = Script()
    s.attach()
    s.assign("t1", "t2")
    first = s.reports()
    s.complete("t1")
    s.checkpoint("t2", {"step": 1}, ticket=7)
    first += s.reports()
    assert kinds(first) == ["accepted", "accepted", "completed", "checkpoint"]
    s.receipt(first[0])
    s.drop()
    s.fail("t2")
    # Also those of attempts that are not held any more.
    hello = s.attach(held=[], epoch=2)
    assert list(hello.held) == [attempt("t1"), attempt("t2")]
    again = s.reports()
    assert kinds(again) == ["accepted", "completed", "checkpoint", "failed"]
    assert [r.report_id for r in again[:3]] == [r.report_id for r in first[1:]]
    for report in again:
        s.receipt(report)
    assert s.only(ReportSettled) == [ReportSettled(7, None)]
    s.drop()
    assert list(s.attach(epoch=3).held) == []
    assert s.reports() == []


def test_an_acceptance_that_never_left_is_not_sent_behind_the_end() -> None:
    s = Script()
    s.attach()
    s.assign("t1")
    s.complete("t1")
    (completed,) = s.reports()
    assert kinds([completed]) == ["completed"]
    s.receipt(completed)
    s.assign("t1")
    assert len(s.only(Start)) == 2, "nothing of it is left"


def test_a_retry_receipt_repeats_the_report_with_backoff() -> None:
    s = Script()
    s.working("t1")
    s.complete("t1")
    for delay in (0.1, 0.2, 0.4):
        (report,) = s.reports()
        s.receipt(report, "RETRY")
        assert s.reports() == []
        assert s.session.send_at() == pytest.approx(s.now + delay)
        s.later(delay)
    assert kinds(s.reports()) == ["completed"]


def test_behind_a_report_that_is_repeated_the_later_ones_wait() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    (first,) = s.reports()
    s.receipt(first, "RETRY")
    s.checkpoint("t1", 2, ticket=2)
    s.complete("t1")
    assert s.reports() == []
    s.later(0.1)
    again = s.reports()
    assert kinds(again) == ["checkpoint", "checkpoint", "completed"]
    assert again[0].report_id == first.report_id
    # The others follow at once: they are in order again.


def test_a_newer_checkpoint_is_never_replaced_by_a_repeated_older_one() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.checkpoint("t1", 2, ticket=2)
    first, second = s.reports()
    s.receipt(first, "RETRY")
    s.later(1)
    assert s.reports() == []
    s.receipt(second)
    assert s.only(ReportSettled) == [ReportSettled(2, None), ReportSettled(1, None)]
    assert s.reports() == []


def test_a_refused_report_cancels_its_handler_and_nothing_more_is_reported() -> None:
    s = Script()
    s.attach()
    s.assign("t1")
    (accepted,) = s.reports()
    s.actions()
    s.receipt(accepted, "REFUSED")
    assert [(stop.key.task_id, stop.reported) for stop in s.only(Stop)] == [("t1", False)]
    s.fail("t1")
    assert s.reports() == []
    assert s.session.running() == []


def test_refused_progress_cancels_its_handler() -> None:
    s = Script()
    s.working("t1")
    s.progress("t1", 0.5)
    (report,) = s.reports()
    s.receipt(report, "REFUSED")
    assert len(s.only(Stop)) == 1


def test_a_refused_checkpoint_fails_for_whoever_saved_it() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    (report,) = s.reports()
    s.receipt(report, "REFUSED")
    stop, settled = s.actions()
    assert isinstance(stop, Stop)
    assert isinstance(settled, ReportSettled) and settled.error is not None


def test_a_failure_in_place_of_a_result_waits_behind_what_is_repeated() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.complete("t1")
    checkpoint, completed = s.reports()
    s.receipt(checkpoint, "RETRY")
    s.receipt(completed, "REFUSED", "INVALID_FIELD")
    assert s.reports() == []
    s.later(0.1)
    assert kinds(s.reports()) == ["checkpoint", "failed"]


@pytest.mark.parametrize("reason", ["INVALID_FIELD", "PAYLOAD_TOO_LARGE"])
def test_a_result_that_is_refused_for_what_it_holds_fails_its_attempt(reason: str) -> None:
    s = Script()
    s.working("t1")
    s.complete("t1")
    (completed,) = s.reports()
    s.receipt(completed, "REFUSED", reason, "result is wrong")
    # Once, also when the receipt comes twice.
    s.receipt(completed, "REFUSED", reason, "result is wrong")
    (report,) = s.reports()
    failure = report.failed.failure
    assert (failure.type, failure.message, failure.retryable) == ("InvalidResult", "result is wrong", False)
    assert report.attempt == attempt("t1") and report.report_id > completed.report_id
    # It is kept like any other, and nothing follows it when it is refused, too.
    s.drop()
    assert list(s.attach(held=[attempt("t1")], epoch=2).held) == [attempt("t1")]
    assert s.reports() == [report]
    s.receipt(report, "REFUSED", reason)
    assert s.reports() == []
    assert s.session.running() == []


def test_a_stale_result_is_just_refused() -> None:
    s = Script()
    s.working("t1")
    s.complete("t1")
    (completed,) = s.reports()
    s.receipt(completed, "REFUSED", "STALE_ATTEMPT")
    assert s.reports() == []


def test_a_requested_cancellation_reports_whatever_the_handler_makes_of_it() -> None:
    s = Script()
    s.working("t1", "t2")
    s.cancel("t1", "REQUESTED")
    s.cancel("t2", "REQUESTED")
    s.cancel("t1", "REQUESTED")
    assert [stop.reported for stop in s.only(Stop)] == [True, True]
    s.complete("t1")
    s.fail("t2", "callboard.cancelled")
    assert kinds(s.reports()) == ["completed", "failed"]


@pytest.mark.parametrize("reason", ["LEASE_LOST", "TIMED_OUT"])
def test_after_a_lost_lease_nothing_is_reported(reason: str) -> None:
    s = Script()
    s.working("t1")
    s.progress("t1", 0.5)
    s.cancel("t1", reason)
    (stop,) = s.only(Stop)
    assert not stop.reported
    s.checkpoint("t1", 1, ticket=3)
    (settled,) = s.only(ReportSettled)
    assert settled.error is not None
    s.fail("t1")
    assert s.reports() == []


def test_unknown_cancellations_and_frames_are_ignored() -> None:
    s = Script()
    s.working("t1")
    s.cancel("t1", "UNSPECIFIED")
    s.cancel("t2", "REQUESTED")
    s.session.received(s.now, wire.agent.AttachResponse())
    assert s.actions() == []


def test_progress_is_sent_ten_times_a_second_and_the_latest_wins() -> None:
    s = Script()
    s.working("t1")
    for step in range(5):
        s.progress("t1", step / 10)
    assert [r.progress.fraction for r in s.reports()] == [0.4]
    s.progress("t1", 0.5)
    s.progress("t1", 0.6)
    assert s.reports() == []
    assert s.session.send_at() == pytest.approx(s.now + 0.1)
    s.later(0.1)
    assert [r.progress.fraction for r in s.reports()] == [0.6]


def test_progress_is_not_kept_across_streams() -> None:
    s = Script()
    s.working("t1")
    s.progress("t1", 0.5)
    s.drop()
    s.attach(held=[attempt("t1")])
    assert s.reports() == []


def test_frames_that_the_server_did_not_list_are_not_sent() -> None:
    s = Script()
    s.attach(features=[])
    s.assign("t1")
    s.reports()
    s.actions()
    s.progress("t1", 0.5)
    s.checkpoint("t1", 1, ticket=1)
    assert s.reports() == []
    (settled,) = s.only(ReportSettled)
    assert settled.error is not None and settled.error.code is grpc.StatusCode.UNIMPLEMENTED
    s.session.drain(s.now)
    assert s.frames() == []


def test_checkpoints_wait_while_four_reports_a_slot_do() -> None:
    s = Script(slots=1)
    s.working("t1")
    for ticket in range(6):
        s.checkpoint("t1", ticket, ticket)
    waiting = s.reports()
    assert len(waiting) == 4
    s.receipt(waiting[0])
    assert len(s.reports()) == 1
    s.complete("t1")
    settled = s.only(ReportSettled)
    assert [(one.ticket, one.error is None) for one in settled] == [(0, True), (5, False)]


def test_a_batch_stays_below_the_limit_of_a_frame() -> None:
    s = Script(slots=8)
    tasks = [f"t{n}" for n in range(8)]
    s.working(*tasks)
    for task in tasks:
        s.complete(task, "x" * 1_000_000)
    frames = s.frames()
    assert [len(frame.reports.reports) for frame in frames] == [3, 3, 2]
    assert all(frame.ByteSize() <= 3 * 1024 * 1024 for frame in frames)


def test_a_drain_waits_for_handlers_and_receipts() -> None:
    s = Script()
    s.working("t1")
    s.session.drain(s.now)
    assert [f.WhichOneof("frame") for f in s.frames()] == ["drain"]
    s.assign("t2")
    (rejected,) = s.reports()
    assert rejected.rejected.reason == "drain"
    s.receipt(rejected)
    s.complete("t1")
    (report,) = s.reports()
    assert s.only(End) == []
    s.receipt(report)
    assert s.only(End) == [End(None)]
    assert s.session.tick_at() is None


def test_a_drain_is_told_before_the_reports_that_wait() -> None:
    s = Script()
    s.working("t1")
    s.complete("t1")
    s.session.drain(s.now)
    # Else the slot that is free then would be given another task.
    assert [f.WhichOneof("frame") for f in s.frames()] == ["drain", "reports"]


def test_heartbeats_go_on_while_a_drain_waits_for_handlers() -> None:
    s = Script()
    s.working("t1")
    s.session.drain(s.now)
    assert [f.WhichOneof("frame") for f in s.frames()] == ["drain"]
    for _ in range(6):
        s.later(LEASE / 3 + 0.01)
        assert [f.WhichOneof("frame") for f in s.frames()] == ["heartbeat"]
        s.receive(heartbeat=wire.agent.Heartbeat())


def test_a_drain_with_nothing_running_tells_the_server_first() -> None:
    s = Script()
    s.attach()
    s.session.drain(s.now)
    assert s.only(End) == []
    assert [f.WhichOneof("frame") for f in s.frames()] == ["drain"]
    assert s.only(End) == [End(None)]


def test_a_drain_hands_back_what_runs_too_long() -> None:
    s = Script()
    s.working("t1")
    s.session.drain(s.now)
    s.frames()
    for _ in range(5):
        s.later(5.98)
        s.receive(heartbeat=wire.agent.Heartbeat())
    s.frames()
    assert s.session.running() == [Key("t1", 1)]
    s.later(0.1)
    (stop,) = s.only(Stop)
    assert not stop.reported
    (report,) = s.reports()
    assert report.rejected.reason == "drain"
    s.complete("t1")
    assert s.reports() == []
    s.receipt(report)
    assert s.only(End) == [End(None)]


def test_a_drain_waits_five_seconds_for_receipts() -> None:
    s = Script()
    s.working("t1")
    s.session.drain(s.now)
    s.complete("t1")
    s.reports()
    s.later(4.9)
    assert s.only(End) == []
    s.later(0.1)
    assert s.only(End) == [End(None)]


def test_an_agent_that_drains_attaches_again_to_deliver_its_reports() -> None:
    s = Script()
    s.working("t1")
    s.drop(UNAVAILABLE)
    s.session.drain(s.now)
    s.complete("t1")
    hello = s.attach(held=[attempt("t1")], epoch=2)
    assert list(hello.held) == [attempt("t1")]
    frames = s.frames()
    assert [f.WhichOneof("frame") for f in frames] == ["drain", "reports"]
    s.receipt(frames[1].reports.reports[0])
    assert s.only(End) == [End(None)]


def test_a_drain_while_detached_with_nothing_left_ends_at_once() -> None:
    s = Script()
    s.working()
    s.drop(UNAVAILABLE)
    s.session.drain(s.now)
    assert s.only(End) == [End(None)]


def test_a_stop_ends_at_once() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.session.stop()
    stop, end, settled = s.actions()
    assert isinstance(stop, Stop) and end == End(None)
    assert isinstance(settled, ReportSettled) and settled.error is not None
    s.fail("t1")
    assert s.frames() == []
    s.session.stop()
    assert s.actions() == []


def test_a_draining_server_is_left_at_once_for_the_endpoint_that_it_names() -> None:
    s = Script(addresses="http://a:1,http://b:2")
    s.working("t1")
    s.later(1)
    s.receive(drain=wire.agent.DrainNotice(endpoints=["nonsense", "http://c:3"]))
    cut, connect = s.actions()
    assert isinstance(cut, Cut)
    assert isinstance(connect, Connect) and connect.address.url == "http://c:3"
    assert list(s.attach(held=[attempt("t1")]).held) == [attempt("t1")]
    s.later(1)
    s.receive(drain=wire.agent.DrainNotice())
    assert [c.address.url for c in s.only(Connect)] == ["http://b:2"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.ABORTED, "SESSION_SUPERSEDED"),
        (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_AGENT"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        (grpc.StatusCode.NOT_FOUND, "NAMESPACE_NOT_FOUND"),
        (grpc.StatusCode.UNAUTHENTICATED, ""),
    ],
)
def test_ends_where_trying_again_cannot_help(code: grpc.StatusCode, reason: str) -> None:
    s = Script()
    s.working("t1")
    error = status_error(code, "no", reason)
    s.drop(error)
    stop, end = s.actions()
    assert isinstance(stop, Stop) and end == End(error)
    assert s.session.state is State.STOPPED


def test_an_expired_session_attaches_again_and_a_removed_agent_ends() -> None:
    s = Script()
    s.working("t1")
    s.drop(status_error(grpc.StatusCode.ABORTED, "silent", "SESSION_EXPIRED"))
    assert s.session.state is State.DETACHED
    s.later(0.1)
    s.frames()
    removed = status_error(grpc.StatusCode.FAILED_PRECONDITION, "removed", "AGENT_STATE")
    s.drop(removed)
    assert End(removed) in s.actions()
