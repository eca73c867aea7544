"""The conformance suite's driver, as far as it needs no server. What it does with one is the suite's."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from callboard import (
    AsyncContext,
    Context,
    Dependency,
    DependencyResult,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Payload,
    Receipt,
    ResultCondition,
    StatusError,
    Task,
    TaskFailed,
    TaskSpec,
    Workflow,
    WorkflowDependency,
    WorkflowReceipt,
    WorkflowTask,
)
from callboard.models import Failure
from callboard.wire import task as wire_task
from callboard.wire import workflow as wire_workflow
from conformance import __main__ as process
from conformance import calls, defects, lines, programs, shown, spec, values
from conformance.calls import Claims
from conformance.fields import Fields, Option, flag, seconds, text, whole
from conformance.gates import Gates
from conformance.interceptors import INTERCEPTORS
from conformance.lines import Fault, Line, Output
from conformance.programs import Stage
from conformance.turns import Async, Blocking, TaskTurn, run_blocking

FOLDER = Path(__file__).resolve().parents[1]
PATIENCE = 30.0
"""Seconds that a driver may take to start and to end."""


def stage() -> Stage:
    return Stage(Gates(), Claims(), Output(io.BytesIO()))


def play(*instructions: str, defect: str | None = None) -> tuple[int, list[Any], str]:
    """Starts a driver, gives it lines, and gives its code, its lines but the first, and what it logged."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOARD_")}
    if defect is not None:
        environment["CALLBOARD_DEFECT"] = defect
    done = subprocess.run(
        [sys.executable, "-m", "conformance"],
        input="".join(f"{one}\n" for one in instructions),
        capture_output=True,
        encoding="utf-8",
        cwd=FOLDER,
        env=environment,
        timeout=PATIENCE,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    if said:
        assert said.pop(0) == {"ready": {"sdk": "python", "protocol": 1}}
    return done.returncode, said, done.stderr


# Lines and values.


@pytest.mark.parametrize(
    "value",
    [None, True, "", "é\u0000😀", 12345678901234567890, -0.0, 1.0, 0.1, 1e300, [1, {"a": [None]}], {}],
)
def test_values_round_trip(value: Any) -> None:
    line = lines.write({"value": value})
    read, changed = lines.read(line)
    assert repr(values.shown(values.read(read["value"]))) == repr(value)
    assert (changed, lines.write(read)) == ([], line)


def test_bytes_and_payloads_round_trip() -> None:
    for line in (
        {"$bytes": "aGk="},
        {"$bytes": ""},
        {"$payload": {"content_type": "text/csv", "text": "a,b"}},
        {"$payload": {"content_type": "image/png", "base64": "iVA="}},
    ):
        assert values.shown(values.read(line)) == line
    assert values.read({"$bytes": "aGk="}) == b"hi"
    assert values.read({"$payload": {"content_type": "x/y", "text": ""}}) == Payload(
        content_type="x/y", text=""
    )


@pytest.mark.parametrize(
    "line",
    [
        {"$bytes": "aGk"},
        {"$bytes": "a\u00fc=="},
        {"$bytes": 1},
        {"$payload": {"text": "a"}},
        {"$payload": {"content_type": "a/b"}},
        {"$payload": {"content_type": "a/b", "text": "a", "base64": ""}},
        {"$payload": {"content_type": "a/b", "text": "a", "metadata": {}}},
    ],
)
def test_what_is_no_value_is_refused(line: Any) -> None:
    with pytest.raises(ValueError, match=r"base64|payload"):
        values.read(line)


@pytest.mark.parametrize("number", ["0.12345678901234567890", "1e400", "-1E999"])
def test_numbers_that_python_would_change_are_named(number: str) -> None:
    assert lines.read(f'{{"value": [{number}]}}'.encode())[1] == [number]


def test_an_infinity_of_the_sdk_is_a_fault() -> None:
    with pytest.raises(Fault):
        values.shown([{"a": float("inf")}])


@pytest.mark.parametrize("line", [b"", b"[1]", b"{", b'{"a": NaN}', b"\xff"])
def test_what_is_no_line_is_a_fault(line: bytes) -> None:
    with pytest.raises(Fault):
        lines.read(line)


def test_a_line_that_is_too_long_is_a_fault_and_the_next_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 8)
    first, second, third = lines.lines_of(io.BytesIO(b'{"a":1}\n' + b"x" * 100 + b'\n{"b":22}\n'))
    assert (first, third) == (b'{"a":1}\n', b'{"b":22}\n')
    assert isinstance(second, Fault)


