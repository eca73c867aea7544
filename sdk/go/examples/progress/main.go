// Progress does a task in steps: it tells how far it is, and saves a checkpoint behind each step, where the next attempt begins. It fails
// once on its way, so that there is one.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"callboard.dev/sdk/go"
)

const steps = 4

func climb(ctx context.Context, _ any, task *callboard.Context) (string, error) {
	done, _, err := callboard.Checkpoint[int](task)
	if err != nil {
		return "", err
	}
	begun := done
	for done < steps {
		if done == steps/2 && task.AttemptsUsed() == 0 {
			return "", errors.New("out of breath")
		}
		done++
		task.Progress(float64(done)/steps, "executing", fmt.Sprintf("step %d", done))
		if err := task.SaveCheckpoint(ctx, done); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("attempt %d climbed from step %d to %d", task.Attempt(), begun, done), nil
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "climber"})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "climb", climb, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	task := callboard.NewTask{Type: "climb", Retry: callboard.RetryPolicy{InitialBackoff: time.Millisecond}}
	receipt, err := client.Create(ctx, task, nil)
	if err != nil {
		return err
	}
	watch := client.Watch(&callboard.WatchOptions{TaskID: receipt.GetTaskId(), UntilEnded: true})
	for event, err := range watch.Events(ctx) {
		if err != nil {
			return err
		}
		fmt.Println(event.GetSequence(), callboard.EventName(event))
	}
	how, err := callboard.Result[string](ctx, client, receipt.GetTaskId())
	if err != nil {
		return err
	}
	fmt.Println(how)
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
