"""Durable steps in the agent's state machine, as scripts."""

from __future__ import annotations

import grpc
import pytest
from script import FEATURES, Script, attempt, kinds

from callboard import AlreadyExists, FailedPrecondition, InvalidArgument, ResourceExhausted
from callboard.actions import ReportSettled, Start, Stop
from callboard.errors import StatusError, status_error
from callboard.reports import Key

WITHOUT = [feature for feature in FEATURES if feature != "steps"]


def settled(s: Script) -> dict[int, StatusError | None]:
    """What became of tickets."""
    return {action.ticket: action.error for action in s.only(ReportSettled)}


def refused(s: Script, ticket: int) -> StatusError:
    """The error of the only ticket that is decided now."""
    ((only, error),) = settled(s).items()
    assert only == ticket and error is not None
    return error


def test_a_step_is_settled_by_its_receipt_and_not_before() -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=7)
    (report,) = s.reports()
    assert (report.attempt, report.step.name, report.step.result.text) == (attempt("t1"), "fetch", "fetch")
    s.later(1)
    assert settled(s) == {}
    s.receipt(report)
    assert settled(s) == {7: None}


def test_a_step_without_a_receipt_is_sent_again_in_its_place() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.step("t1", "fetch", ticket=2)
    s.checkpoint("t1", 2, ticket=3)
    first = s.reports()
    s.drop()
    s.attach(held=[attempt("t1")], epoch=2)
    again = s.reports()
    assert kinds(again) == ["checkpoint", "step", "checkpoint"]
    assert again == first
    for report in again:
        s.receipt(report)
    assert settled(s) == {1: None, 2: None, 3: None}


def test_a_step_while_detached_waits_for_the_stream() -> None:
    s = Script()
    s.working("t1")
    s.drop()
    assert s.session.refusal(Key("t1", 1), "step") is None
    s.step("t1", "fetch", ticket=1)
    assert settled(s) == {}
    s.attach(held=[attempt("t1")], epoch=2)
    (report,) = s.reports()
    s.receipt(report)
    assert settled(s) == {1: None}


@pytest.mark.parametrize("retry_first", [True, False])
def test_a_later_receipt_does_not_stand_for_a_steps(retry_first: bool) -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.step("t1", "fetch", ticket=2)
    s.checkpoint("t1", 2, ticket=3)
    checkpoint, step, later = s.reports()
    verdicts = [(checkpoint, "RETRY"), (step, "RETRY"), (later, "COMMITTED")]
    for report, status in verdicts if retry_first else reversed(verdicts):
        s.receipt(report, status)
    assert settled(s) == {1: None, 3: None}, "of a checkpoint it does"
    s.later(0.1)
    assert [report.step.name for report in s.reports()] == ["fetch"]
    s.receipt(step)
    assert settled(s) == {2: None}


def test_behind_a_step_that_is_repeated_the_later_reports_wait() -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=1)
    (step,) = s.reports()
    s.receipt(step, "RETRY")
    s.step("t1", "write", ticket=2)
    s.complete("t1")
    assert s.reports() == []
    s.later(0.1)
    assert kinds(s.reports()) == ["step", "step", "completed"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("LIMIT_REACHED", ResourceExhausted),
        ("STEP_EXISTS", AlreadyExists),
        ("INVALID_FIELD", InvalidArgument),
        ("PAYLOAD_TOO_LARGE", InvalidArgument),
    ],
)
def test_a_step_that_is_refused_for_what_it_is_leaves_the_attempt(
    reason: str, kind: type[StatusError]
) -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=1)
    (report,) = s.reports()
    s.receipt(report, "REFUSED", reason, "why")
    (action,) = s.actions()
    assert isinstance(action, ReportSettled), "and nothing stops the handler"
    assert type(action.error) is kind
    assert (action.error.reason, action.error.message) == (reason, "why")
    s.step("t1", "write", ticket=2)
    s.complete("t1")
    assert kinds(s.reports()) == ["step", "completed"]


def test_a_checkpoint_that_is_refused_for_what_it_is_still_cancels_its_handler() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    (report,) = s.reports()
    s.receipt(report, "REFUSED", "INVALID_FIELD")
    stop, action = s.actions()
    assert isinstance(stop, Stop)
    assert isinstance(action, ReportSettled) and type(action.error) is FailedPrecondition


def test_any_other_refusal_of_a_step_cancels_its_handler() -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=1)
    (report,) = s.reports()
    s.receipt(report, "REFUSED", "STALE_ATTEMPT", "not yours")
    stop, action = s.actions()
    assert isinstance(stop, Stop) and not stop.reported
    assert isinstance(action, ReportSettled)
    assert type(action.error) is FailedPrecondition and action.error.reason == "STALE_ATTEMPT"
    s.step("t1", "write", ticket=2)
    assert refused(s, 2).reason == "STALE_ATTEMPT"
    assert s.reports() == []


