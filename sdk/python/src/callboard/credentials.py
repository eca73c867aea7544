"""Who we are to a server, and how we know that it is the right one: tokens and TLS.

Nothing here shows a token: not in `repr`, not in an error."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from callboard.errors import StatusError
from callboard.settings import Address

REREAD = 10.0
"""Seconds after which a token file is read again: tokens are changed while programs run."""

Metadata = tuple[tuple[str, str], ...]


class Credentials:
    """A token, where it comes from, and the files for TLS."""

    def __init__(
        self,
        token: str | None = None,
        token_file: str | None = None,
        ca: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        self._token = None if token is None else _checked(token, "token")
        self._token_file = token_file
        self._read_at = 0.0
        self._ca = _read(ca, "ca")
        if (client_cert is None) != (client_key is None):
            missing = "client_key" if client_key is None else "client_cert"
            raise ValueError(f"{missing} is missing: a client certificate and its key come together")
        self._client_cert = _read(client_cert, "client_cert")
        self._client_key = _read(client_key, "client_key")
        self._allow_plaintext = allow_plaintext
        if token_file is not None:
            self._token = _token_of(token_file)
            self._read_at = time.monotonic()

    def __repr__(self) -> str:
        known = [
            name for name, value in (("token", self._token), ("client_cert", self._client_cert)) if value
        ]
        return f"Credentials({', '.join(known)})"

    def check(self, addresses: Sequence[Address]) -> None:
        """Raises ValueError when an address must not have the token."""
        for address in addresses:
            if self._token and not self._may_tell(address):
                raise ValueError(
                    f"address {address.url!r} is http:// and not on this machine: the token could be read on "
                    "the way; use https://, or say allow_plaintext (CALLBOARD_ALLOW_PLAINTEXT=true)"
                )

    def metadata(self, address: Address) -> Metadata:
        """What goes with every call to an address."""
        token = self._current()
        if token is None or not self._may_tell(address):
            return ()
        return (("authorization", f"Bearer {token}"),)

    def renewed(self, error: StatusError, sent: Metadata) -> bool:
        """Whether a call that was refused may be made again: its token is no good any more, and the file has
        another one."""
        if error.code is not grpc.StatusCode.UNAUTHENTICATED or self._token_file is None or not sent:
            return False
        self._reread(self._token_file)
        return all(value != f"Bearer {self._token}" for _, value in sent)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """What TLS needs."""
        return grpc.ssl_channel_credentials(self._ca, self._client_key, self._client_cert)

    def _may_tell(self, address: Address) -> bool:
        # Also asked of the endpoints that a server that drains sends its agents to.
        return address.secure or address.loopback or self._allow_plaintext

    def _current(self) -> str | None:
        if self._token_file is not None and time.monotonic() - self._read_at >= REREAD:
            self._reread(self._token_file)
        return self._token

    def _reread(self, file: str) -> None:
        self._read_at = time.monotonic()
        # It may just be being replaced. The server says when the old one is no good any more.
        with contextlib.suppress(ValueError):
            self._token = _token_of(file)


def resolve_credentials(
    token: str | None,
    token_file: str | None,
    ca: str | None,
    client_cert: str | None,
    client_key: str | None,
    allow_plaintext: bool | None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """From the options, else the environment. A token from either source, in whatever form, wins over the
    environment's."""

    def variable(name: str) -> str | None:
        return environment.get(name) or None

    if token is None and token_file is None:
        token, token_file = variable("CALLBOARD_TOKEN"), variable("CALLBOARD_TOKEN_FILE")
        if token is not None and token_file is not None:
            raise ValueError("CALLBOARD_TOKEN and CALLBOARD_TOKEN_FILE are both set: set one of them")
    elif token is not None and token_file is not None:
        raise ValueError("token and token_file are both given: give one of them")
    if client_cert is None and client_key is None:
        client_cert, client_key = variable("CALLBOARD_CLIENT_CERT"), variable("CALLBOARD_CLIENT_KEY")
    if allow_plaintext is None:
        allow_plaintext = _flag(variable("CALLBOARD_ALLOW_PLAINTEXT"))
    return Credentials(
        token, token_file, ca or variable("CALLBOARD_CA"), client_cert, client_key, allow_plaintext
    )


def _flag(text: str | None) -> bool:
    known = {None: False, "false": False, "0": False, "true": True, "1": True}
    if text not in known:
        raise ValueError(f"CALLBOARD_ALLOW_PLAINTEXT is {text!r}: set it to true or false")
    return known[text]


def _token_of(path: str) -> str:
    content = _read(path, "token_file") or b""
    return _checked(content.decode("utf-8", "replace"), f"token_file {path!r}")


def _checked(token: str, name: str) -> str:
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{name} holds no token: it must be one line, as `callboard token create` prints it")
    return token


def _read(path: str | None, name: str) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} {path!r} can't be read: {error.strerror}") from None
