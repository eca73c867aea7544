"""What the annotations of handlers do: schemas, and inputs and results by them."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer
from pydantic import BaseModel, Field
from typing_extensions import TypedDict
from waiting import LONG, attached, drained

from callboard import Agent, AsyncContext, Context, Interceptor, Payload, handlers, wire
from callboard.handlers import Handler, inspect_handler

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]


class Kind(enum.Enum):
    BOOK = "book"


@dataclass
class Item:
    name: str
    price: decimal.Decimal


@dataclass
class Order:
    id: int
    items: list[Item] = field(default_factory=list)


class Receipt(BaseModel):
    total: decimal.Decimal
    paid_at: datetime.date = Field(alias="paidAt")


class Options(TypedDict):
    kind: Kind


class Unknown:
    pass


def handler(function: Callable[..., Any], **schemas: Any) -> Handler:
    return inspect_handler("t", function, **schemas)


def of_input(annotation: Any) -> Handler:
    def function(input: Any) -> Any:
        return input

    function.__annotations__ = {"input": annotation}
    return handler(function)


def of_result(annotation: Any) -> Handler:
    def function(input: Any) -> Any:
        return input

    function.__annotations__ = {"return": annotation}
    return handler(function)


# Schemas.


def test_schemas_come_from_the_annotations() -> None:
    def function(input: Order, ctx: Context) -> Receipt:
        raise NotImplementedError

    told = handler(function).to_wire()
    input, output = json.loads(told.input_schema), json.loads(told.output_schema)
    assert (input["title"], input["required"]) == ("Order", ["id"])
    assert input["$defs"]["Item"]["properties"]["name"] == {"title": "Name", "type": "string"}
    # As it is written: a Decimal as text, a field by its alias.
    assert output["properties"]["total"]["type"] == "string"
    assert output["required"] == ["total", "paidAt"]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, {"type": "integer"}),
        ("str | None", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (list["int"], {"type": "array", "items": {"type": "integer"}}),
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
    ],
)
def test_builtins_have_schemas(annotation: Any, schema: dict[str, Any]) -> None:
    assert json.loads(of_input(annotation).input_schema) == schema
    assert json.loads(of_result(annotation).output_schema) == schema


def test_schemas_that_are_given_win() -> None:
    def function(input: Order) -> Order:
        return input

    told = handler(function, input_schema={"type": "object"}, output_schema={})
    assert (told.input_schema, told.output_schema) == ('{"type": "object"}', "{}")
    assert told.input.read({"id": 1}) == Order(1), "the annotation still says what the handler gets"


def test_a_schema_that_is_too_large_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    large = {"description": "x" * handlers.MAX_SCHEMA}
    told = handler(lambda input: None, input_schema=large, output_schema={"description": "fine"})
    assert (told.input_schema, told.output_schema) == ("", '{"description": "fine"}')
    assert "input schema of 't' has 65555 bytes" in caplog.text


# What has none.


@pytest.mark.parametrize("annotation", [Any, object, Payload, "Nothing", "a place in Rome", Unknown, 5])
def test_annotations_that_say_nothing_change_nothing(annotation: Any) -> None:
    for told in (of_input(annotation), of_result(annotation)):
        value = object()
        assert (told.input_schema, told.output_schema) == ("", "")
        assert told.input.read(value) is value and told.result.write(value) is value


def test_what_pydantic_does_not_know_is_told(caplog: pytest.LogCaptureFixture) -> None:
    of_input(Unknown)
    assert "pydantic can't use the annotation of the input of 't'" in caplog.text


def test_one_annotation_that_is_not_there_hides_no_other() -> None:
    def function(input: Order, ctx: Nothing) -> Nothing:
        raise NotImplementedError

    told = handler(function)
    assert told.input.read({"id": 1}) == Order(1)
    assert told.output_schema == ""


def test_functions_of_all_kinds_are_understood() -> None:
    class Callable_:
        def __call__(self, input: Order) -> int:
            return input.id

        def method(self, input: Order) -> int:
            return input.id

    def three(prefix: str, input: Order) -> int:
        return input.id

    @functools.wraps(three)
    def wrapped(*arguments: Any) -> int:
        return three(*arguments)

    for function in (
        Callable_(),
        Callable_().method,
        functools.partial(three, "a"),
        functools.partial(wrapped, "a"),
    ):
        told = handler(function)
        assert told.input.read({"id": 1}) == Order(1)
        assert json.loads(told.output_schema) == {"type": "integer"}
    for untold in (print, lambda *inputs: None, str):
        assert handler(untold).input_schema == ""


def test_plain_builtins_are_not_checked() -> None:
    # They were not before, either.
    for annotation in (int, str, dict, list, float, bool, bytes, None):
        value = object()
        assert of_input(annotation).input.read(value) is value
        assert of_result(annotation).result.write(value) is value


def test_without_pydantic_everything_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.delitem(sys.modules, "callboard.typed")

    def function(input: Order) -> Order:
        return input

    told = handler(function, output_schema={"type": "object"})
    assert (told.input_schema, told.output_schema) == ("", '{"type": "object"}')
    assert told.input.read({"id": 1}) == {"id": 1}


# Values.


@pytest.mark.parametrize(
    ("annotation", "plain", "value"),
    [
        (
            Order,
            {"id": 1, "items": [{"name": "a", "price": "1.10"}]},
            Order(1, [Item("a", decimal.Decimal("1.10"))]),
        ),
        (Options, {"kind": "book"}, {"kind": Kind.BOOK}),
        (list[Kind], ["book"], [Kind.BOOK]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
        ("Order | None", None, None),
        (dict[str, Any], {"a": [1, None]}, {"a": [1, None]}),
    ],
)
def test_values_are_converted_both_ways(annotation: Any, plain: Any, value: Any) -> None:
    assert of_input(annotation).input.read(plain) == value
    assert of_result(annotation).result.write(value) == plain


def test_models_are_written_as_their_schema_says() -> None:
    receipt = Receipt(total=decimal.Decimal("2.50"), paidAt=datetime.date(2026, 1, 2))
    assert of_result(Receipt).result.write(receipt) == {"total": "2.50", "paidAt": "2026-01-02"}


def test_text_bytes_and_payloads_stay_what_they_are() -> None:
    convert = of_result(Order | str | bytes | None).result
    for value in ("text", b"bytes", Payload(text="<p>", content_type="text/html")):
        assert convert.write(value) is value


def test_a_result_that_is_not_of_the_type_is_written_as_what_it_is() -> None:
    assert of_result(Order).result.write({"a": [1]}) == {"a": [1]}


def test_a_mismatch_says_what_is_wrong_and_not_what_came() -> None:
    with pytest.raises(ValueError) as caught:
        of_input(Order).input.read({"items": [{"name": "secret", "price": "secret"}]})
    assert str(caught.value).startswith("it is no Order: id: Field required; items.0.price: Input should be ")
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match=r"; and 990 more$"):
        of_input(list[int]).input.read(["x"] * 1000)


# Over the wire.


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def json_payload(value: Any) -> wire.payload.Payload:
    return wire.payload.Payload(content_type="application/json", text=json.dumps(value))


class Stamp(Interceptor):
    async def handle(self, ctx: Context | AsyncContext, input: Any, next: Any) -> Any:
        assert isinstance(input, dict), "it has the input as it came"
        result = await next(input | {"id": 7})
        assert isinstance(result, (Receipt, list)), "and the handler's value"
        return result


@pytest.mark.parametrize("interceptors", [[], [Stamp()]])
def test_handlers_get_and_give_their_types(server: FakeServer, interceptors: list[Interceptor]) -> None:
    agent = Agent("shop", slots=4, address=server.address, interceptors=interceptors)

    @agent.task("sync")
    def sync(input: Order, ctx: Context) -> Receipt:
        return Receipt(total=decimal.Decimal(input.id), paidAt=datetime.date(2026, 1, 2))

    @agent.task("async")
    async def async_(input: Order) -> list[Order]:
        return [input]

    @agent.task("broken")
    async def broken(input: Order) -> list[Unknown | Any]:
        return [Unknown()]

    attached(agent)
    stream = server.agents.stream()
    assert json.loads(stream.hello.profile.handles[0].input_schema)["title"] == "Order"
    id = 7 if interceptors else 1
    stream.assign("t1", "sync", input=json_payload({"id": 1}))
    result = server.agents.report("completed").completed.result
    assert (result.text, result.content_type) == (
        f'{{"total":"{id}","paidAt":"2026-01-02"}}',
        "application/json",
    )
    stream.assign("t2", "async", input=json_payload({"id": "1"}))
    assert server.agents.report("completed").completed.result.text == f'[{{"id":{id},"items":[]}}]'
    stream.assign("t3", "broken", input=json_payload({"id": 1}))
    failure = server.agents.report("failed").failed.failure
    assert (failure.type, failure.retryable) == ("InvalidResult", False)
    drained(agent)


@pytest.mark.parametrize("type", ["sync", "async"])
@pytest.mark.parametrize("interceptors", [[], [Interceptor()]])
def test_an_input_that_does_not_fit_fails_for_good(
    server: FakeServer, interceptors: list[Interceptor], type: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    agent = Agent("shop", address=server.address, interceptors=interceptors)

    @agent.task("sync")
    def sync(input: Order) -> None:
        raise AssertionError("it was called")

    @agent.task("async")
    async def async_(input: Order) -> None:
        raise AssertionError("it was called")

    attached(agent)
    server.agents.stream().assign("t1", type, input=json_payload({"id": "secret"}))
    failure = server.agents.report("failed").failed.failure
    assert (failure.type, failure.retryable) == ("InvalidInput", False)
    assert failure.message.startswith(
        "the input is refused: it is no Order: id: Input should be a valid integer"
    )
    assert not failure.HasField("cause")
    agent.drain()
    assert agent.wait(LONG)
    assert "secret" not in caplog.text
