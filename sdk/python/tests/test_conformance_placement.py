"""The conformance suite's driver, as far as it needs no server: placement, quorums and growing workflows."""

from __future__ import annotations

import asyncio
import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from callboard import (
    AssignmentExplanation,
    Fallback,
    InvalidArgument,
    TaskSpec,
    WorkflowForecast,
    WorkflowLink,
    WorkflowTask,
)
from callboard.errors import invalid_argument
from callboard.wire import assignment as wire_assignment
from callboard.wire import workflow as wire_workflow
from conformance import agents, calls, programs, shown, spec
from conformance.calls import Claims
from conformance.fields import Fields
from conformance.gates import Gates
from conformance.lines import Fault, Output
from conformance.programs import Stage
from conformance.turns import Async, Blocking, TaskTurn, run_blocking


def stage() -> Stage:
    return Stage(Gates(), Claims(), Output(io.BytesIO()))


def test_a_spec_gives_the_sdk_just_what_the_line_says_of_placement() -> None:
    given = spec.arguments(
        {
            "type": "work",
            "anti_affinity": {"a": "b"},
            "resources": {"gpu": 1, "memory": 0.5},
            "near": ["x"],
            "apart": ["y"],
            "fallbacks": [
                {"after_ms": 500, "skills": ["s"], "tools": ["t"], "role": "r", "assignee": "a"},
                {"after_ms": 900},
            ],
        }
    )
    assert given == {
        "type": "work",
        "anti_affinity": {"a": "b"},
        "resources": {"gpu": 1, "memory": 0.5},
        "near": ["x"],
        "apart": ["y"],
        "fallbacks": [Fallback(0.5, ["s"], ["t"], "r", "a"), Fallback(0.9)],
    }
    assert agents._options({"name": "a", "address": "x", "namespace": "n", "resources": {"gpu": 2}}) == {
        "name": "a",
        "address": "x",
        "namespace": "n",
        "resources": {"gpu": 2},
    }


@pytest.mark.parametrize(
    "line",
    [
        {"fallbacks": [{"skills": []}]},
        {"fallbacks": [{"after_ms": 1, "much": 1}]},
        {"fallbacks": {"after_ms": 1}},
        {"resources": {"gpu": "much"}},
        {"resources": {"gpu": True}},
        {"near": "much"},
        {"anti_affinity": {"a": 1}},
    ],
)
def test_what_is_no_placement_is_a_fault(line: Any) -> None:
    with pytest.raises(Fault):
        spec.arguments({"type": "work", **line})


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("client.explain", {"task_id": "t", "much": 1}),
        ("client.add_workflow_tasks", {"workflow_id": "w", "tasks": [], "much": 1}),
        ("client.add_workflow_tasks", {"workflow_id": "w", "tasks": [{"name": "a"}]}),
        ("client.hold_workflow", {"workflow_id": "w", "much": 1}),
        ("client.release_workflow", {"workflow_id": "w", "reason": "much"}),
        ("client.forecast_workflow", {"workflow_id": "w", "request_id": "much"}),
    ],
)
def test_unknown_fields_are_faults(name: str, line: Any) -> None:
    with pytest.raises(Fault):
        calls.read(name, Fields(line, name), Claims())


def test_instructions_are_calls_of_just_what_they_say() -> None:
    asked: list[Any] = []

    class Workflows:
        def __getattr__(self, method: str) -> Any:
            return lambda *args, **options: asked.append((method, args, options))

    client: Any = SimpleNamespace(workflows=Workflows(), explain=lambda *args: asked.append(args))
    lines: dict[str, Any] = {
        "client.explain": {"task_id": "t"},
        "client.add_workflow_tasks": {
            "workflow_id": "w",
            "tasks": [{"name": "a", "task": {"type": "work"}, "depends_on": ["b"]}],
            "request_id": "r",
        },
        "client.hold_workflow": {"workflow_id": "w", "reason": "why"},
        "client.release_workflow": {"workflow_id": "w", "request_id": "r"},
        "client.forecast_workflow": {"workflow_id": "w"},
    }
    for name, line in lines.items():
        calls.read(name, Fields(line, name), Claims()).begin(client)
    tasks = [WorkflowTask("a", TaskSpec("work"), depends_on=["b"])]
    assert asked == [
        ("t",),
        ("add", ("w", tasks), {"request_id": "r"}),
        ("hold", ("w",), {"reason": "why"}),
        ("release", ("w",), {"request_id": "r"}),
        ("forecast", ("w",), {}),
    ]


