package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// fake is a server that does what a test says, and the real one never does: refusals, cut streams, receipts that don't come.
type fake struct {
	callboardv1.UnimplementedTaskServiceServer
	callboardv1.UnimplementedAgentServiceServer
	callboardv1.UnimplementedWorkflowServiceServer
	callboardv1.UnimplementedNamespaceServiceServer
	address string
	server  *grpc.Server

	mu       sync.Mutex
	requests []proto.Message
	create   func(ctx context.Context, count int) (*callboardv1.CreateTaskResponse, error)
	wait     func(request *callboardv1.WaitTaskRequest) (*callboardv1.WaitTaskResponse, error)
	watch    func(request *callboardv1.WatchEventsRequest, count int, out grpc.ServerStreamingServer[callboardv1.WatchEventsResponse]) error
	steps    func(request *callboardv1.ListStepsRequest, count int) (*callboardv1.ListStepsResponse, error)
	streams  chan *fakeStream
	// runStreams has the streams of runs, when they are served.
	runStreams chan *fakeRuns
	// child, get, cancel, batch, run and output answer the call of that name.
	child   func(request *callboardv1.CreateChildRequest) (*callboardv1.CreateChildResponse, error)
	get     func(request *callboardv1.GetTaskRequest) (*callboardv1.GetTaskResponse, error)
	cancel  func(request *callboardv1.CancelTaskRequest) (*callboardv1.CancelTaskResponse, error)
	batch   func(request *callboardv1.BatchCreateTasksRequest) (*callboardv1.BatchCreateTasksResponse, error)
	run     func(request *callboardv1.RunTaskRequest) (*callboardv1.RunTaskResponse, error)
	output  func(request *callboardv1.WatchOutputRequest, count int, out grpc.ServerStreamingServer[callboardv1.WatchOutputResponse]) error
	explain func(request *callboardv1.ExplainAssignmentRequest) (*callboardv1.ExplainAssignmentResponse, error)
	// workflow, growth and workflowWait answer CreateWorkflow, AddWorkflowTasks and WaitWorkflow.
	workflow     func(request *callboardv1.CreateWorkflowRequest) (*callboardv1.CreateWorkflowResponse, error)
	growth       func(request *callboardv1.AddWorkflowTasksRequest) (*callboardv1.AddWorkflowTasksResponse, error)
	workflowWait func(request *callboardv1.WaitWorkflowRequest, count int) (*callboardv1.WaitWorkflowResponse, error)
}

// fakeStream is one attached stream.
type fakeStream struct {
	hello  *callboardv1.Hello
	frames chan *callboardv1.AttachRequest
	send   chan *callboardv1.AttachResponse
	end    chan error
	// reported came in one frame with the report that was given last.
	reported []*callboardv1.Report
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{server: grpc.NewServer(), streams: make(chan *fakeStream, 8)}
	callboardv1.RegisterTaskServiceServer(f.server, f)
	callboardv1.RegisterAgentServiceServer(f.server, f)
	callboardv1.RegisterWorkflowServiceServer(f.server, f)
	callboardv1.RegisterNamespaceServiceServer(f.server, f)
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	f.address = "http://" + listener.Addr().String()
	go func() { _ = f.server.Serve(listener) }()
	t.Cleanup(f.server.Stop)
	return f
}

func (f *fake) note(request proto.Message) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, proto.Clone(request))
	return len(f.requests)
}

func (f *fake) CreateTask(ctx context.Context, request *callboardv1.CreateTaskRequest) (*callboardv1.CreateTaskResponse, error) {
	return f.create(ctx, f.note(request))
}

func (f *fake) WaitTask(_ context.Context, request *callboardv1.WaitTaskRequest) (*callboardv1.WaitTaskResponse, error) {
	f.note(request)
	return f.wait(request)
}

func (f *fake) ListSteps(_ context.Context, request *callboardv1.ListStepsRequest) (*callboardv1.ListStepsResponse, error) {
	return f.steps(request, f.note(request))
}