# Fields.


def test_fields_are_read_and_renamed() -> None:
    fields = Fields({"timeout_ms": 1500, "wait": True}, "x")
    options = (Option("timeout_ms", seconds, "timeout"), Option("wait", flag), Option("absent", text))
    assert fields.given(*options) == {"timeout": 1.5, "wait": True}
    fields.all_taken()


def test_missing_wrong_and_unknown_fields_are_faults() -> None:
    fields = Fields({"count": True, "much": 1}, "watch.wait")
    with pytest.raises(Fault, match="`timeout_ms` is missing"):
        fields.take("timeout_ms", seconds)
    with pytest.raises(Fault, match="`count` is not a whole number"):
        fields.take("count", whole)
    with pytest.raises(Fault, match="`much` is unknown"):
        fields.all_taken()


def test_unknown_fields_are_faults_wherever_they_are() -> None:
    task = {"type": "work", "much": 1}
    for name, line in (
        ("client.get", {"task_id": "t", "much": 1}),
        ("client.create", {"task": task}),
        ("client.create_all", {"tasks": [task]}),
        ("client.create", {"task": {"type": "w", "depends_on": [{"task_id": "t", "much": 1}]}}),
        (
            "client.create",
            {
                "task": {
                    "type": "w",
                    "depends_on": [{"task_id": "t", "result": {"comparison": "EQUAL", "much": 1}}],
                }
            },
        ),
        ("client.create_workflow", {"workflow": {"name": "w", "tasks": [], "much": 1}}),
        ("client.create_workflow", {"workflow": {"name": "w", "tasks": [{"name": "a", "task": task}]}}),
        ("client.create_workflow", asked_workflow({"much": 1})),
        ("client.create_workflow", asked_workflow({"depends_on": [{"task": "b", "much": 1}]})),
        ("client.create_workflow", asked_workflow({"depends_on": [{"task": "b", "name": "much"}]})),
        ("client.workflow_tasks", {"workflow_id": "w", "much": 1}),
        ("client.get_much", {}),
    ):
        with pytest.raises(Fault, match=r"much|`name` is unknown"):
            calls.read(name, Fields(line, name), Claims())
    for op in (
        {"op": "return", "value": 1, "much": 1},
        {"op": "much"},
        {"op": "return", "value": 1, "attempt": "much"},
        {"op": "see", "what": ["much"]},
        {"op": "call", "as": "x", "call": {"do": "client.get", "task_id": "t", "much": 1}},
        {"op": "child", "as": "x", "task": task},
        {"op": "join", "as": "x", "children": ["x"], "much": 1},
        {"op": "output", "value": "x", "much": 1},
    ):
        with pytest.raises(Fault):
            programs.read_for_tasks([op], stage())
    with pytest.raises(Fault):
        programs.read_for_tasks([{"op": "reply"}], stage())
    with pytest.raises(Fault):
        programs.read_for_messages([{"op": "progress", "fraction": 0.5}], stage())


def asked_workflow(task: Line) -> Line:
    """An instruction's workflow of one task, with these fields besides."""
    return {"workflow": {"name": "w", "tasks": [{"name": "a", "task": {"type": "work"}, **task}]}}


