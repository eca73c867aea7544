package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const lease = 6 * time.Second

var serverFeatures = []string{featureProgress, featureCheckpoint, featureSlots, featureDrain, featureSteps, featureChildren, featureOutput}

// script is a session with the server, the handlers and the clock in the test's hand.
type script struct {
	t *testing.T
	*Session
	now     Moment
	drainIn time.Duration
}

type role struct {
	types     []string
	slots     int32
	addresses int
	messages  bool
}

func newScript(t *testing.T, changes ...func(*role)) *script {
	t.Helper()
	r := role{types: []string{"greet"}, slots: 4, addresses: 1}
	for _, change := range changes {
		change(&r)
	}
	profile := &callboardv1.AgentProfile{Name: "agent-1", Slots: r.slots}
	for _, one := range r.types {
		profile.Handles = append(profile.Handles, &callboardv1.TaskHandler{Type: one})
	}
	return &script{t: t, now: 100 * time.Second, drainIn: 30 * time.Second, Session: New(Config{
		Namespace: "default", Profile: profile, InstanceID: "i", Addresses: r.addresses, TakesMessages: r.messages,
		UsableEndpoint: func(text string) bool { return strings.Contains(text, "://") },
		Fraction:       func() float64 { return 1 },
	})}
}

func (s *script) later(d time.Duration) {
	s.now += d
	s.Tick(s.now)
}

// acts gives the actions of a kind, and forgets the others.
func acts[A Action](s *script) []A {
	var found []A
	for _, action := range s.all() {
		if one, ok := action.(A); ok {
			found = append(found, one)
		}
	}
	return found
}

func (s *script) all() []Action {
	return s.TakeActions()
}

// frames gives all frames that go now.
func (s *script) frames() []*callboardv1.AttachRequest {
	var frames []*callboardv1.AttachRequest
	for frame := s.NextFrame(s.now); frame != nil; frame = s.NextFrame(s.now) {
		frames = append(frames, proto.Clone(frame).(*callboardv1.AttachRequest))
	}
	return frames
}

// kinds gives the names of all frames that go now.
func (s *script) kinds() []string {
	var names []string
	for _, frame := range s.frames() {
		names = append(names, kindOf(frame, "frame"))
	}
	return names
}

func kindOf(message proto.Message, oneof string) string {
	reflected := message.ProtoReflect()
	field := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName(protoreflect.Name(oneof)))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

// reports gives all reports that go now.
func (s *script) reports() []*callboardv1.Report {
	var reports []*callboardv1.Report
	for _, frame := range s.frames() {
		reports = append(reports, frame.GetReports().GetReports()...)
	}
	return reports
}

func (s *script) oneReport() *callboardv1.Report {
	s.t.Helper()
	reports := s.reports()
	if len(reports) != 1 {
		s.t.Fatalf("%d reports, not one: %v", len(reports), reports)
	}
	return reports[0]
}

func kinds(reports []*callboardv1.Report) []string {
	var names []string
	for _, report := range reports {
		names = append(names, kindOf(report, "kind"))
	}
	return names
}

func lease1(task string) *callboardv1.Attempt {
	return &callboardv1.Attempt{TaskId: task, Attempt: 1, LeaseToken: "token"}
}

// attach opens a stream up to its welcome, and gives the hello.
func (s *script) attach(welcome *callboardv1.Welcome) *callboardv1.Hello {
	s.t.Helper()
	s.Start(s.now)
	for s.link.phase == detached {
		s.now = s.TickAt()
		s.Tick(s.now)
	}
	frames := s.frames()
	if len(frames) != 1 || frames[0].GetHello() == nil {
		s.t.Fatalf("no hello: %v", frames)
	}
	if welcome == nil {
		welcome = &callboardv1.Welcome{}
	}
	if welcome.Features == nil {
		welcome.Features = serverFeatures
	}
	if welcome.SessionEpoch == 0 {
		welcome.SessionEpoch = 1
	}
	welcome.AgentId, welcome.Lease = "id", durationpb.New(lease)
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Welcome{Welcome: welcome}})
	return frames[0].GetHello()
}

func held(tasks ...string) *callboardv1.Welcome {
	welcome := &callboardv1.Welcome{SessionEpoch: 2}
	for _, task := range tasks {
		welcome.Held = append(welcome.Held, lease1(task))
	}
	return welcome
}

