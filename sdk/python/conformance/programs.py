"""The programs of handlers, which come as data: see "Programs" in DRIVER.md."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from callboard import TaskError
from conformance import calls, shown, spec
from conformance.calls import Claims
from conformance.fields import Fields, Option, flag, item, items, number, seconds, text, texts, value, whole
from conformance.gates import Gates
from conformance.lines import Fault, Line, Output
from conformance.raised import Raised, of_sdk
from conformance.turns import MessageTurn, TaskTurn, Turn
from conformance.values import shown as shown_value

AnyTurn = TypeVar("AnyTurn", bound=Turn)


class ConformanceError(Exception):
    """An ordinary error, as a user's handler raises one."""


@dataclass(frozen=True)
class Result:
    """The program ends with this result."""

    value: Any


Step: TypeAlias = Callable[[AnyTurn], Awaitable["Result | None"]]
"""What an op does; it ends the program when it gives a Result, or raises."""


@dataclass(frozen=True)
class Stage:
    """What programs play with, besides the SDK."""

    gates: Gates
    claims: Claims
    output: Output


@dataclass(frozen=True)
class _Op(Generic[AnyTurn]):
    step: Step[AnyTurn]
    # Only in the attempt, or delivery, of this number.
    only_in: int | None


class Program(Generic[AnyTurn]):
    """A program that was read."""

    def __init__(self, ops: list[_Op[AnyTurn]]) -> None:
        self._ops = ops

    async def run(self, turn: AnyTurn) -> Any:
        """Carries out its ops, and gives its result."""
        for op in self._ops:
            if op.only_in in (None, turn.number):
                end = await op.step(turn)
                if end is not None:
                    return end.value
        return None


def read_for_tasks(lines: list[Line], stage: Stage) -> Program[TaskTurn]:
    """A program for a handler of tasks."""
    return Program([_read(line, "attempt", _FOR_TASKS, stage) for line in lines])


def read_for_messages(lines: list[Line], stage: Stage) -> Program[MessageTurn]:
    """A program for a handler of messages."""
    return Program([_read(line, "delivery", _FOR_MESSAGES, stage) for line in lines])


_Reader: TypeAlias = Callable[[Fields, Stage], Step[AnyTurn]]


def _read(line: Line, number: str, readers: dict[str, _Reader[AnyTurn]], stage: Stage) -> _Op[AnyTurn]:
    fields = Fields(line, "an op")
    name = fields.take("op", text)
    fields.where = f"op `{name}`"
    if name not in readers:
        raise Fault(f"{fields.where} is unknown here")
    only_in = fields.get(number, whole)
    step = readers[name](fields, stage)
    fields.all_taken()
    return _Op(step, only_in)


# What handlers of both kinds do.


def _see(sees: frozenset[str]) -> _Reader[Turn]:
    def read(fields: Fields, _: Stage) -> Step[Turn]:
        what = fields.take("what", texts)
        if unknown := sorted(set(what) - sees):
            raise Fault(f"{fields.where}: {', '.join(unknown)} is not to be seen here")

        async def step(turn: Turn) -> None:
            turn.see(what)

        return step

    return read


def _call(fields: Fields, stage: Stage) -> Step[Turn]:
    name = fields.take("as", text)
    asked = Fields(fields.take("call", item), f"{fields.where}: the call")
    call = calls.read(asked.take("do", text), asked, stage.claims)

    async def step(turn: Turn) -> None:
        try:
            with of_sdk():
                turn.seen[name] = {"ok": await turn.style.ask(call, turn.context)}
        except Raised as raised:
            if not isinstance(raised.error, Exception):
                raise raised.error from None  # the handler's own cancellation
            turn.seen[name] = {"error": shown.error(raised.error)}

    return step


def _fail(fields: Fields, _: Stage) -> Step[Turn]:
    message, how = fields.take("message", text), fields.given(*calls.FAILURE)

    async def step(turn: Turn) -> None:
        raise TaskError(message, **how)

    return step


