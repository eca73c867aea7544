"""Runs over a stream of `RunTasks`: the state machine, as scripts."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from callboard import InvalidArgument, StatusError, Unavailable, wire
from callboard.errors import status_error
from callboard.runs import IDLE, MAX_BYTES, MAX_RUNS, MOST_SENT, SILENCE, Action, Outcome, Run, Runs

service = wire.task_service

UNAVAILABLE = status_error(grpc.StatusCode.UNAVAILABLE, "gone")
PATIENCE = 30.0


def status(code: grpc.StatusCode, *details: Any, message: str = "no") -> bytes:
    """A status as the bytes of an outcome."""
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    encoded: bytes = status_pb2.Status(
        code=code.value[0], message=message, details=packed
    ).SerializeToString()
    return encoded


def retry_in(seconds: int) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.seconds = seconds
    return info


class Script:
    """A client's runs, with a clock. `random` is always 1: jitter leaves the whole delay."""

    def __init__(self, other_addresses: bool = False) -> None:
        self.now = 100.0
        self.runs = Runs("space", lambda: 1.0, other_addresses)

    def ask(self, *ids: str, timeout: float | None = None, input: str = "") -> list[Run]:
        return [self._ask(request_id, timeout, input) for request_id in ids]

    def _ask(self, request_id: str, timeout: float | None, input: str) -> Run:
        task = wire.task.TaskSpec(type="t", input=wire.payload.Payload(text=input))
        frame = service.RunTasksRequest(runs=[service.TaskRun(request_id=request_id, task=task)])
        deadline = None if timeout is None else self.now + timeout
        run = Run(
            request_id, frame.SerializeToString(), timeout, PATIENCE, lambda _: None, self.now, deadline
        )
        self.runs.ask(self.now, run)
        return run

    def actions(self) -> list[Action]:
        return self.runs.take_actions()

    def frames(self) -> list[service.RunTasksRequest]:
        """All that is to be sent now."""
        frames = []
        while (frame := self.runs.next_frame()) is not None:
            frames.append(service.RunTasksRequest.FromString(frame))
        return frames

    def sent(self) -> list[str]:
        """The runs that are to be sent now."""
        return [run.request_id for frame in self.frames() for run in frame.runs]

    def opened(self) -> None:
        assert self.actions()[-1] is Action.OPEN
        self.runs.opened(self.now)

    def ends(self, *ids: str) -> None:
        self.receive(*(service.TaskOutcome(request_id=one, task=wire.task.Task(id=one)) for one in ids))

    def refused(self, request_id: str, status: bytes) -> None:
        self.receive(service.TaskOutcome(request_id=request_id, status=status))

    def receive(self, *outcomes: service.TaskOutcome) -> None:
        self.runs.received(self.now, outcomes)

    def broke(self, error: StatusError | None = UNAVAILABLE) -> None:
        self.runs.broke(self.now, error)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.runs.tick(self.now)

    def wait(self) -> float:
        """Waits until something is due; gives how long."""
        due = self.runs.due_at()
        assert due is not None
        seconds = due - self.now
        self.later(seconds)
        return round(seconds, 3)

    def told(self) -> dict[str, Outcome]:
        """What those were told who asked, since this was asked last."""
        return {run.request_id: outcome for run, outcome in self.runs.take_settled()}


def test_the_first_run_opens_a_stream_and_what_waits_goes_together() -> None:
    s = Script()
    s.ask("a", "b")
    assert s.actions() == [Action.OPEN]
    (frame,) = s.frames()
    assert (frame.namespace, [run.request_id for run in frame.runs]) == ("space", ["a", "b"])
    assert frame.runs[0].task.type == "t"
    s.ask("c", "d")
    (frame,) = s.frames()
    assert (frame.namespace, [run.request_id for run in frame.runs]) == ("", ["c", "d"])
    s.ends("d", "a", "unknown")
    told = s.told()
    assert list(told) == ["d", "a"] and isinstance(told["a"], wire.task.Task) and told["a"].id == "a"
    assert s.actions() == []


