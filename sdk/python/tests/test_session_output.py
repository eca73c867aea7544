"""Output in the agent's state machine, as scripts; and how values are divided."""

from __future__ import annotations

from typing import Any

import pytest
from script import FEATURES, Script, attempt, kinds

from callboard import InvalidArgument, ResourceExhausted, binary_payload, text_payload, wire
from callboard.actions import ReportSettled, Stop
from callboard.errors import StatusError
from callboard.output import FULL, MAX_CHUNK, chunks_of

WITHOUT = [feature for feature in FEATURES if feature != "output"]
Report = wire.agent.Report


def settled(s: Script) -> dict[int, StatusError | None]:
    """What became of tickets."""
    return {action.ticket: action.error for action in s.only(ReportSettled)}


def shown(report: Report) -> tuple[int, list[Any]]:
    """The offset of a report of output, and its chunks."""
    chunks = [chunk.binary or chunk.text for chunk in report.output.chunks]
    return report.output.offset, chunks


def outputs(s: Script) -> list[tuple[int, list[Any]]]:
    """The reports of output that are sent now."""
    return [shown(report) for report in s.reports() if report.HasField("output")]


# Values.


def divided(value: Any) -> list[Any]:
    chunks = [chunk.to_wire() for chunk in chunks_of(value)]
    return [chunk.binary if chunk.HasField("binary") else chunk.text for chunk in chunks]


def test_text_is_divided_between_characters_and_bytes_anywhere() -> None:
    assert divided("é" * 40_000) == ["é" * 32_768, "é" * 7_232]
    assert divided("x" + "é" * 40_000) == ["x" + "é" * 32_767, "é" * 7_233]
    assert divided("𝄞" * 16_385) == ["𝄞" * 16_384, "𝄞"]
    assert divided(b"\x80" * 65_537) == [b"\x80" * 65_536, b"\x80"]
    assert len(divided("x" * 1_048_576)) == 16


def test_empty_text_and_bytes_are_nothing() -> None:
    assert [chunks_of(value) for value in ("", b"", text_payload(""))] == [[], [], []]


def test_other_values_are_one_chunk_or_refused() -> None:
    assert divided({"a": [1]}) == ['{"a":[1]}']
    payload = text_payload("a,b", "text/csv")
    assert [chunk.to_wire() for chunk in chunks_of(payload)] == [payload]
    for value in (["x" * MAX_CHUNK], text_payload("x" * (MAX_CHUNK + 1)), binary_payload(b"x" * 70_000)):
        with pytest.raises(InvalidArgument) as refused:
            chunks_of(value)
        assert refused.value.reason == "PAYLOAD_TOO_LARGE"
    with pytest.raises(InvalidArgument):
        chunks_of("x" * 1_048_577)
    with pytest.raises(InvalidArgument):
        chunks_of(float("nan"))


# Gathering.


def test_the_first_goes_at_once_and_the_rest_twenty_times_a_second() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    assert settled(s) == {1: None}, "when it is in the buffer"
    (first,) = s.reports()
    assert (first.attempt, shown(first)) == (attempt("t1"), (0, ["a"]))
    s.output("t1", "b", 2)
    s.later(0.05)
    assert outputs(s) == [], "one is on its way at most"
    s.receipt(first)
    s.output("t1", "c", 3)
    (second,) = s.reports()
    assert shown(second) == (1, ["bc"])
    s.receipt(second)
    s.output("t1", "d", 4)
    assert outputs(s) == []
    assert s.session.send_at() == pytest.approx(s.now + 0.05)
    s.later(0.05)
    assert outputs(s) == [(3, ["d"])]


def test_text_is_joined_to_text_and_bytes_to_bytes_as_far_as_there_is_room() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "first", 1)
    (first,) = s.reports()
    for value in (
        "a",
        "é" * 32_767,
        "ééé",
        b"\x01",
        b"\x02",
        "z",
        {"n": 1},
        {"n": 2},
        text_payload("p"),
        "q",
    ):
        s.output("t1", value, 2)
    s.receipt(first)
    s.later(0.05)
    ((offset, chunks),) = outputs(s)
    assert offset == 5
    assert chunks == ["a" + "é" * 32_767, "ééé", b"\x01\x02", "z", '{"n":1}', '{"n":2}', "p", "q"]


def test_a_report_has_at_most_64_chunks_and_a_mebibyte() -> None:
    s = Script()
    s.working("t1")
    for number in range(65):
        s.output("t1", {"n": number}, number)
    (first,) = s.reports()
    assert len(first.output.chunks) == 64
    s.receipt(first)
    s.output("t1", b"x" * 1_048_576, 65)
    s.later(0.05)
    (second,) = s.reports()
    size = sum(len(chunk.binary or chunk.text) for chunk in second.output.chunks)
    assert (len(second.output.chunks), size <= 1_048_576) == (16, True)
    s.receipt(second)
    s.later(0.05)
    ((offset, chunks),) = outputs(s)
    given = sum(len(f'{{"n":{number}}}') for number in range(65)) + 1_048_576
    assert offset + len(chunks[0]) == given


def test_who_gives_more_waits_while_the_buffer_is_full() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "first", 1)
    (first,) = s.reports()
    s.output("t1", "x" * (FULL - 1), 2)
    s.output("t1", "y", 3)
    assert list(settled(s)) == [1, 2, 3]
    s.output("t1", "z", 4)
    s.output("t1", "z", 5)
    assert settled(s) == {}
    s.receipt(first)
    s.later(0.05)
    assert len(s.reports()) == 1
    assert list(settled(s)) == [4, 5]


