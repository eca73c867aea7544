package callboard

import (
	"context"
	"fmt"
	"iter"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Output gives a piece of output, which is kept, and which others can watch while the handler works: tokens, log lines, partial results.
// It returns when the value is on its way, before it is committed; what is given before a checkpoint, a step or the handler's end is
// committed before that is. It waits while 1 MiB of the attempt's output waits to be sent.
//
// A string and bytes may have up to 1 MiB. They are divided into chunks and joined with what is given before and behind them, so that
// who reads output joins chunks, and relies on no boundaries. Any other value (see [Encode]) and a [*Payload] are one chunk, of at most
// 65,536 bytes. Nothing is given by an empty string.
//
// The error is of the kind [ErrInvalidArgument] when the value can't be output; [ErrResourceExhausted] when the run has as much output
// as it may (16 MiB, or 50,000 chunks): the handler may go on without; [ErrFailedPrecondition] when the attempt is no longer current
// (with the reason STALE_ATTEMPT: stop the work), or the server takes no output; the cause of the context when that ended.
func (c *Context) Output(ctx context.Context, value any) error {
	piece, err := pieceOf(value)
	if err != nil || piece == nil {
		return err
	}
	return c.wasGivenUp(ctx, c.live.output(ctx, c.key, *piece))
}

// pieceOf gives a value as it is gathered; nil when it is nothing.
func pieceOf(value any) (*session.Piece, error) {
	payload, err := encode(value, "output")
	if err != nil {
		return nil, err
	}
	size := contentSize(payload)
	if size == 0 {
		return nil, nil
	}
	var piece session.Piece
	switch _, isPayload := value.(*Payload); {
	case !isPayload && payload.GetContentType() == typeText:
		piece = session.TextPiece(payload.GetText())
	case !isPayload && payload.GetContentType() == typeBinary:
		piece = session.BytesPiece(payload.GetBinary())
	case size > session.LargestChunk:
		return nil, tooLargeAChunk("output", size)
	case isPayload:
		// Whoever gave it may change it while it waits.
		piece = session.WholePiece(proto.Clone(payload).(*Payload))
	default:
		piece = session.WholePiece(payload)
	}
	return &piece, nil
}

func tooLargeAChunk(field string, size int) error {
	fault := fmt.Sprintf("%s has %d bytes, more than the %d of a chunk: give it in parts", field, size, session.LargestChunk)
	return refused(field, fault, callboardv1.ErrorReason_ERROR_REASON_PAYLOAD_TOO_LARGE)
}

// OutputOptions say which output is wanted.
type OutputOptions struct {
	// Run is the run that gave it, from 1. Default: the latest.
	Run int
	// Offset leaves out chunks that end at or before this byte of the run's output.
	Offset int64
	// PageSize is how many chunks a call fetches, at most: a page also ends before it passes 2 MiB. Default 100; at most 1,000.
	// [Client.WatchOutput] has no pages.
	PageSize int
}

// Output gives the output that a run of a task gave so far, of all its attempts: see [Context.Output]. Read the values with [Decode]:
//
//	text, err := callboard.Decode[string](chunk.GetData())
//
// When the attempt of a chunk is not that of the chunk before, an attempt began anew. Pages are fetched as needed. It ends behind an
// error.
func (c *Client) Output(ctx context.Context, taskID string, options *OutputOptions) iter.Seq2[*OutputChunk, error] {
	chosen := OutputOptions{}
	if options != nil {
		chosen = *options
	}
	return pages(func(token string) ([]*OutputChunk, string, error) {
		request := &callboardv1.ListOutputRequest{
			Namespace: c.namespace, TaskId: taskID, Run: int32(chosen.Run), Offset: chosen.Offset,
			PageSize: int32(chosen.PageSize), PageToken: token,
		}
		page, err := call[callboardv1.ListOutputResponse](ctx, c, callboardv1.TaskService_ListOutput_FullMethodName, request, 0)
		return page.GetChunks(), page.GetNextPageToken(), err
	})
}

// WatchOutput gives the output of a run of a task, what is there and what comes, until the run has ended or the context ends. It goes on
// by itself when the stream breaks, and gives each chunk once. To go on in another process, keep [OutputEnd] of the last chunk, and give
// it as the offset, with the run.
//
// It ends behind an error: what the server answers (of the kind [ErrFailedPrecondition] for a run that has not begun); one of the kind
// [ErrUnavailable] when it could not be reached for as long as the client's timeout.
func (c *Client) WatchOutput(ctx context.Context, taskID string, options *OutputOptions) iter.Seq2[*OutputChunk, error] {
	chosen := OutputOptions{}
	if options != nil {
		chosen = *options
	}
	return func(yield func(*OutputChunk, error) bool) {
		w := &outputWatch{client: c, request: &callboardv1.WatchOutputRequest{
			Namespace: c.namespace, TaskId: taskID, Run: int32(chosen.Run), Offset: chosen.Offset,
		}}
		source := w.source()
		defer source.close()
		for {
			for _, chunk := range w.received {
				if !yield(chunk, nil) {
					return
				}
			}
			w.received = nil
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

// OutputEnd is the offset behind a chunk.
func OutputEnd(chunk *OutputChunk) int64 {
	return chunk.GetOffset() + int64(contentSize(chunk.GetData()))
}

// outputWatch is where a watch of output is.
type outputWatch struct {
	client *Client
	// request has the run, once the server named it, and the offset behind everything that was received.
	request  *callboardv1.WatchOutputRequest
	received []*OutputChunk
	ended    bool
}

func (w *outputWatch) source() *source[callboardv1.WatchOutputResponse] {
	return &source[callboardv1.WatchOutputResponse]{
		client: w.client,
		begin: func(ctx context.Context, server callboardv1.TaskServiceClient) (grpc.ServerStreamingClient[callboardv1.WatchOutputResponse], error) {
			return server.WatchOutput(ctx, w.request)
		},
		take: w.take,
		// The last frame says that it is the last.
		ended: func() bool { return false },
	}
}

func (w *outputWatch) take(frame *callboardv1.WatchOutputResponse) {
	w.received, w.ended = frame.GetChunks(), frame.GetEnded()
	w.request.Offset = max(w.request.GetOffset(), frame.GetNextOffset())
	if w.request.GetRun() == 0 {
		w.request.Run = frame.GetRun()
	}
}
