package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
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

// fakeRuns is one stream of runs.
type fakeRuns struct {
	stream grpc.BidiStreamingServer[callboardv1.RunTasksRequest, callboardv1.RunTasksResponse]
	token  string
	// frames are those that came; it is closed when the client has ended its side.
	frames chan *callboardv1.RunTasksRequest
	end    chan error
	// asked came in one frame with the run that was given last.
	asked []*callboardv1.TaskRun
}

// runsServer is a fake that serves streams of runs.
func runsServer(t *testing.T) *fake {
	server := newFake(t)
	server.runStreams = make(chan *fakeRuns, 8)
	return server
}

func (f *fake) RunTasks(stream grpc.BidiStreamingServer[callboardv1.RunTasksRequest, callboardv1.RunTasksResponse]) error {
	if f.runStreams == nil {
		return status.Error(codes.Unimplemented, "there is no such method")
	}
	carried, _ := metadata.FromIncomingContext(stream.Context())
	s := &fakeRuns{
		stream: stream, token: strings.Join(carried.Get("authorization"), ","),
		frames: make(chan *callboardv1.RunTasksRequest, 100), end: make(chan error, 1),
	}
	// As the server does: who has heard nothing at all takes another address.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	f.runStreams <- s
	go func() {
		defer close(s.frames)
		for {
			frame, err := stream.Recv()
			if err != nil {
				return
			}
			s.frames <- frame
		}
	}()
	select {
	case err := <-s.end:
		return err
	case <-stream.Context().Done():
		return nil
	}
}

// run gives the next run.
func (s *fakeRuns) run(t *testing.T) *callboardv1.TaskRun {
	t.Helper()
	for len(s.asked) == 0 {
		frame := receive(t, s.frames)
		if frame == nil {
			t.Fatal("the client has ended its side")
		}
		s.asked = frame.GetRuns()
	}
	run := s.asked[0]
	s.asked = s.asked[1:]
	return run
}

// ends tells that the task of a run has completed: its result is its input.
func (s *fakeRuns) ends(t *testing.T, run *callboardv1.TaskRun) {
	t.Helper()
	task := &callboardv1.Task{Id: "id-1", State: callboard.StateCompleted, Result: run.GetTask().GetInput()}
	s.tells(t, &callboardv1.TaskOutcome{RequestId: run.GetRequestId(), Outcome: &callboardv1.TaskOutcome_Task{Task: task}})
}

func (s *fakeRuns) refuses(t *testing.T, run *callboardv1.TaskRun, refusal error) {
	t.Helper()
	encoded := must[[]byte](t)(proto.Marshal(status.Convert(refusal).Proto()))
	s.tells(t, &callboardv1.TaskOutcome{RequestId: run.GetRequestId(), Outcome: &callboardv1.TaskOutcome_Status{Status: encoded}})
}

func (s *fakeRuns) tells(t *testing.T, outcomes ...*callboardv1.TaskOutcome) {
	t.Helper()
	check(t, s.stream.Send(&callboardv1.RunTasksResponse{Outcomes: outcomes}))
}

// ran is how a run came out.
type ran struct {
	value string
	err   error
}

// running runs a task with this input.
func running(ctx context.Context, client *callboard.Client, input string, options *callboard.CommandOptions) <-chan ran {
	came := make(chan ran, 1)
	go func() {
		value, err := callboard.Run[string](ctx, client, echo(input), options)
		came <- ran{value, err}
	}()
	return came
}

func (r ran) is(t *testing.T, value string) {
	t.Helper()
	expect(t, r.err == nil && r.value == value, "it came out", r)
}

