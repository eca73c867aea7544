package callboard

import (
	"context"
	"fmt"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
)

// ClaimOptions say more of who claims, and how.
type ClaimOptions struct {
	// AgentType is what kind of agent it is. Default "agent".
	AgentType string
	// Role, Skills, Tools, Labels, Resources and BuildID: see [AgentOptions].
	Role          string
	Skills, Tools []string
	Labels        map[string]string
	Resources     map[string]float64
	BuildID       string
	// Slots bounds what the agent may hold in all: 1 to 1,000. Default 1.
	Slots int
	// MaxTasks: at most this many at once. Default 1; at most 100.
	MaxTasks int
	// Lease is how long each is leased. Default 60 s; 1 s to 24 h.
	Lease time.Duration
	// Wait is how long to wait when there is none; at most 60 s.
	Wait time.Duration
	// RequestID: see [CommandOptions]. A repetition gives the same leases.
	RequestID string
}

// Claim leases tasks of these types to the agent of this name, which is an agent only now and then. It gives none when none came in
// time. It is refused while a stream is attached under the name.
//
// An assignment has the steps that earlier attempts of the run recorded; when they are fewer than its StepCount, [Client.Steps] gives
// all, with the assignment's run.
func (c *Client) Claim(ctx context.Context, name string, types []string, options *ClaimOptions) ([]*callboardv1.Assignment, error) {
	chosen := ClaimOptions{}
	if options != nil {
		chosen = *options
	}
	handles := make([]*callboardv1.TaskHandler, len(types))
	for at, one := range types {
		handles[at] = &callboardv1.TaskHandler{Type: one}
	}
	request := &callboardv1.ClaimTasksRequest{
		Namespace: c.namespace,
		Profile: &callboardv1.AgentProfile{
			Name: name, AgentType: first(chosen.AgentType, defaultType), Role: chosen.Role,
			Skills: chosen.Skills, Tools: chosen.Tools, Labels: chosen.Labels, Resources: chosen.Resources,
			Slots: int32(max(1, chosen.Slots)), Handles: handles, Sdk: sdkName, SdkVersion: Version, BuildId: chosen.BuildID,
		},
		MaxTasks:  int32(chosen.MaxTasks),
		Lease:     duration(chosen.Lease),
		Wait:      duration(chosen.Wait),
		RequestId: requestID(chosen.RequestID),
	}
	response, err := call[callboardv1.ClaimTasksResponse](ctx, c, callboardv1.AgentService_ClaimTasks_FullMethodName, request, chosen.Wait)
	return response.GetAssignments(), err
}

// HeartbeatOptions are what a heartbeat may say.
type HeartbeatOptions struct {
	// Lease is how long from now. Default: what was claimed.
	Lease time.Duration
	// Progress is how far the work is, if anything.
	Progress *Progress
	// Checkpoint is what the next attempt is to begin from: see [Encode]. Nil means none.
	Checkpoint any
	// Steps are steps that are done. At most 100, together at most 3 MiB.
	Steps []StepResult
	// Output is what the work gave while it went on, in order: at most 64 values of at most 65,536 bytes each, see [Encode]. Empty ones
	// are left out.
	Output []any
	// OutputOffset is how many bytes of output this attempt gave before. What was given before is not added again.
	OutputOffset int64
}

// output gives it as it goes over the wire; nil when there is none.
func (o *HeartbeatOptions) output() (*callboardv1.OutputBatch, error) {
	batch := &callboardv1.OutputBatch{Offset: o.OutputOffset}
	for at, value := range o.Output {
		field := fmt.Sprintf("output[%d]", at)
		chunk, err := encode(value, field)
		if err != nil {
			return nil, err
		}
		size := contentSize(chunk)
		if size > session.LargestChunk {
			return nil, tooLargeAChunk(field, size)
		}
		if size > 0 {
			batch.Chunks = append(batch.Chunks, chunk)
		}
	}
	if len(batch.Chunks) == 0 {
		return nil, nil
	}
	return batch, nil
}

// StepResult is the result of a step of a claimed task, to be recorded: later attempts of the run get it with their assignment.
type StepResult struct {
	// Name is what the work calls the step: 1 to 128 bytes.
	Name string
	// Occurrence is how many steps of this name the attempt began before it.
	Occurrence int
	// Result is what it gave: see [Encode].
	Result any
}

