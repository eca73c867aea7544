"""A supervisor: it gives its work to children, which this agent does in its only slot, and puts their results
together. An attempt that runs again, after a crash, finds the children that are there."""

import asyncio
from typing import Any

from callboard import Agent, AsyncContext, Client

agent = Agent("supervisor", slots=1)


@agent.task("report")
async def report(topics: list[str], ctx: AsyncContext) -> Any:
    research = [await ctx.start_child("research", topic) for topic in topics]
    found = await asyncio.gather(*(child.result() for child in research))
    return await ctx.run_child("summarize", found)


@agent.task("research")
def research(topic: str) -> str:
    return f"all about {topic}"


@agent.task("summarize")
def summarize(found: list[str]) -> str:
    return f"We know {' and '.join(found)}."


if __name__ == "__main__":
    agent.start()
    with Client() as client:
        task = client.create("report", ["owls", "bees"])
        print(client.result(task))
        for child in client.children(task):
            print(f"{child.name} {child.occurrence}: {child.task.state if child.task else 'forgotten'}")
    agent.drain()
    agent.wait()