def _raise(fields: Fields, _: Stage) -> Step[Turn]:
    message, cause = fields.take("message", text), fields.get("cause", text)

    async def step(turn: Turn) -> None:
        raise ConformanceError(message) from None if cause is None else ConformanceError(cause)

    return step


def _panic(fields: Fields, _: Stage) -> Step[Turn]:
    message = fields.take("message", text)

    async def step(turn: Turn) -> None:
        raise ConformanceError(message)

    return step


def _gate(fields: Fields, stage: Stage) -> Step[Turn]:
    gate, ignore = fields.take("gate", text), fields.get("ignore_cancellation", flag, False)

    async def step(turn: Turn) -> None:
        stage.output.say({"saw": "gate", "gate": gate, **turn.names})
        await turn.style.wait(stage.gates.passing(gate), ignore)

    return step


def _await_cancelled(_: Fields, __: Stage) -> Step[Turn]:
    async def step(turn: Turn) -> None:
        await turn.style.cancelled()

    return step


def _cancelled(_: Fields, __: Stage) -> Step[Turn]:
    async def step(turn: Turn) -> None:
        raise turn.style.cancellation()

    return step


def _sleep(fields: Fields, _: Stage) -> Step[Turn]:
    span = fields.take("ms", seconds)

    async def step(turn: Turn) -> None:
        await turn.style.sleep(span)

    return step


def _burn(fields: Fields, _: Stage) -> Step[Turn]:
    span = fields.take("ms", seconds)

    async def step(turn: Turn) -> None:
        end = time.monotonic() + span
        while time.monotonic() < end:
            pass

    return step


def _block(fields: Fields, _: Stage) -> Step[Turn]:
    span = fields.take("ms", seconds)

    async def step(turn: Turn) -> None:
        time.sleep(span)  # noqa: ASYNC251 - this is what the op is for

    return step


def _send(fields: Fields, _: Stage) -> Step[Turn]:
    to, body, given = fields.take("to", text), fields.take("body", value), fields.given(*calls.MESSAGE)

    async def step(turn: Turn) -> None:
        await turn.style.given(turn.context.send(to, body, **given))

    return step


# What a handler of tasks does.


def _return(fields: Fields, _: Stage) -> Step[TaskTurn]:
    result = fields.take("value", value)

    async def step(turn: TaskTurn) -> Result:
        return Result(result)

    return step


def _return_input(_: Fields, __: Stage) -> Step[TaskTurn]:
    async def step(turn: TaskTurn) -> Result:
        return Result(turn.input)

    return step


def _return_payload(_: Fields, __: Stage) -> Step[TaskTurn]:
    async def step(turn: TaskTurn) -> Result:
        return Result(turn.task.payload)

    return step


def _return_seen(_: Fields, __: Stage) -> Step[Turn]:
    async def step(turn: Turn) -> Result:
        return Result(turn.seen)

    return step


def _checkpoint(fields: Fields, _: Stage) -> Step[TaskTurn]:
    saved = fields.take("value", value)

    async def step(turn: TaskTurn) -> None:
        await turn.style.given(turn.task.save_checkpoint(saved))

    return step


def _progress(fields: Fields, _: Stage) -> Step[TaskTurn]:
    given = fields.given(Option("fraction", number), Option("phase", text), Option("message", text))

    async def step(turn: TaskTurn) -> None:
        turn.task.progress(**given)

    return step


def _step(fields: Fields, stage: Stage) -> Step[TaskTurn]:
    name, seen_as = fields.take("name", text), fields.take("as", text)
    program = read_for_tasks(fields.take("program", items), stage)
    catch = fields.get("catch", flag, False)

    async def step(turn: TaskTurn) -> None:
        with turn.catching(seen_as, catch):
            given = turn.task.step(name, lambda: turn.style.play(program.run(turn)))
            turn.seen[seen_as] = shown_value(await turn.style.given(given))

    return step


