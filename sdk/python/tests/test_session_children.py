"""Waiting for children in the agent's state machine, as scripts."""

from __future__ import annotations

import grpc
import pytest
from script import FEATURES, Script, attempt, kinds

from callboard import FailedPrecondition, wire
from callboard.actions import Follow, Prolong, WaitSettled
from callboard.errors import StatusError, status_error
from callboard.pausing import Ends
from callboard.reports import Key

Report = wire.agent.Report
TaskEnd = wire.agent.TaskEnd

WITHOUT = [feature for feature in FEATURES if feature != "children"]


def told(s: Script) -> dict[int, str]:
    """Who may go on now, by ticket: with the ids of the children that ended, or the error's reason."""
    return {action.ticket: _what(action.outcome) for action in s.only(WaitSettled)}


def _what(outcome: Ends | StatusError) -> str:
    if isinstance(outcome, StatusError):
        return outcome.reason
    return " ".join(end.task_id for end in outcome)


def sent(s: Script) -> tuple[list[str], list[Report]]:
    """The ids that are awaited from now on, and the reports that are sent."""
    awaits: list[str] = []
    reports: list[Report] = []
    for frame in s.frames():
        awaits += frame.awaits.task_ids
        reports += frame.reports.reports
    return awaits, reports


def paused(s: Script, *children: str) -> None:
    """`t1` waits for these, its pause is committed."""
    s.working("t1")
    for ticket, child in enumerate(children, 1):
        s.wait("t1", child, ticket)
    awaits, (pause,) = sent(s)
    assert (awaits, kinds([pause])) == (list(children), ["pause"])
    s.receipt(pause, state="PAUSED")


def test_a_handler_that_waits_is_paused_and_goes_on_when_the_receipt_says_so() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    assert told(s) == {}, "its end is held back"
    (resume,) = s.reports()
    assert (kinds([resume]), resume.attempt) == (["resume"], attempt("t1"))
    s.receipt(resume, state="RUNNING")
    assert told(s) == {1: "c1"}
    s.complete("t1")
    assert kinds(s.reports()) == ["completed"]


def test_without_a_free_slot_it_goes_on_by_a_resumption_which_may_give_a_new_deadline() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.receipt(resume, state="PAUSED")
    assert told(s) == {}
    s.resumption("t1", deadline=77)
    prolong, settled = s.actions()
    assert isinstance(prolong, Prolong) and isinstance(settled, WaitSettled)
    assert (prolong.key, prolong.deadline.seconds) == (Key("t1", 1), 77)


def test_resume_is_sent_again_each_second_until_the_handler_may_go_on() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (first,) = s.reports()
    s.receipt(first, state="PAUSED")
    s.later(0.9)
    assert s.reports() == []
    s.later(0.1)
    (second,) = s.reports()
    assert second.report_id != first.report_id
    # Without a receipt it is the same again: there are never many of them.
    s.later(1)
    assert s.reports() == [second]
    s.receipt(second, state="RUNNING")
    assert told(s) == {1: "c1"}
    s.later(1)
    assert s.reports() == []


def test_ends_are_given_at_once_while_others_are_waited_for() -> None:
    s = Script()
    paused(s, "c1", "c2", "c3")
    s.ends("c2")
    assert told(s) == {2: "c2"}
    s.ends("c1", "c3")
    assert told(s) == {1: "c1"}, "only the last one's is held back"
    (resume,) = s.reports()
    s.receipt(resume, state="RUNNING")
    assert told(s) == {3: "c3"}


def test_all_who_wait_for_the_same_child_are_told() -> None:
    s = Script()
    paused(s, "c1")
    s.wait("t1", "c1", 2)
    assert sent(s) == ([], []), "it is awaited already"
    s.ends("c1")
    (resume,) = s.reports()
    s.receipt(resume, state="RUNNING")
    assert told(s) == {1: "c1", 2: "c1"}
    s.wait("t1", "c1", 3)
    assert told(s) == {3: "c1"}, "whose end is known is answered at once"
    assert sent(s) == ([], [])


def test_a_wait_that_begins_meanwhile_pauses_anew_and_gives_what_was_held_back() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.wait("t1", "c2", 2)
    assert told(s) == {1: "c1"}
    awaits, (pause,) = sent(s)
    assert (awaits, kinds([pause])) == (["c2"], ["pause"])
    # What the server says of the resume before it knows of the pause lets nobody go on.
    s.receipt(resume, state="RUNNING")
    s.ends("c2")
    s.resumption("t1")
    assert told(s) == {}
    s.receipt(pause, state="PAUSED")
    (again,) = s.reports()
    s.receipt(again, state="RUNNING")
    assert told(s) == {2: "c2"}


def test_a_resume_that_never_left_is_taken_back() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    s.wait("t1", "c2", 2)
    assert told(s) == {1: "c1"}
    assert sent(s) == (["c2"], []), "for the server it is paused all the time"


