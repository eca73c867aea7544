package main

import (
	"context"

	"callboard.dev/sdk/go"
)

// caller is a client, with what is remembered of its claims.
type caller struct {
	client *callboard.Client
	claims *claims
	gates  *gates
}

// operation is an instruction to a client, read.
type operation interface {
	run(ctx context.Context, by *caller) (any, error)
}

// operations are all of them. Handlers carry them out, too, with the client of their context.
var operations = map[string]func() operation{
	"client.create":               func() operation { return new(createTask) },
	"client.create_all":           func() operation { return new(createTasks) },
	"client.run":                  func() operation { return new(runTask) },
	"client.run_all":              func() operation { return new(runTasks) },
	"client.get":                  func() operation { return new(getTask) },
	"client.list":                 func() operation { return new(listTasks) },
	"client.wait":                 func() operation { return new(awaitTask) },
	"client.result":               func() operation { return new(awaitResult) },
	"client.history":              func() operation { return new(listEvents) },
	"client.dependency_results":   func() operation { return new(listDependencies) },
	"client.children":             func() operation { return new(listChildren) },
	"client.output":               func() operation { return new(listOutput) },
	"client.cancel":               func() operation { return new(cancelTask) },
	"client.hold":                 func() operation { return new(holdTask) },
	"client.retry":                func() operation { return new(retryTask) },
	"client.release":              func() operation { return new(releaseTask) },
	"client.update":               func() operation { return new(updateTask) },
	"client.add_dependencies":     func() operation { return new(addDependencies) },
	"client.set_limits":           func() operation { return new(setLimits) },
	"client.claim":                func() operation { return new(claimTasks) },
	"client.heartbeat":            func() operation { return new(heartbeatTask) },
	"client.complete":             func() operation { return new(completeTask) },
	"client.fail":                 func() operation { return new(failTask) },
	"client.create_workflow":      func() operation { return new(createWorkflow) },
	"client.get_workflow":         func() operation { return new(getWorkflow) },
	"client.list_workflows":       func() operation { return new(listWorkflows) },
	"client.workflow_tasks":       func() operation { return new(listWorkflowTasks) },
	"client.wait_workflow":        func() operation { return new(awaitWorkflow) },
	"client.cancel_workflow":      func() operation { return new(cancelWorkflow) },
	"client.retry_workflow":       func() operation { return new(retryWorkflow) },
	"client.add_workflow_tasks":   func() operation { return new(addWorkflowTasks) },
	"client.hold_workflow":        func() operation { return new(holdWorkflow) },
	"client.release_workflow":     func() operation { return new(releaseWorkflow) },
	"client.forecast_workflow":    func() operation { return new(forecastWorkflow) },
	"client.explain":              func() operation { return new(explainTask) },
	"client.get_agent":            func() operation { return new(getAgent) },
	"client.cordon":               func() operation { return new(cordonAgent) },
	"client.uncordon":             func() operation { return new(uncordonAgent) },
	"client.list_agents":          func() operation { return new(listAgents) },
	"client.remove_agent":         func() operation { return new(removeAgent) },
	"client.send_message":         func() operation { return new(sendByCall) },
	"client.list_messages":        func() operation { return new(listMessages) },
	"client.acknowledge_messages": func() operation { return new(acknowledgeMessages) },
}

type openClient struct {
	Client       string        `field:"client"`
	Address      string        `field:"address"`
	Namespace    string        `field:"namespace"`
	Timeout      milliseconds  `field:"timeout_ms,optional"`
	Token        string        `field:"token,optional"`
	Interceptors []interceptor `field:"interceptors,optional"`
}

func (o *openClient) begin(d *driver) (work, error) {
	client, err := callboard.NewClient(&callboard.ClientOptions{
		Address: o.Address, Namespace: o.Namespace, Timeout: o.Timeout.duration(), Credentials: credentials(o.Token),
		Interceptors: made(o.Interceptors),
	})
	if err != nil {
		return nil, err
	}
	d.clients.put(o.Client, &caller{client, &d.claims, &d.gates})
	return done, nil
}

type closeClient struct {
	Client string `field:"client"`
}

func (c *closeClient) begin(d *driver) (work, error) {
	of, err := d.clients.get(c.Client)
	if err != nil {
		return nil, err
	}
	return done, of.client.Close()
}

// within gives the context of a wait, which lasts for ever unless it is limited.
func within(ctx context.Context, timeout *milliseconds) (context.Context, context.CancelFunc) {
	if timeout == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout.duration())
}
