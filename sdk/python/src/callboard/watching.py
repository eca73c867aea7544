"""Watching events and output: streams that go on where they broke. Everything here runs on the SDK's loop."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from callboard import wire
from callboard.calls import TaskRef, task_id_of
from callboard.credentials import Metadata
from callboard.errors import StatusError, from_rpc_error, status_error
from callboard.models import Event, OutputChunk
from callboard.retry import Backoff, retryable
from callboard.transport import PACKAGE, Transport

log = logging.getLogger("callboard")

Item = TypeVar("Item")

SILENCE = 30.0
"""Seconds without a word, after which a watch is broken: the server sends something every 10 s."""

_CUT = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class Resuming(ABC, Generic[Item]):
    """A stream of a server that goes on behind what was heard last when it breaks, so that each item comes
    once."""

    method: str
    """`Service/Method`."""
    response: type[Message]

    def __init__(self, transport: Transport, request: Message, timeout: float) -> None:
        self._transport = transport
        self._request: Any = request
        self._timeout = timeout
        self._backoff = Backoff(random.random)
        self._call: Any = None
        self._metadata: Metadata = ()
        self._failing_since: float | None = None

    @abstractmethod
    def _take(self, response: Any) -> Sequence[Item]:
        """What a response brings; from now on the stream goes on behind it."""

    @abstractmethod
    def _is_whole(self) -> bool:
        """Whether everything that was asked for has come."""

    async def next(self) -> Sequence[Item] | None:
        """The next items, maybe none; None at the end that was asked for."""
        while True:
            try:
                response = await self._read()
            except StatusError as error:
                self._drop()
                if self._transport.credentials.renewed(error, self._metadata):
                    continue
                if not self._may_resume(error):
                    raise
                log.info("watching again after: %s", error)
                await asyncio.sleep(self._backoff.delay(error.retry_delay))
                self._transport.use_next_address()
                continue
            if response is None:
                return None
            self._failing_since = None
            self._backoff.reset()
            return self._take(response)

    async def close(self) -> None:
        """Ends the stream."""
        self._drop()

    async def _read(self) -> Any:
        if self._call is None:
            method = self._transport.channel().unary_stream(
                f"/{PACKAGE}.{self.method}",
                request_serializer=type(self._request).SerializeToString,
                response_deserializer=self.response.FromString,
            )
            self._metadata = self._transport.metadata()
            self._call = method(self._request, metadata=self._metadata)
        try:
            response = await asyncio.wait_for(self._call.read(), SILENCE)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.TimeoutError:
            raise status_error(grpc.StatusCode.UNAVAILABLE, f"nothing was heard for {SILENCE:g} s") from None
        if response is not grpc.aio.EOF:
            return response
        if self._is_whole():
            return None
        raise status_error(grpc.StatusCode.UNAVAILABLE, "the server ended the stream")

    def _may_resume(self, error: StatusError) -> bool:
        # A stream can also be cut below gRPC: then the status is made up here, and has no reason.
        cut = error.code in _CUT and not error.reason
        if not (retryable(error) or error.reason == "SLOW_READER" or cut):
            return False
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since < self._timeout

    def _drop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


class EventStream(Resuming[Event]):
    """Events as they are committed."""

    method = "TaskService/WatchEvents"
    response = wire.task_service.WatchEventsResponse

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        task: TaskRef | None,
        cursor: str,
        until_ended: bool,
        timeout: float,
    ) -> None:
        request = wire.task_service.WatchEventsRequest(
            namespace=namespace,
            task_id="" if task is None else task_id_of(task),
            cursor=cursor,
            until_ended=until_ended,
        )
        super().__init__(transport, request, timeout)
        self._heard = False

    @property
    def cursor(self) -> str:
        """Where it goes on."""
        return str(self._request.cursor)

    def _take(self, response: wire.task_service.WatchEventsResponse) -> Sequence[Event]:
        self._heard = True
        # Without a cursor there is nothing to resume from but the last one.
        self._request.cursor = response.cursor or self._request.cursor
        return [Event.from_wire(event) for event in response.events]

    def _is_whole(self) -> bool:
        return self._request.until_ended and self._heard


class OutputStream(Resuming[OutputChunk]):
    """The output of a run as it is given, until the run has ended."""

    method = "TaskService/WatchOutput"
    response = wire.task_service.WatchOutputResponse

    def __init__(
        self, transport: Transport, namespace: str, task: TaskRef, run: int, offset: int, timeout: float
    ) -> None:
        request = wire.task_service.WatchOutputRequest(
            namespace=namespace, task_id=task_id_of(task), run=run, offset=offset
        )
        super().__init__(transport, request, timeout)
        self._ended = False

    @property
    def offset(self) -> int:
        """Where it goes on."""
        return int(self._request.offset)

    @property
    def run(self) -> int:
        """The run; 0 before the server named it."""
        return int(self._request.run)

    def _take(self, response: wire.task_service.WatchOutputResponse) -> Sequence[OutputChunk]:
        # The latest run when the watch began: a retry doesn't change it.
        self._request.run = response.run or self._request.run
        behind = self._request.offset
        self._request.offset = max(behind, response.next_offset)
        self._ended = self._ended or response.ended
        return [OutputChunk.from_wire(chunk) for chunk in response.chunks]

    def _is_whole(self) -> bool:
        return self._ended
