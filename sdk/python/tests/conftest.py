"""What every test gets: no settings of the developer's own, and real servers if it asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from real_server import Identities, Server, find_callboard

Serve: TypeAlias = Callable[..., Server]


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> Iterator[str | None]:
    """The address of a developer's server, say, must not reach the tests. Gives the binary that was named."""
    with pytest.MonkeyPatch.context() as patch:
        named = os.environ.get("CALLBOARD_BIN")
        for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
            patch.delenv(name)
        yield named


@pytest.fixture(scope="session")
def callboard(_own_settings: str | None) -> Path:
    """The `callboard` binary."""
    return find_callboard(_own_settings)


@pytest.fixture
def serve(callboard: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts a server with the arguments given; it ends with the test."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        servers.append(Server(callboard, directory, *arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def shared_server(callboard: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An open server with its defaults, for tests that leave nothing behind that another minds."""
    server = Server(callboard, tmp_path_factory.mktemp("shared"))
    yield server
    server.stop()


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    """An identity file without an entry yet."""
    return Identities(tmp_path)


@pytest.fixture
def guard(serve: Serve, identities: Identities) -> Serve:
    """Starts a server that knows those identities."""
    return lambda *arguments: serve("--identities", str(identities.path), *arguments)
