// Hello is an agent that greets.
package main

import (
	"context"
	"log"

	"callboard.dev/sdk/go"
)

type person struct {
	Name string `json:"name"`
}

func greet(_ context.Context, who person, task *callboard.Context) (string, error) {
	task.Progress(0.5, "executing", "")
	return "Hello, " + who.Name + "!", nil
}

func main() {
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "greeter"})
	if err != nil {
		log.Fatal(err)
	}
	callboard.Handle(agent, "greet", greet, nil)
	if err := agent.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
