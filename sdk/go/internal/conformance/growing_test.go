package main

import (
	"fmt"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAForecastIsShownAndWhatIsUnsetIsNull(t *testing.T) {
	forecast := &callboard.WorkflowForecast{
		ExpectedEnd: timestamppb.New(time.UnixMilli(3000)), UnknownTypes: []string{"u"}, CriticalPath: []*callboardv1.ForecastTask{
			{
				TaskId: "x", Name: "a", Type: "t", State: callboard.StateRunning, ExpectedDuration: durationpb.New(1500 * time.Millisecond),
				ExpectedStart: timestamppb.New(time.UnixMilli(1500)), ExpectedEnd: timestamppb.New(time.UnixMilli(3000)),
			},
			{TaskId: "y", Type: "u", State: callboard.StateReady},
		},
	}
	want := `{"critical_path":[` +
		`{"expected_duration_ms":1500,"expected_end_ms":3000,"expected_start_ms":1500,"name":"a","state":"RUNNING","task_id":"x","type":"t"},` +
		`{"expected_duration_ms":null,"expected_end_ms":null,"expected_start_ms":null,"name":"","state":"READY","task_id":"y","type":"u"}],` +
		`"expected_end_ms":3000,"unknown_types":["u"]}`
	if got := written(t, showForecast(forecast)); got != want {
		t.Error(got)
	}
	if got := written(t, showForecast(nil)); got != `{"critical_path":[],"expected_end_ms":null,"unknown_types":[]}` {
		t.Error(got)
	}
}

func TestProgramsWaitForSomeOfTheirChildren(t *testing.T) {
	server := testserver.Start(t)
	r := newRunner(t)
	at := func(more object) object {
		more["address"], more["namespace"] = server.Address, "default"
		return more
	}
	child := func(as, taskType string) object {
		return object{"op": "child", "as": as, "keep": true, "task": object{"type": taskType, "input": as}}
	}
	wait := func(as string, more object) object {
		more["op"], more["as"] = "wait_children", as
		return more
	}
	r.ok(at(object{"do": "client.open", "client": "c"}))
	r.ok(object{
		"do": "agent.start", "agent": "a", "options": at(object{"name": "ann", "resources": object{"gpu": 1}}),
		"handlers": []object{
			{"type": "echo", "program": []object{{"op": "return_input"}}},
			{"type": "break", "program": []object{{"op": "fail", "message": "broke", "retryable": false}}},
			{"type": "parent", "program": []object{
				child("one", "echo"), child("two", "echo"), child("bad", "break"), child("never", "nobody"),
				wait("all", object{"children": []string{"two", "one"}}),
				wait("some", object{"children": []string{"bad", "two", "never", "one"}, "count": 2, "rest": "KEEP"}),
				wait("none", object{"children": []string{"bad"}, "catch": true}),
				wait("twice", object{"children": []string{"one", "one"}, "catch": true}),
				wait("many", object{"children": []string{"one"}, "count": 0, "catch": true}),
				wait("rest", object{"children": []string{"never", "one"}, "count": 1, "rest": "CANCEL"}),
				wait("cancelled", object{"children": []string{"never"}, "catch": true}),
				{"op": "see", "what": []string{"workflow"}},
				{"op": "return_seen"},
			}},
		},
	})
	seen := r.ok(object{"do": "client.run", "client": "c", "task": object{"type": "parent"}, "timeout_ms": long.Milliseconds()})["value"].(map[string]any)
	kind := func(as string) any { return seen[as].(map[string]any)["error"].(map[string]any)["kind"] }
	got := fmt.Sprint(seen["all"], seen["some"], kind("none"), kind("twice"), kind("many"), seen["rest"], kind("cancelled"), seen["workflow"])
	if got != fmt.Sprint([]string{"two", "one"}, []string{"two", "one"}, "TaskFailed", "InvalidArgument", "InvalidArgument",
		[]string{"one"}, "TaskFailed", nil) {
		t.Error(got, seen)
	}
	wrong := []object{wait("x", object{"children": []string{}, "rest": "DROP"})}
	refused := object{"do": "agent.start", "agent": "b", "options": at(object{"name": "bob"}), "handlers": []object{{"type": "t", "program": wrong}}}
	if fault := r.fault(refused); fault == "" {
		t.Error("there is no such rest")
	}
	r.end()
}