def test_a_spec_gives_the_sdk_just_what_the_line_says() -> None:
    given = spec.arguments({"type": "work", "input": {"$bytes": ""}, "max_attempts": 2, "heartbeat_ms": 250})
    assert given.keys() == {"type", "input", "retry", "timeouts"}
    assert (given["input"], given["retry"].max_attempts, given["timeouts"].heartbeat) == (b"", 2, 0.25)
    at = spec.arguments({"type": "work", "deadline_at_ms": 1_700_000_000_123})["deadline"]
    assert shown.at_ms(at) == 1_700_000_000_123


def test_a_spec_gives_the_sdk_just_what_the_line_says_of_dependencies() -> None:
    result = {"pointer": "/a", "comparison": "EQUAL", "value": None}
    full = {"task_id": "t", "on_failure": "FAIL", "condition": "COMPLETED", "result": result, "name": "n"}
    exists = {"task_id": "u", "result": {"comparison": "EXISTS"}}
    given = spec.arguments({"type": "work", "depends_on": [full, exists, {"task_id": "v"}]})["depends_on"]
    assert given == [
        Dependency("t", "FAIL", "COMPLETED", ResultCondition("/a", "EQUAL", None), "n"),
        Dependency("u", result=ResultCondition("", "EXISTS")),
        Dependency("v"),
    ]


def test_a_workflow_gives_the_sdk_just_what_the_line_says() -> None:
    exists = {"task": "c", "on_failure": "FAIL", "condition": "COMPLETED", "result": {"comparison": "EXISTS"}}
    first = {"name": "a", "task": {"type": "work", "input": 1}}
    second = {"depends_on": ["a", {"task": "b"}, exists], "allow_failure": True, "weight": -1}
    assert spec.workflow(
        {"name": "w", "tasks": [first, {"name": "d", "task": {"type": "work"}, **second}]}
    ) == {
        "name": "w",
        "tasks": [
            WorkflowTask("a", TaskSpec("work", 1)),
            WorkflowTask(
                "d",
                TaskSpec("work"),
                depends_on=[
                    "a",
                    WorkflowDependency("b"),
                    WorkflowDependency("c", "FAIL", "COMPLETED", ResultCondition("", "EXISTS")),
                ],
                allow_failure=True,
                weight=-1,
            ),
        ],
    }
    about = {"description": "d", "tags": ["t"], "metadata": {"m": "1"}, "headers": {"h": "2"}}
    assert spec.workflow({"name": "w", "tasks": [], **about}) == {"name": "w", "tasks": [], **about}
    with pytest.raises(Fault, match="`depends_on` is not a list"):
        spec.workflow(asked_workflow({"depends_on": "a"})["workflow"])


def test_a_workflow_is_shown_with_all_that_drivers_tell_of_it() -> None:
    proto = wire_workflow.Workflow(
        id="w", name="n", description="d", state="WORKFLOW_STATE_FAILED", tasks=5, open_tasks=0
    )
    proto.completed_tasks, proto.failed_tasks, proto.cancelled_tasks, proto.skipped_tasks = 1, 2, 1, 1
    proto.progress, proto.cancel_requested = 0.5, True
    proto.tags.append("t")
    proto.metadata["m"] = "1"
    assert shown.workflow(Workflow.from_wire(proto)) == {
        "workflow_id": "w",
        "name": "n",
        "description": "d",
        "state": "FAILED",
        "tasks": 5,
        "open_tasks": 0,
        "completed_tasks": 1,
        "failed_tasks": 2,
        "cancelled_tasks": 1,
        "skipped_tasks": 1,
        "progress": 0.5,
        "cancel_requested": True,
        "held": False,
        "tags": ["t"],
        "metadata": {"m": "1"},
    }
    receipt = Receipt("t", "READY", 1, 1, False)
    assert shown.workflow_receipt(WorkflowReceipt("w", {"a": receipt})) == {
        "workflow_id": "w",
        "receipts": {"a": {"task_id": "t", "state": "READY", "run": 1, "existing": False}},
    }


