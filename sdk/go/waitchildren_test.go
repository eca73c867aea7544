package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (f *fake) CancelTask(_ context.Context, request *callboardv1.CancelTaskRequest) (*callboardv1.CancelTaskResponse, error) {
	f.note(request)
	return f.cancel(request)
}

// failing says that a task failed.
func failing(id string) *callboardv1.TaskEnd {
	return &callboardv1.TaskEnd{TaskId: id, State: callboard.StateFailed, Run: 1, Failure: &callboard.Failure{Message: id + " broke"}}
}

// litter starts so many children, which are called fetch-0, fetch-1, …
func litter(ctx context.Context, task *callboard.Context, count int) ([]*callboard.Child, error) {
	var children []*callboard.Child
	for range count {
		child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch"}, nil)
		if err != nil {
			return nil, err
		}
		children = append(children, child)
	}
	return children, nil
}

// quorumOf is a handler that waits for some of its children. What it gets is told.
func quorumOf(children int, options *callboard.WaitChildrenOptions, told *string) func(context.Context, *callboard.Context) error {
	return func(ctx context.Context, task *callboard.Context) error {
		started, err := litter(ctx, task, children)
		if err != nil {
			return err
		}
		tasks, err := task.WaitChildren(ctx, started, options)
		var texts []string
		for _, one := range tasks {
			texts = append(texts, one.GetId()+" "+one.GetResult().GetText())
		}
		*told = strings.Join(texts, ", ")
		return err
	}
}

// cancelling is a nursery whose children can be cancelled. Which were is told by cancelled.
func cancelling(t *testing.T) *fake {
	server := nursery(t)
	server.cancel = func(*callboardv1.CancelTaskRequest) (*callboardv1.CancelTaskResponse, error) {
		return &callboardv1.CancelTaskResponse{}, nil
	}
	return server
}

// cancelled gives which tasks were cancelled, under which request id, and why.
func (f *fake) cancelled() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var seen []string
	for _, request := range f.requests {
		if cancel, is := request.(*callboardv1.CancelTaskRequest); is {
			seen = append(seen, strings.TrimSpace(fmt.Sprintln(cancel.GetTaskId(), cancel.GetRequestId(), cancel.GetReason())))
		}
	}
	slices.Sort(seen)
	return seen
}

// awaitAll takes what is asked for, up to so many tasks.
func (s *fakeStream) awaitAll(t *testing.T, count int) {
	t.Helper()
	for asked := 0; asked < count; {
		asked += len(s.awaits(t))
	}
}

func TestSomeChildrenAreWaitedForAndTheRestIsCancelled(t *testing.T) {
	server, told := cancelling(t), ""
	server.get = func(request *callboardv1.GetTaskRequest) (*callboardv1.GetTaskResponse, error) {
		return &callboardv1.GetTaskResponse{Task: &callboard.Task{Id: request.GetTaskId(), Result: callboard.Text("long", "text/plain")}}, nil
	}
	options := &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel}
	stream, over := onStage(t, server, withChildren, recorded(), quorumOf(5, options, &told))
	stream.awaitAll(t, 5)
	stream.commit(next(t, stream))
	stream.ends(ended("fetch-3", "c"), failing("fetch-1"))
	stream.ends(&callboardv1.TaskEnd{TaskId: "fetch-0", State: callboard.StateCompleted, ResultOmitted: true})
	resume := next(t, stream)
	expect(t, resume.GetResume() != nil, "would go on", resume)
	// One of them may have the slot that the handler needs.
	until(t, "the end of the rest, before it may go on", func() bool { return len(server.cancelled()) == 2 })
	stream.goesOn(resume)
	check(t, receive(t, over))
	expect(t, told == "fetch-0 long, fetch-3 c", "in the order in which they were given", told)
	want := []string{"fetch-2 rest/fetch-2", "fetch-4 rest/fetch-4"}
	expect(t, slices.Equal(server.cancelled(), want), "what had not ended", server.cancelled())
}

func TestAllChildrenAreWaitedForUnlessSaidOtherwise(t *testing.T) {
	server, told := cancelling(t), ""
	stream, over := onStage(t, server, withChildren, recorded(), quorumOf(3, nil, &told))
	stream.awaitAll(t, 3)
	stream.ends(ended("fetch-2", "c"), ended("fetch-0", "a"))
	expect(t, next(t, stream).GetPause() != nil, "paused, and not resumed")
	stream.ends(ended("fetch-1", "b"))
	stream.goesOn(next(t, stream))
	check(t, receive(t, over))
	expect(t, told == "fetch-0 a, fetch-1 b, fetch-2 c" && len(server.cancelled()) == 0, "all", told)
}

func TestTooFewChildrenAreTheErrorOfTheFirstThatEndedBadly(t *testing.T) {
	forgotten := func(id string) *callboardv1.TaskEnd { return &callboardv1.TaskEnd{TaskId: id} }
	for rest, want := range map[callboard.RestAction][]string{callboard.RestKeep: nil, callboard.RestCancel: {"fetch-0 rest/fetch-0"}} {
		for _, ends := range [][]*callboardv1.TaskEnd{{failing("fetch-1"), forgotten("fetch-2")}, {failing("fetch-2"), forgotten("fetch-1")}} {
			server, told := cancelling(t), ""
			stream, over := onStage(t, server, withChildren, recorded(), quorumOf(3, &callboard.WaitChildrenOptions{Count: new(2), Rest: rest}, &told))
			stream.awaitAll(t, 3)
			stream.commit(next(t, stream))
			// In the other order than that in which they were given.
			if ends[0].GetTaskId() == "fetch-1" {
				slices.Reverse(ends)
			}
			stream.ends(ends...)
			stream.goesOn(next(t, stream))
			err := receive(t, over)
			var failed *callboard.TaskFailed
			if ends[1].GetFailure() == nil {
				expect(t, errors.Is(err, callboard.ErrNotFound) && reasonOf(err) == "TASK_NOT_FOUND", "the forgotten one", err)
			} else {
				expect(t, errors.As(err, &failed) && failed.Task.GetId() == "fetch-1", "the one that failed", err)
			}
			expect(t, told == "" && slices.Equal(server.cancelled(), want), "the rest", told, server.cancelled())
		}
	}
}

