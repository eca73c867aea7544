package callboard

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"callboard.dev/sdk/go/callboardv1"
)

// HandlerOptions say more of a handler. All is shown to people; inputs are not checked against it.
type HandlerOptions struct {
	// Description says what it does. At most 1 KiB.
	Description string
	// InputSchema and OutputSchema are JSON Schema of the input and the result. Default: those of the handler's types, as
	// github.com/google/jsonschema-go gives them; a field's tag `jsonschema:"…"` is its description. Types that may be anything, bytes,
	// recursive types and others that can't be described have none. A schema of more than 64 KiB is left out, and so are those of the
	// last handlers when the agent's have more than 2 MiB.
	InputSchema, OutputSchema string
}

// handler is a function that does tasks of a type, whatever types its author gave it.
type handler struct {
	options HandlerOptions
	run     func(context.Context, *Context) (*Payload, error)
}

func (h handler) proto(taskType string) *callboardv1.TaskHandler {
	return &callboardv1.TaskHandler{
		Type:         taskType,
		Description:  h.options.Description,
		InputSchema:  h.options.InputSchema,
		OutputSchema: h.options.OutputSchema,
	}
}

// Handle makes a function the handler of a task type; "*" takes any that no other handler takes. Register all handlers before the
// agent starts: a mistake is what [Agent.Start] and [Agent.Run] give.
//
// The function gets the input as an In (see [Decode]), and what it returns is the result (see [Encode]). An error fails the attempt,
// and another may follow: [TaskError] says just how. A panic does, too, with the type "panic". When the handler is to stop its context
// ends, and context.Cause gives a [*Cancellation]; return ctx.Err() then. As many handlers run at once as the agent has slots.
func Handle[In, Out any](
	agent *Agent, taskType string, function func(ctx context.Context, input In, task *Context) (Out, error), options *HandlerOptions,
) {
	run := func(ctx context.Context, task *Context) (*Payload, error) {
		input, err := Decode[In](task.Payload())
		if err != nil {
			return nil, &TaskError{Type: FailureInvalidInput, Message: "the input can't be decoded: " + err.Error(), NonRetryable: true}
		}
		output, err := agent.handle(ctx, task, input, func(ctx context.Context, given any) (output any, err error) {
			defer catch(&err)
			typed, err := inputAs[In](given)
			if err != nil {
				return nil, err
			}
			return function(ctx, typed, task)
		})
		if err != nil {
			return nil, err
		}
		result, err := encode(output, "result")
		if err != nil {
			var fault *Error
			errors.As(err, &fault)
			return nil, &TaskError{Type: FailureInvalidResult, Message: fault.Message, NonRetryable: true}
		}
		return result, nil
	}
	added := handler{run: run}
	if options != nil {
		added.options = *options
	}
	log := agent.log.With("task_type", taskType)
	added.options.InputSchema = schemaOf(reflect.TypeFor[In](), added.options.InputSchema, log)
	added.options.OutputSchema = schemaOf(reflect.TypeFor[Out](), added.options.OutputSchema, log)
	agent.register(func() error {
		switch _, taken := agent.handlers[taskType]; {
		case taskType == "":
			return errors.New(`the task type is empty: name the kind of work, or "*" for any`)
		case taken:
			return fmt.Errorf("the task type %q has a handler already", taskType)
		}
		agent.handlers[taskType] = added
		agent.types = append(agent.types, taskType)
		return nil
	})
}

// OnMessage makes a function the handler of the messages in the agent's mailbox. Messages are handled one at a time, in their order,
// beside task handlers and without a slot. One is acknowledged when its handler returned nil; when it gave an error or panicked, it
// comes again after a while, five times in all, and later ones of its sender wait. It may also come again after a crash: deduplicate
// by [Message.ID] what must not happen twice.
func (a *Agent) OnMessage(function func(ctx context.Context, message *Message) error) {
	a.register(func() error {
		if a.onMessage != nil {
			return errors.New("the agent has a handler of messages already")
		}
		a.onMessage = function
		return nil
	})
}

// register adds something before the agent starts, and keeps the first mistake.
func (a *Agent) register(add func() error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := errors.New("the agent has started: register all handlers before")
	if a.live == nil {
		err = add()
	} else {
		a.log.Error("a handler was not registered", "error", err)
	}
	if err != nil && a.mistake == nil {
		a.mistake = err
	}
}
