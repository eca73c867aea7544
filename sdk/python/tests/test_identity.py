"""Tokens, TLS, client certificates, and whose an agent's name is, against a real server."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import Authority
from conftest import Serve
from real_server import Identities, Server
from waiting import LONG, Told, attached, drained, until

from callboard import (
    Agent,
    AsyncContext,
    Client,
    Context,
    Message,
    NotFound,
    PermissionDenied,
    StatusError,
    Unavailable,
    aio,
)

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def worker(server: Server, name: str, **credentials: str) -> Agent:
    agent = Agent("worker", name=name, address=server.address, **credentials)  # type: ignore[arg-type]
    agent.task("echo")(lambda input: input)
    return agent


def refusal(client: Client) -> StatusError:
    """What a client hears that is not let in."""
    with pytest.raises(StatusError) as refused:
        client.create("echo", timeout=5)
    return refused.value


# Clients.


def test_who_asks_is_told_by_token_file_and_certificate(
    guard: Serve, identities: Identities, authority: Authority, tmp_path: Path
) -> None:
    token = identities.token("ci", "submitter")
    identities.certificate("fleet", "fleet.example.org", "submitter")
    file = tmp_path / "token"
    file.write_text(token + "\n")
    server = guard(*authority.server())
    assert server.address.startswith("https://")
    fleet = authority.client("fleet.example.org")
    cases: list[tuple[str, dict[str, str]]] = [
        ("ci", {"ca": authority.ca, "token": token}),
        ("ci", {"ca": authority.ca, "token_file": str(file)}),
        ("fleet", fleet),
        ("ci", {**fleet, "token": token}),
    ]
    for principal, credentials in cases:
        with Client(server.address, **credentials) as client:  # type: ignore[arg-type]
            task = client.create("echo")
            assert client.get(task).created_by == principal
            assert [event.principal for event in client.history(task)] == [principal]

    async def main() -> None:
        for principal, credentials in cases:
            async with aio.Client(server.address, **credentials) as client:  # type: ignore[arg-type]
                assert (await client.get(await client.create("echo"))).created_by == principal

    asyncio.run(main())


def test_the_environment_says_it_as_well(
    guard: Serve,
    identities: Identities,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identities.certificate("fleet", "fleet.example.org", "agent", "submitter")
    (tmp_path / "token").write_text(identities.token("ci", "submitter", "agent"))
    server = guard(*authority.server())
    fleet = authority.client("fleet.example.org")
    monkeypatch.setenv("CALLBOARD_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_CA", authority.ca)
    for principal, variables in {
        "ci": {"CALLBOARD_TOKEN_FILE": str(tmp_path / "token")},
        "fleet": {
            "CALLBOARD_CLIENT_CERT": fleet["client_cert"],
            "CALLBOARD_CLIENT_KEY": fleet["client_key"],
        },
    }.items():
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            agent = Agent("worker", name=f"of-{principal}")
            agent.task(principal)(lambda input: input)
            attached(agent)
            with Client() as client:
                assert client.run(principal, "hello", timeout=LONG) == "hello"
                assert client.agents.get(agent.name).principal == principal
            drained(agent)


def test_who_is_not_known_is_told_so_and_no_secret(
    guard: Serve, identities: Identities, authority: Authority
) -> None:
    identities.token("ci", "submitter")
    server = guard(*authority.server())
    wrong = f"callboard_{'w' * 43}"
    stranger = authority.client("stranger.example.org")
    cases: list[tuple[dict[str, str], str]] = [
        ({"ca": authority.ca}, "CREDENTIALS_MISSING"),
        ({"ca": authority.ca, "token": wrong}, "CREDENTIALS_INVALID"),
        (stranger, "CREDENTIALS_INVALID"),
    ]
    for credentials, reason in cases:
        with Client(server.address, **credentials) as client:  # type: ignore[arg-type]
            error = refusal(client)
            assert (error.code, error.reason) == (UNAUTHENTICATED, reason)
            assert wrong not in f"{error} {error!r} {client!r}"
            with pytest.raises(StatusError) as unwatched:
                next(client.watch())
            assert unwatched.value.reason == reason
    assert wrong not in server.log()


def test_only_the_right_server_is_spoken_to(
    guard: Serve, identities: Identities, authority: Authority, tmp_path: Path
) -> None:
    token = identities.token("ci", "submitter")
    server = guard(*authority.server())
    other = Authority(tmp_path / "other")
    with Client(server.address, token=token, ca=other.ca, timeout=1) as client, pytest.raises(Unavailable):
        client.create("echo")
    plain = server.address.replace("https", "http")
    with Client(plain, token=token, timeout=1) as client, pytest.raises(Unavailable):
        client.create("echo")
    forged = {**other.client("ci.example.org"), "ca": authority.ca}
    with (
        Client(server.address, timeout=1, **forged) as client,  # type: ignore[arg-type]
        pytest.raises(Unavailable),
    ):
        client.create("echo")


def test_a_role_and_a_namespace_allow_what_they_allow(guard: Serve, identities: Identities) -> None:
    admin = identities.token("root", "admin", namespaces="*")
    viewer = identities.token("ann", "viewer", "agent")
    server = guard()
    with Client(server.address, token=admin) as client:
        client.namespaces.create("secret")
    with Client(server.address, token=viewer) as client:
        assert list(client.list()) == []
        with pytest.raises(PermissionDenied, match="submitter") as refused:
            client.create("echo")
        assert refused.value.reason == "ROLE_NOT_ALLOWED"
        assert [namespace.name for namespace in client.namespaces.list()] == ["default"]
    for namespace in ("secret", "nowhere"):
        elsewhere = Client(server.address, namespace, token=viewer)
        with elsewhere as client, pytest.raises(NotFound) as unknown:
            list(client.list())
        assert unknown.value.reason == "NAMESPACE_NOT_FOUND"


def test_request_ids_of_two_principals_do_not_meet(guard: Serve, identities: Identities) -> None:
    tokens = [identities.token(name, "submitter") for name in ("ann", "bob")]
    server = guard()
    ids = []
    for token in tokens:
        with Client(server.address, token=token) as client:
            first = client.create("echo", request_id="same").task_id
            assert client.create("echo", request_id="same").task_id == first
            ids.append(first)
    assert ids[0] != ids[1]


# Agents.


def test_an_agent_works_over_tls_with_a_token_and_with_a_certificate(
    guard: Serve, identities: Identities, authority: Authority
) -> None:
    token = identities.token("ann", "agent")
    submitter = identities.token("ci", "submitter")
    identities.certificate("fleet", "fleet.example.org", "agent")
    server = guard(*authority.server())
    ways: dict[str, dict[str, str]] = {
        "ann": {"token": token, "ca": authority.ca},
        "fleet": authority.client("fleet.example.org"),
    }
    with Client(server.address, token=submitter, ca=authority.ca) as client:
        for principal, credentials in ways.items():
            agent = attached(worker(server, principal, **credentials))
            assert client.run("echo", "hello", timeout=LONG) == "hello"
            assert client.agents.get(principal).principal == principal
            drained(agent)


def test_a_name_is_its_principals_until_the_agent_is_removed(guard: Serve, identities: Identities) -> None:
    ann, bob = identities.token("ann", "agent"), identities.token("bob", "agent")
    operator = identities.token("op", "operator", "submitter")
    server = guard()
    first = attached(worker(server, "worker", token=ann))
    thief = worker(server, "worker", token=bob)
    with pytest.raises(PermissionDenied, match="worker") as refused:
        thief.run(handle_signals=False)
    assert refused.value.reason == "NOT_YOUR_AGENT"
    with Client(server.address, token=operator) as client:
        assert first.attached and client.run("echo", "still", timeout=LONG) == "still"
        with Client(server.address, token=bob) as robber, pytest.raises(PermissionDenied) as denied:
            robber.claim("worker", ["echo"])
        assert denied.value.reason == "NOT_YOUR_AGENT"
        drained(first)
        client.agents.remove("worker")
        second = attached(worker(server, "worker", token=bob))
        assert client.agents.get("worker").principal == "bob"
        drained(second)


def test_a_mailbox_and_a_lease_are_their_principals(guard: Serve, identities: Identities) -> None:
    ann, bob = (identities.token(name, "agent", "submitter") for name in ("ann", "bob"))
    server = guard()
    with Client(server.address, token=ann) as mine, Client(server.address, token=bob) as theirs:
        task = mine.create("echo", "x")
        (claim,) = mine.claim("ann", ["echo"])
        for steal in (lambda: theirs.complete(claim, "y"), lambda: theirs.heartbeat(claim)):
            with pytest.raises(PermissionDenied) as refused:
                steal()
            assert refused.value.reason == "NOT_YOUR_LEASE"
        mine.complete(claim, "z")
        assert theirs.result(task) == "z"
        sent = theirs.messages.send("ann", "anybody may send")
        for peek in (
            lambda: list(theirs.messages.list("ann")),
            lambda: next(theirs.messages.watch("ann")),
            lambda: theirs.messages.acknowledge("ann", sent.message_id),
        ):
            with pytest.raises(PermissionDenied) as denied:
                peek()
            assert denied.value.reason == "NOT_YOUR_AGENT"
        (message,) = mine.messages.list("ann")
        assert (message.principal, message.id) == ("bob", sent.message_id)


def test_an_agent_that_is_not_let_in_ends_with_the_reason(guard: Serve, identities: Identities) -> None:
    submitter = identities.token("ci", "submitter")
    server = guard()
    for token, code, reason in [
        ("callboard_unknown", UNAUTHENTICATED, "CREDENTIALS_INVALID"),
        (submitter, grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"),
        (None, UNAUTHENTICATED, "CREDENTIALS_MISSING"),
    ]:
        agent = worker(server, "worker", **({"token": token} if token else {}))
        with pytest.raises(StatusError) as refused:
            agent.run(handle_signals=False)
        assert (refused.value.code, refused.value.reason) == (code, reason)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_who_is_revoked_loses_its_streams_and_others_go_on(
    guard: Serve, identities: Identities, asynchronous: bool
) -> None:
    loses, keeps = identities.token("loses", "agent", "viewer"), identities.token("keeps", "agent")
    submitter = identities.token("ci", "submitter")
    server = guard()
    agent = Agent("worker", name="loses", address=server.address, token=loses)
    told = Told[str]()
    if asynchronous:

        @agent.task("stuck")
        async def stuck_async(input: Any, ctx: AsyncContext) -> None:
            told.tell("began")
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                told.tell("stopped")
                raise
    else:

        @agent.task("stuck")
        def stuck(input: Any, ctx: Context) -> None:
            told.tell("began")
            assert ctx.cancelled.wait(LONG)
            told.tell("stopped")

    attached(agent)
    other = attached(worker(server, "keeps", token=keeps))
    with Client(server.address, token=submitter) as client, Client(server.address, token=loses) as loser:
        task = client.create("stuck")
        assert told.next() == "began"
        watch = loser.watch(task)
        assert next(watch).type == "CREATED"
        identities.revoke(loses)
        with pytest.raises(StatusError) as ended:
            agent.wait(LONG)
        assert (ended.value.code, ended.value.reason) == (UNAUTHENTICATED, "CREDENTIALS_INVALID")
        assert told.next() == "stopped"
        with pytest.raises(StatusError) as unwatched:
            list(watch)
        assert unwatched.value.code is UNAUTHENTICATED
        assert refusal(loser).reason == "CREDENTIALS_INVALID"
        assert other.attached and client.run("echo", "on", timeout=LONG) == "on"
    drained(other)


def test_a_token_is_changed_while_an_agent_runs(guard: Serve, identities: Identities, tmp_path: Path) -> None:
    file = tmp_path / "token"
    old, submitter = identities.token("ann", "agent", "viewer"), identities.token("ci", "submitter")
    file.write_text(old)
    server = guard()
    agent = Agent("worker", name="worker", address=server.address, token_file=str(file))
    began, go, handled = Told[int](), threading.Event(), Told[Any]()

    @agent.task("slow")
    def slow(input: Any, ctx: Context) -> str:
        began.tell(ctx.attempt)
        assert go.wait(LONG)
        return "done"

    @agent.on_message
    def handle(message: Message) -> None:
        handled.tell(message.body)

    attached(agent)
    with (
        Client(server.address, token=submitter) as client,
        Client(server.address, token_file=str(file)) as own,
    ):
        task = client.create("slow")
        assert began.next() == 1
        watch = own.watch(task, until_ended=True)
        assert next(watch).type == "CREATED"
        epoch = agent.session_epoch
        file.write_text(identities.token("ann", "agent", "viewer"))
        identities.revoke(old)
        until("the session with the new token", lambda: agent.attached and agent.session_epoch > epoch)
        go.set()
        assert client.result(task, timeout=LONG) == "done"
        assert own.get(task).attempt == 1, "the same attempt went on"
        assert [event.type for event in watch][-1] == "COMPLETED", "and so did who watched it"
        client.messages.send("worker", "hello")
        assert handled.next() == "hello"
    drained(agent)


def test_a_token_is_in_no_log(guard: Serve, identities: Identities, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = identities.token("ann", "agent", "submitter")
    server = guard("--log", "trace")
    agent = attached(worker(server, "worker", token=token))
    with Client(server.address, token=token) as client:
        assert client.run("echo", "hello", timeout=LONG) == "hello"
        with pytest.raises(StatusError) as refused:
            client.get("nonsense")
        server.kill()
        until("the loss of the stream", lambda: not agent.attached)
        server.start()
        assert agent.wait_attached(LONG)
        shown = f"{refused.value!r} {vars(refused.value)} {client!r} {agent!r}"
    drained(agent)
    secret = token.removeprefix("callboard_")
    for text in (caplog.text, shown, server.log()):
        assert secret not in text
