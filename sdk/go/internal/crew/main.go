//go:build unix

// Crew is an agent in a process of its own, to be killed by the fault battery: tests/src/load/crew.rs starts it.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"

	"callboard.dev/sdk/go"
)

const (
	slots       = 2
	askedToFail = "AskedToFail"
)

// work is what a task of the load asks for.
type work struct {
	Millis   int64 `json:"millis"`
	Failures int   `json:"failures"`
}

// diary has what handlers did; it outlives the process.
type diary struct{ path, agent string }

// note is one write to a file opened for appending: the line is whole, or not there.
func (d diary) note(what string, task *callboard.Context) error {
	file, err := os.OpenFile(d.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(file, "%s %s %d %s\n", what, task.TaskID(), task.Attempt(), d.agent); err != nil {
		return err
	}
	return file.Close()
}

func (d diary) do(_ context.Context, asked work, task *callboard.Context) (string, error) {
	if err := d.note("begin", task); err != nil {
		return "", err
	}
	time.Sleep(time.Duration(asked.Millis) * time.Millisecond)
	if task.Run() == 1 && task.Attempt() <= asked.Failures {
		if err := d.note(askedToFail, task); err != nil {
			return "", err
		}
		return "", &callboard.TaskError{Message: "as asked", Type: askedToFail}
	}
	if err := d.note("completed", task); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s attempt %d by %s", task.TaskID(), task.Attempt(), d.agent), nil
}

func (d diary) poison(_ context.Context, _ any, task *callboard.Context) (string, error) {
	if err := d.note("begin", task); err != nil {
		return "", err
	}
	return "", syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func main() {
	d := diary{path: os.Getenv("CREW_DIARY"), agent: os.Getenv("CREW_AGENT")}
	agent, err := callboard.NewAgent(&callboard.AgentOptions{AgentType: "crew", Name: d.agent, Slots: slots})
	if err != nil {
		log.Fatal(err)
	}
	callboard.Handle(agent, "load.sdk", d.do, nil)
	callboard.Handle(agent, "crew.poison", d.poison, nil)
	if err := agent.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
