package main

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestPlacementIsPassedAsItIsSaid(t *testing.T) {
	var read spec
	line := `{"type":"t","anti_affinity":{"zone":"a"},"resources":{"gpu":0.5},"near":["n"],"apart":["f"],"fallbacks":[` +
		`{"after_ms":500,"skills":["s"],"tools":["t"],"role":"r","assignee":"a"},{"after_ms":1500}]}`
	if err := json.Unmarshal([]byte(line), &read); err != nil {
		t.Fatal(err)
	}
	want := callboard.NewTask{
		Type: "t", AntiAffinity: map[string]string{"zone": "a"}, Resources: map[string]float64{"gpu": 0.5}, Near: []string{"n"}, Apart: []string{"f"},
		Fallbacks: []callboard.Fallback{
			{After: 500 * time.Millisecond, Skills: []string{"s"}, Tools: []string{"t"}, Role: "r", Assignee: "a"}, {After: 1500 * time.Millisecond},
		},
	}
	if got := read.task(); !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	if err := json.Unmarshal([]byte(`{"type":"t","fallbacks":[{"role":"r"}]}`), new(spec)); err == nil {
		t.Error("a fallback says when")
	}
	var options agentOptions
	if err := json.Unmarshal([]byte(`{"name":"a","address":"x","namespace":"n","resources":{"gpu":2,"cpu":1.5}}`), &options); err != nil {
		t.Fatal(err)
	}
	if got := options.given().Resources; !reflect.DeepEqual(got, map[string]float64{"gpu": 2, "cpu": 1.5}) {
		t.Error(got)
	}
}

func TestTurnsLimitsAndAddedDependenciesArePassedAsTheyAreSaid(t *testing.T) {
	var read spec
	if err := json.Unmarshal([]byte(`{"type":"t","fairness_key":"ann","limit_keys":["a","b"]}`), &read); err != nil {
		t.Fatal(err)
	}
	if got := read.task(); !reflect.DeepEqual(got, callboard.NewTask{Type: "t", FairnessKey: "ann", LimitKeys: []string{"a", "b"}}) {
		t.Error(got)
	}
	var limits setLimits
	line := `{"limits":[{"key":"a","max_concurrent":0},{"key":"b","rate":3,"rate_period_ms":1500}]}`
	if err := readObject([]byte(line), &limits); err != nil {
		t.Fatal(err)
	}
	want := []callboard.Limit{{Key: "a", MaxConcurrent: new(0)}, {Key: "b", Rate: new(3), RatePeriod: 1500 * time.Millisecond}}
	if got := limits.given(); !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	var added addDependencies
	if err := readObject([]byte(`{"task_id":"x","dependencies":[{"task_id":"a","name":"n"}]}`), &added); err != nil {
		t.Fatal(err)
	}
	if got := dependencies(added.Dependencies); !reflect.DeepEqual(got, []callboard.Dependency{{TaskID: "a", Name: "n"}}) {
		t.Error(got)
	}
	for _, wrong := range []string{`{"limits":[{"max_concurrent":1}]}`, `{"limits":[{"key":"a","colour":1}]}`, `{}`} {
		if err := readObject([]byte(wrong), new(setLimits)); err == nil {
			t.Error("taken:", wrong)
		}
	}
}

func TestAnExplanationIsShown(t *testing.T) {
	explanation := &callboard.AssignmentExplanation{
		TaskId: "x", State: callboard.StateWaiting, WaitingFor: []callboardv1.WaitReason{callboardv1.WaitReason_WAIT_REASON_DEPENDENCIES},
		Agent: "old", Ahead: 1, Agents: 2, Fitting: 1, Candidates: []*callboard.AssignmentCandidate{{
			Agent: "ann", Fits: true, Score: 0.5, Success: 0.25, Idle: 1, Affinity: 0.75, Role: 1,
			Obstacles: []*callboard.AssignmentObstacle{
				{Type: callboardv1.AssignmentObstacleType_ASSIGNMENT_OBSTACLE_TYPE_RESOURCE_TAKEN, Detail: "gpu"}, {Type: 4711},
			},
		}},
		Limits: []*callboard.LimitUse{
			{Key: "k", Limit: &callboardv1.Limit{Key: "k", MaxConcurrent: new(int32(2))}, InUse: 2, Reached: true},
			{
				Key: "a/b", InUse: 1, NextAt: timestamppb.New(time.UnixMilli(1500)), Limit: &callboardv1.Limit{
					Key: "a/*", Rate: new(int32(3)), RatePeriod: durationpb.New(1500 * time.Millisecond),
				},
			},
		},
		Past: []*callboard.AssignmentChoice{
			{Attempt: 1, Agent: "bob", Claimed: true, At: timestamppb.New(time.UnixMilli(1500))},
			{Attempt: 2, Agent: "ann", Score: 0.5, Compared: 2, RunnersUp: []*callboard.AssignmentRunnerUp{{Agent: "bob", Score: 0.25}}},
		},
	}
	want := `{"agent":"old","agents":2,"ahead":1,"candidates":[{"affinity":0.75,"agent":"ann","fits":true,"idle":1,` +
		`"obstacles":[{"detail":"gpu","type":"RESOURCE_TAKEN"},{"detail":"","type":"4711"}],"role":1,"score":0.5,"success":0.25}],` +
		`"fitting":1,"limits":[` +
		`{"in_use":2,"key":"k","limit":{"key":"k","max_concurrent":2,"rate":null,"rate_period_ms":null},"next_at_ms":null,"reached":true},` +
		`{"in_use":1,"key":"a/b","limit":{"key":"a/*","max_concurrent":null,"rate":3,"rate_period_ms":1500},"next_at_ms":1500,"reached":false}],` +
		`"past":[{"agent":"bob","attempt":1,"claimed":true,"compared":0,"runners_up":[],"score":0},` +
		`{"agent":"ann","attempt":2,"claimed":false,"compared":2,"runners_up":[{"agent":"bob","score":0.25}],"score":0.5}],` +
		`"state":"WAITING","task_id":"x","waiting_for":["DEPENDENCIES"]}`
	if got := written(t, showExplanation(explanation)); got != want {
		t.Error(got)
	}
}
