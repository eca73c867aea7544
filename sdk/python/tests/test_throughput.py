"""The program that measures throughput runs, and prints what it is to print."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from real_server import REPOSITORY, Server
from waiting import LONG

PROGRAM = str(REPOSITORY / "sdk/python/benchmarks/throughput.py")


def test_it_prints_its_figures(shared_server: Server) -> None:
    environment = os.environ | {"CALLBOARD_ADDRESS": shared_server.address}
    command = [sys.executable, "-W", "error", PROGRAM]
    with subprocess.Popen([*command, "agent", "--slots", "8"], env=environment) as agent:
        try:
            asked = ["client", "--tasks", "40", "--in-flight", "8", "--idle", "3"]
            done = subprocess.run(
                [*command, *asked], env=environment, stdout=subprocess.PIPE, timeout=2 * LONG, check=True
            )
        finally:
            agent.terminate()
            assert agent.wait(LONG) == 0
    figures = json.loads(done.stdout)
    assert (figures["sdk"], figures["tasks"], figures["in_flight"]) == ("python", 40, 8)
    assert figures["tasks_per_second"] > 0 and 0 < figures["idle_p50_ms"] <= figures["idle_p99_ms"]
