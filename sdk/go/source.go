package callboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// watchSilence is after how long without a word a watch is broken: the server says something every 10 s.
const watchSilence = 30 * time.Second

// source is what a watch hears: a stream of frames, and another when one breaks.
type source[F any] struct {
	client *Client
	// begin opens a stream from where the watch is.
	begin func(ctx context.Context, server callboardv1.TaskServiceClient) (grpc.ServerStreamingClient[F], error)
	// take takes a frame.
	take func(frame *F)
	// ended takes the end of a stream on which something was heard. It says whether that is the end that was asked for.
	ended func() bool

	stream grpc.ServerStreamingClient[F]
	cancel context.CancelFunc
	way    route
	heard  bool
	delays backoff.Backoff
	// failingSince is when the first failure came since the server was last heard.
	failingSince time.Time
}

// receive takes the next frame, from another stream when one breaks.
func (s *source[F]) receive(ctx context.Context) error {
	for {
		failed := s.frame(ctx)
		if failed == nil {
			return nil
		}
		s.close()
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		if s.client.transport.identity.isRenewed(failed, s.way.token) {
			continue
		}
		if !s.mayResume(failed) {
			return failed
		}
		if err := sleep(ctx, s.delays.Next(failed.RetryAfter, rand.Float64())); err != nil {
			return err
		}
		s.client.transport.leave(s.way)
	}
}

// frame takes one frame, or the end that was asked for.
func (s *source[F]) frame(ctx context.Context) *Error {
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
		s.take(frame)
		return nil
	case !inTime && ctx.Err() == nil:
		return &Error{Code: codes.Unavailable, Message: fmt.Sprintf("nothing was heard for %v", watchSilence)}
	case !errors.Is(err, io.EOF):
		return fromGRPC(err)
	case s.heard && s.ended():
		return nil
	}
	return &Error{Code: codes.Unavailable, Message: "the server ended the stream"}
}

func (s *source[F]) open(ctx context.Context) *Error {
	way, err := s.client.transport.route()
	if err != nil {
		return asError(err)
	}
	streaming, cancel := context.WithCancel(withToken(ctx, way.token))
	stream, err := s.begin(streaming, callboardv1.NewTaskServiceClient(way.connection))
	s.way = way
	if err != nil {
		cancel()
		return fromGRPC(err)
	}
	s.stream, s.cancel = stream, cancel
	return nil
}

func (s *source[F]) mayResume(failed *Error) bool {
	// A stream can also be cut below gRPC: then the status is made up here, and has no reason.
	cut := failed.Reason == "" && (failed.Code == codes.Canceled || failed.Code == codes.Internal || failed.Code == codes.Unknown)
	if !failed.isRetryable() && failed.Reason != "SLOW_READER" && !cut {
		return false
	}
	if s.failingSince.IsZero() {
		s.failingSince = time.Now()
	}
	return time.Since(s.failingSince) < s.client.timeout
}

func (s *source[F]) close() {
	if s.stream != nil {
		s.cancel()
		s.stream, s.cancel = nil, nil
	}
}