def test_a_task_of_a_workflow_is_shown_with_its_link_and_what_it_waits_for() -> None:
    proto = wire_task.Task(id="t", state=wire_task.TASK_STATE_WAITING)
    proto.spec.type = "work"
    proto.spec.dependencies.append(Dependency("u", "FAIL", "ENDED", name="a").to_wire("d"))
    with pytest.raises(Fault, match="no link"):
        shown.workflow_tasks([Task.from_wire(proto)])
    proto.workflow.name, proto.workflow.allow_failure, proto.workflow.weight = "b", True, 3
    proto.workflow.tasks_behind = 2
    assert shown.workflow_tasks([Task.from_wire(proto)]) == {
        "tasks": [
            {
                "name": "b",
                "task_id": "t",
                "type": "work",
                "state": "WAITING",
                "allow_failure": True,
                "weight": 3,
                "tasks_behind": 2,
                "depends_on": [{"task_id": "u", "name": "a", "condition": "ENDED", "on_failure": "FAIL"}],
            }
        ]
    }


def test_a_dependency_is_shown_with_all_that_is_told_of_it() -> None:
    result = DependencyResult("t", "work", "k", "n", "COMPLETED", Payload(text="done"), None)
    assert shown.dependency(result) == {
        "task_id": "t",
        "type": "work",
        "key": "k",
        "name": "n",
        "state": "COMPLETED",
        "value": "done",
    }


@pytest.mark.parametrize("kind", [AsyncContext, Context])
def test_children_and_output_are_what_the_ops_say(kind: type[Any]) -> None:
    awaited: Any = asyncio.run if kind is AsyncContext else run_blocking
    context = Played()
    ops: list[Any] = [
        {"op": "child", "task": {"type": "work", "input": 1}, "as": "ran", "name": "first"},
        {"op": "child", "task": {"type": "work"}, "as": "kept", "keep": True, "on_parent_end": "DETACH"},
        {"op": "join", "children": ["kept"], "as": "joined"},
        {"op": "output", "value": "{n} of 2", "times": 2},
        {"op": "output", "value": "no", "catch": True},
        {"op": "return_seen"},
    ]
    style = Async() if kind is AsyncContext else Blocking(context.cancelled)
    turn = TaskTurn(None, as_(kind, context), style)
    assert awaited(programs.read_for_tasks(ops, stage()).run(turn)) == {
        "ran": "result of first",
        "kept": {"task_id": "work", "existing": True},
        "joined": ["result of work"],
        "output": {"error": shown.error(ValueError("no more"))},
    }
    assert context.given == ["0 of 2", "1 of 2"]


class Played:
    """A context that answers at once."""

    task_id, attempt = "t", 1

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.given: list[Any] = []

    def run_child(self, type: str, input: Any = "", name: str = "") -> str:
        return f"result of {name or type}"

    def start_child(self, type: str, on_parent_end: str = "") -> Any:
        assert on_parent_end == "DETACH"
        return SimpleNamespace(id=type, existing=True, result=lambda: self.run_child(type))

    def output(self, value: Any) -> None:
        if value == "no":
            raise ValueError("no more")
        self.given.append(value)


def as_(kind: type[Any], context: Played) -> Any:
    """The context, or what is awaited in its place."""
    if kind is Context:
        return context

    def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            given = function(*args, **options)
            if isinstance(given, SimpleNamespace):
                given.result = awaited(given.result)
            return given

        return call

    names = {name: awaited(getattr(context, name)) for name in ("run_child", "start_child", "output")}
    return SimpleNamespace(task_id="t", attempt=1, **names, **_REST)


_REST: dict[str, Any] = dict.fromkeys(
    ("run", "attempts_used", "type", "namespace", "headers", "metadata", "deadline", "dependencies")
) | {"cancelled": threading.Event(), "checkpoint": None}


