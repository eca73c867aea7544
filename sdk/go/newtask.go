package callboard

import (
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// NewTask is what a task is asked to be. Only Type is needed.
type NewTask struct {
	// Type is the kind of work, which agents say they handle: 1 to 128 characters, letters, digits and -_./:
	Type string
	// Input is what the handler is given: see [Encode]. Nil means none, which is the empty string; json.RawMessage("null") is JSON's null.
	Input any
	// Description is what the task is about, for people. At most 4 KiB.
	Description string
	// Key is your own id for the task, unique among the live tasks of the namespace. At most 256 bytes.
	Key string
	// KeyConflict says what to do when a live task has this key. Default: the existing one is the answer.
	KeyConflict callboardv1.KeyConflictPolicy
	// Skills and Tools are what the agent must all have; Role is the role that it must have.
	Skills, Tools []string
	Role          string
	// Assignee is the only agent that may have it, by name. It need not exist yet.
	Assignee string
	// PreferredAgent is the agent that should have it: it has a head start of 2 s.
	PreferredAgent string
	// Affinity are labels that the agent should have, AntiAffinity those that it should not. At most 16 of each.
	Affinity, AntiAffinity map[string]string
	// Resources are amounts (gpu) that the task takes of its agent's while it holds a slot: more than 0. An agent that says it has less of
	// one never gets the task, and none is given more at once than it says it has. At most 32.
	Resources map[string]float64
	// Near are names of dependencies: the agent that had one of them last should have this task, too. Apart are those whose agents should
	// not: to have a work reviewed by another. At most 16 of each.
	Near, Apart []string
	// Fallbacks are what is asked for instead when nobody has taken it for some time. At most 8, each After longer than the one before.
	Fallbacks []Fallback
	// FairnessKey says whose turn it is: tasks of different keys take turns, one task each, whatever their priorities and ages. All tasks
	// without one share a turn. At most 128 bytes.
	FairnessKey string
	// LimitKeys are keys whose limits the task is under, all of them: see [Limit]. A key without a limit holds nothing up. At most 4, of 1
	// to 128 bytes each.
	LimitKeys []string
	// Priority says how urgent it is. Default [PriorityNormal].
	Priority Priority
	// DependsOn is what must end first, each task once: see [Dependency] and [After].
	DependsOn []Dependency
	// Retry says how failures are retried. What is zero takes the namespace's default.
	Retry RetryPolicy
	// Timeouts say how long things may take. What is zero takes the namespace's default.
	Timeouts Timeouts
	// Deadline is when the task fails if it has not ended; zero means never.
	Deadline time.Time
	// StartAt: not before this time.
	StartAt time.Time
	// Hold keeps it WAITING until [Client.Release].
	Hold bool
	// Tags are to find it by. At most 32, of 1 to 128 bytes each.
	Tags []string
	// Metadata is what an application wants to keep with it. At most 64 entries and 16 KiB.
	Metadata map[string]string
	// Headers are carried to every attempt and child: trace context. At most 32 entries and 8 KiB.
	Headers map[string]string
}

// RetryPolicy says when and how often a failed attempt is followed by another.
type RetryPolicy struct {
	// MaxAttempts in a run, the first included: 1 to 1,000. Default 3.
	MaxAttempts int
	// InitialBackoff is the delay before the second attempt. Default 1 s; 1 ms to 24 h.
	InitialBackoff time.Duration
	// Multiplier is what the delay is multiplied by from attempt to attempt. Default 2; 1 to 100.
	Multiplier float64
	// MaxBackoff is the longest delay. Default 60 s; at most 24 h.
	MaxBackoff time.Duration
	// NonRetryableTypes are types of failures that are not retried. At most 64.
	NonRetryableTypes []string
}

// Timeouts say how long things may take. Each is at most ten years.
type Timeouts struct {
	// ScheduleToStart is from READY to accepted by an agent. Default: no limit. Not retried.
	ScheduleToStart time.Duration
	// StartToClose is from assigned to ended, for each attempt. Default 300 s. Retried.
	StartToClose time.Duration
	// ScheduleToClose is from creation to the end, over all attempts of the run. Default: no limit.
	ScheduleToClose time.Duration
	// Heartbeat is the longest silence of the handler itself between two progress reports or checkpoints. Default: no limit. Retried.
	Heartbeat time.Duration
}

// spec gives it as it goes over the wire. Errors call it by this field.
func (t NewTask) spec(field string) (*callboardv1.TaskSpec, error) {
	given := t.Input
	if given == nil {
		given = ""
	}
	input, err := encode(given, field+".input")
	if err != nil {
		return nil, err
	}
	dependencies, err := protoDependencies(field+".dependencies", t.DependsOn)
	if err != nil {
		return nil, err
	}
	return &callboardv1.TaskSpec{
		Type:              t.Type,
		Description:       t.Description,
		Input:             input,
		Key:               t.Key,
		KeyConflictPolicy: t.KeyConflict,
		Requirements:      t.requirements(),
		Priority:          t.Priority,
		Dependencies:      dependencies,
		RetryPolicy:       t.Retry.proto(),
		Timeouts:          t.Timeouts.proto(),
		Deadline:          timestamp(t.Deadline),
		StartAt:           timestamp(t.StartAt),
		Hold:              t.Hold,
		Tags:              t.Tags,
		Metadata:          t.Metadata,
		Headers:           t.Headers,
		FairnessKey:       t.FairnessKey,
		LimitKeys:         t.LimitKeys,
	}, nil
}

// proto: a policy that says nothing is unset on the wire.
func (p RetryPolicy) proto() *callboardv1.RetryPolicy {
	if p.MaxAttempts == 0 && p.InitialBackoff == 0 && p.Multiplier == 0 && p.MaxBackoff == 0 && len(p.NonRetryableTypes) == 0 {
		return nil
	}
	return &callboardv1.RetryPolicy{
		MaxAttempts:       int32(p.MaxAttempts),
		InitialBackoff:    duration(p.InitialBackoff),
		Multiplier:        p.Multiplier,
		MaxBackoff:        duration(p.MaxBackoff),
		NonRetryableTypes: p.NonRetryableTypes,
	}
}

func (t Timeouts) proto() *callboardv1.Timeouts {
	if t == (Timeouts{}) {
		return nil
	}
	return &callboardv1.Timeouts{
		ScheduleToStart: duration(t.ScheduleToStart),
		StartToClose:    duration(t.StartToClose),
		ScheduleToClose: duration(t.ScheduleToClose),
		Heartbeat:       duration(t.Heartbeat),
	}
}

// duration: zero means the default, which is unset on the wire.
func duration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// timestamp: the zero time means none, which is unset on the wire.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
