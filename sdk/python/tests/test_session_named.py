"""Where a server that drains sends the agent: endpoints that it names, which may be wrong."""

from __future__ import annotations

import grpc
import pytest
from script import Script, attempt

from callboard import wire
from callboard.actions import Connect, Cut, End
from callboard.errors import StatusError, status_error
from callboard.states import State

OWN = "http://a:1,http://b:2"
NAMED = ("http://c:3", "http://d:4")
GONE = status_error(grpc.StatusCode.UNAVAILABLE, "gone")
REVOKED = status_error(grpc.StatusCode.UNAUTHENTICATED, "no", "")


def sent_to(*endpoints: str) -> Script:
    """An agent that is attached to its first address, works, and is told by the server to go to one of
    these."""
    s = Script(addresses=OWN)
    s.working("t1")
    s.later(2)
    drains(s, *endpoints)
    return s


def drains(s: Script, *endpoints: str) -> None:
    s.receive(drain=wire.agent.DrainNotice(endpoints=endpoints))


def next_address(s: Script) -> str:
    """Where it attaches next, as soon as it does. Its hello goes out."""
    connects = s.only(Connect)
    if not connects and (due := s.session.tick_at()) is not None:
        s.later(due - s.now)
        connects = s.only(Connect)
    (connect,) = connects
    s.frames()
    return connect.address.url


@pytest.mark.parametrize(
    "error",
    [
        REVOKED,
        status_error(grpc.StatusCode.PERMISSION_DENIED, "no", ""),
        status_error(grpc.StatusCode.NOT_FOUND, "no", "NAMESPACE_NOT_FOUND"),
        status_error(grpc.StatusCode.INVALID_ARGUMENT, "no", "INVALID_FIELD"),
    ],
)
def test_a_named_endpoint_that_refuses_does_not_end_the_agent(error: StatusError) -> None:
    s = sent_to(*NAMED)
    for expected in (*NAMED, "http://b:2"):
        assert next_address(s) == expected, "the last is its own, the one behind the one that drains"
        s.drop(error)
    assert End(error) in s.actions(), "its own says so: that is the end"


@pytest.mark.parametrize(
    "error",
    [
        status_error(grpc.StatusCode.ABORTED, "no", "SESSION_SUPERSEDED"),
        status_error(grpc.StatusCode.PERMISSION_DENIED, "no", "NOT_YOUR_AGENT"),
        status_error(grpc.StatusCode.FAILED_PRECONDITION, "no", "AGENT_STATE"),
    ],
)
def test_what_a_named_endpoint_says_of_the_agent_itself_ends_it(error: StatusError) -> None:
    s = sent_to(*NAMED)
    next_address(s)
    s.drop(error)
    assert End(error) in s.actions()


def test_a_named_endpoint_that_welcomed_is_believed() -> None:
    s = sent_to(*NAMED)
    s.attach(held=[attempt("t1")])
    s.actions()
    s.drop(REVOKED)
    assert End(REVOKED) in s.actions()


def test_named_endpoints_are_tried_in_their_order_and_each_once() -> None:
    s = sent_to("nonsense", "http://c:3", "d:4", "http://d:4", "http://c:3")
    for expected in (*NAMED, "http://b:2", "http://a:1"):
        assert next_address(s) == expected
        s.drop(GONE)


def test_a_welcome_forgets_the_other_named_endpoints() -> None:
    s = sent_to(*NAMED)
    s.attach(held=[attempt("t1")])
    s.actions()
    s.drop(GONE)
    assert next_address(s) == "http://b:2"


def test_a_new_notice_replaces_the_named_endpoints() -> None:
    s = sent_to(*NAMED)
    s.attach(held=[attempt("t1")])
    s.later(2)
    s.actions()
    drains(s, "http://e:5")
    for expected in ("http://e:5", "http://b:2"):
        assert next_address(s) == expected
        s.drop(GONE)


def test_only_so_many_named_endpoints_are_kept() -> None:
    names = [f"http://h{host}:1" for host in range(20)]
    s = sent_to(*names)
    for expected in (*names[:4], "http://b:2"):
        assert next_address(s) == expected
        s.drop(GONE)


def test_a_named_endpoint_that_is_silent_is_given_up_soon() -> None:
    s = sent_to(*NAMED)
    next_address(s)
    s.later(4.99)
    assert s.actions() == []
    s.later(0.01)
    assert s.actions() == [Cut()]
    assert next_address(s) == "http://d:4"
    s.drop(GONE)
    assert next_address(s) == "http://b:2"
    s.later(9)
    assert s.actions() == [], "its own has its time"


def test_a_server_that_drains_as_soon_as_it_welcomes_makes_no_hot_loop() -> None:
    s = Script(addresses=OWN)
    s.working()
    drains(s)
    assert s.actions() == [Cut()]
    assert s.session.state is State.DETACHED
    assert s.session.tick_at() == pytest.approx(s.now + 0.1)
    assert next_address(s) == "http://b:2"


def test_nor_does_one_that_names_itself() -> None:
    s = Script(addresses=OWN)
    s.working()
    for _ in range(3):
        drains(s, "http://a:1")
        assert s.actions() == [Cut()]
        assert s.session.tick_at() == pytest.approx(s.now + 0.1)
        s.attach()
        s.actions()


def test_a_server_that_drains_a_second_after_its_welcome_is_left_at_once() -> None:
    s = Script(addresses=OWN)
    s.working()
    s.later(1)
    drains(s)
    assert next_address(s) == "http://b:2"
    assert s.now == pytest.approx(101)
