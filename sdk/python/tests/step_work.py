"""An agent, sync or async, whose handler does a test's steps and tells what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from fake_server import PATIENCE, FakeServer
from waiting import Told

from callboard import Agent, AsyncContext, Context, wire
from callboard.payload import encode

Work: TypeAlias = Generator[tuple[str, Callable[[], Any]], Any, Any]
"""What a handler does, sync or async: it yields steps, and is given their results or errors."""


class AgentOf:
    """An agent with one handler, sync or async, that does the work it is given, and tells its outcome."""

    def __init__(self, flavour: str, server: FakeServer) -> None:
        self._server = server
        self._agent = Agent("worker", slots=2, address=server.address, drain_timeout=0.1)
        self._agent.task("work")(self._sync if flavour == "sync" else self._async)
        self._outcomes: Told[Any] = Told()

    def does(self, work: Callable[[], Work], *steps: wire.step.Step, step_count: int = 0) -> AgentOf:
        """Starts the agent, and gives it the task."""
        self._work = work
        self._agent.start()
        self.stream = self._server.agents.stream()
        self.stream.assign("t1", "work", steps=steps, step_count=step_count)
        return self

    def outcome(self) -> Any:
        """What the work gave; raises what it raised."""
        outcome = self._outcomes.next()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def recorded(self) -> list[tuple[str, int, str]]:
        """The steps that were reported before the attempt's end, with their results."""
        records: list[tuple[str, int, str]] = []
        while True:
            report = self._server.agents.reports.get(timeout=PATIENCE)
            if report.HasField("completed") or report.HasField("failed"):
                return records
            if report.HasField("step"):
                records.append((report.step.name, report.step.occurrence, report.step.result.text))

    def end(self) -> None:
        self._agent.stop()
        assert self._agent.wait(PATIENCE)

    def _sync(self, input: Any, ctx: Context) -> None:
        self.context = ctx
        work = self._work()
        try:
            asked = next(work)
            while True:
                try:
                    given = ctx.step(*asked)
                except Exception as error:
                    asked = work.throw(error)
                else:
                    asked = work.send(given)
        except StopIteration as end:
            self._outcomes.tell(end.value)
        except Exception as error:
            self._outcomes.tell(error)

    async def _async(self, input: Any, ctx: AsyncContext) -> None:
        work = self._work()
        try:
            name, function = next(work)
            while True:
                try:
                    given = await ctx.step(name, _awaited(function))
                except Exception as error:
                    name, function = work.throw(error)
                else:
                    name, function = work.send(given)
        except StopIteration as end:
            self._outcomes.tell(end.value)
        except Exception as error:
            self._outcomes.tell(error)


def _awaited(function: Callable[[], Any]) -> Callable[[], Any]:
    async def awaited() -> Any:
        await asyncio.sleep(0)
        return function()

    return awaited


def recorded(name: str, value: Any, occurrence: int = 0, ordinal: int = 1) -> wire.step.Step:
    result = encode(value, "result")
    return wire.step.Step(name=name, occurrence=occurrence, ordinal=ordinal, result=result, attempt=1)


def give(result: Any) -> Any:
    return result


def never() -> Any:
    raise AssertionError("it must not run")
