package callboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// onStage runs a handler for an assignment of a server that the test plays, and gives its stream. What the handler returns is its end.
func onStage(
	t *testing.T, server *fake, features []string, assignment *callboardv1.Assignment, handle func(context.Context, *callboard.Context) error,
) (*fakeStream, <-chan error) {
	t.Helper()
	agent := newAgent(t, callboard.AgentOptions{Address: server.address})
	ended := make(chan error, 1)
	callboard.Handle(agent, "t", func(ctx context.Context, _ any, task *callboard.Context) (any, error) {
		err := handle(ctx, task)
		ended <- err
		return nil, err
	}, nil)
	check(t, agent.Start(context.Background()))
	t.Cleanup(func() { _ = agent.Stop() })
	stream := receive(t, server.streams)
	stream.welcomeWith(features, 10*time.Second)
	assignment.Spec = &callboardv1.TaskSpec{Type: "t"}
	stream.give(assignment, taskID)
	return stream, ended
}

// taskID is the id of the task on stage.
const taskID = "01930000-0000-7000-8000-000000000001"

var (
	withSteps    = []string{"checkpoint", "steps"}
	withoutSteps = []string{"checkpoint"}
)

// recorded is an assignment with steps.
func recorded(steps ...*callboardv1.Step) *callboardv1.Assignment {
	return &callboardv1.Assignment{Run: 3, Steps: steps, StepCount: int32(len(steps))}
}

func aStep(name string, occurrence int32, result string) *callboardv1.Step {
	return &callboardv1.Step{Name: name, Occurrence: occurrence, Result: callboard.Text(result, "application/json")}
}

// next gives the next report that is no acceptance.
func next(t *testing.T, stream *fakeStream) *callboardv1.Report {
	t.Helper()
	for {
		if report := stream.report(t); report.GetAccepted() == nil {
			return report
		}
	}
}

// never is the function of a step that may not run.
func never(context.Context) (int, error) {
	panic("it ran")
}

func TestARecordedStepDoesNotRunAndANewOneIsRecorded(t *testing.T) {
	seen := make(chan any, 3)
	stream, ended := onStage(t, newFake(t), withSteps, recorded(aStep("fetch", 0, "1"), aStep("fetch", 1, "2")),
		func(ctx context.Context, task *callboard.Context) error {
			for range 2 {
				value, err := callboard.Step(ctx, task, "fetch", never)
				if err != nil {
					return err
				}
				seen <- value
			}
			value, err := callboard.Step(ctx, task, "fetch", func(context.Context) (any, error) { return map[string]any{"n": 3}, nil })
			seen <- value
			return err
		})
	expect(t, receive(t, seen) == 1 && receive(t, seen) == 2, "as they were recorded")
	report := next(t, stream)
	step := report.GetStep()
	expect(t, step.GetName() == "fetch" && step.GetOccurrence() == 2 && step.GetResult().GetText() == `{"n":3}`, "recorded", step)
	select {
	case value := <-seen:
		t.Error("before its receipt:", value)
	default:
	}
	stream.commit(report)
	value := receive(t, seen).(map[string]any)
	expect(t, value["n"] == json.Number("3"), "read back, as later attempts will see it", value)
	check(t, receive(t, ended))
}

func TestTheErrorOfAStepIsGivenAsItIsAndCounts(t *testing.T) {
	away := errors.New("away")
	stream, ended := onStage(t, newFake(t), withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		_, err := callboard.Step(ctx, task, "fetch", func(context.Context) (int, error) { return 7, away })
		if err != away {
			return fmt.Errorf("another error: %w", err)
		}
		_, err = callboard.Step(ctx, task, "fetch", func(context.Context) (int, error) { return 7, nil })
		return err
	})
	report := next(t, stream)
	expect(t, report.GetStep().GetOccurrence() == 1, "the next occurrence", report)
	stream.commit(report)
	check(t, receive(t, ended))
}

func TestWhatCanNotBeAStepIsRefusedBeforeAnythingIsSent(t *testing.T) {
	stream, ended := onStage(t, newFake(t), withSteps, recorded(aStep("old", 0, `"text"`)), func(ctx context.Context, task *callboard.Context) error {
		wrong := map[string]func() error{
			"name has 0 bytes": func() error { _, err := callboard.Step(ctx, task, "", never); return err },
			"name has 129 bytes": func() error {
				_, err := callboard.Step(ctx, task, strings.Repeat("x", 129), never)
				return err
			},
			"PAYLOAD_TOO_LARGE": func() error {
				_, err := callboard.Step(ctx, task, "large", func(context.Context) (string, error) { return strings.Repeat("x", 1<<20+1), nil })
				return err
			},
			"result is not a string": func() error {
				_, err := callboard.Step(ctx, task, "odd", func(context.Context) (float64, error) { return math.NaN(), nil })
				return err
			},
			`within the step "outer" (occurrence 0)`: func() error {
				_, err := callboard.Step(ctx, task, "outer", func(ctx context.Context) (int, error) { return callboard.Step(ctx, task, "inner", never) })
				return err
			},
		}
		for named, try := range wrong {
			if err := try(); !errors.Is(err, callboard.ErrInvalidArgument) || !strings.Contains(err.Error(), named) {
				return fmt.Errorf("%s: %w", named, err)
			}
		}
		_, err := callboard.Step(ctx, task, "old", never)
		var unread *callboard.DecodeError
		if !errors.As(err, &unread) || !strings.Contains(err.Error(), `step "old" (occurrence 0)`) {
			return fmt.Errorf("what is recorded as another type: %w", err)
		}
		_, err = callboard.Step(ctx, task, "unreadable", func(context.Context) (fmt.Stringer, error) { return time.Second, nil })
		if !errors.As(err, &unread) {
			return fmt.Errorf("what can't be read back: %w", err)
		}
		return nil
	})
	check(t, receive(t, ended))
	report := next(t, stream)
	expect(t, report.GetCompleted() != nil, "no step was sent", report)
}