# Order.


@pytest.mark.parametrize("behind", ["checkpoint", "step", "completed", "failed"])
def test_what_was_given_stands_before_what_is_reported_behind_it(behind: str) -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    assert outputs(s) == [(0, ["a"])]
    s.output("t1", "b", 2)
    if behind == "checkpoint":
        s.checkpoint("t1", 1, ticket=9)
    elif behind == "step":
        s.step("t1", "fetch", ticket=9)
    elif behind == "completed":
        s.complete("t1")
    else:
        s.fail("t1")
    s.output("t1", "c", 3)
    reports = s.reports()
    assert kinds(reports) == ["output", behind], "whatever receipt is missing"
    assert shown(reports[0]) == (1, ["b"])


def test_a_full_buffer_and_who_waits_for_room_stand_before_the_end_too() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    s.reports()
    for ticket in range(2, 5):
        s.output("t1", "x" * FULL, ticket)
    s.complete("t1")
    reports = s.reports()
    assert kinds(reports) == ["output"] * 3 + ["completed"]
    assert [report.output.offset for report in reports[:3]] == [1, 1 + FULL, 1 + 2 * FULL]


def test_a_handed_back_attempt_still_tells_what_was_given() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    s.session.drain(s.now, timeout=1)
    s.later(1)
    assert kinds(s.reports()) == ["output", "rejected"]


def test_a_repeated_report_keeps_its_offset_and_place() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    s.checkpoint("t1", 1, ticket=2)
    s.output("t1", "b", 3)
    first = s.reports()
    assert kinds(first) == ["output", "checkpoint"]
    s.drop()
    s.output("t1", "c", 4)
    s.attach(held=[attempt("t1")], epoch=2)
    again = s.reports()
    assert again == first
    for report in again:
        s.receipt(report)
    s.later(0.05)
    assert outputs(s) == [(1, ["bc"])]


def test_a_later_checkpoint_does_not_stand_for_output() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    (output,) = s.reports()
    s.checkpoint("t1", 1, ticket=2)
    (checkpoint,) = s.reports()
    s.receipt(checkpoint)
    s.receipt(output, "RETRY")
    s.later(0.1)
    assert s.reports() == [output]


# Refused.


def test_behind_the_limit_nothing_more_is_sent_and_the_handler_goes_on() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    (first,) = s.reports()
    s.output("t1", "b", 2)
    s.checkpoint("t1", 1, ticket=3)
    second, checkpoint = s.reports()
    s.output("t1", "x" * FULL, 4)
    s.output("t1", "y", 5)
    settled(s)
    s.receipt(first, "REFUSED", "LIMIT_REACHED", "full")
    # It leaves a gap, and is refused for that.
    s.receipt(second, "REFUSED", "INVALID_FIELD", "a gap")
    s.receipt(checkpoint)
    s.output("t1", "z", 6)
    actions = s.actions()
    assert not [action for action in actions if isinstance(action, Stop)]
    told = {action.ticket: action.error for action in actions if isinstance(action, ReportSettled)}
    assert told[3] is None
    for ticket in (5, 6):
        error = told[ticket]
        assert isinstance(error, ResourceExhausted)
        assert (error.reason, error.message) == ("LIMIT_REACHED", "full")
    s.later(1)
    assert s.reports() == []
    s.complete("t1")
    assert kinds(s.reports()) == ["completed"]


def test_any_other_refusal_cancels_the_attempt() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    (report,) = s.reports()
    s.receipt(report, "REFUSED", "INVALID_FIELD", "a gap")
    (stop,) = s.only(Stop)
    assert not stop.reported
    s.output("t1", "b", 2)
    assert {error.reason for error in settled(s).values() if error} == {"STALE_ATTEMPT"}


def test_who_waits_for_room_is_told_that_the_attempt_is_lost() -> None:
    s = Script()
    s.working("t1")
    for ticket in (1, 2):
        s.output("t1", "x" * FULL, ticket)
    s.cancel("t1", "LEASE_LOST")
    told = settled(s)
    assert told[1] is None
    assert told[2] is not None and told[2].reason == "STALE_ATTEMPT"
    assert s.reports() == []


def test_a_server_without_output_is_given_none() -> None:
    s = Script()
    s.attach(features=WITHOUT)
    s.assign("t1")
    s.output("t1", "a", 1)
    (error,) = settled(s).values()
    assert str(error) == "FAILED_PRECONDITION: the server takes no output"
    assert kinds(s.reports()) == ["accepted"]


def test_a_later_server_without_output_is_given_none_and_the_attempt_gives_no_more() -> None:
    s = Script()
    s.working("t1")
    s.output("t1", "a", 1)
    s.reports()
    s.output("t1", "b", 2)
    s.drop()
    s.attach(held=[attempt("t1")], features=WITHOUT, epoch=2)
    assert s.reports() == []
    # What is lost would leave a gap.
    s.drop()
    s.attach(held=[attempt("t1")], epoch=3)
    settled(s)
    s.output("t1", "c", 3)
    (error,) = settled(s).values()
    assert error is not None and error.message == "the server takes no output"
    s.complete("t1")
    assert kinds(s.reports()) == ["completed"]