def test_a_resume_that_the_server_was_told_before_is_not_taken_back() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.receipt(resume, state="PAUSED")
    # It is said again, and has not left, when the handler waits anew.
    s.later(1)
    s.wait("t1", "c2", 2)
    assert told(s) == {1: "c1"}
    awaits, reports = sent(s)
    assert (awaits, kinds(reports)) == (["c2"], ["pause"]), "or it would be given a slot while it waits"
    s.receipt(reports[0], state="PAUSED")
    s.ends("c2")
    (again,) = s.reports()
    s.receipt(again, state="RUNNING")
    assert told(s) == {2: "c2"}


def test_a_pause_that_never_left_is_taken_back_behind_a_resume_that_did() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.receipt(resume, state="PAUSED")
    s.later(1)
    for ticket in range(2, 100):
        s.wait("t1", "c2", ticket)
        s.stop_waiting("t1", ticket)
    assert kinds(sent(s)[1]) == ["resume"]
    s.wait("t1", "c2", 100)
    assert kinds(sent(s)[1]) == ["pause"]


def test_the_receipt_of_a_resume_ahead_of_the_latest_pause_lets_nobody_go_on() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.wait("t1", "c2", 2)
    (pause,) = sent(s)[1]
    assert told(s) == {1: "c1"}
    s.ends("c2")
    (again,) = s.reports()
    assert (kinds([again]), again.report_id > pause.report_id) == (["resume"], True)
    s.receipt(resume, state="RUNNING")
    assert told(s) == {}, "the pause behind it frees that slot"
    s.receipt(pause, state="PAUSED")
    s.receipt(again, state="RUNNING")
    assert told(s) == {2: "c2"}


def test_a_wait_that_is_given_up_resumes_when_it_was_the_last() -> None:
    s = Script()
    paused(s, "c1", "c2")
    s.stop_waiting("t1", 1)
    assert s.reports() == []
    s.stop_waiting("t1", 2)
    (resume,) = s.reports()
    assert kinds([resume]) == ["resume"]
    s.receipt(resume, state="PAUSED")
    s.later(1)
    assert kinds(s.reports()) == ["resume"], "until it has its slot"
    s.resumption("t1")
    s.later(1)
    assert s.reports() == []
    assert told(s) == {}
    s.ends("c1")
    s.wait("t1", "c1", 3)
    assert told(s) == {3: "c1"}, "an end that nobody waited for is remembered"


def test_an_end_that_is_held_back_for_nobody_is_given_to_nobody() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    (resume,) = s.reports()
    s.stop_waiting("t1", 1)
    s.receipt(resume, state="RUNNING")
    assert told(s) == {}


def test_waits_while_the_stream_is_away_leave_few_reports_behind() -> None:
    s = Script()
    s.working("t1")
    s.drop()
    for ticket in range(1, 100):
        s.wait("t1", "c1", ticket)
        s.stop_waiting("t1", ticket)
    s.wait("t1", "c1", 100)
    s.attach(held=[attempt("t1")], epoch=2)
    awaits, reports = sent(s)
    assert (awaits, kinds(reports)) == (["c1"], ["pause"])


def test_a_pause_that_never_left_needs_no_resume() -> None:
    s = Script()
    s.working("t1")
    s.wait("t1", "c1", 1)
    s.stop_waiting("t1", 1)
    assert kinds(sent(s)[1]) == []


def test_behind_a_welcome_everything_is_said_again() -> None:
    s = Script()
    paused(s, "c1", "c2")
    s.ends("c1")
    told(s)
    s.drop()
    s.attach(held=[attempt("t1")], epoch=2)
    assert sent(s) == (["c2"], []), "what was committed is not repeated"
    s.ends("c2")
    (resume,) = s.reports()
    s.receipt(resume, state="PAUSED")
    s.drop()
    s.attach(held=[attempt("t1")], epoch=3)
    (again,) = s.reports()
    assert kinds([again]) == ["resume"], "and that it wants to go on, at once"
    s.receipt(again, state="RUNNING")
    assert told(s) == {2: "c2"}


def test_a_pause_that_is_to_be_repeated_is_needless_behind_its_resume() -> None:
    s = Script()
    s.working("t1")
    s.wait("t1", "c1", 1)
    (pause,) = s.reports()
    s.ends("c1")
    (resume,) = s.reports()
    s.receipt(pause, "RETRY")
    s.receipt(resume, state="RUNNING")
    s.later(5)
    assert s.reports() == []


def test_a_pause_that_is_to_be_repeated_is_not_replaced_by_other_reports() -> None:
    s = Script()
    s.working("t1")
    s.wait("t1", "c1", 1)
    (pause,) = s.reports()
    s.checkpoint("t1", 1, ticket=9)
    (checkpoint,) = s.reports()
    s.receipt(checkpoint)
    s.receipt(pause, "RETRY")
    s.later(0.1)
    assert s.reports() == [pause]