func TestAServerWithoutStepsRunsNone(t *testing.T) {
	_, ended := onStage(t, newFake(t), withoutSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		_, err := callboard.Step(ctx, task, "fetch", never)
		return err
	})
	err := receive(t, ended)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && strings.Contains(err.Error(), "the server takes no steps"), "why", err)
}

func TestStepsOfAnAttemptFromAServerWithoutThemAreRefusedEverywhere(t *testing.T) {
	server := newFake(t)
	proceed := make(chan struct{})
	stream, ended := onStage(t, server, withoutSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		<-proceed
		_, err := callboard.Step(ctx, task, "fetch", never)
		return err
	})
	stream.report(t)
	stream.end <- nil
	second := receive(t, server.streams)
	second.welcomeWith(withSteps, 10*time.Second, second.hello.GetHeld()...)
	second.report(t)
	close(proceed)
	err := receive(t, ended)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition), "it can't have said what is recorded", err)
}

func TestARefusedStepIsRaisedAndTheHandlerGoesOn(t *testing.T) {
	refused := make(chan error, 1)
	stream, ended := onStage(t, newFake(t), withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		one := func(context.Context) (int, error) { return 1, nil }
		_, err := callboard.Step(ctx, task, "fetch", one)
		refused <- err
		_, err = callboard.Step(ctx, task, "fetch", one)
		return err
	})
	stream.refuse(next(t, stream), callboardv1.ErrorReason_ERROR_REASON_LIMIT_REACHED)
	err := receive(t, refused)
	expect(t, errors.Is(err, callboard.ErrResourceExhausted) && reasonOf(err) == "LIMIT_REACHED", "raised", err)
	stream.commit(next(t, stream))
	check(t, receive(t, ended))
}

func TestAStepOfALostAttemptSaysSo(t *testing.T) {
	// Whether by its own context, or by one that outlives the cancellation.
	for _, detached := range []bool{false, true} {
		stream, ended := onStage(t, newFake(t), withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
			if detached {
				ctx = context.WithoutCancel(ctx)
			}
			_, err := callboard.Step(ctx, task, "fetch", func(context.Context) (int, error) { return 1, nil })
			return err
		})
		report := next(t, stream)
		stream.cancels(report.GetAttempt(), callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST)
		err := receive(t, ended)
		expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && reasonOf(err) == "STALE_ATTEMPT", "lost", detached, err)
	}
}

func TestAStepThatNobodyWaitsForIsKeptAllTheSame(t *testing.T) {
	gaveUp := errors.New("gave up")
	abandon := make(chan context.CancelCauseFunc, 1)
	stream, ended := onStage(t, newFake(t), withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		abandon <- cancel
		_, err := callboard.Step(ctx, task, "fetch", func(context.Context) (int, error) { return 1, nil })
		return err
	})
	report := next(t, stream)
	expect(t, report.GetStep() != nil, "on its way", report)
	receive(t, abandon)(gaveUp)
	expect(t, receive(t, ended) == gaveUp, "the cause of the context")
	failed := next(t, stream)
	expect(t, failed.GetFailed() != nil && failed.GetReportId() > report.GetReportId(), "behind the step", failed)
}

func TestStepsThatDidNotComeWholeAreFetchedOnce(t *testing.T) {
	server := newFake(t)
	server.steps = func(request *callboardv1.ListStepsRequest, count int) (*callboardv1.ListStepsResponse, error) {
		switch {
		case count == 1:
			return nil, refuse(codes.PermissionDenied, "")
		case request.GetPageToken() == "":
			return &callboardv1.ListStepsResponse{Steps: []*callboardv1.Step{aStep("fetch", 0, "1")}, NextPageToken: "more"}, nil
		}
		return &callboardv1.ListStepsResponse{Steps: []*callboardv1.Step{aStep("fetch", 1, "2")}}, nil
	}
	assignment := recorded(aStep("fetch", 0, "1"))
	assignment.StepCount = 2
	sum := make(chan int, 2)
	_, ended := onStage(t, server, withSteps, assignment, func(ctx context.Context, task *callboard.Context) error {
		if _, err := callboard.Step(ctx, task, "other", never); !errors.Is(err, callboard.ErrPermissionDenied) {
			return fmt.Errorf("the call's error: %w", err)
		}
		var beside sync.WaitGroup
		errs := make([]error, 2)
		for at := range errs {
			beside.Go(func() {
				var value int
				value, errs[at] = callboard.Step(ctx, task, "fetch", never)
				sum <- value
			})
		}
		beside.Wait()
		return errors.Join(errs...)
	})
	check(t, receive(t, ended))
	expect(t, receive(t, sum)+receive(t, sum) == 3, "both")
	server.mu.Lock()
	defer server.mu.Unlock()
	want := &callboardv1.ListStepsRequest{Namespace: "default", TaskId: taskID, Run: 3, PageToken: "more"}
	expect(t, len(server.requests) == 3 && proto.Equal(server.requests[2], want), "two pages, once", server.requests)
}
