"""The Python agent of `callboard demo`: `python analyst.py NAME [--linger SECONDS]`."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any

from analyse import review_group
from callboard import Agent, Context

# Handlers run on threads, whose stacks are small on some systems; a syntax tree may be deep.
STACK_BYTES = 64 * 1024 * 1024


def main() -> None:
    """Attaches as an agent, until it is told to stop."""
    parser = argparse.ArgumentParser(description="Reviews Python files.")
    parser.add_argument("name", help="the agent's name")
    parser.add_argument(
        "--linger",
        type=float,
        default=0.0,
        help="seconds that the first task waits, so that the agent can be killed at work",
    )
    arguments = parser.parse_args()
    threading.stack_size(STACK_BYTES)
    lingers = [arguments.linger]
    agent = Agent("python", arguments.name, role="analyst", skills=["python"])

    @agent.task("review.python", description="Reviews a group of Python files")
    def review(group: dict[str, Any], ctx: Context) -> dict[str, Any]:
        files = group["files"]
        ctx.progress(0.0, "executing", f"{len(files)} files")
        if lingers:
            time.sleep(lingers.pop())
        return review_group(group, lambda done: ctx.progress(done / len(files), "executing", files[done]))

    agent.run()


if __name__ == "__main__":
    main()
