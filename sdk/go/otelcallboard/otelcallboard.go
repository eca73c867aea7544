// Package otelcallboard traces tasks of Callboard with OpenTelemetry, from who submits them to the agents that do them: give
// [Interceptor] to clients and agents.
//
//	tracing := otelcallboard.Interceptor(nil)
//	client, err := callboard.NewClient(&callboard.ClientOptions{Interceptors: []callboard.Interceptor{tracing}})
//
// It is a module of its own, so that programs without tracing need no OpenTelemetry.
package otelcallboard

import (
	"context"
	"maps"

	"callboard.dev/sdk/go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// What spans say.
const (
	taskID      = attribute.Key("callboard.task.id")
	taskType    = attribute.Key("callboard.task.type")
	taskAttempt = attribute.Key("callboard.task.attempt")
	namespace   = attribute.Key("callboard.namespace")
	agent       = attribute.Key("callboard.agent")
)

const scope = "callboard.dev/sdk/go/otelcallboard"

// Options say where spans go.
type Options struct {
	// TracerProvider makes the tracer. Default: the global one, otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
}

// Interceptor gives an interceptor that traces. Submitting a task is a span `submit TYPE` of the kind PRODUCER, whose W3C trace context
// goes with the task as headers (traceparent, tracestate). Each attempt is a span `run TYPE` of the kind CONSUMER, whose parent is what
// the headers say. An error is the status of its span.
func Interceptor(options *Options) callboard.Interceptor {
	chosen := Options{}
	if options != nil {
		chosen = *options
	}
	if chosen.TracerProvider == nil {
		chosen.TracerProvider = otel.GetTracerProvider()
	}
	t := tracing{chosen.TracerProvider.Tracer(scope, trace.WithInstrumentationVersion(callboard.Version))}
	return callboard.Interceptor{Submit: t.submit, Handle: t.handle}
}

type tracing struct{ tracer trace.Tracer }

// headers are how the trace context goes with a task.
var headers propagation.TraceContext

func (t tracing) submit(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
	ctx, span := t.tracer.Start(ctx, "submit "+task.Type, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(taskType.String(task.Type)))
	defer span.End()
	carrier := propagation.MapCarrier{}
	maps.Copy(carrier, task.Headers)
	headers.Inject(ctx, carrier)
	task.Headers = carrier
	submitted, err := next(ctx, task)
	if id := submitted.Receipt.GetTaskId() + submitted.Ended.GetId(); id != "" {
		span.SetAttributes(taskID.String(id))
	}
	note(span, err)
	return submitted, err
}

func (t tracing) handle(ctx context.Context, task *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
	ctx = headers.Extract(ctx, propagation.MapCarrier(task.Headers()))
	ctx, span := t.tracer.Start(ctx, "run "+task.Type(), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		taskID.String(task.TaskID()), taskType.String(task.Type()), taskAttempt.Int(task.Attempt()),
		namespace.String(task.Namespace()), agent.String(task.Agent()),
	))
	defer span.End()
	value, err := next(ctx, input)
	note(span, err)
	return value, err
}

func note(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
}