def test_a_frame_has_so_many_runs_and_bytes_but_always_one() -> None:
    s = Script()
    s.ask(*(str(number) for number in range(MAX_RUNS + 1)))
    assert [len(frame.runs) for frame in s.frames()] == [MAX_RUNS, 1]
    for request_id in ("small", "big", "bigger", "last"):
        s.ask(request_id, input="x" * (MAX_BYTES if "big" in request_id else 10))
    assert [[run.request_id for run in frame.runs] for frame in s.frames()] == [
        ["small"],
        ["big"],
        ["bigger"],
        ["last"],
    ]
    s.ask("half", "other half", input="x" * (MAX_BYTES // 2 - 100))
    s.ask("rest", input="x" * 400)
    frames = s.frames()
    assert [len(frame.runs) for frame in frames] == [2, 1]
    assert all(frame.ByteSize() <= MAX_BYTES for frame in frames)


def test_so_many_runs_are_on_a_stream_and_the_others_wait() -> None:
    s = Script()
    ids = [str(number) for number in range(MOST_SENT + 2)]
    runs = s.ask(*ids)
    assert s.sent() == ids[:MOST_SENT]
    s.ends("7")
    assert s.sent() == [ids[MOST_SENT]]
    s.runs.give_up(s.now, runs[8])
    forgotten, following = s.frames()
    assert list(forgotten.forgotten_ids) == ["8"] and not forgotten.runs
    assert [run.request_id for run in following.runs] == [ids[MOST_SENT + 1]]


def test_a_break_has_what_has_no_outcome_asked_again_by_the_delays() -> None:
    s = Script()
    s.ask("a", "b", "c")
    s.opened()
    assert s.sent() == ["a", "b", "c"]
    s.ends("b")
    s.ask("d")
    delays = []
    for _ in range(3):
        s.broke()
        assert (s.sent(), s.actions()) == ([], [])
        delays.append(s.wait())
        assert s.actions() == [Action.OPEN]
        (frame,) = s.frames()
        assert frame.namespace == "space", "each stream is told"
        assert [run.request_id for run in frame.runs] == ["a", "c", "d"]
    assert delays == [0.1, 0.2, 0.4]
    s.ends("a")
    s.broke(None)
    assert s.wait() == 0.1, "something was heard"
    assert list(s.told()) == ["b", "a"]


@pytest.mark.parametrize("code", ["CANCELLED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "ABORTED"])
def test_a_break_is_one_whatever_the_transport_calls_it(code: str) -> None:
    s = Script()
    s.ask("a")
    s.opened()
    s.frames()
    s.broke(status_error(grpc.StatusCode[code], "RST_STREAM"))
    s.wait()
    assert (s.actions(), s.sent(), s.told()) == ([Action.OPEN], ["a"], {})


def test_a_stream_that_is_refused_refuses_its_runs() -> None:
    s = Script()
    s.ask("a")
    s.ask("b")
    s.frames()
    s.ask("c")
    refusal = status_error(grpc.StatusCode.NOT_FOUND, "no such namespace", "NAMESPACE_NOT_FOUND")
    s.broke(refusal)
    told = s.told()
    assert {key: str(error) for key, error in told.items()} == {key: str(refusal) for key in "abc"}
    assert told["a"] is not told["b"], "each caller raises its own"
    assert s.runs.due_at() is None
    s.ask("d")
    s.broke(status_error(grpc.StatusCode.PERMISSION_DENIED, "says a proxy"))
    assert list(s.told()) == ["d"]


def test_runs_end_with_the_last_status_when_no_stream_could_be_opened_for_so_long() -> None:
    s = Script()
    s.ask("old")
    s.later(PATIENCE - 10)
    s.broke()
    s.ask("young")
    while not (told := s.told()):
        s.wait()
        s.broke(status_error(grpc.StatusCode.UNAVAILABLE, "still gone"))
    assert [(key, str(error)) for key, error in told.items()] == [("old", "UNAVAILABLE: still gone")]
    assert PATIENCE - 5 <= s.now - 100 <= PATIENCE
    while not (told := s.told()):
        s.wait()
        s.broke()
    assert list(told) == ["young"]
    assert s.runs.due_at() is None, "nothing is left to do"


def test_a_break_that_lasts_is_no_server_whatever_the_transport_calls_it() -> None:
    s, broken = Script(), status_error(grpc.StatusCode.INTERNAL, "Internal error from Core")
    s.ask("a")
    s.broke(broken)
    while not (told := s.told()):
        s.wait()
        s.broke(broken)
    assert isinstance(told["a"], Unavailable) and "Internal error from Core" in str(told["a"])


def test_runs_end_also_when_nobody_says_anything() -> None:
    s = Script()
    s.ask("a")
    while not (told := s.told()):
        s.wait()
    assert isinstance(told["a"], Unavailable) and s.now - 100 == PATIENCE


def test_a_stream_that_was_opened_has_all_the_patience_again() -> None:
    s = Script()
    s.ask("a")
    for _ in range(20):
        s.later(PATIENCE / 2)
        s.runs.opened(s.now)
        s.broke()
        s.wait()
    assert s.told() == {}


def test_a_refusal_is_told_with_its_violations() -> None:
    s = Script()
    s.ask("a", "b")
    s.frames()
    violation = error_details_pb2.BadRequest.FieldViolation(field="task.type", description="is empty")
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="callboard.dev")
    s.refused("a", status(grpc.StatusCode.INVALID_ARGUMENT, bad, info, message="task.type is empty"))
    error = s.told()["a"]
    assert isinstance(error, InvalidArgument)
    assert (error.reason, error.message) == ("INVALID_FIELD", "task.type is empty")
    assert [(one.field, one.description) for one in error.violations] == [("task.type", "is empty")]
    s.refused("b", b"\xff")
    assert isinstance(s.told()["b"], StatusError)


def test_a_refusal_with_a_retry_info_is_asked_again() -> None:
    s = Script()
    s.ask("a", "b")
    s.frames()
    s.refused("a", status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_in(3)))
    s.ends("b")
    assert s.wait() == 3
    assert s.sent() == ["a"]
    s.refused("a", status(grpc.StatusCode.UNAVAILABLE))
    assert (s.wait(), s.sent(), s.actions()) == (0.2, ["a"], [Action.OPEN]), "the second delay"
    s.ends("a")
    assert list(s.told()) == ["b", "a"]


def test_a_server_that_cannot_decide_now_is_left_for_another() -> None:
    s = Script(other_addresses=True)
    s.ask("a", "b")
    s.opened()
    s.frames()
    s.refused("a", status(grpc.StatusCode.UNAVAILABLE, retry_in(1)))
    s.wait()
    assert s.actions() == [Action.MOVE, Action.OPEN]
    assert s.sent() == ["b", "a"]


@pytest.mark.parametrize(("timeout", "limit"), [(None, PATIENCE), (5.0, 5.0)])
def test_asking_again_ends_with_the_last_status(timeout: float | None, limit: float) -> None:
    s = Script()
    s.ask("a", timeout=timeout)
    while not (told := s.told()):
        s.frames()
        s.refused("a", status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_in(2), message="full"))
        if s.now < 100 + limit - 2:
            s.wait()
    assert str(told["a"]) == "RESOURCE_EXHAUSTED: full"
    assert limit - 2 <= s.now - 100 <= limit


def test_what_is_given_up_is_forgotten_and_its_outcome_ignored() -> None:
    s = Script()
    waiting, sent, refused, _ = s.ask("waiting", "sent", "refused", "kept")
    s.runs.give_up(s.now, waiting)
    assert s.sent() == ["sent", "refused", "kept"]
    s.refused("refused", status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_in(3)))
    s.runs.give_up(s.now, sent)
    s.runs.give_up(s.now, refused)
    (frame,) = s.frames()
    assert list(frame.forgotten_ids) == ["sent"]
    s.ends("sent", "kept")
    s.runs.give_up(s.now, sent)
    assert (list(s.told()), s.frames()) == (["kept"], [])
    s.later(4)
    assert s.frames() == []


