"""Tokens and TLS: where they come from, where they go, and that nothing shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard import Agent, Client, aio
from callboard.credentials import REREAD, Credentials, resolve_credentials
from callboard.settings import parse_address

SECRET = "callboard_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
LOOPBACK = parse_address("http://127.0.0.1:7470")
REMOTE = parse_address("http://callboard.example:7470")
SECURE = parse_address("https://callboard.example:7470")


def resolve(environment: dict[str, str], **options: str | bool) -> Credentials:
    names = ("token", "token_file", "ca", "client_cert", "client_key", "allow_plaintext")
    given = {name: options.get(name) for name in names}
    return resolve_credentials(**given, environment=environment)  # type: ignore[arg-type]


def header(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_an_option_wins_over_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environment = {"CALLBOARD_TOKEN": "from-environment"}
    assert resolve(environment).metadata(LOOPBACK) == header("from-environment")
    assert resolve(environment, token="given").metadata(LOOPBACK) == header("given")
    assert resolve(environment, token_file=str(file)).metadata(LOOPBACK) == header("from-file")
    assert resolve({"CALLBOARD_TOKEN_FILE": str(file)}).metadata(LOOPBACK) == header("from-file")
    assert resolve({"CALLBOARD_TOKEN": ""}).metadata(LOOPBACK) == ()


def test_two_tokens_no_token_and_half_a_certificate_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for environment, options, named in [
        ({}, {"token": "a", "token_file": "b"}, "one of them"),
        ({"CALLBOARD_TOKEN": "a", "CALLBOARD_TOKEN_FILE": "b"}, {}, "one of them"),
        ({}, {"token": "two words"}, "token holds no token"),
        ({}, {"token": "a\nb"}, "token holds no token"),
        ({}, {"token_file": str(empty)}, "token_file"),
        ({}, {"token_file": str(tmp_path / "none")}, "can't be read"),
        ({"CALLBOARD_CA": str(tmp_path / "none")}, {}, "ca "),
        ({"CALLBOARD_CLIENT_CERT": str(empty)}, {}, "client_key is missing"),
        ({"CALLBOARD_ALLOW_PLAINTEXT": "maybe"}, {}, "CALLBOARD_ALLOW_PLAINTEXT"),
    ]:
        with pytest.raises(ValueError, match=named):
            resolve(environment, **options)


def test_a_token_is_not_told_where_it_can_be_read_on_the_way() -> None:
    careful = resolve({"CALLBOARD_TOKEN": SECRET})
    careful.check([LOOPBACK, SECURE])
    with pytest.raises(ValueError, match="allow_plaintext") as refused:
        careful.check([SECURE, REMOTE])
    assert SECRET not in str(refused.value)
    assert careful.metadata(REMOTE) == (), "nor where a server sends its agents to"
    assert careful.metadata(SECURE) == header(SECRET)
    bold = resolve({"CALLBOARD_TOKEN": SECRET, "CALLBOARD_ALLOW_PLAINTEXT": "true"})
    bold.check([REMOTE])
    assert bold.metadata(REMOTE) == header(SECRET)


def test_every_entrance_is_careful() -> None:
    for make in (Client, aio.Client):
        with pytest.raises(ValueError, match="allow_plaintext"):
            make(REMOTE.url, token=SECRET)
    with pytest.raises(ValueError, match="allow_plaintext"):
        Agent("t", address=REMOTE.url, token=SECRET)


def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    now = [100.0]
    monkeypatch.setattr("callboard.credentials.time.monotonic", lambda: now[0])
    credentials = resolve({}, token_file=str(file))
    file.write_text("new")
    assert credentials.metadata(LOOPBACK) == header("old")
    now[0] += REREAD
    assert credentials.metadata(LOOPBACK) == header("new")
    file.unlink()
    now[0] += REREAD
    assert credentials.metadata(LOOPBACK) == header("new"), "the last one that could be read"


def test_a_token_is_not_shown() -> None:
    credentials = resolve({}, token=SECRET)
    client = Client(LOOPBACK.url, token=SECRET)
    agent = Agent("t", address=LOOPBACK.url, token=SECRET)
    assert SECRET not in f"{credentials!r}{credentials}{client!r}{agent!r}"
