package main

import (
	"bytes"
	"context"
	"encoding/json"

	"callboard.dev/sdk/go"
)

// What a client asks of workflows.

// plan is what a workflow is asked to be.
type plan struct {
	Name        string            `field:"name"`
	Tasks       []plannedTask     `field:"tasks"`
	Description string            `field:"description,optional"`
	Tags        []string          `field:"tags,optional"`
	Metadata    map[string]string `field:"metadata,optional"`
	Headers     map[string]string `field:"headers,optional"`
}

func (p *plan) UnmarshalJSON(text []byte) error { return readObject(text, p) }

type plannedTask struct {
	Name         string              `field:"name"`
	Task         spec                `field:"task"`
	DependsOn    []plannedDependency `field:"depends_on,optional"`
	AllowFailure bool                `field:"allow_failure,optional"`
	Weight       int                 `field:"weight,optional"`
}

func (p *plannedTask) UnmarshalJSON(text []byte) error { return readObject(text, p) }

type plannedDependency struct {
	Task      string                                   `field:"task"`
	Condition named[callboard.DependencyCondition]     `field:"condition,optional"`
	Result    *resultCondition                         `field:"result,optional"`
	OnFailure named[callboard.DependencyFailureAction] `field:"on_failure,optional"`
}

// UnmarshalJSON takes a name alone, too.
func (p *plannedDependency) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		return json.Unmarshal(text, &p.Task)
	}
	return readObject(text, p)
}

func (p *plan) workflow() callboard.NewWorkflow {
	return callboard.NewWorkflow{
		Name: p.Name, Tasks: workflowTasks(p.Tasks), Description: p.Description, Tags: p.Tags, Metadata: p.Metadata, Headers: p.Headers,
	}
}

func workflowTasks(planned []plannedTask) []callboard.WorkflowTask {
	var tasks []callboard.WorkflowTask
	for _, task := range planned {
		tasks = append(tasks, task.task())
	}
	return tasks
}

func (p *plannedTask) task() callboard.WorkflowTask {
	task := callboard.WorkflowTask{Name: p.Name, Task: p.Task.task(), AllowFailure: p.AllowFailure, Weight: p.Weight}
	for _, one := range p.DependsOn {
		task.DependsOn = append(task.DependsOn, callboard.WorkflowDependency{
			Task: one.Task, Condition: one.Condition.is, Result: one.Result.condition(), OnFailure: one.OnFailure.is,
		})
	}
	return task
}

type createWorkflow struct {
	Workflow  plan   `field:"workflow"`
	RequestID string `field:"request_id,optional"`
}

func (c *createWorkflow) run(ctx context.Context, by *caller) (any, error) {
	created, err := by.client.CreateWorkflow(ctx, c.Workflow.workflow(), command(c.RequestID))
	if err != nil {
		return nil, err
	}
	return object{"workflow_id": created.WorkflowID, "receipts": showReceipts(created.Receipts)}, nil
}

// showReceipts writes those of a workflow's tasks, by their names.
func showReceipts(named map[string]*callboard.TaskReceipt) object {
	shown := object{}
	for name, one := range named {
		shown[name] = showReceipt(one)
	}
	return shown
}

type getWorkflow struct {
	WorkflowID string `field:"workflow_id"`
}

func (g *getWorkflow) run(ctx context.Context, by *caller) (any, error) {
	return workflow(by.client.GetWorkflow(ctx, g.WorkflowID))
}

func workflow(given *callboard.Workflow, err error) (any, error) {
	return showWorkflow(given), err
}

type listWorkflows struct {
	States   []named[callboard.WorkflowState] `field:"states,optional"`
	Name     string                           `field:"name,optional"`
	PageSize int                              `field:"page_size,optional"`
}

func (l *listWorkflows) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.ListWorkflowsOptions{Name: l.Name, PageSize: l.PageSize}
	for _, state := range l.States {
		options.States = append(options.States, state.is)
	}
	workflows, err := showAll(by.client.ListWorkflows(ctx, options), always(showWorkflow))
	return object{"workflows": workflows}, err
}

type listWorkflowTasks struct {
	WorkflowID string `field:"workflow_id"`
	PageSize   int    `field:"page_size,optional"`
}

func (l *listWorkflowTasks) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.WorkflowTasksOptions{PageSize: l.PageSize}
	tasks, err := showAll(by.client.WorkflowTasks(ctx, l.WorkflowID, options), always(showWorkflowTask))
	return object{"tasks": tasks}, err
}

type awaitWorkflow struct {
	WorkflowID string        `field:"workflow_id"`
	Timeout    *milliseconds `field:"timeout_ms,optional"`
}

func (a *awaitWorkflow) run(ctx context.Context, by *caller) (any, error) {
	limited, cancel := within(ctx, a.Timeout)
	defer cancel()
	return workflow(by.client.WaitWorkflow(limited, a.WorkflowID))
}

type cancelWorkflow struct {
	WorkflowID string `field:"workflow_id"`
	Reason     string `field:"reason,optional"`
	RequestID  string `field:"request_id,optional"`
}

func (c *cancelWorkflow) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.ReasonOptions{Reason: c.Reason, RequestID: c.RequestID}
	return workflow(by.client.CancelWorkflow(ctx, c.WorkflowID, options))
}

type retryWorkflow struct {
	WorkflowID string `field:"workflow_id"`
	RequestID  string `field:"request_id,optional"`
}

func (r *retryWorkflow) run(ctx context.Context, by *caller) (any, error) {
	return workflow(by.client.RetryWorkflow(ctx, r.WorkflowID, command(r.RequestID)))
}

func showWorkflow(workflow *callboard.Workflow) object {
	return object{
		"workflow_id": workflow.GetId(), "name": workflow.GetName(), "description": workflow.GetDescription(),
		"state": nameOf(workflow.GetState()), "tasks": workflow.GetTasks(), "open_tasks": workflow.GetOpenTasks(),
		"completed_tasks": workflow.GetCompletedTasks(), "failed_tasks": workflow.GetFailedTasks(),
		"cancelled_tasks": workflow.GetCancelledTasks(), "skipped_tasks": workflow.GetSkippedTasks(),
		"progress": workflow.GetProgress(), "cancel_requested": workflow.GetCancelRequested(),
		"held": workflow.GetHeld(), "tags": list(workflow.GetTags()), "metadata": entries(workflow.GetMetadata()),
	}
}

// showWorkflowTask writes a task by what it is in its workflow.
func showWorkflowTask(task *callboard.Task) object {
	dependsOn := []object{}
	for _, one := range task.GetSpec().GetDependencies() {
		dependsOn = append(dependsOn, object{
			"task_id": one.GetTaskId(), "name": one.GetName(), "condition": nameOf(one.GetCondition()), "on_failure": nameOf(one.GetOnFailure()),
		})
	}
	link := task.GetWorkflow()
	return object{
		"name": link.GetName(), "task_id": task.GetId(), "type": task.GetSpec().GetType(), "state": nameOf(task.GetState()),
		"allow_failure": link.GetAllowFailure(), "weight": link.GetWeight(), "tasks_behind": link.GetTasksBehind(),
		"depends_on": dependsOn,
	}
}
