package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

func TestValuesComeBackAsTheyWent(t *testing.T) {
	for _, text := range []string{
		`null`, `""`, `"Grüße"`, `true`, `12345678901234567890`, `1.50`, `[]`, `{}`, `[1,"a",null,{"b":2.0}]`, `{"a":{"$bytes":"aGk="}}`,
		`{"$bytes":"aGk="}`, `{"$bytes":""}`,
	} {
		var read value
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			t.Error(text, err)
			continue
		}
		payload, err := callboard.Encode(read.orNull())
		if err != nil {
			t.Error(text, err)
			continue
		}
		shown, err := showPayload(payload)
		if err != nil {
			t.Error(text, err)
		}
		if got := written(t, shown); got != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
}

func written(t *testing.T, of any) string {
	t.Helper()
	var out bytes.Buffer
	if err := newWriter(&out).say(of); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func TestPayloadsAreGivenAsTheyAre(t *testing.T) {
	for text, content := range map[string]string{
		`{"$payload":{"content_type":"text/csv","text":"a,b"}}`:   "a,b",
		`{"$payload":{"base64":"aGk=","content_type":"image/x"}}`: "hi",
	} {
		var read value
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			t.Fatal(text, err)
		}
		payload := read.is.(*callboard.Payload)
		if payload.GetText()+string(payload.GetBinary()) != content {
			t.Error(text, payload)
		}
		if got := written(t, show(payload)); got != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
	for _, wrong := range []string{
		`{"$bytes":7}`, `{"$bytes":"?"}`, `{"$payload":7}`, `{"$payload":{"content_type":"a"}}`,
		`{"$payload":{"content_type":"a","text":"b","base64":""}}`, `{"$payload":{"content_type":"a","text":"b","more":1}}`,
	} {
		if err := json.Unmarshal([]byte(wrong), new(value)); err == nil {
			t.Error("taken:", wrong)
		}
	}
}

func TestWhatIsNotGivenIsNotPassed(t *testing.T) {
	var read spec
	if err := json.Unmarshal([]byte(`{"type":"t"}`), &read); err != nil {
		t.Fatal(err)
	}
	if task := read.task(); task.Input != nil || !task.Deadline.IsZero() || task.Retry.MaxAttempts != 0 {
		t.Error(task)
	}
	if err := json.Unmarshal([]byte(`{"type":"t","input":null,"start_at_ms":1500,"key_conflict":"REPLACE"}`), &read); err != nil {
		t.Fatal(err)
	}
	task := read.task()
	if string(task.Input.(json.RawMessage)) != "null" || !task.StartAt.Equal(time.UnixMilli(1500)) ||
		task.KeyConflict != callboardv1.KeyConflictPolicy_KEY_CONFLICT_POLICY_REPLACE {
		t.Error(task)
	}
}

func TestADependencyIsPassedAsItIsSaid(t *testing.T) {
	var read spec
	line := `{"type":"t","depends_on":[{"task_id":"a"},{"task_id":"b","on_failure":"FAIL","condition":"ENDED","name":"draft"},` +
		`{"task_id":"c","result":{"pointer":"/a","comparison":"NOT_EQUAL","value":null}},{"task_id":"d","result":{"comparison":"EXISTS"}}]}`
	if err := json.Unmarshal([]byte(line), &read); err != nil {
		t.Fatal(err)
	}
	want := []callboard.Dependency{
		{TaskID: "a"},
		{TaskID: "b", OnFailure: callboard.OnFailureFail, Condition: callboard.DependencyEnded, Name: "draft"},
		{TaskID: "c", Result: callboard.ResultIs("/a", callboard.ResultNotEqual, json.RawMessage("null"))},
		{TaskID: "d", Result: callboard.ResultIs("", callboard.ResultExists, nil)},
	}
	if got := read.task().DependsOn; !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	shown, err := showDependency(&callboard.DependencyResult{Name: "draft", State: callboard.StateSkipped})
	if err != nil || shown["name"] != "draft" || shown["value"] != nil {
		t.Error(shown, err)
	}
}

func TestAWorkflowIsPassedAsItIsSaid(t *testing.T) {
	var read plan
	line := `{"name":"w","description":"d","tags":["x"],"metadata":{"m":"1"},"headers":{"h":"2"},"tasks":[` +
		`{"name":"a","task":{"type":"t","input":null}},` +
		`{"name":"b","task":{"type":"t"},"allow_failure":true,"weight":3,"depends_on":["a",` +
		`{"task":"c","condition":"ENDED","on_failure":"FAIL"},{"task":"d","result":{"pointer":"/a","comparison":"EQUAL","value":null}}]}]}`
	if err := json.Unmarshal([]byte(line), &read); err != nil {
		t.Fatal(err)
	}
	want := callboard.NewWorkflow{
		Name: "w", Description: "d", Tags: []string{"x"}, Metadata: map[string]string{"m": "1"}, Headers: map[string]string{"h": "2"},
		Tasks: []callboard.WorkflowTask{
			{Name: "a", Task: callboard.NewTask{Type: "t", Input: json.RawMessage("null")}},
			{Name: "b", Task: callboard.NewTask{Type: "t"}, AllowFailure: true, Weight: 3, DependsOn: []callboard.WorkflowDependency{
				{Task: "a"}, {Task: "c", Condition: callboard.DependencyEnded, OnFailure: callboard.OnFailureFail},
				{Task: "d", Result: callboard.ResultIs("/a", callboard.ResultEqual, json.RawMessage("null"))},
			}},
		},
	}
	if got := read.workflow(); !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	for _, wrong := range []string{
		`{"tasks":[]}`, `{"name":"w","tasks":[{"name":"a"}]}`, `{"name":"w","tasks":[],"colour":"red"}`,
		`{"name":"w","tasks":[{"name":"a","task":{"type":"t"},"depends_on":[{"name":"b"}]}]}`,
		`{"name":"w","tasks":[{"name":"a","task":{"type":"t"},"depends_on":[7]}]}`,
	} {
		if err := json.Unmarshal([]byte(wrong), new(plan)); err == nil {
			t.Error("taken:", wrong)
		}
	}
}

func TestATaskOfAWorkflowIsShownByItsLink(t *testing.T) {
	task := &callboard.Task{
		Id: "x", State: callboard.StateWaiting, Workflow: &callboard.WorkflowLink{WorkflowId: "w", Name: "b", AllowFailure: true, Weight: 3, TasksBehind: 2},
		Spec: &callboardv1.TaskSpec{Type: "t", Dependencies: []*callboardv1.Dependency{{
			TaskId: "y", Name: "a", Condition: callboard.DependencyEnded, OnFailure: callboard.OnFailureSkip,
		}}},
	}
	want := `{"allow_failure":true,"depends_on":[{"condition":"ENDED","name":"a","on_failure":"SKIP","task_id":"y"}],"name":"b",` +
		`"state":"WAITING","task_id":"x","tasks_behind":2,"type":"t","weight":3}`
	if got := written(t, showWorkflowTask(task)); got != want {
		t.Error(got)
	}
	if got := written(t, showWorkflow(&callboard.Workflow{Id: "w", State: callboard.WorkflowRunning, Tasks: 2, Progress: 0.5})); !strings.Contains(got,
		`"metadata":{},"name":"","open_tasks":0,"progress":0.5,"skipped_tasks":0,"state":"RUNNING","tags":[],"tasks":2,"workflow_id":"w"`) {
		t.Error(got)
	}
}

func TestADeadlineCanBeTakenAway(t *testing.T) {
	for text, want := range map[string]string{
		`{"task_id":"x"}`:                       "<nil>",
		`{"task_id":"x","deadline_at_ms":null}`: fmt.Sprint(&time.Time{}),
		`{"task_id":"x","deadline_at_ms":1500}`: fmt.Sprint(new(time.UnixMilli(1500))),
	} {
		var read updateTask
		if err := readObject([]byte(text), &read); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(read.Deadline.timeOrNone()); got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
}

func TestErrorsAreWrittenAsTheSDKShowsThem(t *testing.T) {
	soon := 1500 * time.Millisecond
	refused := &callboard.Error{
		Code: codes.ResourceExhausted, Reason: "LIMIT_REACHED", Message: "full", RetryAfter: &soon,
		Violations: []callboard.FieldViolation{{Field: "task.type", Description: "odd"}},
	}
	task := &callboard.Task{Id: "x", State: callboard.StateFailed, Spec: &callboardv1.TaskSpec{Type: "t", Priority: callboard.PriorityHigh}}
	for _, one := range []struct {
		err  error
		want []string
	}{
		{fmt.Errorf("so: %w", refused), []string{
			`"kind":"ResourceExhausted"`, `"code":"RESOURCE_EXHAUSTED"`, `"reason":"LIMIT_REACHED"`, `"message":"full"`, `"retry_after_ms":1500`,
			`"violations":[{"field":"task.type","description":"odd"}]`,
		}},
		{&callboard.Error{Code: codes.Unauthenticated}, []string{`"kind":"Other"`, `"code":"UNAUTHENTICATED"`, `"retry_after_ms":null`}},
		{&callboard.Error{Code: codes.Canceled}, []string{`"kind":"Other"`, `"code":"CANCELLED"`}},
		{&callboard.DecodeError{Kind: "JSON", Type: "int", Err: errors.New("odd")}, []string{`"kind":"Decode"`, `"violations":[]`}},
		{&callboard.TaskFailed{Task: task}, []string{`"kind":"TaskFailed"`, `"task_id":"x"`, `"state":"FAILED"`, `"priority":"HIGH"`, `"failure":null`}},
		{errors.New("odd"), []string{`"kind":"Local"`, `"code":""`, `"message":"odd"`}},
	} {
		shown := written(t, answer(1, "client.get", nil, one.err))
		for _, part := range one.want {
			if !strings.Contains(shown, part) {
				t.Errorf("%s: no %s", shown, part)
			}
		}
	}
	if shown := written(t, answer(1, "client.get", nil, fault("odd"))); shown != `{"fault":"client.get: odd","id":1}` {
		t.Error(shown)
	}
}

func TestNamesHaveNoPrefix(t *testing.T) {
	for want, name := range map[string]string{
		"DEPENDENCY_MET": nameOf(callboardv1.EventType_EVENT_TYPE_DEPENDENCY_MET),
		"ATTACHED":       nameOf(callboardv1.AgentState_AGENT_STATE_ATTACHED),
		"4711":           nameOf(callboard.TaskState(4711)),
	} {
		if name != want {
			t.Errorf("%s, not %s", name, want)
		}
	}
	var state named[callboard.TaskState]
	if err := json.Unmarshal([]byte(`"RUNNING"`), &state); err != nil || state.is != callboard.StateRunning {
		t.Error(state, err)
	}
	for _, wrong := range []string{`"running"`, `"TASK_STATE_RUNNING"`, `7`} {
		if err := json.Unmarshal([]byte(wrong), &state); err == nil {
			t.Error("taken:", wrong)
		}
	}
}
