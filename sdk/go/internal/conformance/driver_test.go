package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"callboard.dev/sdk/go/internal/testserver"
)

func TestProgramsAreCarriedOutByAgentsOfARealServer(t *testing.T) {
	server := testserver.Start(t)
	r := newRunner(t)
	at := func(more object) object {
		more["address"], more["namespace"] = server.Address, "default"
		return more
	}
	r.ok(at(object{"do": "client.open", "client": "c"}))
	r.ok(object{
		"do": "agent.start", "agent": "a", "options": at(object{"name": "ann", "slots": 2}),
		"handlers": []object{
			{"type": "echo", "program": []object{{"op": "return_input"}}},
			{"type": "again", "program": []object{
				{"op": "checkpoint", "value": []int{1}, "attempt": 1},
				{"op": "raise", "message": "once", "attempt": 1},
				{"op": "see", "what": []string{"attempt", "checkpoint", "input"}},
				{"op": "call", "as": "nothing", "call": object{"do": "client.get", "task_id": "x"}},
				{"op": "return_seen"},
			}},
			{"type": "wait", "program": []object{{"op": "gate", "gate": "g"}, {"op": "return", "value": "through"}}},
		},
	})
	if given := r.ok(object{"do": "agent.attached", "agent": "a", "timeout_ms": long.Milliseconds()}); given["attached"] != true {
		t.Fatal(given)
	}
	run := func(taskType string, input any) any {
		t.Helper()
		task := object{"type": taskType, "input": input, "initial_backoff_ms": 1}
		return r.ok(object{"do": "client.run", "client": "c", "task": task, "timeout_ms": long.Milliseconds()})["value"]
	}
	for _, value := range []any{nil, "x", json.Number("12345678901234567890"), object{"$bytes": "aGk="}} {
		if got := run("echo", value); fmt.Sprint(got) != fmt.Sprint(value) {
			t.Errorf("%v came back as %v", value, got)
		}
	}
	seen := run("again", object{"$bytes": "aGk="}).(map[string]any)
	kind := seen["nothing"].(map[string]any)["error"].(map[string]any)["kind"]
	if fmt.Sprintf("%v %v %v %v", seen["attempt"], seen["checkpoint"], seen["input"], kind) != "2 [1] map[$bytes:aGk=] InvalidArgument" {
		t.Error(seen)
	}

	created := r.ok(object{"do": "client.create", "client": "c", "task": object{"type": "wait"}})
	if saw := r.saw(); saw["saw"] != "gate" || saw["gate"] != "g" || saw["task_id"] != created["task_id"] || saw["attempt"] != json.Number("1") {
		t.Error(saw)
	}
	r.ok(object{"do": "gate.open", "gate": "g"})
	ended := r.ok(object{"do": "client.wait", "client": "c", "task_id": created["task_id"], "timeout_ms": long.Milliseconds()})
	if ended["state"] != "COMPLETED" || len(ended) != 17 {
		t.Error(ended)
	}
	r.ok(object{"do": "watch.start", "watch": "w", "client": "c", "task_id": created["task_id"], "until_ended": true})
	watched := r.ok(object{"do": "watch.wait", "watch": "w", "count": 1000, "timeout_ms": long.Milliseconds()})
	if watched["ended"] != true || watched["cursor"] == "" || len(watched["events"].([]any)) != 4 {
		t.Error(watched)
	}
	r.end()
}
