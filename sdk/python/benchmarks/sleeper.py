"""Does the tasks of `callboard bench --only chain_of_40 --worker "python benchmarks/sleeper.py"`."""

from __future__ import annotations

import asyncio

from callboard import Agent

agent = Agent("sleeper", slots=100)


@agent.task("bench.sleep")
async def sleep(milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1000)


if __name__ == "__main__":
    agent.start()
    agent.wait_attached()
    print("attached", flush=True)
    agent.wait()
