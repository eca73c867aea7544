package callboard_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
)

// program builds what is to be run, and gives where it is.
func program(t *testing.T, sources ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", append([]string{"build", "-o", path}, sources...)...)
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

// started is a program that runs.
type started struct {
	*exec.Cmd
	t      *testing.T
	mu     sync.Mutex
	output bytes.Buffer
}

func (s *started) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.Write(text)
}

func (s *started) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// start starts a program that finds the server by its environment. It ends with the test.
func start(t *testing.T, server *testserver.Server, path string) *started {
	t.Helper()
	s := &started{Cmd: exec.Command(path), t: t}
	s.Stdout, s.Stderr = s, s
	s.Env = append(testserver.Environment(), "CALLBOARD_ADDRESS="+server.Address)
	check(t, s.Start())
	t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill()
			_ = s.Wait()
		}
	})
	return s
}

// ends waits until the program has ended well.
func (s *started) ends() string {
	s.t.Helper()
	late := time.AfterFunc(long, func() { _ = s.Process.Kill() })
	defer late.Stop()
	if err := s.Wait(); err != nil {
		s.t.Fatalf("%v: %s", err, s.said())
	}
	return s.said()
}

// blocks gives the programs in the README.
func blocks(t *testing.T) []string {
	t.Helper()
	readme := must[[]byte](t)(os.ReadFile("README.md"))
	var found []string
	for _, block := range regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```").FindAllSubmatch(readme, -1) {
		found = append(found, string(block[1]))
	}
	return found
}

func TestTheFirstAgentAndItsTaskWorkAsPrinted(t *testing.T) {
	printed := blocks(t)
	if len(printed) != 2 {
		t.Fatalf("the README has %d programs, not two", len(printed))
	}
	paths := make([]string, 2)
	for at, source := range printed {
		file := filepath.Join(t.TempDir(), "main.go")
		check(t, os.WriteFile(file, []byte(source), 0o600))
		paths[at] = program(t, file)
	}
	server := testserver.Start(t)
	agent := start(t, server, paths[0])
	expect(t, start(t, server, paths[1]).ends() == "Hello, Ada!\n", "greets")
	check(t, agent.Process.Signal(os.Interrupt))
	agent.ends()
}

func TestTheExamplesRun(t *testing.T) {
	server := testserver.Start(t)
	for name, want := range map[string]string{
		"pipeline":   "10 words",
		"progress":   "attempt 2 climbed from step 2 to 4",
		"cancel":     "the task ended CANCELLED",
		"supervisor": "read 0 CANCELLED\nread 1 COMPLETED\nread 2 COMPLETED\n10 words, and 2 opinions",
		"mapreduce":  "COMPLETED with 1021 tasks completed\nthe sum of all squares is 333833500",
		"streaming":  "You asked: What is it all about? The answer is 42.\n11 words",
	} {
		said := start(t, server, program(t, "./examples/"+name)).ends()
		expect(t, strings.Contains(said, want), name, said)
	}
	agent := start(t, server, program(t, "./examples/hello"))
	client := clientOf(t, server)
	got := must[string](t)(callboard.Run[string](limited(t), client, callboard.NewTask{Type: "greet", Input: greeting{"Bob"}}, nil))
	expect(t, got == "Hello, Bob!", "hello", got)
	check(t, agent.Process.Signal(os.Interrupt))
	agent.ends()
}

func ExampleEncode() {
	for _, value := range []any{"text", []byte("bytes"), map[string]int{"a": 1}, nil} {
		payload, err := callboard.Encode(value)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(payload.GetContentType(), payload.GetText()+string(payload.GetBinary()))
	}
	// Output:
	// text/plain text
	// application/octet-stream bytes
	// application/json {"a":1}
	// application/json null
}

func ExampleDecode() {
	payload := callboard.Text(`{"name": "Ada", "age": 36}`, "application/json")
	person, err := callboard.Decode[struct {
		Name string
		Age  int
	}](payload)
	fmt.Println(person.Name, person.Age, err)
	// Output: Ada 36 <nil>
}

// A handler that gives out work and waits for it. Its task is PAUSED meanwhile.
func ExampleRunChild() {
	summarize := func(ctx context.Context, url string, task *callboard.Context) (string, error) {
		page, err := callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "fetch", Input: url}, nil)
		if err != nil {
			return "", err
		}
		return callboard.RunChild[string](ctx, task, callboard.NewTask{Type: "ask", Input: "Summarize: " + page}, nil)
	}
	agent, err := callboard.NewAgent(&callboard.AgentOptions{Name: "ann", AgentType: "researcher"})
	if err != nil {
		fmt.Println(err)
		return
	}
	callboard.Handle(agent, "summarize", summarize, nil)
	fmt.Println(agent.Name())
	// Output: ann
}

// Children that run beside each other.
func ExampleStartChild() {
	_ = func(ctx context.Context, urls []string, task *callboard.Context) (int, error) {
		var pages []*callboard.Child
		for _, url := range urls {
			page, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: "fetch", Input: url}, nil)
			if err != nil {
				return 0, err
			}
			pages = append(pages, page)
		}
		total := 0
		for _, page := range pages {
			text, err := callboard.ChildResult[string](ctx, page)
			if err != nil {
				return 0, err
			}
			total += len(text)
		}
		return total, nil
	}
}

// The first two of three answers are enough. Nobody goes on looking for the third.
func ExampleContext_WaitChildren() {
	_ = func(ctx context.Context, question string, task *callboard.Context) ([]string, error) {
		var searches []*callboard.Child
		for _, engine := range []string{"library", "archive", "web"} {
			search, err := callboard.StartChild(ctx, task, callboard.NewTask{Type: engine, Input: question}, nil)
			if err != nil {
				return nil, err
			}
			searches = append(searches, search)
		}
		fastest, err := task.WaitChildren(ctx, searches, &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel})
		if err != nil {
			return nil, err
		}
		var answers []string
		for _, one := range fastest {
			answer, err := callboard.Decode[string](one.GetResult())
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		return answers, nil
	}
}

// A handler whose output is watched while it works.
func ExampleContext_Output() {
	_ = func(ctx context.Context, tokens []string, task *callboard.Context) (string, error) {
		for _, token := range tokens {
			if err := task.Output(ctx, token); err != nil {
				return "", err
			}
		}
		return strings.Join(tokens, ""), nil
	}
}

// What a handler gives, as it gives it.
func ExampleClient_WatchOutput() {
	_ = func(ctx context.Context, client *callboard.Client, taskID string) error {
		for chunk, err := range client.WatchOutput(ctx, taskID, nil) {
			if err != nil {
				return err
			}
			text, err := callboard.Decode[string](chunk.GetData())
			if err != nil {
				return err
			}
			fmt.Print(text)
		}
		return nil
	}
}

// An interceptor that says for whom each task is, and refuses those of nobody.
func ExampleInterceptor() {
	tenant := callboard.Interceptor{
		Submit: func(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
			headers := map[string]string{"tenant": "7"}
			maps.Copy(headers, task.Headers)
			task.Headers = headers
			return next(ctx, task)
		},
		Handle: func(ctx context.Context, task *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
			if task.Headers()["tenant"] == "" {
				return nil, &callboard.TaskError{Message: "the task is nobody's", Type: "NoTenant", NonRetryable: true}
			}
			return next(ctx, input)
		},
	}
	client, err := callboard.NewClient(&callboard.ClientOptions{Interceptors: []callboard.Interceptor{tenant, callboard.Logging(nil)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Namespace())
	// Output: default
}

// A step runs once for all attempts of a run.
func ExampleStep() {
	_ = func(ctx context.Context, url string, task *callboard.Context) (string, error) {
		return callboard.Step(ctx, task, "fetch", func(context.Context) (string, error) {
			return "the page at " + url, nil
		})
	}
}

func ExampleAfter() {
	review := callboard.NewTask{Type: "review", Input: "", DependsOn: callboard.After("id-1", "id-2")}
	fmt.Println(len(review.DependsOn), review.DependsOn[0].TaskID)
	// Output: 2 id-1
}

// Tasks that wait for each other by name, whatever their order, and a fallback: the workflow completes although the first try failed.
func ExampleClient_CreateWorkflow() {
	_ = func(ctx context.Context, client *callboard.Client) error {
		report := callboard.NewWorkflow{Name: "report", Tasks: []callboard.WorkflowTask{
			{Name: "clever", Task: callboard.NewTask{Type: "ask", Input: "the large model"}, AllowFailure: true},
			{Name: "plain", Task: callboard.NewTask{Type: "ask", Input: "the small model"}, DependsOn: []callboard.WorkflowDependency{
				{Task: "clever", Condition: callboard.DependencyFailed},
			}},
		}}
		created, err := client.CreateWorkflow(ctx, report, nil)
		if err != nil {
			return err
		}
		ended, err := client.WaitWorkflow(ctx, created.WorkflowID)
		if err != nil {
			return err
		}
		if ended.GetState() != callboard.WorkflowCompleted {
			_, err = client.RetryWorkflow(ctx, created.WorkflowID, nil)
		}
		return err
	}
}

// A supervisor that amends the plan of its own workflow: what it found is to be checked before the report is written.
func ExampleClient_AddWorkflowTasks() {
	_ = func(ctx context.Context, claims []string, task *callboard.Context) (int, error) {
		var checks []callboard.WorkflowTask
		for at, claim := range claims {
			check := callboard.NewTask{Type: "check", Input: claim}
			checks = append(checks, callboard.WorkflowTask{Name: fmt.Sprintf("check/%d", at), Task: check, DependsOn: callboard.AfterNamed("sources")})
		}
		receipts, err := task.Client().AddWorkflowTasks(ctx, task.Workflow().GetWorkflowId(), checks, nil)
		return len(receipts), err
	}
}

// For who knows Rust, has a GPU free, and is, if possible, not the author. When nobody takes it for a minute, the team's leader may.
func ExampleFallback() {
	review := callboard.NewTask{
		Type: "review", Skills: []string{"rust"}, Resources: map[string]float64{"gpu": 1},
		DependsOn: []callboard.Dependency{{TaskID: "id-1", Name: "draft"}}, Apart: []string{"draft"},
		Fallbacks: []callboard.Fallback{{After: time.Minute, Role: "leader"}},
	}
	fmt.Println(review.Fallbacks[0].After, review.Fallbacks[0].Role)
	// Output: 1m0s leader
}

func ExampleAfterNamed() {
	merge := callboard.WorkflowTask{Name: "merge", Task: callboard.NewTask{Type: "join"}, DependsOn: callboard.AfterNamed("left", "right")}
	fmt.Println(len(merge.DependsOn), merge.DependsOn[0].Task)
	// Output: 2 left
}

func ExampleError() {
	_, err := callboard.NewClient(&callboard.ClientOptions{Address: "localhost:7470"})
	fmt.Println(err)
	// Output: InvalidArgument INVALID_FIELD: address "localhost:7470" has no scheme: give one like http://127.0.0.1:7470
}
