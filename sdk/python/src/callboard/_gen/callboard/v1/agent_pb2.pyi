from callboard._gen.callboard.v1 import error_pb2 as _error_pb2
from callboard._gen.callboard.v1 import message_pb2 as _message_pb2
from callboard._gen.callboard.v1 import output_pb2 as _output_pb2
from callboard._gen.callboard.v1 import payload_pb2 as _payload_pb2
from callboard._gen.callboard.v1 import step_pb2 as _step_pb2
from callboard._gen.callboard.v1 import task_pb2 as _task_pb2
from callboard._gen.callboard.v1 import task_service_pb2 as _task_service_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATE_UNSPECIFIED: _ClassVar[AgentState]
    AGENT_STATE_ATTACHED: _ClassVar[AgentState]
    AGENT_STATE_RECONNECTING: _ClassVar[AgentState]
    AGENT_STATE_DRAINING: _ClassVar[AgentState]
    AGENT_STATE_DETACHED: _ClassVar[AgentState]
    AGENT_STATE_CLAIMING: _ClassVar[AgentState]

class ReceiptStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECEIPT_STATUS_UNSPECIFIED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_COMMITTED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_REFUSED: _ClassVar[ReceiptStatus]
    RECEIPT_STATUS_RETRY: _ClassVar[ReceiptStatus]

class CancellationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CANCELLATION_REASON_UNSPECIFIED: _ClassVar[CancellationReason]
    CANCELLATION_REASON_REQUESTED: _ClassVar[CancellationReason]
    CANCELLATION_REASON_LEASE_LOST: _ClassVar[CancellationReason]
    CANCELLATION_REASON_TIMED_OUT: _ClassVar[CancellationReason]
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_ATTACHED: AgentState
AGENT_STATE_RECONNECTING: AgentState
AGENT_STATE_DRAINING: AgentState
AGENT_STATE_DETACHED: AgentState
AGENT_STATE_CLAIMING: AgentState
RECEIPT_STATUS_UNSPECIFIED: ReceiptStatus
RECEIPT_STATUS_COMMITTED: ReceiptStatus
RECEIPT_STATUS_REFUSED: ReceiptStatus
RECEIPT_STATUS_RETRY: ReceiptStatus
CANCELLATION_REASON_UNSPECIFIED: CancellationReason
CANCELLATION_REASON_REQUESTED: CancellationReason
CANCELLATION_REASON_LEASE_LOST: CancellationReason
CANCELLATION_REASON_TIMED_OUT: CancellationReason

class AgentProfile(_message.Message):
    __slots__ = ("name", "agent_type", "role", "skills", "tools", "labels", "slots", "resources", "handles", "sdk", "sdk_version", "build_id")
    class LabelsEntry(_message.Message):
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
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SKILLS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    SDK_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUILD_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    agent_type: str
    role: str
    skills: _containers.RepeatedScalarFieldContainer[str]
    tools: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    slots: int
    resources: _containers.ScalarMap[str, float]
    handles: _containers.RepeatedCompositeFieldContainer[TaskHandler]
    sdk: str
    sdk_version: str
    build_id: str
    def __init__(self, name: _Optional[str] = ..., agent_type: _Optional[str] = ..., role: _Optional[str] = ..., skills: _Optional[_Iterable[str]] = ..., tools: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., resources: _Optional[_Mapping[str, float]] = ..., handles: _Optional[_Iterable[_Union[TaskHandler, _Mapping]]] = ..., sdk: _Optional[str] = ..., sdk_version: _Optional[str] = ..., build_id: _Optional[str] = ...) -> None: ...

