package callboard_test

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

// long is how long anything may take, on a slow machine that does much else.
const long = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(burner) != "" {
		// A process of its own, with one thread of Go: see TestAHandlerThatBurnsItsProcessorKeepsItsLease.
		burn(os.Getenv(burner))
		return
	}
	for _, variable := range os.Environ() {
		// The address of a developer's server, say, must not reach the tests.
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CALLBOARD_") && name != "CALLBOARD_BIN" {
			_ = os.Unsetenv(name)
		}
	}
	// The goroutine of signals is the process's: there is one as soon as somebody asked for a signal.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt)
	signal.Stop(asked)
	before := runtime.NumGoroutine()
	code := m.Run()
	if left := settle(before); code == 0 && left > before {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		println("goroutines leaked:", left-before, "\n", string(stacks))
		code = 1
	}
	os.Exit(code)
}

// settle waits until no more goroutines run than there may, and says how many do.
func settle(most int) int {
	deadline := time.Now().Add(long)
	for runtime.NumGoroutine() > most && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

var numbers atomic.Int64

// unique gives a name that no other test uses.
func unique(name string) string {
	return name + "-" + strconv.FormatInt(numbers.Add(1), 10)
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

// until looks again and again until there is something.
func until(t *testing.T, what string, look func() bool) {
	t.Helper()
	for deadline := time.Now().Add(long); !look(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, ok bool, what string, seen ...any) {
	t.Helper()
	if !ok {
		t.Errorf("not so: %s %v", what, seen)
	}
}

func newClient(t *testing.T, options *callboard.ClientOptions) *callboard.Client {
	t.Helper()
	client := must[*callboard.Client](t)(callboard.NewClient(options))
	t.Cleanup(func() { check(t, client.Close()) })
	return client
}

func clientOf(t *testing.T, server *testserver.Server) *callboard.Client {
	t.Helper()
	return newClient(t, &callboard.ClientOptions{Address: server.Address})
}

// logs keeps what agents log.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// newAgent makes an agent whose log is shown when the test fails.
func newAgent(t *testing.T, options callboard.AgentOptions) *callboard.Agent {
	t.Helper()
	if options.Logger == nil {
		kept := &logs{}
		options.Logger = kept.logger()
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(kept.String())
			}
		})
	}
	return must[*callboard.Agent](t)(callboard.NewAgent(&options))
}

// attached starts an agent. It drains with the test.
func attached(t *testing.T, agent *callboard.Agent) *callboard.Agent {
	t.Helper()
	check(t, agent.Start(context.Background()))
	t.Cleanup(func() { _ = agent.Stop() })
	check(t, agent.WaitAttached(limited(t)))
	return agent
}

func drained(t *testing.T, agents ...*callboard.Agent) {
	t.Helper()
	for _, agent := range agents {
		check(t, agent.Drain())
		check(t, agent.Wait(limited(t)))
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(long):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// all collects what an iterator gives.
func all[T any](t *testing.T, items func(func(T, error) bool)) []T {
	t.Helper()
	var found []T
	for item, err := range items {
		check(t, err)
		found = append(found, item)
	}
	return found
}
