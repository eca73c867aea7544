from callboard._gen.callboard.v1 import payload_pb2 as _payload_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutputBatch(_message.Message):
    __slots__ = ("offset", "chunks")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    offset: int
    chunks: _containers.RepeatedCompositeFieldContainer[_payload_pb2.Payload]
    def __init__(self, offset: _Optional[int] = ..., chunks: _Optional[_Iterable[_Union[_payload_pb2.Payload, _Mapping]]] = ...) -> None: ...

class OutputChunk(_message.Message):
    __slots__ = ("offset", "data", "attempt", "given_at")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    GIVEN_AT_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: _payload_pb2.Payload
    attempt: int
    given_at: _timestamp_pb2.Timestamp
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[_Union[_payload_pb2.Payload, _Mapping]] = ..., attempt: _Optional[int] = ..., given_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