def test_interceptors_leave_their_names() -> None:
    read = INTERCEPTORS.read(
        [{"name": "a", "submit": {"headers": {"h": "1"}}, "handle": True}, {"name": "b"}]
    )
    a, b = read

    async def submitted(spec: TaskSpec) -> TaskSpec:
        return spec

    async def handled(input: Any) -> Any:
        return input

    async def play() -> None:
        spec = await a.submit(TaskSpec("work", headers={"x-path": "0"}), submitted)
        assert spec.headers == {"x-path": "0,a", "h": "1"}
        assert (await b.submit(spec, submitted)).headers == spec.headers
        assert await a.handle(None, {"path": ["b"]}, handled) == {"path": ["b", "a"]}
        assert await a.handle(None, "text", handled) == "text"
        assert await b.handle(None, {}, handled) == {}

    asyncio.run(play())
    with pytest.raises(Fault):
        INTERCEPTORS.read([{"name": "a", "much": 1}])


# What the SDK raises.


def test_errors_are_shown() -> None:
    violations = [FieldViolation("task.type", "is empty")]
    error = InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, "no", "INVALID_FIELD", violations, 0.25)
    assert shown.error(error) == {
        "kind": "InvalidArgument",
        "code": "INVALID_ARGUMENT",
        "reason": "INVALID_FIELD",
        "message": "no",
        "violations": [{"field": "task.type", "description": "is empty"}],
        "retry_after_ms": 250,
    }
    assert shown.error(NotFound(grpc.StatusCode.NOT_FOUND, "gone"))["kind"] == "NotFound"
    assert shown.error(StatusError(grpc.StatusCode.ABORTED, "again"))["kind"] == "Other"
    local = shown.error(TypeError("not so"))
    assert (local["kind"], local["code"], local["message"]) == ("Local", "", "not so")


def test_a_failed_task_is_shown_with_its_failures() -> None:
    proto = wire_task.Task(id="t", state=wire_task.TASK_STATE_FAILED)
    proto.failure.type = "Outer"
    proto.failure.details.CopyFrom(Payload(content_type="application/octet-stream", binary=b"hi"))
    proto.failure.cause.type = "Inner"
    line = shown.error(TaskFailed(Task.from_wire(proto)))
    assert line.keys() == {"kind", "message", "task"}
    failure = line["task"]["failure"]
    assert failure["details"] == {"$bytes": base64.b64encode(b"hi").decode()}
    assert (failure["type"], failure["retryable"], failure["cause"]["type"]) == ("Outer", True, "Inner")
    assert Failure("T", "m").details is None


# The process.


def test_each_instruction_is_answered_once_and_the_end_is_clean() -> None:
    code, said, _ = play(
        '{"id": 1, "do": "client.open", "client": "c", "address": "http://127.0.0.1:1", "namespace": "n"}',
        '{"id": 2, "do": "client.close", "client": "c"}',
        '{"id": 3, "do": "client.close", "client": "c"}',
        '{"id": 4, "do": "client.open", "client": "d", "address": "nowhere", "namespace": "n"}',
        '{"id": 5, "do": "gate.open", "gate": "g", "value": 0.12345678901234567890}',
        '{"id": 6, "do": "gate.open", "gate": "g"}',
        '{"do": "gate.open"}',
        "nonsense",
    )
    answers = {one["id"]: one for one in said if "id" in one}
    assert code == 0
    assert len(said) == 8
    assert [answers[number].get("ok") for number in (1, 2, 6)] == [{}, {}, {}]
    assert answers[3]["fault"] == "there is no client `c`"
    assert answers[4]["error"]["kind"] == "Local"
    assert "loses digits" in answers[5]["fault"]
    assert sum("fault" in one and "id" not in one for one in said) == 2


@pytest.mark.parametrize("defect", sorted(defects.NAMES))
def test_a_defect_can_be_planted_in_the_sdk_as_it_is(defect: str) -> None:
    assert play(defect=defect) == (0, [], "")


def test_an_unknown_defect_ends_the_driver() -> None:
    code, said, log = play(defect="nonsense")
    assert (code, said) == (process.USAGE, [])
    assert "nonsense" in log
