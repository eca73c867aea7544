package callboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

const (
	sdkName             = "go"
	maxSlots            = 1000
	defaultDrainTimeout = 30 * time.Second
)

// AgentOptions say what an agent is, where it connects, and as whom. What is empty is taken from the environment, where there is a
// variable.
type AgentOptions struct {
	// AgentType is what kind of agent it is, which many may be: researcher. Default "agent".
	AgentType string
	// Name is unique in the namespace: the agent's identity, which outlives its connections (CALLBOARD_AGENT_NAME). Default: made up
	// of the type, the host, the process id and four random digits.
	Name string
	// Role in the team: supervisor. At most 128 bytes.
	Role string
	// Skills are what it can do, Tools what it can use. At most 128 of each.
	Skills, Tools []string
	// Labels are facts to be matched by a task's affinity. At most 64.
	Labels map[string]string
	// Resources are amounts that it has of something: gpu. Tasks that ask for some take it while they hold a slot; what is not named here
	// it has none of. At most 32.
	Resources map[string]float64
	// Slots is how many tasks it takes at once: 1 to 1,000. Default 1.
	Slots int
	// BuildID is the build of the agent's program, to tell deployments apart. At most 128 bytes.
	BuildID string
	// Address is a comma-separated list of http:// or https:// URLs, tried in turn (CALLBOARD_ADDRESS). Default http://127.0.0.1:7470.
	Address string
	// Namespace is the unit of isolation (CALLBOARD_NAMESPACE). Default "default".
	Namespace string
	// Credentials say who the agent is.
	Credentials *Credentials
	// Health is host:port where the agent answers probes by HTTP from its start to its end (CALLBOARD_HEALTH): GET /healthz is 200 as long
	// as the agent goes on, GET /readyz while it is attached and takes tasks. Port 0 is any free one: see [Agent.HealthAddress]. Default:
	// nowhere.
	Health string
	// Interceptors stand around the handler of every attempt, and around what its client and [StartChild] submit; the first is the
	// outermost.
	Interceptors []Interceptor
	// DrainTimeout is how long handlers may go on when the agent drains. Default 30 s, also for 0: [Agent.DrainWithin] takes a 0 as such.
	DrainTimeout time.Duration
	// KeepSignals leaves SIGTERM and SIGINT to the program: [Agent.Run] then drains when its context ends, and not by a signal.
	KeepSignals bool
	// Logger takes what the agent has to say. Default: slog.Default().
	Logger *slog.Logger
}

// Agent attaches to the server, and runs handlers for the tasks that it is given: register them with [Handle], then [Agent.Run] it. It
// is safe for concurrent use.
type Agent struct {
	options   AgentOptions
	namespace string
	name      string
	addresses []address
	identity  *identity
	log       *slog.Logger

	mu        sync.Mutex
	handlers  map[string]handler
	types     []string
	onMessage func(context.Context, *Message) error
	// mistake is the first of registering handlers. Start gives it.
	mistake error
	live    *live
	health  *health
	// begun is closed when there is a live.
	begun chan struct{}
}

// NewAgent makes an agent; nil options mean the environment and the defaults.
//
// The error is an [*Error] of the kind [ErrInvalidArgument] that names the option that is wrong.
func NewAgent(options *AgentOptions) (*Agent, error) {
	chosen := AgentOptions{}
	if options != nil {
		chosen = *options
	}
	chosen.AgentType = first(chosen.AgentType, defaultType)
	if chosen.Slots == 0 {
		chosen.Slots = 1
	}
	if chosen.Slots < 1 || chosen.Slots > maxSlots {
		return nil, invalid("slots", fmt.Sprintf("slots is %d: give 1 to 1,000", chosen.Slots))
	}
	if chosen.DrainTimeout < 0 {
		return nil, invalid("drain_timeout", fmt.Sprintf("drain_timeout is %v: give more than 0, or 0 for the default of 30s", chosen.DrainTimeout))
	}
	if chosen.DrainTimeout == 0 {
		chosen.DrainTimeout = defaultDrainTimeout
	}
	if chosen.Logger == nil {
		chosen.Logger = slog.Default()
	}
	chosen.Health = first(chosen.Health, os.Getenv("CALLBOARD_HEALTH"))
	addresses, err := resolveAddresses(chosen.Address, os.Getenv)
	if err != nil {
		return nil, err
	}
	id, err := resolveIdentity(chosen.Credentials, os.Getenv)
	if err != nil {
		return nil, err
	}
	if err := id.check(addresses...); err != nil {
		return nil, err
	}
	return &Agent{
		options:   chosen,
		namespace: resolveNamespace(chosen.Namespace, os.Getenv),
		name:      resolveName(chosen.Name, chosen.AgentType, os.Getenv, fillRandom),
		addresses: addresses,
		identity:  id,
		log:       chosen.Logger,
		handlers:  map[string]handler{},
		begun:     make(chan struct{}),
	}, nil
}

// Name is the agent's name, unique in its namespace.
func (a *Agent) Name() string {
	return a.name
}

// Namespace is the namespace that the agent works in.
func (a *Agent) Namespace() string {
	return a.namespace
}