def test_what_is_given_up_is_not_told_to_the_next_stream() -> None:
    s = Script()
    run, _ = s.ask("a", "b")
    s.frames()
    s.runs.give_up(s.now, run)
    s.broke()
    s.wait()
    (frame,) = s.frames()
    assert not frame.forgotten_ids and [run.request_id for run in frame.runs] == ["b"]


def test_runs_of_one_request_id_are_asked_one_behind_the_other() -> None:
    s = Script()
    first, second, third = s.ask("a", "a", "a")
    fourth = s.ask("a")[0]
    assert s.sent() == ["a"]
    s.runs.give_up(s.now, third)
    s.ends("a")
    assert [run for run, _ in s.runs.take_settled()] == [first]
    assert s.sent() == ["a"]
    s.runs.give_up(s.now, second)
    forgotten, following = s.frames()
    assert list(forgotten.forgotten_ids) == ["a"] and len(following.runs) == 1
    s.refused("a", status(grpc.StatusCode.INVALID_ARGUMENT))
    assert [run for run, _ in s.runs.take_settled()] == [fourth]
    s.later(IDLE)
    assert s.actions() == [Action.OPEN, Action.FINISH]


def test_a_timeout_tells_why_the_stream_is_not_there() -> None:
    s = Script()
    run, late = s.ask("a", "b", timeout=5)
    s.opened()
    s.frames()
    assert str(s.runs.timed_out(s.now, run)) == "DEADLINE_EXCEEDED: the task had not ended in time"
    s.broke()
    error = s.runs.timed_out(s.now, late)
    assert isinstance(error, TimeoutError) and "the last error: UNAVAILABLE: gone" in str(error)
    assert s.runs.due_at() is None


