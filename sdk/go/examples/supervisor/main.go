// Supervisor has one agent with one slot, whose handler gives out work and waits for it: each chapter is a task of its own, a child, and
// while the handler waits it needs no slot. Then it asks three readers, of whom two are enough: the author is away, and is asked no longer
// when the others have answered.
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

// report is what a book is.
type report struct {
	Words    int
	Opinions []string
}

func supervise(ctx context.Context, chapters []string, task *callboard.Context) (report, error) {
	words, err := countAll(ctx, chapters, task)
	if err != nil {
		return report{}, err
	}
	opinions, err := askReaders(ctx, chapters, task)
	return report{words, opinions}, err
}

func countAll(ctx context.Context, chapters []string, task *callboard.Context) (int, error) {
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

func askReaders(ctx context.Context, chapters []string, task *callboard.Context) ([]string, error) {
	var readers []*callboard.Child
	for _, name := range []string{"author", task.Agent(), task.Agent()} {
		child, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "read", Input: chapters, Assignee: name}, nil)
		if err != nil {
			return nil, err
		}
		readers = append(readers, child)
	}
	enough := &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel}
	answered, err := task.WaitChildren(ctx, readers, enough)
	if err != nil {
		return nil, err
	}
	var opinions []string
	for _, one := range answered {
		opinion, err := callboard.Decode[string](one.GetResult())
		if err != nil {
			return nil, err
		}
		opinions = append(opinions, opinion)
	}
	return opinions, nil
}

func read(_ context.Context, chapters []string, _ *callboard.Context) (string, error) {
	return fmt.Sprintf("I read %d chapters", len(chapters)), nil
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "supervisor", Slots: 1})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "supervise", supervise, nil)
	callboard.Handle(agent, "count", count, nil)
	callboard.Handle(agent, "read", read, nil)
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
	told, err := callboard.Result[report](ctx, client, receipt.GetTaskId())
	if err != nil {
		return err
	}
	for child, err := range client.Children(ctx, receipt.GetTaskId(), nil) {
		if err != nil {
			return err
		}
		fmt.Println(child.GetName(), child.GetOccurrence(), callboard.StateName(child.GetTask().GetState()))
	}
	fmt.Printf("%d words, and %d opinions: %q\n", told.Words, len(told.Opinions), told.Opinions)
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
