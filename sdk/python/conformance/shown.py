"""What the SDK gave or raised, as lines have it: the objects at the end of "Clients" in DRIVER.md, and
"Errors"."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from callboard import (
    AgentInfo,
    AssignmentCandidate,
    AssignmentChoice,
    AssignmentExplanation,
    ChildInfo,
    Claim,
    DependencyResult,
    Event,
    Failure,
    ForecastTask,
    Lease,
    Limit,
    LimitUse,
    Message,
    MessageReceipt,
    Namespace,
    OutputChunk,
    Receipt,
    StatusError,
    Task,
    TaskFailed,
    Workflow,
    WorkflowForecast,
    WorkflowLink,
    WorkflowReceipt,
    convert,
)
from conformance import values
from conformance.fields import EPOCH
from conformance.lines import Fault, Line


def error(raised: BaseException) -> Line:
    """An error that a call raised."""
    if isinstance(raised, TaskFailed):
        return {"kind": "TaskFailed", "message": str(raised), "task": task(raised.task)}
    if not isinstance(raised, StatusError):
        return _error("Local", "", "", str(raised) or type(raised).__name__)
    kind = "Other" if type(raised) is StatusError else type(raised).__name__
    line = _error(kind, raised.code.name, raised.reason, raised.message)
    line["violations"] = [{"field": one.field, "description": one.description} for one in raised.violations]
    line["retry_after_ms"] = _milliseconds(raised.retry_delay)
    return line


def _error(kind: str, code: str, reason: str, message: str) -> Line:
    return {
        "kind": kind,
        "code": code,
        "reason": reason,
        "message": message,
        "violations": [],
        "retry_after_ms": None,
    }


def receipt(receipt: Receipt) -> Line:
    """A RECEIPT."""
    return {
        "task_id": receipt.task_id,
        "state": receipt.state,
        "run": receipt.run,
        "existing": receipt.existing,
    }


def receipts(all: list[Receipt]) -> Line:
    return {"receipts": [receipt(one) for one in all]}


def task(task: Task) -> Line:
    """A TASK."""
    return {
        "task_id": task.id,
        "type": task.type,
        "key": task.key,
        "state": task.state,
        "priority": task.priority,
        "run": task.run,
        "attempt": task.attempt,
        "attempts_used": task.attempts_used,
        "agent": task.agent,
        "tags": list(task.tags),
        "phase": task.phase,
        "progress": task.progress,
        "cancel_requested": task.cancel_requested,
        "failure": _failure(task.failure),
        "parent": None if task.parent is None else task.parent.task_id,
        "paused_for": task.paused_for or None,
        "fallback": task.fallback,
    }


def tasks(all: list[Task]) -> Line:
    return {"tasks": [task(one) for one in all]}


def _failure(failure: Failure | None) -> Line | None:
    if failure is None:
        return None
    return {
        "type": failure.type,
        "message": failure.message,
        "retryable": failure.retryable,
        "retry_after_ms": _milliseconds(failure.retry_after),
        "details": values.shown(failure.details),
        "cause": _failure(failure.cause),
    }


def event(event: Event) -> Line:
    """An EVENT."""
    return {
        "task_id": event.task_id,
        "sequence": event.sequence,
        "type": event.type,
        "state": event.state,
        "run": event.run,
        "attempt": event.attempt,
        "agent": event.agent,
        "reason": event.reason,
    }


def events(all: list[Event]) -> Line:
    return {"events": [event(one) for one in all]}


def dependency(result: DependencyResult) -> Line:
    return {
        "task_id": result.task_id,
        "type": result.type,
        "key": result.key,
        "name": result.name,
        "state": result.state,
        "value": values.shown(result.value),
    }


def dependencies(all: list[DependencyResult]) -> Line:
    return {"dependencies": [dependency(one) for one in all]}


def children(all: list[ChildInfo]) -> Line:
    return {"children": [_child(one) for one in all]}


def _child(child: ChildInfo) -> Line:
    return {
        "name": child.name,
        "occurrence": child.occurrence,
        "task_id": child.task_id,
        "state": None if child.task is None else child.task.state,
        "on_parent_end": child.on_parent_end,
    }


def workflow_receipt(created: WorkflowReceipt) -> Line:
    return {"workflow_id": created.workflow_id, **named_receipts(created.receipts)}


def named_receipts(receipts: Mapping[str, Receipt]) -> Line:
    return {"receipts": {name: receipt(one) for name, one in receipts.items()}}


def workflow_link(link: WorkflowLink | None) -> Line | None:
    """What workflow a task is of."""
    return None if link is None else {"workflow_id": link.workflow_id, "name": link.name}


def workflow(workflow: Workflow) -> Line:
    """A WORKFLOW."""
    return {
        "workflow_id": workflow.id,
        "name": workflow.name,
        "description": workflow.description,
        "state": workflow.state,
        "tasks": workflow.tasks,
        "open_tasks": workflow.open_tasks,
        "completed_tasks": workflow.completed_tasks,
        "failed_tasks": workflow.failed_tasks,
        "cancelled_tasks": workflow.cancelled_tasks,
        "skipped_tasks": workflow.skipped_tasks,
        "progress": workflow.progress,
        "cancel_requested": workflow.cancel_requested,
        "held": workflow.held,
        "tags": list(workflow.tags),
        "metadata": dict(workflow.metadata),
    }


def workflows(all: list[Workflow]) -> Line:
    return {"workflows": [workflow(one) for one in all]}


def workflow_tasks(all: list[Task]) -> Line:
    return {"tasks": [_workflow_task(one) for one in all]}


def _workflow_task(task: Task) -> Line:
    link = task.workflow
    if link is None:
        raise Fault(f"task {task.id} is listed among a workflow's, and has no link to it")
    return {
        "name": link.name,
        "task_id": task.id,
        "type": task.type,
        "state": task.state,
        "allow_failure": link.allow_failure,
        "weight": link.weight,
        "tasks_behind": link.tasks_behind,
        "depends_on": [
            {
                "task_id": one.task_id,
                "name": one.name,
                "condition": one.condition,
                "on_failure": one.on_failure,
            }
            for one in task.dependencies
        ],
    }


def forecast(forecast: WorkflowForecast) -> Line:
    return {
        "expected_end_ms": at_ms(forecast.expected_end),
        "critical_path": [_forecast_task(one) for one in forecast.critical_path],
        "unknown_types": list(forecast.unknown_types),
    }


def _forecast_task(task: ForecastTask) -> Line:
    return {
        "task_id": task.task_id,
        "name": task.name,
        "type": task.type,
        "state": task.state,
        "expected_duration_ms": _milliseconds(task.expected_duration),
        "expected_start_ms": at_ms(task.expected_start),
        "expected_end_ms": at_ms(task.expected_end),
    }


def explanation(explanation: AssignmentExplanation) -> Line:
    return {
        "task_id": explanation.task_id,
        "state": explanation.state,
        "waiting_for": list(explanation.waiting_for),
        "agent": explanation.agent,
        "ahead": explanation.ahead,
        "agents": explanation.agents,
        "fitting": explanation.fitting,
        "candidates": [_candidate(one) for one in explanation.candidates],
        "limits": [_limit_use(one) for one in explanation.limits],
        "past": [_choice(one) for one in explanation.past],
    }


def _candidate(candidate: AssignmentCandidate) -> Line:
    return {
        "agent": candidate.agent,
        "fits": candidate.fits,
        "obstacles": [{"type": one.type, "detail": one.detail} for one in candidate.obstacles],
        "score": candidate.score,
        "success": candidate.success,
        "idle": candidate.idle,
        "affinity": candidate.affinity,
        "role": candidate.role,
    }


def _limit_use(use: LimitUse) -> Line:
    return {
        "key": use.key,
        "limit": _limit(use.limit),
        "in_use": use.in_use,
        "reached": use.reached,
        "next_at_ms": at_ms(use.next_at),
    }


def _choice(choice: AssignmentChoice) -> Line:
    return {
        "attempt": choice.attempt,
        "agent": choice.agent,
        "claimed": choice.claimed,
        "score": choice.score,
        "compared": choice.compared,
        "runners_up": [{"agent": one.agent, "score": one.score} for one in choice.runners_up],
    }


def limits(namespace: Namespace) -> Line:
    """Those that a namespace has."""
    return {"limits": [_limit(one) for one in namespace.settings.limits]}


def _limit(limit: Limit) -> Line:
    period = None if limit.rate_period is None else convert.seconds(limit.rate_period)
    return {
        "key": limit.key,
        "max_concurrent": limit.max_concurrent,
        "rate": limit.rate,
        "rate_period_ms": _milliseconds(period),
    }


def output(all: list[OutputChunk]) -> Line:
    return {"chunks": [_chunk(one) for one in all]}


def _chunk(chunk: OutputChunk) -> Line:
    """A CHUNK."""
    return {"offset": chunk.offset, "value": values.shown(chunk.value), "attempt": chunk.attempt}


def agent(agent: AgentInfo) -> Line:
    """An AGENT."""
    return {
        "name": agent.name,
        "agent_type": agent.agent_type,
        "role": agent.role,
        "state": agent.state,
        "slots": agent.slots,
        "cordoned": agent.cordoned,
        "session_epoch": agent.session_epoch,
    }


def agents(all: list[AgentInfo]) -> Line:
    return {"agents": [agent(one) for one in all]}


def claim(claim: Claim) -> Line:
    """A CLAIM."""
    return {
        "task_id": claim.task_id,
        "attempt": claim.attempt,
        "type": claim.type,
        "input": values.shown(claim.input),
        "checkpoint": values.shown(claim.checkpoint),
    }


def lease(lease: Lease) -> Line:
    return {"cancel_requested": lease.cancel_requested}


def message(message: Message) -> Line:
    """A MESSAGE."""
    return {
        "message_id": message.id,
        "sequence": message.sequence,
        "to": message.to,
        "from_agent": message.agent,
        "body": values.shown(message.body),
        "headers": dict(message.headers),
    }


def messages(all: list[Message]) -> Line:
    return {"messages": [message(one) for one in all]}


def message_receipt(receipt: MessageReceipt) -> Line:
    return {"message_id": receipt.message_id, "sequence": receipt.sequence}


def acknowledged(count: int) -> Line:
    return {"acknowledged": count}


def value(given: Any) -> Line:
    return {"value": values.shown(given)}


def nothing(_: None) -> Line:
    return {}


def at_ms(time: dt.datetime | None) -> int | None:
    """A point in time: milliseconds since 1970."""
    return None if time is None else (time - EPOCH) // dt.timedelta(milliseconds=1)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
