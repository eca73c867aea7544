package callboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
	"google.golang.org/grpc/codes"
)

// stream is one attached stream, or one that is being opened.
type stream struct {
	to     address
	ctx    context.Context
	cancel context.CancelFunc
	// wake tells the writer that there may be something to send.
	wake chan struct{}
}

func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// connect opens a stream. Who holds the lock calls it.
func (l *live) connect(target session.Target) {
	to := l.agent.addresses[target.Address]
	if target.Endpoint != "" {
		// The session was told that it can be read.
		if endpoint, err := parseAddress(target.Endpoint); err == nil {
			to = endpoint
		}
	}
	ctx, cancel := context.WithCancel(l.values)
	s := &stream{to: to, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1)}
	l.stream = s
	l.agent.log.Debug("attaching", "address", to.url)
	l.streams.Go(func() {
		defer cancel()
		failed := l.exchange(s)
		l.mu.Lock()
		defer l.mu.Unlock()
		// One that was cut off may end by itself before it notices: another has taken its place.
		if l.stream != s {
			return
		}
		l.stream = nil
		if !l.session.Stopped() {
			l.logEnd(to, failed)
		}
		l.locked(func(now session.Moment) { l.session.Disconnected(now, faultOf(failed)) })
	})
}

func (l *live) logEnd(to address, failed *Error) {
	if failed == nil {
		l.agent.log.Info("the server ended the stream", "address", to.url)
		return
	}
	l.agent.log.Warn("the stream broke", "address", to.url, "error", failed.Error())
}

// exchange opens a stream, and gives its status when it has ended; nil when it ended well.
func (l *live) exchange(s *stream) *Error {
	id := l.agent.identity
	// A server that drains may have named it.
	if err := id.check(s.to); err != nil {
		return &Error{Code: codes.Unavailable, Message: err.Error()}
	}
	connection, err := dial(s.to, id)
	if err != nil {
		return &Error{Code: codes.Unavailable, Message: fmt.Sprintf("address %q can't be connected to: %v", s.to.url, err)}
	}
	defer func() { _ = connection.Close() }()
	token := id.tokenFor(s.to)
	frames, err := callboardv1.NewAgentServiceClient(connection).Attach(withToken(s.ctx, token))
	if err == nil {
		err = l.readAndWrite(s, frames)
	}
	if err == nil {
		return nil
	}
	failed := fromGRPC(err)
	if id.isRenewed(failed, token) {
		return &Error{Code: codes.Unavailable, Message: "the token was changed: attaching with the new one"}
	}
	return failed
}

func (l *live) readAndWrite(s *stream, frames callboardv1.AgentService_AttachClient) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(s, frames)
	}()
	defer func() {
		s.cancel()
		<-written
	}()
	for {
		frame, err := frames.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !l.received(s, frame) {
			return nil
		}
	}
}

// received takes a frame. False when the stream has been cut off.
func (l *live) received(s *stream, frame *callboardv1.AttachResponse) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != s {
		return false
	}
	l.locked(func(now session.Moment) { l.session.Received(now, frame) })
	if frame.GetWelcome() != nil {
		l.agent.log.Info("attached", "address", s.to.url, "agent", l.agent.name, "epoch", l.standing.Epoch)
	}
	return true
}

// write sends what there is, until the stream ends.
func (l *live) write(s *stream, frames callboardv1.AgentService_AttachClient) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		// Handlers that are about to end may do so first: then their reports go out in one frame.
		runtime.Gosched()
		frame, due, over := l.next(s)
		switch {
		case frame != nil:
			// The reader learns why this fails, and tells.
			if frames.Send(frame) != nil {
				return
			}
			continue
		case over:
			_ = frames.CloseSend()
			return
		}
		timer.Reset(due)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// next gives the next frame, or else how long to wait for one at most, or that there will be none.
func (l *live) next(s *stream) (frame *callboardv1.AttachRequest, wait time.Duration, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != s || l.session.Stopped() {
		return nil, 0, true
	}
	now := l.now()
	next := l.session.NextFrame(now)
	// What went out may have made room for output.
	l.performAll()
	if next != nil {
		return next, 0, false
	}
	due := l.session.SendAt()
	if due == session.Never {
		return nil, time.Hour, false
	}
	return nil, max(0, due-now), false
}
