// Mapreduce is a workflow of 1,021 tasks, created in one call: a thousand numbers are squared, 20 tasks add up 50 squares each, and a last
// one adds up their sums. A task may depend on at most 1,000 others, and a workflow have 50,000 dependencies: a tree of sums keeps below
// that, and each sum waits for its own squares alone.
package main

import (
	"context"
	"fmt"
	"log"

	"callboard.dev/sdk/go"
)

const (
	numbers = 1000
	// together is how many squares one task adds up.
	together = 50
)

func square(_ context.Context, number int, _ *callboard.Context) (int, error) {
	return number * number, nil
}

func sum(ctx context.Context, _ any, task *callboard.Context) (int, error) {
	parts, err := task.Dependencies(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, part := range parts {
		value, err := callboard.Decode[int](part.GetResult())
		if err != nil {
			return 0, fmt.Errorf("%s: %w", part.GetName(), err)
		}
		total += value
	}
	return total, nil
}

// sumOfSquares says what is to be done. Its tasks could stand in any order.
func sumOfSquares() callboard.NewWorkflow {
	workflow := callboard.NewWorkflow{Name: "sum-of-squares"}
	var sums []string
	for from := 1; from <= numbers; from += together {
		var squares []string
		for number := from; number < from+together; number++ {
			name := fmt.Sprintf("square/%d", number)
			task := callboard.NewTask{Type: "square", Input: number}
			workflow.Tasks = append(workflow.Tasks, callboard.WorkflowTask{Name: name, Task: task})
			squares = append(squares, name)
		}
		sums = append(sums, add(&workflow, fmt.Sprintf("sum/%d", from), squares))
	}
	add(&workflow, "total", sums)
	return workflow
}

// add adds a task that adds up what others give, and gives its name.
func add(to *callboard.NewWorkflow, name string, parts []string) string {
	task := callboard.NewTask{Type: "sum"}
	to.Tasks = append(to.Tasks, callboard.WorkflowTask{Name: name, Task: task, DependsOn: callboard.AfterNamed(parts...)})
	return name
}

func run(ctx context.Context) error {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "calculator", Slots: 100})
	if err != nil {
		return err
	}
	callboard.Handle(agent, "square", square, nil)
	callboard.Handle(agent, "sum", sum, nil)
	if err := agent.Start(ctx); err != nil {
		return err
	}
	client, err := callboard.NewClient(nil)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	created, err := client.CreateWorkflow(ctx, sumOfSquares(), nil)
	if err != nil {
		return err
	}
	ended, err := client.WaitWorkflow(ctx, created.WorkflowID)
	if err != nil {
		return err
	}
	fmt.Println("the workflow ended", callboard.WorkflowStateName(ended.GetState()), "with", ended.GetCompletedTasks(), "tasks completed")
	total, err := callboard.Result[int](ctx, client, created.Receipts["total"].GetTaskId())
	if err != nil {
		return err
	}
	fmt.Println("the sum of all squares is", total)
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
