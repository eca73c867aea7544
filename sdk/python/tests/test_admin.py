"""`client.admin`, against a real server."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Serve
from real_server import Identities, Server

from callboard import Client, InvalidArgument, LogFilterChange, PermissionDenied, aio


def test_what_the_server_logs_is_shown_and_set(guard: Serve, identities: Identities) -> None:
    token = identities.token("root", "admin", "submitter", namespaces="*")
    server = guard()
    with Client(server.address, token=token) as client:
        assert client.admin.log_filter() == "info"
        change = client.admin.set_log_filter("warn,callboard_engine=debug")
        assert change == LogFilterChange(previous="info", filter="warn,callboard_engine=debug")
        task = client.create("t").task_id
        assert "task created" in server.log() and task in server.log()
        with pytest.raises(InvalidArgument, match="debgu") as refused:
            client.admin.set_log_filter("debgu")
        assert refused.value.reason == "INVALID_FIELD"
        assert [violation.field for violation in refused.value.violations] == ["filter"]
        assert client.admin.log_filter() == "warn,callboard_engine=debug"


def test_the_async_client_does_the_same(shared_server: Server) -> None:
    async def main() -> None:
        async with aio.Client(shared_server.address) as client:
            before = await client.admin.log_filter()
            change = await client.admin.set_log_filter("error")
            assert change == LogFilterChange(before, "error")
            assert (await client.admin.set_log_filter(before)).filter == before

    asyncio.run(main())


def test_who_has_not_all_namespaces_is_refused(guard: Serve, identities: Identities) -> None:
    for token in (identities.token("ann", "admin"), identities.token("bob", "viewer", namespaces="*")):
        with Client(guard().address, token=token) as client, pytest.raises(PermissionDenied):
            client.admin.set_log_filter("debug")
