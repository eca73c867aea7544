package main

import (
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// spec is what a task is asked to be.
type spec struct {
	Type              string                               `field:"type"`
	Input             value                                `field:"input,optional"`
	Description       string                               `field:"description,optional"`
	Key               string                               `field:"key,optional"`
	KeyConflict       named[callboardv1.KeyConflictPolicy] `field:"key_conflict,optional"`
	Skills            []string                             `field:"skills,optional"`
	Tools             []string                             `field:"tools,optional"`
	Role              string                               `field:"role,optional"`
	Assignee          string                               `field:"assignee,optional"`
	PreferredAgent    string                               `field:"preferred_agent,optional"`
	Affinity          map[string]string                    `field:"affinity,optional"`
	AntiAffinity      map[string]string                    `field:"anti_affinity,optional"`
	Resources         map[string]float64                   `field:"resources,optional"`
	Near              []string                             `field:"near,optional"`
	Apart             []string                             `field:"apart,optional"`
	Fallbacks         []fallback                           `field:"fallbacks,optional"`
	FairnessKey       string                               `field:"fairness_key,optional"`
	LimitKeys         []string                             `field:"limit_keys,optional"`
	Priority          named[callboard.Priority]            `field:"priority,optional"`
	DependsOn         []dependency                         `field:"depends_on,optional"`
	MaxAttempts       int                                  `field:"max_attempts,optional"`
	InitialBackoff    milliseconds                         `field:"initial_backoff_ms,optional"`
	Multiplier        float64                              `field:"multiplier,optional"`
	MaxBackoff        milliseconds                         `field:"max_backoff_ms,optional"`
	NonRetryableTypes []string                             `field:"non_retryable_types,optional"`
	ScheduleToStart   milliseconds                         `field:"schedule_to_start_ms,optional"`
	StartToClose      milliseconds                         `field:"start_to_close_ms,optional"`
	ScheduleToClose   milliseconds                         `field:"schedule_to_close_ms,optional"`
	Heartbeat         milliseconds                         `field:"heartbeat_ms,optional"`
	Deadline          instant                              `field:"deadline_at_ms,optional"`
	StartAt           instant                              `field:"start_at_ms,optional"`
	Hold              bool                                 `field:"hold,optional"`
	Tags              []string                             `field:"tags,optional"`
	Metadata          map[string]string                    `field:"metadata,optional"`
	Headers           map[string]string                    `field:"headers,optional"`
}

func (s *spec) UnmarshalJSON(text []byte) error { return readObject(text, s) }

type fallback struct {
	After    milliseconds `field:"after_ms"`
	Skills   []string     `field:"skills,optional"`
	Tools    []string     `field:"tools,optional"`
	Role     string       `field:"role,optional"`
	Assignee string       `field:"assignee,optional"`
}

func (f *fallback) UnmarshalJSON(text []byte) error { return readObject(text, f) }

type dependency struct {
	TaskID    string                                   `field:"task_id"`
	OnFailure named[callboard.DependencyFailureAction] `field:"on_failure,optional"`
	Condition named[callboard.DependencyCondition]     `field:"condition,optional"`
	Result    *resultCondition                         `field:"result,optional"`
	Name      string                                   `field:"name,optional"`
}

func (d *dependency) UnmarshalJSON(text []byte) error { return readObject(text, d) }

type resultCondition struct {
	Pointer    string                            `field:"pointer,optional"`
	Comparison named[callboard.ResultComparison] `field:"comparison,optional"`
	Value      value                             `field:"value,optional"`
}

func (c *resultCondition) UnmarshalJSON(text []byte) error { return readObject(text, c) }

func (s *spec) task() callboard.NewTask {
	task := callboard.NewTask{
		Type: s.Type, Input: s.Input.orNull(), Description: s.Description, Key: s.Key, KeyConflict: s.KeyConflict.is,
		Skills: s.Skills, Tools: s.Tools, Role: s.Role, Assignee: s.Assignee, PreferredAgent: s.PreferredAgent, Affinity: s.Affinity,
		AntiAffinity: s.AntiAffinity, Resources: s.Resources, Near: s.Near, Apart: s.Apart, FairnessKey: s.FairnessKey, LimitKeys: s.LimitKeys,
		Priority: s.Priority.is, Deadline: s.Deadline.at, StartAt: s.StartAt.at, Hold: s.Hold, Tags: s.Tags, Metadata: s.Metadata,
		Headers: s.Headers, DependsOn: dependencies(s.DependsOn),
		Retry: callboard.RetryPolicy{
			MaxAttempts: s.MaxAttempts, InitialBackoff: s.InitialBackoff.duration(), Multiplier: s.Multiplier,
			MaxBackoff: s.MaxBackoff.duration(), NonRetryableTypes: s.NonRetryableTypes,
		},
		Timeouts: callboard.Timeouts{
			ScheduleToStart: s.ScheduleToStart.duration(), StartToClose: s.StartToClose.duration(),
			ScheduleToClose: s.ScheduleToClose.duration(), Heartbeat: s.Heartbeat.duration(),
		},
	}
	for _, one := range s.Fallbacks {
		task.Fallbacks = append(task.Fallbacks, callboard.Fallback{
			After: one.After.duration(), Skills: one.Skills, Tools: one.Tools, Role: one.Role, Assignee: one.Assignee,
		})
	}
	return task
}

func dependencies(given []dependency) []callboard.Dependency {
	var dependencies []callboard.Dependency
	for _, one := range given {
		dependencies = append(dependencies, callboard.Dependency{
			TaskID: one.TaskID, Condition: one.Condition.is, Result: one.Result.condition(), OnFailure: one.OnFailure.is, Name: one.Name,
		})
	}
	return dependencies
}

// condition: none is nil.
func (c *resultCondition) condition() *callboard.ResultCondition {
	if c == nil {
		return nil
	}
	return callboard.ResultIs(c.Pointer, c.Comparison.is, c.Value.orNull())
}

// timeOrNone gives a point in time where the SDK takes nil for what is not to change.
func (i instant) timeOrNone() *time.Time {
	if !i.given {
		return nil
	}
	return &i.at
}
