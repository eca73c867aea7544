package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/testserver"
)

// Children on a real server.

func TestAnAgentWithOneSlotWaitsForChildrenThatOnlyItCanDo(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 1})
	callboard.Handle(agent, "nest", func(ctx context.Context, depth int, task *callboard.Context) (string, error) {
		if depth == 0 {
			return "leaf", nil
		}
		within, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "nest", Input: depth - 1}, nil)
		return fmt.Sprintf("(%s)", within), err
	}, nil)
	attached(t, agent)
	got := must[string](t)(callboard.Run[string](ctx, client, callboard.NewTask{Type: "nest", Input: 5}, nil))
	expect(t, got == "(((((leaf)))))", "to the deepest", got)
	drained(t, agent)
}

func TestALaterAttemptIsGivenTheChildrenThatAreThere(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 2})
	var fetched atomic.Int32
	callboard.Handle(agent, "fetch", func(context.Context, any, *callboard.Context) (int32, error) { return fetched.Add(1), nil }, nil)
	callboard.Handle(agent, "sum", func(ctx context.Context, _ any, task *callboard.Context) (int, error) {
		total := 0
		for range 3 {
			child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch"}, &callboard.ChildOptions{Name: "page"})
			if err != nil {
				return 0, err
			}
			if child.Existing() != (task.AttemptsUsed() > 0) {
				return 0, &callboard.TaskError{Message: fmt.Sprint("existing: ", child.Existing()), NonRetryable: true}
			}
			got, err := callboard.ChildResult[int](ctx, child)
			if err != nil {
				return 0, err
			}
			total += got
		}
		if task.AttemptsUsed() == 0 {
			return 0, errors.New("once more")
		}
		return total, nil
	}, nil)
	attached(t, agent)
	task := callboard.NewTask{Type: "sum", Retry: callboard.RetryPolicy{InitialBackoff: time.Millisecond}}
	receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, task, nil))
	total := must[int](t)(callboard.Result[int](ctx, client, receipt.GetTaskId()))
	expect(t, total == 6 && fetched.Load() == 3, "each ran once", total, fetched.Load())

	var listed []string
	for _, child := range all(t, client.Children(ctx, receipt.GetTaskId(), &callboard.ChildrenOptions{Run: 1, PageSize: 2})) {
		listed = append(listed, fmt.Sprintf("%d %s/%d %s", child.GetOrdinal(), child.GetName(), child.GetOccurrence(), callboard.StateName(child.GetTask().GetState())))
		whole := must[*callboard.Task](t)(client.Get(ctx, child.GetTaskId()))
		expect(t, whole.GetParent().GetTaskId() == receipt.GetTaskId() && whole.GetSpec().GetType() == "fetch", "its parent", whole)
	}
	expect(t, strings.Join(listed, ", ") == "1 page/0 COMPLETED, 2 page/1 COMPLETED, 3 page/2 COMPLETED", "listed", listed)
	drained(t, agent)
}

func TestAHandlerThatWaitsOutlivesTheServer(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Slots: 1})
	callboard.Handle(agent, "parent", func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		answer, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "person"}, nil)
		return "they say " + answer, err
	}, nil)
	attached(t, agent)
	parent := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "parent"}, nil))
	until(t, "the pause", func() bool {
		task := must[*callboard.Task](t)(client.Get(ctx, parent.GetTaskId()))
		return task.GetState() == callboard.StatePaused && task.GetPausedFor() == callboardv1.PauseReason_PAUSE_REASON_CHILDREN
	})
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !agent.Attached() })
	server.Start()
	child := all(t, client.Children(ctx, parent.GetTaskId(), nil))[0]
	must[*callboard.TaskReceipt](t)(client.Complete(ctx, &callboardv1.Attempt{TaskId: child.GetTaskId()}, "yes", nil))
	answer := must[string](t)(callboard.Result[string](ctx, client, parent.GetTaskId()))
	task := must[*callboard.Task](t)(client.Get(ctx, parent.GetTaskId()))
	expect(t, answer == "they say yes" && task.GetAttempt() == 1, "in its first attempt", answer, task)
	drained(t, agent)
}

