// Cancel starts a task that would never end, and cancels it: its handler is told through its context.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"callboard.dev/sdk/go"
)

func wait(ctx context.Context, _ any, _ *callboard.Context) (any, error) {
	<-ctx.Done()
	var why *callboard.Cancellation
	if errors.As(context.Cause(ctx), &why) {
		fmt.Println("the handler was told:", why.Reason)
	}
	return nil, ctx.Err()
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "waiter"})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "wait", wait, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	receipt, err := client.Create(ctx, callboard.NewTask{Type: "wait"}, nil)
	if err != nil {
		return err
	}
	for event, err := range client.Watch(&callboard.WatchOptions{TaskID: receipt.GetTaskId()}).Events(ctx) {
		if err != nil {
			return err
		}
		if callboard.EventName(event) == "STARTED" {
			break
		}
	}
	if _, err := client.Cancel(ctx, receipt.GetTaskId(), &callboard.ReasonOptions{Reason: "it takes too long"}); err != nil {
		return err
	}
	task, err := client.Wait(ctx, receipt.GetTaskId())
	if err != nil {
		return err
	}
	fmt.Println("the task ended", callboard.StateName(task.GetState()))
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
