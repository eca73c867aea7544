"""Clients by their names, and what is asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from callboard import aio
from conformance import calls, shown, spec
from conformance.calls import Claims
from conformance.fields import Fields, Option, items, seconds, text
from conformance.gates import Gates
from conformance.interceptors import INTERCEPTORS
from conformance.lines import Fault, Line
from conformance.raised import of_sdk


def _outcome(given: object) -> Line:
    return {"error": shown.error(given)} if isinstance(given, Exception) else shown.value(given)


class Clients:
    """The clients of the process."""

    def __init__(self, claims: Claims, gates: Gates) -> None:
        self._clients: dict[str, aio.Client] = {}
        self._claims = claims
        self._gates = gates

    async def do(self, name: str, fields: Fields) -> Line:
        """Carries out an instruction `client.…`."""
        called = fields.take("client", text)
        if name == "client.open":
            return self._open(called, fields)
        client = self.find(called)
        if name == "client.close":
            fields.all_taken()
            del self._clients[called]
            with of_sdk():
                await client.close()
            return {}
        if name == "client.run_all":
            return await self._run_all(client, fields)
        give_up = fields.get("give_up", text) if name == "client.run" else None
        call = calls.read(name, fields, self._claims)
        with of_sdk():
            asked = call.ask(client)
            return await (asked if give_up is None else self._unless_given_up(asked, give_up))

    async def _unless_given_up(self, asked: Coroutine[Any, Any, Line], gate: str) -> Line:
        """Cancels the call when the gate opens first."""
        asking = asyncio.ensure_future(asked)
        passing = asyncio.wrap_future(self._gates.passing(gate))
        both: list[asyncio.Future[Any]] = [asking, passing]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            passing.cancel()
            return asking.result()
        asking.cancel()
        await asyncio.wait([asking])
        return {"given_up": True}

    async def _run_all(self, client: aio.Client, fields: Fields) -> Line:
        """Runs all at once. What became of each is its own."""
        specs = [spec.arguments(one) for one in fields.take("tasks", items)]
        given = fields.given(calls.TIMEOUT)
        fields.all_taken()
        running = [client.run(**one, **given) for one in specs]
        return {"outcomes": [_outcome(one) for one in await asyncio.gather(*running, return_exceptions=True)]}

    def find(self, name: str) -> aio.Client:
        client = self._clients.get(name)
        if client is None:
            raise Fault(f"there is no client `{name}`")
        return client

    def _open(self, name: str, fields: Fields) -> Line:
        if name in self._clients:
            raise Fault(f"there is a client `{name}` already")
        given = fields.given(
            Option("address", text),
            Option("namespace", text),
            Option("timeout_ms", seconds, "timeout"),
            Option("token", text),
            INTERCEPTORS,
        )
        fields.all_taken()
        with of_sdk():
            self._clients[name] = aio.Client(**given)
        return {}
