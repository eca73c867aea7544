// Supervisor has one agent with one slot, whose handler gives out work and waits for it: each chapter is a task of its own, a child, and
// while the handler waits it needs no slot.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"callboard.dev/sdk/go"
)

func count(_ context.Context, chapter string, _ *callboard.Context) (int, error) {
	return len(strings.Fields(chapter)), nil
}

func supervise(ctx context.Context, chapters []string, task *callboard.Context) (int, error) {
	var counts []*callboard.Child
	for _, chapter := range chapters {
		child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "count", Input: chapter}, nil)
		if err != nil {
			return 0, err
		}
		counts = append(counts, child)
	}
	total := 0
	for _, child := range counts {
		words, err := callboard.ChildResult[int](ctx, child)
		if err != nil {
			return 0, err
		}
		total += words
	}
	return total, nil
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "supervisor", Slots: 1})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "supervise", supervise, nil)
	callboard.Handle(agent, "count", count, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	book := callboard.NewTask{Type: "supervise", Input: []string{"It was a dark night.", "The wind blew.", "Then, silence."}}
	receipt, err := client.Create(ctx, book, nil)
	if err != nil {
		return err
	}
	words, err := callboard.Result[int](ctx, client, receipt.GetTaskId())
	if err != nil {
		return err
	}
	for child, err := range client.Children(ctx, receipt.GetTaskId(), nil) {
		if err != nil {
			return err
		}
		fmt.Println(child.GetName(), child.GetOccurrence(), callboard.StateName(child.GetTask().GetState()))
	}
	fmt.Println(words, "words")
	if err := agent.Drain(); err != nil {
		return err
	}
	return agent.Wait(ctx)
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
