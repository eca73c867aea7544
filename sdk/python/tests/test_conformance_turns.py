"""The conformance suite's driver, as far as it needs no server: turns, limits and added dependencies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from callboard import AssignmentExplanation, Dependency, Limit, Namespace, NamespaceSettings, wire
from conformance import calls, shown, spec
from conformance.calls import Claims
from conformance.fields import Fields
from conformance.lines import Fault

LINES = [
    {"key": "model", "max_concurrent": 2, "rate": 5, "rate_period_ms": 250},
    {"key": "tenant/*", "rate": 1},
]
LIMITS = [Limit("model", 2, 5, 0.25), Limit("tenant/*", rate=1)]
SHOWN = [LINES[0], {"key": "tenant/*", "max_concurrent": None, "rate": 1, "rate_period_ms": None}]


def test_a_spec_gives_the_sdk_just_what_the_line_says_of_turns() -> None:
    keys = {"fairness_key": "ann", "limit_keys": ["model", "tenant/a"]}
    assert spec.arguments({"type": "work", **keys}) == {"type": "work", **keys}
    for wrong in ({"fairness_key": 1}, {"limit_keys": "model"}):
        with pytest.raises(Fault):
            spec.arguments({"type": "work", **wrong})


def test_instructions_are_calls_of_just_what_they_say() -> None:
    asked: list[Any] = []

    def call(*args: Any, **options: Any) -> None:
        asked.append((args, options))

    client: Any = SimpleNamespace(
        namespace="n", add_dependencies=call, namespaces=SimpleNamespace(update=call)
    )
    added = [{"task_id": "a"}, {"task_id": "b", "condition": "ENDED", "name": "x"}]
    lines: list[Any] = [
        ("client.add_dependencies", {"task_id": "t", "dependencies": added, "request_id": "r"}),
        ("client.set_limits", {"limits": LINES}),
        ("client.set_limits", {"limits": []}),
    ]
    for name, line in lines:
        calls.read(name, Fields(line, name), Claims()).begin(client)
    dependencies = [Dependency("a"), Dependency("b", condition="ENDED", name="x")]
    assert asked == [
        (("t", dependencies), {"request_id": "r"}),
        (("n", NamespaceSettings(limits=LIMITS)), {}),
        (("n", NamespaceSettings(limits=[])), {}),
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("client.add_dependencies", {"task_id": "t"}),
        ("client.add_dependencies", {"task_id": "t", "dependencies": ["a"]}),
        ("client.add_dependencies", {"task_id": "t", "dependencies": [{"task_id": "a", "much": 1}]}),
        ("client.add_dependencies", {"task_id": "t", "dependencies": [], "much": 1}),
        ("client.set_limits", {}),
        ("client.set_limits", {"limits": [{"rate": 1}]}),
        ("client.set_limits", {"limits": [{"key": "a", "much": 1}]}),
        ("client.set_limits", {"limits": [{"key": "a", "rate": "1"}]}),
        ("client.set_limits", {"limits": [], "much": 1}),
    ],
)
def test_what_is_missing_wrong_or_unknown_is_a_fault(name: str, line: Any) -> None:
    with pytest.raises(Fault):
        calls.read(name, Fields(line, name), Claims())


def test_limits_are_shown_with_null_for_what_is_unset() -> None:
    settings = NamespaceSettings.from_wire(NamespaceSettings(limits=LIMITS).to_wire())
    assert shown.limits(Namespace("n", settings, None, 1)) == {"limits": SHOWN}


def test_an_explanation_is_shown_with_limits_and_past() -> None:
    proto = wire.assignment.AssignmentExplanation(task_id="t", state="TASK_STATE_READY")
    for limit in LIMITS:
        proto.limits.add(key=limit.key, in_use=1, reached=True).limit.CopyFrom(limit.to_wire())
    proto.limits[0].next_at.FromMilliseconds(1_500)
    proto.past.add(attempt=1, agent="a", score=0.5, compared=2).runners_up.add(agent="b", score=0.25)
    proto.past.add(attempt=2, agent="c", claimed=True)
    line = shown.explanation(AssignmentExplanation.from_wire(proto))
    assert line["limits"] == [
        {"key": "model", "limit": SHOWN[0], "in_use": 1, "reached": True, "next_at_ms": 1_500},
        {"key": "tenant/*", "limit": SHOWN[1], "in_use": 1, "reached": True, "next_at_ms": None},
    ]
    other = {"agent": "b", "score": 0.25}
    first = {"attempt": 1, "agent": "a", "claimed": False, "score": 0.5, "compared": 2, "runners_up": [other]}
    second = {"attempt": 2, "agent": "c", "claimed": True, "score": 0, "compared": 0, "runners_up": []}
    assert line["past"] == [first, second]
