"""A saga: a trip is booked step by step, and when a step fails, what was booked before it is cancelled again.
Steps may fail, for something undoes them: the workflow has completed when all is booked, or all is undone. It
has failed when something could not be undone; then a retry of the workflow tries just that again."""

import logging

from callboard import Agent, Client, Context, TaskError, TaskSpec, WorkflowDependency, WorkflowTask

agent = Agent("travel", slots=2)


@agent.task("book")
def book(what: str) -> str:
    return f"{what} no. 7"


@agent.task("charge")
def charge(card: str) -> str:
    if card == "empty":
        raise TaskError("the card was declined", type="Declined", retryable=False)
    return "paid"


@agent.task("cancel")
def cancel(what: str, ctx: Context) -> str:
    return f"cancelled {ctx.dependency(what).value}"


def trip(card: str) -> list[WorkflowTask]:
    # Skipped counts, too: so it is when an earlier step failed.
    unpaid = WorkflowDependency("charge", condition="NOT_COMPLETED")
    hotel_is_settled = WorkflowDependency("cancel-hotel", condition="ENDED")
    return [
        WorkflowTask("flight", TaskSpec("book", "flight"), allow_failure=True),
        WorkflowTask("hotel", TaskSpec("book", "hotel"), depends_on=["flight"], allow_failure=True),
        WorkflowTask("charge", TaskSpec("charge", card), depends_on=["hotel"], allow_failure=True),
        # What was booked last is cancelled first. What wasn't booked is not cancelled: that is skipped.
        WorkflowTask("cancel-hotel", TaskSpec("cancel", "hotel"), depends_on=["hotel", unpaid]),
        WorkflowTask(
            "cancel-flight", TaskSpec("cancel", "flight"), depends_on=["flight", unpaid, hotel_is_settled]
        ),
    ]


if __name__ == "__main__":
    # That an attempt failed is a warning, with its traceback; here it is no surprise.
    logging.getLogger("callboard").setLevel(logging.ERROR)
    agent.start()
    with Client() as client:
        for card in ("full", "empty"):
            created = client.workflows.create("trip", trip(card))
            workflow = client.workflows.wait(created)
            print(f"{card} card: {workflow.state}, {workflow.completed_tasks} of {workflow.tasks} completed")
            for task in client.workflows.tasks(workflow):
                if task.workflow and task.state == "COMPLETED":
                    print(f"  {task.workflow.name}: {client.result(task)}")
    agent.drain()
    agent.wait()
