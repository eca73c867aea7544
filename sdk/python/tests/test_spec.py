"""What `sdk/SPEC.md` promises of methods: every RPC has one, and its line in the table there."""

from __future__ import annotations

import re
from pathlib import Path

from real_server import REPOSITORY

import callboard
from callboard import wire

SERVICES = (
    wire.admin_service,
    wire.agent_service,
    wire.message_service,
    wire.namespace_service,
    wire.task_service,
    wire.workflow_service,
)


def methods() -> set[str]:
    return {
        f"{service.name}/{method.name}"
        for module in SERVICES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def test_every_rpc_is_called() -> None:
    package = Path(callboard.__file__).parent
    source = "".join(path.read_text() for path in package.glob("*.py"))
    assert methods() == set(re.findall(r"\b[A-Z]\w+Service/[A-Z]\w+", source))


def test_every_rpc_has_its_line() -> None:
    table = (REPOSITORY / "sdk/SPEC.md").read_text().partition("### Methods")[2].partition("### ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert {method.partition("/")[2] for method in methods()} == listed
