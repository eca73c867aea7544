package callboard

import (
	"fmt"

	"callboard.dev/sdk/go/callboardv1"
)

// NewWorkflow is what a workflow is asked to be: tasks that are created together, all or none, and what they wait for among each other.
// Only Name and Tasks are needed. The server names all that is wrong with it at once when it is created.
//
//	report := callboard.NewWorkflow{Name: "report", Tasks: []callboard.WorkflowTask{
//		{Name: "figures", Task: callboard.NewTask{Type: "query"}},
//		{Name: "news", Task: callboard.NewTask{Type: "search"}, AllowFailure: true},
//		{Name: "text", Task: callboard.NewTask{Type: "write"}, DependsOn: []callboard.WorkflowDependency{
//			{Task: "figures"}, {Task: "news", Condition: callboard.DependencyEnded},
//		}},
//	}}
type NewWorkflow struct {
	// Name is what it is called; many may have the same. 1 to 128 characters: letters, digits and -_./:
	Name string
	// Tasks are its tasks, in any order: one may depend on one behind it. 1 to 10,000, together at most 3 MiB, with at most 50,000
	// dependencies in all, at most 1,000 of them behind each other, and no cycle.
	Tasks []WorkflowTask
	// Description is what it is about, for people. At most 4 KiB.
	Description string
	// Tags are to tell it by. At most 32, of 1 to 128 bytes each.
	Tags []string
	// Metadata is what an application wants to keep with it. At most 64 entries and 16 KiB.
	Metadata map[string]string
	// Headers are given to each of its tasks that has none of the same name. At most 32 entries and 8 KiB.
	Headers map[string]string
}

// WorkflowTask is a task of a workflow. Only Name and Task are needed.
type WorkflowTask struct {
	// Name is what it is called within the workflow, once: those that depend on it find its result by it ([Context.Dependency]). 1 to 128
	// characters: letters, digits and -_./:
	Name string
	// Task is what it is. It may have no Key, for the workflow and the name tell it from others; its own DependsOn may name tasks outside
	// of the workflow, and with DependsOn here it may depend on at most 1,000.
	Task NewTask
	// DependsOn is what must end first within the workflow, each task once: see [WorkflowDependency] and [AfterNamed].
	DependsOn []WorkflowDependency
	// AllowFailure: the workflow may complete although this task failed. It has a fallback, say, or matters little.
	AllowFailure bool
	// Weight is how much of the workflow's work it is, compared with the others. Default 1; at most 1,000,000.
	Weight int
}

// WorkflowDependency is a task of a workflow that must end before another is eligible. Only Task is needed; the rest is as in
// [Dependency].
type WorkflowDependency struct {
	// Task is its name within the workflow.
	Task string
	// Condition is how it must end. Default [DependencyCompleted].
	Condition DependencyCondition
	// Result is what its result must be, besides. Only when it must complete. Default: anything.
	Result *ResultCondition
	// OnFailure says what becomes of the dependent when it ends otherwise. Default [OnFailureSkip].
	OnFailure DependencyFailureAction
}

// AfterNamed gives dependencies on these tasks of the workflow: if one of them does not complete, the dependent is SKIPPED.
func AfterNamed(names ...string) []WorkflowDependency {
	dependencies := make([]WorkflowDependency, len(names))
	for at, name := range names {
		dependencies[at].Task = name
	}
	return dependencies
}

// proto gives it as it goes over the wire, but for what its tasks are.
func (w NewWorkflow) proto() (*callboardv1.WorkflowSpec, error) {
	tasks, err := protoWorkflowTasks("workflow.tasks", w.Tasks)
	if err != nil {
		return nil, err
	}
	return &callboardv1.WorkflowSpec{
		Name: w.Name, Description: w.Description, Tasks: tasks, Tags: w.Tags, Metadata: w.Metadata, Headers: w.Headers,
	}, nil
}

// protoWorkflowTasks gives the tasks of this field as they go over the wire, but for what they are.
func protoWorkflowTasks(field string, tasks []WorkflowTask) ([]*callboardv1.WorkflowTask, error) {
	out := make([]*callboardv1.WorkflowTask, len(tasks))
	for at, task := range tasks {
		dependencies, err := protoWorkflowDependencies(fmt.Sprintf("%s[%d]", field, at), task.DependsOn)
		if err != nil {
			return nil, err
		}
		out[at] = &callboardv1.WorkflowTask{
			Name: task.Name, DependsOn: dependencies, AllowFailure: task.AllowFailure, Weight: int32(task.Weight),
		}
	}
	return out, nil
}

// protoWorkflowDependencies gives dependencies of the task of this field as they go over the wire.
func protoWorkflowDependencies(task string, dependencies []WorkflowDependency) ([]*callboardv1.WorkflowDependency, error) {
	out := make([]*callboardv1.WorkflowDependency, len(dependencies))
	for at, one := range dependencies {
		result, err := one.Result.proto(fmt.Sprintf("%s.depends_on[%d].result.value", task, at))
		if err != nil {
			return nil, err
		}
		out[at] = &callboardv1.WorkflowDependency{Task: one.Task, OnFailure: one.OnFailure, Condition: one.Condition, Result: result}
	}
	return out, nil
}
