package callboard_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

type greeting struct {
	Name string `json:"name"`
}

func TestAnAgentGreets(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{AgentType: "greeter", Address: server.Address})
	callboard.Handle(agent, "greet", func(_ context.Context, in greeting, task *callboard.Context) (string, error) {
		task.Progress(0.5, "executing", "")
		return "Hello, " + in.Name + "!", nil
	}, nil)
	attached(t, agent)
	got := must[string](t)(callboard.Run[string](ctx, client, callboard.NewTask{Type: "greet", Input: greeting{"Ada"}}, nil))
	expect(t, got == "Hello, Ada!", "greets", got)
	drained(t, agent)
}

func TestAnAgentTellsHowItStands(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(agent, "t", nothing, nil)
	expect(t, !agent.Attached() && agent.AgentID() == "" && agent.SessionEpoch() == 0, "not yet")
	attached(t, agent)
	known, err := client.GetAgent(ctx, "ann")
	check(t, err)
	expect(t, known.GetId() == agent.AgentID() && known.GetSessionEpoch() == agent.SessionEpoch(), "the server's", known)
	expect(t, known.GetProfile().GetAgentType() == "agent" && known.GetProfile().GetSdk() == "go", "its profile", known)
	before := agent.SessionEpoch()
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !agent.Attached() })
	soon, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	expect(t, errors.Is(agent.WaitAttached(soon), callboard.ErrDeadlineExceeded), "not attached")
	server.Start()
	check(t, agent.WaitAttached(ctx))
	expect(t, agent.SessionEpoch() > before, "another session")
	drained(t, agent)
	expect(t, !agent.Attached() && errors.Is(agent.WaitAttached(ctx), callboard.ErrUnavailable), "over")
}

func TestTheServerKnowsTheSchemasOfTypes(t *testing.T) {
	server := testserver.Start(t)
	agent := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(agent, "greet", func(context.Context, greeting, *callboard.Context) (any, error) { return nil, nil }, nil)
	attached(t, agent)
	known, err := clientOf(t, server).GetAgent(limited(t), "ann")
	check(t, err)
	handler := known.GetProfile().GetHandles()[0]
	want := `{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false}`
	expect(t, handler.GetInputSchema() == want && handler.GetOutputSchema() == "", "schemas", handler)
	drained(t, agent)
}

func nothing(context.Context, any, *callboard.Context) (any, error) { return nil, nil }

func TestWhoWaitsHearsWhyTheAgentCanNotAttach(t *testing.T) {
	server := testserver.Start(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address, Namespace: "nowhere"})
	callboard.Handle(agent, "t", nothing, nil)
	check(t, agent.Start(t.Context()))
	err := agent.WaitAttached(limited(t))
	var refused *callboard.Error
	expect(t, errors.As(err, &refused) && refused.Reason == "NAMESPACE_NOT_FOUND" && errors.Is(err, callboard.ErrNotFound), "why", err)
	expect(t, errors.Is(agent.Wait(limited(t)), callboard.ErrNotFound), "the same for who waits for the end")
}

func TestAnotherProgramUnderTheNameEndsTheAgent(t *testing.T) {
	server := testserver.Start(t)
	started := make(chan struct{})
	first := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	stopped := make(chan error, 1)
	callboard.Handle(first, "stuck", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		close(started)
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return nil, ctx.Err()
	}, nil)
	attached(t, first)
	client := clientOf(t, server)
	must[*callboard.TaskReceipt](t)(client.Create(limited(t), callboard.NewTask{Type: "stuck"}, nil))
	receive(t, started)
	second := newAgent(t, callboard.AgentOptions{Name: "ann", Address: server.Address})
	callboard.Handle(second, "other", nothing, nil)
	attached(t, second)
	err := first.Wait(limited(t))
	var refused *callboard.Error
	expect(t, errors.As(err, &refused) && refused.Reason == "SESSION_SUPERSEDED", "superseded", err)
	var why *callboard.Cancellation
	expect(t, errors.As(receive(t, stopped), &why) && why.Reason == "LEASE_LOST", "its handler is told", why)
	expect(t, second.Attached(), "the other goes on")
	drained(t, second)
}

