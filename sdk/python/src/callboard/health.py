"""An agent's answers to probes over HTTP: see section 6 of `sdk/SPEC.md`, "Health".

They are given on the loop of all connections: an agent whose loop stands still answers nothing, and that is
what a probe is to find. Much of HTTP is not here, on purpose: a request has a head that is small and soon
there, what follows it is thrown away, and the connection ends with the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from callboard.settings import HostPort

MAX_HEAD = 8 * 1024
"""The most bytes of a request's head."""
PATIENCE = 5.0
"""Seconds that a connection may last."""
MAX_CONNECTIONS = 64
"""The most connections at once; further ones are closed."""

_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00\r\n]*)")

ATTACHED = "attached"
"""The word of an agent that takes tasks."""

_PATHS = ("/healthz", "/readyz")


@dataclass(frozen=True)
class Answer:
    """What is said to a request."""

    status: HTTPStatus
    text: str = ""
    # That of a HEAD has none.
    has_body: bool = True

    def to_wire(self) -> bytes:
        """The answer as HTTP."""
        content = (self.text or self.status.phrase.lower()).encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(content)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode() + (content if self.has_body else b"")


def answer(head: bytes, readiness: Callable[[], str]) -> Answer:
    """The answer to a request with this head, which ends with an empty line. `readiness` gives the word for
    how the agent stands."""
    request_line, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    request = _REQUEST_LINE.fullmatch(request_line)
    fields = [_HEADER.fullmatch(header) for header in headers]
    if request is None or not all(fields):
        return Answer(HTTPStatus.BAD_REQUEST)
    method, target, minor = request.groups()
    hosts = sum(1 for field in fields if field is not None and field[1].lower() == "host")
    if hosts > 1 or (hosts == 0 and minor == "1"):
        return Answer(HTTPStatus.BAD_REQUEST)
    try:
        path = urlsplit(target).path
    except ValueError:
        return Answer(HTTPStatus.BAD_REQUEST)
    has_body = method != "HEAD"
    if path not in _PATHS:
        return Answer(HTTPStatus.NOT_FOUND, has_body=has_body)
    if method != "GET":
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, has_body=has_body)
    if path == "/healthz":
        return Answer(HTTPStatus.OK, "ok")
    word = readiness()
    return Answer(HTTPStatus.OK if word == ATTACHED else HTTPStatus.SERVICE_UNAVAILABLE, word)


class Health:
    """Listens for probes. Everything but `address` belongs to the loop of all connections."""

    def __init__(self, at: HostPort, readiness: Callable[[], str]) -> None:
        """`readiness` gives the word for how the agent stands."""
        self._at = at
        self._readiness = readiness
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.address = ""
        """Where it listens, as `host:port`; empty while it doesn't."""

    async def listen(self) -> None:
        """Begins to listen. Raises OSError when it can't."""
        server = await asyncio.start_server(self._connected, self._at.host, self._at.port, limit=MAX_HEAD)
        self._server = server
        host, port = server.sockets[0].getsockname()[:2]
        self.address = str(HostPort(host, port))

    async def close(self) -> None:
        """Listens no longer, and ends the connections there are."""
        self.address = ""
        if self._server is not None:
            self._server.close()
        connections = list(self._open)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(self._exchange(reader, writer), PATIENCE)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # who asked has gone, or says nothing
        finally:
            # What it has not taken by now, it never will.
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            told = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            told = answer(head, self._readiness)
        writer.write(told.to_wire())
        writer.write_eof()
        # A socket that is closed with something unread takes its answer back.
        while await reader.read(MAX_HEAD):
            pass
