package callboard

import (
	"context"
	"time"

	"callboard.dev/sdk/go/callboardv1"
)

// Fallback is what is asked for of an agent when nobody has taken a task for some time: it takes the place of the task's own Skills, Tools,
// Role and Assignee, all of them, so that what is empty here is not asked for any more. The rest of its requirements stay as they are.
// What a run has come to stays for the run: see [Task].Fallback.
type Fallback struct {
	// After is how long the task is READY before this counts, from when it became READY. 1 ms to ten years.
	After time.Duration
	// Skills and Tools are what the agent must all have; Role is the role that it must have.
	Skills, Tools []string
	Role          string
	// Assignee is the only agent that may have the task, by name.
	Assignee string
}

// requirements: none is unset on the wire.
func (t NewTask) requirements() *callboardv1.Requirements {
	lists := len(t.Skills) + len(t.Tools) + len(t.Affinity) + len(t.AntiAffinity) + len(t.Resources)
	lists += len(t.Near) + len(t.Apart) + len(t.Fallbacks)
	if lists == 0 && t.Role == "" && t.Assignee == "" && t.PreferredAgent == "" {
		return nil
	}
	return &callboardv1.Requirements{
		Skills: t.Skills, Tools: t.Tools, Role: t.Role, Assignee: t.Assignee, PreferredAgent: t.PreferredAgent, Affinity: t.Affinity,
		AntiAffinity: t.AntiAffinity, Resources: t.Resources, Near: t.Near, Apart: t.Apart, Fallbacks: protoFallbacks(t.Fallbacks),
	}
}

func protoFallbacks(fallbacks []Fallback) []*callboardv1.RequirementsFallback {
	out := make([]*callboardv1.RequirementsFallback, len(fallbacks))
	for at, one := range fallbacks {
		out[at] = &callboardv1.RequirementsFallback{
			After: duration(one.After), Skills: one.Skills, Tools: one.Tools, Role: one.Role, Assignee: one.Assignee,
		}
	}
	return out
}

// Explain says who could have a task now, who could not and why, as placement sees it at this moment. Of a task that is READY that is who
// gets it next; of any other, who would if it were. Limits has what is used of those that the task is under, Past who it was given to so
// far, and who else could have had it then.
//
//	explanation, err := client.Explain(ctx, receipt.GetTaskId())
//	...
//	for _, candidate := range explanation.GetCandidates() {
//		for _, obstacle := range candidate.GetObstacles() {
//			fmt.Println(candidate.GetAgent(), callboard.ObstacleName(obstacle), obstacle.GetDetail())
//		}
//	}
func (c *Client) Explain(ctx context.Context, taskID string) (*AssignmentExplanation, error) {
	request := &callboardv1.ExplainAssignmentRequest{Namespace: c.namespace, TaskId: taskID}
	response, err := call[callboardv1.ExplainAssignmentResponse](
		ctx, c, callboardv1.TaskService_ExplainAssignment_FullMethodName, request, 0)
	return response.GetExplanation(), err
}
