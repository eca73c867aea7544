"""The generated protocol types, under short names."""

from __future__ import annotations

from callboard._gen.callboard.v1 import admin_service_pb2 as admin_service
from callboard._gen.callboard.v1 import agent_pb2 as agent
from callboard._gen.callboard.v1 import agent_service_pb2 as agent_service
from callboard._gen.callboard.v1 import assignment_pb2 as assignment
from callboard._gen.callboard.v1 import child_pb2 as child
from callboard._gen.callboard.v1 import error_pb2 as error
from callboard._gen.callboard.v1 import event_pb2 as event
from callboard._gen.callboard.v1 import message_pb2 as message
from callboard._gen.callboard.v1 import message_service_pb2 as message_service
from callboard._gen.callboard.v1 import namespace_service_pb2 as namespace_service
from callboard._gen.callboard.v1 import output_pb2 as output
from callboard._gen.callboard.v1 import payload_pb2 as payload
from callboard._gen.callboard.v1 import step_pb2 as step
from callboard._gen.callboard.v1 import task_pb2 as task
from callboard._gen.callboard.v1 import task_service_pb2 as task_service
from callboard._gen.callboard.v1 import workflow_pb2 as workflow
from callboard._gen.callboard.v1 import workflow_service_pb2 as workflow_service

__all__ = [
    "admin_service",
    "agent",
    "agent_service",
    "assignment",
    "child",
    "error",
    "event",
    "message",
    "message_service",
    "namespace_service",
    "output",
    "payload",
    "step",
    "task",
    "task_service",
    "workflow",
    "workflow_service",
]
