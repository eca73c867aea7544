package callboard

import (
	"context"
	"iter"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc"
)

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
		source := w.source()
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

func (w *Watch) source() *source[callboardv1.WatchEventsResponse] {
	return &source[callboardv1.WatchEventsResponse]{
		client: w.client,
		begin: func(ctx context.Context, server callboardv1.TaskServiceClient) (grpc.ServerStreamingClient[callboardv1.WatchEventsResponse], error) {
			return server.WatchEvents(ctx, w.request)
		},
		take: w.take,
		ended: func() bool {
			w.ended = w.request.GetUntilEnded()
			return w.ended
		},
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
