package callboard

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/runs"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// runStream is what the runs of a client go over: a stream of RunTasks while there is something to run. What it does is decided by
// [runs.Stream], which is told everything under one lock. Nothing that is done under it waits.
type runStream struct {
	transport *transport
	began     time.Time

	mu    sync.Mutex
	state *runs.Stream
	// frames is the stream there is, way where it goes, or the last one went.
	frames  *runFrames
	way     route
	timer   *time.Timer
	timerAt runs.Moment
	// unable is the connection whose server has no RunTasks; nil when there is none.
	unable *grpc.ClientConn
}

// runFrames is one stream, or one that is being opened.
type runFrames struct {
	ctx    context.Context
	cancel context.CancelFunc
	// wake tells the writer that there is something to send, or that it is over.
	wake chan struct{}
}

func (f *runFrames) notify() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func newRunStream(transport *transport, namespace string) *runStream {
	s := &runStream{transport: transport, began: time.Now(), timerAt: runs.Never}
	s.state = runs.New(runs.Config{Namespace: namespace, Refusal: refusalOf, Fraction: rand.Float64})
	s.timer = time.AfterFunc(time.Hour, s.tick)
	s.timer.Stop()
	return s
}

// refusalOf reads why a run was refused.
func refusalOf(encoded []byte) *runs.Fault {
	said := &spb.Status{}
	if err := proto.Unmarshal(encoded, said); err != nil {
		return faultOf(&Error{Code: codes.Internal, Message: "the server's refusal can't be read: " + err.Error()})
	}
	return faultOf(fromGRPC(status.ErrorProto(said)))
}

// run runs to the outcome, or until the context ends.
func (s *runStream) run(ctx context.Context, run *runs.Run) runs.Outcome {
	isUnable := false
	s.happened(func(now runs.Moment) {
		if isUnable = s.isUnable(); !isUnable {
			s.state.Ask(now, run)
		}
	})
	if isUnable {
		return runs.Outcome{ByCalls: true}
	}
	select {
	case outcome := <-run.Outcome():
		return outcome
	case <-ctx.Done():
	}
	var inTheWay *runs.Fault
	s.happened(func(now runs.Moment) { inTheWay = s.state.Forget(now, run) })
	select {
	case outcome := <-run.Outcome():
		// It came at the last moment.
		return outcome
	default:
	}
	if inTheWay == nil || ctx.Err() != context.DeadlineExceeded {
		inTheWay = faultOf(endOfWait(ctx, run.ID()))
	}
	return runs.Outcome{Fault: inTheWay}
}

// isUnable says whether the server is known to have no RunTasks. Who holds the lock calls it.
func (s *runStream) isUnable() bool {
	if s.unable == nil {
		return false
	}
	way, err := s.transport.route()
	return err == nil && way.connection == s.unable
}

// isTooOld: the server has no RunTasks. It is asked again when it was connected to anew, for it may have been replaced.
func (s *runStream) isTooOld(connection *grpc.ClientConn) {
	s.mu.Lock()
	s.unable = connection
	s.mu.Unlock()
	go func() {
		// It changes when it is closed, too.
		connection.WaitForStateChange(context.Background(), connectivity.Ready)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.unable == connection {
			s.unable = nil
		}
	}()
}

// happened tells of something, with the time, and does what is to be done about it.
func (s *runStream) happened(event func(now runs.Moment)) {
	s.mu.Lock()
	event(s.now())
	for _, action := range s.state.TakeActions() {
		s.perform(action)
	}
	if s.frames != nil && s.state.HasFrame() {
		s.frames.notify()
	}
	s.arm()
	settled := s.state.TakeSettled()
	s.mu.Unlock()
	// Those who are told ask for the lock themselves.
	for _, one := range settled {
		one.Deliver()
	}
}

func (s *runStream) now() runs.Moment {
	return time.Since(s.began)
}

func (s *runStream) perform(action runs.Action) {
	switch action {
	case runs.Open:
		ctx, cancel := context.WithCancel(context.Background())
		s.frames = &runFrames{ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1)}
		go s.carry(s.frames)
	case runs.Finish:
		s.frames.notify()
		s.frames = nil
	case runs.Cut:
		s.frames.cancel()
		s.frames = nil
	case runs.Leave:
		s.transport.leave(s.way)
	}
}

// arm sets the timer for what is due next. One that is set for sooner does no harm: it only sets it again.
func (s *runStream) arm() {
	due := s.state.TickAt()
	if due >= s.timerAt {
		return
	}
	s.timerAt = due
	s.timer.Reset(max(0, due-s.now()))
}

