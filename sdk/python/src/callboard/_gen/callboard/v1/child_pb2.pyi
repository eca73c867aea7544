from callboard._gen.callboard.v1 import task_pb2 as _task_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParentEndAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARENT_END_ACTION_UNSPECIFIED: _ClassVar[ParentEndAction]
    PARENT_END_ACTION_CANCEL: _ClassVar[ParentEndAction]
    PARENT_END_ACTION_DETACH: _ClassVar[ParentEndAction]
PARENT_END_ACTION_UNSPECIFIED: ParentEndAction
PARENT_END_ACTION_CANCEL: ParentEndAction
PARENT_END_ACTION_DETACH: ParentEndAction

class Child(_message.Message):
    __slots__ = ("name", "occurrence", "ordinal", "on_parent_end", "task", "task_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRENCE_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    ON_PARENT_END_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    occurrence: int
    ordinal: int
    on_parent_end: ParentEndAction
    task: _task_pb2.Task
    task_id: str
    def __init__(self, name: _Optional[str] = ..., occurrence: _Optional[int] = ..., ordinal: _Optional[int] = ..., on_parent_end: _Optional[_Union[ParentEndAction, str]] = ..., task: _Optional[_Union[_task_pb2.Task, _Mapping]] = ..., task_id: _Optional[str] = ...) -> None: ...
