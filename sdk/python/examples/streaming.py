"""Output as it comes: the handler tells a story word by word, and a client watches it grow."""

import asyncio
import re
from typing import Any

from callboard import Agent, AsyncContext, Client

STORY = "Once upon a time an agent had nothing to do."

agent = Agent("storyteller")


@agent.task("tell")
async def tell(_: Any, ctx: AsyncContext) -> int:
    for word in re.findall(r"\S+\s*", STORY):
        await ctx.output(word)
        await asyncio.sleep(0.02)  # as a model takes its time
    return len(STORY)


if __name__ == "__main__":
    agent.start()
    with Client() as client:
        task = client.create("tell")
        for chunk in client.watch_output(task):
            print(chunk.value, end="", flush=True)
        print(f" ({client.result(task)} characters)")
    agent.drain()
    agent.wait()
