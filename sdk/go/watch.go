package callboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"google.golang.org/grpc/codes"
)

// watchSilence is after how long without a word a watch is broken: the server says something every 10 s.
const watchSilence = 30 * time.Second

// WatchOptions say what to watch, and from where.
type WatchOptions struct {
	// TaskID: only the events of this task, from its first. Empty: those of the namespace, from now.
	TaskID string
	// Cursor: go on behind this one. See [Watch.Cursor].
	Cursor string
	// UntilEnded ends the watch when the watched task has ended and all was given.
	UntilEnded bool
}

// Watch gives events as they are committed: in order for each task, none skipped, each once. It is for one goroutine at a time.
type Watch struct {
	client *Client
	// request has the cursor behind everything that was received.
	request *callboardv1.WatchEventsRequest
	// delivered is the cursor behind everything that was given out.
	delivered string
	// waiting was received, and not given out yet: never more than one frame.
	waiting []*Event
	ended   bool
}

// Watch watches events. Nothing is connected before [Watch.Events].
func (c *Client) Watch(options *WatchOptions) *Watch {
	chosen := WatchOptions{}
	if options != nil {
		chosen = *options
	}
	request := &callboardv1.WatchEventsRequest{
		Namespace: c.namespace, TaskId: chosen.TaskID, Cursor: chosen.Cursor, UntilEnded: chosen.UntilEnded,
	}
	return &Watch{client: c, request: request, delivered: chosen.Cursor}
}

// Cursor says where to go on later, with [WatchOptions], behind the events given so far. Events of one commit share a cursor, so that
// some may be given again. Empty when nothing came yet.
func (w *Watch) Cursor() string {
	return w.delivered
}

// Events gives events until the context ends, or the end that was asked for. It goes on by itself behind the last cursor when the
// stream breaks. A loop that was left can be followed by another, which goes on behind the last event.
//
// It ends behind an error: what the server answers; one of the kind [ErrUnavailable] when it could not be reached for as long as the
// client's timeout; [ErrFailedPrecondition] with the reason CURSOR_FORGOTTEN when events behind the cursor were forgotten: read the
// tasks, and watch without a cursor.
func (w *Watch) Events(ctx context.Context) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		source := &watchSource{watch: w}
		defer source.close()
		for {
			for len(w.waiting) > 0 {
				event := w.waiting[0]
				w.waiting = w.waiting[1:]
				w.noteDelivery()
				if !yield(event, nil) {
					return
				}
			}
			if w.ended {
				return
			}
			if err := source.receive(ctx); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

func (w *Watch) noteDelivery() {
	if len(w.waiting) == 0 {
		w.delivered = w.request.GetCursor()
	}
}

func (w *Watch) take(frame *callboardv1.WatchEventsResponse) {
	w.waiting = append(w.waiting, frame.GetEvents()...)
	// Without a cursor there is nothing to resume from but the last one.
	if frame.GetCursor() != "" {
		w.request.Cursor = frame.GetCursor()
	}
	w.noteDelivery()
}

// watchSource is the stream of a watch, and how it fares.
type watchSource struct {
	watch  *Watch
	stream callboardv1.TaskService_WatchEventsClient
	cancel context.CancelFunc
	way    route
	heard  bool
	delays backoff.Backoff
	// failingSince is when the first failure came since the server was last heard.
	failingSince time.Time
}

// receive takes the next frame, from another stream when one breaks.
func (s *watchSource) receive(ctx context.Context) error {
	for {
		failed := s.frame(ctx)
		if failed == nil {
			return nil
		}
		s.close()
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		if s.watch.client.transport.identity.isRenewed(failed, s.way.token) {
			continue
		}
		if !s.mayResume(failed) {
			return failed
		}
		if err := sleep(ctx, s.delays.Next(failed.RetryAfter, rand.Float64())); err != nil {
			return err
		}
		s.watch.client.transport.leave(s.way)
	}
}

// frame takes one frame, or the end that was asked for.
func (s *watchSource) frame(ctx context.Context) *Error {
	if s.stream == nil {
		if failed := s.open(ctx); failed != nil {
			return failed
		}
	}
	silent := time.AfterFunc(watchSilence, s.cancel)
	frame, err := s.stream.Recv()
	inTime := silent.Stop()
	switch {
	case err == nil:
		s.heard, s.failingSince = true, time.Time{}
		s.delays.Reset()
		s.watch.take(frame)
		return nil
	case !inTime && ctx.Err() == nil:
		return &Error{Code: codes.Unavailable, Message: fmt.Sprintf("nothing was heard for %v", watchSilence)}
	case !errors.Is(err, io.EOF):
		return fromGRPC(err)
	case s.watch.request.GetUntilEnded() && s.heard:
		s.watch.ended = true
		return nil
	}
	return &Error{Code: codes.Unavailable, Message: "the server ended the stream"}
}

func (s *watchSource) open(ctx context.Context) *Error {
	way, err := s.watch.client.transport.route()
	if err != nil {
		var failed *Error
		errors.As(err, &failed)
		return failed
	}
	streaming, cancel := context.WithCancel(withToken(ctx, way.token))
	stream, err := callboardv1.NewTaskServiceClient(way.connection).WatchEvents(streaming, s.watch.request)
	s.way = way
	if err != nil {
		cancel()
		return fromGRPC(err)
	}
	s.stream, s.cancel = stream, cancel
	return nil
}

func (s *watchSource) mayResume(failed *Error) bool {
	// A stream can also be cut below gRPC: then the status is made up here, and has no reason.
	cut := failed.Reason == "" && (failed.Code == codes.Canceled || failed.Code == codes.Internal || failed.Code == codes.Unknown)
	if !failed.isRetryable() && failed.Reason != "SLOW_READER" && !cut {
		return false
	}
	if s.failingSince.IsZero() {
		s.failingSince = time.Now()
	}
	return time.Since(s.failingSince) < s.watch.client.timeout
}

func (s *watchSource) close() {
	if s.stream != nil {
		s.cancel()
		s.stream, s.cancel = nil, nil
	}
}
