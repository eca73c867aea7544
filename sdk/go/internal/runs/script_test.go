package runs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// script drives a stream: what it does is written down in words, and compared.
type script struct {
	t      *testing.T
	stream *Stream
	now    Moment
	runs   map[string]*Run
}

const patience = 30 * time.Second

func newScript(t *testing.T) *script {
	config := Config{Namespace: "n", Refusal: planned, Fraction: func() float64 { return 1 }}
	return &script{t: t, stream: New(config), runs: map[string]*Run{}}
}

// opened is a script whose stream is open, with these runs on it.
func opened(t *testing.T, ids ...string) *script {
	s := newScript(t)
	s.ask(ids...)
	s.does("open")
	s.stream.Opened(s.now)
	s.sends("n " + strings.Join(ids, " "))
	return s
}

// refusals are those that planned gives, by what the test has for a google.rpc.Status.
var refusals = map[string]Fault{
	"busy":   {Code: codes.Unavailable},
	"later":  {Code: codes.ResourceExhausted, RetryAfter: new(400 * time.Millisecond)},
	"wrong":  {Code: codes.InvalidArgument, Reason: "INVALID_FIELD"},
	"cut":    {Code: codes.Internal},
	"old":    {Code: codes.Unimplemented},
	"silent": {Code: codes.Unavailable, Message: "nothing was heard for 30s"},
}

func planned(status []byte) *Fault {
	fault := refusals[string(status)]
	return &fault
}

func (s *script) ask(ids ...string) {
	for _, id := range ids {
		s.askAs(id, id)
	}
}

// askAs asks under an id for what the test calls by another name.
func (s *script) askAs(name, id string) {
	s.t.Helper()
	run, err := NewRun(id, &callboardv1.TaskSpec{Type: "t"}, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.runs[name] = run
	s.stream.Ask(s.now, run)
}

// ended takes an outcome for each: a task that has its id.
func (s *script) ended(ids ...string) {
	frame := &callboardv1.RunTasksResponse{}
	for _, id := range ids {
		what := &callboardv1.TaskOutcome_Task{Task: &callboardv1.Task{Id: "task " + id}}
		frame.Outcomes = append(frame.Outcomes, &callboardv1.TaskOutcome{RequestId: id, Outcome: what})
	}
	s.stream.Received(s.now, frame)
}

func (s *script) refused(id, refusal string) {
	what := &callboardv1.TaskOutcome_Status{Status: []byte(refusal)}
	s.stream.Received(s.now, &callboardv1.RunTasksResponse{Outcomes: []*callboardv1.TaskOutcome{{RequestId: id, Outcome: what}}})
}

func (s *script) breaks(refusal string) {
	s.stream.Ended(s.now, planned([]byte(refusal)))
}

// passes lets time pass, and the stream tick when it asked for that.
func (s *script) passes(duration time.Duration) {
	until := s.now + duration
	for s.stream.TickAt() <= until {
		s.now = max(s.now, s.stream.TickAt())
		s.stream.Tick(s.now)
	}
	s.now = until
}

func (s *script) does(want ...string) {
	s.t.Helper()
	var got []string
	for _, action := range s.stream.TakeActions() {
		got = append(got, [...]string{"open", "finish", "cut", "leave"}[action])
	}
	s.same("does", strings.Join(got, ","), strings.Join(want, ","))
}

// sends compares the frames that are to be sent now: their namespace, runs and, in brackets, forgotten ids.
func (s *script) sends(want ...string) {
	s.t.Helper()
	var got []string
	for s.stream.HasFrame() {
		frame := s.frame()
		if frame == nil {
			break
		}
		var words []string
		if frame.GetNamespace() != "" {
			words = append(words, frame.GetNamespace())
		}
		for _, run := range frame.GetRuns() {
			words = append(words, run.GetRequestId())
		}
		if len(frame.GetForgottenIds()) > 0 {
			words = append(words, fmt.Sprint(frame.GetForgottenIds()))
		}
		got = append(got, strings.Join(words, " "))
	}
	s.same("sends", strings.Join(got, " | "), strings.Join(want, " | "))
}

// frame gives the next one; nil when there is none.
func (s *script) frame() *callboardv1.RunTasksRequest {
	s.t.Helper()
	encoded := s.stream.NextFrame()
	if encoded == nil {
		return nil
	}
	frame := &callboardv1.RunTasksRequest{}
	if err := proto.Unmarshal(encoded, frame); err != nil {
		s.t.Fatal(err)
	}
	return frame
}

// settles compares the runs that have their outcome since, in any order.
func (s *script) settles(want ...string) {
	s.t.Helper()
	settled := s.stream.TakeSettled()
	for _, one := range settled {
		one.Deliver()
	}
	for _, name := range want {
		id, what, _ := strings.Cut(name, ": ")
		select {
		case outcome := <-s.runs[id].Outcome():
			s.same(id+" is", told(outcome), what)
		default:
			s.t.Errorf("%s has no outcome", id)
		}
	}
	if len(settled) != len(want) {
		s.t.Errorf("%d have their outcome, and not %v", len(settled), want)
	}
}

func told(outcome Outcome) string {
	switch {
	case outcome.ByCalls:
		return "by calls"
	case outcome.Fault != nil:
		for name, fault := range refusals {
			if fault.Code == outcome.Fault.Code && fault.Message == outcome.Fault.Message {
				return name
			}
		}
		return outcome.Fault.Code.String()
	}
	return outcome.Task.GetId()
}

func (s *script) same(what, got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s %q, and not %q", what, got, want)
	}
}
