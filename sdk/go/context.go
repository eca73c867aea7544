package callboard

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Context is what a handler gets besides its input: the attempt that it works on. It is safe for concurrent use.
type Context struct {
	key        session.Key
	assignment *callboardv1.Assignment
	live       *live
	// cancel tells the handler to stop.
	cancel   context.CancelCauseFunc
	steps    steps
	children occurrences
	// deadline is the one that came when the handler went on; nil while the assignment's holds.
	deadline atomic.Pointer[timestamppb.Timestamp]
}

// TaskID is the task's id.
func (c *Context) TaskID() string { return c.key.TaskID }

// Attempt is the attempt's number, which goes on rising across runs.
func (c *Context) Attempt() int { return int(c.key.Attempt) }

// Run is the run that the attempt belongs to.
func (c *Context) Run() int { return int(c.assignment.GetRun()) }

// AttemptsUsed is how many attempts of this run were used up before this one.
func (c *Context) AttemptsUsed() int { return int(c.assignment.GetAttemptsUsed()) }

// Namespace is the namespace of the task.
func (c *Context) Namespace() string { return c.assignment.GetNamespace() }

// Type is the task's type.
func (c *Context) Type() string { return c.Spec().GetType() }

// Spec is all of what the task was asked to be.
func (c *Context) Spec() *callboardv1.TaskSpec { return c.assignment.GetSpec() }

// Headers are what is carried to every attempt: trace context.
func (c *Context) Headers() map[string]string { return c.Spec().GetHeaders() }

// Metadata is what the application keeps with the task.
func (c *Context) Metadata() map[string]string { return c.Spec().GetMetadata() }

// Workflow says what workflow the task is of, and what it is called there; nil when it is of none. A child is of its parent's, without a
// name.
func (c *Context) Workflow() *WorkflowLink { return c.assignment.GetWorkflow() }

// Payload is the input as it came.
func (c *Context) Payload() *Payload { return c.Spec().GetInput() }

// Agent is the name of the agent that the handler works for.
func (c *Context) Agent() string { return c.live.agent.name }

// Deadline is when the attempt times out, by the server's clock; false when it doesn't. Time in which the task was PAUSED doesn't count:
// the deadline moves when the handler goes on. The server says when it is over: the handler's context has no deadline of its own, lest
// clocks that differ end it too soon.
func (c *Context) Deadline() (time.Time, bool) {
	deadline := c.deadline.Load()
	if deadline == nil {
		deadline = c.assignment.GetDeadline()
	}
	return deadline.AsTime(), deadline != nil
}

// Checkpoint gives what the last attempt saved with [Context.SaveCheckpoint], as a T: see [Decode]. False when it saved nothing.
func Checkpoint[T any](task *Context) (T, bool, error) {
	saved := task.CheckpointPayload()
	if saved == nil {
		var none T
		return none, false, nil
	}
	value, err := Decode[T](saved)
	return value, err == nil, err
}

// CheckpointPayload is the checkpoint of the last attempt as it came; nil when it saved nothing.
func (c *Context) CheckpointPayload() *Payload { return c.assignment.GetCheckpoint() }

// Progress tells how far the work is: a fraction from 0 to 1 (what lies beyond is cut; math.NaN() for no figure), a phase (reasoning,
// executing, validating, or any word of at most 128 bytes; empty for none), a message for people (at most 1 KiB). It never waits: at
// most ten a second are sent, the latest wins.
func (c *Context) Progress(fraction float64, phase, message string) {
	progress := &callboardv1.Progress{Phase: cut(phase, maxPhase), Message: cut(message, maxProgressMessage)}
	if !math.IsNaN(fraction) {
		fraction = min(1, max(0, fraction))
		progress.Fraction = &fraction
	}
	c.live.progress(c.key, progress)
}

// SaveCheckpoint saves what the next attempt is to begin from, in place of what was saved before: see [Encode]. It returns when it is
// committed, and waits while the server can't be reached, until the context ends.
//
// The error is of the kind [ErrInvalidArgument] when the value can't be a payload, [ErrFailedPrecondition] when the attempt is no longer
// current: stop the work; the cause of the context when that ended.
func (c *Context) SaveCheckpoint(ctx context.Context, value any) error {
	data, err := encode(value, "checkpoint")
	if err != nil {
		return err
	}
	return c.live.saveCheckpoint(ctx, c.key, data)
}

// Send sends a message as this agent. It returns when it is committed, and waits while the server can't be reached, until the context
// ends.
//
// The error is of the kind [ErrNotFound] when the recipient is unknown, [ErrResourceExhausted] when its mailbox is full; the cause of
// the context when that ended: then it is unknown whether the message was sent.
func (c *Context) Send(ctx context.Context, to string, body any, options *MessageOptions) (*callboardv1.MessageReceipt, error) {
	return c.live.send(ctx, to, body, options)
}

// Client is a client of the agent's server and namespace, with the agent's credentials. It ends with the agent.
func (c *Context) Client() *Client { return c.live.client }

// Message is a message from the agent's mailbox. It is acknowledged when its handler returns nil.
type Message struct {
	message *callboardv1.Message
	live    *live
}

// ID is the same each time that the message is delivered.
func (m *Message) ID() string { return m.message.GetId() }

// Sequence is its place in the mailbox: 1, 2, 3, … Behind a promoted standby of PostgreSQL there is a gap.
func (m *Message) Sequence() int64 { return m.message.GetSequence() }

// Agent is the name of the agent that sent it; empty when it was sent by a call.
func (m *Message) Agent() string { return m.message.GetAgent() }

// Principal is who sent it.
func (m *Message) Principal() string { return m.message.GetPrincipal() }

// Headers are what applications agree on: correlation_id, reply_to.
func (m *Message) Headers() map[string]string { return m.message.GetHeaders() }

// Payload is what it says: see [Decode].
func (m *Message) Payload() *Payload { return m.message.GetPayload() }

// Proto is all of it.
func (m *Message) Proto() *callboardv1.Message { return m.message }

// Send sends a message as this agent, an answer say: see [Context.Send].
func (m *Message) Send(ctx context.Context, to string, body any, options *MessageOptions) (*callboardv1.MessageReceipt, error) {
	return m.live.send(ctx, to, body, options)
}

// Client is a client of the agent's server and namespace, with the agent's credentials. It ends with the agent.
func (m *Message) Client() *Client { return m.live.client }
