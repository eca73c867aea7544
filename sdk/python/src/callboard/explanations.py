"""Who could have a task, what keeps the others from it, and who was chosen before: what `explain` answers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from callboard import convert, wire
from callboard.limits import Limit
from callboard.models import task_state


@dataclass(frozen=True)
class AssignmentObstacle:
    """Something that keeps an agent from having a task."""

    type: str
    """TASK_TYPE, ASSIGNEE, ROLE, SKILL, TOOL or RESOURCE: then the agent doesn't fit; DETACHED, CORDONED,
    DRAINING, CLAIMS, SLOTS, RESOURCE_TAKEN, PREFERRED, FAILED_THERE or LIMIT: then it can't have the task
    now."""
    detail: str
    """What exactly, for people: the skill that it lacks."""

    @staticmethod
    def from_wire(obstacle: wire.assignment.AssignmentObstacle) -> AssignmentObstacle:
        types = wire.assignment.AssignmentObstacleType
        name = convert.enum_name(types, obstacle.type, "ASSIGNMENT_OBSTACLE_TYPE_")
        return AssignmentObstacle(name, obstacle.detail)


@dataclass(frozen=True)
class AssignmentCandidate:
    """An agent and a task."""

    agent: str
    """The agent, by name."""
    fits: bool
    """It could have the task, at some time."""
    obstacles: tuple[AssignmentObstacle, ...]
    """What keeps it from having the task now, the most lasting first; empty for one that could have it
    now."""
    score: float
    """How good it is for the task, 0 to 1: the sum of the four below, each times its weight. Only of agents
    that fit."""
    success: float
    """The share of its attempts that it completed."""
    idle: float
    """The share of its slots that is free."""
    affinity: float
    """The share of the task's wishes that it meets; 1 if there are none."""
    role: float
    """1 if the task asks for its role, or it has none, else 0."""

    @staticmethod
    def from_wire(candidate: wire.assignment.AssignmentCandidate) -> AssignmentCandidate:
        return AssignmentCandidate(
            agent=candidate.agent,
            fits=candidate.fits,
            obstacles=tuple(map(AssignmentObstacle.from_wire, candidate.obstacles)),
            score=candidate.score,
            success=candidate.success,
            idle=candidate.idle,
            affinity=candidate.affinity,
            role=candidate.role,
        )


@dataclass(frozen=True)
class LimitUse:
    """What of a limit is used."""

    key: str
    """The limit key of the task."""
    limit: Limit
    """The limit that counts for it."""
    in_use: int
    """How many tasks with the key hold a slot."""
    reached: bool
    """The limit keeps the task from being given to anybody now."""
    next_at: dt.datetime | None
    """When the rate lets the next task through; None when it does now, or when there is no rate."""

    @staticmethod
    def from_wire(use: wire.assignment.LimitUse) -> LimitUse:
        return LimitUse(
            key=use.key,
            limit=Limit.from_wire(use.limit),
            in_use=use.in_use,
            reached=use.reached,
            next_at=convert.datetime(use, "next_at"),
        )


@dataclass(frozen=True)
class AssignmentRunnerUp:
    """An agent that could have had a task that another was given."""

    agent: str
    """The agent, by name."""
    score: float
    """Its score then. A higher one than that of who was chosen: the task preferred the other, or its last
    attempt had failed here."""


@dataclass(frozen=True)
class AssignmentChoice:
    """An assignment, as it was chosen."""

    attempt: int
    at: dt.datetime | None
    agent: str
    """The agent that was given the task, by name."""
    claimed: bool
    """It claimed the task, so that there was nobody to choose from: what follows is empty. (Also where a
    server that doesn't keep choices chose.)"""
    score: float
    """Its score then."""
    compared: int
    """How many agents that could have had it were compared, itself included."""
    runners_up: tuple[AssignmentRunnerUp, ...]
    """The best of the others, best first: at most 3."""

    @staticmethod
    def from_wire(choice: wire.assignment.AssignmentChoice) -> AssignmentChoice:
        return AssignmentChoice(
            attempt=choice.attempt,
            at=convert.datetime(choice, "at"),
            agent=choice.agent,
            claimed=choice.claimed,
            score=choice.score,
            compared=choice.compared,
            runners_up=tuple(AssignmentRunnerUp(one.agent, one.score) for one in choice.runners_up),
        )


@dataclass(frozen=True)
class AssignmentExplanation:
    """Who could have a task, who could not, and why."""

    task_id: str
    state: str
    """Where the task is in its life: only a READY one is given to anybody."""
    waiting_for: tuple[str, ...]
    """What a WAITING task waits for, most binding first."""
    agent: str
    """The agent that has it, or had it last."""
    ahead: int
    """How many READY tasks that ask for the same are given out before it; at most 1,000 are counted."""
    agents: int
    """How many agents the namespace knows, attached or not."""
    fitting: int
    """How many of them fit."""
    candidates: tuple[AssignmentCandidate, ...]
    """Those that could have it now, best first; then those that fit, and can't have it now; then those that
    don't fit. At most 100."""
    limits: tuple[LimitUse, ...] = ()
    """The limits that it is under: those of its `limit_keys` that have one."""
    past: tuple[AssignmentChoice, ...] = ()
    """Who it was given to, and who else could have had it: the latest 20 assignments, oldest first."""

    @staticmethod
    def from_wire(explanation: wire.assignment.AssignmentExplanation) -> AssignmentExplanation:
        reasons = (
            convert.enum_name(wire.task.WaitReason, reason, "WAIT_REASON_")
            for reason in explanation.waiting_for
        )
        return AssignmentExplanation(
            task_id=explanation.task_id,
            state=task_state(explanation.state),
            waiting_for=tuple(reasons),
            agent=explanation.agent,
            ahead=explanation.ahead,
            agents=explanation.agents,
            fitting=explanation.fitting,
            candidates=tuple(map(AssignmentCandidate.from_wire, explanation.candidates)),
            limits=tuple(map(LimitUse.from_wire, explanation.limits)),
            past=tuple(map(AssignmentChoice.from_wire, explanation.past)),
        )
