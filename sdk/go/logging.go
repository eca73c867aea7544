package callboard

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Logging gives an interceptor that logs when an attempt begins and when it ends: its task, type and number; how it ended (completed,
// failed, cancelled) and how long it took, in milliseconds. It logs no inputs, results or headers. A nil logger means slog.Default().
func Logging(logger *slog.Logger) Interceptor {
	return Interceptor{Handle: func(ctx context.Context, task *Context, input any, next HandleFunc) (any, error) {
		to := logger
		if to == nil {
			to = slog.Default()
		}
		to = to.With("task", task.TaskID(), "type", task.Type(), "attempt", task.Attempt())
		to.InfoContext(ctx, "attempt began")
		began := time.Now()
		value, err := next(ctx, input)
		took := float64(time.Since(began).Microseconds()) / 1000
		to.InfoContext(ctx, "attempt ended", "outcome", outcomeName(ctx, err), "ms", took)
		return value, err
	}}
}

func outcomeName(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return "completed"
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "failed"
}
