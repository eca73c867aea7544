"""Looking after agents, by calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from callboard import calls
from callboard.calls import Call
from callboard.models import AgentInfo, Page

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client


class Agents:
    """Looking after agents: `client.agents`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, name: str, *, timeout: float | None = None) -> AgentInfo:
        """Gives one agent."""
        return self._client._do(calls.get_agent(self._client.namespace, name), timeout)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        agent_type: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[AgentInfo]:
        """Gives the agents by name; pages are fetched as needed."""
        namespace = self._client.namespace

        def page(token: str) -> Call[Page[AgentInfo]]:
            return calls.list_agents(
                namespace, states=states, agent_type=agent_type, page_size=page_size, page_token=token
            )

        return self._client._pages(page, timeout)

    def cordon(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> AgentInfo:
        """Gives an agent no new tasks; it keeps those that it has."""
        return self._client._do(calls.cordon(self._client.namespace, name, request_id), timeout)

    def uncordon(
        self, name: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> AgentInfo:
        """Ends a cordon."""
        return self._client._do(calls.uncordon(self._client.namespace, name, request_id), timeout)

    def remove(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> None:
        """Forgets an agent. Its session ends, and its tasks are requeued."""
        self._client._do(calls.remove(self._client.namespace, name, request_id), timeout)


class AsyncAgents:
    """Looking after agents: `client.agents`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def get(self, name: str, *, timeout: float | None = None) -> AgentInfo:
        """Gives one agent."""
        return await self._client._do(calls.get_agent(self._client.namespace, name), timeout)

    def list(
        self,
        *,
        states: Sequence[str] = (),
        agent_type: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[AgentInfo]:
        """Gives the agents by name; pages are fetched as needed."""
        namespace = self._client.namespace

        def page(token: str) -> Call[Page[AgentInfo]]:
            return calls.list_agents(
                namespace, states=states, agent_type=agent_type, page_size=page_size, page_token=token
            )

        return self._client._pages(page, timeout)

    async def cordon(
        self, name: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> AgentInfo:
        """Gives an agent no new tasks; it keeps those that it has."""
        return await self._client._do(calls.cordon(self._client.namespace, name, request_id), timeout)

    async def uncordon(
        self, name: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> AgentInfo:
        """Ends a cordon."""
        return await self._client._do(calls.uncordon(self._client.namespace, name, request_id), timeout)

    async def remove(self, name: str, *, request_id: str | None = None, timeout: float | None = None) -> None:
        """Forgets an agent. Its session ends, and its tasks are requeued."""
        await self._client._do(calls.remove(self._client.namespace, name, request_id), timeout)
