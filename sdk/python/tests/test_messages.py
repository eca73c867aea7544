"""Direct messages, against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Serve
from real_server import Server
from waiting import LONG, Told, attached, drained, unique, until

from callboard import (
    Agent,
    AsyncContext,
    AsyncMessageContext,
    Client,
    Context,
    InvalidArgument,
    Message,
    MessageContext,
    NotFound,
    ResourceExhausted,
    StatusError,
    aio,
    binary_payload,
)


@pytest.fixture
def client(shared_server: Server) -> Iterator[Client]:
    with Client(shared_server.address) as client:
        yield client


def known(client: Client) -> str:
    """The name of an agent that the server knows, and that is not attached."""
    name = unique("ann")
    assert client.claim(name, [unique("idle")]) == []
    return name


def idle(server: Server, name: str) -> Agent:
    agent = Agent("test", name=name, address=server.address)
    agent.task(unique("idle"))(lambda input: None)
    return agent


def listening(server: Server, name: str, asynchronous: bool = False) -> tuple[Agent, Told[Message]]:
    """An agent that tells of its messages."""
    told = Told[Message]()
    agent = idle(server, name)
    if asynchronous:

        @agent.on_message
        async def hear_async(message: Message) -> None:
            told.tell(message)
    else:

        @agent.on_message
        def hear(message: Message) -> None:
            told.tell(message)

    return agent, told


def bodies(client: Client, name: str) -> list[Any]:
    return [message.body for message in client.messages.list(name)]


# By calls.


def test_what_is_sent_waits_in_order_until_it_is_acknowledged(client: Client) -> None:
    ann = known(client)
    values = ["text", b"\x00\xff", {"page": 3}, ""]
    for number, value in enumerate(values, 1):
        receipt = client.messages.send(ann, value, headers={"correlation_id": f"c{number}"})
        assert receipt.sequence == number
    found = list(client.messages.list(ann))
    assert [message.body for message in found] == values
    second = found[1]
    assert (second.to, second.sequence, second.agent, second.principal) == (ann, 2, "", "anonymous")
    assert (second.namespace, second.headers) == ("default", {"correlation_id": "c2"})
    assert second.sent_at is not None and second.expires_at is not None
    assert (second.expires_at - second.sent_at).days == 7
    assert client.messages.acknowledge(ann, found[0], found[2].id, found[2].id) == 2
    assert client.messages.acknowledge(ann, found[0]) == 0, "a second time is fine"
    assert bodies(client, ann) == [b"\x00\xff", ""]


def test_the_async_client_does_the_same(shared_server: Server, client: Client) -> None:
    ann = known(client)

    async def main() -> None:
        async with aio.Client(shared_server.address) as client:
            receipt = await client.messages.send(ann, {"n": 1}, headers={"a": "b"}, ttl=60)
            assert receipt.sequence == 1
            (found,) = [message async for message in client.messages.list(ann)]
            assert (found.id, found.body, found.headers) == (receipt.message_id, {"n": 1}, {"a": "b"})
            watch = client.messages.watch(ann)
            assert (await anext(watch)).id == found.id
            coming = asyncio.ensure_future(anext(watch))
            await client.messages.send(ann, "second")
            assert (await asyncio.wait_for(coming, LONG)).body == "second"
            assert await client.messages.acknowledge(ann, found, receipt.message_id) == 1
            with pytest.raises(NotFound):
                await client.messages.send("nobody", "hello")

    asyncio.run(main())


def test_a_list_longer_than_a_page_is_whole(client: Client) -> None:
    ann = known(client)
    for number in range(120):
        client.messages.send(ann, str(number))
    assert bodies(client, ann) == [str(number) for number in range(120)]


def test_a_watch_gives_what_waits_and_then_each_that_comes(client: Client) -> None:
    ann = known(client)
    client.messages.send(ann, "first")
    watch = client.messages.watch(ann)
    assert next(watch).body == "first"
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(next, watch)
        client.messages.send(ann, "second")
        assert coming.result(LONG).body == "second"
    assert bodies(client, ann) == ["first", "second"], "it takes nothing away"


def test_a_request_id_sends_once(client: Client) -> None:
    ann = known(client)
    first = client.messages.send(ann, "hello", request_id=f"{ann}-once")
    assert client.messages.send(ann, "hello", request_id=f"{ann}-once") == first
    with pytest.raises(InvalidArgument) as refused:
        client.messages.send(ann, "hullo", request_id=f"{ann}-once")
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert client.messages.send(ann, "hello").sequence == 2, "without one each call is another"


def test_a_message_whose_time_is_over_is_not_delivered(client: Client) -> None:
    ann = known(client)
    client.messages.send(ann, "short", ttl=0.001)
    client.messages.send(ann, "long")
    until("the end of the short one", lambda: bodies(client, ann) == ["long"])


def test_what_may_not_be_sent_is_refused_and_changes_nothing(client: Client) -> None:
    ann = known(client)
    cases: list[tuple[str, Any, dict[str, Any], str, str | None]] = [
        ("nobody", "x", {}, "AGENT_NOT_FOUND", None),
        ("", "x", {}, "INVALID_FIELD", "message.to"),
        (ann, "x" * 1_048_577, {}, "PAYLOAD_TOO_LARGE", "message.payload"),
        (ann, binary_payload(b"x" * 1_048_577), {}, "PAYLOAD_TOO_LARGE", "message.payload"),
        (ann, object(), {}, "INVALID_FIELD", "message.payload"),
        (ann, "x", {"ttl": 31 * 86_400}, "INVALID_FIELD", "message.ttl"),
        (ann, "x", {"headers": {"callboard.topic": "x"}}, "INVALID_FIELD", "message.headers"),
    ]
    for to, body, options, reason, field in cases:
        with pytest.raises(StatusError) as refused:
            client.messages.send(to, body, **options)
        assert refused.value.reason == reason, refused.value
        fields = [violation.field for violation in refused.value.violations]
        assert field is None or any(name.startswith(field) for name in fields), (field, fields)
    assert bodies(client, ann) == []
    for call in (
        lambda: list(client.messages.list("nobody")),
        lambda: client.messages.acknowledge("nobody", "0190a6f0-0000-7000-8000-000000000000"),
    ):
        with pytest.raises(NotFound) as unknown:
            call()
        assert unknown.value.reason == "AGENT_NOT_FOUND"
    with pytest.raises(InvalidArgument, match="message_ids"):
        client.messages.acknowledge(ann, "nonsense")


def test_a_full_mailbox_says_so_and_takes_again_what_has_room(serve: Serve) -> None:
    server = serve("--mailbox-messages", "2")
    teller = idle(server, "bob")

    @teller.task("tell")
    def tell(input: str, ctx: Context) -> list[str]:
        with pytest.raises(ResourceExhausted) as refused:
            ctx.send(input, "one too many")
        return [refused.value.reason, refused.value.message]

    attached(teller)
    with Client(server.address) as client:
        ann = known(client)
        first = client.messages.send(ann, 1)
        client.messages.send(ann, 2)
        with pytest.raises(ResourceExhausted, match="2 messages") as refused:
            client.messages.send(ann, 3)
        assert refused.value.reason == "LIMIT_REACHED"
        reason, message = client.run("tell", ann, timeout=LONG)
        assert reason == "LIMIT_REACHED" and "2 messages" in message
        client.messages.acknowledge(ann, first.message_id)
        client.messages.send(ann, 3)
        assert bodies(client, ann) == [2, 3]
    drained(teller)


# By agents.


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_handles_its_messages_in_order_and_acknowledges_them(
    shared_server: Server, client: Client, asynchronous: bool
) -> None:
    ann = unique("ann")
    agent, told = listening(shared_server, ann, asynchronous)
    attached(agent)
    for number in range(50):
        client.messages.send(ann, number, headers={"n": str(number)})
    heard = told.some(50)
    assert [message.body for message in heard] == list(range(50))
    assert [message.sequence for message in heard] == list(range(1, 51))
    assert heard[7].headers == {"n": "7"}
    drained(agent)
    assert bodies(client, ann) == [] and told.empty()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_agents_write_to_each_other(shared_server: Server, client: Client, asynchronous: bool) -> None:
    ann, bob, tell = unique("ann"), unique("bob"), unique("tell")
    answering, asking = idle(shared_server, ann), idle(shared_server, bob)
    told = Told[Message]()

    if asynchronous:

        @answering.on_message
        async def answer_async(message: Message, ctx: AsyncMessageContext) -> None:
            await ctx.send(message.agent, [message.body], headers={"correlation_id": message.id}, ttl=60)

        @asking.task(tell)
        async def ask_async(input: Any, ctx: AsyncContext) -> list[Any]:
            sent = await asyncio.gather(*(ctx.send(ann, number) for number in range(100)))
            return [receipt.message_id for receipt in sent]
    else:

        @answering.on_message
        def answer(message: Message, ctx: MessageContext) -> None:
            ctx.send(message.agent, [message.body], headers={"correlation_id": message.id}, ttl=60)

        @asking.task(tell)
        def ask(input: Any, ctx: Context) -> list[Any]:
            return [ctx.send(ann, number).message_id for number in range(100)]

    asking.on_message(told.tell)
    attached(answering)
    attached(asking)
    ids = client.run(tell, timeout=LONG)
    answers = told.some(100)
    assert [answer.body for answer in answers] == [[number] for number in range(100)]
    assert [answer.headers["correlation_id"] for answer in answers] == ids
    assert {answer.agent for answer in answers} == {ann}
    drained(asking, answering)
    assert bodies(client, ann) == bodies(client, bob) == []


def test_a_handler_that_sends_hears_what_became_of_it(shared_server: Server, client: Client) -> None:
    ann, tell = known(client), unique("tell")
    agent = idle(shared_server, unique("bob"))

    @agent.task(tell)
    def send(input: Any, ctx: Context) -> Any:
        try:
            return ctx.send(**input).sequence
        except StatusError as error:
            return [type(error).__name__, error.reason]

    attached(agent)
    once = f"{ann}-stream"
    for arguments, outcome in [
        ({"to": ann, "body": "hello", "request_id": once}, 1),
        ({"to": ann, "body": "hello", "request_id": once}, 1),
        ({"to": ann, "body": "hullo", "request_id": once}, ["InvalidArgument", "REQUEST_ID_REUSED"]),
        ({"to": "nobody", "body": "hello"}, ["NotFound", "AGENT_NOT_FOUND"]),
        ({"to": ann, "body": "x", "ttl": 31 * 86_400}, ["InvalidArgument", "INVALID_FIELD"]),
    ]:
        assert client.run(tell, arguments, timeout=LONG) == outcome, arguments
    assert bodies(client, ann) == ["hello"]
    drained(agent)


def test_what_waited_comes_when_the_agent_attaches_and_what_is_acknowledged_never_again(
    shared_server: Server, client: Client
) -> None:
    ann = known(client)
    client.messages.send(ann, "early")
    first, told = listening(shared_server, ann)
    attached(first)
    assert told.next().body == "early"
    drained(first)
    client.messages.send(ann, "late")
    second, told = listening(shared_server, ann)
    attached(second)
    assert told.next().body == "late"
    drained(second)
    assert told.empty()


def test_a_message_whose_handler_failed_comes_again_before_later_ones(
    shared_server: Server, client: Client
) -> None:
    ann = unique("ann")
    agent = idle(shared_server, ann)
    told = Told[Any]()
    failures = iter([RuntimeError("not yet")])

    @agent.on_message
    def handle(message: Message) -> None:
        told.tell(message.body)
        for failure in failures:
            raise failure

    attached(agent)
    client.messages.send(ann, "first")
    client.messages.send(ann, "second")
    assert told.some(3) == ["first", "first", "second"]
    drained(agent)


def test_a_message_that_was_not_acknowledged_comes_to_the_next_process(
    shared_server: Server, client: Client
) -> None:
    ann = unique("ann")
    began, over = Told[str](), threading.Event()
    first = idle(shared_server, ann)

    @first.on_message
    def stuck(message: Message) -> None:
        began.tell(message.id)
        over.wait(LONG)

    attached(first)
    client.messages.send(ann, "hello")
    delivered = began.next()
    first.stop()
    over.set()
    second, told = listening(shared_server, ann)
    attached(second)
    assert told.next().id == delivered, "at least once, with the id to deduplicate by"
    drained(second)


def test_nothing_is_lost_or_handled_twice_by_an_agent_that_outlives_the_server(serve: Serve) -> None:
    server = serve()
    agent, told = listening(server, "ann")
    attached(agent)
    with Client(server.address) as client:
        for number in range(20):
            client.messages.send("ann", number)
            if number in (4, 14):
                server.kill()
                until("the loss of the stream", lambda: not agent.attached)
                server.start()
                assert agent.wait_attached(LONG)
        assert [message.body for message in told.some(20)] == list(range(20))
        drained(agent)
        assert told.empty() and bodies(client, "ann") == []
