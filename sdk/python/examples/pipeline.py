"""A pipeline: each page is fetched by a task of its own, and a task that depends on them all counts their
words."""

from typing import Any

from callboard import Agent, Client, Context, TaskSpec

PAGES = {"one": "Hello, world", "two": "again"}

agent = Agent("pipeline", slots=2)


@agent.task("fetch")
def fetch(page: str) -> str:
    return PAGES[page]


@agent.task("count")
def count(_: Any, ctx: Context) -> str:
    texts = [dependency.value for dependency in ctx.dependencies]
    return f"{sum(len(text.split()) for text in texts)} words in {len(texts)} pages"


if __name__ == "__main__":
    agent.start()
    with Client() as client:
        pages = client.create_all(TaskSpec("fetch", page) for page in PAGES)
        print(client.run("count", depends_on=pages))
    agent.drain()
    agent.wait()
