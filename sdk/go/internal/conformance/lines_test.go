package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		// The address of a developer's server, say, must not reach the tests.
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CALLBOARD_") && name != "CALLBOARD_BIN" {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// long is how long anything may take, on a slow machine that does much else.
const long = 60 * time.Second

// runner is the other side of a driver, which runs in this process.
type runner struct {
	t     *testing.T
	to    *io.PipeWriter
	lines chan string
	ended chan error
	next  int64
	// seen are observations that came before an answer.
	seen []map[string]any
}

func newRunner(t *testing.T) *runner {
	t.Helper()
	instructions, to := io.Pipe()
	from, answers := io.Pipe()
	r := &runner{t: t, to: to, lines: make(chan string, 100), ended: make(chan error, 1)}
	go func() { r.ended <- serve(instructions, answers) }()
	go func() {
		for lines := bufio.NewReader(from); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			r.lines <- line
		}
	}()
	t.Cleanup(func() { _ = to.Close() })
	if ready := r.hear(); ready["ready"].(map[string]any)["protocol"] != json.Number("1") {
		t.Fatal("not ready:", ready)
	}
	return r
}

func (r *runner) say(line string) {
	r.t.Helper()
	if _, err := io.WriteString(r.to, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) hear() map[string]any {
	r.t.Helper()
	select {
	case line := <-r.lines:
		var heard map[string]any
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		if err := decoder.Decode(&heard); err != nil {
			r.t.Fatal(err, line)
		}
		return heard
	case <-time.After(long):
		r.t.Fatal("waited in vain for a line")
		return nil
	}
}

// does has an instruction carried out, alone, and gives its answer, which is an object: ok, error, fault.
func (r *runner) does(instruction object) map[string]any {
	r.t.Helper()
	r.next++
	instruction["id"] = r.next
	line, err := json.Marshal(instruction)
	if err != nil {
		r.t.Fatal(err)
	}
	r.say(string(line))
	for {
		heard := r.hear()
		if heard["saw"] == nil {
			return heard
		}
		r.seen = append(r.seen, heard)
	}
}

// saw gives the next observation.
func (r *runner) saw() map[string]any {
	r.t.Helper()
	if len(r.seen) == 0 {
		return r.hear()
	}
	first := r.seen[0]
	r.seen = r.seen[1:]
	return first
}

// ok is [runner.does] for what is to succeed.
func (r *runner) ok(instruction object) map[string]any {
	r.t.Helper()
	heard := r.does(instruction)
	given, is := heard["ok"].(map[string]any)
	if !is {
		r.t.Fatalf("%v: %v", instruction, heard)
	}
	return given
}

// fault is [runner.does] for what the driver can't do.
func (r *runner) fault(instruction object) string {
	r.t.Helper()
	heard := r.does(instruction)
	text, is := heard["fault"].(string)
	if !is {
		r.t.Fatalf("no fault, %v: %v", instruction, heard)
	}
	return text
}

func (r *runner) end() {
	r.t.Helper()
	if err := r.to.Close(); err != nil {
		r.t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Error(err)
		}
	case <-time.After(long):
		r.t.Error("the driver did not end")
	}
}

func TestWhatIsNoInstructionIsAFaultAndTheDriverGoesOn(t *testing.T) {
	r := newRunner(t)
	for _, line := range []string{"", "{", "[]", "7", `{"do":"gate.open"}`, `{"id":"x"}`} {
		r.say(line)
		if heard := r.hear(); heard["fault"] == nil || heard["id"] != nil {
			t.Errorf("%q: %v", line, heard)
		}
	}
	r.say(`{"id":7}`)
	if heard := r.hear(); heard["fault"] == nil || heard["id"] != json.Number("7") {
		t.Error("no name:", heard)
	}
	r.ok(object{"do": "gate.open", "gate": "g"})
	r.end()
}

func TestWhatADriverDoesNotKnowIsAFault(t *testing.T) {
	address := object{"name": "a", "address": "http://127.0.0.1:1", "namespace": "n"}
	program := func(ops ...object) object {
		handlers := []object{{"type": "t", "program": ops}}
		return object{"do": "agent.start", "agent": "a", "options": address, "handlers": handlers}
	}
	r := newRunner(t)
	r.ok(object{"do": "client.open", "client": "c", "address": "http://127.0.0.1:1", "namespace": "n"})
	for _, one := range []struct {
		instruction object
		named       string
	}{
		{object{"do": "client.fly", "client": "c"}, "no such instruction"},
		{object{"do": "gate.open", "gate": "g", "wide": true}, "`wide`"},
		{object{"do": "gate.open"}, "`gate` is missing"},
		{object{"do": "gate.open", "gate": 7}, "`gate`"},
		{object{"do": "client.get", "client": "d", "task_id": "x"}, "no client `d`"},
		{object{"do": "client.get", "task_id": "x"}, "`client` is missing"},
		{object{"do": "client.get", "client": "c", "task_id": "x", "timeout_ms": 1}, "`timeout_ms`"},
		{object{"do": "client.create", "client": "c", "task": object{"type": "t", "colour": "red"}}, "`colour`"},
		{object{"do": "client.create", "client": "c", "task": object{"type": "t", "priority": "ODD"}}, "Priority"},
		{object{"do": "client.create", "client": "c", "task": object{"type": "t", "input": object{"$bytes": "?"}}}, "base64"},
		{object{"do": "client.create_workflow", "client": "c", "workflow": object{"name": "w", "tasks": []object{{"name": "a"}}}}, "`task` is missing"},
		{object{"do": "client.list_workflows", "client": "c", "states": []string{"WAITING"}}, "WorkflowState"},
		{object{"do": "client.heartbeat", "client": "c", "task_id": "x", "attempt": 1}, "not claimed"},
		{object{"do": "agent.status", "agent": "b"}, "no agent `b`"},
		{object{"do": "watch.wait", "watch": "w", "count": 1, "timeout_ms": 1}, "no watch `w`"},
		{object{"do": "watch.start", "watch": "w", "client": "c", "mailbox": "m", "task_id": "x"}, "mailbox"},
		{object{"do": "agent.start", "agent": "a", "options": object{"name": "a"}, "handlers": []object{}}, "`address` is missing"},
		{program(object{"op": "dance"}), "`dance`"},
		{program(object{"op": "reply"}), "`reply`"},
		{program(object{"op": "sleep", "ms": 1, "deep": true}), "`deep`"},
		{program(object{"op": "see", "what": []string{"body"}}), "`body`"},
		{program(object{"op": "call", "as": "x", "call": object{"do": "gate.open", "gate": "g"}}), "`gate.open`"},
		{program(object{"op": "call", "as": "x", "call": object{"do": "client.get", "client": "c", "task_id": "x"}}), "`client`"},
	} {
		if fault := r.fault(one.instruction); !strings.Contains(fault, one.named) {
			t.Errorf("%v: %s", one.instruction, fault)
		}
	}
	r.end()
}