@pytest.mark.parametrize("how", ["LEASE_LOST", "TIMED_OUT", "not held", "drain", "stop"])
def test_who_waits_is_told_that_the_attempt_is_lost(how: str) -> None:
    s = Script(slots=1)
    s.working("t1")
    for ticket in range(1, 6):  # the last waits outside
        s.step("t1", "fetch", ticket)
    assert len(s.reports()) == 4
    if how == "not held":
        s.drop()
        s.attach(held=[], epoch=2)
    elif how == "drain":
        s.session.drain(s.now)
        s.later(30)
    elif how == "stop":
        s.session.stop()
    else:
        s.cancel("t1", how)
    told = settled(s)
    assert sorted(told) == [1, 2, 3, 4, 5], "at once, and each only once"
    assert {(type(error), error.reason) for error in told.values() if error is not None} == {
        (FailedPrecondition, "STALE_ATTEMPT")
    }


def test_what_was_kept_of_a_lost_attempt_is_sent_nonetheless_and_nobody_is_told_twice() -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=1)
    s.reports()
    s.drop()
    assert list(s.attach(held=[], epoch=2).held) == [attempt("t1")]
    assert list(settled(s)) == [1]
    (report,) = s.reports()
    assert report.step.name == "fetch"
    s.receipt(report)
    s.fail("t1")
    assert settled(s) == {}
    s.drop()
    assert list(s.attach(epoch=3).held) == []


def test_an_attempt_that_is_told_to_stop_still_records_steps() -> None:
    s = Script()
    s.working("t1")
    s.cancel("t1", "REQUESTED")
    assert s.session.refusal(Key("t1", 1), "step") is None
    s.step("t1", "fetch", ticket=1)
    (report,) = s.reports()
    s.receipt(report)
    assert settled(s) == {1: None}


def test_steps_wait_with_checkpoints_while_four_reports_a_slot_do() -> None:
    s = Script(slots=1)
    s.working("t1")
    for ticket in (1, 3, 5):
        s.checkpoint("t1", ticket, ticket)
        s.step("t1", "fetch", ticket + 1)
    first = s.reports()
    assert kinds(first) == ["checkpoint", "step", "checkpoint", "step"]
    s.receipt(first[0])
    assert kinds(s.reports()) == ["checkpoint"]
    s.receipt(first[1])
    assert kinds(s.reports()) == ["step"]


def test_an_attempt_from_a_server_without_steps_takes_none() -> None:
    s = Script()
    s.attach(features=WITHOUT)
    s.assign("t1")
    (accepted,) = s.reports()
    s.receipt(accepted)
    s.step("t1", "fetch", ticket=1)
    error = refused(s, 1)
    assert (type(error), error.message) == (FailedPrecondition, "the server takes no steps")
    assert s.session.refusal(Key("t1", 1), "recorded") is not None, "nor could it say what is recorded"
    # In the whole attempt: while detached, and on the next server that takes them.
    s.drop()
    assert s.session.refusal(Key("t1", 1), "step") is not None
    s.attach(held=[attempt("t1")], epoch=2)
    s.step("t1", "fetch", ticket=2)
    assert refused(s, 2).message == "the server takes no steps"
    s.assign("t2")
    assert s.session.refusal(Key("t2", 1), "step") is None
    assert kinds(s.reports()) == ["accepted"]


def test_a_later_checkpoint_stands_for_one_before_and_a_later_step_does_not() -> None:
    s = Script()
    s.working("t1")
    s.checkpoint("t1", 1, ticket=1)
    s.step("t1", "fetch", ticket=2)
    checkpoint, step = s.reports()
    s.receipt(step)
    s.receipt(checkpoint, "RETRY")
    assert settled(s) == {2: None}
    s.later(0.1)
    assert s.reports() == [checkpoint]


def test_recorded_steps_are_given_while_a_server_without_steps_is_attached() -> None:
    s = Script()
    s.working("t1")
    s.drop()
    s.attach(held=[attempt("t1")], features=WITHOUT, epoch=2)
    assert s.session.refusal(Key("t1", 1), "recorded") is None
    assert s.session.refusal(Key("t1", 1), "step") is not None


def test_a_later_server_without_steps_is_sent_none() -> None:
    s = Script(slots=1)
    s.working("t1")
    for ticket in range(1, 6):  # the last waits outside
        s.step("t1", "fetch", ticket)
    s.checkpoint("t1", 1, ticket=6)
    s.reports()
    s.drop()
    s.attach(held=[attempt("t1")], features=WITHOUT, epoch=2)
    told = settled(s)
    assert sorted(told) == [1, 2, 3, 4, 5]
    assert {str(error) for error in told.values()} == {"FAILED_PRECONDITION: the server takes no steps"}
    assert kinds(s.reports()) == ["checkpoint"]
    s.step("t1", "fetch", ticket=7)
    assert refused(s, 7).message == "the server takes no steps"
    # While detached nobody knows; and the next server takes them again.
    s.drop()
    s.step("t1", "fetch", ticket=8)
    s.attach(held=[attempt("t1")], epoch=3)
    assert settled(s) == {}
    assert kinds(s.reports()) == ["checkpoint", "step"]


def test_a_lost_attempt_whose_step_is_given_up_is_forgotten() -> None:
    s = Script()
    s.working("t1")
    s.step("t1", "fetch", ticket=1)
    s.reports()
    s.cancel("t1", "LEASE_LOST")
    s.fail("t1")
    s.drop(status_error(grpc.StatusCode.UNAVAILABLE, "gone"))
    s.attach(features=WITHOUT, epoch=2)
    s.actions()
    # It would not be started again otherwise.
    s.assign("t1")
    assert len(s.only(Start)) == 1