func TestARunGoesOverAStreamAndEndsWithItsOwnOutcome(t *testing.T) {
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Namespace: "n"})
	a := running(limited(t), client, "a", &callboard.CommandOptions{RequestID: "mine"})
	stream := receive(t, server.runStreams)
	first := receive(t, stream.frames)
	expect(t, first.GetNamespace() == "n" && len(first.GetRuns()) == 1, "the first frame", first)
	runA := first.GetRuns()[0]
	expect(t, runA.GetRequestId() == "mine" && runA.GetTask().GetInput().GetText() == "a", "what was asked", runA)
	b := running(limited(t), client.WithTimeout(time.Minute), "b", nil)
	runB := stream.run(t)
	stream.ends(t, runB)
	receive(t, b).is(t, "b")
	stream.ends(t, runA)
	receive(t, a).is(t, "a")
}

func TestARunThatIsRefusedHasTheErrorOfACall(t *testing.T) {
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	said, _ := status.New(codes.InvalidArgument, "task.type is empty").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_FIELD", Domain: "callboard.dev"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "task.type", Description: "is empty"}}},
	)
	stream.refuses(t, stream.run(t), said.Err())
	var refused *callboard.Error
	err := receive(t, came).err
	expect(t, errors.As(err, &refused) && errors.Is(err, callboard.ErrInvalidArgument) && refused.Reason == "INVALID_FIELD", "refused", err)
	expect(t, len(refused.Violations) == 1 && refused.Violations[0].Field == "task.type", "its fields", refused)
	came = running(limited(t), client, "b", nil)
	failed := &callboardv1.Task{Id: "id-2", State: callboard.StateFailed, Failure: &callboard.Failure{Type: "No"}}
	what := &callboardv1.TaskOutcome_Task{Task: failed}
	stream.tells(t, &callboardv1.TaskOutcome{RequestId: stream.run(t).GetRequestId(), Outcome: what})
	var ended *callboard.TaskFailed
	expect(t, errors.As(receive(t, came).err, &ended) && ended.Task.GetFailure().GetType() == "No", "how it ended", ended)
}

func TestARunIsAskedAgainWhenItsRefusalSaysSo(t *testing.T) {
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	first := stream.run(t)
	said, _ := status.New(codes.ResourceExhausted, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	stream.refuses(t, first, said.Err())
	second := stream.run(t)
	expect(t, proto.Equal(first, second), "the same again", second)
	stream.ends(t, second)
	receive(t, came).is(t, "a")
}

func TestWhatHasNoOutcomeIsAskedAgainAtTheNextAddress(t *testing.T) {
	for name, broken := range map[string]error{
		"drained": refuse(codes.Unavailable, "DRAINING"), "reset": status.Error(codes.Internal, "the stream was reset"), "ended": nil,
		"slow": refuse(codes.ResourceExhausted, "SLOW_READER"),
	} {
		t.Run(name, func(t *testing.T) {
			one, other := runsServer(t), runsServer(t)
			client := newClient(t, &callboard.ClientOptions{Address: one.address + "," + other.address})
			a, b := running(limited(t), client, "a", nil), running(limited(t), client, "b", nil)
			stream := receive(t, one.runStreams)
			answered, lost := stream.run(t), stream.run(t)
			if answered.GetTask().GetInput().GetText() == "b" {
				a, b = b, a
			}
			stream.ends(t, answered)
			receive(t, a).is(t, answered.GetTask().GetInput().GetText())
			stream.end <- broken
			stream = receive(t, other.runStreams)
			again := stream.run(t)
			expect(t, proto.Equal(again, lost), "the one that was lost", again)
			stream.ends(t, again)
			receive(t, b).is(t, lost.GetTask().GetInput().GetText())
		})
	}
}

func TestAServerWithoutStreamsGetsCallsUntilItWasReplaced(t *testing.T) {
	old := accepting(t)
	client := newClient(t, &callboard.ClientOptions{Address: old.address})
	for range 2 {
		task := must[*callboard.Task](t)(client.RunUntilEnded(limited(t), echo("x"), nil))
		expect(t, task.GetState() == callboard.StateFailed, "by a call", task)
	}
	expect(t, len(old.requests) == 2, "calls", old.requests)
	old.server.Stop()
	replacement := &fake{server: grpc.NewServer(), runStreams: make(chan *fakeRuns, 8), run: old.run}
	callboardv1.RegisterTaskServiceServer(replacement.server, replacement)
	listener := must[net.Listener](t)(net.Listen("tcp", strings.TrimPrefix(old.address, "http://")))
	go func() { _ = replacement.server.Serve(listener) }()
	t.Cleanup(replacement.server.Stop)
	var came <-chan ran
	var stream *fakeRuns
	until(t, "a stream", func() bool {
		came = running(limited(t), client, "a", nil)
		select {
		case stream = <-replacement.runStreams:
			return true
		case <-came:
			// It may not have been noticed yet that the old server is gone.
			return false
		}
	})
	stream.ends(t, stream.run(t))
	receive(t, came).is(t, "a")
}

func TestARunThatIsGivenUpIsForgotten(t *testing.T) {
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	ctx, cancel := context.WithCancel(limited(t))
	other := running(limited(t), client, "other", nil)
	stream := receive(t, server.runStreams)
	stream.ends(t, stream.run(t))
	receive(t, other).is(t, "other")
	came := running(ctx, client, "a", nil)
	given := stream.run(t)
	cancel()
	err := receive(t, came).err
	expect(t, errors.Is(err, context.Canceled), "given up", err)
	frame := receive(t, stream.frames)
	expect(t, len(frame.GetForgottenIds()) == 1 && frame.GetForgottenIds()[0] == given.GetRequestId(), "forgotten", frame)

	late, stop := context.WithTimeout(limited(t), 50*time.Millisecond)
	defer stop()
	err = receive(t, running(late, client, "b", &callboard.CommandOptions{RequestID: "mine"})).err
	expect(t, errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "mine had not ended in time"), "late", err)
	stream.ends(t, given)
	came = running(limited(t), client, "c", nil)
	run := stream.run(t)
	for run.GetTask().GetInput().GetText() != "c" {
		run = stream.run(t)
	}
	stream.ends(t, run)
	receive(t, came).is(t, "c")
}

