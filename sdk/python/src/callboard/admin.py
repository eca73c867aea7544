"""The server process itself: `client.admin`. For principals with all namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard import wire
from callboard.calls import Call

if TYPE_CHECKING:
    from callboard import aio
    from callboard.client import Client

service = wire.admin_service


@dataclass(frozen=True)
class LogFilterChange:
    """The filter of a server's log, before and after it was set."""

    previous: str
    """What it was. When the call had to be repeated it may be the new one already."""
    filter: str
    """What it is now."""


def get_log_filter() -> Call[str]:
    """GetLogFilter."""
    request = service.GetLogFilterRequest()
    return Call(
        "AdminService/GetLogFilter", request, service.GetLogFilterResponse, lambda answer: str(answer.filter)
    )


def set_log_filter(filter: str) -> Call[LogFilterChange]:
    """SetLogFilter."""
    return Call(
        "AdminService/SetLogFilter",
        service.SetLogFilterRequest(filter=filter),
        service.SetLogFilterResponse,
        lambda answer: LogFilterChange(answer.previous, answer.filter),
    )


class Admin:
    """The server process that answers: `client.admin`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def log_filter(self, *, timeout: float | None = None) -> str:
        """Gives the filter of the server's log."""
        return self._client._do(get_log_filter(), timeout)

    def set_log_filter(self, filter: str, *, timeout: float | None = None) -> LogFilterChange:
        """Sets the filter of the server's log, until that server ends: `info,callboard_engine=debug`. Raises
        InvalidArgument when it can't be read; then the log stays as it was."""
        return self._client._do(set_log_filter(filter), timeout)


class AsyncAdmin:
    """The same for asyncio: `client.admin` of `callboard.aio.Client`."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client

    async def log_filter(self, *, timeout: float | None = None) -> str:
        """Gives the filter of the server's log."""
        return await self._client._do(get_log_filter(), timeout)

    async def set_log_filter(self, filter: str, *, timeout: float | None = None) -> LogFilterChange:
        """Sets the filter of the server's log, until that server ends."""
        return await self._client._do(set_log_filter(filter), timeout)
