package main

import (
	"context"
	"encoding/json"
	"errors"

	"callboard.dev/sdk/go"
)

// agent is one that was started.
type agent struct {
	*callboard.Agent
	// failed is closed when an agent that has the signals ended with an error, which is written before; it may never have begun.
	failed chan struct{}
	err    error
}

type agentOptions struct {
	Name         string             `field:"name"`
	AgentType    string             `field:"agent_type,optional"`
	Role         string             `field:"role,optional"`
	Skills       []string           `field:"skills,optional"`
	Tools        []string           `field:"tools,optional"`
	Labels       map[string]string  `field:"labels,optional"`
	Resources    map[string]float64 `field:"resources,optional"`
	Slots        int                `field:"slots,optional"`
	BuildID      string             `field:"build_id,optional"`
	Address      string             `field:"address"`
	Namespace    string             `field:"namespace"`
	DrainTimeout milliseconds       `field:"drain_timeout_ms,optional"`
	Token        string             `field:"token,optional"`
	Health       string             `field:"health,optional"`
	Interceptors []interceptor      `field:"interceptors,optional"`
}

func (o *agentOptions) UnmarshalJSON(text []byte) error { return readObject(text, o) }

func (o *agentOptions) given() *callboard.AgentOptions {
	return &callboard.AgentOptions{
		AgentType: o.AgentType, Name: o.Name, Role: o.Role, Skills: o.Skills, Tools: o.Tools, Labels: o.Labels,
		Resources: o.Resources, Slots: o.Slots, BuildID: o.BuildID, Address: o.Address, Namespace: o.Namespace, DrainTimeout: o.DrainTimeout.duration(),
		Credentials: credentials(o.Token), Health: o.Health, Interceptors: made(o.Interceptors),
	}
}

func credentials(token string) *callboard.Credentials {
	if token == "" {
		return nil
	}
	return &callboard.Credentials{Token: token}
}

type handlerOptions struct {
	Type         string          `field:"type"`
	Program      json.RawMessage `field:"program,optional"`
	Typed        string          `field:"typed,optional"`
	Description  string          `field:"description,optional"`
	InputSchema  json.RawMessage `field:"input_schema,optional"`
	OutputSchema json.RawMessage `field:"output_schema,optional"`
	// Style is for SDKs with two kinds of handlers.
	Style string `field:"style,optional"`
}

func (o *handlerOptions) UnmarshalJSON(text []byte) error { return readObject(text, o) }

func (o *handlerOptions) add(to *callboard.Agent, d *driver) error {
	if o.Program == nil {
		return addTyped(to, o.Type, o.Typed)
	}
	played, err := readProgram(o.Program, taskActs)
	if err != nil {
		return err
	}
	callboard.Handle(to, o.Type, d.taskHandler(played), &callboard.HandlerOptions{
		Description: o.Description, InputSchema: string(o.InputSchema), OutputSchema: string(o.OutputSchema),
	})
	return nil
}

type startAgent struct {
	Agent     string           `field:"agent"`
	Options   agentOptions     `field:"options"`
	Handlers  []handlerOptions `field:"handlers"`
	OnMessage json.RawMessage  `field:"on_message,optional"`
	Signals   bool             `field:"signals,optional"`
}

func (s *startAgent) begin(d *driver) (work, error) {
	made, err := callboard.NewAgent(s.Options.given())
	if err != nil {
		return nil, err
	}
	for _, one := range s.Handlers {
		if err := one.add(made, d); err != nil {
			return nil, err
		}
	}
	if s.OnMessage != nil {
		played, err := readProgram(s.OnMessage, messageActs)
		if err != nil {
			return nil, err
		}
		made.OnMessage(d.messageHandler(played))
	}
	started := &agent{Agent: made, failed: make(chan struct{})}
	d.agents.put(s.Agent, started)
	if s.Signals {
		go started.run()
		return done, nil
	}
	return done, made.Start(context.Background())
}

func (a *agent) run() {
	if a.err = a.Run(context.Background()); a.err != nil {
		close(a.failed)
	}
}

// during waits for something of the agent, for so long. It gives false when the time was over.
func (a *agent) during(ctx context.Context, timeout milliseconds, wait func(context.Context) error) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, timeout.duration())
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- wait(limited) }()
	select {
	case err := <-waited:
		if err != nil && limited.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			return false, nil
		}
		return err == nil, err
	case <-a.failed:
		return false, a.err
	}
}

func (a *agent) status(attached bool) object {
	return object{"attached": attached, "agent_id": a.AgentID(), "session_epoch": a.SessionEpoch()}
}

type awaitAttachment struct {
	Agent   string       `field:"agent"`
	Timeout milliseconds `field:"timeout_ms"`
}

func (i *awaitAttachment) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	return func(ctx context.Context) (any, error) {
		attached, err := of.during(ctx, i.Timeout, of.WaitAttached)
		return of.status(attached), err
	}, err
}

type askStatus struct {
	Agent string `field:"agent"`
}

func (i *askStatus) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	return func(context.Context) (any, error) { return of.status(of.Attached()), nil }, err
}

type askHealth struct {
	Agent string `field:"agent"`
}

func (i *askHealth) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	return func(context.Context) (any, error) { return object{"address": of.HealthAddress()}, nil }, err
}

type drainAgent struct {
	Agent string `field:"agent"`
}

func (i *drainAgent) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	if err != nil {
		return nil, err
	}
	return done, of.Drain()
}

type stopAgent struct {
	Agent string `field:"agent"`
}

func (i *stopAgent) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	return func(context.Context) (any, error) { return object{}, of.Stop() }, err
}

type awaitAgent struct {
	Agent   string       `field:"agent"`
	Timeout milliseconds `field:"timeout_ms"`
}

func (i *awaitAgent) begin(d *driver) (work, error) {
	of, err := d.agents.get(i.Agent)
	return func(ctx context.Context) (any, error) {
		ended, err := of.during(ctx, i.Timeout, of.Wait)
		return object{"ended": ended}, err
	}, err
}
