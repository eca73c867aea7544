"""Acceptances of an agent's session: reports of their own only of attempts that take longer, as scripts."""

from __future__ import annotations

import grpc
import pytest
from script import Script, attempt, kinds

from callboard import wire
from callboard.actions import Start
from callboard.errors import status_error
from callboard.reports import Key


def test_an_acceptance_waits_a_little_for_the_end_that_implies_it() -> None:
    s = Script(slots=4, hold_acceptance=0.005)
    s.attach()
    s.assign("short", "long", "saving", "telling")
    assert [start.key.task_id for start in s.only(Start)] == ["short", "long", "saving", "telling"]
    assert s.frames() == [] and s.session.send_at() == pytest.approx(s.now + 0.005)
    s.complete("short")
    s.checkpoint("saving", 1, ticket=1)
    s.session.progressed(Key("telling", 1), wire.agent.Progress(phase="executing"))
    assert kinds(s.reports()) == ["completed", "accepted", "checkpoint", "accepted", "progress"]
    s.later(0.005)
    assert [(report.attempt.task_id, kind) for report in s.reports() for kind in kinds([report])] == [
        ("long", "accepted")
    ]


def test_an_acceptance_that_was_held_goes_out_on_the_next_stream() -> None:
    s = Script(hold_acceptance=0.005)
    s.attach()
    s.assign("t1")
    s.drop(status_error(grpc.StatusCode.UNAVAILABLE, "gone"))
    s.attach(held=[attempt("t1")], epoch=2)
    assert kinds(s.reports()) == ["accepted"]


def test_the_acceptance_of_an_attempt_that_is_lost_is_no_report_any_more() -> None:
    s = Script(hold_acceptance=0.005)
    s.attach()
    s.assign("t1", "t2")
    s.cancel("t1", "LEASE_LOST")
    s.later(0.005)
    assert [report.attempt.task_id for report in s.reports()] == ["t2"]
