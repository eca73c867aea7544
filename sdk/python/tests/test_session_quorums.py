"""Waiting for some of several children in the agent's state machine, as scripts."""

from __future__ import annotations

import grpc
import pytest
from script import FEATURES, Script, attempt, kinds

from callboard import wire
from callboard.actions import Follow, WaitDecided, WaitSettled
from callboard.errors import StatusError, status_error
from callboard.pausing import Ends


def told(s: Script) -> dict[int, str]:
    """Who may go on now, by ticket: with the ids of the children that are known to have ended, or the error's
    reason."""
    return {action.ticket: _what(action) for action in s.only(WaitSettled)}


def _what(settled: WaitSettled) -> str:
    if isinstance(settled.outcome, StatusError):
        return settled.outcome.reason
    return _ids(settled.outcome)


def decided(s: Script) -> dict[int, str]:
    """What is decided now, by ticket: with the ids of the children that are known to have ended."""
    return {action.ticket: _ids(action.ends) for action in s.only(WaitDecided)}


def _ids(ends: Ends) -> str:
    return " ".join(end.task_id for end in ends)


def sent(s: Script) -> tuple[list[str], list[wire.agent.Report]]:
    """The ids that are awaited from now on, and the reports that are sent."""
    awaits: list[str] = []
    reports: list[wire.agent.Report] = []
    for frame in s.frames():
        awaits += frame.awaits.task_ids
        reports += frame.reports.reports
    return awaits, reports


def end(child: str) -> wire.agent.TaskEnd:
    """How a child ended that completed."""
    return wire.agent.TaskEnd(task_id=child, state=wire.task.TASK_STATE_COMPLETED, run=1)


def waiting(s: Script, count: int, *children: str) -> None:
    """`t1` waits for so many of these, its pause is committed."""
    s.working("t1")
    s.wait_some("t1", children, count, 1)
    awaits, (pause,) = sent(s)
    assert (awaits, kinds([pause])) == (list(children), ["pause"])
    s.receipt(pause, state="PAUSED")


def resumed(s: Script) -> None:
    """The handler asks for its slot, and gets it."""
    (resume,) = s.reports()
    assert kinds([resume]) == ["resume"]
    s.receipt(resume, state="RUNNING")


def test_a_quorum_is_one_wait_whose_end_is_held_back() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c3")
    assert (told(s), sent(s)) == ({}, ([], [])), "one is not enough"
    s.ends("c1")
    assert told(s) == {}, "its end is held back"
    resumed(s)
    assert told(s) == {1: "c1 c3"}, "in their order"
    s.ends("c2")
    s.wait("t1", "c2", 2)
    assert (told(s), sent(s)) == ({2: "c2"}, ([], [])), "the rest is remembered"


def test_what_is_decided_is_told_while_the_end_is_held_back() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c3")
    assert decided(s) == {}, "one is not enough"
    s.ends("c1")
    assert s.actions() == [WaitDecided(1, (end("c1"), end("c3")))], "one of the rest may have the slot"
    s.ends("c2", state="CANCELLED")
    resumed(s)
    assert s.actions() == [WaitSettled(1, (end("c1"), end("c3")))], "it is decided once"


def test_what_can_not_be_reached_any_more_is_decided() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2")
    s.ends("c2", state="FAILED")
    assert decided(s) == {1: "c2"}


def test_what_is_decided_is_told_ahead_of_an_end_that_is_not_held_back() -> None:
    s = Script()
    waiting(s, 1, "c1", "c2")
    s.wait("t1", "c3", 2)
    s.ends("c1")
    assert s.actions() == [WaitDecided(1, (end("c1"),)), WaitSettled(1, (end("c1"),))]
    s.wait_some("t1", ["c1", "c2"], 1, 3)
    assert s.actions() == [WaitDecided(3, (end("c1"),)), WaitSettled(3, (end("c1"),))]


def test_nothing_is_decided_when_nobody_waits_any_longer() -> None:
    s = Script()
    waiting(s, 1, "c1", "c2")
    s.stop_waiting("t1", 1)
    s.ends("c1")
    s.wait_some("t1", ["c3", "c4"], 1, 2)
    s.cancel("t1", "LEASE_LOST")
    assert decided(s) == {}


