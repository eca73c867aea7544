"""Agents by their names: they are made, started, asked and ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from callboard import Agent, AsyncContext, AsyncMessageContext, Context, Message
from conformance import programs
from conformance.fields import (
    Fields,
    Option,
    flag,
    item,
    items,
    number_map,
    seconds,
    text,
    text_map,
    texts,
    whole,
)
from conformance.interceptors import INTERCEPTORS
from conformance.lines import Fault, Line
from conformance.programs import Program, Stage
from conformance.raised import Raised, of_sdk
from conformance.running import Background, Foreground, MainThread, Running, SignalledAgent, in_thread
from conformance.turns import Async, Blocking, MessageTurn, TaskTurn, run_blocking
from conformance.typed import bill

log = logging.getLogger("conformance")

_OPTIONS = (
    Option("agent_type", text),
    Option("role", text),
    Option("skills", texts),
    Option("tools", texts),
    Option("labels", text_map),
    Option("resources", number_map),
    Option("slots", whole),
    Option("build_id", text),
    Option("drain_timeout_ms", seconds, "drain_timeout"),
    Option("token", text),
    Option("health", text),
    INTERCEPTORS,
)
_HANDLER = (
    Option("description", text),
    Option("input_schema", item),
    Option("output_schema", item),
)


class Agents:
    """The agents of the process."""

    def __init__(self, stage: Stage, main: MainThread) -> None:
        self._stage = stage
        self._main = main
        self._agents: dict[str, Running] = {}
        # Those that are known to have ended: others may have their names.
        self._ended: set[str] = set()

    async def do(self, name: str, fields: Fields) -> Line:
        """Carries out an instruction `agent.…`."""
        called = fields.take("agent", text)
        if name == "agent.start":
            return await self._start(called, fields)
        running = self._agents.get(called)
        if running is None:
            raise Fault(f"there is no agent `{called}`")
        act = _ACTS.get(name)
        if act is None:
            raise Fault(f"{name} is unknown")
        try:
            told = await act(running, fields)
        except Raised:
            self._ended.add(called)
            raise
        if told.get("ended") or name == "agent.stop":
            self._ended.add(called)
        return told

    async def stop_all(self) -> None:
        """Ends all of them, without a drain."""
        stopping = [in_thread(running.agent.stop) for running in self._agents.values()]
        for error in await asyncio.gather(*stopping, return_exceptions=True):
            if isinstance(error, BaseException):
                log.info("an agent had ended with an error", exc_info=error)

    async def _start(self, name: str, fields: Fields) -> Line:
        if name in self._agents and name not in self._ended:
            raise Fault(f"there is an agent `{name}` already")
        options = _options(fields.take("options", item))
        handlers = [_handler(one, self._stage) for one in fields.take("handlers", items)]
        on_message = fields.get("on_message", items)
        messages = None if on_message is None else programs.read_for_messages(on_message, self._stage)
        signals = fields.get("signals", flag, False)
        fields.all_taken()
        with of_sdk():
            agent = SignalledAgent(**options) if signals else Agent(**options)
            for register in handlers:
                register(agent)
            if messages is not None:
                agent.on_message(_message_handler(messages))
            if isinstance(agent, SignalledAgent):
                self._agents[name] = await Foreground.start(agent, self._main)
            else:
                self._agents[name] = Background(agent)
        self._ended.discard(name)
        return {}


async def _attached(running: Running, fields: Fields) -> Line:
    timeout = fields.take("timeout_ms", seconds)
    fields.all_taken()
    with of_sdk():
        await in_thread(lambda: running.agent.wait_attached(timeout))
        return _shown(running.agent)


async def _status(running: Running, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        return _shown(running.agent)


async def _health(running: Running, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        return {"address": running.agent.health_address}


async def _drain(running: Running, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        running.agent.drain()
    return {}


async def _stop(running: Running, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        await in_thread(running.agent.stop)
    return {}


async def _wait(running: Running, fields: Fields) -> Line:
    timeout = fields.take("timeout_ms", seconds)
    fields.all_taken()
    with of_sdk():
        return {"ended": await running.wait(timeout)}


_ACTS: dict[str, Callable[[Running, Fields], Awaitable[Line]]] = {
    "agent.attached": _attached,
    "agent.status": _status,
    "agent.health": _health,
    "agent.drain": _drain,
    "agent.stop": _stop,
    "agent.wait": _wait,
}


def _options(line: Line) -> dict[str, Any]:
    fields = Fields(line, "the agent's options")
    given = {name: fields.take(name, text) for name in ("name", "address", "namespace")}
    given |= fields.given(*_OPTIONS)
    fields.all_taken()
    return given


def _shown(agent: Agent) -> Line:
    return {
        "attached": agent.attached,
        "agent_id": agent.agent_id,
        "session_epoch": agent.session_epoch,
    }


# Handlers.


def _handler(line: Line, stage: Stage) -> Callable[[Agent], object]:
    """What registers a handler with its agent."""
    fields = Fields(line, "the handler")
    type, typed = fields.take("type", text), fields.get("typed", text)
    if typed is not None:
        fields.all_taken()
        if typed != "order":
            raise Fault(f"the handler: there is no typed one `{typed}`")
        return lambda agent: agent.task(type)(bill)
    given = fields.given(*_HANDLER)
    program = programs.read_for_tasks(fields.take("program", items), stage)
    style = fields.get("style", text, "async")
    fields.all_taken()
    if style not in ("sync", "async"):
        raise Fault(f"the handler: there is no style `{style}`")
    handler = _async_handler(program) if style == "async" else _sync_handler(program)
    return lambda agent: agent.task(type, **given)(handler)


def _async_handler(program: Program[TaskTurn]) -> Callable[..., Any]:
    async def handle(input: Any, ctx: AsyncContext) -> Any:
        return await program.run(TaskTurn(input, ctx, Async()))

    return handle


def _sync_handler(program: Program[TaskTurn]) -> Callable[..., Any]:
    def handle(input: Any, ctx: Context) -> Any:
        return run_blocking(program.run(TaskTurn(input, ctx, Blocking(ctx.cancelled))))

    return handle


def _message_handler(program: Program[MessageTurn]) -> Callable[..., Any]:
    deliveries: dict[str, count[int]] = {}

    async def handle(message: Message, ctx: AsyncMessageContext) -> None:
        delivery = next(deliveries.setdefault(message.id, count(1)))
        await program.run(MessageTurn(message, ctx, Async(), delivery))

    return handle
