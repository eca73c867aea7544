"""Clients by their names, and what is asked of them."""

from __future__ import annotations

from callboard import aio
from conformance import calls
from conformance.calls import Claims
from conformance.fields import Fields, Option, seconds, text
from conformance.interceptors import INTERCEPTORS
from conformance.lines import Fault, Line
from conformance.raised import of_sdk


class Clients:
    """The clients of the process."""

    def __init__(self, claims: Claims) -> None:
        self._clients: dict[str, aio.Client] = {}
        self._claims = claims

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
        call = calls.read(name, fields, self._claims)
        with of_sdk():
            return await call.ask(client)

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