func TestWhatBecomesOfChildrenWhenTheParentEnds(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	callboard.Handle(agent, "parent", func(ctx context.Context, _ any, task *callboard.Context) ([]string, error) {
		var ids []string
		for _, action := range []callboard.ParentEndAction{callboard.ParentEndCancel, callboard.ParentEndDetach} {
			child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "nobody"}, &callboard.ChildOptions{OnParentEnd: action})
			if err != nil {
				return nil, err
			}
			ids = append(ids, child.ID())
		}
		return ids, nil
	}, nil)
	attached(t, agent)
	ids := must[[]string](t)(callboard.Run[[]string](ctx, client, callboard.NewTask{Type: "parent"}, nil))
	ended := must[*callboard.Task](t)(client.Wait(ctx, ids[0]))
	expect(t, ended.GetState() == callboard.StateCancelled, "cancelled", ended)
	task := must[*callboard.Task](t)(client.Get(ctx, ids[1]))
	expect(t, task.GetState() == callboard.StateReady, "detached", task)
	drained(t, agent)
}

func TestChildrenAndOutputOfClaimedTasks(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	created := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "t"}, nil))
	claims := must[[]*callboardv1.Assignment](t)(client.Claim(ctx, "now", []string{"t"}, &callboard.ClaimOptions{Wait: 10 * time.Second}))
	attempt := claims[0].GetAttempt()
	first := must[*callboard.TaskReceipt](t)(client.CreateChild(ctx, attempt, callboard.NewTask{Type: "fetch"}, nil))
	again := must[*callboard.TaskReceipt](t)(client.CreateChild(ctx, attempt, callboard.NewTask{Type: "fetch"}, nil))
	expect(t, again.GetTaskId() == first.GetTaskId() && again.GetExisting() && !first.GetExisting(), "the one that is there", again)
	_, err := client.CreateChild(ctx, attempt, callboard.NewTask{Type: "other"}, &callboard.CreateChildOptions{Name: "fetch"})
	expect(t, errors.Is(err, callboard.ErrAlreadyExists) && reasonOf(err) == "CHILD_EXISTS", "of another type", err)

	beat := func(offset int64, values ...any) error {
		_, err := client.Heartbeat(ctx, attempt, &callboard.HeartbeatOptions{Output: values, OutputOffset: offset})
		return err
	}
	check(t, beat(0, "one", "", 2))
	check(t, beat(0, "one", 2))
	check(t, beat(4, []byte("three")))
	err = beat(100, "gap")
	expect(t, errors.Is(err, callboard.ErrInvalidArgument), "a gap", err)
	err = beat(9, strings.Repeat("x", 65_537))
	expect(t, errors.Is(err, callboard.ErrInvalidArgument) && strings.Contains(err.Error(), "output[0]"), "refused here", err)
	var shown []string
	for _, chunk := range all(t, client.Output(ctx, created.GetTaskId(), &callboard.OutputOptions{PageSize: 1})) {
		shown = append(shown, fmt.Sprintf("%d-%d %v", chunk.GetOffset(), callboard.OutputEnd(chunk), must[any](t)(callboard.Decode[any](chunk.GetData()))))
	}
	expect(t, strings.Join(shown, ", ") == "0-3 one, 3-4 2, 4-9 [116 104 114 101 101]", "kept", shown)
}

func TestOutputIsWatchedWhileTheHandlerWorksAndTheServerGoes(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	proceed := make(chan struct{})
	callboard.Handle(agent, "talk", func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		for at := range 100 {
			if at == 50 {
				<-proceed
			}
			if err := task.Output(ctx, fmt.Sprintf("%d;", at)); err != nil {
				return "", err
			}
		}
		return "done", nil
	}, nil)
	attached(t, agent)
	created := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "talk"}, nil))
	var heard strings.Builder
	for chunk, err := range client.WatchOutput(ctx, created.GetTaskId(), nil) {
		check(t, err)
		before := strings.Contains(heard.String(), ";49;")
		heard.WriteString(must[string](t)(callboard.Decode[string](chunk.GetData())))
		if !before && strings.Contains(heard.String(), ";49;") {
			server.Kill()
			close(proceed)
			server.Start()
		}
	}
	var want strings.Builder
	for at := range 100 {
		fmt.Fprintf(&want, "%d;", at)
	}
	expect(t, heard.String() == want.String(), "each once, in order", heard.String())
	drained(t, agent)
}