func (s *runStream) tick() {
	s.happened(func(now runs.Moment) {
		s.timerAt = runs.Never
		s.state.Tick(now)
	})
}

// close ends the stream. What runs ends with an error.
func (s *runStream) close() {
	s.happened(func(now runs.Moment) {
		s.state.Close(now, faultOf(&Error{Code: codes.Canceled, Message: "the client was closed before the task had ended"}))
	})
}

// carry opens a stream, and carries frames until it has ended.
func (s *runStream) carry(f *runFrames) {
	defer f.cancel()
	failed := s.exchange(f)
	s.happened(func(now runs.Moment) {
		// One that was let go of ends by itself: there is another, or none is needed.
		if s.frames == f {
			s.frames = nil
			s.state.Ended(now, faultOf(failed))
		}
	})
}

// exchange gives why the stream ended.
func (s *runStream) exchange(f *runFrames) *Error {
	way, err := s.transport.route()
	if err != nil {
		return asError(err)
	}
	s.mu.Lock()
	if s.frames == f {
		s.way = way
	}
	s.mu.Unlock()
	const method = callboardv1.TaskService_RunTasks_FullMethodName
	shape := grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := way.connection.NewStream(withToken(f.ctx, way.token), &shape, method, grpc.ForceCodecV2(newFrameCodec()))
	if err == nil {
		err = s.readAndWrite(f, stream, way.token)
	}
	if errors.Is(err, io.EOF) {
		return &Error{Code: codes.Unavailable, Message: "the server ended the stream"}
	}
	failed := fromGRPC(err)
	switch {
	case s.transport.identity.isRenewed(failed, way.token):
		return &Error{Code: codes.Unavailable, Message: "the token was changed: asking with the new one"}
	case failed.Code == codes.Unimplemented:
		s.isTooOld(way.connection)
	}
	return failed
}

func (s *runStream) readAndWrite(f *runFrames, stream grpc.ClientStream, token string) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write(f, stream)
	}()
	defer func() {
		f.cancel()
		<-written
	}()
	// Why there is none is what the first frame's error says.
	if header, err := stream.Header(); err == nil && header != nil {
		s.heard(f, func(now runs.Moment) { s.state.Opened(now) })
	}
	for {
		frame := &callboardv1.RunTasksResponse{}
		if err := stream.RecvMsg(frame); err != nil {
			return err
		}
		refused := s.withoutRenewed(frame, token)
		s.heard(f, func(now runs.Moment) { s.state.Received(now, frame) })
		if refused != nil {
			return refused
		}
	}
}

// withoutRenewed takes runs out of a frame that were refused for a token that has been changed since, and gives such a refusal. They stay
// on the stream, to be asked again on one with the new token.
func (s *runStream) withoutRenewed(frame *callboardv1.RunTasksResponse, token string) error {
	var refused error
	frame.Outcomes = slices.DeleteFunc(frame.GetOutcomes(), func(outcome *callboardv1.TaskOutcome) bool {
		said := &spb.Status{}
		if proto.Unmarshal(outcome.GetStatus(), said) != nil || codes.Code(said.GetCode()) != codes.Unauthenticated {
			return false
		}
		if refused == nil && s.transport.identity.isRenewed(fromGRPC(status.ErrorProto(said)), token) {
			refused = status.ErrorProto(said)
		}
		return refused != nil
	})
	return refused
}

// heard is happened for what comes over a stream, unless that has been let go of.
func (s *runStream) heard(f *runFrames, event func(now runs.Moment)) {
	s.happened(func(now runs.Moment) {
		if s.frames == f {
			event(now)
		}
	})
}

// write sends what there is, until the stream ends.
func (s *runStream) write(f *runFrames, stream grpc.ClientStream) {
	for {
		// Those who are about to ask may do so first: then what they ask goes out in one frame.
		runtime.Gosched()
		frame, isOver := s.next(f)
		switch {
		case isOver:
			_ = stream.CloseSend()
			// The server ends it then. The reader notices.
			_ = sleep(f.ctx, goodbye)
			f.cancel()
			return
		case frame != nil:
			// The reader learns why this fails, and tells.
			if stream.SendMsg(encodedFrame(frame)) != nil {
				return
			}
			continue
		}
		select {
		case <-f.wake:
		case <-f.ctx.Done():
			return
		}
	}
}

// next gives the next frame, if there is one, or says that there will be none.
func (s *runStream) next(f *runFrames) (frame []byte, isOver bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frames != f {
		return nil, true
	}
	return s.state.NextFrame(), false
}
