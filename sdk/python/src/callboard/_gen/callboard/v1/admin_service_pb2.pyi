from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetLogFilterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLogFilterResponse(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: str
    def __init__(self, filter: _Optional[str] = ...) -> None: ...

class SetLogFilterRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: str
    def __init__(self, filter: _Optional[str] = ...) -> None: ...

class SetLogFilterResponse(_message.Message):
    __slots__ = ("previous", "filter")
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    previous: str
    filter: str
    def __init__(self, previous: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...
