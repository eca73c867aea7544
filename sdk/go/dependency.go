package callboard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"callboard.dev/sdk/go/callboardv1"
)

// Dependency is a task that must end before another is eligible. Only TaskID is needed; then that task must complete, and if it doesn't,
// the dependent is SKIPPED. The server says what is wrong with it when the dependent is created.
//
//	publish := callboard.NewTask{Type: "publish", DependsOn: []callboard.Dependency{{
//		TaskID: draft.GetTaskId(),
//		Result: callboard.ResultIs("/score", callboard.ResultGreaterOrEqual, 0.8),
//		Name:   "draft",
//	}}}
//	apologize := callboard.NewTask{Type: "apologize", DependsOn: []callboard.Dependency{{
//		TaskID: draft.GetTaskId(), Condition: callboard.DependencyFailed,
//	}}}
type Dependency struct {
	// TaskID is its id, in the same namespace.
	TaskID string
	// Condition is how it must end. Default [DependencyCompleted].
	Condition DependencyCondition
	// Result is what its result must be, besides. Only when it must complete. Default: anything.
	Result *ResultCondition
	// OnFailure says what becomes of the dependent when it ends otherwise. Default [OnFailureSkip].
	OnFailure DependencyFailureAction
	// Name is what the dependent's handler calls it: see [Context.Dependency]. 1 to 128 characters, letters, digits and -_./: each name
	// once. Default: it has none.
	Name string
}

// ResultCondition is what a result must be: a value in it, compared with another. See [ResultIs].
type ResultCondition struct {
	// Pointer is where in the result the value is, as a JSON Pointer: /score. Empty means the whole result.
	Pointer string
	// Comparison is how it is compared.
	Comparison ResultComparison
	// Value is what it is compared with: anything that JSON has. Nil means nothing, for [ResultExists] and [ResultNotExists];
	// json.RawMessage("null") is JSON's null.
	Value any
}

// After gives dependencies on these tasks: if one of them does not complete, the dependent is SKIPPED.
func After(taskIDs ...string) []Dependency {
	dependencies := make([]Dependency, len(taskIDs))
	for at, id := range taskIDs {
		dependencies[at].TaskID = id
	}
	return dependencies
}

// ResultIs gives the condition that the value at a JSON Pointer compares so with another: see [ResultCondition].
func ResultIs(pointer string, comparison ResultComparison, value any) *ResultCondition {
	return &ResultCondition{Pointer: pointer, Comparison: comparison, Value: value}
}

// AddDependencies makes a WAITING task wait for more, all or none: a plan that changes while it is carried out. None may be one that it has
// already, and with those that it has there are at most 1,000. They stand behind those. When one of them has ended otherwise than its
// Condition says, the task has ended with it: the receipt tells. A handler that may run again gives a RequestID of its task's id and run,
// so that another attempt adds nothing twice:
//
//	again := &callboard.CommandOptions{RequestID: fmt.Sprintf("checks/%s/%d", task.TaskID(), task.Run())}
//	receipt, err := task.Client().AddDependencies(ctx, publish, callboard.After(check.GetTaskId()), again)
//
// The error is of the kind [ErrFailedPrecondition] when the task is not WAITING: hold it, or its workflow, first; [ErrInvalidArgument]
// when a dependency can't be what it is, or a task would wait for itself: the path is told.
func (c *Client) AddDependencies(
	ctx context.Context, taskID string, dependencies []Dependency, options *CommandOptions,
) (*TaskReceipt, error) {
	added, err := protoDependencies("dependencies", dependencies)
	if err != nil {
		return nil, err
	}
	request := &callboardv1.AddDependenciesRequest{
		Namespace: c.namespace, TaskId: taskID, Dependencies: added, RequestId: options.requestID(),
	}
	response, err := call[callboardv1.AddDependenciesResponse](
		ctx, c, callboardv1.TaskService_AddDependencies_FullMethodName, request, 0)
	return response.GetReceipt(), err
}

// Dependencies gives how the tasks ended that this one depends on, in their order. They are fetched when they didn't fit into the
// assignment; then the errors are those of every call. Read their values with [Decode]:
//
//	summary, err := callboard.Decode[string](dependency.GetResult())
func (c *Context) Dependencies(ctx context.Context) ([]*DependencyResult, error) {
	if !c.assignment.GetDependenciesTruncated() {
		return c.assignment.GetDependencies(), nil
	}
	var results []*DependencyResult
	for result, err := range c.Client().DependencyResults(ctx, c.TaskID()) {
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// Dependency gives how the one of this name ended: see [Dependency]. The error is of the kind [ErrInvalidArgument] when there is none of
// the name; else those of [Context.Dependencies].
func (c *Context) Dependency(ctx context.Context, name string) (*DependencyResult, error) {
	results, err := c.Dependencies(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, one := range results {
		switch one.GetName() {
		case "":
		case name:
			return one, nil
		default:
			names = append(names, one.GetName())
		}
	}
	thereAre := "none has a name"
	if len(names) > 0 {
		thereAre = "there are " + strings.Join(names, ", ")
	}
	return nil, invalid("name", fmt.Sprintf("no dependency is named %q: %s", name, thereAre))
}

// protoDependencies gives the dependencies of this field as they go over the wire.
func protoDependencies(field string, dependencies []Dependency) ([]*callboardv1.Dependency, error) {
	out := make([]*callboardv1.Dependency, len(dependencies))
	for at, one := range dependencies {
		result, err := one.Result.proto(fmt.Sprintf("%s[%d].result.value", field, at))
		if err != nil {
			return nil, err
		}
		out[at] = &callboardv1.Dependency{
			TaskId: one.TaskID, OnFailure: one.OnFailure, Condition: one.Condition, Result: result, Name: one.Name,
		}
	}
	return out, nil
}

// proto: field names the value in errors.
func (c *ResultCondition) proto(field string) (*callboardv1.ResultCondition, error) {
	if c == nil {
		return nil, nil
	}
	out := &callboardv1.ResultCondition{Pointer: c.Pointer, Comparison: c.Comparison}
	if c.Value == nil {
		return out, nil
	}
	value, err := toJSON(c.Value)
	if err != nil {
		return nil, invalid(field, fmt.Sprintf("%s is nothing that JSON has: %v", field, err))
	}
	out.Value = value
	return out, nil
}

// toJSON writes a value as payloads have it, but that a string is JSON, too.
func toJSON(value any) (string, error) {
	payload, err := toPayload(value)
	if err != nil {
		return "", err
	}
	switch payload.GetContentType() {
	case typeJSON:
		return payload.GetText(), nil
	case typeText:
		quoted, err := jsonPayload(payload.GetText())
		return quoted.GetText(), err
	}
	return "", errors.New("it is bytes")
}
