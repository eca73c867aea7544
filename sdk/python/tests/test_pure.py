"""Settings, retries, errors, failures, handlers, requests: all without I/O."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import itertools
import pickle
import time
import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from callboard import (
    UNSET,
    Agent,
    Cancelled,
    Client,
    DeadlineExceeded,
    Dependency,
    InvalidArgument,
    Receipt,
    ResultCondition,
    RetryPolicy,
    StatusError,
    TaskError,
    TaskFailed,
    TaskSpec,
    Timeouts,
    Unavailable,
    aio,
    calls,
    convert,
    text_payload,
    wire,
)
from callboard.claims import progress
from callboard.errors import from_status, status_error
from callboard.failure import cancelled_failure, cut, failure_of, is_cancellation
from callboard.handlers import inspect_handler
from callboard.models import Task
from callboard.payload import decode
from callboard.retry import Backoff, Retries
from callboard.settings import (
    parse_address,
    parse_addresses,
    resolve_addresses,
    resolve_agent_name,
    resolve_namespace,
)

# Settings.


def test_addresses() -> None:
    one, two, three = parse_addresses("http://a:7470, https://b ,http://[::1]:1/")
    assert (one.target, one.secure, one.loopback) == ("dns:///a:7470", False, False)
    assert (two.target, two.secure) == ("dns:///b:443", True)
    assert (three.target, three.loopback) == ("dns:///[::1]:1", True)
    assert parse_address("http://127.0.0.1").port == 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "localhost:7470",
        "ftp://a",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://a:x",
        "http://u@a",
    ],
)
def test_wrong_addresses_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        Client(address=text)
    assert repr(text.strip(" ,")) in str(caught.value) or repr(text) in str(caught.value)


def test_options_win_over_the_environment_over_defaults() -> None:
    environment = {
        "CALLBOARD_ADDRESS": "http://env:1",
        "CALLBOARD_NAMESPACE": "env",
        "CALLBOARD_AGENT_NAME": "e",
    }
    assert resolve_addresses("http://option:1", environment)[0].host == "option"
    assert resolve_addresses(None, environment)[0].host == "env"
    assert resolve_addresses(None, {"CALLBOARD_ADDRESS": ""})[0].url == "http://127.0.0.1:7470"
    assert resolve_namespace(None, environment) == "env"
    assert resolve_namespace(None, {}) == "default"
    assert resolve_agent_name(None, "t", lambda: "beef", environment) == "e"
    made_up = resolve_agent_name(None, "t" * 200, lambda: "beef", {})
    assert len(made_up) == 128 and made_up.endswith("-beef")


# Retries.


def test_backoff_doubles_with_jitter() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.delay() for _ in range(3)] == [0.05, 0.1, 0.2]
    assert backoff.delay(asked=3.0) == 1.5
    backoff.reset()
    assert backoff.delay() == 0.05


def test_only_unavailable_and_what_the_server_asks_for_is_retried() -> None:
    retries = Retries(deadline=10.0, random=lambda: 1.0)
    assert retries.delay(status_error(grpc.StatusCode.UNAVAILABLE, ""), 0.0) == 0.1
    asked = status_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "", retry_delay=2.0)
    assert retries.delay(asked, 0.0) == 2.0
    assert retries.delay(status_error(grpc.StatusCode.RESOURCE_EXHAUSTED, ""), 0.0) is None
    assert retries.delay(status_error(grpc.StatusCode.INTERNAL, ""), 0.0) is None
    assert retries.delay(asked, 8.5) is None


# Errors.


def details(*messages: Any) -> bytes:
    status = status_pb2.Status()
    for message in messages:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    return bytes(status.SerializeToString())


def test_an_error_has_what_the_details_say() -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="task.type", description="is empty")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="callboard.dev")
    error = from_status(grpc.StatusCode.INVALID_ARGUMENT, "task.type is empty", details(info, bad, retry))
    assert type(error) is InvalidArgument
    assert (error.reason, error.message, error.retry_delay) == ("INVALID_FIELD", "task.type is empty", 1.5)
    assert error.violations[0].field == "task.type"
    assert str(error) == "INVALID_ARGUMENT INVALID_FIELD: task.type is empty"
    again = pickle.loads(pickle.dumps(error))
    assert again.reason == error.reason and again.violations == error.violations


def test_details_that_cannot_be_read_are_left_out() -> None:
    error = from_status(grpc.StatusCode.UNAVAILABLE, "gone", b"\xff\xff")
    assert type(error) is Unavailable and error.reason == ""
    other = error_details_pb2.ErrorInfo(reason="X", domain="elsewhere")
    assert from_status(grpc.StatusCode.INTERNAL, "", details(other)).reason == ""


def test_kinds() -> None:
    assert type(status_error(grpc.StatusCode.INTERNAL, "")) is StatusError
    assert isinstance(status_error(grpc.StatusCode.DEADLINE_EXCEEDED, "late"), TimeoutError)
    assert str(status_error(grpc.StatusCode.DEADLINE_EXCEEDED, "late")) == "DEADLINE_EXCEEDED: late"
    assert issubclass(DeadlineExceeded, StatusError)


# Failures.


def test_an_error_becomes_a_failure_with_its_causes() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as error:
            raise ValueError("v") from error
    except ValueError as error:
        failure = failure_of(error)
    assert (failure.type, failure.message, failure.retryable) == ("ValueError", "v", True)
    assert (failure.cause.type, failure.cause.message) == ("KeyError", "'k'")
    assert not failure.cause.HasField("cause")


def test_causes_are_at_most_eight_deep_and_never_circular() -> None:
    errors = [ValueError(str(n)) for n in range(12)]
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    failure, depth = failure_of(errors[0]), 0
    while failure.HasField("cause"):
        failure, depth = failure.cause, depth + 1
    assert depth == 8
    errors[1].__cause__ = errors[0]
    assert not failure_of(errors[0]).cause.HasField("cause")


def test_causes_are_without_their_details() -> None:
    error = TaskError("outer", details="kept")
    error.__cause__ = TaskError("inner", type="Inner", details="left out")
    failure = failure_of(error)
    assert decode(failure.details) == "kept"
    assert failure.cause.type == "Inner" and not failure.cause.HasField("details")


def test_a_task_error_fails_with_just_that() -> None:
    error = TaskError("m", type="T", retryable=False, retry_after=1.5, details={"a": 1})
    failure = failure_of(error)
    assert (failure.type, failure.message, failure.retryable) == ("T", "m", False)
    assert convert.duration_seconds(failure.retry_after) == 1.5
    assert decode(failure.details) == {"a": 1}
    assert "not" in decode(failure_of(TaskError("m", details=object())).details)
    with pytest.raises(ValueError, match=r"callboard\.lease_lost"):
        TaskError("m", type="callboard.lease_lost")


def test_long_and_broken_texts_fit_into_a_failure() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure_of(Broken()).message
    assert len(failure_of(ValueError("ü" * 20_000)).message.encode()) == 16 * 1024
    assert failure_of(ValueError("\ud800")).message == "?"
    assert cut("aü", 2) == "a"


def test_cancellations() -> None:
    assert is_cancellation(asyncio.CancelledError()) and is_cancellation(Cancelled())
    assert not is_cancellation(ValueError())
    assert cancelled_failure().type == "callboard.cancelled"


# Handlers.


def test_signatures() -> None:
    async def both(input: Any, ctx: Any) -> None: ...

    class Callable:
        async def __call__(self, input: Any) -> None: ...

    def takes(function: Any) -> tuple[bool, bool]:
        handler = inspect_handler("t", function)
        return handler.is_async, handler.takes_context

    assert takes(lambda input: None) == (False, False)
    assert takes(lambda input, ctx: None) == (False, True)
    assert takes(lambda input, ctx=None: None) == (False, True)
    assert takes(lambda input, retries=3: None) == (False, False)
    assert takes(lambda *inputs: None) == (False, False)
    assert takes(both) == (True, True)
    assert takes(functools.partial(both, ctx=1)) == (True, False)
    assert takes(Callable()) == (True, False)
    assert takes(print) == (False, False)


@pytest.mark.parametrize("function", [lambda: None, lambda a, b, c: None, lambda a, *, b: None])
def test_functions_that_cannot_be_handlers(function: Any) -> None:
    with pytest.raises(TypeError, match="'greet'"):
        inspect_handler("greet", function)


def test_registering() -> None:
    agent = Agent("greeter", slots=2, labels={"zone": "a"})

    @agent.task("greet", input_schema={"type": "object"})
    def greet(input: str) -> str:
        return input

    assert greet("Ada") == "Ada"
    with pytest.raises(ValueError, match="greet"):
        agent.task("greet")(greet)
    with pytest.raises(ValueError, match="no handlers"):
        Agent().run()
    with pytest.raises(RuntimeError, match="not started"):
        agent.drain()
    with pytest.raises(TypeError, match="skills"):
        Agent(skills="python")
    with pytest.raises(ValueError, match="slots"):
        Agent(slots=0)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_that_would_be_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        progress(fraction, "", "")
    with pytest.raises(ValueError, match="phase"):
        progress(None, "x" * 129, "")
    assert len(progress(0, "", "ü" * 1000).message.encode()) == 1024


# Requests and answers.


def test_a_task_goes_over_the_wire() -> None:
    receipt = Receipt("id-1", "READY", 1, 1, False)
    spec = TaskSpec(
        "review",
        {"a": 1},
        priority="HIGH",
        key="k",
        key_conflict="REPLACE",
        skills=["python"],
        depends_on=["id-0", receipt, Dependency("id-2", on_failure="FAIL")],
        retry=RetryPolicy(max_attempts=5, initial_backoff=dt.timedelta(milliseconds=1500)),
        timeouts=Timeouts(heartbeat=2.25),
        deadline=dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc),
    )
    sent = spec.to_wire()
    assert sent.priority == wire.task.PRIORITY_HIGH
    assert sent.key_conflict_policy == wire.task.KEY_CONFLICT_POLICY_REPLACE
    assert [d.task_id for d in sent.dependencies] == ["id-0", "id-1", "id-2"]
    assert sent.dependencies[2].on_failure == wire.task.DEPENDENCY_FAILURE_ACTION_FAIL
    assert sent.retry_policy.initial_backoff.nanos == 500_000_000
    assert not sent.timeouts.HasField("start_to_close")
    assert sent.timeouts.heartbeat.seconds == 2
    assert sent.deadline.ToDatetime(dt.timezone.utc) == spec.deadline


def test_a_dependency_goes_over_the_wire() -> None:
    condition = ResultCondition("/score", "GREATER_OR_EQUAL", 0.8)
    spec = TaskSpec(
        "publish", depends_on=[Dependency("id-0", "FAIL", result=condition, name="review"), "id-1"]
    )
    full, plain = spec.to_wire().dependencies
    assert full == wire.task.Dependency(
        task_id="id-0",
        on_failure=wire.task.DEPENDENCY_FAILURE_ACTION_FAIL,
        condition=wire.task.DEPENDENCY_CONDITION_COMPLETED,
        result=wire.task.ResultCondition(
            pointer="/score", comparison=wire.task.RESULT_COMPARISON_GREATER_OR_EQUAL, value="0.8"
        ),
        name="review",
    )
    assert (plain.condition, plain.name) == (wire.task.DEPENDENCY_CONDITION_COMPLETED, "")
    assert not plain.HasField("result")


@pytest.mark.parametrize("name", wire.task.DependencyCondition.keys()[1:])
def test_every_condition_of_a_dependency_has_its_name(name: str) -> None:
    condition: Any = name.removeprefix("DEPENDENCY_CONDITION_")
    (sent,) = TaskSpec("t", depends_on=[Dependency("id-0", condition=condition)]).to_wire().dependencies
    assert sent.condition == wire.task.DependencyCondition.Value(name)


@pytest.mark.parametrize("name", wire.task.ResultComparison.keys()[1:])
def test_every_comparison_of_a_result_has_its_name(name: str) -> None:
    comparison: Any = name.removeprefix("RESULT_COMPARISON_")
    sent = ResultCondition("", comparison, 1).to_wire("result")
    assert sent.comparison == wire.task.ResultComparison.Value(name)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("en", '"en"'),
        ("", '""'),
        (None, "null"),
        (True, "true"),
        (12345678901234567890, "12345678901234567890"),
        ({"ä": [1, 0.5]}, '{"ä":[1,0.5]}'),
        (UNSET, ""),
    ],
)
def test_what_a_result_is_compared_with_is_json(value: Any, sent: str) -> None:
    assert ResultCondition("", "EQUAL", value).to_wire("result").value == sent


@pytest.mark.parametrize("value", [b"bytes", text_payload("text"), float("nan"), object(), "\ud800"])
def test_what_is_no_json_is_compared_with_no_result(value: Any) -> None:
    condition = ResultCondition("/a", "EQUAL", value)
    with pytest.raises(InvalidArgument, match="is not JSON") as raised:
        TaskSpec("t", depends_on=["id-0", Dependency("id-1", result=condition)]).to_wire()
    assert [violation.field for violation in raised.value.violations] == ["depends_on[1].result.value"]


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"depends_on\[0\].condition 'DONE' is unknown: .* NOT_COMPLETED"):
        TaskSpec("t", depends_on=[Dependency("id-0", condition="DONE")]).to_wire()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"result\.comparison 'LIKE'"):
        ResultCondition("", "LIKE", 1).to_wire("result")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="priority 'SOON'"):
        TaskSpec("t", priority="SOON").to_wire()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        TaskSpec("t", deadline=dt.datetime(2030, 1, 1)).to_wire()
    with pytest.raises(TypeError, match="tags"):
        TaskSpec("t", tags="a").to_wire()


def test_every_command_has_a_request_id_that_is_kept() -> None:
    made_up: Any = calls.create("default", TaskSpec("t"), None).request
    made_up_id = uuid.UUID(made_up.request_id)
    assert (made_up_id.version, made_up_id.variant) == (7, uuid.RFC_4122)
    assert abs((made_up_id.int >> 80) - time.time() * 1_000) < 60_000
    given: Any = calls.cancel("default", "id", "why", "mine").request
    assert given.request_id == "mine"


def test_an_update_masks_what_is_given() -> None:
    call = calls.update(
        "default", "id", priority=UNSET, assignee="", deadline=None, tags=["a"], given_id=None
    )
    request: Any = call.request
    assert list(request.update_mask.paths) == ["assignee", "deadline", "tags"]
    assert not request.HasField("deadline")


def test_a_result_is_read_or_raised() -> None:
    task = wire.task.Task(id="id", state="TASK_STATE_COMPLETED")
    task.result.text = "fine"
    assert Task.from_wire(task).result() == "fine"
    task.state = wire.task.TASK_STATE_FAILED
    task.failure.type, task.failure.message = "Broken", "it broke"
    with pytest.raises(TaskFailed, match="Broken: it broke") as caught:
        Task.from_wire(task).result()
    assert caught.value.task.failure is not None and caught.value.task.failure.retryable


def test_enum_values_newer_than_the_sdk_show_as_numbers() -> None:
    task = wire.task.Task.FromString(b"\x20\x63")
    assert Task.from_wire(task).state == "99"


def test_times() -> None:
    assert convert.duration(-1.5) is not None
    back = convert.duration(dt.timedelta(seconds=-1.5))
    assert (back.seconds, back.nanos) == (-1, -500_000_000)
    before = dt.datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=dt.timezone.utc)
    stamp = convert.timestamp(before)
    assert (stamp.seconds, stamp.nanos) == (-1, 500_000_000)


def test_the_two_clients_have_the_same_methods() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Client) == names(aio.Client)