def _child(fields: Fields, _: Stage) -> Step[TaskTurn]:
    task, seen_as = spec.arguments(fields.take("task", item)), fields.take("as", text)
    given = task | fields.given(Option("name", text), Option("on_parent_end", text))
    keep, catch = fields.get("keep", flag, False), fields.get("catch", flag, False)

    async def step(turn: TaskTurn) -> None:
        with turn.catching(seen_as, catch):
            if not keep:
                result = await turn.style.given(turn.task.run_child(**given))
                turn.seen[seen_as] = shown_value(result)
                return
            child = turn.children[seen_as] = await turn.style.given(turn.task.start_child(**given))
            turn.seen[seen_as] = {"task_id": child.id, "existing": child.existing}

    return step


def _join(fields: Fields, _: Stage) -> Step[TaskTurn]:
    names, seen_as = fields.take("children", texts), fields.take("as", text)
    catch = fields.get("catch", flag, False)

    async def step(turn: TaskTurn) -> None:
        with turn.catching(seen_as, catch):
            results = await turn.style.join([turn.children[name] for name in names])
            turn.seen[seen_as] = [shown_value(result) for result in results]

    return step


def _wait_children(fields: Fields, _: Stage) -> Step[TaskTurn]:
    names, seen_as = fields.take("children", texts), fields.take("as", text)
    given, catch = (
        fields.given(Option("count", whole), Option("rest", text)),
        fields.get("catch", flag, False),
    )

    async def step(turn: TaskTurn) -> None:
        children: list[Any] = [turn.children[name] for name in names]
        by_id = {child.id: name for name, child in zip(names, children, strict=True)}
        with turn.catching(seen_as, catch):
            completed = await turn.style.given(turn.task.wait_children(children, **given))
            turn.seen[seen_as] = [by_id[task.id] for task in completed]

    return step


def _output(fields: Fields, _: Stage) -> Step[TaskTurn]:
    given, times = fields.take("value", value), fields.get("times", whole, 1)
    catch = fields.get("catch", flag, False)

    async def step(turn: TaskTurn) -> None:
        with turn.catching("output", catch):
            for number in range(times):
                one = given.replace("{n}", str(number)) if isinstance(given, str) else given
                await turn.style.given(turn.task.output(one))

    return step


# What a handler of messages does.


def _just_end(fields: Fields, _: Stage) -> Step[Turn]:
    # Messages have no result.
    fields.get("value", value)

    async def step(turn: Turn) -> Result:
        return Result(None)

    return step


def _reply(_: Fields, __: Stage) -> Step[MessageTurn]:
    async def step(turn: MessageTurn) -> None:
        message = turn.message
        await turn.style.given(turn.context.send(message.agent, message.payload, headers=message.headers))

    return step


_FOR_BOTH: dict[str, _Reader[Turn]] = {
    "call": _call,
    "fail": _fail,
    "raise": _raise,
    "panic": _panic,
    "gate": _gate,
    "await_cancelled": _await_cancelled,
    "cancelled": _cancelled,
    "sleep": _sleep,
    "burn": _burn,
    "block": _block,
    "send": _send,
}
_FOR_TASKS: dict[str, _Reader[TaskTurn]] = {
    **_FOR_BOTH,
    "see": _see(TaskTurn.SEES),
    "return": _return,
    "return_input": _return_input,
    "return_payload": _return_payload,
    "return_seen": _return_seen,
    "checkpoint": _checkpoint,
    "progress": _progress,
    "step": _step,
    "child": _child,
    "join": _join,
    "wait_children": _wait_children,
    "output": _output,
}
_FOR_MESSAGES: dict[str, _Reader[MessageTurn]] = {
    **_FOR_BOTH,
    "see": _see(MessageTurn.SEES),
    **dict.fromkeys(("return", "return_input", "return_payload", "return_seen"), _just_end),
    "reply": _reply,
}
