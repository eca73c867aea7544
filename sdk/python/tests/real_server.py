"""A real `callboard serve`, on a port and in a directory of its own, and the identities that it reads."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 30.0
"""Seconds that a server may take to listen, or to end."""
REPOSITORY = Path(__file__).resolve().parents[3]

_SETTINGS = ("CALLBOARD_", "RUST_LOG")
_numbers = itertools.count()


def find_callboard(named: str | None) -> Path:
    """The `callboard` binary: the one that is named (`CALLBOARD_BIN`), or the repository's, brought up to
    date."""
    if named:
        path = Path(named)
        if not path.is_file():
            raise FileNotFoundError(f"CALLBOARD_BIN: {path} is not a file; build it, or unset the variable")
        return path
    subprocess.run(["cargo", "build", "--quiet", "--package", "callboard-cli"], cwd=REPOSITORY, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return target / "debug" / ("callboard.exe" if os.name == "nt" else "callboard")


class Identities:
    """An identity file; a server that reads it takes what changes without a restart."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "identities.toml"
        self._entries: dict[str, str] = {}
        self._write()

    def token(self, principal: str, *roles: str, namespaces: Sequence[str] | str = ("default",)) -> str:
        """Adds a token, which is unique, and gives it."""
        token = f"callboard_{next(_numbers):0>43}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        self._add(token, "token", principal, f'sha256 = "{digest}"', roles, namespaces)
        return token

    def certificate(
        self, principal: str, name: str, *roles: str, namespaces: Sequence[str] | str = ("default",)
    ) -> None:
        """Adds a client certificate by one of its names."""
        self._add(name, "certificate", principal, f"name = {json.dumps(name)}", roles, namespaces)

    def revoke(self, entry: str) -> None:
        """Removes a token, or a certificate by its name."""
        del self._entries[entry]
        self._write()

    def _add(
        self,
        entry: str,
        kind: str,
        principal: str,
        what: str,
        roles: Sequence[str],
        names: Sequence[str] | str,
    ) -> None:
        # Strings and lists of JSON are the same in TOML.
        lines = [f"[[{kind}]]", f"principal = {json.dumps(principal)}", what]
        lines += [f"roles = {json.dumps(roles)}", f"namespaces = {json.dumps(names)}"]
        self._entries[entry] = "\n".join(lines)
        self._write()

    def _write(self) -> None:
        # As programs should: nobody reads half of it.
        new = self.path.with_suffix(".new")
        new.write_text("\n\n".join(self._entries.values()) + "\n")
        new.replace(self.path)


class Server:
    """A server process."""

    def __init__(self, callboard: Path, directory: Path, *arguments: str) -> None:
        self._callboard = callboard
        self._directory = directory
        self._arguments = arguments
        self._log = directory / "server.log"
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        self.start()

    def start(self) -> None:
        """Starts it, on the same port and file as before, and waits until it listens."""
        database = self._directory / "callboard.db"
        command = [str(self._callboard), "serve", "--listen", f"127.0.0.1:{self._port}"]
        with self._log.open("a") as log:
            process = subprocess.Popen(
                [*command, "--database", f"sqlite://{database}", *self._arguments],
                cwd=self._directory,
                env={name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert process.stdout is not None
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        said = process.stdout.readline().strip()
        late.cancel()
        if not said.startswith("listening on "):
            process.kill()
            raise RuntimeError(f"the server said {said!r}, not where it listens; its log:\n{self.log()}")
        self._process = process
        self.address = said.removeprefix("listening on ")
        self._port = int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """Ends it at once."""
        self._end(lambda process: process.kill())

    def stop(self) -> None:
        """Asks it to end, and waits until it has."""
        if self._process is not None:
            self._end(lambda process: process.terminate())

    def _end(self, how: Callable[[subprocess.Popen[str]], None]) -> None:
        process, self._process = self._process, None
        assert process is not None, "the server does not run"
        with process:
            how(process)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()
