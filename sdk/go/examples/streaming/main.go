// Streaming gives its answer word by word, while a client watches.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"callboard.dev/sdk/go"
)

func answer(ctx context.Context, question string, task *callboard.Context) (int, error) {
	// A model would give these.
	words := strings.SplitAfter("You asked: "+question+" The answer is 42.", " ")
	for _, word := range words {
		if err := task.Output(ctx, word); err != nil {
			return 0, err
		}
	}
	return len(words), nil
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "answerer"})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "answer", answer, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	receipt, err := client.Create(ctx, callboard.NewTask{Type: "answer", Input: "What is it all about?"}, nil)
	if err != nil {
		return err
	}
	for chunk, err := range client.WatchOutput(ctx, receipt.GetTaskId(), nil) {
		if err != nil {
			return err
		}
		words, err := callboard.Decode[string](chunk.GetData())
		if err != nil {
			return err
		}
		fmt.Print(words)
	}
	fmt.Println()
	count, err := callboard.Result[int](ctx, client, receipt.GetTaskId())
	if err != nil {
		return err
	}
	fmt.Println(count, "words")
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
