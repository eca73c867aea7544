"""The driver: every instruction is begun in its turn, runs beside the others, and is answered once."""

from __future__ import annotations

import asyncio
import logging

from conformance import lines, shown
from conformance.agents import Agents
from conformance.calls import Claims
from conformance.clients import Clients
from conformance.fields import Fields, text, whole
from conformance.gates import Gates
from conformance.lines import Fault, Line, Output
from conformance.programs import Stage
from conformance.raised import Raised
from conformance.running import MainThread
from conformance.watches import Watches

log = logging.getLogger("conformance")

PROTOCOL = 1
"""The version of the contract."""


class Driver:
    """Everything that the runner has named. Lives on one event loop."""

    def __init__(self, output: Output, main: MainThread) -> None:
        claims = Claims()
        self._output = output
        self._gates = Gates()
        self._agents = Agents(Stage(self._gates, claims, output), main)
        self._clients = Clients(claims, self._gates)
        self._watches = Watches(self._clients)
        self._running: set[asyncio.Task[None]] = set()

    def ready(self) -> None:
        """Says that it takes instructions."""
        self._output.say({"ready": {"sdk": "python", "protocol": PROTOCOL}})

    async def take(self, line: bytes | Fault) -> None:
        """Begins an instruction."""
        running = asyncio.create_task(self._answer(line))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Ends its agents, at once."""
        await self._agents.stop_all()

    async def _answer(self, line: bytes | Fault) -> None:
        number: Line = {}
        try:
            if isinstance(line, Fault):
                raise line
            instruction, changed = lines.read(line)
            fields = Fields(instruction, "the instruction")
            number = {"id": fields.take("id", whole)}
            if changed:
                raise Fault(f"{changed[0]} loses digits as a Python float")
            fields.where = fields.take("do", text)
            answer: Line = {"ok": await self._do(fields)}
        except Raised as raised:
            answer = {"error": shown.error(raised.error)}
        except Fault as fault:
            answer = {"fault": str(fault)}
        except BaseException as error:
            log.exception("the driver is broken")
            answer = {"fault": f"the driver is broken: {error!r}"}
        try:
            self._output.say(number | answer)
        except Fault as fault:
            self._output.say({**number, "fault": str(fault)})

    async def _do(self, fields: Fields) -> Line:
        name = fields.where
        kind = name.partition(".")[0]
        if name == "gate.open":
            gate = fields.take("gate", text)
            fields.all_taken()
            self._gates.open(gate)
            return {}
        if kind == "agent":
            return await self._agents.do(name, fields)
        if kind == "client":
            return await self._clients.do(name, fields)
        if kind in ("watch", "output"):
            return await self._watches.do(name, fields)
        raise Fault(f"{name} is unknown")
