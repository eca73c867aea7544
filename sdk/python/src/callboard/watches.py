"""Watches as callers have them: to be iterated over, with a place to resume from."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from callboard import loop
from callboard.models import Event, OutputChunk
from callboard.payload import content_size
from callboard.watching import EventStream, OutputStream

if TYPE_CHECKING:
    from typing_extensions import Self


class _Events:
    """Events that were heard and not yet given."""

    def __init__(self, stream: EventStream, cursor: str) -> None:
        self._stream = stream
        self._waiting: deque[Event] = deque()
        self.cursor = cursor
        """Resume from here: behind the last event that was given, or a little before."""

    def _heard(self, events: Sequence[Event]) -> None:
        self._waiting.extend(events)
        if not events:
            self.cursor = self._stream.cursor

    def _give(self) -> Event:
        event = self._waiting.popleft()
        if not self._waiting:
            self.cursor = self._stream.cursor
        return event


class _Output:
    """Output that was heard and not yet given."""

    def __init__(self, stream: OutputStream, offset: int) -> None:
        self._stream = stream
        self._waiting: deque[OutputChunk] = deque()
        self.offset = offset
        """Resume from here: behind the last chunk that was given."""

    @property
    def run(self) -> int:
        """The run; 0 before the server named it."""
        return self._stream.run

    def _heard(self, chunks: Sequence[OutputChunk]) -> None:
        self._waiting.extend(chunks)

    def _give(self) -> OutputChunk:
        chunk = self._waiting.popleft()
        self.offset = chunk.offset + content_size(chunk.payload)
        return chunk


class Watch(_Events, Iterator[Event]):
    """Events as they come; iterate over it. It goes on by itself when the connection breaks."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._waiting:
            events = loop.block_on(self._stream.next())
            if events is None:
                raise StopIteration
            self._heard(events)
        return self._give()

    def close(self) -> None:
        """Ends the stream."""
        loop.block_on(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OutputWatch(_Output, Iterator[OutputChunk]):
    """Output as it comes; iterate over it. It goes on by itself when the connection breaks, and ends with the
    run."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OutputChunk:
        while not self._waiting:
            chunks = loop.block_on(self._stream.next())
            if chunks is None:
                raise StopIteration
            self._heard(chunks)
        return self._give()

    def close(self) -> None:
        """Ends the stream."""
        loop.block_on(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncWatch(_Events, AsyncIterator[Event]):
    """Events as they come; iterate over it with `async for`. It goes on by itself when the connection
    breaks."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            events = await loop.bridge(self._stream.next())
            if events is None:
                raise StopAsyncIteration
            self._heard(events)
        return self._give()

    async def close(self) -> None:
        """Ends the stream."""
        await loop.bridge(self._stream.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncOutputWatch(_Output, AsyncIterator[OutputChunk]):
    """Output as it comes; iterate over it with `async for`. It goes on by itself when the connection breaks,
    and ends with the run."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        while not self._waiting:
            chunks = await loop.bridge(self._stream.next())
            if chunks is None:
                raise StopAsyncIteration
            self._heard(chunks)
        return self._give()

    async def close(self) -> None:
        """Ends the stream."""
        await loop.bridge(self._stream.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
