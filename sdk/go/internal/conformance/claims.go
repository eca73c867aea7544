package main

import (
	"context"
	"sync"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// claims keeps the leases of claimed tasks, for what is said of them later.
type claims struct {
	mu    sync.Mutex
	known map[claimKey]*callboardv1.Attempt
}

type claimKey struct {
	taskID  string
	attempt int32
}

func (c *claims) keep(attempt *callboardv1.Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[claimKey]*callboardv1.Attempt{}
	}
	c.known[claimKey{attempt.GetTaskId(), attempt.GetAttempt()}] = attempt
}

// lease gives that of an attempt; of a task that nobody has, when no attempt is said.
func (c *claims) lease(taskID string, attempt *int32) (*callboardv1.Attempt, error) {
	if attempt == nil {
		return &callboardv1.Attempt{TaskId: taskID}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known, is := c.known[claimKey{taskID, *attempt}]
	if !is {
		return nil, faultf("attempt %d of task %s was not claimed here", *attempt, taskID)
	}
	return known, nil
}

type claimTasks struct {
	Name     string       `field:"name"`
	Types    []string     `field:"types"`
	Slots    int          `field:"slots,optional"`
	MaxTasks int          `field:"max_tasks,optional"`
	Lease    milliseconds `field:"lease_ms,optional"`
	Wait     milliseconds `field:"wait_ms,optional"`
	Skills   []string     `field:"skills,optional"`
}

func (c *claimTasks) run(ctx context.Context, by *caller) (any, error) {
	claimed, err := by.client.Claim(ctx, c.Name, c.Types, &callboard.ClaimOptions{
		Slots: c.Slots, MaxTasks: c.MaxTasks, Lease: c.Lease.duration(), Wait: c.Wait.duration(), Skills: c.Skills,
	})
	if err != nil {
		return nil, err
	}
	shown := make([]object, len(claimed))
	for at, one := range claimed {
		by.claims.keep(one.GetAttempt())
		if shown[at], err = showClaim(one); err != nil {
			return nil, err
		}
	}
	return object{"claims": shown}, nil
}

type heartbeatTask struct {
	TaskID     string       `field:"task_id"`
	Attempt    int32        `field:"attempt"`
	Lease      milliseconds `field:"lease_ms,optional"`
	Fraction   *float64     `field:"fraction,optional"`
	Phase      string       `field:"phase,optional"`
	Message    string       `field:"message,optional"`
	Checkpoint value        `field:"checkpoint,optional"`
}

func (h *heartbeatTask) run(ctx context.Context, by *caller) (any, error) {
	lease, err := by.claims.lease(h.TaskID, &h.Attempt)
	if err != nil {
		return nil, err
	}
	options := &callboard.HeartbeatOptions{Lease: h.Lease.duration(), Checkpoint: h.Checkpoint.orNull()}
	if h.Fraction != nil || h.Phase != "" || h.Message != "" {
		options.Progress = &callboard.Progress{Fraction: h.Fraction, Phase: h.Phase, Message: h.Message}
	}
	said, err := by.client.Heartbeat(ctx, lease, options)
	return object{"cancel_requested": said.GetCancelRequested()}, err
}

type completeTask struct {
	TaskID    string `field:"task_id"`
	Attempt   *int32 `field:"attempt,optional"`
	Result    value  `field:"result"`
	Agent     string `field:"agent,optional"`
	RequestID string `field:"request_id,optional"`
}

func (c *completeTask) run(ctx context.Context, by *caller) (any, error) {
	lease, err := by.claims.lease(c.TaskID, c.Attempt)
	if err != nil {
		return nil, err
	}
	options := &callboard.EndOptions{Agent: c.Agent, RequestID: c.RequestID}
	return receipt(by.client.Complete(ctx, lease, c.Result.is, options))
}

type failTask struct {
	TaskID     string       `field:"task_id"`
	Attempt    *int32       `field:"attempt,optional"`
	Agent      string       `field:"agent,optional"`
	Message    string       `field:"message"`
	Type       string       `field:"type,optional"`
	Retryable  *bool        `field:"retryable,optional"`
	RetryAfter milliseconds `field:"retry_after_ms,optional"`
	Details    value        `field:"details,optional"`
	RequestID  string       `field:"request_id,optional"`
}

func (f *failTask) run(ctx context.Context, by *caller) (any, error) {
	lease, err := by.claims.lease(f.TaskID, f.Attempt)
	if err != nil {
		return nil, err
	}
	failure := taskError(f.Message, f.Type, f.Retryable, f.RetryAfter, f.Details)
	return receipt(by.client.Fail(ctx, lease, failure, &callboard.EndOptions{Agent: f.Agent, RequestID: f.RequestID}))
}

// taskError gives the SDK's error of just these.
func taskError(message, kind string, retryable *bool, after milliseconds, details value) *callboard.TaskError {
	return &callboard.TaskError{
		Message: message, Type: kind, NonRetryable: retryable != nil && !*retryable, RetryAfter: after.duration(), Details: details.orNull(),
	}
}