func TestClosingTheClientEndsItsRunsAndItsStream(t *testing.T) {
	server := runsServer(t)
	client := must[*callboard.Client](t)(callboard.NewClient(&callboard.ClientOptions{Address: server.address}))
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	stream.run(t)
	check(t, client.Close())
	err := receive(t, came).err
	expect(t, errors.Is(err, context.Canceled) && strings.Contains(err.Error(), "closed"), "closed", err)
	expect(t, receive(t, stream.frames) == nil, "the stream has ended")
	_, err = callboard.Run[string](limited(t), client, echo("b"), nil)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition), "it stays closed", err)
}

func TestAStreamThatNobodyNeedsEnds(t *testing.T) {
	t.Parallel()
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	stream.ends(t, stream.run(t))
	receive(t, came).is(t, "a")
	began := time.Now()
	expect(t, receive(t, stream.frames) == nil && stream.stream.Context().Err() == nil, "the client has ended its side, and no more")
	expect(t, time.Since(began) > 5*time.Second, "after a while", time.Since(began))
	stream.end <- nil
	came = running(limited(t), client, "b", nil)
	stream = receive(t, server.runStreams)
	stream.ends(t, stream.run(t))
	receive(t, came).is(t, "b")
}

func TestRunsThatNoStreamTakesGoByCalls(t *testing.T) {
	server := accepting(t)
	server.runStreams = make(chan *fakeRuns, 8)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	large := echo("x")
	large.Description = strings.Repeat("x", 2<<20)
	long := &callboard.CommandOptions{RequestID: strings.Repeat("é", 129)}
	must[*callboard.Task](t)(client.RunUntilEnded(limited(t), large, nil))
	must[*callboard.Task](t)(client.RunUntilEnded(limited(t), echo("x"), long))
	expect(t, len(server.requests) == 2 && len(server.runStreams) == 0, "calls", len(server.requests))
	unreadable := echo("x")
	unreadable.Description = "\xff"
	_, err := client.RunUntilEnded(limited(t), unreadable, nil)
	expect(t, err != nil && len(server.requests) == 2 && len(server.runStreams) == 0, "not sent at all", err)
}

