package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"callboard.dev/sdk/go"
)

// taskFacts are what a handler's context tells, by the names that `see` has for it.
var taskFacts = map[string]func(ctx context.Context, p *performance) (any, error){
	"task_id":       fact(func(p *performance) any { return p.task.TaskID() }),
	"attempt":       fact(func(p *performance) any { return p.task.Attempt() }),
	"run":           fact(func(p *performance) any { return p.task.Run() }),
	"attempts_used": fact(func(p *performance) any { return p.task.AttemptsUsed() }),
	"type":          fact(func(p *performance) any { return p.task.Type() }),
	"namespace":     fact(func(p *performance) any { return p.task.Namespace() }),
	"headers":       fact(func(p *performance) any { return entries(p.task.Headers()) }),
	"metadata":      fact(func(p *performance) any { return entries(p.task.Metadata()) }),
	"input":         fact(func(p *performance) any { return show(p.input) }),
	"workflow":      fact(func(p *performance) any { return showLink(p.task.Workflow()) }),
	"deadline_at_ms": fact(func(p *performance) any {
		return inUnixMilliseconds(p.task.Deadline())
	}),
	"checkpoint": func(_ context.Context, p *performance) (any, error) {
		saved, _, err := callboard.Checkpoint[any](p.task)
		return show(saved), err
	},
	"dependencies": func(ctx context.Context, p *performance) (any, error) {
		dependencies, err := p.task.Dependencies(ctx)
		if err != nil {
			return nil, err
		}
		shown := make([]object, len(dependencies))
		for at, one := range dependencies {
			if shown[at], err = showDependency(one); err != nil {
				return nil, err
			}
		}
		return shown, nil
	},
	"cancelled": func(ctx context.Context, _ *performance) (any, error) { return ctx.Err() != nil, nil },
}

// messageFacts are the same of a message.
var messageFacts = map[string]func(ctx context.Context, p *performance) (any, error){
	"message_id": fact(func(p *performance) any { return p.message.ID() }),
	"sequence":   fact(func(p *performance) any { return p.message.Sequence() }),
	"from_agent": fact(func(p *performance) any { return p.message.Agent() }),
	"principal":  fact(func(p *performance) any { return p.message.Principal() }),
	"headers":    fact(func(p *performance) any { return entries(p.message.Headers()) }),
	"body": func(_ context.Context, p *performance) (any, error) {
		body, err := callboard.Decode[any](p.message.Payload())
		return show(body), err
	},
}

// fact is what needs no call.
func fact(of func(p *performance) any) func(context.Context, *performance) (any, error) {
	return func(_ context.Context, p *performance) (any, error) { return of(p), nil }
}

// showLink writes what workflow a task is of; null when it is of none.
func showLink(link *callboard.WorkflowLink) any {
	if link == nil {
		return nil
	}
	return object{"workflow_id": link.GetWorkflowId(), "name": link.GetName()}
}

func inUnixMilliseconds(at time.Time, is bool) any {
	if !is {
		return nil
	}
	return at.UnixMilli()
}

type seeTask struct {
	What []taskFact `field:"what"`
}

func (s *seeTask) carryOut(ctx context.Context, p *performance) (*ending, error) {
	for _, what := range s.What {
		seen, err := taskFacts[string(what)](ctx, p)
		if err != nil {
			return nil, err
		}
		p.seen[string(what)] = seen
	}
	return nil, nil
}

type seeMessage struct {
	What []messageFact `field:"what"`
}

func (s *seeMessage) carryOut(ctx context.Context, p *performance) (*ending, error) {
	for _, what := range s.What {
		seen, err := messageFacts[string(what)](ctx, p)
		if err != nil {
			return nil, err
		}
		p.seen[string(what)] = seen
	}
	return nil, nil
}

// taskFact is the name of one of [taskFacts], messageFact of one of [messageFacts].
type (
	taskFact    string
	messageFact string
)

func (f *taskFact) UnmarshalJSON(text []byte) error {
	err := json.Unmarshal(text, (*string)(f))
	if _, is := taskFacts[string(*f)]; err == nil && !is {
		return fmt.Errorf("a context does not tell `%s`", *f)
	}
	return err
}

func (f *messageFact) UnmarshalJSON(text []byte) error {
	err := json.Unmarshal(text, (*string)(f))
	if _, is := messageFacts[string(*f)]; err == nil && !is {
		return fmt.Errorf("a message does not tell `%s`", *f)
	}
	return err
}

// callClient carries out an instruction with the client of the handler's context.
type callClient struct {
	As   string     `field:"as"`
	Call clientCall `field:"call"`
}

type clientCall struct{ operation }

func (c *clientCall) UnmarshalJSON(text []byte) error {
	var read fields
	var do string
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	if err := read.take("do", &do); err != nil {
		return err
	}
	known, is := operations[do]
	if !is {
		return fmt.Errorf("`%s` is not for a client", do)
	}
	c.operation = known()
	return read.fill(c.operation)
}

func (c *callClient) carryOut(ctx context.Context, p *performance) (*ending, error) {
	given, err := c.Call.run(ctx, &caller{p.client, &p.driver.claims, &p.driver.gates})
	outcome := answer(0, "call", given, err)
	if text, is := outcome["fault"]; is {
		return nil, fmt.Errorf("%v", text)
	}
	delete(outcome, "id")
	p.seen[c.As] = outcome
	return nil, nil
}