def test_a_forecast_is_shown_with_null_for_what_is_unset() -> None:
    proto = wire_workflow.WorkflowForecast(unknown_types=["odd"])
    known = proto.critical_path.add(task_id="t", name="a", type="work", state="TASK_STATE_READY")
    known.expected_duration.FromMilliseconds(250)
    known.expected_start.FromMilliseconds(1000)
    known.expected_end.FromMilliseconds(1250)
    proto.critical_path.add(task_id="u", type="odd", state="TASK_STATE_WAITING")
    assert shown.forecast(WorkflowForecast.from_wire(proto)) == {
        "expected_end_ms": None,
        "critical_path": [
            {
                "task_id": "t",
                "name": "a",
                "type": "work",
                "state": "READY",
                "expected_duration_ms": 250,
                "expected_start_ms": 1000,
                "expected_end_ms": 1250,
            },
            {
                "task_id": "u",
                "name": "",
                "type": "odd",
                "state": "WAITING",
                "expected_duration_ms": None,
                "expected_start_ms": None,
                "expected_end_ms": None,
            },
        ],
        "unknown_types": ["odd"],
    }


def test_an_explanation_is_shown_whole() -> None:
    proto = wire_assignment.AssignmentExplanation(
        task_id="t", state="TASK_STATE_READY", agent="b", ahead=1, agents=2, fitting=1
    )
    candidate = proto.candidates.add(
        agent="a", fits=True, score=0.5, success=0.25, idle=1, affinity=1, role=0
    )
    candidate.obstacles.add(type="ASSIGNMENT_OBSTACLE_TYPE_SLOTS", detail="1 of 1 taken")
    assert shown.explanation(AssignmentExplanation.from_wire(proto)) == {
        "task_id": "t",
        "state": "READY",
        "waiting_for": [],
        "agent": "b",
        "ahead": 1,
        "agents": 2,
        "fitting": 1,
        "candidates": [
            {
                "agent": "a",
                "fits": True,
                "obstacles": [{"type": "SLOTS", "detail": "1 of 1 taken"}],
                "score": 0.5,
                "success": 0.25,
                "idle": 1,
                "affinity": 1,
                "role": 0,
            }
        ],
        "limits": [],
        "past": [],
    }


class Played:
    """A context with children, of which the last that is given has completed."""

    task_id, attempt = "t", 1
    workflow = WorkflowLink("w", "plan", False, 1)

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.asked: list[Any] = []

    def start_child(self, type: str) -> Any:
        return SimpleNamespace(id=f"id of {type}", existing=False)

    def wait_children(self, children: Any, count: int | None = None, rest: str = "KEEP") -> Any:
        self.asked.append(([child.id for child in children], count, rest))
        if count == 0:
            raise invalid_argument("count", "count is 0")
        return [SimpleNamespace(id=children[-1].id)]


@pytest.mark.parametrize("style", ["async", "sync"])
def test_waiting_for_children_is_what_the_op_says(style: str) -> None:
    context: Any = Played()
    ops: list[Any] = [
        {"op": "see", "what": ["workflow"]},
        {"op": "child", "task": {"type": "a"}, "as": "one", "keep": True},
        {"op": "child", "task": {"type": "b"}, "as": "two", "keep": True},
        {"op": "wait_children", "children": ["two", "one"], "as": "all"},
        {"op": "wait_children", "children": ["one", "two"], "count": 1, "rest": "CANCEL", "as": "some"},
        {"op": "wait_children", "children": ["one"], "count": 0, "as": "none", "catch": True},
        {"op": "return_seen"},
    ]
    play: Any = run_blocking if style == "sync" else asyncio.run
    turn = TaskTurn(None, context, Blocking(context.cancelled) if style == "sync" else Async())
    seen = play(programs.read_for_tasks(ops, stage()).run(turn))
    assert seen["workflow"] == {"workflow_id": "w", "name": "plan"}
    assert (seen["all"], seen["some"]) == (["one"], ["two"])
    assert seen["none"]["error"]["kind"] == InvalidArgument.__name__
    assert context.asked == [
        (["id of b", "id of a"], None, "KEEP"),
        (["id of a", "id of b"], 1, "CANCEL"),
        (["id of a"], 0, "KEEP"),
    ]
