"""Looking after namespaces, by calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from callboard import calls
from callboard.spec import Namespace, NamespaceSettings

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client


class Namespaces:
    """Looking after namespaces: `client.namespaces`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self,
        name: str,
        settings: NamespaceSettings | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Namespace:
        """Creates a namespace."""
        return self._client._do(calls.create_namespace(name, settings, request_id), timeout)

    def get(self, name: str = "", *, timeout: float | None = None) -> Namespace:
        """Gives a namespace with its settings."""
        return self._client._do(calls.get_namespace(name), timeout)

    def list(self, *, timeout: float | None = None) -> Iterator[Namespace]:
        """Gives the namespaces by name; pages are fetched as needed."""
        return self._client._pages(calls.list_namespaces, timeout)

    def update(
        self,
        name: str,
        settings: NamespaceSettings,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Namespace:
        """Replaces all settings of a namespace."""
        return self._client._do(calls.update_namespace(name, settings, request_id), timeout)


class AsyncNamespaces:
    """Looking after namespaces: `client.namespaces`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def create(
        self,
        name: str,
        settings: NamespaceSettings | None = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Namespace:
        """Creates a namespace."""
        return await self._client._do(calls.create_namespace(name, settings, request_id), timeout)

    async def get(self, name: str = "", *, timeout: float | None = None) -> Namespace:
        """Gives a namespace with its settings."""
        return await self._client._do(calls.get_namespace(name), timeout)

    def list(self, *, timeout: float | None = None) -> AsyncIterator[Namespace]:
        """Gives the namespaces by name; pages are fetched as needed."""
        return self._client._pages(calls.list_namespaces, timeout)

    async def update(
        self,
        name: str,
        settings: NamespaceSettings,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Namespace:
        """Replaces all settings of a namespace."""
        return await self._client._do(calls.update_namespace(name, settings, request_id), timeout)
