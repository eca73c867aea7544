"""An agent's answers to probes: to requests as bytes, and over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fake_server import FakeServer
from waiting import LONG, attached, drained, until

from callboard import Agent, StatusError, health, loop
from callboard.health import Health
from callboard.settings import HostPort, resolve_health


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def probed_agent(address: str) -> Agent:
    agent = Agent("greeter", address=address, health="127.0.0.1:0", drain_timeout=LONG)
    agent.task("greet")(lambda input: input)
    return agent


def place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def probe(address: str, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*place(address), timeout=LONG)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.headers["connection"] == "close"
        return response.status, response.read().decode()
    finally:
        connection.close()


def refused(address: str) -> bool:
    try:
        socket.create_connection(place(address), LONG).close()
    except ConnectionRefusedError:
        return True
    return False


# Where.


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        ("127.0.0.1:8080", "localhost:1", "127.0.0.1:8080"),
        (None, "localhost:1", "localhost:1"),
        ("[::1]:0", None, "[::1]:0"),
        ("", "localhost:1", None),
        (None, "", None),
        (None, None, None),
    ],
)
def test_where_it_listens(option: str | None, variable: str | None, expected: str | None) -> None:
    environment = {} if variable is None else {"CALLBOARD_HEALTH": variable}
    found = resolve_health(option, environment)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "localhost", "::1:80", "http://localhost:80", "a:65536", "a:b"]
)
def test_what_is_no_place_to_listen_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="not a host and a port") as caught:
        Agent(health=text)
    assert repr(text) in str(caught.value)


def test_an_address_that_is_taken_is_an_error_of_starting(server: FakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        agent = Agent("t", address=server.address, health=f"127.0.0.1:{taken.getsockname()[1]}")
        agent.task("t")(lambda input: None)
        with pytest.raises(OSError):
            agent.start()
    assert (agent.health_address, server.agents.streams.empty()) == ("", True)
    # Nothing has begun: it may start when the address is free.
    attached(agent)
    assert [handler.type for handler in server.agents.stream().hello.profile.handles] == ["t"]
    assert probe(agent.health_address, "/healthz") == (200, "ok")
    agent.stop()


def test_an_agent_without_health_listens_nowhere(server: FakeServer) -> None:
    agent = Agent("t", address=server.address)
    agent.task("t")(lambda input: None)
    assert attached(agent).health_address == ""
    agent.stop()


# What is answered.


def heard(head: str, word: str = "attached") -> tuple[int, str]:
    told = health.answer(head.encode("latin-1"), lambda: word)
    return told.status.value, told.text


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("GET /healthz?verbose HTTP/1.1\r\nHOST:a\r\nX-Y: \xe9\r\n\r\n", 200),
        ("GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /healthz/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        ("GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /healthz\r\n\r\n", 400),
        ("GET http://[/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("\x16\x03\x01\r\n\r\n", 400),
        ("\r\n\r\n", 400),
    ],
)
def test_requests_are_read_strictly(head: str, status: int) -> None:
    assert heard(head)[0] == status


@pytest.mark.parametrize(
    ("word", "status"), [("attached", 200), ("connecting", 503), ("draining", 503), ("stopped", 503)]
)
def test_readiness_is_a_word(word: str, status: int) -> None:
    assert heard("GET /readyz HTTP/1.0\r\n\r\n", word) == (status, word)
    assert heard("GET /healthz HTTP/1.0\r\n\r\n", word) == (200, "ok")


def test_an_agent_tells_how_it_stands(server: FakeServer) -> None:
    began, go = threading.Event(), threading.Event()
    agent = Agent("greeter", address=server.address, health="localhost:0", drain_timeout=LONG)

    @agent.task("greet")
    def greet(input: Any) -> None:
        began.set()
        go.wait(LONG)

    address = attached(agent).health_address
    assert probe(address, "/healthz") == (200, "ok")
    assert probe(address, "/readyz") == (200, "attached")
    assert probe(address, "/elsewhere") == (404, "not found")
    assert probe(address, "/readyz", "HEAD") == (405, "")
    # Its body is more than it would ever read.
    assert probe(address, "/healthz", "POST", bytes(1_000_000)) == (405, "method not allowed")
    server.agents.stream().assign("t1", "greet")
    assert began.wait(LONG)
    agent.drain()
    until("the drain", lambda: probe(address, "/readyz") == (503, "draining"))
    assert probe(address, "/healthz") == (200, "ok")
    go.set()
    assert agent.wait(LONG)
    assert refused(address) and agent.health_address == ""


def test_an_agent_that_never_attached_is_alive_and_not_ready() -> None:
    agent = probed_agent("http://127.0.0.1:1")
    agent.start()
    address = agent.health_address
    assert probe(address, "/healthz") == (200, "ok")
    assert probe(address, "/readyz") == (503, "connecting")
    agent.stop()
    assert refused(address)


def test_an_agent_that_is_not_wanted_listens_no_longer(server: FakeServer) -> None:
    server.agents.refusal = (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_AGENT", "the name is taken")
    agent = probed_agent(server.address)
    agent.start()
    with pytest.raises(StatusError):
        agent.wait(LONG)
    assert agent.health_address == ""


# What comes from outside is bounded.


@pytest.fixture
def address(server: FakeServer) -> Iterator[str]:
    agent = attached(probed_agent(server.address))
    yield agent.health_address
    drained(agent)


def test_an_agent_whose_loop_stands_still_answers_nothing(address: str) -> None:
    go = threading.Event()
    loop.get().call_soon_threadsafe(go.wait, LONG)
    with socket.create_connection(place(address), LONG) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        go.set()
        connection.settimeout(LONG)
        assert received(connection).endswith(b"ok")


def exchange(address: str, *pieces: bytes) -> bytes:
    """What comes back until the connection ends; nothing when it is cut off."""
    with socket.create_connection(place(address), LONG) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            return received(connection)
        except ConnectionError:
            return b""


def received(connection: socket.socket) -> bytes:
    content = b""
    while piece := connection.recv(65536):
        content += piece
    return content


def test_a_head_may_come_in_pieces_and_has_an_end(address: str) -> None:
    assert exchange(address, b"GET /heal", b"thz HTTP/1.0\r", b"\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    filling = b"X: " + b"x" * 1000 + b"\r\n"
    assert exchange(address, b"GET /healthz HTTP/1.0\r\n", filling * 8, b"\r\n").startswith(
        b"HTTP/1.1 200 OK"
    )
    assert exchange(address, b"GET /healthz HTTP/1.0\r\n", filling * 9).startswith(b"HTTP/1.1 431 ")


def test_who_sends_no_request_is_cut_off(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    assert exchange(address, b"GET /healthz HTTP/1.1\r\nHost:") == b""


def test_who_stays_behind_the_answer_is_cut_off(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    with socket.create_connection(place(address), LONG) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert received(connection).endswith(b"ok")
        until("the end of the connection", lambda: has_ended(connection))


def has_ended(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
    except ConnectionError:
        return True
    return False


def test_connections_have_a_limit(address: str) -> None:
    request = b"GET /healthz HTTP/1.0\r\n\r\n"
    # They are accepted in their order.
    idle = [socket.create_connection(place(address), LONG) for _ in range(health.MAX_CONNECTIONS)]
    try:
        assert exchange(address, request) == b""
        idle.pop().close()
        until("room for another", lambda: exchange(address, request).endswith(b"ok"))
    finally:
        for connection in idle:
            connection.close()


def test_closing_ends_connections_that_wait() -> None:
    async def main() -> None:
        listening = Health(HostPort("127.0.0.1", 0), lambda: "attached")
        await listening.listen()
        reader, writer = await asyncio.open_connection(*place(listening.address))
        writer.write(b"GET /readyz HTTP/1.1\r\n")
        await asyncio.wait_for(listening.close(), LONG)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), LONG) == b""
        writer.close()

    asyncio.run(main())