func (s *script) assign(tasks ...string) {
	s.assignType("greet", tasks...)
}

func (s *script) assignType(taskType string, tasks ...string) {
	batch := &callboardv1.AssignmentBatch{}
	for _, task := range tasks {
		spec := &callboardv1.TaskSpec{Type: taskType}
		batch.Assignments = append(batch.Assignments, &callboardv1.Assignment{Attempt: lease1(task), Spec: spec})
	}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Assignments{Assignments: batch}})
}

const (
	committed = callboardv1.ReceiptStatus_RECEIPT_STATUS_COMMITTED
	refusal   = callboardv1.ReceiptStatus_RECEIPT_STATUS_REFUSED
	again     = callboardv1.ReceiptStatus_RECEIPT_STATUS_RETRY
)

func (s *script) receipt(report *callboardv1.Report, status callboardv1.ReceiptStatus) {
	s.receiptFor(report, status, 0, "")
}

// receiptState is the receipt of a report that is committed, with the state that its task then has.
func (s *script) receiptState(report *callboardv1.Report, state callboardv1.TaskState) {
	receipt := &callboardv1.Receipt{ReportId: report.GetReportId(), Attempt: report.GetAttempt(), Status: committed, State: state}
	batch := &callboardv1.ReceiptBatch{Receipts: []*callboardv1.Receipt{receipt}}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Receipts{Receipts: batch}})
}

func (s *script) receiptFor(report *callboardv1.Report, status callboardv1.ReceiptStatus, reason callboardv1.ErrorReason, message string) {
	receipt := &callboardv1.Receipt{
		ReportId: report.GetReportId(), Attempt: report.GetAttempt(), Status: status, Reason: reason, Message: message,
	}
	batch := &callboardv1.ReceiptBatch{Receipts: []*callboardv1.Receipt{receipt}}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Receipts{Receipts: batch}})
}

func (s *script) cancel(task string, reason callboardv1.CancellationReason) {
	cancellation := &callboardv1.Cancellation{Attempt: lease1(task), Reason: reason}
	batch := &callboardv1.CancellationBatch{Cancellations: []*callboardv1.Cancellation{cancellation}}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Cancellations{Cancellations: batch}})
}

func (s *script) heartbeat() {
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Heartbeat{Heartbeat: &callboardv1.Heartbeat{}}})
}

func (s *script) serverDrain(endpoints ...string) {
	notice := &callboardv1.DrainNotice{Endpoints: endpoints}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Drain{Drain: notice}})
}

// working is attached, with these tasks running and their acceptance committed.
func (s *script) working(tasks ...string) {
	s.t.Helper()
	s.attach(nil)
	s.assign(tasks...)
	for _, report := range s.reports() {
		s.receipt(report, committed)
	}
	s.all()
}

func key(task string) Key { return Key{task, 1} }

func text(content string) *callboardv1.Payload {
	return &callboardv1.Payload{Content: &callboardv1.Payload_Text{Text: content}}
}

func (s *script) complete(task string) { s.Completed(s.now, key(task), text("done")) }

func (s *script) fail(task string) {
	s.Failed(s.now, key(task), &callboardv1.Failure{Type: "Broken"})
}

func (s *script) checkpoint(task string, ticket uint64) {
	s.SaveCheckpoint(key(task), text(fmt.Sprint(ticket)), ticket)
}

func (s *script) step(task, name string, ticket uint64) {
	s.RecordStep(key(task), &callboardv1.StepRecord{Name: name, Result: text(name)}, ticket)
}

func (s *script) progressed(task string, fraction float64) {
	s.Progressed(key(task), &callboardv1.Progress{Fraction: &fraction})
}

func (s *script) drop(fault *Fault) { s.Disconnected(s.now, fault) }

func (s *script) startDrain() { s.Drain(s.now, s.drainIn) }

func tasksOf(attempts []*callboardv1.Attempt) []string {
	var tasks []string
	for _, one := range attempts {
		tasks = append(tasks, one.GetTaskId())
	}
	return tasks
}

func same[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func expect(t *testing.T, ok bool, what string, seen ...any) {
	t.Helper()
	if !ok {
		t.Errorf("not so: %s %v", what, seen)
	}
}