func (f *fake) CreateChild(_ context.Context, request *callboardv1.CreateChildRequest) (*callboardv1.CreateChildResponse, error) {
	f.note(request)
	return f.child(request)
}

func (f *fake) GetTask(_ context.Context, request *callboardv1.GetTaskRequest) (*callboardv1.GetTaskResponse, error) {
	f.note(request)
	return f.get(request)
}

func (f *fake) BatchCreateTasks(_ context.Context, request *callboardv1.BatchCreateTasksRequest) (*callboardv1.BatchCreateTasksResponse, error) {
	f.note(request)
	return f.batch(request)
}

func (f *fake) RunTask(_ context.Context, request *callboardv1.RunTaskRequest) (*callboardv1.RunTaskResponse, error) {
	f.note(request)
	return f.run(request)
}

func (f *fake) WatchOutput(request *callboardv1.WatchOutputRequest, out grpc.ServerStreamingServer[callboardv1.WatchOutputResponse]) error {
	return f.output(request, f.note(request), out)
}

func (f *fake) WatchEvents(request *callboardv1.WatchEventsRequest, out grpc.ServerStreamingServer[callboardv1.WatchEventsResponse]) error {
	return f.watch(request, f.note(request), out)
}

func (f *fake) Attach(stream grpc.BidiStreamingServer[callboardv1.AttachRequest, callboardv1.AttachResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	s := &fakeStream{
		hello: first.GetHello(), frames: make(chan *callboardv1.AttachRequest, 100), send: make(chan *callboardv1.AttachResponse, 100),
		end: make(chan error, 1),
	}
	go func() {
		for {
			frame, err := stream.Recv()
			if err != nil {
				s.end <- nil
				return
			}
			s.frames <- frame
		}
	}()
	f.streams <- s
	for {
		select {
		case frame := <-s.send:
			if err := stream.Send(frame); err != nil {
				return err
			}
		case err := <-s.end:
			return err
		}
	}
}

func (s *fakeStream) welcome(lease time.Duration, held ...*callboardv1.Attempt) {
	s.welcomeWith([]string{"progress", "checkpoint", "drain", "steps"}, lease, held...)
}

func (s *fakeStream) welcomeWith(features []string, lease time.Duration, held ...*callboardv1.Attempt) {
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Welcome{Welcome: &callboardv1.Welcome{
		AgentId: "id", SessionEpoch: 1, Lease: durationpb.New(lease), Held: held, Features: features,
	}}}
}

func (s *fakeStream) assign(task, taskType string) {
	s.give(&callboardv1.Assignment{Spec: &callboardv1.TaskSpec{Type: taskType}}, task)
}

// give is assign for an assignment that says more. Its lease is made up.
func (s *fakeStream) give(assignment *callboardv1.Assignment, task string) {
	assignment.Attempt = &callboardv1.Attempt{TaskId: task, Attempt: 1, LeaseToken: "t"}
	batch := &callboardv1.AssignmentBatch{Assignments: []*callboardv1.Assignment{assignment}}
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Assignments{Assignments: batch}}
}

// report gives the next report.
func (s *fakeStream) report(t *testing.T) *callboardv1.Report {
	t.Helper()
	for len(s.reported) == 0 {
		s.reported = receive(t, s.frames).GetReports().GetReports()
	}
	report := s.reported[0]
	s.reported = s.reported[1:]
	return report
}

func (s *fakeStream) commit(report *callboardv1.Report) {
	s.receipt(report, callboardv1.ReceiptStatus_RECEIPT_STATUS_COMMITTED, 0)
}

// goesOn commits a resume: the task has its slot again.
func (s *fakeStream) goesOn(report *callboardv1.Report) {
	receipt := &callboardv1.Receipt{
		ReportId: report.GetReportId(), Attempt: report.GetAttempt(), Status: callboardv1.ReceiptStatus_RECEIPT_STATUS_COMMITTED,
		State: callboard.StateRunning,
	}
	batch := &callboardv1.ReceiptBatch{Receipts: []*callboardv1.Receipt{receipt}}
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Receipts{Receipts: batch}}
}