func TestAnAgentCanBeWaitedForBeforeItRuns(t *testing.T) {
	server := testserver.Start(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	callboard.Handle(agent, "t", nothing, nil)
	early, cancel := context.WithCancel(limited(t))
	cancel()
	for _, wait := range []func(context.Context) error{agent.WaitAttached, agent.Wait} {
		expect(t, errors.Is(wait(early), context.Canceled), "for as long as the context lasts")
	}
	attached, ended := make(chan error, 1), make(chan error, 1)
	go func() { attached <- agent.WaitAttached(limited(t)) }()
	go func() { ended <- agent.Wait(limited(t)) }()
	run, end := context.WithCancel(limited(t))
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(run) }()
	check(t, receive(t, attached))
	end()
	check(t, receive(t, ran))
	check(t, receive(t, ended))
}

func TestAttemptsAndReportsOutliveTheServer(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Slots: 2, Address: server.Address})
	began, proceed := make(chan int, 4), make(chan struct{})
	callboard.Handle(agent, "slow", func(ctx context.Context, _ any, task *callboard.Context) (string, error) {
		began <- task.Attempt()
		<-proceed
		// The server is away when this is asked for.
		return "done", task.SaveCheckpoint(ctx, "half")
	}, nil)
	attached(t, agent)
	one := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "slow"}, nil))
	two := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "slow"}, nil))
	receive(t, began)
	receive(t, began)
	server.Kill()
	until(t, "the loss of the stream", func() bool { return !agent.Attached() })
	close(proceed)
	server.Start()
	for _, receipt := range []*callboard.TaskReceipt{one, two} {
		task := must[*callboard.Task](t)(client.Wait(ctx, receipt.GetTaskId()))
		expect(t, task.GetState() == callboard.StateCompleted && task.GetAttempt() == 1, "the same attempt", task)
	}
	drained(t, agent)
}

func TestACancelledHandlerIsToldThroughItsContext(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	began, cause := make(chan struct{}, 1), make(chan error, 1)
	callboard.Handle(agent, "stuck", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		began <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, ctx.Err()
	}, nil)
	attached(t, agent)
	receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "stuck"}, nil))
	receive(t, began)
	// What is not accepted yet ends at once.
	until(t, "the acceptance", func() bool {
		return must[*callboard.Task](t)(client.Get(ctx, receipt.GetTaskId())).GetState() == callboard.StateRunning
	})
	must[*callboard.TaskReceipt](t)(client.Cancel(ctx, receipt.GetTaskId(), &callboard.ReasonOptions{Reason: "enough"}))
	var why *callboard.Cancellation
	err := receive(t, cause)
	expect(t, errors.As(err, &why) && why.Reason == "REQUESTED" && errors.Is(err, context.Canceled), "why", err)
	task := must[*callboard.Task](t)(client.Wait(ctx, receipt.GetTaskId()))
	expect(t, task.GetState() == callboard.StateCancelled, "cancelled", task)
	_, err = callboard.Result[any](ctx, client, receipt.GetTaskId())
	var failed *callboard.TaskFailed
	expect(t, errors.As(err, &failed) && strings.Contains(err.Error(), "CANCELLED"), "no result", err)
	drained(t, agent)
}

func TestHandlersThatPanicFailTheirAttemptsAlone(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Slots: 3, Address: server.Address})
	callboard.Handle(agent, "panic", func(_ context.Context, in string, _ *callboard.Context) (string, error) {
		if in == "goexit" {
			runtime.Goexit()
		}
		if in == "fine" {
			return in, nil
		}
		panic("no: " + in)
	}, nil)
	attached(t, agent)
	once := callboard.RetryPolicy{MaxAttempts: 1}
	for _, input := range []string{"this", "goexit"} {
		task := must[*callboard.Task](t)(client.RunUntilEnded(ctx, callboard.NewTask{Type: "panic", Input: input, Retry: once}, nil))
		expect(t, task.GetState() == callboard.StateFailed && task.GetFailure().GetType() == "panic", "fails", task)
	}
	got := must[string](t)(callboard.Run[string](ctx, client, callboard.NewTask{Type: "panic", Input: "fine"}, nil))
	expect(t, got == "fine", "the agent goes on", got)
	drained(t, agent)
}