func TestWhatCanNotBeWaitedForIsRefusedAndNothingIsSent(t *testing.T) {
	server := cancelling(t)
	stream, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		children, err := litter(ctx, task, 2)
		if err != nil {
			return err
		}
		wait := func(count *int, children ...*callboard.Child) error {
			tasks, err := task.WaitChildren(ctx, children, &callboard.WaitChildrenOptions{Count: count, Rest: callboard.RestCancel})
			if len(tasks) > 0 {
				return fmt.Errorf("given: %v", tasks)
			}
			return err
		}
		for named, err := range map[string]error{
			"count is 0: give 1 to the number of children, 2":  wait(new(0), children...),
			"count is -1: give 1 to the number of children, 2": wait(new(-1), children...),
			"count is 3: give 1 to the number of children, 2":  wait(new(3), children...),
			"count is 1: give 1 to the number of children, 0":  wait(new(1)),
			"the child fetch-1 is given twice":                 wait(nil, children[1], children[0], children[1]),
		} {
			if !errors.Is(err, callboard.ErrInvalidArgument) || !strings.Contains(err.Error(), named) {
				return fmt.Errorf("%s: %w", named, err)
			}
		}
		return wait(nil)
	})
	check(t, receive(t, over))
	expect(t, next(t, stream).GetCompleted() != nil && len(server.cancelled()) == 0, "none of none is no error, and nothing is sent")
}

func TestNothingBecomesOfChildrenWhoseWaitIsGivenUp(t *testing.T) {
	server, again := cancelling(t), make(chan struct{})
	stream, over := onStage(t, server, withChildren, recorded(), func(ctx context.Context, task *callboard.Context) error {
		children, err := litter(ctx, task, 3)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		options := &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel}
		_, err = task.WaitChildren(short, children, options)
		if !errors.Is(err, callboard.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "2 of 3 children had not ended in time") {
			return fmt.Errorf("its time is over: %w", err)
		}
		close(again)
		_, err = task.WaitChildren(ctx, children, options)
		return err
	})
	pause := next(t, stream)
	expect(t, pause.GetPause() != nil, "paused", pause)
	select {
	case <-again:
	case err := <-over:
		t.Fatal(err)
	}
	stream.cancels(pause.GetAttempt(), callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST)
	err := receive(t, over)
	expect(t, reasonOf(err) == "STALE_ATTEMPT" && len(server.cancelled()) == 0, "the attempt is lost", err, server.cancelled())
}

func TestAChildThatCanNotBeCancelledIsToldUnlessItIsForgotten(t *testing.T) {
	for code, judge := range map[codes.Code]func(error) bool{
		codes.NotFound:         func(err error) bool { return err == nil },
		codes.PermissionDenied: func(err error) bool { return errors.Is(err, callboard.ErrPermissionDenied) },
	} {
		server, told := cancelling(t), ""
		server.cancel = func(*callboardv1.CancelTaskRequest) (*callboardv1.CancelTaskResponse, error) {
			return nil, status.Error(code, "no")
		}
		stream, over := onStage(t, server, withChildren, recorded(), quorumOf(2, &callboard.WaitChildrenOptions{
			Count: new(1), Rest: callboard.RestCancel,
		}, &told))
		stream.awaitAll(t, 2)
		stream.commit(next(t, stream))
		stream.ends(ended("fetch-1", "b"))
		stream.goesOn(next(t, stream))
		err := receive(t, over)
		expect(t, judge(err), code.String(), err)
	}
}

func TestOnAServerWithoutChildrenSomeAreWaitedForByCalls(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	for count, judge := range map[int]func(told string, err error) bool{
		2: func(told string, err error) bool { return err == nil && told == "fetch-1 fetch-1, fetch-2 fetch-2" },
		4: func(_ string, err error) bool { return errors.Is(err, callboard.ErrNotFound) },
	} {
		server, told := cancelling(t), ""
		server.wait = func(request *callboardv1.WaitTaskRequest) (*callboardv1.WaitTaskResponse, error) {
			id := request.GetTaskId()
			task := &callboard.Task{Id: id, State: callboard.StateCompleted, Result: callboard.Text(id, "text/plain")}
			switch id {
			case "fetch-0":
				return nil, refuse(codes.NotFound, "TASK_NOT_FOUND")
			case "fetch-3":
				<-over
				return &callboardv1.WaitTaskResponse{Task: &callboard.Task{Id: id, State: callboard.StateRunning}}, nil
			}
			return &callboardv1.WaitTaskResponse{Task: task, Ended: true}, nil
		}
		stream, done := onStage(t, server, withChildren, recorded(), quorumOf(4, &callboard.WaitChildrenOptions{
			Count: &count, Rest: callboard.RestCancel,
		}, &told))
		stream.awaitAll(t, 4)
		stream.end <- nil
		second := receive(t, server.streams)
		second.welcomeWith(withSteps, 10*time.Second, second.hello.GetHeld()...)
		err := receive(t, done)
		expect(t, judge(told, err), "of those that ended", count, told, err)
		expect(t, slices.Contains(server.cancelled(), "fetch-3 rest/fetch-3"), "the rest", server.cancelled())
	}
}
