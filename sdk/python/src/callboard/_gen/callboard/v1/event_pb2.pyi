from callboard._gen.callboard.v1 import payload_pb2 as _payload_pb2
from callboard._gen.callboard.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_CREATED: _ClassVar[EventType]
    EVENT_TYPE_READY: _ClassVar[EventType]
    EVENT_TYPE_ASSIGNED: _ClassVar[EventType]
    EVENT_TYPE_STARTED: _ClassVar[EventType]
    EVENT_TYPE_CHECKPOINTED: _ClassVar[EventType]
    EVENT_TYPE_HANDED_BACK: _ClassVar[EventType]
    EVENT_TYPE_ATTEMPT_FAILED: _ClassVar[EventType]
    EVENT_TYPE_ATTEMPT_TIMED_OUT: _ClassVar[EventType]
    EVENT_TYPE_ATTEMPT_LOST: _ClassVar[EventType]
    EVENT_TYPE_RETRY_SCHEDULED: _ClassVar[EventType]
    EVENT_TYPE_HELD: _ClassVar[EventType]
    EVENT_TYPE_RELEASED: _ClassVar[EventType]
    EVENT_TYPE_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_DEPENDENCY_MET: _ClassVar[EventType]
    EVENT_TYPE_CANCEL_REQUESTED: _ClassVar[EventType]
    EVENT_TYPE_COMPLETED: _ClassVar[EventType]
    EVENT_TYPE_FAILED: _ClassVar[EventType]
    EVENT_TYPE_CANCELLED: _ClassVar[EventType]
    EVENT_TYPE_SKIPPED: _ClassVar[EventType]
    EVENT_TYPE_RUN_OPENED: _ClassVar[EventType]
    EVENT_TYPE_STEP_RECORDED: _ClassVar[EventType]
    EVENT_TYPE_CHILD_CREATED: _ClassVar[EventType]
    EVENT_TYPE_PAUSED: _ClassVar[EventType]
    EVENT_TYPE_RESUMED: _ClassVar[EventType]
    EVENT_TYPE_FELL_BACK: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_CREATED: EventType
EVENT_TYPE_READY: EventType
EVENT_TYPE_ASSIGNED: EventType
EVENT_TYPE_STARTED: EventType
EVENT_TYPE_CHECKPOINTED: EventType
EVENT_TYPE_HANDED_BACK: EventType
EVENT_TYPE_ATTEMPT_FAILED: EventType
EVENT_TYPE_ATTEMPT_TIMED_OUT: EventType
EVENT_TYPE_ATTEMPT_LOST: EventType
EVENT_TYPE_RETRY_SCHEDULED: EventType
EVENT_TYPE_HELD: EventType
EVENT_TYPE_RELEASED: EventType
EVENT_TYPE_UPDATED: EventType
EVENT_TYPE_DEPENDENCY_MET: EventType
EVENT_TYPE_CANCEL_REQUESTED: EventType
EVENT_TYPE_COMPLETED: EventType
EVENT_TYPE_FAILED: EventType
EVENT_TYPE_CANCELLED: EventType
EVENT_TYPE_SKIPPED: EventType
EVENT_TYPE_RUN_OPENED: EventType
EVENT_TYPE_STEP_RECORDED: EventType
EVENT_TYPE_CHILD_CREATED: EventType
EVENT_TYPE_PAUSED: EventType
EVENT_TYPE_RESUMED: EventType
EVENT_TYPE_FELL_BACK: EventType

class Event(_message.Message):
    __slots__ = ("task_id", "sequence", "at", "principal", "type", "state", "run", "attempt", "agent", "reason", "failure", "scheduled_at", "step", "step_occurrence", "child")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_AT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEP_OCCURRENCE_FIELD_NUMBER: _ClassVar[int]
    CHILD_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    sequence: int
    at: _timestamp_pb2.Timestamp
    principal: str
    type: EventType
    state: _task_pb2.TaskState
    run: int
    attempt: int
    agent: str
    reason: str
    failure: _payload_pb2.Failure
    scheduled_at: _timestamp_pb2.Timestamp
    step: str
    step_occurrence: int
    child: str
    def __init__(self, task_id: _Optional[str] = ..., sequence: _Optional[int] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., type: _Optional[_Union[EventType, str]] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ..., run: _Optional[int] = ..., attempt: _Optional[int] = ..., agent: _Optional[str] = ..., reason: _Optional[str] = ..., failure: _Optional[_Union[_payload_pb2.Failure, _Mapping]] = ..., scheduled_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., step: _Optional[str] = ..., step_occurrence: _Optional[int] = ..., child: _Optional[str] = ...) -> None: ...
