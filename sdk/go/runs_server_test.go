package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

func TestRunsInFlightOutliveTheServerAndMakeOneTaskEach(t *testing.T) {
	const inFlight, rounds = 64, 3
	server := testserver.Start(t)
	agent := newAgent(t, callboard.AgentOptions{Slots: inFlight, Address: server.Address})
	// Each round, all runs are on the stream before their handlers go on, which they do while the server is gone.
	var gates [rounds]chan struct{}
	began := make(chan struct{}, inFlight*rounds)
	for round := range gates {
		gates[round] = make(chan struct{})
	}
	callboard.Handle(agent, "survive", func(_ context.Context, in [2]int, _ *callboard.Context) ([2]int, error) {
		began <- struct{}{}
		<-gates[in[0]]
		return in, nil
	}, nil)
	attached(t, agent)
	client, ctx := clientOf(t, server), limited(t)
	for round := range gates {
		var all sync.WaitGroup
		for at := range inFlight {
			all.Go(func() {
				given := [2]int{round, at}
				came, err := callboard.Run[[2]int](ctx, client, callboard.NewTask{Type: "survive", Input: given}, nil)
				expect(t, err == nil && came == given, "its own outcome", given, came, err)
			})
		}
		for range inFlight {
			receive(t, began)
		}
		server.Kill()
		close(gates[round])
		server.Start()
		all.Wait()
	}
	tasks := all(t, client.List(ctx, &callboard.ListOptions{Type: "survive", PageSize: 1000}))
	expect(t, len(tasks) == inFlight*rounds, "one task each", len(tasks))
	for _, task := range tasks {
		expect(t, task.GetState() == callboard.StateCompleted && task.GetAttemptsUsed() <= 1, "done once", task)
	}
}

func TestWhatTheServerRefusesOfARunNamesTheFieldAndOthersGoOn(t *testing.T) {
	server := testserver.Start(t)
	client, ctx, work := clientOf(t, server), limited(t), worker(t, server)
	var all sync.WaitGroup
	for at := range 8 {
		all.Go(func() {
			_, err := callboard.Run[any](ctx, client, callboard.NewTask{Type: work, Input: at}, nil)
			expect(t, err == nil, "goes on", err)
		})
		all.Go(func() {
			_, err := callboard.Run[any](ctx, client, callboard.NewTask{Type: "a b", Tags: []string{""}}, nil)
			var refused *callboard.Error
			if !errors.As(err, &refused) || len(refused.Violations) != 2 {
				t.Error("two fields are wrong", err)
				return
			}
			fields := refused.Violations[0].Field + " " + refused.Violations[1].Field
			expect(t, errors.Is(err, callboard.ErrInvalidArgument) && fields == "task.type task.tags", "refused", refused)
		})
	}
	all.Wait()
	elsewhere := newClient(t, &callboard.ClientOptions{Address: server.Address, Namespace: "nowhere"})
	_, err := callboard.Run[any](ctx, elsewhere, callboard.NewTask{Type: work}, nil)
	expect(t, errors.Is(err, callboard.ErrNotFound), "no such namespace", err)
	_, err = callboard.Run[any](ctx, client, callboard.NewTask{Type: work}, &callboard.CommandOptions{RequestID: fmt.Sprintf("%0200d", 1)})
	expect(t, errors.Is(err, callboard.ErrInvalidArgument), "too long an id", err)
}

func TestARunWhoseRequestIDWasUsedHasTheSameOutcome(t *testing.T) {
	server := testserver.Start(t)
	client, ctx, work := clientOf(t, server), limited(t), worker(t, server)
	same := &callboard.CommandOptions{RequestID: "mine"}
	task := callboard.NewTask{Type: work, Input: "x"}
	var all sync.WaitGroup
	ids := make([]string, 4)
	for at := range ids {
		all.Go(func() {
			ended, err := client.RunUntilEnded(ctx, task, same)
			expect(t, err == nil, "ended", err)
			ids[at] = ended.GetId()
		})
	}
	all.Wait()
	expect(t, ids[0] != "" && ids[1] == ids[0] && ids[2] == ids[0] && ids[3] == ids[0], "one task", ids)
	_, err := client.RunUntilEnded(ctx, callboard.NewTask{Type: work, Input: "y"}, same)
	expect(t, reasonOf(err) == "REQUEST_ID_REUSED", "another request", err)
	brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = client.RunUntilEnded(brief, callboard.NewTask{Type: work, Input: "stuck"}, nil)
	expect(t, errors.Is(err, callboard.ErrDeadlineExceeded), "late", err)
}
