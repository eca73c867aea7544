from callboard._gen.callboard.v1 import error_pb2 as _error_pb2
from callboard._gen.callboard.v1 import payload_pb2 as _payload_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Address(_message.Message):
    __slots__ = ("agent",)
    AGENT_FIELD_NUMBER: _ClassVar[int]
    agent: str
    def __init__(self, agent: _Optional[str] = ...) -> None: ...

class NewMessage(_message.Message):
    __slots__ = ("to", "payload", "headers", "ttl")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TO_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    to: Address
    payload: _payload_pb2.Payload
    headers: _containers.ScalarMap[str, str]
    ttl: _duration_pb2.Duration
    def __init__(self, to: _Optional[_Union[Address, _Mapping]] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("id", "namespace", "to", "sequence", "principal", "agent", "payload", "headers", "sent_at", "expires_at")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    to: Address
    sequence: int
    principal: str
    agent: str
    payload: _payload_pb2.Payload
    headers: _containers.ScalarMap[str, str]
    sent_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., to: _Optional[_Union[Address, _Mapping]] = ..., sequence: _Optional[int] = ..., principal: _Optional[str] = ..., agent: _Optional[str] = ..., payload: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., headers: _Optional[_Mapping[str, str]] = ..., sent_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MessageReceipt(_message.Message):
    __slots__ = ("message_id", "sequence")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    message_id: str
    sequence: int
    def __init__(self, message_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class MessageSendBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[MessageSend]
    def __init__(self, messages: _Optional[_Iterable[_Union[MessageSend, _Mapping]]] = ...) -> None: ...

class MessageSend(_message.Message):
    __slots__ = ("request_id", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    message: NewMessage
    def __init__(self, request_id: _Optional[str] = ..., message: _Optional[_Union[NewMessage, _Mapping]] = ...) -> None: ...

class MessageAcknowledgementBatch(_message.Message):
    __slots__ = ("message_ids",)
    MESSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    message_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, message_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class MessageDeliveryBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ...) -> None: ...

class MessageReceiptBatch(_message.Message):
    __slots__ = ("sent", "acknowledged_ids", "retry_ids")
    SENT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_IDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_IDS_FIELD_NUMBER: _ClassVar[int]
    sent: _containers.RepeatedCompositeFieldContainer[MessageSendReceipt]
    acknowledged_ids: _containers.RepeatedScalarFieldContainer[str]
    retry_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sent: _Optional[_Iterable[_Union[MessageSendReceipt, _Mapping]]] = ..., acknowledged_ids: _Optional[_Iterable[str]] = ..., retry_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class MessageSendReceipt(_message.Message):
    __slots__ = ("request_id", "message", "reason", "detail", "retry")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    message: MessageReceipt
    reason: _error_pb2.ErrorReason
    detail: str
    retry: bool
    def __init__(self, request_id: _Optional[str] = ..., message: _Optional[_Union[MessageReceipt, _Mapping]] = ..., reason: _Optional[_Union[_error_pb2.ErrorReason, str]] = ..., detail: _Optional[str] = ..., retry: bool = ...) -> None: ...