@pytest.mark.parametrize("count", [2, 3])
def test_a_quorum_is_over_as_soon_as_it_can_not_be_reached(count: int) -> None:
    s = Script()
    waiting(s, count, "c1", "c2", "c3")
    bad = ["c2", "c1"][: 4 - count]
    for child in bad[:-1]:
        s.ends(child, state="FAILED")
    assert (told(s), sent(s)) == ({}, ([], [])), "it still can be"
    s.ends(bad[-1], state="CANCELLED")
    resumed(s)
    assert told(s) == {1: " ".join(sorted(bad))}


def test_who_fails_is_spared_as_long_as_others_may_complete() -> None:
    s = Script()
    waiting(s, 1, "c1", "c2")
    s.ends("c1", state="UNSPECIFIED")
    assert (told(s), sent(s)) == ({}, ([], []))
    s.ends("c2")
    resumed(s)
    assert told(s) == {1: "c1 c2"}


def test_what_is_known_counts_and_may_be_enough() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2")
    s.ends("c1", "c2")
    resumed(s)
    told(s)
    s.wait_some("t1", ["c3", "c2", "c1"], 1, 2)
    assert (told(s), sent(s)) == ({2: "c2 c1"}, ([], [])), "nothing is paused"
    s.wait_some("t1", ["c3", "c2", "c1"], 3, 3)
    awaits, (pause,) = sent(s)
    assert (awaits, kinds([pause])) == (["c3"], ["pause"]), "only what is missing is awaited"
    s.receipt(pause, state="PAUSED")
    s.ends("c3")
    resumed(s)
    assert told(s) == {3: "c3 c2 c1"}


def test_a_quorum_beside_other_waits_is_told_at_once() -> None:
    s = Script()
    waiting(s, 1, "c1", "c2")
    s.wait("t1", "c3", 2)
    assert sent(s) == (["c3"], []), "it is paused already"
    s.ends("c2")
    assert told(s) == {1: "c2"}, "the other wait keeps the slot free"
    assert sent(s) == ([], [])
    s.ends("c3")
    resumed(s)
    assert told(s) == {2: "c3"}


def test_a_single_wait_and_a_quorum_may_end_by_the_same_child() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2")
    s.wait("t1", "c2", 2)
    s.ends("c1")
    s.ends("c2")
    resumed(s)
    assert told(s) == {1: "c1 c2", 2: "c2"}


def test_a_quorum_that_is_given_up_asks_for_the_slot() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c1")
    s.stop_waiting("t1", 1)
    resumed(s)
    assert told(s) == {}


def test_behind_a_welcome_what_has_not_ended_is_awaited_again() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c2")
    s.drop()
    s.attach(held=[attempt("t1")], epoch=2)
    assert sent(s) == (["c1", "c3"], [])
    s.ends("c3")
    resumed(s)
    assert told(s) == {1: "c2 c3"}


def test_a_later_server_without_children_is_asked_for_each_by_calls() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c1")
    s.drop()
    without = [feature for feature in FEATURES if feature != "children"]
    s.attach(held=[attempt("t1")], features=without, epoch=2)
    assert [action.task_id for action in s.only(Follow)] == ["c2", "c3"]
    s.session.followed(s.now, wire.agent.TaskEnd(task_id="c3", state=wire.task.TASK_STATE_COMPLETED))
    assert told(s) == {1: "c1 c3"}
    s.wait_some("t1", ["c1", "c2"], 2, 2)
    failed = status_error(grpc.StatusCode.PERMISSION_DENIED, "no", "NO_ACCESS")
    s.session.followed(s.now, ("c2", failed))
    assert told(s) == {2: "NO_ACCESS"}


def test_a_lost_attempt_waits_for_nobody() -> None:
    s = Script()
    waiting(s, 2, "c1", "c2", "c3")
    s.ends("c1")
    s.cancel("t1", "LEASE_LOST")
    assert told(s) == {1: "STALE_ATTEMPT"}


def test_a_thousand_children_are_awaited_and_told_in_their_order() -> None:
    s = Script()
    children = [f"c{number}" for number in range(1000)]
    waiting(s, 1000, *children)
    s.ends(*reversed(children))
    resumed(s)
    assert told(s) == {1: " ".join(children)}
