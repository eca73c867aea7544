from callboard._gen.callboard.v1 import payload_pb2 as _payload_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_URGENT: _ClassVar[Priority]
    PRIORITY_CRITICAL: _ClassVar[Priority]

class KeyConflictPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_CONFLICT_POLICY_UNSPECIFIED: _ClassVar[KeyConflictPolicy]
    KEY_CONFLICT_POLICY_USE_EXISTING: _ClassVar[KeyConflictPolicy]
    KEY_CONFLICT_POLICY_FAIL: _ClassVar[KeyConflictPolicy]
    KEY_CONFLICT_POLICY_REPLACE: _ClassVar[KeyConflictPolicy]

class DependencyCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPENDENCY_CONDITION_UNSPECIFIED: _ClassVar[DependencyCondition]
    DEPENDENCY_CONDITION_COMPLETED: _ClassVar[DependencyCondition]
    DEPENDENCY_CONDITION_FAILED: _ClassVar[DependencyCondition]
    DEPENDENCY_CONDITION_NOT_COMPLETED: _ClassVar[DependencyCondition]
    DEPENDENCY_CONDITION_ENDED: _ClassVar[DependencyCondition]

class ResultComparison(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_COMPARISON_UNSPECIFIED: _ClassVar[ResultComparison]
    RESULT_COMPARISON_EQUAL: _ClassVar[ResultComparison]
    RESULT_COMPARISON_NOT_EQUAL: _ClassVar[ResultComparison]
    RESULT_COMPARISON_LESS: _ClassVar[ResultComparison]
    RESULT_COMPARISON_LESS_OR_EQUAL: _ClassVar[ResultComparison]
    RESULT_COMPARISON_GREATER: _ClassVar[ResultComparison]
    RESULT_COMPARISON_GREATER_OR_EQUAL: _ClassVar[ResultComparison]
    RESULT_COMPARISON_EXISTS: _ClassVar[ResultComparison]
    RESULT_COMPARISON_NOT_EXISTS: _ClassVar[ResultComparison]

class DependencyFailureAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEPENDENCY_FAILURE_ACTION_UNSPECIFIED: _ClassVar[DependencyFailureAction]
    DEPENDENCY_FAILURE_ACTION_SKIP: _ClassVar[DependencyFailureAction]
    DEPENDENCY_FAILURE_ACTION_FAIL: _ClassVar[DependencyFailureAction]

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_WAITING: _ClassVar[TaskState]
    TASK_STATE_READY: _ClassVar[TaskState]
    TASK_STATE_ASSIGNED: _ClassVar[TaskState]
    TASK_STATE_RUNNING: _ClassVar[TaskState]
    TASK_STATE_PAUSED: _ClassVar[TaskState]
    TASK_STATE_COMPLETED: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]
    TASK_STATE_SKIPPED: _ClassVar[TaskState]

class WaitReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAIT_REASON_UNSPECIFIED: _ClassVar[WaitReason]
    WAIT_REASON_DEPENDENCIES: _ClassVar[WaitReason]
    WAIT_REASON_HOLD: _ClassVar[WaitReason]
    WAIT_REASON_START_TIME: _ClassVar[WaitReason]
    WAIT_REASON_RETRY_DELAY: _ClassVar[WaitReason]

class PauseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAUSE_REASON_UNSPECIFIED: _ClassVar[PauseReason]
    PAUSE_REASON_CHILDREN: _ClassVar[PauseReason]
    PAUSE_REASON_SLOT: _ClassVar[PauseReason]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
PRIORITY_URGENT: Priority
PRIORITY_CRITICAL: Priority
KEY_CONFLICT_POLICY_UNSPECIFIED: KeyConflictPolicy
KEY_CONFLICT_POLICY_USE_EXISTING: KeyConflictPolicy
KEY_CONFLICT_POLICY_FAIL: KeyConflictPolicy
KEY_CONFLICT_POLICY_REPLACE: KeyConflictPolicy
DEPENDENCY_CONDITION_UNSPECIFIED: DependencyCondition
DEPENDENCY_CONDITION_COMPLETED: DependencyCondition
DEPENDENCY_CONDITION_FAILED: DependencyCondition
DEPENDENCY_CONDITION_NOT_COMPLETED: DependencyCondition
DEPENDENCY_CONDITION_ENDED: DependencyCondition
RESULT_COMPARISON_UNSPECIFIED: ResultComparison
RESULT_COMPARISON_EQUAL: ResultComparison
RESULT_COMPARISON_NOT_EQUAL: ResultComparison
RESULT_COMPARISON_LESS: ResultComparison
RESULT_COMPARISON_LESS_OR_EQUAL: ResultComparison
RESULT_COMPARISON_GREATER: ResultComparison
RESULT_COMPARISON_GREATER_OR_EQUAL: ResultComparison
RESULT_COMPARISON_EXISTS: ResultComparison
RESULT_COMPARISON_NOT_EXISTS: ResultComparison
DEPENDENCY_FAILURE_ACTION_UNSPECIFIED: DependencyFailureAction
DEPENDENCY_FAILURE_ACTION_SKIP: DependencyFailureAction
DEPENDENCY_FAILURE_ACTION_FAIL: DependencyFailureAction
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_WAITING: TaskState
TASK_STATE_READY: TaskState
TASK_STATE_ASSIGNED: TaskState
TASK_STATE_RUNNING: TaskState
TASK_STATE_PAUSED: TaskState
TASK_STATE_COMPLETED: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_CANCELLED: TaskState
TASK_STATE_SKIPPED: TaskState
WAIT_REASON_UNSPECIFIED: WaitReason
WAIT_REASON_DEPENDENCIES: WaitReason
WAIT_REASON_HOLD: WaitReason
WAIT_REASON_START_TIME: WaitReason
WAIT_REASON_RETRY_DELAY: WaitReason
PAUSE_REASON_UNSPECIFIED: PauseReason
PAUSE_REASON_CHILDREN: PauseReason
PAUSE_REASON_SLOT: PauseReason