func (s *fakeStream) ends(ends ...*callboardv1.TaskEnd) {
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_TaskEnds{TaskEnds: &callboardv1.TaskEndBatch{Ends: ends}}}
}

func (s *fakeStream) cancels(attempt *callboardv1.Attempt, reason callboardv1.CancellationReason) {
	batch := &callboardv1.CancellationBatch{Cancellations: []*callboardv1.Cancellation{{Attempt: attempt, Reason: reason}}}
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Cancellations{Cancellations: batch}}
}

func (s *fakeStream) refuse(report *callboardv1.Report, reason callboardv1.ErrorReason) {
	s.receipt(report, callboardv1.ReceiptStatus_RECEIPT_STATUS_REFUSED, reason)
}

func (s *fakeStream) receipt(report *callboardv1.Report, status callboardv1.ReceiptStatus, reason callboardv1.ErrorReason) {
	receipt := &callboardv1.Receipt{ReportId: report.GetReportId(), Attempt: report.GetAttempt(), Status: status, Reason: reason}
	batch := &callboardv1.ReceiptBatch{Receipts: []*callboardv1.Receipt{receipt}}
	s.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Receipts{Receipts: batch}}
}

func refuse(code codes.Code, reason string) error {
	said, _ := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "callboard.dev"})
	return said.Err()
}

func TestACallIsRetriedWithItsRequestIDAndADeadline(t *testing.T) {
	server := newFake(t)
	server.create = func(ctx context.Context, count int) (*callboardv1.CreateTaskResponse, error) {
		deadline, limited := ctx.Deadline()
		if !limited || time.Until(deadline) > 31*time.Second {
			return nil, status.Error(codes.InvalidArgument, "no deadline")
		}
		switch count {
		case 1:
			return nil, refuse(codes.Unavailable, "OVERLOADED")
		case 2:
			said, _ := status.New(codes.ResourceExhausted, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
			return nil, said.Err()
		}
		return &callboardv1.CreateTaskResponse{Receipt: &callboardv1.TaskReceipt{TaskId: "id-1"}}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	receipt := must[*callboard.TaskReceipt](t)(client.Create(limited(t), echo("x"), nil))
	expect(t, receipt.GetTaskId() == "id-1" && len(server.requests) == 3, "retried", server.requests)
	for _, request := range server.requests {
		id := request.(*callboardv1.CreateTaskRequest).GetRequestId()
		expect(t, id != "" && proto.Equal(request, server.requests[0]), "under one id", request)
	}
}

func TestOtherErrorsAreGivenAtOnce(t *testing.T) {
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return nil, refuse(codes.ResourceExhausted, "LIMIT_REACHED")
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	_, err := client.Create(limited(t), echo("x"), nil)
	expect(t, errors.Is(err, callboard.ErrResourceExhausted) && reasonOf(err) == "LIMIT_REACHED" && len(server.requests) == 1, "once", err)
}

func TestWhatIsGivenInTheEndIsTheLastStatus(t *testing.T) {
	client := newClient(t, &callboard.ClientOptions{Address: "http://127.0.0.1:1", Timeout: 300 * time.Millisecond})
	_, err := client.Create(limited(t), echo("x"), nil)
	expect(t, errors.Is(err, callboard.ErrUnavailable), "unavailable", err)
}

func TestACallEndsWithItsContext(t *testing.T) {
	client := newClient(t, &callboard.ClientOptions{Address: "http://127.0.0.1:1"})
	ctx, cancel := context.WithCancel(limited(t))
	cancel()
	_, err := client.Create(ctx, echo("x"), nil)
	expect(t, errors.Is(err, context.Canceled), "cancelled", err)
}

func TestARetryUsesTheNextAddress(t *testing.T) {
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: "http://127.0.0.1:1," + server.address})
	must[*callboard.TaskReceipt](t)(client.Create(limited(t), echo("x"), nil))
}

