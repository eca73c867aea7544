"""What a task waits for: others, by their ids or by their names in a workflow, and how they must end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from callboard import convert, wire
from callboard.payload import json_text, parse_json
from callboard.unset import UNSET, Unset

DependencyFailureAction: TypeAlias = Literal["SKIP", "FAIL"]
DependencyCondition: TypeAlias = Literal["COMPLETED", "FAILED", "NOT_COMPLETED", "ENDED"]
ResultComparison: TypeAlias = Literal[
    "EQUAL",
    "NOT_EQUAL",
    "LESS",
    "LESS_OR_EQUAL",
    "GREATER",
    "GREATER_OR_EQUAL",
    "EXISTS",
    "NOT_EXISTS",
]

_ON_FAILURE = "DEPENDENCY_FAILURE_ACTION_"
_CONDITION = "DEPENDENCY_CONDITION_"
_COMPARISON = "RESULT_COMPARISON_"


@dataclass(frozen=True)
class ResultCondition:
    """What a result must be: a value in it, compared with another, as in
    `ResultCondition("/score", "GREATER_OR_EQUAL", 0.8)`. Text is a value like any of JSON; in bytes there is
    none."""

    pointer: str
    """Where in the result the value is, as a JSON Pointer (RFC 6901). Empty means the whole result."""
    comparison: ResultComparison
    """How it is compared. Numbers are compared as numbers and text by its code points; what is neither two
    numbers nor two texts is not less or greater."""
    value: Any = UNSET
    """What it is compared with: anything that JSON has, None being null. Not with EXISTS and NOT_EXISTS."""

    def to_wire(self, field: str) -> wire.task.ResultCondition:
        given = not isinstance(self.value, Unset)
        return wire.task.ResultCondition(
            pointer=self.pointer,
            comparison=_number(
                wire.task.ResultComparison, self.comparison, _COMPARISON, f"{field}.comparison"
            ),
            value=json_text(self.value, f"{field}.value") if given else "",
        )

    @staticmethod
    def from_wire(condition: wire.task.ResultCondition) -> ResultCondition:
        return ResultCondition(
            pointer=condition.pointer,
            comparison=_name(wire.task.ResultComparison, condition.comparison, _COMPARISON),
            value=parse_json(condition.value) if condition.value else UNSET,
        )


@dataclass(frozen=True)
class Dependency:
    """A task that must end first, and how."""

    task_id: str
    """Its id."""
    on_failure: DependencyFailureAction = "SKIP"
    """What becomes of the dependent when that one ends otherwise than `condition` and `result` say."""
    condition: DependencyCondition = "COMPLETED"
    """How it must end: COMPLETED; FAILED, for a fallback (one that was cancelled or skipped has not failed);
    NOT_COMPLETED, to undo what was done before it; ENDED, in any way, to clean up."""
    result: ResultCondition | None = None
    """What its result must be, besides. Only with COMPLETED."""
    name: str = ""
    """What the dependent's handler calls it: `ctx.dependency(name)` finds how it ended."""

    def to_wire(self, field: str) -> wire.task.Dependency:
        return wire.task.Dependency(task_id=self.task_id, name=self.name, **_terms(self, field))

    @staticmethod
    def from_wire(dependency: wire.task.Dependency) -> Dependency:
        on_failure = dependency.on_failure or wire.task.DEPENDENCY_FAILURE_ACTION_SKIP
        condition = dependency.condition or wire.task.DEPENDENCY_CONDITION_COMPLETED
        return Dependency(
            task_id=dependency.task_id,
            on_failure=_name(wire.task.DependencyFailureAction, on_failure, _ON_FAILURE),
            condition=_name(wire.task.DependencyCondition, condition, _CONDITION),
            result=ResultCondition.from_wire(dependency.result) if dependency.HasField("result") else None,
            name=dependency.name,
        )


@dataclass(frozen=True)
class WorkflowDependency:
    """Another task of the same workflow that must end first, and how. The dependent's handler finds it by
    the name that it has there."""

    task: str
    """Its name in the workflow."""
    on_failure: DependencyFailureAction = "SKIP"
    """As that of Dependency."""
    condition: DependencyCondition = "COMPLETED"
    """As that of Dependency."""
    result: ResultCondition | None = None
    """As that of Dependency."""

    def to_wire(self, field: str) -> wire.workflow.WorkflowDependency:
        return wire.workflow.WorkflowDependency(task=self.task, **_terms(self, field))


def _terms(asked: Dependency | WorkflowDependency, field: str) -> dict[str, Any]:
    """What is asked of a dependency, whichever it is, for the wire."""
    return {
        "on_failure": _number(
            wire.task.DependencyFailureAction, asked.on_failure, _ON_FAILURE, f"{field}.on_failure"
        ),
        "condition": _number(
            wire.task.DependencyCondition, asked.condition, _CONDITION, f"{field}.condition"
        ),
        "result": asked.result.to_wire(f"{field}.result") if asked.result else None,
    }


def _number(enum: Any, name: str, prefix: str, field: str) -> Any:
    return convert.enum_number(enum, name, prefix, field)


def _name(enum: Any, number: int, prefix: str) -> Any:
    # One that is newer than this SDK is none of the literals.
    return convert.enum_name(enum, number, prefix)
