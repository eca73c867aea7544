package otelcallboard_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/internal/testserver"
	"callboard.dev/sdk/go/otelcallboard"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// long is how long anything may take, on a slow machine that does much else.
const long = 60 * time.Second

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		// The address of a developer's server, say, must not reach the tests.
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CALLBOARD_") && name != "CALLBOARD_BIN" {
			_ = os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// traced is an agent and a client of a real server, and the spans that they made.
type traced struct {
	client *callboard.Client
	spans  *tracetest.InMemoryExporter
	source *trace.TracerProvider
}

func trace1(t *testing.T, register func(*callboard.Agent)) traced {
	t.Helper()
	server := testserver.Start(t)
	spans := tracetest.NewInMemoryExporter()
	source := trace.NewTracerProvider(trace.WithSyncer(spans))
	interceptors := []callboard.Interceptor{otelcallboard.Interceptor(&otelcallboard.Options{TracerProvider: source})}
	agent, err := callboard.NewAgent(&callboard.AgentOptions{Name: "ann", Address: server.Address, Interceptors: interceptors})
	check(t, err)
	register(agent)
	check(t, agent.Start(context.Background()))
	t.Cleanup(func() { check(t, agent.Stop()) })
	client, err := callboard.NewClient(&callboard.ClientOptions{Address: server.Address, Interceptors: interceptors})
	check(t, err)
	t.Cleanup(func() { check(t, client.Close()) })
	return traced{client, spans, source}
}

// span gives the one of this name.
func (t traced) span(test *testing.T, name string) tracetest.SpanStub {
	test.Helper()
	for _, span := range t.spans.GetSpans() {
		if span.Name == name {
			return span
		}
	}
	test.Fatalf("no span %q: %v", name, t.spans.GetSpans())
	panic("unreachable")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestATaskIsOneTraceFromItsSubmissionToItsAttempt(t *testing.T) {
	var within oteltrace.SpanContext
	all := trace1(t, func(agent *callboard.Agent) {
		callboard.Handle(agent, "greet", func(ctx context.Context, name string, _ *callboard.Context) (string, error) {
			within = oteltrace.SpanContextFromContext(ctx)
			return "Hello, " + name, nil
		}, nil)
	})
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	ctx, root := all.source.Tracer("test").Start(ctx, "root")
	task := callboard.NewTask{Type: "greet", Input: "Ada", Headers: map[string]string{"tenant": "7"}}
	ended, err := all.client.RunUntilEnded(ctx, task, nil)
	check(t, err)
	root.End()

	submit, run := all.span(t, "submit greet"), all.span(t, "run greet")
	if submit.SpanKind != oteltrace.SpanKindProducer || submit.Parent.SpanID() != root.SpanContext().SpanID() {
		t.Error("the submission:", submit)
	}
	if run.SpanKind != oteltrace.SpanKindConsumer || run.Parent.SpanID() != submit.SpanContext.SpanID() || !run.Parent.IsRemote() {
		t.Error("the attempt:", run)
	}
	if within.SpanID() != run.SpanContext.SpanID() || within.TraceID() != root.SpanContext().TraceID() {
		t.Error("the handler's context:", within)
	}
	want := attribute.NewSet(
		attribute.String("callboard.task.id", ended.GetId()), attribute.String("callboard.task.type", "greet"),
		attribute.Int("callboard.task.attempt", 1), attribute.String("callboard.namespace", "default"), attribute.String("callboard.agent", "ann"),
	)
	if got := attribute.NewSet(run.Attributes...); !got.Equals(&want) {
		t.Error("attributes:", run.Attributes)
	}
	if headers := ended.GetSpec().GetHeaders(); headers["tenant"] != "7" || headers["traceparent"] == "" || len(task.Headers) != 1 {
		t.Error("headers:", headers, task.Headers)
	}
	if run.Status.Code != codes.Unset || submit.Status.Code != codes.Unset {
		t.Error("nothing failed:", run.Status, submit.Status)
	}
}

func TestAnErrorIsTheStatusOfItsSpan(t *testing.T) {
	all := trace1(t, func(agent *callboard.Agent) {
		callboard.Handle(agent, "fail", func(context.Context, any, *callboard.Context) (any, error) {
			return nil, &callboard.TaskError{Message: "no access", NonRetryable: true}
		}, nil)
	})
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	_, err := callboard.Run[any](ctx, all.client, callboard.NewTask{Type: "fail"}, nil)
	var failed *callboard.TaskFailed
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	for _, name := range []string{"run fail", "submit fail"} {
		if status := all.span(t, name).Status; status.Code != codes.Error || !strings.Contains(status.Description, "no access") {
			t.Error(name, status)
		}
	}
}
