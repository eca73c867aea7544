"""Output of handlers, without any I/O: what is given is divided into chunks, gathered, and reported. See
section 10 of `sdk/SPEC.md`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from callboard import wire
from callboard.errors import StatusError, invalid_argument
from callboard.payload import BINARY, TEXT, Payload, content_size, encode
from callboard.reports import Outbox

MAX_CHUNK = 65_536
"""The most bytes of content in a chunk."""
MAX_CHUNKS = 64
"""The most chunks in a report."""
MAX_REPORT = 1_048_576
"""The most bytes of content in a report."""
FULL = 1_048_576
"""Bytes of content from which on those who give more wait."""
FULL_CHUNKS = 50_000
"""Chunks from which on they wait: a run's output has no more."""
REPORT_EVERY = 0.05
"""Seconds between two reports of an attempt."""

Kind: TypeAlias = Literal["text", "bytes", "payload"]


@dataclass
class Chunk:
    """A piece of output. Pieces of text, and of bytes, are joined; payloads stay as they are."""

    kind: Kind
    size: int
    """Bytes of content."""
    content: list[bytes] = field(default_factory=list)
    payload: Payload | None = None

    def room_for(self, content: bytes) -> int:
        """How many bytes of this fit into it, too."""
        room = MAX_CHUNK - self.size
        return len(content) if len(content) <= room else _fitting(content, room, self.kind)

    def add(self, content: bytes) -> None:
        """Joins more to it."""
        self.content.append(content)
        self.size += len(content)

    def to_wire(self) -> Payload:
        """The chunk as it is reported."""
        if self.payload is not None:
            return self.payload
        content = b"".join(self.content)
        if self.kind == "text":
            return Payload(content_type=TEXT, text=content.decode())
        return Payload(content_type=BINARY, binary=content)


def chunks_of(value: Any) -> list[Chunk]:
    """The chunks of a value; none when it is empty. Raises InvalidArgument when it can't be output."""
    payload = encode(value, "output")
    size = content_size(payload)
    if size == 0:
        return []
    if isinstance(value, str):
        return list(_divided("text", value.encode()))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return list(_divided("bytes", bytes(value)))
    if size > MAX_CHUNK:
        fault = f"output has {size} bytes, more than {MAX_CHUNK}: give it in parts, or as text or bytes"
        raise invalid_argument("output", fault, "PAYLOAD_TOO_LARGE")
    return [Chunk("payload", size, payload=payload)]


def _divided(kind: Kind, content: bytes) -> Iterator[Chunk]:
    while content:
        end = len(content) if len(content) <= MAX_CHUNK else _fitting(content, MAX_CHUNK, kind)
        yield Chunk(kind, end, [content[:end]])
        content = content[end:]


def _fitting(content: bytes, room: int, kind: Kind) -> int:
    """How much of it fits into so many bytes; text is divided between characters."""
    if kind == "text":
        while room > 0 and content[room] & 0xC0 == 0x80:
            room -= 1
    return room


class Output:
    """The output of one attempt."""

    def __init__(
        self, lease: wire.agent.Attempt, outbox: Outbox, settled: list[tuple[int, StatusError | None]]
    ) -> None:
        self._lease = lease
        self._outbox = outbox
        # The tickets of what is in the buffer now, or was refused, then with the error.
        self._settled = settled
        self._buffer: deque[Chunk] = deque()
        self._size = 0
        # Those who wait for room, with what they give.
        self._outside: deque[tuple[list[Chunk], int]] = deque()
        self._reported = 0
        self._unreceipted: set[int] = set()
        self._not_before = 0.0
        self._refused: StatusError | None = None

    def give(self, chunks: list[Chunk], ticket: int) -> None:
        """The handler gives output. The ticket is settled when it is in the buffer, or refused."""
        if self._refused is not None:
            # An error of its own for each: what is raised remembers from where.
            self._settled.append((ticket, copy(self._refused)))
            return
        self._outside.append((chunks, ticket))
        self._let_in()

    def report_due(self, now: float) -> None:
        """Reports what is in the buffer, if it is time; one report is on its way at most."""
        if self._buffer and not self._unreceipted and now >= self._not_before:
            self._report()
            self._not_before = now + REPORT_EVERY
            self._let_in()

    def report_all(self) -> None:
        """Reports all that was given, at once: another report follows, and it is to stand before that."""
        while self._buffer:
            self._report()
            self._let_in()

    def receipted(self, report_id: int) -> None:
        """A report is committed."""
        self._unreceipted.discard(report_id)

    def refuse(self, error: StatusError) -> None:
        """Nothing more is reported: those who wait, and who give more, are told so."""
        self._refused = self._refused or error
        self._settled += [(ticket, self._refused) for _, ticket in self._outside]
        self._outside.clear()
        self._buffer.clear()
        self._size = 0
        self._unreceipted.clear()

    @property
    def is_refused(self) -> bool:
        """Whether nothing more is reported."""
        return self._refused is not None

    def due_at(self) -> float | None:
        """When a report is due; None when there is nothing to report, or a receipt must come before."""
        return self._not_before if self._buffer and not self._unreceipted else None

    def _let_in(self) -> None:
        while self._outside and self._size < FULL and len(self._buffer) < FULL_CHUNKS:
            chunks, ticket = self._outside.popleft()
            for chunk in chunks:
                self._join(chunk)
            self._settled.append((ticket, None))

    def _join(self, chunk: Chunk) -> None:
        self._size += chunk.size
        last = self._buffer[-1] if self._buffer else None
        if last is not None and last.kind == chunk.kind and chunk.kind != "payload":
            content = b"".join(chunk.content)
            room = last.room_for(content)
            if room > 0:
                last.add(content[:room])
                chunk = Chunk(chunk.kind, len(content) - room, [content[room:]])
        if chunk.size > 0:
            self._buffer.append(chunk)

    def _report(self) -> None:
        batch = wire.output.OutputBatch(offset=self._reported)
        size = 0
        while self._buffer and len(batch.chunks) < MAX_CHUNKS and size + self._buffer[0].size <= MAX_REPORT:
            chunk = self._buffer.popleft()
            batch.chunks.append(chunk.to_wire())
            size += chunk.size
        self._size -= size
        self._reported += size
        report = wire.agent.Report(attempt=self._lease, output=batch)
        self._unreceipted.add(self._outbox.add(report))