func TestACallThatNobodyAnsweredInTimeLeavesTheAddress(t *testing.T) {
	server := newFake(t)
	server.create = func(context.Context, int) (*callboardv1.CreateTaskResponse, error) {
		return &callboardv1.CreateTaskResponse{}, nil
	}
	silent := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = silent.Close() }()
	client := newClient(t, &callboard.ClientOptions{Address: fmt.Sprintf("http://%s,%s", silent.Addr(), server.address)})
	_, err := client.WithTimeout(200*time.Millisecond).Get(limited(t), "id-1")
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded), "nobody answers", err)
	must[*callboard.TaskReceipt](t)(client.WithTimeout(8*time.Second).Create(limited(t), echo("x"), nil))
}

func TestAWaitSaysHowTheTaskWas(t *testing.T) {
	server := newFake(t)
	server.wait = func(request *callboardv1.WaitTaskRequest) (*callboardv1.WaitTaskResponse, error) {
		time.Sleep(request.GetWait().AsDuration())
		return &callboardv1.WaitTaskResponse{Task: &callboardv1.Task{Id: "id-1", State: callboard.StateRunning}}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := client.Wait(ctx, "id-1")
	expect(t, errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "id-1 had not ended"), "late", err)
}

func TestAWatchResumesAndGivesEachEventOnce(t *testing.T) {
	server := newFake(t)
	server.watch = func(request *callboardv1.WatchEventsRequest, count int, out grpc.ServerStreamingServer[callboardv1.WatchEventsResponse]) error {
		events := func(cursor string, sequences ...int64) error {
			frame := &callboardv1.WatchEventsResponse{Cursor: cursor}
			for _, sequence := range sequences {
				frame.Events = append(frame.Events, &callboardv1.Event{Sequence: sequence})
			}
			return out.Send(frame)
		}
		switch count {
		case 1:
			return errors.Join(events("c0"), events("c2", 1, 2), events(""), refuse(codes.Unavailable, "DRAINING"))
		case 2:
			return refuse(codes.ResourceExhausted, "SLOW_READER")
		case 3:
			return status.Error(codes.Internal, "the stream was reset")
		}
		return events("c3", 3)
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	watch := client.Watch(&callboard.WatchOptions{TaskID: "id-1", UntilEnded: true})
	var seen []int64
	for event, err := range watch.Events(limited(t)) {
		check(t, err)
		seen = append(seen, event.GetSequence())
		if len(seen) == 1 {
			expect(t, watch.Cursor() == "c0", "behind what was given", watch.Cursor())
			break
		}
	}
	for _, event := range all(t, watch.Events(limited(t))) {
		seen = append(seen, event.GetSequence())
	}
	expect(t, fmt.Sprint(seen) == "[1 2 3]" && watch.Cursor() == "c3", "each once", seen)
	for at, request := range server.requests {
		want := "c2"
		if at == 0 {
			want = ""
		}
		expect(t, request.(*callboardv1.WatchEventsRequest).GetCursor() == want, "from the cursor", request)
	}
}

func TestAWatchEndsWhereItCanNotResume(t *testing.T) {
	server := newFake(t)
	server.watch = func(*callboardv1.WatchEventsRequest, int, grpc.ServerStreamingServer[callboardv1.WatchEventsResponse]) error {
		return refuse(codes.FailedPrecondition, "CURSOR_FORGOTTEN")
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	for _, err := range client.Watch(&callboard.WatchOptions{Cursor: "old"}).Events(limited(t)) {
		expect(t, reasonOf(err) == "CURSOR_FORGOTTEN", "forgotten", err)
	}
	away := newClient(t, &callboard.ClientOptions{Address: "http://127.0.0.1:1", Timeout: 200 * time.Millisecond})
	for _, err := range away.Watch(nil).Events(limited(t)) {
		expect(t, errors.Is(err, callboard.ErrUnavailable), "stays away", err)
	}
	expect(t, len(server.requests) == 1, "not begun anew", server.requests)
}

func TestABrokenStreamLosesNeitherAttemptsNorReports(t *testing.T) {
	server := newFake(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.address})
	proceed := make(chan struct{})
	callboard.Handle(agent, "greet", func(context.Context, any, *callboard.Context) (string, error) {
		<-proceed
		return "hi", nil
	}, nil)
	check(t, agent.Start(t.Context()))
	first := receive(t, server.streams)
	first.welcome(30 * time.Second)
	first.assign("t1", "greet")
	accepted := first.report(t)
	first.end <- status.Error(codes.Unavailable, "cut")
	second := receive(t, server.streams)
	held := second.hello.GetHeld()
	expect(t, len(held) == 1 && held[0].GetTaskId() == "t1" && second.hello.GetPreviousEpoch() == 1, "it holds the attempt", second.hello)
	expect(t, second.hello.GetInstanceId() == first.hello.GetInstanceId() && first.hello.GetInstanceId() != "", "the same instance", second.hello)
	second.welcome(30*time.Second, held...)
	again := second.report(t)
	expect(t, again.GetReportId() == accepted.GetReportId() && again.GetAccepted() != nil, "the same report", again)
	second.commit(again)
	close(proceed)
	completed := second.report(t)
	second.end <- nil
	third := receive(t, server.streams)
	expect(t, len(third.hello.GetHeld()) == 1, "it waits for the receipt", third.hello)
	third.welcome(30 * time.Second)
	repeated := third.report(t)
	expect(t, repeated.GetReportId() == completed.GetReportId() && repeated.GetCompleted().GetResult().GetText() == "hi", "also when it isn't held", repeated)
	third.commit(repeated)
	check(t, agent.Drain())
	for {
		if receive(t, third.frames).GetDrain() != nil {
			break
		}
	}
	third.end <- nil
	check(t, agent.Wait(limited(t)))
}

func TestASecondStopDoesNotWaitForHandlers(t *testing.T) {
	server := newFake(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.address})
	forever := make(chan struct{})
	began := make(chan struct{})
	callboard.Handle(agent, "stuck", func(context.Context, any, *callboard.Context) (any, error) {
		close(began)
		<-forever
		return nil, nil
	}, nil)
	check(t, agent.Start(t.Context()))
	stream := receive(t, server.streams)
	stream.welcome(30 * time.Second)
	stream.assign("t1", "stuck")
	receive(t, began)
	check(t, agent.Drain())
	check(t, agent.Stop())
	close(forever)
}

