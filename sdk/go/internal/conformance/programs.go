package main

import (
	"context"
	"encoding/json"
	"fmt"

	"callboard.dev/sdk/go"
)

// act is one op of a program, read: its fields are those of the op.
type act interface {
	// carryOut gives how the handler ends, or nil when it goes on with the next.
	carryOut(ctx context.Context, p *performance) (*ending, error)
}

// ending is how a handler ends that has no error.
type ending struct{ result any }

// program is what a handler does.
type program []cue

// cue is an act, and when it is carried out: always, or in one attempt or delivery only.
type cue struct {
	act
	only int
}

// acts are the ops that a program may have.
type acts map[string]func() act

// readProgram reads a program. What is wrong with it is a fault now, and not when it is carried out.
func readProgram(text json.RawMessage, known acts) (program, error) {
	var ops []fields
	if err := json.Unmarshal(text, &ops); err != nil {
		return nil, faultf("a program: %v", err)
	}
	read := make(program, len(ops))
	for at, op := range ops {
		var err error
		if read[at], err = readCue(op, known); err != nil {
			return nil, faultf("op %d of a program: %v", at, err)
		}
	}
	return read, nil
}

func readCue(op fields, known acts) (cue, error) {
	var name string
	if err := op.take("op", &name); err != nil {
		return cue{}, err
	}
	made, is := known[name]
	if !is {
		return cue{}, fmt.Errorf("there is no op `%s` here", name)
	}
	read := cue{act: made()}
	for _, when := range []string{"attempt", "delivery"} {
		if _, is := op[when]; is {
			if err := op.take(when, &read.only); err != nil {
				return cue{}, err
			}
		}
	}
	if err := op.fill(read.act); err != nil {
		return cue{}, fmt.Errorf("%s: %w", name, err)
	}
	return read, nil
}

// performance is a program that is carried out, by the handler of an attempt or of a message.
type performance struct {
	driver *driver
	// number is the attempt's, or says how often the handler was called with the message.
	number int
	client *callboard.Client
	send   func(ctx context.Context, to string, body any, options *callboard.MessageOptions) error
	// isAt says for the runner who waits at a gate.
	isAt object
	seen map[string]any

	// Of an attempt.
	task  *callboard.Context
	input any
	// kept are children that were started.
	kept map[string]*callboard.Child
	// Of a message.
	message *callboard.Message
}

func (p *performance) play(ctx context.Context, acts program) (any, error) {
	for _, one := range acts {
		if one.only != 0 && one.only != p.number {
			continue
		}
		end, err := one.carryOut(ctx, p)
		if err != nil {
			return nil, err
		}
		if end != nil {
			return end.result, nil
		}
	}
	return nil, nil
}

// note puts what was given among what was seen, or an error that is caught. One that isn't ends the handler.
func (p *performance) note(as string, given any, err error, catch bool) error {
	switch {
	case err == nil:
		p.seen[as] = given
	case catch:
		p.seen[as] = object{"error": showError(err)}
	default:
		return err
	}
	return nil
}

func (d *driver) taskHandler(played program) func(context.Context, any, *callboard.Context) (any, error) {
	return func(ctx context.Context, input any, task *callboard.Context) (any, error) {
		p := &performance{
			driver: d, number: task.Attempt(), client: task.Client(), seen: map[string]any{}, task: task, input: input,
			kept: map[string]*callboard.Child{},
			isAt: object{"task_id": task.TaskID(), "attempt": task.Attempt()},
			send: func(ctx context.Context, to string, body any, options *callboard.MessageOptions) error {
				_, err := task.Send(ctx, to, body, options)
				return err
			},
		}
		return p.play(ctx, played)
	}
}

func (d *driver) messageHandler(played program) func(context.Context, *callboard.Message) error {
	// One message is handled at a time.
	deliveries := map[string]int{}
	return func(ctx context.Context, message *callboard.Message) error {
		deliveries[message.ID()]++
		delivery := deliveries[message.ID()]
		p := &performance{
			driver: d, number: delivery, client: message.Client(), seen: map[string]any{}, message: message,
			isAt: object{"message_id": message.ID(), "delivery": delivery},
			send: func(ctx context.Context, to string, body any, options *callboard.MessageOptions) error {
				_, err := message.Send(ctx, to, body, options)
				return err
			},
		}
		_, err := p.play(ctx, played)
		return err
	}
}
