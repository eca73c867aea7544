"""An agent of the Python SDK in a process of its own, to be killed: see crew.rs."""

import os
import signal
import time

from callboard import Agent, TaskError

NAME = os.environ["CREW_AGENT"]
DIARY = os.environ["CREW_DIARY"]


def note(what, ctx):
    """One write of a line to a file opened for appending: it is whole, or not there."""
    with open(DIARY, "a", encoding="utf-8") as diary:
        diary.write(f"{what} {ctx.task_id} {ctx.attempt} {NAME}\n")


agent = Agent("crew", name=NAME, slots=2)


@agent.task("load.sdk")
def work(input, ctx):
    note("begin", ctx)
    time.sleep(input["millis"] / 1000)
    if ctx.run == 1 and ctx.attempt <= input["failures"]:
        note("AskedToFail", ctx)
        raise TaskError("as asked", type="AskedToFail")
    note("completed", ctx)
    return f"{ctx.task_id} attempt {ctx.attempt} by {NAME}"


@agent.task("crew.poison")
def poison(input, ctx):
    note("begin", ctx)
    os.kill(os.getpid(), signal.SIGKILL)


agent.run()
