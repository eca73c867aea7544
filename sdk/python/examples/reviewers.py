"""A supervisor that waits for a quorum and changes its plan: two of three reviewers are enough, and who is
late is told to stop. What they ask for becomes a task of the workflow, which runs already. An attempt that
runs again, after a crash, finds the reviews that are there, and adds the task once."""

import asyncio

from callboard import Agent, AsyncContext, Client, Context, TaskSpec, WorkflowTask

agent = Agent("editor", slots=4)


@agent.task("draft")
def draft(topic: str) -> str:
    return f"All about {topic}"


@agent.task("supervise")
async def supervise(input: str, ctx: AsyncContext) -> int:
    assert ctx.workflow is not None
    text = ctx.dependency("draft").value
    reviews = [await ctx.start_child("review", [who, text]) for who in ("ann", "bob", "carol")]
    enough = await ctx.wait_children(reviews, 2, rest="CANCEL")
    wishes = [task.result() for task in enough]
    revise = WorkflowTask("revise", TaskSpec("revise", wishes), depends_on=["draft", ctx.workflow.name])
    await ctx.client.workflows.add(ctx.workflow, [revise], request_id=f"revise/{ctx.task_id}")
    return len(wishes)


@agent.task("review")
async def review(asked: list[str]) -> str:
    who, _ = asked
    if who == "carol":
        await asyncio.Event().wait()  # is never done, until it is told to stop
    return f"{who} wants pictures"


@agent.task("revise")
def revise(wishes: list[str], ctx: Context) -> str:
    return f"{ctx.dependency('draft').value}, for {' and '.join(wishes)}."


if __name__ == "__main__":
    agent.start()
    with Client() as client:
        plan = [
            WorkflowTask("draft", TaskSpec("draft", "owls")),
            WorkflowTask("supervise", TaskSpec("supervise"), depends_on=["draft"]),
        ]
        workflow = client.workflows.wait(client.workflows.create("article", plan))
        print(f"{workflow.state}, {workflow.completed_tasks} of {workflow.tasks} completed")
        for task in client.workflows.tasks(workflow):
            if task.type == "revise":
                print(client.result(task))
    agent.drain()
    agent.wait()
