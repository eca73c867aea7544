from callboard._gen.callboard.v1 import namespace_service_pb2 as _namespace_service_pb2
from callboard._gen.callboard.v1 import task_pb2 as _task_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AssignmentObstacleType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSIGNMENT_OBSTACLE_TYPE_UNSPECIFIED: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_TASK_TYPE: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_ASSIGNEE: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_ROLE: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_SKILL: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_TOOL: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_RESOURCE: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_DETACHED: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_CORDONED: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_DRAINING: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_CLAIMS: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_SLOTS: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_RESOURCE_TAKEN: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_PREFERRED: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_FAILED_THERE: _ClassVar[AssignmentObstacleType]
    ASSIGNMENT_OBSTACLE_TYPE_LIMIT: _ClassVar[AssignmentObstacleType]
ASSIGNMENT_OBSTACLE_TYPE_UNSPECIFIED: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_TASK_TYPE: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_ASSIGNEE: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_ROLE: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_SKILL: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_TOOL: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_RESOURCE: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_DETACHED: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_CORDONED: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_DRAINING: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_CLAIMS: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_SLOTS: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_RESOURCE_TAKEN: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_PREFERRED: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_FAILED_THERE: AssignmentObstacleType
ASSIGNMENT_OBSTACLE_TYPE_LIMIT: AssignmentObstacleType

class AssignmentExplanation(_message.Message):
    __slots__ = ("task_id", "state", "waiting_for", "agent", "ahead", "agents", "fitting", "candidates", "limits", "past")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    FITTING_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    PAST_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    state: _task_pb2.TaskState
    waiting_for: _containers.RepeatedScalarFieldContainer[_task_pb2.WaitReason]
    agent: str
    ahead: int
    agents: int
    fitting: int
    candidates: _containers.RepeatedCompositeFieldContainer[AssignmentCandidate]
    limits: _containers.RepeatedCompositeFieldContainer[LimitUse]
    past: _containers.RepeatedCompositeFieldContainer[AssignmentChoice]
    def __init__(self, task_id: _Optional[str] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ..., waiting_for: _Optional[_Iterable[_Union[_task_pb2.WaitReason, str]]] = ..., agent: _Optional[str] = ..., ahead: _Optional[int] = ..., agents: _Optional[int] = ..., fitting: _Optional[int] = ..., candidates: _Optional[_Iterable[_Union[AssignmentCandidate, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[LimitUse, _Mapping]]] = ..., past: _Optional[_Iterable[_Union[AssignmentChoice, _Mapping]]] = ...) -> None: ...

class LimitUse(_message.Message):
    __slots__ = ("key", "limit", "in_use", "reached", "next_at")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    IN_USE_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
    NEXT_AT_FIELD_NUMBER: _ClassVar[int]
    key: str
    limit: _namespace_service_pb2.Limit
    in_use: int
    reached: bool
    next_at: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., limit: _Optional[_Union[_namespace_service_pb2.Limit, _Mapping]] = ..., in_use: _Optional[int] = ..., reached: bool = ..., next_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AssignmentChoice(_message.Message):
    __slots__ = ("attempt", "at", "agent", "claimed", "score", "compared", "runners_up")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    RUNNERS_UP_FIELD_NUMBER: _ClassVar[int]
    attempt: int
    at: _timestamp_pb2.Timestamp
    agent: str
    claimed: bool
    score: float
    compared: int
    runners_up: _containers.RepeatedCompositeFieldContainer[AssignmentRunnerUp]
    def __init__(self, attempt: _Optional[int] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., agent: _Optional[str] = ..., claimed: bool = ..., score: _Optional[float] = ..., compared: _Optional[int] = ..., runners_up: _Optional[_Iterable[_Union[AssignmentRunnerUp, _Mapping]]] = ...) -> None: ...

class AssignmentRunnerUp(_message.Message):
    __slots__ = ("agent", "score")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    agent: str
    score: float
    def __init__(self, agent: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class AssignmentCandidate(_message.Message):
    __slots__ = ("agent", "fits", "obstacles", "score", "success", "idle", "affinity", "role")
    AGENT_FIELD_NUMBER: _ClassVar[int]
    FITS_FIELD_NUMBER: _ClassVar[int]
    OBSTACLES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    agent: str
    fits: bool
    obstacles: _containers.RepeatedCompositeFieldContainer[AssignmentObstacle]
    score: float
    success: float
    idle: float
    affinity: float
    role: float
    def __init__(self, agent: _Optional[str] = ..., fits: bool = ..., obstacles: _Optional[_Iterable[_Union[AssignmentObstacle, _Mapping]]] = ..., score: _Optional[float] = ..., success: _Optional[float] = ..., idle: _Optional[float] = ..., affinity: _Optional[float] = ..., role: _Optional[float] = ...) -> None: ...

class AssignmentObstacle(_message.Message):
    __slots__ = ("type", "detail")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    type: AssignmentObstacleType
    detail: str
    def __init__(self, type: _Optional[_Union[AssignmentObstacleType, str]] = ..., detail: _Optional[str] = ...) -> None: ...