func TestADrainingServerSendsTheAgentElsewhere(t *testing.T) {
	first, second := newFake(t), newFake(t)
	identity := &callboard.Credentials{Token: "callboard_x"}
	agent := newAgent(t, callboard.AgentOptions{Address: first.address, Credentials: identity})
	callboard.Handle(agent, "t", nothing, nil)
	check(t, agent.Start(t.Context()))
	stream := receive(t, first.streams)
	stream.welcome(30 * time.Second)
	drain := func(endpoint string) {
		notice := &callboardv1.DrainNotice{Endpoints: []string{endpoint}}
		stream.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Drain{Drain: notice}}
	}
	// The token must not go there in plain text: the agent comes back to its own address.
	drain("http://callboard.example:1")
	stream = receive(t, first.streams)
	stream.welcome(30 * time.Second)
	drain(second.address)
	receive(t, second.streams).welcome(30 * time.Second)
	check(t, agent.WaitAttached(limited(t)))
	check(t, agent.Stop())
}

func TestTheTokenGoesWithEveryCallAndStream(t *testing.T) {
	server := newFake(t)
	seen := make(chan string, 8)
	server.create = func(ctx context.Context, _ int) (*callboardv1.CreateTaskResponse, error) {
		carried, _ := metadata.FromIncomingContext(ctx)
		seen <- strings.Join(carried.Get("authorization"), ",")
		return &callboardv1.CreateTaskResponse{}, nil
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Credentials: &callboard.Credentials{Token: "callboard_x"}})
	must[*callboard.TaskReceipt](t)(client.Create(limited(t), echo("x"), nil))
	got := receive(t, seen)
	expect(t, got == "Bearer callboard_x", "the token", got)
}
