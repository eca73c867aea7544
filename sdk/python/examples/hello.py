"""An agent that greets. Ask it: `Client().run("greet", {"name": "Ada"})`."""

from typing import Any

from callboard import Agent, Context

agent = Agent("greeter")


@agent.task("greet")
def greet(input: Any, ctx: Context) -> str:
    ctx.progress(0.5, phase="executing")
    return f"Hello, {input['name']}!"


if __name__ == "__main__":
    agent.run()
