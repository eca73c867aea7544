package callboard_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var withOutput = []string{"checkpoint", "steps", "output"}

func TestOutputGoesAsWhatItIs(t *testing.T) {
	stream, over := onStage(t, newFake(t), withOutput, recorded(), func(ctx context.Context, task *callboard.Context) error {
		csv := callboard.Text("a,b", "text/csv")
		values := []any{"to", "ken", "", []byte("by"), []byte("tes"), []byte{}, 7, map[string]int{"a": 1}, csv, &callboard.Payload{}, nil}
		for _, value := range values {
			if err := task.Output(ctx, value); err != nil {
				return err
			}
		}
		csv.Content = nil
		return nil
	})
	var shown []string
	for {
		report := next(t, stream)
		if report.GetCompleted() != nil {
			break
		}
		for _, chunk := range report.GetOutput().GetChunks() {
			shown = append(shown, chunk.GetContentType()+" "+chunk.GetText()+string(chunk.GetBinary()))
		}
		stream.commit(report)
	}
	check(t, receive(t, over))
	// The first may go before the second is given.
	all := strings.Replace(strings.Join(shown, ", "), "text/plain to, text/plain ken", "text/plain token", 1)
	want := `text/plain token, application/octet-stream bytes, application/json 7, application/json {"a":1}, text/csv a,b, application/json null`
	expect(t, all == want, "chunks", all)
}

func TestWhatCanNotBeOutputIsRefused(t *testing.T) {
	stream, over := onStage(t, newFake(t), withOutput, recorded(), func(ctx context.Context, task *callboard.Context) error {
		for named, value := range map[string]any{
			"more than 1048576":            strings.Repeat("x", 1<<20+1),
			"more than the 65536":          []string{strings.Repeat("x", 65_536)},
			"give it in parts":             callboard.Text(strings.Repeat("x", 65_537), "text/plain"),
			"output is not a string":       math.NaN(),
			"it has text that is not UTF-": "\xff",
		} {
			if err := task.Output(ctx, value); !errors.Is(err, callboard.ErrInvalidArgument) || !strings.Contains(err.Error(), named) {
				return fmt.Errorf("%s: %w", named, err)
			}
		}
		return nil
	})
	check(t, receive(t, over))
	report := next(t, stream)
	expect(t, report.GetCompleted() != nil, "nothing was sent", report)
}

func TestOutputWaitsForRoomAndIsWhole(t *testing.T) {
	const megabytes = 5
	stream, over := onStage(t, newFake(t), withOutput, recorded(), func(ctx context.Context, task *callboard.Context) error {
		for range megabytes {
			if err := task.Output(ctx, strings.Repeat("x", 1<<20)); err != nil {
				return err
			}
		}
		return nil
	})
	offset := int64(0)
	for report := next(t, stream); report.GetCompleted() == nil; report = next(t, stream) {
		expect(t, report.GetOutput().GetOffset() == offset, "in order", report.GetOutput().GetOffset(), offset)
		for _, chunk := range report.GetOutput().GetChunks() {
			offset += int64(len(chunk.GetText()))
		}
		stream.commit(report)
	}
	check(t, receive(t, over))
	expect(t, offset == megabytes<<20, "all of it", offset)
}

func TestOutputBeyondTheLimitIsRefusedAndTheHandlerGoesOn(t *testing.T) {
	refused := make(chan struct{})
	stream, over := onStage(t, newFake(t), withOutput, recorded(), func(ctx context.Context, task *callboard.Context) error {
		if err := task.Output(ctx, "one"); err != nil {
			return err
		}
		<-refused
		err := task.Output(ctx, "two")
		for err == nil {
			err = task.Output(ctx, "two")
		}
		if !errors.Is(err, callboard.ErrResourceExhausted) || reasonOf(err) != "LIMIT_REACHED" {
			return err
		}
		return task.SaveCheckpoint(ctx, "goes on")
	})
	stream.refuse(next(t, stream), callboardv1.ErrorReason_ERROR_REASON_LIMIT_REACHED)
	close(refused)
	for {
		report := next(t, stream)
		stream.commit(report)
		if report.GetCheckpoint() != nil {
			break
		}
	}
	check(t, receive(t, over))
}

func TestAServerWithoutOutputTakesNone(t *testing.T) {
	_, over := onStage(t, newFake(t), withSteps, recorded(), func(ctx context.Context, task *callboard.Context) error {
		return task.Output(ctx, "token")
	})
	err := receive(t, over)
	expect(t, errors.Is(err, callboard.ErrFailedPrecondition) && strings.Contains(err.Error(), "the server takes no output"), "why", err)
}

func TestAWatchOfOutputResumesInItsRunAndGivesEachChunkOnce(t *testing.T) {
	server := newFake(t)
	server.output = func(request *callboardv1.WatchOutputRequest, count int, out grpc.ServerStreamingServer[callboardv1.WatchOutputResponse]) error {
		chunks := func(run int32, ended bool, texts ...string) error {
			frame := &callboardv1.WatchOutputResponse{Run: run, NextOffset: request.GetOffset(), Ended: ended}
			for _, text := range texts {
				frame.Chunks = append(frame.Chunks, &callboardv1.OutputChunk{Offset: frame.NextOffset, Data: callboard.Text(text, "text/plain")})
				frame.NextOffset += int64(len(text))
			}
			request.Offset = frame.NextOffset
			return out.Send(frame)
		}
		switch count {
		case 1:
			return errors.Join(chunks(2, false), chunks(2, false, "one", "two"), refuse(codes.Unavailable, "DRAINING"))
		case 2:
			return refuse(codes.ResourceExhausted, "SLOW_READER")
		case 3:
			return status.Error(codes.Internal, "the stream was reset")
		case 4:
			// An end that says nothing is none.
			return chunks(2, false, "three")
		}
		return chunks(2, true, "four")
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	var text string
	var last *callboard.OutputChunk
	for _, chunk := range all(t, client.WatchOutput(limited(t), "id-1", &callboard.OutputOptions{Offset: 10})) {
		text += must[string](t)(callboard.Decode[string](chunk.GetData()))
		last = chunk
	}
	expect(t, text == "onetwothreefour" && callboard.OutputEnd(last) == 25, "each once", text, last)
	var asked []string
	for _, request := range server.requests {
		asked = append(asked, fmt.Sprintf("%d@%d", request.(*callboardv1.WatchOutputRequest).GetRun(), request.(*callboardv1.WatchOutputRequest).GetOffset()))
	}
	expect(t, fmt.Sprint(asked) == "[0@10 2@16 2@16 2@16 2@21]", "from where it was", asked)
}

func TestAWatchOfOutputEndsWhereItCanNotBegin(t *testing.T) {
	server := newFake(t)
	server.output = func(*callboardv1.WatchOutputRequest, int, grpc.ServerStreamingServer[callboardv1.WatchOutputResponse]) error {
		return refuse(codes.FailedPrecondition, "TASK_STATE")
	}
	client := newClient(t, &callboard.ClientOptions{Address: server.address})
	for chunk, err := range client.WatchOutput(limited(t), "id-1", &callboard.OutputOptions{Run: 2}) {
		expect(t, chunk == nil && reasonOf(err) == "TASK_STATE", "why", err)
	}
	expect(t, len(server.requests) == 1, "asked once", server.requests)
}