def test_a_timeout_leaves_an_address_where_nobody_answers() -> None:
    s = Script(other_addresses=True)
    run, _ = s.ask("a", "b")
    s.runs.timed_out(s.now, run)
    assert s.actions() == [Action.OPEN, Action.MOVE, Action.OPEN]
    assert s.sent() == ["b"]
    s.runs.opened(s.now)
    s.runs.timed_out(s.now, s.ask("c")[0])
    assert s.actions() == []


def test_silence_breaks_a_stream() -> None:
    s = Script()
    s.ask("a")
    s.opened()
    s.frames()
    s.later(SILENCE - 1)
    s.receive()
    s.later(SILENCE - 1)
    assert s.actions() == []
    s.later(1)
    assert s.actions() == [Action.MOVE, Action.OPEN]
    assert s.sent() == ["a"]


def test_an_idle_stream_is_ended_and_the_next_run_opens_another() -> None:
    s = Script()
    s.ask("a")
    s.opened()
    s.frames()
    s.later(IDLE + 1)
    assert s.actions() == [], "a run is under way"
    s.ends("a")
    s.later(IDLE - 1)
    s.ask("b")
    s.frames()
    s.ends("b")
    assert s.wait() == IDLE
    assert s.actions() == [Action.FINISH]
    assert s.runs.due_at() is None
    s.ask("c")
    assert (s.actions(), s.sent()) == ([Action.OPEN], ["c"])


def test_a_stream_that_breaks_while_idle_is_not_opened_again() -> None:
    s = Script()
    s.ask("a")
    s.opened()
    s.frames()
    s.ends("a")
    s.broke()
    assert (s.runs.due_at(), s.actions()) == (None, [])


def test_a_server_without_the_method_has_all_runs_given_to_calls() -> None:
    s = Script()
    asked = s.ask("a", "b", "a")
    s.frames()
    s.broke(status_error(grpc.StatusCode.UNIMPLEMENTED, ""))
    assert s.actions() == [Action.OPEN, Action.CALL]
    assert set(s.runs.take_all()) == set(asked)
    assert (s.runs.due_at(), s.told()) == (None, {})
    s.ask("c")
    assert s.actions() == [Action.OPEN]


def test_a_token_that_was_changed_is_tried_at_once() -> None:
    s = Script()
    s.ask("a")
    s.frames()
    s.actions()
    s.runs.renewed(s.now)
    assert (s.actions(), s.sent()) == ([Action.OPEN], ["a"])