func TestADrainLetsHandlersEndAndHandsBackTheRest(t *testing.T) {
	server := testserver.Start(t)
	client, ctx := clientOf(t, server), limited(t)
	agent := newAgent(t, callboard.AgentOptions{Address: server.Address})
	began, proceed := make(chan struct{}, 1), make(chan struct{})
	callboard.Handle(agent, "slow", func(context.Context, any, *callboard.Context) (string, error) {
		began <- struct{}{}
		<-proceed
		return "done", nil
	}, nil)
	run, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(run) }()
	receipt := must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "slow"}, nil))
	receive(t, began)
	end()
	until(t, "the drain", func() bool {
		known, err := client.GetAgent(ctx, agent.Name())
		return err == nil && known.GetState().String() == "AGENT_STATE_DRAINING"
	})
	close(proceed)
	check(t, receive(t, ended))
	task := must[*callboard.Task](t)(client.Wait(ctx, receipt.GetTaskId()))
	expect(t, task.GetState() == callboard.StateCompleted && task.GetAttempt() == 1, "it may end", task)

	second := newAgent(t, callboard.AgentOptions{Address: server.Address})
	stuck := make(chan struct{}, 1)
	callboard.Handle(second, "stuck", func(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
		stuck <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}, nil)
	attached(t, second)
	receipt = must[*callboard.TaskReceipt](t)(client.Create(ctx, callboard.NewTask{Type: "stuck"}, nil))
	receive(t, stuck)
	check(t, second.DrainWithin(0))
	check(t, second.Wait(ctx))
	task = must[*callboard.Task](t)(client.Get(ctx, receipt.GetTaskId()))
	expect(t, task.GetState() == callboard.StateReady && task.GetAttemptsUsed() == 0, "handed back: it doesn't count", task)
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	server := testserver.Start(t)
	before := runtime.NumGoroutine()
	for range 3 {
		client := must[*callboard.Client](t)(callboard.NewClient(&callboard.ClientOptions{Address: server.Address}))
		agent := newAgent(t, callboard.AgentOptions{Slots: 4, Address: server.Address})
		callboard.Handle(agent, "t", nothing, nil)
		check(t, agent.Start(limited(t)))
		task := must[*callboard.Task](t)(client.RunUntilEnded(limited(t), callboard.NewTask{Type: "t"}, nil))
		for event, err := range client.Watch(&callboard.WatchOptions{TaskID: task.GetId()}).Events(limited(t)) {
			check(t, err)
			expect(t, event.GetSequence() == 1, "the stream is left open", event)
			break
		}
		drained(t, agent)
		check(t, client.Close())
	}
	expect(t, settle(before) <= before, "as many as before", runtime.NumGoroutine(), before)
}

// burner has the address in the process of its own.
const burner = "CALLBOARD_TEST_BURNER"

// burn is the program of a process of its own: an agent whose handler burns its processor.
func burn(address string) {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{Name: "burner", Address: address})
	if err != nil {
		panic(err)
	}
	callboard.Handle(agent, "burn", func(_ context.Context, seconds float64, _ *callboard.Context) (uint64, error) {
		var sum uint64
		for until := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(until); {
			for at := range uint64(1_000_000) {
				sum += at * at
			}
		}
		return sum, nil
	}, nil)
	if err := agent.Run(context.Background()); err != nil {
		panic(err)
	}
}

func TestAHandlerThatBurnsItsProcessorKeepsItsLease(t *testing.T) {
	// Three leases long, on one thread of Go. The lease is long enough for a machine that does much else.
	server := testserver.Start(t, "--stream-lease", "2s")
	client, ctx := clientOf(t, server), limited(t)
	program := must[string](t)(os.Executable())
	process := exec.Command(program)
	process.Env = append(testserver.Environment(), burner+"="+server.Address, "GOMAXPROCS=1")
	var output strings.Builder
	process.Stdout, process.Stderr = &output, &output
	check(t, process.Start())
	var over atomic.Bool
	t.Cleanup(func() {
		if !over.Load() {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	})
	task := must[*callboard.Task](t)(client.RunUntilEnded(ctx, callboard.NewTask{Type: "burn", Input: 6.5}, nil))
	expect(t, task.GetState() == callboard.StateCompleted && task.GetAttempt() == 1, "the first attempt completes", task)
	agent, err := client.GetAgent(ctx, "burner")
	check(t, err)
	expect(t, agent.GetSessionEpoch() == 1, "in its first session", agent)
	check(t, process.Process.Signal(os.Interrupt))
	err = process.Wait()
	over.Store(true)
	expect(t, err == nil, "it drains at the signal", err, output.String())
}
