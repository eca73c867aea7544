package main

import (
	"context"
	"errors"
	"sync"

	"callboard.dev/sdk/go"
)

type createTask struct {
	Task      spec   `field:"task"`
	RequestID string `field:"request_id,optional"`
}

func (c *createTask) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.Create(ctx, c.Task.task(), command(c.RequestID)))
}

func receipt(given *callboard.TaskReceipt, err error) (any, error) {
	return showReceipt(given), err
}

func command(requestID string) *callboard.CommandOptions {
	return &callboard.CommandOptions{RequestID: requestID}
}

type createTasks struct {
	Tasks     []spec `field:"tasks"`
	RequestID string `field:"request_id,optional"`
}

func (c *createTasks) run(ctx context.Context, by *caller) (any, error) {
	tasks := make([]callboard.NewTask, len(c.Tasks))
	for at := range c.Tasks {
		tasks[at] = c.Tasks[at].task()
	}
	given, err := by.client.CreateAll(ctx, tasks, command(c.RequestID))
	receipts := make([]object, len(given))
	for at, one := range given {
		receipts[at] = showReceipt(one)
	}
	return object{"receipts": receipts}, err
}

type runTask struct {
	Task      spec          `field:"task"`
	RequestID string        `field:"request_id,optional"`
	Timeout   *milliseconds `field:"timeout_ms,optional"`
	// GiveUp is a gate: when it opens first, the caller gives up.
	GiveUp string `field:"give_up,optional"`
}

func (r *runTask) run(ctx context.Context, by *caller) (any, error) {
	if r.GiveUp == "" {
		return runOne(ctx, by, r.Task.task(), r.Timeout, r.RequestID)
	}
	hopeful, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-by.gates.at(r.GiveUp).opened:
			giveUp(errGivenUp)
		case <-over:
		}
	}()
	given, err := runOne(hopeful, by, r.Task.task(), r.Timeout, r.RequestID)
	if errors.Is(context.Cause(hopeful), errGivenUp) {
		return object{"given_up": true}, nil
	}
	return given, err
}

var errGivenUp = errors.New("given up")

func runOne(ctx context.Context, by *caller, task callboard.NewTask, timeout *milliseconds, requestID string) (any, error) {
	limited, cancel := within(ctx, timeout)
	defer cancel()
	result, err := callboard.Run[any](limited, by.client, task, command(requestID))
	return object{"value": show(result)}, err
}

type runTasks struct {
	Tasks   []spec        `field:"tasks"`
	Timeout *milliseconds `field:"timeout_ms,optional"`
}

func (r *runTasks) run(ctx context.Context, by *caller) (any, error) {
	outcomes := make([]any, len(r.Tasks))
	var running sync.WaitGroup
	for at := range r.Tasks {
		running.Go(func() {
			given, err := runOne(ctx, by, r.Tasks[at].task(), r.Timeout, "")
			if err != nil {
				given = object{"error": showError(err)}
			}
			outcomes[at] = given
		})
	}
	running.Wait()
	return object{"outcomes": outcomes}, nil
}

type getTask struct {
	TaskID string `field:"task_id"`
}

func (g *getTask) run(ctx context.Context, by *caller) (any, error) {
	return task(by.client.Get(ctx, g.TaskID))
}

func task(given *callboard.Task, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return showTask(given)
}

type listTasks struct {
	States   []named[callboard.TaskState] `field:"states,optional"`
	Type     string                       `field:"type,optional"`
	Agent    string                       `field:"agent,optional"`
	Key      string                       `field:"key,optional"`
	Tags     []string                     `field:"tags,optional"`
	PageSize int                          `field:"page_size,optional"`
}

func (l *listTasks) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.ListOptions{Type: l.Type, Agent: l.Agent, Key: l.Key, Tags: l.Tags, PageSize: l.PageSize}
	for _, state := range l.States {
		options.States = append(options.States, state.is)
	}
	tasks, err := showAll(by.client.List(ctx, options), showTask)
	return object{"tasks": tasks}, err
}

type awaitTask struct {
	TaskID  string        `field:"task_id"`
	Timeout *milliseconds `field:"timeout_ms,optional"`
}

func (a *awaitTask) run(ctx context.Context, by *caller) (any, error) {
	limited, cancel := within(ctx, a.Timeout)
	defer cancel()
	return task(by.client.Wait(limited, a.TaskID))
}

type awaitResult struct {
	TaskID  string        `field:"task_id"`
	Timeout *milliseconds `field:"timeout_ms,optional"`
}

func (a *awaitResult) run(ctx context.Context, by *caller) (any, error) {
	limited, cancel := within(ctx, a.Timeout)
	defer cancel()
	result, err := callboard.Result[any](limited, by.client, a.TaskID)
	return object{"value": show(result)}, err
}

type listEvents struct {
	TaskID string `field:"task_id"`
}

func (l *listEvents) run(ctx context.Context, by *caller) (any, error) {
	events, err := showAll(by.client.History(ctx, l.TaskID), always(showEvent))
	return object{"events": events}, err
}

type listDependencies struct {
	TaskID string `field:"task_id"`
}

func (l *listDependencies) run(ctx context.Context, by *caller) (any, error) {
	dependencies, err := showAll(by.client.DependencyResults(ctx, l.TaskID), showDependency)
	return object{"dependencies": dependencies}, err
}

type cancelTask struct {
	TaskID    string `field:"task_id"`
	Reason    string `field:"reason,optional"`
	RequestID string `field:"request_id,optional"`
}

func (c *cancelTask) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.Cancel(ctx, c.TaskID, &callboard.ReasonOptions{Reason: c.Reason, RequestID: c.RequestID}))
}

type holdTask struct {
	TaskID    string `field:"task_id"`
	Reason    string `field:"reason,optional"`
	RequestID string `field:"request_id,optional"`
}

func (h *holdTask) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.Hold(ctx, h.TaskID, &callboard.ReasonOptions{Reason: h.Reason, RequestID: h.RequestID}))
}

type retryTask struct {
	TaskID    string `field:"task_id"`
	RequestID string `field:"request_id,optional"`
}

func (r *retryTask) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.Retry(ctx, r.TaskID, command(r.RequestID)))
}

type releaseTask struct {
	TaskID    string `field:"task_id"`
	RequestID string `field:"request_id,optional"`
}

func (r *releaseTask) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.Release(ctx, r.TaskID, command(r.RequestID)))
}

type updateTask struct {
	TaskID    string                     `field:"task_id"`
	Priority  *named[callboard.Priority] `field:"priority,optional"`
	Assignee  *string                    `field:"assignee,optional"`
	Tags      *[]string                  `field:"tags,optional"`
	Deadline  instant                    `field:"deadline_at_ms,optional"`
	RequestID string                     `field:"request_id,optional"`
}

func (u *updateTask) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.UpdateOptions{
		Assignee: u.Assignee, Tags: u.Tags, Deadline: u.Deadline.timeOrNone(), RequestID: u.RequestID,
	}
	if u.Priority != nil {
		options.Priority = &u.Priority.is
	}
	return receipt(by.client.Update(ctx, u.TaskID, options))
}

type addDependencies struct {
	TaskID       string       `field:"task_id"`
	Dependencies []dependency `field:"dependencies"`
	RequestID    string       `field:"request_id,optional"`
}

func (a *addDependencies) run(ctx context.Context, by *caller) (any, error) {
	return receipt(by.client.AddDependencies(ctx, a.TaskID, dependencies(a.Dependencies), command(a.RequestID)))
}
