"""A handler whose task may have children, and the server that says what a test tells it to."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from fake_server import PATIENCE, FakeServer, Stream

from callboard import Agent, wire

PARENT = str(uuid.UUID(int=7))


class Parent:
    """An agent with one handler, sync or async, whose task is `PARENT`."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._agent = Agent("parent", address=server.address, drain_timeout=0.1)
        server.agents.answer = self._create

    def _create(self, request: Any, context: Any) -> Any:
        receipt = wire.task.TaskReceipt(task_id=f"{request.name}-{request.occurrence}", existing=False)
        return wire.agent_service.CreateChildResponse(receipt=receipt)

    def does(self, handler: Callable[..., Any], workflow: wire.task.WorkflowLink | None = None) -> Stream:
        """Starts the agent, and gives it the task."""
        self._agent.task("work")(handler)
        self._agent.start()
        self.stream = self._server.agents.stream()
        self.stream.assign(PARENT, "work", workflow=workflow)
        return self.stream

    def result(self) -> str:
        """What the handler gave, as JSON or text."""
        report = self._server.agents.reports
        while True:
            one = report.get(timeout=PATIENCE)
            assert not one.HasField("failed"), one
            if one.HasField("completed"):
                return str(one.completed.result.text)

    def awaited(self) -> str:
        """The next id that is awaited."""
        return self._server.agents.awaits.get(timeout=PATIENCE)

    def stop(self) -> None:
        self._agent.stop()
