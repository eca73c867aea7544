package callboard_test

import (
	"context"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (f *fake) ExplainAssignment(_ context.Context, request *callboardv1.ExplainAssignmentRequest) (*callboardv1.ExplainAssignmentResponse, error) {
	f.note(request)
	return f.explain(request)
}

func TestATaskSaysAllThatItMayOfItsPlacement(t *testing.T) {
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	labels := func(zone string) map[string]string { return map[string]string{"zone": zone} }
	gpu := map[string]float64{"gpu": 0.5}
	for at, one := range []struct {
		task callboard.NewTask
		want *callboardv1.Requirements
	}{
		{callboard.NewTask{}, nil},
		{callboard.NewTask{AntiAffinity: labels("a")}, &callboardv1.Requirements{AntiAffinity: labels("a")}},
		{callboard.NewTask{Resources: gpu}, &callboardv1.Requirements{Resources: gpu}},
		{callboard.NewTask{Near: []string{"draft"}}, &callboardv1.Requirements{Near: []string{"draft"}}},
		{callboard.NewTask{Apart: []string{"draft"}}, &callboardv1.Requirements{Apart: []string{"draft"}}},
		{
			callboard.NewTask{Fallbacks: []callboard.Fallback{{After: time.Second}}},
			&callboardv1.Requirements{Fallbacks: []*callboardv1.RequirementsFallback{{After: durationpb.New(time.Second)}}},
		},
		{callboard.NewTask{
			Skills: []string{"s"}, Tools: []string{"t"}, Role: "r", Assignee: "a", PreferredAgent: "p", Affinity: labels("a"),
			AntiAffinity: labels("b"), Resources: gpu, Near: []string{"n"}, Apart: []string{"f"},
			Fallbacks: []callboard.Fallback{
				{After: time.Millisecond, Skills: []string{"s2"}, Tools: []string{"t2"}, Role: "r2", Assignee: "a2"}, {After: time.Hour, Role: "lead"},
			},
		}, &callboardv1.Requirements{
			Skills: []string{"s"}, Tools: []string{"t"}, Role: "r", Assignee: "a", PreferredAgent: "p", Affinity: labels("a"),
			AntiAffinity: labels("b"), Resources: gpu, Near: []string{"n"}, Apart: []string{"f"},
			Fallbacks: []*callboardv1.RequirementsFallback{
				{After: durationpb.New(time.Millisecond), Skills: []string{"s2"}, Tools: []string{"t2"}, Role: "r2", Assignee: "a2"},
				{After: durationpb.New(time.Hour), Role: "lead"},
			},
		}},
	} {
		one.task.Type = "t"
		must[*callboard.TaskReceipt](t)(client.Create(limited(t), one.task, nil))
		got := server.requests[at].(*callboardv1.CreateTaskRequest).GetTask().GetRequirements()
		expect(t, proto.Equal(got, one.want), "as it was said", got)
	}
}

func TestAnExplanationIsGivenAsItIs(t *testing.T) {
	server := newFake(t)
	want := &callboard.AssignmentExplanation{
		TaskId: "x", State: callboard.StateReady, Ahead: 2, Agents: 3, Fitting: 1, Candidates: []*callboard.AssignmentCandidate{
			{Agent: "ann", Fits: true, Score: 0.75},
			{Agent: "bob", Obstacles: []*callboard.AssignmentObstacle{
				{Type: callboardv1.AssignmentObstacleType_ASSIGNMENT_OBSTACLE_TYPE_SKILL, Detail: "rust"}, {Type: 4711},
			}},
		},
		Limits: []*callboard.LimitUse{{Key: "tenant/ann", Limit: &callboardv1.Limit{Key: "tenant/*", Rate: new(int32(3))}, InUse: 2, Reached: true}},
		Past: []*callboard.AssignmentChoice{{
			Attempt: 1, Agent: "ann", Score: 0.75, Compared: 2, RunnersUp: []*callboard.AssignmentRunnerUp{{Agent: "bob", Score: 0.5}},
		}},
	}
	server.explain = func(*callboardv1.ExplainAssignmentRequest) (*callboardv1.ExplainAssignmentResponse, error) {
		return &callboardv1.ExplainAssignmentResponse{Explanation: want}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Namespace: "n"})
	explanation := must[*callboard.AssignmentExplanation](t)(client.Explain(limited(t), "x"))
	expect(t, proto.Equal(explanation, want), "as it is", explanation)
	expect(t, proto.Equal(server.requests[0], &callboardv1.ExplainAssignmentRequest{Namespace: "n", TaskId: "x"}), "asked", server.requests[0])
	obstacles := explanation.GetCandidates()[1].GetObstacles()
	expect(t, callboard.ObstacleName(obstacles[0]) == "SKILL" && callboard.ObstacleName(obstacles[1]) == "4711", "by their names", obstacles)
}

func TestAFallbackIsAnEventWithAName(t *testing.T) {
	event := &callboard.Event{Type: callboardv1.EventType_EVENT_TYPE_FELL_BACK}
	expect(t, callboard.EventName(event) == "FELL_BACK", "named", callboard.EventName(event))
}
