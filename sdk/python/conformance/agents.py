"""Agents by their names: they are made, started, asked and ended."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

from callboard import Agent, AsyncContext, AsyncMessageContext, Context, Message
from conformance import programs
from conformance.fields import Fields, Option, flag, item, items, seconds, text, text_map, texts, whole
from conformance.lines import Fault, Line
from conformance.programs import Program, Stage
from conformance.raised import Raised, of_sdk
from conformance.turns import Async, Blocking, MessageTurn, TaskTurn, run_blocking

log = logging.getLogger("conformance")

T = TypeVar("T")

_OPTIONS = (
    Option("agent_type", text),
    Option("role", text),
    Option("skills", texts),
    Option("tools", texts),
    Option("labels", text_map),
    Option("slots", whole),
    Option("build_id", text),
    Option("drain_timeout_ms", seconds, "drain_timeout"),
    Option("token", text),
)
_HANDLER = (
    Option("description", text),
    Option("input_schema", item),
    Option("output_schema", item),
)


class MainThread:
    """What is to run on the process's main thread: `Agent.run` handles signals there alone."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def do(self, job: Callable[[], None]) -> None:
        """Has it run, after the one before."""
        self._jobs.put(job)

    def serve(self) -> None:
        """Runs what comes, until the process ends."""
        while True:
            self._jobs.get()()


class _RunAgent(Agent):
    """An agent that is run, and says when `run` has started it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        super().start()
        self.begun.get_loop().call_soon_threadsafe(self.begun.set_result, None)


class Agents:
    """The agents of the process."""

    def __init__(self, stage: Stage, main: MainThread) -> None:
        self._stage = stage
        self._main = main
        self._agents: dict[str, Agent] = {}
        # Those that are known to have ended: others may have their names.
        self._ended: set[str] = set()

    async def do(self, name: str, fields: Fields) -> Line:
        """Carries out an instruction `agent.…`."""
        called = fields.take("agent", text)
        if name == "agent.start":
            return await self._start(called, fields)
        agent = self._agents.get(called)
        if agent is None:
            raise Fault(f"there is no agent `{called}`")
        act = _ACTS.get(name)
        if act is None:
            raise Fault(f"{name} is unknown")
        try:
            told = await act(agent, fields)
        except Raised:
            self._ended.add(called)
            raise
        if told.get("ended") or name == "agent.stop":
            self._ended.add(called)
        return told

    async def stop_all(self) -> None:
        """Ends all of them, without a drain."""
        stopping = [in_thread(agent.stop) for agent in self._agents.values()]
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
            agent = _RunAgent(**options) if signals else Agent(**options)
            for register in handlers:
                register(agent)
            if messages is not None:
                agent.on_message(_message_handler(messages))
            if isinstance(agent, _RunAgent):
                self._main.do(lambda: _run(agent))
                await agent.begun
            else:
                agent.start()
        self._agents[name] = agent
        self._ended.discard(name)
        return {}


async def _attached(agent: Agent, fields: Fields) -> Line:
    timeout = fields.take("timeout_ms", seconds)
    fields.all_taken()
    with of_sdk():
        await in_thread(lambda: agent.wait_attached(timeout))
        return _shown(agent)


async def _status(agent: Agent, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        return _shown(agent)


async def _drain(agent: Agent, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        agent.drain()
    return {}


async def _stop(agent: Agent, fields: Fields) -> Line:
    fields.all_taken()
    with of_sdk():
        await in_thread(agent.stop)
    return {}


async def _wait(agent: Agent, fields: Fields) -> Line:
    timeout = fields.take("timeout_ms", seconds)
    fields.all_taken()
    with of_sdk():
        return {"ended": await in_thread(lambda: agent.wait(timeout))}


_ACTS: dict[str, Callable[[Agent, Fields], Awaitable[Line]]] = {
    "agent.attached": _attached,
    "agent.status": _status,
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


def _run(agent: _RunAgent) -> None:
    try:
        agent.run()
    except BaseException as error:  # `agent.wait` tells it, too
        loop = agent.begun.get_loop()
        loop.call_soon_threadsafe(_not_begun, agent.begun, error)


def _not_begun(begun: asyncio.Future[None], error: BaseException) -> None:
    if not begun.done():
        begun.set_exception(error)


# Handlers.


def _handler(line: Line, stage: Stage) -> Callable[[Agent], object]:
    """What registers a handler with its agent."""
    fields = Fields(line, "the handler")
    type, given = fields.take("type", text), fields.given(*_HANDLER)
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


async def in_thread(work: Callable[[], T]) -> T:
    """Does what blocks on a thread of its own: a pool's would make some wait for others, and would keep the
    process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            outcome = work()
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, outcome)

    threading.Thread(target=run, name="conformance-call", daemon=True).start()
    return await done
