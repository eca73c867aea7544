// Pipeline creates tasks that depend on each other, and does them: each chapter is counted, then all are added up.
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

func sum(ctx context.Context, _ any, task *callboard.Context) (int, error) {
	counts, err := task.Dependencies(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, one := range counts {
		words, err := callboard.Decode[int](one.GetResult())
		if err != nil {
			return 0, err
		}
		total += words
	}
	return total, nil
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "counter", Slots: 4})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "count", count, nil)
	callboard.Handle(agent, "sum", sum, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	var chapters []callboard.NewTask
	for _, text := range []string{"It was a dark night.", "The wind blew.", "Then, silence."} {
		chapters = append(chapters, callboard.NewTask{Type: "count", Input: text})
	}
	receipts, err := client.CreateAll(ctx, chapters, nil)
	if err != nil {
		return err
	}
	total := callboard.NewTask{Type: "sum"}
	for _, receipt := range receipts {
		total.DependsOn = append(total.DependsOn, callboard.Dependency{TaskID: receipt.GetTaskId()})
	}
	words, err := callboard.Run[int](ctx, client, total, nil)
	if err != nil {
		return err
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
