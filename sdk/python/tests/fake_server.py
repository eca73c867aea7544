"""A server in a few lines: it says what a test tells it to, over real gRPC."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from callboard import wire
from callboard._gen.callboard.v1 import (
    agent_service_pb2_grpc,
    namespace_service_pb2_grpc,
    task_service_pb2_grpc,
    workflow_service_pb2_grpc,
)

FEATURES = ("progress", "checkpoint", "slots", "drain", "steps", "children", "output")
PATIENCE = 10.0
RUN = 2
"""The run of every assignment."""


def refuse(context: Any, code: grpc.StatusCode, reason: str, message: str) -> None:
    """Ends a call with a status that has an ErrorInfo."""
    info = AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="callboard.dev"))
    status = status_pb2.Status(code=code.value[0], message=message, details=[info])
    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(code, message)


class Stream:
    """One attached stream."""

    def __init__(self, hello: wire.agent.Hello) -> None:
        self.hello = hello
        self.outgoing: queue.Queue[Any] = queue.Queue()
        self.received_at: list[float] = []

    def send(self, **frame: Any) -> None:
        self.outgoing.put(wire.agent.AttachResponse(**frame))

    def end(self) -> None:
        self.outgoing.put(None)

    def assign(
        self,
        task: str,
        type: str,
        steps: Sequence[wire.step.Step] = (),
        step_count: int = 0,
        workflow: wire.task.WorkflowLink | None = None,
        **spec: Any,
    ) -> None:
        assignment = wire.agent.Assignment(
            attempt=wire.agent.Attempt(task_id=task, attempt=1, lease_token="t"),
            run=RUN,
            spec=wire.task.TaskSpec(type=type, **spec),
            steps=steps,
            step_count=step_count or len(steps),
            workflow=workflow,
        )
        self.send(assignments=wire.agent.AssignmentBatch(assignments=[assignment]))

    def task_end(self, task: str, state: str = "COMPLETED", **end: Any) -> None:
        one = wire.agent.TaskEnd(task_id=task, state=f"TASK_STATE_{state}", run=1, **end)
        self.send(task_ends=wire.agent.TaskEndBatch(ends=[one]))

    def resumption(self, task: str) -> None:
        attempt = wire.agent.Attempt(task_id=task, attempt=1, lease_token="t")
        self.send(resumptions=wire.agent.ResumptionBatch(resumptions=[{"attempt": attempt}]))

    def cancel(self, task: str, reason: str = "REQUESTED") -> None:
        cancellation = wire.agent.Cancellation(
            attempt=wire.agent.Attempt(task_id=task, attempt=1, lease_token="t"),
            reason=f"CANCELLATION_REASON_{reason}",
        )
        self.send(cancellations=wire.agent.CancellationBatch(cancellations=[cancellation]))


class AgentService(agent_service_pb2_grpc.AgentServiceServicer):
    def __init__(self, lease: float) -> None:
        self.lease = lease
        self.streams: queue.Queue[Stream] = queue.Queue()
        self.reports: queue.Queue[wire.agent.Report] = queue.Queue()
        self.frames: queue.Queue[str] = queue.Queue()
        self.receipts = True
        # Whether there is a slot for an attempt that asks for one.
        self.has_slot = True
        self.features: Sequence[str] = FEATURES
        # Ids of the tasks that are awaited.
        self.awaits: queue.Queue[str] = queue.Queue()
        # What CreateChild answers, and what was asked.
        self.answer: Callable[[Any, Any], Any] | None = None
        self.requests: list[Any] = []
        # Why a step is refused, by its name.
        self.refused_steps: dict[str, str] = {}
        self.refusal: tuple[grpc.StatusCode, str, str] | None = None

    def Attach(self, requests: Iterator[wire.agent.AttachRequest], context: Any) -> Iterator[Any]:
        stream = Stream(next(requests).hello)
        if self.refusal is not None:
            refuse(context, *self.refusal)
        welcome = wire.agent.Welcome(session_epoch=1, held=stream.hello.held, features=self.features)
        welcome.lease.FromMilliseconds(int(self.lease * 1000))
        stream.send(welcome=welcome)
        threading.Thread(target=self._read, args=(requests, stream), daemon=True).start()
        self.streams.put(stream)
        while True:
            try:
                frame = stream.outgoing.get(timeout=self.lease / 3)
            except queue.Empty:
                frame = wire.agent.AttachResponse(heartbeat=wire.agent.Heartbeat())
            if frame is None:
                return
            yield frame

    def _read(self, requests: Iterator[wire.agent.AttachRequest], stream: Stream) -> None:
        try:
            for frame in requests:
                stream.received_at.append(time.monotonic())
                self.frames.put(str(frame.WhichOneof("frame")))
                for task_id in frame.awaits.task_ids:
                    self.awaits.put(task_id)
                for report in frame.reports.reports:
                    self.reports.put(report)
                    if self.receipts and not report.HasField("progress"):
                        stream.send(receipts=wire.agent.ReceiptBatch(receipts=[self._receipt(report)]))
        except grpc.RpcError:
            pass
        stream.end()

    def _receipt(self, report: wire.agent.Report) -> wire.agent.Receipt:
        reason = self.refused_steps.get(report.step.name)
        return wire.agent.Receipt(
            report_id=report.report_id,
            attempt=report.attempt,
            status=f"RECEIPT_STATUS_{'COMMITTED' if reason is None else 'REFUSED'}",
            reason=f"ERROR_REASON_{reason or 'UNSPECIFIED'}",
            state="TASK_STATE_PAUSED" if self._pauses(report) else "TASK_STATE_RUNNING",
        )

    def _pauses(self, report: wire.agent.Report) -> bool:
        return report.HasField("pause") or (report.HasField("resume") and not self.has_slot)

    def CreateChild(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        assert self.answer is not None
        return self.answer(request, context)

    def stream(self) -> Stream:
        return self.streams.get(timeout=PATIENCE)

    def until(self, kind: str) -> dict[str, wire.agent.Report]:
        """The reports up to the next of a kind, by their kinds."""
        reports: dict[str, wire.agent.Report] = {}
        while kind not in reports:
            report = self.reports.get(timeout=PATIENCE)
            reports[str(report.WhichOneof("kind"))] = report
        return reports

    def report(self, kind: str) -> wire.agent.Report:
        """The next report of a kind; those before are skipped."""
        return self.until(kind)[kind]


class Answering:
    """Each method is answered by what a test put in `answers` under its name."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Any, Any], Any]] = {}
        self.requests: list[Any] = []

    def _answer(self, method: str, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.answers[method](request, context)


class TaskService(Answering, task_service_pb2_grpc.TaskServiceServicer):
    def CreateTask(self, request: Any, context: Any) -> Any:
        return self._answer("CreateTask", request, context)

    def RunTask(self, request: Any, context: Any) -> Any:
        return self._answer("RunTask", request, context)

    def RunTasks(self, requests: Any, context: Any) -> Any:
        """Without an answer it is a server that has no such method."""
        if "RunTasks" not in self.answers:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        yield from self.answers["RunTasks"](requests, context)

    def WaitTask(self, request: Any, context: Any) -> Any:
        return self._answer("WaitTask", request, context)

    def ListTasks(self, request: Any, context: Any) -> Any:
        return self._answer("ListTasks", request, context)

    def ListDependencyResults(self, request: Any, context: Any) -> Any:
        return self._answer("ListDependencyResults", request, context)

    def ListSteps(self, request: Any, context: Any) -> Any:
        return self._answer("ListSteps", request, context)

    def BatchCreateTasks(self, request: Any, context: Any) -> Any:
        return self._answer("BatchCreateTasks", request, context)

    def GetTask(self, request: Any, context: Any) -> Any:
        return self._answer("GetTask", request, context)

    def CancelTask(self, request: Any, context: Any) -> Any:
        return self._answer("CancelTask", request, context)

    def AddDependencies(self, request: Any, context: Any) -> Any:
        return self._answer("AddDependencies", request, context)

    def ExplainAssignment(self, request: Any, context: Any) -> Any:
        return self._answer("ExplainAssignment", request, context)

    def ListChildren(self, request: Any, context: Any) -> Any:
        return self._answer("ListChildren", request, context)

    def ListOutput(self, request: Any, context: Any) -> Any:
        return self._answer("ListOutput", request, context)

    def WatchOutput(self, request: Any, context: Any) -> Any:
        yield from self._answer("WatchOutput", request, context)

    def WatchEvents(self, request: Any, context: Any) -> Any:
        yield from self._answer("WatchEvents", request, context)


class WorkflowService(Answering, workflow_service_pb2_grpc.WorkflowServiceServicer):
    def CreateWorkflow(self, request: Any, context: Any) -> Any:
        return self._answer("CreateWorkflow", request, context)

    def AddWorkflowTasks(self, request: Any, context: Any) -> Any:
        return self._answer("AddWorkflowTasks", request, context)

    def HoldWorkflow(self, request: Any, context: Any) -> Any:
        return self._answer("HoldWorkflow", request, context)

    def ReleaseWorkflow(self, request: Any, context: Any) -> Any:
        return self._answer("ReleaseWorkflow", request, context)

    def ForecastWorkflow(self, request: Any, context: Any) -> Any:
        return self._answer("ForecastWorkflow", request, context)

    def WaitWorkflow(self, request: Any, context: Any) -> Any:
        return self._answer("WaitWorkflow", request, context)


class NamespaceService(Answering, namespace_service_pb2_grpc.NamespaceServiceServicer):
    def CreateNamespace(self, request: Any, context: Any) -> Any:
        return self._answer("CreateNamespace", request, context)

    def GetNamespace(self, request: Any, context: Any) -> Any:
        return self._answer("GetNamespace", request, context)

    def UpdateNamespace(self, request: Any, context: Any) -> Any:
        return self._answer("UpdateNamespace", request, context)


class FakeServer:
    """The server with its services, as far as tests need them."""

    def __init__(self, lease: float = 3.0, port: int = 0) -> None:
        self.agents = AgentService(lease)
        self.tasks = TaskService()
        self.workflows = WorkflowService()
        self.namespaces = NamespaceService()
        self._server = grpc.server(ThreadPoolExecutor(16))
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(self.agents, self._server)  # type: ignore[no-untyped-call]
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(self.tasks, self._server)  # type: ignore[no-untyped-call]
        workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(self.workflows, self._server)  # type: ignore[no-untyped-call]
        namespace_service_pb2_grpc.add_NamespaceServiceServicer_to_server(self.namespaces, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"http://127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()
