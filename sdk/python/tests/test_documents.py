"""What the documents show in Python works as printed, against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Serve
from real_server import REPOSITORY, Server
from waiting import LONG, attached, drained, until

from callboard import Agent, Client, Context, Limit, RetryPolicy, TaskError, TaskFailed


def blocks(document: str) -> list[str]:
    """The Python blocks of a document, in their order."""
    return re.findall(r"^```python\n(.*?)^```", (REPOSITORY / document).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a script that finds the server by its environment; it ends with the test."""
    environment = os.environ | {"CALLBOARD_ADDRESS": server.address}
    processes: list[subprocess.Popen[str]] = []

    def start_script(script: str) -> subprocess.Popen[str]:
        file = tmp_path / f"script-{len(processes)}.py"
        file.write_text(script)
        command = [sys.executable, "-W", "error", str(file)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield start_script
    for process in processes:
        with process:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """What a script wrote that ended well."""
    output, _ = process.communicate(timeout=LONG)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("document", ["README.md", "sdk/python/README.md"])
def test_the_first_agent_and_its_task(document: str, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent, submit = blocks(document)[:2]
    running = start(agent)
    assert said(start(submit)) == "Hello, Ada!\n"
    running.terminate()
    assert said(running) == ""


def test_the_example(start: Callable[[str], subprocess.Popen[str]]) -> None:
    running = start((REPOSITORY / "sdk/python/examples/hello.py").read_text())
    assert said(start(blocks("README.md")[1])) == "Hello, Ada!\n"
    running.terminate()
    assert said(running) == ""


@pytest.mark.parametrize(
    ("example", "prints"),
    [
        ("pipeline", "3 words in 2 pages\n"),
        (
            "supervisor",
            "We know all about owls and all about bees.\n"
            "research 0: COMPLETED\nresearch 1: COMPLETED\nsummarize 0: COMPLETED\n",
        ),
        (
            "saga",
            "full card: COMPLETED, 3 of 5 completed\n"
            "  flight: flight no. 7\n  hotel: hotel no. 7\n  charge: paid\n"
            "empty card: COMPLETED, 4 of 5 completed\n"
            "  flight: flight no. 7\n  hotel: hotel no. 7\n"
            "  cancel-hotel: cancelled hotel no. 7\n  cancel-flight: cancelled flight no. 7\n",
        ),
        (
            "reviewers",
            "COMPLETED, 5 of 6 completed\nAll about owls, for ann wants pictures and bob wants pictures.\n",
        ),
        ("streaming", "Once upon a time an agent had nothing to do. (44 characters)\n"),
    ],
)
def test_an_example_that_ends(
    start: Callable[[str], subprocess.Popen[str]], example: str, prints: str
) -> None:
    assert said(start((REPOSITORY / f"sdk/python/examples/{example}.py").read_text())) == prints


def test_the_client(server: Server, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent = Agent("reviewer", name="ann", skills=["python"], address=server.address)
    agent.task("analyse")(lambda input: input["file"])

    @agent.task("review")
    def review(input: Any, ctx: Any) -> str:
        return f"reviewed {ctx.dependencies[0].value}"

    attached(agent)
    *events, result = said(start(blocks("sdk/python/README.md")[2])).splitlines()
    assert events[0].split() == ["1", "CREATED"] and events[-1].split()[1:] == ["COMPLETED", "ann"]
    assert result == "reviewed main.py"
    drained(agent)


def test_the_dependencies(server: Server, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent = Agent("newsroom", slots=2, address=server.address)
    agent.task("review")(lambda input: {"file": input["file"], "score": 0.9})
    agent.task("clean-up")(lambda input: None)

    @agent.task("publish")
    def publish(input: Any, ctx: Context) -> str:
        return f"published {ctx.dependencies[0].value['file']}"

    attached(agent)
    assert said(start(blocks("sdk/python/README.md")[3])) == "published main.py\n"
    drained(agent)


def test_the_workflow(server: Server, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent = Agent("releases", slots=2, address=server.address)
    agent.task("build")(lambda input: f"build of {input['commit']}")
    agent.task("test")(lambda input: None)

    @agent.task("publish")
    def publish(input: Any, ctx: Context) -> str:
        return f"published the {ctx.dependency('build').value}"

    attached(agent)
    script = blocks("sdk/python/README.md")[4]
    assert said(start(script)) == "COMPLETED published the build of 4f1a9c2\n"
    drained(agent)


def test_the_placement() -> None:
    names: dict[str, Any] = {}
    exec(blocks("sdk/python/README.md")[5], names)
    asked = names["train"].to_wire().requirements
    assert (dict(asked.resources), list(asked.skills)) == ({"gpu": 1}, ["pytorch"])
    assert [(one.after.seconds, list(one.skills), one.role) for one in asked.fallbacks] == [
        (60, ["jax"], ""),
        (300, [], "leader"),
    ]


def test_the_limits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ADDRESS", server.address)
    exec(blocks("sdk/python/README.md")[6], {})
    with Client() as client:
        limits = (Limit("model/large", max_concurrent=4), Limit("tenant/*", rate=60, rate_period=60.0))
        assert client.namespaces.get("default").settings.limits == limits
        (task,) = client.list(type="ask")
        assert [use.key for use in client.explain(task).limits] == ["model/large", "tenant/ann"]


def test_the_error() -> None:
    with pytest.raises(TaskError) as raised:
        exec(blocks("sdk/python/README.md")[7], {})
    assert (raised.value.type, raised.value.retryable) == ("NoAccess", False)


def test_the_types(server: Server) -> None:
    agent = Agent("shop", address=server.address)
    # A dataclass looks for its module by its name.
    exec(blocks("sdk/python/README.md")[8], {"agent": agent, "__name__": __name__})
    attached(agent)
    with Client(server.address) as client:
        assert client.run("ship", {"id": "7", "notes": ["fragile"]}, timeout=LONG) == ["7: fragile"]
        with pytest.raises(TaskFailed, match="notes: Field required"):
            client.run("ship", {"id": 7}, timeout=LONG)
    drained(agent)


def test_the_steps(server: Server) -> None:
    agent = Agent("reporter", address=server.address)
    fetched: list[str] = []
    published: list[str] = []

    def fetch(url: str) -> str:
        fetched.append(url)
        return url.upper()

    async def publish(summary: str) -> None:
        published.append(summary)
        if len(published) == 1:
            raise ConnectionError("away")

    names = {"agent": agent, "fetch": fetch, "publish": publish, "ask_model": " ".join}
    exec(blocks("sdk/python/README.md")[9], names)
    attached(agent)
    with Client(server.address) as client:
        client.run("report", {"urls": ["a", "b"]}, retry=RetryPolicy(initial_backoff=0.001), timeout=LONG)
    assert (fetched, published) == (["a", "b"], ["A B", "A B"])
    drained(agent)


def test_the_children(server: Server) -> None:
    agent = Agent("supervisor", address=server.address)
    exec(blocks("sdk/python/README.md")[10], {"agent": agent})
    agent.task("research")(lambda topic: topic.upper())
    agent.task("summarize")(" and ".join)
    attached(agent)
    with Client(server.address) as client:
        task = client.create("survey", ["owls", "bees"])
        assert client.result(task, timeout=LONG) == "OWLS and BEES"
        states = [(child.name, child.task and child.task.state) for child in client.children(task)]
    assert states == [("research", "COMPLETED"), ("research", "COMPLETED"), ("summarize", "COMPLETED")]
    drained(agent)


def test_the_quorum(server: Server) -> None:
    agent = Agent("editor", slots=3, address=server.address)
    exec(blocks("sdk/python/README.md")[11], {"agent": agent})
    late = threading.Event()

    @agent.task("review")
    def review(asked: dict[str, str], ctx: Context) -> str:
        if asked["by"] == "carol":
            ctx.cancelled.wait(LONG)
            late.set()
            ctx.check_cancelled()
        return f"{asked['by']} likes {asked['draft']}"

    attached(agent)
    with Client(server.address) as client:
        assert client.run("publish", "it", timeout=LONG) == ["ann likes it", "bob likes it"]
        assert late.wait(LONG)
    drained(agent)


def test_the_output(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    agent = Agent("teller", address=server.address)

    @agent.task("tell")
    def tell(story: str, ctx: Context) -> None:
        for word in story.split():
            ctx.output(f"{word} ")

    attached(agent)
    with Client(server.address) as client:
        task = client.create("tell", "once upon a time")
        exec(blocks("sdk/python/README.md")[12], {"client": client, "task": task})
    assert capsys.readouterr().out == "once upon a time "
    drained(agent)


def test_the_interceptors(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CALLBOARD_ADDRESS", server.address)
    names: dict[str, Any] = {}
    exec(blocks("sdk/python/README.md")[13], names)
    names["agent"].task("work")(lambda input: input)
    attached(names["agent"])
    with Client() as client:
        assert client.run("work", 1, timeout=LONG) == 1
    assert capsys.readouterr().out.startswith("work ")
    drained(names["agent"])


def test_the_agent_that_answers(server: Server, start: Callable[[str], subprocess.Popen[str]]) -> None:
    answerer, asker = blocks("docs/messages.md")
    running = start(answerer)
    with Client(server.address) as client:
        until("the agent", lambda: [agent.name for agent in client.agents.list(states=["ATTACHED"])])
        assert said(start(asker)) == ""
        until("the acknowledgement", lambda: not list(client.messages.list("bob")))
        client.claim("ann", ["nothing"])
        teller = Agent("teller", name="carl", address=server.address)
        teller.task("tell")(lambda input, ctx: ctx.send("bob", "hello").message_id)
        heard: list[Any] = []
        teller.on_message(lambda message: heard.append((message.body, message.headers)))
        attached(teller)
        sent = client.run("tell", timeout=LONG)
        until("the answer", lambda: heard)
        assert heard == [("got 'hello'", {"correlation_id": sent})]
        drained(teller)
    running.terminate()
    assert said(running) == ""
