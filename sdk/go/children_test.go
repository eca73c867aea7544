package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var withChildren = []string{"checkpoint", "steps", "children"}

// nursery is a server whose children are called after their names and occurrences.
func nursery(t *testing.T) *fake {
	server := newFake(t)
	server.child = func(request *callboardv1.CreateChildRequest) (*callboardv1.CreateChildResponse, error) {
		id := fmt.Sprintf("%s-%d", request.GetName(), request.GetOccurrence())
		return &callboardv1.CreateChildResponse{Receipt: &callboardv1.TaskReceipt{TaskId: id, Existing: request.GetOccurrence() > 0}}, nil
	}
	return server
}

func ended(id, result string) *callboardv1.TaskEnd {
	return &callboardv1.TaskEnd{TaskId: id, State: callboard.StateCompleted, Run: 1, Result: callboard.Text(result, "text/plain")}
}

// awaits gives the next tasks whose ends are asked for. Reports that come before it are kept for report.
func (s *fakeStream) awaits(t *testing.T) []string {
	t.Helper()
	for {
		frame := receive(t, s.frames)
		if ids := frame.GetAwaits().GetTaskIds(); ids != nil {
			return ids
		}
		s.reported = append(s.reported, frame.GetReports().GetReports()...)
	}
}

func TestAChildHasTheSameRequestIDInEveryAttempt(t *testing.T) {
	server := nursery(t)
	_, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		first, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch", Input: "a"}, nil)
		if err != nil {
			return err
		}
		options := &callboard.ChildOptions{Name: "fetch", OnParentEnd: callboard.ParentEndDetach}
		second, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "other"}, options)
		if err != nil {
			return err
		}
		if first.ID() != "fetch-0" || first.Existing() || second.ID() != "fetch-1" || !second.Existing() {
			return fmt.Errorf("other children: %v %v", first, second)
		}
		return nil
	})
	check(t, receive(t, over))
	server.mu.Lock()
	defer server.mu.Unlock()
	want := []*callboardv1.CreateChildRequest{
		// Python's uuid.uuid5 gives the same.
		{Name: "fetch", RequestId: "child/9a565ede-0a76-5e1a-97c9-9876a49f3e68"},
		{Name: "fetch", Occurrence: 1, OnParentEnd: callboard.ParentEndDetach, RequestId: "child/8fe056b4-e668-50c6-a5e6-f6cd25a7e857"},
	}
	for at, one := range want {
		got := server.requests[at].(*callboardv1.CreateChildRequest)
		one.Namespace, one.Parent, one.Task = "default", &callboardv1.Attempt{TaskId: taskID, Attempt: 1, LeaseToken: "t"}, got.GetTask()
		expect(t, proto.Equal(got, one), "asked for", got)
	}
}

func TestAHandlerThatWaitsIsPausedAndGoesOnWithTheResult(t *testing.T) {
	stream, over := onStage(t, nursery(t), withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		text, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "fetch"}, nil)
		if deadline, is := task.Deadline(); err == nil && (text != "page" || !is || deadline.Unix() != 7) {
			return fmt.Errorf("another result: %q by %v", text, deadline)
		}
		return err
	})
	ids := stream.awaits(t)
	expect(t, fmt.Sprint(ids) == "[fetch-0]", "asked for", ids)
	pause := next(t, stream)
	expect(t, pause.GetPause() != nil, "paused", pause)
	stream.commit(pause)
	stream.ends(ended("fetch-0", "page"))
	resume := next(t, stream)
	expect(t, resume.GetResume() != nil, "would go on", resume)
	stream.commit(resume)
	resumption := &callboardv1.Resumption{Attempt: resume.GetAttempt(), Deadline: timestamppb.New(time.Unix(7, 0))}
	stream.send <- &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Resumptions{
		Resumptions: &callboardv1.ResumptionBatch{Resumptions: []*callboardv1.Resumption{resumption}},
	}}
	check(t, receive(t, over))
	expect(t, next(t, stream).GetCompleted() != nil, "completed")
}

func TestChildrenAreAwaitedBesideEachOther(t *testing.T) {
	stream, over := onStage(t, nursery(t), withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		var beside sync.WaitGroup
		texts, errs := make([]string, 3), make([]error, 3)
		for at := range texts {
			child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch"}, nil)
			if err != nil {
				return err
			}
			beside.Go(func() { texts[at], errs[at] = callboard.ChildResult[string](ctx, child) })
		}
		beside.Wait()
		if fmt.Sprint(texts) != "[a b c]" {
			return fmt.Errorf("other results: %q", texts)
		}
		return errors.Join(errs...)
	})
	var ids []string
	for len(ids) < 3 {
		ids = append(ids, stream.awaits(t)...)
	}
	stream.ends(ended("fetch-1", "b"), ended("fetch-0", "a"))
	stream.ends(ended("fetch-2", "c"))
	expect(t, next(t, stream).GetPause() != nil, "one pause")
	stream.goesOn(next(t, stream))
	check(t, receive(t, over))
}

