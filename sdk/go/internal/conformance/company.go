package main

import (
	"context"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// What a client asks of agents and of their mailboxes.

type getAgent struct {
	Name string `field:"name"`
}

func (g *getAgent) run(ctx context.Context, by *caller) (any, error) {
	return found(by.client.GetAgent(ctx, g.Name))
}

func found(given *callboardv1.Agent, err error) (any, error) {
	return showAgent(given), err
}

type cordonAgent struct {
	Name string `field:"name"`
}

func (c *cordonAgent) run(ctx context.Context, by *caller) (any, error) {
	return found(by.client.Cordon(ctx, c.Name, nil))
}

type uncordonAgent struct {
	Name string `field:"name"`
}

func (u *uncordonAgent) run(ctx context.Context, by *caller) (any, error) {
	return found(by.client.Uncordon(ctx, u.Name, nil))
}

type listAgents struct {
	States    []named[callboardv1.AgentState] `field:"states,optional"`
	AgentType string                          `field:"agent_type,optional"`
	PageSize  int                             `field:"page_size,optional"`
}

func (l *listAgents) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.ListAgentsOptions{AgentType: l.AgentType, PageSize: l.PageSize}
	for _, state := range l.States {
		options.States = append(options.States, state.is)
	}
	agents, err := showAll(by.client.ListAgents(ctx, options), always(showAgent))
	return object{"agents": agents}, err
}

type removeAgent struct {
	Name string `field:"name"`
}

func (r *removeAgent) run(ctx context.Context, by *caller) (any, error) {
	return object{}, by.client.RemoveAgent(ctx, r.Name, nil)
}

type sendByCall struct {
	To        string            `field:"to"`
	Body      value             `field:"body"`
	Headers   map[string]string `field:"headers,optional"`
	TTL       milliseconds      `field:"ttl_ms,optional"`
	RequestID string            `field:"request_id,optional"`
}

func (s *sendByCall) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.MessageOptions{Headers: s.Headers, TTL: s.TTL.duration(), RequestID: s.RequestID}
	sent, err := by.client.SendMessage(ctx, s.To, s.Body.is, options)
	return object{"message_id": sent.GetMessageId(), "sequence": sent.GetSequence()}, err
}

type listMessages struct {
	Agent string `field:"agent"`
}

func (l *listMessages) run(ctx context.Context, by *caller) (any, error) {
	messages, err := showAll(by.client.ListMessages(ctx, l.Agent), showMessage)
	return object{"messages": messages}, err
}

type acknowledgeMessages struct {
	Agent      string   `field:"agent"`
	MessageIDs []string `field:"message_ids"`
}

func (a *acknowledgeMessages) run(ctx context.Context, by *caller) (any, error) {
	count, err := by.client.AcknowledgeMessages(ctx, a.Agent, a.MessageIDs...)
	return object{"acknowledged": count}, err
}