class TaskSpec(_message.Message):
    __slots__ = ("type", "description", "input", "key", "key_conflict_policy", "requirements", "priority", "dependencies", "retry_policy", "timeouts", "deadline", "start_at", "hold", "tags", "metadata", "headers", "fairness_key", "limit_keys")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_CONFLICT_POLICY_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    FAIRNESS_KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_KEYS_FIELD_NUMBER: _ClassVar[int]
    type: str
    description: str
    input: _payload_pb2.Payload
    key: str
    key_conflict_policy: KeyConflictPolicy
    requirements: Requirements
    priority: Priority
    dependencies: _containers.RepeatedCompositeFieldContainer[Dependency]
    retry_policy: RetryPolicy
    timeouts: Timeouts
    deadline: _timestamp_pb2.Timestamp
    start_at: _timestamp_pb2.Timestamp
    hold: bool
    tags: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.ScalarMap[str, str]
    headers: _containers.ScalarMap[str, str]
    fairness_key: str
    limit_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[str] = ..., description: _Optional[str] = ..., input: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., key: _Optional[str] = ..., key_conflict_policy: _Optional[_Union[KeyConflictPolicy, str]] = ..., requirements: _Optional[_Union[Requirements, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ..., dependencies: _Optional[_Iterable[_Union[Dependency, _Mapping]]] = ..., retry_policy: _Optional[_Union[RetryPolicy, _Mapping]] = ..., timeouts: _Optional[_Union[Timeouts, _Mapping]] = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., start_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., hold: bool = ..., tags: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., headers: _Optional[_Mapping[str, str]] = ..., fairness_key: _Optional[str] = ..., limit_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class Requirements(_message.Message):
    __slots__ = ("skills", "tools", "role", "assignee", "preferred_agent", "affinity", "anti_affinity", "resources", "near", "apart", "fallbacks")
    class AffinityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AntiAffinityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_AGENT_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    ANTI_AFFINITY_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NEAR_FIELD_NUMBER: _ClassVar[int]
    APART_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    skills: _containers.RepeatedScalarFieldContainer[str]
    tools: _containers.RepeatedScalarFieldContainer[str]
    role: str
    assignee: str
    preferred_agent: str
    affinity: _containers.ScalarMap[str, str]
    anti_affinity: _containers.ScalarMap[str, str]
    resources: _containers.ScalarMap[str, float]
    near: _containers.RepeatedScalarFieldContainer[str]
    apart: _containers.RepeatedScalarFieldContainer[str]
    fallbacks: _containers.RepeatedCompositeFieldContainer[RequirementsFallback]
    def __init__(self, skills: _Optional[_Iterable[str]] = ..., tools: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ..., assignee: _Optional[str] = ..., preferred_agent: _Optional[str] = ..., affinity: _Optional[_Mapping[str, str]] = ..., anti_affinity: _Optional[_Mapping[str, str]] = ..., resources: _Optional[_Mapping[str, float]] = ..., near: _Optional[_Iterable[str]] = ..., apart: _Optional[_Iterable[str]] = ..., fallbacks: _Optional[_Iterable[_Union[RequirementsFallback, _Mapping]]] = ...) -> None: ...

class RequirementsFallback(_message.Message):
    __slots__ = ("after", "skills", "tools", "role", "assignee")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNEE_FIELD_NUMBER: _ClassVar[int]
    after: _duration_pb2.Duration
    skills: _containers.RepeatedScalarFieldContainer[str]
    tools: _containers.RepeatedScalarFieldContainer[str]
    role: str
    assignee: str
    def __init__(self, after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., skills: _Optional[_Iterable[str]] = ..., tools: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ..., assignee: _Optional[str] = ...) -> None: ...

class Dependency(_message.Message):
    __slots__ = ("task_id", "on_failure", "condition", "result", "name")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    on_failure: DependencyFailureAction
    condition: DependencyCondition
    result: ResultCondition
    name: str
    def __init__(self, task_id: _Optional[str] = ..., on_failure: _Optional[_Union[DependencyFailureAction, str]] = ..., condition: _Optional[_Union[DependencyCondition, str]] = ..., result: _Optional[_Union[ResultCondition, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class ResultCondition(_message.Message):
    __slots__ = ("pointer", "comparison", "value")
    POINTER_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    pointer: str
    comparison: ResultComparison
    value: str
    def __init__(self, pointer: _Optional[str] = ..., comparison: _Optional[_Union[ResultComparison, str]] = ..., value: _Optional[str] = ...) -> None: ...

class RetryPolicy(_message.Message):
    __slots__ = ("max_attempts", "initial_backoff", "multiplier", "max_backoff", "non_retryable_types")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MAX_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    NON_RETRYABLE_TYPES_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    initial_backoff: _duration_pb2.Duration
    multiplier: float
    max_backoff: _duration_pb2.Duration
    non_retryable_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_attempts: _Optional[int] = ..., initial_backoff: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., multiplier: _Optional[float] = ..., max_backoff: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., non_retryable_types: _Optional[_Iterable[str]] = ...) -> None: ...

class Timeouts(_message.Message):
    __slots__ = ("schedule_to_start", "start_to_close", "schedule_to_close", "heartbeat")
    SCHEDULE_TO_START_FIELD_NUMBER: _ClassVar[int]
    START_TO_CLOSE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_TO_CLOSE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    schedule_to_start: _duration_pb2.Duration
    start_to_close: _duration_pb2.Duration
    schedule_to_close: _duration_pb2.Duration
    heartbeat: _duration_pb2.Duration
    def __init__(self, schedule_to_start: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., start_to_close: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., schedule_to_close: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., heartbeat: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("id", "namespace", "spec", "state", "waiting_for", "unmet_dependencies", "run", "attempt", "attempts_used", "agent", "phase", "progress", "progress_message", "cancel_requested", "result", "failure", "created_at", "ready_at", "started_at", "ended_at", "next_at", "created_by", "version", "parent", "paused_for", "workflow", "fallback")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    UNMET_DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_USED_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    READY_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FOR_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    spec: TaskSpec
    state: TaskState
    waiting_for: _containers.RepeatedScalarFieldContainer[WaitReason]
    unmet_dependencies: int
    run: int
    attempt: int
    attempts_used: int
    agent: str
    phase: str
    progress: float
    progress_message: str
    cancel_requested: bool
    result: _payload_pb2.Payload
    failure: _payload_pb2.Failure
    created_at: _timestamp_pb2.Timestamp
    ready_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    next_at: _timestamp_pb2.Timestamp
    created_by: str
    version: int
    parent: ParentLink
    paused_for: PauseReason
    workflow: WorkflowLink
    fallback: int
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., spec: _Optional[_Union[TaskSpec, _Mapping]] = ..., state: _Optional[_Union[TaskState, str]] = ..., waiting_for: _Optional[_Iterable[_Union[WaitReason, str]]] = ..., unmet_dependencies: _Optional[int] = ..., run: _Optional[int] = ..., attempt: _Optional[int] = ..., attempts_used: _Optional[int] = ..., agent: _Optional[str] = ..., phase: _Optional[str] = ..., progress: _Optional[float] = ..., progress_message: _Optional[str] = ..., cancel_requested: bool = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., failure: _Optional[_Union[_payload_pb2.Failure, _Mapping]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ready_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., next_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., version: _Optional[int] = ..., parent: _Optional[_Union[ParentLink, _Mapping]] = ..., paused_for: _Optional[_Union[PauseReason, str]] = ..., workflow: _Optional[_Union[WorkflowLink, _Mapping]] = ..., fallback: _Optional[int] = ...) -> None: ...

class WorkflowLink(_message.Message):
    __slots__ = ("workflow_id", "name", "allow_failure", "weight", "tasks_behind")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FAILURE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TASKS_BEHIND_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    name: str
    allow_failure: bool
    weight: int
    tasks_behind: int
    def __init__(self, workflow_id: _Optional[str] = ..., name: _Optional[str] = ..., allow_failure: bool = ..., weight: _Optional[int] = ..., tasks_behind: _Optional[int] = ...) -> None: ...

class ParentLink(_message.Message):
    __slots__ = ("task_id", "run", "name", "occurrence", "depth")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    run: int
    name: str
    occurrence: int
    depth: int
    def __init__(self, task_id: _Optional[str] = ..., run: _Optional[int] = ..., name: _Optional[str] = ..., occurrence: _Optional[int] = ..., depth: _Optional[int] = ...) -> None: ...

class TaskReceipt(_message.Message):
    __slots__ = ("task_id", "state", "run", "version", "existing")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    state: TaskState
    run: int
    version: int
    existing: bool
    def __init__(self, task_id: _Optional[str] = ..., state: _Optional[_Union[TaskState, str]] = ..., run: _Optional[int] = ..., version: _Optional[int] = ..., existing: bool = ...) -> None: ...