@pytest.mark.parametrize("how", ["LEASE_LOST", "TIMED_OUT", "not held", "drain", "stop", "refused"])
def test_who_waits_is_told_that_the_attempt_is_lost(how: str) -> None:
    s = Script()
    s.working("t1")
    s.wait("t1", "c1", 1)
    s.wait("t1", "c2", 2)
    (pause,) = s.reports()
    if how == "not held":
        s.drop()
        s.attach(held=[], epoch=2)
    elif how == "drain":
        s.session.drain(s.now)
        s.later(30)
    elif how == "stop":
        s.session.stop()
    elif how == "refused":
        s.receipt(pause, "REFUSED", "STALE_ATTEMPT")
    else:
        s.cancel("t1", how)
    assert told(s) == {1: "STALE_ATTEMPT", 2: "STALE_ATTEMPT"}
    s.wait("t1", "c1", 3)
    assert told(s) == {3: "STALE_ATTEMPT"}


def test_what_is_held_back_is_lost_with_the_attempt() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    s.cancel("t1", "LEASE_LOST")
    assert told(s) == {1: "STALE_ATTEMPT"}


def test_a_handler_that_ends_while_it_is_paused_reports_its_end() -> None:
    s = Script()
    paused(s, "c1")
    s.complete("t1")
    assert kinds(s.reports()) == ["completed"]
    assert told(s) == {1: "STALE_ATTEMPT"}, "another of its tasks may still wait"


def test_a_child_that_there_is_not_ends_without_a_state() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1", state="UNSPECIFIED")
    (resume,) = s.reports()
    s.receipt(resume, state="RUNNING")
    (settled,) = s.only(WaitSettled)
    assert not isinstance(settled.outcome, StatusError)
    assert [end.state for end in settled.outcome] == [wire.task.TASK_STATE_UNSPECIFIED]


def test_attempts_wait_apart_from_each_other() -> None:
    s = Script()
    s.working("t1", "t2")
    s.wait("t1", "c", 1)
    s.wait("t2", "c", 2)
    awaits, reports = sent(s)
    assert (awaits, [report.attempt.task_id for report in reports]) == (["c"], ["t1", "t2"])
    s.ends("c")
    first, second = s.reports()
    s.receipt(second, state="RUNNING")
    assert told(s) == {2: "c"}
    s.receipt(first, state="RUNNING")
    assert told(s) == {1: "c"}


def test_no_more_is_awaited_than_a_frame_and_a_stream_may() -> None:
    s = Script()
    s.working("t1")
    for ticket in range(10_001):
        s.wait("t1", f"c{ticket}", ticket)
    frames = [list(frame.awaits.task_ids) for frame in s.frames() if frame.HasField("awaits")]
    assert [len(ids) for ids in frames] == [1000] * 10
    s.ends("c0")
    assert sent(s)[0] == ["c10000"]


# Servers without children.


def test_on_a_server_without_children_none_is_created() -> None:
    s = Script()
    s.attach(features=WITHOUT)
    s.assign("t1")
    error = s.session.refusal(Key("t1", 1), "children")
    assert error is not None
    assert (type(error), error.message) == (FailedPrecondition, "the server takes no children")
    s.drop()
    assert s.session.refusal(Key("t1", 1), "children") is None, "while detached nobody knows"


def test_on_a_later_server_without_children_they_are_waited_for_by_calls() -> None:
    s = Script()
    paused(s, "c1")
    s.wait("t1", "c2", 2)
    s.drop()
    s.attach(held=[attempt("t1")], features=WITHOUT, epoch=2)
    assert [follow.task_id for follow in s.only(Follow)] == ["c1", "c2"]
    s.wait("t1", "c3", 3)
    assert [follow.task_id for follow in s.only(Follow)] == ["c3"]
    assert sent(s) == ([], [])
    s.session.followed(s.now, TaskEnd(task_id="c1", state="TASK_STATE_COMPLETED"))
    assert told(s) == {1: "c1"}
    error = status_error(grpc.StatusCode.FAILED_PRECONDITION, "no", "TASK_STATE")
    s.session.followed(s.now, ("c2", error))
    assert told(s) == {2: "TASK_STATE"}
    # A server that takes them again is told of what is still waited for.
    s.drop()
    s.attach(held=[attempt("t1")], epoch=3)
    awaits, reports = sent(s)
    assert (awaits, kinds(reports)) == (["c3"], ["pause"])


def test_on_such_a_server_nothing_is_held_back_and_the_next_is_asked_for_the_slot() -> None:
    s = Script()
    paused(s, "c1")
    s.ends("c1")
    s.drop()
    s.attach(held=[attempt("t1")], features=WITHOUT, epoch=2)
    assert told(s) == {1: "c1"}
    assert s.reports() == []
    s.drop()
    s.attach(held=[attempt("t1")], epoch=3)
    (resume,) = s.reports()
    assert kinds([resume]) == ["resume"]
    s.receipt(resume, state="RUNNING")
    s.later(1)
    assert s.reports() == []