// Run runs the agent until it has drained or stopped. It drains when the context ends, and at SIGTERM and SIGINT: nothing new comes,
// what runs may end within the drain's time, the rest is handed back. A second signal ends it at once.
//
// The error is nil after a drain or a stop; else it says why the server won't have the agent and trying again can't help, or what was
// wrong with its handlers.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	live, _ := a.started()
	signals := make(chan os.Signal, 2)
	if !a.options.KeepSignals {
		signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
		defer signal.Stop(signals)
	}
	for count := 0; ; {
		select {
		case <-live.finished:
			return live.err
		case got := <-signals:
			count++
			if count > 1 {
				a.log.Info("stopping", "signal", got.String())
				live.stop()
				continue
			}
			a.log.Info("draining", "signal", got.String())
			live.drain(a.options.DrainTimeout)
		}
	}
}

// Start starts the agent in the background and returns. An agent starts once. Handlers get the values of the context; when it ends, the
// agent drains. An address in Health that can't be listened at is an error, and nothing has begun then.
func (a *Agent) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.mistake != nil:
		return a.mistake
	case a.live != nil:
		return errors.New("the agent has started already: make another")
	case len(a.handlers) == 0:
		return errors.New("the agent has no handlers: add one with callboard.Handle")
	}
	probed, err := listenForProbes(a.options.Health)
	if err != nil {
		return err
	}
	live, err := newLive(a, context.WithoutCancel(ctx))
	if err != nil {
		probed.close()
		return err
	}
	a.live, a.health = live, probed
	close(a.begun)
	probed.serve(live.stands, a.log)
	live.start(ctx)
	return nil
}

// profile is what the agent says of itself.
func (a *Agent) profile() *callboardv1.AgentProfile {
	profile := &callboardv1.AgentProfile{
		Name: a.name, AgentType: a.options.AgentType, Role: a.options.Role,
		Skills: a.options.Skills, Tools: a.options.Tools, Labels: a.options.Labels, Resources: a.options.Resources,
		Slots: int32(a.options.Slots), Sdk: sdkName, SdkVersion: Version, BuildId: a.options.BuildID,
	}
	for _, taskType := range a.types {
		profile.Handles = append(profile.Handles, a.handlers[taskType].proto(taskType))
	}
	leaveOutSchemas(profile.Handles, a.log)
	return profile
}

func (a *Agent) started() (*live, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live == nil {
		return nil, errors.New("the agent has not started: call Start or Run")
	}
	return a.live, nil
}

// awaitStart waits until the agent has started: another goroutine may be about to run it.
func (a *Agent) awaitStart(ctx context.Context) (*live, error) {
	select {
	case <-a.begun:
		return a.started()
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// Attached says whether its stream is open now.
func (a *Agent) Attached() bool {
	live, err := a.started()
	return err == nil && live.stands().Attached
}

// AgentID is its id; empty before it was first attached.
func (a *Agent) AgentID() string {
	if live, err := a.started(); err == nil {
		return live.stands().AgentID
	}
	return ""
}

// SessionEpoch is the epoch of its latest session; 0 before it was first attached.
func (a *Agent) SessionEpoch() int64 {
	if live, err := a.started(); err == nil {
		return live.stands().Epoch
	}
	return 0
}

// HealthAddress is host:port where the agent answers probes: the one of AgentOptions.Health, with the port that it got. Empty before it
// has started, and without that option.
func (a *Agent) HealthAddress() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.health.address()
}

// WaitAttached waits until the stream is open; until the agent has started, if it hasn't. The error says why the stream isn't open: what
// ended the agent, or that the context ended before.
func (a *Agent) WaitAttached(ctx context.Context) error {
	live, err := a.awaitStart(ctx)
	if err != nil {
		return err
	}
	return live.waitAttached(ctx)
}

// Drain takes nothing new and ends when what runs is done; what still runs after the agent's DrainTimeout is handed back. It returns
// at once: [Agent.Wait] waits for the end.
func (a *Agent) Drain() error {
	return a.DrainWithin(a.options.DrainTimeout)
}

// DrainWithin is [Agent.Drain] with another time for what runs; 0 hands it back at once.
func (a *Agent) DrainWithin(timeout time.Duration) error {
	live, err := a.started()
	if err != nil {
		return err
	}
	live.drain(timeout)
	return nil
}

// Stop ends the agent at once, and returns when it has ended. The server gives what was running to others.
func (a *Agent) Stop() error {
	live, err := a.started()
	if err != nil {
		return err
	}
	live.stop()
	<-live.finished
	return live.err
}

// Wait waits for the agent's end, also of one that has not started yet. The error is the one of [Agent.Run], or says that the context
// ended before.
func (a *Agent) Wait(ctx context.Context) error {
	live, err := a.awaitStart(ctx)
	if err != nil {
		return err
	}
	select {
	case <-live.finished:
		return live.err
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// errStopped is what those hear who wait for something of an agent that has ended without an error.
func errStopped() error {
	return &Error{Code: codes.Unavailable, Message: "the agent has stopped"}
}
