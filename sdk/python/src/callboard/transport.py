"""Channels, and calls over them with their retries. Everything here runs on the SDK's loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc

from callboard._version import __version__
from callboard.calls import Call
from callboard.credentials import Credentials, Metadata
from callboard.errors import StatusError, from_rpc_error
from callboard.retry import LONGEST_DELAY, Retries
from callboard.settings import Address

T = TypeVar("T")

MAX_MESSAGE = 4 * 1024 * 1024
PACKAGE = "callboard.v1"


def open_channel(address: Address, credentials: Credentials) -> grpc.aio.Channel:
    """A channel of its own to one address. Retries are the SDK's, and connecting again never waits for
    long."""
    options: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"callboard-python/{__version__}"),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # Despite its name, how long one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", int(LONGEST_DELAY * 1000)),
        # Agents of a process don't share a connection: one that stalls must not stall another.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if address.loopback:
        options.append(("grpc.enable_http_proxy", 0))
    if address.secure:
        return grpc.aio.secure_channel(address.target, credentials.channel_credentials(), options=options)
    return grpc.aio.insecure_channel(address.target, options=options)


class Transport:
    """A channel per address, opened when it is first needed, and the address that is in use now."""

    def __init__(self, addresses: Sequence[Address], credentials: Credentials) -> None:
        credentials.check(addresses)
        self.credentials = credentials
        self._addresses = tuple(addresses)
        self._current = 0
        self._channels: dict[int, grpc.aio.Channel] = {}
        # The calls that were made before, by their address and method.
        self._methods: dict[tuple[int, str], Any] = {}
        self._closed = False

    def channel(self) -> grpc.aio.Channel:
        """The channel to the current address."""
        if self._closed:
            raise RuntimeError("the client is closed: make another")
        if self._current not in self._channels:
            self._channels[self._current] = open_channel(self._addresses[self._current], self.credentials)
        return self._channels[self._current]

    def metadata(self) -> Metadata:
        """What goes with every call over the current channel."""
        return self.credentials.metadata(self._addresses[self._current])

    @property
    def address(self) -> int:
        """Which of the addresses is in use now."""
        return self._current

    @property
    def has_other_addresses(self) -> bool:
        """Whether there is another one to turn to."""
        return len(self._addresses) > 1

    def use_next_address(self) -> None:
        """Turns to the next address, for a retry."""
        self._current = (self._current + 1) % len(self._addresses)

    def leave(self, address: int) -> None:
        """Turns to the next address, unless another call did so meanwhile."""
        if self._current == address:
            self.use_next_address()

    async def unary(self, call: Call[T], timeout: float) -> T:
        """Makes a call, with retries until the timeout; what is raised then is the last status. When nobody
        answered in that time, the next call begins at the next address."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        retries = Retries(deadline, random.random)
        while True:
            metadata, address = self.metadata(), self.address
            try:
                return call.read(await self._attempt(call, max(0.001, deadline - clock()), metadata))
            except StatusError as error:
                if self.credentials.renewed(error, metadata):
                    continue
                delay = retries.delay(error, clock())
                if delay is None:
                    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
                        self.leave(address)
                    raise
            await asyncio.sleep(delay)
            self.leave(address)

    async def _attempt(self, call: Call[Any], timeout: float, metadata: Metadata) -> Any:
        method = self._methods.get((self._current, call.method)) or self._method(call)
        try:
            return await method(call.request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    def _method(self, call: Call[Any]) -> Any:
        method = self.channel().unary_unary(
            f"/{PACKAGE}.{call.method}",
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        self._methods[self._current, call.method] = method
        return method

    async def until_disconnected(self) -> None:
        """Returns when the connection to the current address is lost: what is connected to next may be
        another server."""
        channel = self.channel()
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)

    async def close(self) -> None:
        """Closes all channels; calls that are still under way fail."""
        self._closed = True
        channels, self._channels = self._channels, {}
        self._methods.clear()
        for channel in channels.values():
            await channel.close()
