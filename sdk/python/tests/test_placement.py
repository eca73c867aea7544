"""Where tasks are placed: what is asked for, and how it is explained."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from fake_server import FakeServer

from callboard import (
    AssignmentCandidate,
    AssignmentExplanation,
    AssignmentObstacle,
    Client,
    Fallback,
    Task,
    TaskSpec,
    aio,
    wire,
)

Obstacle = wire.assignment.AssignmentObstacle


def test_what_placement_is_asked_for_goes_over_the_wire() -> None:
    spec = TaskSpec(
        "review",
        anti_affinity={"zone": "east"},
        resources={"gpu": 0.5},
        near=["index"],
        apart=["draft", "edit"],
        fallbacks=[
            Fallback(0.25, skills=["python"], tools=["git"], assignee="ann"),
            Fallback(dt.timedelta(minutes=1), role="leader"),
        ],
    )
    asked = spec.to_wire().requirements
    assert (dict(asked.anti_affinity), dict(asked.resources)) == ({"zone": "east"}, {"gpu": 0.5})
    assert (list(asked.near), list(asked.apart)) == (["index"], ["draft", "edit"])
    first, second = asked.fallbacks
    assert first.after.ToMilliseconds() == 250 and second.after.ToMilliseconds() == 60_000
    assert (list(first.skills), list(first.tools), first.role, first.assignee) == (
        ["python"],
        ["git"],
        "",
        "ann",
    )
    assert (second.role, list(second.skills), second.assignee) == ("leader", [], "")


@pytest.mark.parametrize(
    "option",
    [
        {"anti_affinity": {"a": "b"}},
        {"resources": {"gpu": 1}},
        {"near": ["a"]},
        {"apart": ["a"]},
        {"fallbacks": [Fallback(1)]},
    ],
)
def test_each_option_is_sent_alone(option: Any) -> None:
    (name,) = option
    assert [field.name for field, _ in TaskSpec("t", **option).to_wire().requirements.ListFields()] == [name]
    assert not TaskSpec("t").to_wire().HasField("requirements")


def test_a_lone_string_is_no_list_of_names() -> None:
    for option, place in (({"near": "a"}, "near"), ({"apart": "a"}, "apart")):
        with pytest.raises(TypeError, match=f"{place} is the string 'a'"):
            TaskSpec("t", **option).to_wire()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"fallbacks\[1\]\.skills is the string 'rust'"):
        TaskSpec("t", fallbacks=[Fallback(1), Fallback(2, skills="rust")]).to_wire()


def test_a_task_tells_what_it_has_fallen_back_to() -> None:
    assert Task.from_wire(wire.task.Task(id="t")).fallback == 0
    assert Task.from_wire(wire.task.Task(id="t", fallback=2)).fallback == 2


def test_both_clients_explain() -> None:
    answer = wire.task_service.ExplainAssignmentResponse(
        explanation=wire.assignment.AssignmentExplanation(
            task_id="t",
            state="TASK_STATE_WAITING",
            waiting_for=["WAIT_REASON_HOLD"],
            agent="ann",
            ahead=3,
            agents=2,
            fitting=1,
            candidates=[
                wire.assignment.AssignmentCandidate(
                    agent="ann", fits=True, score=0.9, success=0.5, idle=1, affinity=0.25, role=1
                ),
                wire.assignment.AssignmentCandidate(
                    agent="bob",
                    obstacles=[
                        Obstacle(type="ASSIGNMENT_OBSTACLE_TYPE_SKILL", detail="lacks rust"),
                        # One that is newer than this SDK.
                        Obstacle.FromString(b"\x08\x63"),
                    ],
                ),
            ],
        )
    )
    server = FakeServer()
    server.tasks.answers["ExplainAssignment"] = lambda *_: answer
    with Client(server.address) as client:
        explained = client.explain("t")

    async def main() -> AssignmentExplanation:
        async with aio.Client(server.address) as client:
            return await client.explain("t")

    assert asyncio.run(main()) == explained
    obstacles = (AssignmentObstacle("SKILL", "lacks rust"), AssignmentObstacle("99", ""))
    assert explained == AssignmentExplanation(
        *("t", "WAITING", ("HOLD",), "ann", 3, 2, 1),
        (
            AssignmentCandidate("ann", True, (), 0.9, 0.5, 1, 0.25, 1),
            AssignmentCandidate("bob", False, obstacles, 0, 0, 0, 0, 0),
        ),
    )
    assert [request.task_id for request in server.tasks.requests] == ["t", "t"]
    server.stop()