func TestARunEndsWithTheLastStatusWhenNoServerCanBeReached(t *testing.T) {
	client := newClient(t, &callboard.ClientOptions{Address: "http://127.0.0.1:1", Timeout: 300 * time.Millisecond})
	_, err := callboard.Run[string](limited(t), client, echo("x"), nil)
	expect(t, errors.Is(err, callboard.ErrUnavailable), "unavailable", err)
	ctx, cancel := context.WithTimeout(limited(t), 200*time.Millisecond)
	defer cancel()
	_, err = callboard.Run[string](ctx, client.WithTimeout(long), echo("x"), nil)
	expect(t, errors.Is(err, callboard.ErrUnavailable), "not only late", err)
}

func TestARunThatNobodyAnsweredInTimeLeavesTheAddress(t *testing.T) {
	server := runsServer(t)
	silent := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = silent.Close() }()
	client := newClient(t, &callboard.ClientOptions{Address: fmt.Sprintf("http://%s,%s", silent.Addr(), server.address)})
	ctx, cancel := context.WithTimeout(limited(t), 200*time.Millisecond)
	defer cancel()
	_, err := callboard.Run[string](ctx, client, echo("x"), nil)
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded), "nobody answers", err)
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	stream.ends(t, stream.run(t))
	receive(t, came).is(t, "a")
}

func TestAStreamOfRunsIsOpenedAnewWithATokenThatWasChanged(t *testing.T) {
	server := runsServer(t)
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte("callboard_old\n"), 0o600))
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Credentials: &callboard.Credentials{TokenFile: file}})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	stream.run(t)
	expect(t, stream.token == "Bearer callboard_old", "the token", stream.token)
	check(t, os.WriteFile(file, []byte("callboard_new\n"), 0o600))
	stream.end <- refuse(codes.Unauthenticated, "CREDENTIALS_INVALID")
	stream = receive(t, server.runStreams)
	expect(t, stream.token == "Bearer callboard_new", "the new one", stream.token)
	stream.run(t)
	stream.end <- refuse(codes.Unauthenticated, "CREDENTIALS_INVALID")
	err := receive(t, came).err
	expect(t, reasonOf(err) == "CREDENTIALS_INVALID", "refused", err)
}

func TestARunThatIsRefusedForATokenThatWasChangedGoesAgainWithTheNewOne(t *testing.T) {
	server := runsServer(t)
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte("callboard_old\n"), 0o600))
	client := newClient(t, &callboard.ClientOptions{Address: server.address, Credentials: &callboard.Credentials{TokenFile: file}})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	id := stream.run(t).GetRequestId()
	check(t, os.WriteFile(file, []byte("callboard_new\n"), 0o600))
	unauthenticated, err := proto.Marshal(status.Convert(refuse(codes.Unauthenticated, "CREDENTIALS_INVALID")).Proto())
	check(t, err)
	refused := &callboardv1.TaskOutcome{RequestId: id, Outcome: &callboardv1.TaskOutcome_Status{Status: unauthenticated}}
	stream.tells(t, refused)
	stream = receive(t, server.runStreams)
	expect(t, stream.token == "Bearer callboard_new", "the new one", stream.token)
	expect(t, stream.run(t).GetRequestId() == id, "the same run", id)
	// That one is no good either, and there is no other.
	stream.tells(t, refused)
	err = receive(t, came).err
	expect(t, reasonOf(err) == "CREDENTIALS_INVALID", "refused", err)
}

func TestAnOutcomeThatCanNotBeReadIsTheRunsError(t *testing.T) {
	server := runsServer(t)
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	came := running(limited(t), client, "a", nil)
	stream := receive(t, server.runStreams)
	broken := &callboardv1.TaskOutcome_Status{Status: []byte{0xff}}
	stream.tells(t, &callboardv1.TaskOutcome{RequestId: stream.run(t).GetRequestId(), Outcome: broken})
	err := receive(t, came).err
	expect(t, err != nil && strings.Contains(err.Error(), "can't be read"), "said", err)
}