class TaskHandler(_message.Message):
    __slots__ = ("type", "description", "input_schema", "output_schema")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    type: str
    description: str
    input_schema: str
    output_schema: str
    def __init__(self, type: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[str] = ..., output_schema: _Optional[str] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("id", "namespace", "profile", "state", "cordoned", "session_epoch", "leased_tasks", "completed_attempts", "failed_attempts", "created_at", "attached_at", "detached_at", "principal", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASED_TASKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_AT_FIELD_NUMBER: _ClassVar[int]
    DETACHED_AT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    profile: AgentProfile
    state: AgentState
    cordoned: bool
    session_epoch: int
    leased_tasks: int
    completed_attempts: int
    failed_attempts: int
    created_at: _timestamp_pb2.Timestamp
    attached_at: _timestamp_pb2.Timestamp
    detached_at: _timestamp_pb2.Timestamp
    principal: str
    version: int
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., profile: _Optional[_Union[AgentProfile, _Mapping]] = ..., state: _Optional[_Union[AgentState, str]] = ..., cordoned: bool = ..., session_epoch: _Optional[int] = ..., leased_tasks: _Optional[int] = ..., completed_attempts: _Optional[int] = ..., failed_attempts: _Optional[int] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., attached_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., detached_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("task_id", "attempt", "lease_token")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt: int
    lease_token: str
    def __init__(self, task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., lease_token: _Optional[str] = ...) -> None: ...

class AttachRequest(_message.Message):
    __slots__ = ("hello", "heartbeat", "reports", "slots", "drain", "messages", "acknowledgements", "awaits")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    AWAITS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    reports: ReportBatch
    slots: SlotsChange
    drain: DrainRequest
    messages: _message_pb2.MessageSendBatch
    acknowledgements: _message_pb2.MessageAcknowledgementBatch
    awaits: TaskAwaitBatch
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., reports: _Optional[_Union[ReportBatch, _Mapping]] = ..., slots: _Optional[_Union[SlotsChange, _Mapping]] = ..., drain: _Optional[_Union[DrainRequest, _Mapping]] = ..., messages: _Optional[_Union[_message_pb2.MessageSendBatch, _Mapping]] = ..., acknowledgements: _Optional[_Union[_message_pb2.MessageAcknowledgementBatch, _Mapping]] = ..., awaits: _Optional[_Union[TaskAwaitBatch, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("namespace", "profile", "held", "features", "previous_epoch", "instance_id", "message_window")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_EPOCH_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    profile: AgentProfile
    held: _containers.RepeatedCompositeFieldContainer[Attempt]
    features: _containers.RepeatedScalarFieldContainer[str]
    previous_epoch: int
    instance_id: str
    message_window: int
    def __init__(self, namespace: _Optional[str] = ..., profile: _Optional[_Union[AgentProfile, _Mapping]] = ..., held: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., features: _Optional[_Iterable[str]] = ..., previous_epoch: _Optional[int] = ..., instance_id: _Optional[str] = ..., message_window: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportBatch(_message.Message):
    __slots__ = ("reports",)
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    def __init__(self, reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("report_id", "attempt", "accepted", "rejected", "progress", "checkpoint", "completed", "failed", "step", "pause", "resume", "output")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    report_id: int
    attempt: Attempt
    accepted: Accepted
    rejected: Rejected
    progress: Progress
    checkpoint: Checkpoint
    completed: Completion
    failed: FailureReport
    step: _step_pb2.StepRecord
    pause: Pause
    resume: Resume
    output: _output_pb2.OutputBatch
    def __init__(self, report_id: _Optional[int] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., completed: _Optional[_Union[Completion, _Mapping]] = ..., failed: _Optional[_Union[FailureReport, _Mapping]] = ..., step: _Optional[_Union[_step_pb2.StepRecord, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., output: _Optional[_Union[_output_pb2.OutputBatch, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("fraction", "phase", "message")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    phase: str
    message: str
    def __init__(self, fraction: _Optional[float] = ..., phase: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _payload_pb2.Payload
    def __init__(self, data: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _payload_pb2.Payload
    def __init__(self, result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ...) -> None: ...

class FailureReport(_message.Message):
    __slots__ = ("failure",)
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    failure: _payload_pb2.Failure
    def __init__(self, failure: _Optional[_Union[_payload_pb2.Failure, _Mapping]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resume(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TaskAwaitBatch(_message.Message):
    __slots__ = ("task_ids",)
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class SlotsChange(_message.Message):
    __slots__ = ("slots",)
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    slots: int
    def __init__(self, slots: _Optional[int] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("welcome", "assignments", "receipts", "cancellations", "drain", "heartbeat", "messages", "message_receipts", "task_ends", "resumptions")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    CANCELLATIONS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    TASK_ENDS_FIELD_NUMBER: _ClassVar[int]
    RESUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    assignments: AssignmentBatch
    receipts: ReceiptBatch
    cancellations: CancellationBatch
    drain: DrainNotice
    heartbeat: Heartbeat
    messages: _message_pb2.MessageDeliveryBatch
    message_receipts: _message_pb2.MessageReceiptBatch
    task_ends: TaskEndBatch
    resumptions: ResumptionBatch
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., assignments: _Optional[_Union[AssignmentBatch, _Mapping]] = ..., receipts: _Optional[_Union[ReceiptBatch, _Mapping]] = ..., cancellations: _Optional[_Union[CancellationBatch, _Mapping]] = ..., drain: _Optional[_Union[DrainNotice, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., messages: _Optional[_Union[_message_pb2.MessageDeliveryBatch, _Mapping]] = ..., message_receipts: _Optional[_Union[_message_pb2.MessageReceiptBatch, _Mapping]] = ..., task_ends: _Optional[_Union[TaskEndBatch, _Mapping]] = ..., resumptions: _Optional[_Union[ResumptionBatch, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("agent_id", "session_epoch", "lease", "held", "features", "server_version", "max_payload_bytes", "accept_within")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAX_PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_WITHIN_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    session_epoch: int
    lease: _duration_pb2.Duration
    held: _containers.RepeatedCompositeFieldContainer[Attempt]
    features: _containers.RepeatedScalarFieldContainer[str]
    server_version: str
    max_payload_bytes: int
    accept_within: _duration_pb2.Duration
    def __init__(self, agent_id: _Optional[str] = ..., session_epoch: _Optional[int] = ..., lease: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., held: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., features: _Optional[_Iterable[str]] = ..., server_version: _Optional[str] = ..., max_payload_bytes: _Optional[int] = ..., accept_within: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AssignmentBatch(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("attempt", "namespace", "spec", "run", "attempts_used", "checkpoint", "dependencies", "dependencies_truncated", "deadline", "lease_expires_at", "steps", "step_count", "workflow")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_USED_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    namespace: str
    spec: _task_pb2.TaskSpec
    run: int
    attempts_used: int
    checkpoint: _payload_pb2.Payload
    dependencies: _containers.RepeatedCompositeFieldContainer[_task_service_pb2.DependencyResult]
    dependencies_truncated: bool
    deadline: _timestamp_pb2.Timestamp
    lease_expires_at: _timestamp_pb2.Timestamp
    steps: _containers.RepeatedCompositeFieldContainer[_step_pb2.Step]
    step_count: int
    workflow: _task_pb2.WorkflowLink
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., namespace: _Optional[str] = ..., spec: _Optional[_Union[_task_pb2.TaskSpec, _Mapping]] = ..., run: _Optional[int] = ..., attempts_used: _Optional[int] = ..., checkpoint: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., dependencies: _Optional[_Iterable[_Union[_task_service_pb2.DependencyResult, _Mapping]]] = ..., dependencies_truncated: bool = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., lease_expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[_step_pb2.Step, _Mapping]]] = ..., step_count: _Optional[int] = ..., workflow: _Optional[_Union[_task_pb2.WorkflowLink, _Mapping]] = ...) -> None: ...

class ReceiptBatch(_message.Message):
    __slots__ = ("receipts",)
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    def __init__(self, receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("report_id", "attempt", "status", "reason", "message", "state")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    report_id: int
    attempt: Attempt
    status: ReceiptStatus
    reason: _error_pb2.ErrorReason
    message: str
    state: _task_pb2.TaskState
    def __init__(self, report_id: _Optional[int] = ..., attempt: _Optional[_Union[Attempt, _Mapping]] = ..., status: _Optional[_Union[ReceiptStatus, str]] = ..., reason: _Optional[_Union[_error_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ...) -> None: ...

class CancellationBatch(_message.Message):
    __slots__ = ("cancellations",)
    CANCELLATIONS_FIELD_NUMBER: _ClassVar[int]
    cancellations: _containers.RepeatedCompositeFieldContainer[Cancellation]
    def __init__(self, cancellations: _Optional[_Iterable[_Union[Cancellation, _Mapping]]] = ...) -> None: ...

class Cancellation(_message.Message):
    __slots__ = ("attempt", "reason", "message")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    reason: CancellationReason
    message: str
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., reason: _Optional[_Union[CancellationReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class TaskEndBatch(_message.Message):
    __slots__ = ("ends",)
    ENDS_FIELD_NUMBER: _ClassVar[int]
    ends: _containers.RepeatedCompositeFieldContainer[TaskEnd]
    def __init__(self, ends: _Optional[_Iterable[_Union[TaskEnd, _Mapping]]] = ...) -> None: ...

class TaskEnd(_message.Message):
    __slots__ = ("task_id", "state", "run", "result", "failure", "result_omitted")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RESULT_OMITTED_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    state: _task_pb2.TaskState
    run: int
    result: _payload_pb2.Payload
    failure: _payload_pb2.Failure
    result_omitted: bool
    def __init__(self, task_id: _Optional[str] = ..., state: _Optional[_Union[_task_pb2.TaskState, str]] = ..., run: _Optional[int] = ..., result: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., failure: _Optional[_Union[_payload_pb2.Failure, _Mapping]] = ..., result_omitted: bool = ...) -> None: ...

class ResumptionBatch(_message.Message):
    __slots__ = ("resumptions",)
    RESUMPTIONS_FIELD_NUMBER: _ClassVar[int]
    resumptions: _containers.RepeatedCompositeFieldContainer[Resumption]
    def __init__(self, resumptions: _Optional[_Iterable[_Union[Resumption, _Mapping]]] = ...) -> None: ...

class Resumption(_message.Message):
    __slots__ = ("attempt", "deadline")
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    attempt: Attempt
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, attempt: _Optional[_Union[Attempt, _Mapping]] = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DrainNotice(_message.Message):
    __slots__ = ("endpoints", "deadline")
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    deadline: _timestamp_pb2.Timestamp
    def __init__(self, endpoints: _Optional[_Iterable[str]] = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
