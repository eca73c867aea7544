"""Agents in the background, and the client that handlers have, against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Serve
from real_server import Server
from waiting import LONG, Told, attached, drained, unique, until

from callboard import Agent, AsyncContext, Client, Context, Message, MessageContext, NotFound


@pytest.fixture
def client(shared_server: Server) -> Iterator[Client]:
    with Client(shared_server.address) as client:
        yield client


def test_an_agent_tells_how_it_stands(serve: Serve) -> None:
    server = serve()
    agent = Agent("", name="ann", address=server.address)
    agent.task("t")(lambda input: None)
    assert (agent.attached, agent.agent_id, agent.session_epoch) == (False, "", 0)
    attached(agent)
    with Client(server.address) as client:
        known = client.agents.get("ann")
        assert (known.id, known.session_epoch) == (agent.agent_id, agent.session_epoch)
        assert (known.agent_type, known.principal, known.state) == ("agent", "anonymous", "ATTACHED")
    server.kill()
    until("the loss of the stream", lambda: not agent.attached)
    assert not agent.wait_attached(0)
    before = agent.session_epoch
    server.start()
    assert agent.wait_attached(LONG)
    assert agent.session_epoch > before
    drained(agent)
    assert not agent.attached and not agent.wait_attached(0)


def test_who_waits_hears_why_the_agent_can_not_attach(shared_server: Server) -> None:
    agent = Agent("t", address=shared_server.address, namespace="nowhere")
    agent.task("t")(lambda input: None)
    agent.start()
    with pytest.raises(NotFound) as refused:
        agent.wait_attached(LONG)
    assert refused.value.reason == "NAMESPACE_NOT_FOUND"


def test_handlers_have_a_client(shared_server: Server, client: Client) -> None:
    name, parent, parent_async, child = unique("ann"), unique("parent"), unique("parent"), unique("child")
    agent = Agent("t", name=name, slots=3, address=shared_server.address)
    told = Told[str]()

    @agent.task(child)
    def double(input: int) -> int:
        return 2 * input

    @agent.task(parent)
    def ask(input: int, ctx: Context) -> Any:
        with ctx.client as client:
            return client.run(child, input)

    @agent.task(parent_async)
    async def ask_async(input: int, ctx: AsyncContext) -> Any:
        return await ctx.client.run(child, input)

    @agent.on_message
    def create(message: Message, ctx: MessageContext) -> None:
        told.tell(ctx.client.create(child, message.body).task_id)

    attached(agent)
    for _ in range(2):
        assert client.run(parent, 21, timeout=LONG) == 42, "closing it ends nothing of the agent's"
    assert client.run(parent_async, 4, timeout=LONG) == 8
    client.messages.send(name, 5)
    assert client.result(told.next(), timeout=LONG) == 10
    drained(agent)