func stepRecords(results []StepResult) ([]*callboardv1.StepRecord, error) {
	records := make([]*callboardv1.StepRecord, len(results))
	for at, one := range results {
		result, err := encode(one.Result, fmt.Sprintf("steps[%d].result", at))
		if err != nil {
			return nil, err
		}
		records[at] = &callboardv1.StepRecord{Name: one.Name, Occurrence: int32(one.Occurrence), Result: result}
	}
	return records, nil
}

// Heartbeat extends the lease of a claimed task, and reports progress, a checkpoint, steps and output if given: all of it in one commit.
// The answer says until when, and whether the task's cancellation was asked for.
func (c *Client) Heartbeat(
	ctx context.Context, attempt *callboardv1.Attempt, options *HeartbeatOptions,
) (*callboardv1.HeartbeatTaskResponse, error) {
	request := &callboardv1.HeartbeatTaskRequest{Namespace: c.namespace, Attempt: attempt}
	if options != nil {
		request.Lease = duration(options.Lease)
		var err error
		if options.Progress != nil {
			if request.Progress, err = options.Progress.proto(); err != nil {
				return nil, err
			}
		}
		if options.Checkpoint != nil {
			if request.Checkpoint, err = encode(options.Checkpoint, "checkpoint"); err != nil {
				return nil, err
			}
		}
		if request.Steps, err = stepRecords(options.Steps); err != nil {
			return nil, err
		}
		if request.Output, err = options.output(); err != nil {
			return nil, err
		}
	}
	return call[callboardv1.HeartbeatTaskResponse](ctx, c, callboardv1.AgentService_HeartbeatTask_FullMethodName, request, 0)
}

// EndOptions are what the end of a claimed task takes.
type EndOptions struct {
	// Agent is who did it, by name, when nobody had it. Default: the principal.
	Agent string
	// RequestID: see [CommandOptions].
	RequestID string
}

func (o *EndOptions) split() (agent, id string) {
	if o == nil {
		return "", requestID("")
	}
	return o.Agent, requestID(o.RequestID)
}

// Complete completes a claimed task with this result: see [Encode]. With an attempt that has a TaskId alone it is a task that nobody
// has, which is claimed and completed in one commit.
func (c *Client) Complete(ctx context.Context, attempt *callboardv1.Attempt, result any, options *EndOptions) (*TaskReceipt, error) {
	payload, err := encode(result, "result")
	if err != nil {
		return nil, err
	}
	agent, id := options.split()
	request := &callboardv1.CompleteTaskRequest{
		Namespace: c.namespace, Attempt: attempt, Result: payload, RequestId: id, Agent: agent,
	}
	response, err := call[callboardv1.CompleteTaskResponse](ctx, c, callboardv1.AgentService_CompleteTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Fail fails an attempt of a claimed task with this error: see [TaskError]. With an attempt that has a TaskId alone it is of a task
// that nobody has, which is claimed and failed in one commit.
func (c *Client) Fail(ctx context.Context, attempt *callboardv1.Attempt, failure error, options *EndOptions) (*TaskReceipt, error) {
	if failure == nil {
		return nil, invalid("failure", "failure is nil: give the error that the attempt failed with")
	}
	agent, id := options.split()
	request := &callboardv1.FailTaskRequest{
		Namespace: c.namespace, Attempt: attempt, Failure: failureOf(failure), RequestId: id, Agent: agent,
	}
	response, err := call[callboardv1.FailTaskResponse](ctx, c, callboardv1.AgentService_FailTask_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Progress is how far a handler is.
type Progress struct {
	// Fraction is how much is done, from 0 to 1; nil for no figure.
	Fraction *float64
	// Phase is reasoning, executing, validating, or any short word. At most 128 bytes.
	Phase string
	// Message is for people. Cut to 1 KiB.
	Message string
}

const (
	maxPhase           = 128
	maxProgressMessage = 1 << 10
)

// proto: what the server would refuse is refused here, where it can be seen.
func (p *Progress) proto() (*callboardv1.Progress, error) {
	if p.Fraction != nil && !(*p.Fraction >= 0 && *p.Fraction <= 1) {
		return nil, invalid("progress.fraction", fmt.Sprintf("progress.fraction %v is not between 0 and 1", *p.Fraction))
	}
	if len(p.Phase) > maxPhase {
		return nil, invalid("progress.phase", "progress.phase is longer than 128 bytes: choose a short word, and use the message for the rest")
	}
	phase := cut(p.Phase, maxPhase)
	return &callboardv1.Progress{Fraction: p.Fraction, Phase: phase, Message: cut(p.Message, maxProgressMessage)}, nil
}
