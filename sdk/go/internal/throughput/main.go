// Command throughput measures how many tasks a second go through the SDK, and how long one takes: tasks of the type noop, which do nothing,
// from the client's Run to its result, each step of theirs durable.
//
//	throughput agent --slots 64
//	throughput client --tasks 20000 --in-flight 64 --idle 200
//
// The server is the one that CALLBOARD_ADDRESS names. With --profile each writes where its processor time went, for `go tool pprof`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"callboard.dev/sdk/go"
)

const taskType = "noop"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("say what to be: agent or client")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	profile := flags.String("profile", "", "a file for the processor profile")
	var do func(context.Context) error
	switch arguments[0] {
	case "agent":
		slots := flags.Int("slots", 64, "how many tasks at once")
		do = func(ctx context.Context) error { return serve(ctx, *slots) }
	case "client":
		var l load
		flags.IntVar(&l.tasks, "tasks", 20_000, "how many tasks to measure the throughput with")
		flags.IntVar(&l.inFlight, "in-flight", 64, "how many of them at once")
		flags.IntVar(&l.idle, "idle", 200, "how many tasks to measure the latency with, one at a time")
		do = l.measure
	default:
		return fmt.Errorf("%q is neither agent nor client", arguments[0])
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	if *profile != "" {
		into, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer func() { _ = into.Close() }()
		if err := pprof.StartCPUProfile(into); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return do(ctx)
}

// serve is the agent, until it is told to end.
func serve(ctx context.Context, slots int) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: taskType, Slots: slots})
	if err != nil {
		return err
	}
	callboard.Handle(agent, taskType, func(context.Context, any, *callboard.Context) (any, error) { return nil, nil }, nil)
	return agent.Run(ctx)
}

// load is what the client submits.
type load struct{ tasks, inFlight, idle int }

// figures are what came of it, in one line.
type figures struct {
	SDK            string  `json:"sdk"`
	TasksPerSecond float64 `json:"tasks_per_second"`
	IdleP50        float64 `json:"idle_p50_ms"`
	IdleP99        float64 `json:"idle_p99_ms"`
	Tasks          int     `json:"tasks"`
	InFlight       int     `json:"in_flight"`
}

func (l *load) measure(ctx context.Context) error {
	if l.tasks < 1 || l.inFlight < 1 || l.idle < 1 {
		return errors.New("--tasks, --in-flight and --idle are at least 1")
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	// What is only slow the first time isn't measured.
	if err := l.submit(ctx, client, l.tasks/20+1); err != nil {
		return err
	}
	began := time.Now()
	if err := l.submit(ctx, client, l.tasks); err != nil {
		return err
	}
	took := time.Since(began)
	latencies := make([]time.Duration, l.idle)
	for at := range latencies {
		began := time.Now()
		if err := one(ctx, client); err != nil {
			return err
		}
		latencies[at] = time.Since(began)
	}
	slices.Sort(latencies)
	return json.NewEncoder(os.Stdout).Encode(figures{
		SDK: "go", TasksPerSecond: float64(l.tasks) / took.Seconds(), Tasks: l.tasks, InFlight: l.inFlight,
		IdleP50: percentile(latencies, 50), IdleP99: percentile(latencies, 99),
	})
}

// submit runs so many tasks, as many at once as there may be.
func (l *load) submit(ctx context.Context, client *callboard.Client, tasks int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var begun atomic.Int64
	var all sync.WaitGroup
	for range l.inFlight {
		all.Go(func() {
			for begun.Add(1) <= int64(tasks) && ctx.Err() == nil {
				if err := one(ctx, client); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func one(ctx context.Context, client *callboard.Client) error {
	_, err := callboard.Run[any](ctx, client, callboard.NewTask{Type: taskType}, nil)
	return err
}

// percentile is the smallest of sorted latencies that so many of a hundred don't pass, in milliseconds.
func percentile(sorted []time.Duration, percent int) float64 {
	at := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(at, 1)-1].Microseconds()) / 1000
}