func TestAnInstructionThatWaitsKeepsNoOtherFromBeingCarriedOut(t *testing.T) {
	r := newRunner(t)
	r.ok(object{"do": "client.open", "client": "c", "address": "http://127.0.0.1:1", "namespace": "n", "timeout_ms": 60_000})
	r.say(`{"id":100,"do":"client.get","client":"c","task_id":"x"}`)
	r.ok(object{"do": "gate.open", "gate": "g"})
	r.say(`{"id":101,"do":"client.close","client":"c"}`)
	// The call fails with its client, sooner or later than that is closed.
	answers := map[json.Number]map[string]any{}
	for range 2 {
		heard := r.hear()
		answers[heard["id"].(json.Number)] = heard
	}
	if answers["100"]["error"] == nil || answers["101"]["ok"] == nil {
		t.Error(answers)
	}
	r.end()
}

func TestTheLongestLineIsRead(t *testing.T) {
	in := newReader(strings.NewReader(strings.Repeat("x", longestLine) + "\nnext\n"))
	for _, size := range []int{longestLine, 4} {
		line, err := in.next()
		if err != nil || len(line) != size {
			t.Error(len(line), err)
		}
	}
	if _, err := newReader(strings.NewReader(strings.Repeat("x", longestLine+2))).next(); err == nil {
		t.Error("no line is longer")
	}
}

func TestAnAgentThatNeverAttachesCanBeAskedAndStopped(t *testing.T) {
	r := newRunner(t)
	handlers := []object{{"type": "t", "program": []object{{"op": "return_input"}}}}
	options := object{"name": "a", "address": "http://127.0.0.1:1", "namespace": "n"}
	r.ok(object{"do": "agent.start", "agent": "a", "options": options, "handlers": handlers})
	if given := r.ok(object{"do": "agent.attached", "agent": "a", "timeout_ms": 10}); given["attached"] != false {
		t.Error(given)
	}
	if given := r.ok(object{"do": "agent.wait", "agent": "a", "timeout_ms": 10}); given["ended"] != false {
		t.Error(given)
	}
	r.ok(object{"do": "agent.stop", "agent": "a"})
	if given := r.ok(object{"do": "agent.status", "agent": "a"}); given["attached"] != false {
		t.Error(given)
	}
	if given := r.ok(object{"do": "agent.wait", "agent": "a", "timeout_ms": 10_000}); given["ended"] != true {
		t.Error(given)
	}
	// What the SDK refuses is its error, and no fault.
	options["slots"] = 2000
	heard := r.does(object{"do": "agent.start", "agent": "b", "options": options, "handlers": handlers})
	raised, is := heard["error"].(map[string]any)
	if !is || raised["kind"] != "InvalidArgument" || raised["code"] != "INVALID_ARGUMENT" || raised["reason"] != "INVALID_FIELD" {
		t.Error(heard)
	}
	r.end()
}

func TestAnAgentWithSignalsThatCanNotRunTellsWhy(t *testing.T) {
	r := newRunner(t)
	options := object{"name": "a", "address": "http://127.0.0.1:1", "namespace": "n"}
	r.ok(object{"do": "agent.start", "agent": "a", "options": options, "handlers": []object{}, "signals": true})
	heard := r.does(object{"do": "agent.wait", "agent": "a", "timeout_ms": int(long.Milliseconds())})
	if raised, is := heard["error"].(map[string]any); !is || raised["kind"] != "Local" {
		t.Error(heard)
	}
	r.end()
}

func TestEachGateOpensOnce(t *testing.T) {
	var g gates
	g.at("a").open()
	g.at("a").open()
	<-g.at("a").opened
	select {
	case <-g.at("b").opened:
		t.Error("another gate")
	default:
	}
	if _, err := new(waitAtGate).carryOut(stopped(t), &performance{driver: newDriver(t.Context(), newWriter(io.Discard))}); err != context.Canceled {
		t.Error("told to stop:", err)
	}
}

func stopped(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
