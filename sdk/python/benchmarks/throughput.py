"""How many tasks a second the SDK brings from submission to result, and how long one takes on an idle server.

Start a server, then `throughput.py agent`, then `throughput.py client`: each is a process of its own, and
finds the server by CALLBOARD_ADDRESS. The client prints a line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

from callboard import Agent, aio

TASK = "noop"
WARM_UP = 0.05
"""The part of the tasks that is done before the clock starts: connections are open then, and code is warm."""


def serve(slots: int) -> None:
    """Does tasks that do nothing, until it is told to stop."""
    agent = Agent("throughput", slots=slots)

    @agent.task(TASK)
    async def noop(_: object) -> None: ...

    agent.run()


async def measure(tasks: int, in_flight: int, idle: int) -> None:
    """Submits tasks and waits for their results: many at a time, then one at a time."""
    async with aio.Client() as client:
        await run_many(client, max(in_flight, int(tasks * WARM_UP)), in_flight)
        took = await run_many(client, tasks, in_flight)
        latencies = [await run_one(client) for _ in range(idle)]
    percentiles = statistics.quantiles(latencies, n=100) if idle > 1 else [0.0] * 99
    figures = {
        "sdk": "python",
        "tasks_per_second": round(tasks / took),
        "idle_p50_ms": round(percentiles[49] * 1000, 2),
        "idle_p99_ms": round(percentiles[98] * 1000, 2),
        "tasks": tasks,
        "in_flight": in_flight,
    }
    print(json.dumps(figures))


async def run_many(client: aio.Client, tasks: int, in_flight: int) -> float:
    """Runs tasks, so many at a time; gives the seconds that it took."""
    left = iter(range(tasks))

    async def submit() -> None:
        for _ in left:
            await client.run(TASK)

    began = time.perf_counter()
    await asyncio.gather(*(submit() for _ in range(in_flight)))
    return time.perf_counter() - began


async def run_one(client: aio.Client) -> float:
    """Runs a task; gives the seconds that it took."""
    began = time.perf_counter()
    await client.run(TASK)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    agent = roles.add_parser("agent", help="does the tasks")
    agent.add_argument("--slots", type=int, default=64)
    client = roles.add_parser("client", help="submits them, and measures")
    client.add_argument("--tasks", type=int, default=20_000)
    client.add_argument("--in-flight", type=int, default=64)
    client.add_argument("--idle", type=int, default=200, help="how many one at a time")
    given = parser.parse_args()
    if given.role == "agent":
        serve(given.slots)
    else:
        asyncio.run(measure(given.tasks, given.in_flight, given.idle))


if __name__ == "__main__":
    main()