func TestHowAChildEndedIsTold(t *testing.T) {
	server := nursery(t)
	server.get = func(request *callboardv1.GetTaskRequest) (*callboardv1.GetTaskResponse, error) {
		return &callboardv1.GetTaskResponse{Task: &callboard.Task{Id: request.GetTaskId(), Result: callboard.Text("long", "text/plain")}}, nil
	}
	stream, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		fetch := callboard.NewTask{Type: "fetch"}
		text, err := callboard.RunChild[string](ctx, task, fetch, nil)
		if err != nil || text != "long" {
			return fmt.Errorf("what was omitted is fetched: %q %w", text, err)
		}
		_, err = callboard.RunChild[string](ctx, task, fetch, nil)
		var failed *callboard.TaskFailed
		if !errors.As(err, &failed) || failed.Task.GetFailure().GetType() != "NoAccess" || failed.Task.GetId() != "fetch-1" {
			return fmt.Errorf("what failed: %w", err)
		}
		if _, err = callboard.RunChild[int](ctx, task, fetch, nil); !errors.Is(err, callboard.ErrNotFound) || reasonOf(err) != "TASK_NOT_FOUND" {
			return fmt.Errorf("what was forgotten: %w", err)
		}
		return nil
	})
	for _, end := range []*callboardv1.TaskEnd{
		{TaskId: "fetch-0", State: callboard.StateCompleted, ResultOmitted: true},
		{TaskId: "fetch-1", State: callboard.StateFailed, Failure: &callboard.Failure{Type: "NoAccess"}},
		{TaskId: "fetch-2"},
	} {
		stream.awaits(t)
		stream.ends(end)
		stream.commit(next(t, stream))
		stream.goesOn(next(t, stream))
	}
	check(t, receive(t, over))
}

func TestAWaitThatIsGivenUpLeavesTheChildAndResumes(t *testing.T) {
	proceed := make(chan struct{})
	stream, over := onStage(t, nursery(t), withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch"}, nil)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err = child.Wait(short)
		<-proceed
		return err
	})
	stream.awaits(t)
	expect(t, next(t, stream).GetPause() != nil, "paused")
	expect(t, next(t, stream).GetResume() != nil, "nobody waits any longer")
	close(proceed)
	err := receive(t, over)
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded) && errors.Is(err, context.DeadlineExceeded), "its time is over", err)
}

func TestWhoWaitsForAChildIsToldWhyTheHandlerIsToStop(t *testing.T) {
	for reason, judge := range map[callboardv1.CancellationReason]func(error) bool{
		callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST: func(err error) bool { return reasonOf(err) == "STALE_ATTEMPT" },
		callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED:  func(err error) bool { return errors.Is(err, context.Canceled) },
	} {
		stream, over := onStage(t, nursery(t), withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
			_, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "fetch"}, nil)
			return err
		})
		stream.awaits(t)
		stream.cancels(next(t, stream).GetAttempt(), reason)
		err := receive(t, over)
		expect(t, judge(err), reason.String(), err)
	}
}

func TestWhatCanNotBeAChildIsRefusedBeforeAnythingIsSent(t *testing.T) {
	server := nursery(t)
	_, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		start := func(ctx context.Context, child callboard.NewTask, name string) error {
			_, err := callboard.StartChild(ctx, task, child, &callboard.ChildOptions{Name: name})
			return err
		}
		within := func(ctx context.Context) (int, error) { return 0, start(ctx, callboard.NewTask{Type: "t"}, "") }
		_, nested := callboard.Step(ctx, task, "outer", within)
		for named, err := range map[string]error{
			"name has 0 bytes":                       start(ctx, callboard.NewTask{}, ""),
			"name has 129 bytes":                     start(ctx, callboard.NewTask{Type: "t"}, strings.Repeat("x", 129)),
			"task.input":                             start(ctx, callboard.NewTask{Type: "t", Input: make(chan int)}, ""),
			`within the step "outer" (occurrence 0)`: nested,
		} {
			if !errors.Is(err, callboard.ErrInvalidArgument) || !strings.Contains(err.Error(), named) {
				return fmt.Errorf("%s: %w", named, err)
			}
		}
		return nil
	})
	check(t, receive(t, over))
	expect(t, len(server.requests) == 0, "nothing is sent", server.requests)
}

func TestAServerWithoutChildrenIsAskedForNone(t *testing.T) {
	server := nursery(t)
	_, over := onStage(t, server, withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		_, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "t"}, nil)
		return err
	})
	err := receive(t, over)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && strings.Contains(err.Error(), "the server takes no children"), "why", err)
	expect(t, len(server.requests) == 0, "nothing is sent", server.requests)
}

func TestOnAServerWithoutChildrenTheyAreWaitedForByCalls(t *testing.T) {
	server := nursery(t)
	server.wait = func(request *callboardv1.WaitTaskRequest) (*callboardv1.WaitTaskResponse, error) {
		task := &callboard.Task{Id: request.GetTaskId(), State: callboard.StateCompleted, Result: callboard.Text("page", "text/plain")}
		return &callboardv1.WaitTaskResponse{Task: task, Ended: true}, nil
	}
	stream, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		text, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "fetch"}, nil)
		if err == nil && text != "page" {
			err = fmt.Errorf("another result: %q", text)
		}
		return err
	})
	stream.awaits(t)
	stream.end <- nil
	second := receive(t, server.streams)
	second.welcomeWith(withSteps, 10*time.Second, second.hello.GetHeld()...)
	check(t, receive(t, over))
}
