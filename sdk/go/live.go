package callboard

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/planted"
	"callboard.dev/sdk/go/internal/session"
)

const (
	// goodbye is how long the server has to end the stream when the agent has closed its side.
	goodbye = time.Second
	// unwind is how long handlers have that are told to stop when the agent ends.
	unwind = time.Second
	// cancelGrace is the same when the server won't have the agent any more.
	cancelGrace = 10 * time.Second
)

// live is an agent that has started: its session, its stream, its handlers, and what is between their goroutines. Everything that
// happens is told to the session under one lock, and what the session wants done is begun under it, so that it happens in order.
// Nothing that is done under it waits.
type live struct {
	agent  *Agent
	client *Client
	began  time.Time
	// values is the context of handlers.
	values context.Context

	mu       sync.Mutex
	session  *session.Session
	standing session.Standing
	// changed is closed when the standing changes, and replaced.
	changed  chan struct{}
	timer    *time.Timer
	timerAt  session.Moment
	stream   *stream
	running  map[session.Key]*Context
	handling context.CancelCauseFunc
	ticket   uint64
	saves    map[uint64]chan error
	sends    map[uint64]chan sendOutcome
	awaits   map[uint64]chan session.Awaited

	// ended is closed when the session has ended, finished when nothing of it is left. err is written before.
	ended, finished chan struct{}
	err             error
	streams         sync.WaitGroup
	handlers        sync.WaitGroup
	workers         *workers
}

type sendOutcome struct {
	receipt *callboardv1.MessageReceipt
	err     error
}

func newLive(a *Agent, values context.Context) (*live, error) {
	transport, err := newTransport(a.addresses, a.identity)
	if err != nil {
		return nil, err
	}
	var random [16]byte
	fillRandom(random[:])
	client := newClient(transport, a.namespace, defaultTimeout, a.options.Interceptors)
	client.borrowed = true
	l := &live{
		agent:  a,
		client: client,
		began:  time.Now(),
		values: values,
		session: session.New(session.Config{
			Namespace: a.namespace,
			Profile:   a.profile(),
			// The same each time that this agent attaches: it tells an agent that comes back from another program.
			InstanceID:     uuid4(random),
			Addresses:      len(a.addresses),
			UsableEndpoint: func(text string) bool { _, err := parseAddress(text); return err == nil },
			TakesMessages:  a.onMessage != nil,
			Fraction:       rand.Float64,
		}),
		changed:  make(chan struct{}),
		timerAt:  session.Never,
		running:  map[session.Key]*Context{},
		saves:    map[uint64]chan error{},
		sends:    map[uint64]chan sendOutcome{},
		awaits:   map[uint64]chan session.Awaited{},
		ended:    make(chan struct{}),
		finished: make(chan struct{}),
	}
	l.workers = newWorkers(a.options.Slots, l.ended)
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
	return l, nil
}

// start begins. When the context ends, the agent drains.
func (l *live) start(ctx context.Context) {
	forget := context.AfterFunc(ctx, func() { l.drain(l.agent.options.DrainTimeout) })
	go func() {
		<-l.ended
		forget()
		l.finish()
	}()
	l.happened(func(now session.Moment) { l.session.Start(now) })
}

// finish lets go of everything, once the session has ended.
func (l *live) finish() {
	// Of the server: it ends the stream when it has read to the end.
	waitFor(&l.streams, goodbye)
	l.mu.Lock()
	l.timer.Stop()
	if l.stream != nil {
		l.stream.cancel()
	}
	patience := unwind
	if l.err != nil {
		patience = cancelGrace
	}
	l.mu.Unlock()
	l.streams.Wait()
	// A handler that doesn't stop is left to itself: Go can't stop it.
	waitFor(&l.handlers, patience)
	_ = l.client.end()
	l.agent.health.close()
	close(l.finished)
}

// waitFor waits for all, for so long at most.
func waitFor(all *sync.WaitGroup, longest time.Duration) {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (l *live) now() session.Moment {
	return time.Since(l.began)
}

// happened tells the session of something, with the time, and does what it wants done about it.
func (l *live) happened(event func(now session.Moment)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.locked(event)
}

// locked is happened for who holds the lock.
func (l *live) locked(event func(now session.Moment)) {
	event(l.now())
	l.performAll()
	if standing := l.session.Standing(); standing != l.standing {
		l.standing = standing
		close(l.changed)
		l.changed = make(chan struct{})
	}
	l.arm()
	if l.stream != nil {
		l.stream.notify()
	}
}

func (l *live) performAll() {
	for _, action := range l.session.TakeActions() {
		l.perform(action)
	}
}

func (l *live) perform(action session.Action) {
	switch action := action.(type) {
	case session.Start:
		l.run(action)
	case session.Stop:
		if task := l.running[action.Key]; task != nil && !planted.Has(planted.CancellationIgnored) {
			task.cancel(&Cancellation{Reason: cancellationName(action.Reason), Message: action.Message})
		}
	case session.ReportSettled:
		if saved := l.saves[action.Ticket]; saved != nil {
			delete(l.saves, action.Ticket)
			saved <- errorOf(action.Fault)
		}
	case session.Awaited:
		if awaited := l.awaits[action.Ticket]; awaited != nil {
			if !action.HeldBack {
				delete(l.awaits, action.Ticket)
			}
			awaited <- action
		}
	case session.Resumed:
		if task := l.running[action.Key]; task != nil {
			task.deadline.Store(action.Deadline)
		}
	case session.SendSettled:
		if sent := l.sends[action.Ticket]; sent != nil {
			delete(l.sends, action.Ticket)
			sent <- sendOutcome{action.Receipt, errorOf(action.Fault)}
		}
	case session.Handle:
		l.handle(action.Message)
	case session.StopHandling:
		if l.handling != nil {
			l.handling(&Cancellation{Reason: cancellationName(callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST), Message: "the agent stops"})
		}
	case session.Connect:
		l.connect(action.Target)
	case session.Cut:
		l.stream.cancel()
		l.stream = nil
	case session.End:
		l.err = errorOf(action.Fault)
		if l.stream != nil && !l.standing.Attached {
			l.stream.cancel()
		}
		close(l.ended)
	}
}

// arm sets the timer for what is due next. One that is set for sooner does no harm: it only sets it again.
func (l *live) arm() {
	due := l.session.TickAt()
	if due >= l.timerAt {
		return
	}
	l.timerAt = due
	l.timer.Reset(max(0, due-l.now()))
}

func (l *live) tick() {
	l.happened(func(now session.Moment) {
		l.timerAt = session.Never
		l.session.Tick(now)
	})
}

func (l *live) drain(timeout time.Duration) {
	l.happened(func(now session.Moment) { l.session.Drain(now, timeout) })
}

func (l *live) stop() {
	l.happened(func(session.Moment) { l.session.Stop() })
}

func (l *live) stands() session.Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing
}

func (l *live) waitAttached(ctx context.Context) error {
	for {
		l.mu.Lock()
		attached, changed := l.standing.Attached, l.changed
		l.mu.Unlock()
		if attached {
			return nil
		}
		select {
		case <-changed:
		case <-l.ended:
			if l.err != nil {
				return l.err
			}
			return errStopped()
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
}

func (l *live) progress(key session.Key, progress *callboardv1.Progress) {
	l.happened(func(session.Moment) { l.session.Progressed(key, progress) })
}

// saveCheckpoint waits until a checkpoint is decided, or nobody waits for it any longer.
func (l *live) saveCheckpoint(ctx context.Context, key session.Key, data *Payload) error {
	return l.save(ctx, func(_ session.Moment, ticket uint64) { l.session.SaveCheckpoint(key, data, ticket) })
}

// recordStep is the same of a step.
func (l *live) recordStep(ctx context.Context, key session.Key, record *callboardv1.StepRecord) error {
	return l.save(ctx, func(_ session.Moment, ticket uint64) { l.session.RecordStep(key, record, ticket) })
}

// output waits until output is in the buffer, or nobody waits for that any longer.
func (l *live) output(ctx context.Context, key session.Key, piece session.Piece) error {
	return l.save(ctx, func(now session.Moment, ticket uint64) { l.session.Output(now, key, piece, ticket) })
}

// await waits until so many of these tasks have completed, or can't any more, or until nobody waits for it any longer. It gives the ends
// that were told by then. They are not told by a server that has no children. When it is decided and the handler may not go on yet, decided
// is called meanwhile.
func (l *live) await(
	ctx context.Context, key session.Key, taskIDs []string, count int, decided func(ends []*callboardv1.TaskEnd),
) (ends []*callboardv1.TaskEnd, isTold bool, err error) {
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	// There is room for all that comes: once that it is held back, and the end of it.
	told := make(chan session.Awaited, 2)
	var ticket uint64
	l.happened(func(now session.Moment) {
		ticket = l.newTicket()
		l.awaits[ticket] = told
		l.session.Await(now, key, taskIDs, count, ticket)
	})
	for {
		select {
		case awaited := <-told:
			if awaited.HeldBack {
				decided(awaited.Ends)
				continue
			}
			return awaited.Ends, !awaited.Untold, errorOf(awaited.Fault)
		case <-ctx.Done():
			l.happened(func(now session.Moment) {
				delete(l.awaits, ticket)
				l.session.ForgetAwait(now, ticket)
			})
			return nil, false, context.Cause(ctx)
		}
	}
}

// childFault says why no child can be created now; nil when one can.
func (l *live) childFault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errorOf(l.session.ChildFault())
}

// stepFault says why no step can begin now; nil when one can.
func (l *live) stepFault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errorOf(l.session.StepFault())
}

// save gives the session something to be reported, under a ticket, and waits for what becomes of it.
func (l *live) save(ctx context.Context, report func(now session.Moment, ticket uint64)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	saved := make(chan error, 1)
	var ticket uint64
	l.happened(func(now session.Moment) {
		ticket = l.newTicket()
		l.saves[ticket] = saved
		report(now, ticket)
	})
	select {
	case err := <-saved:
		return err
	case <-ctx.Done():
		l.happened(func(session.Moment) {
			delete(l.saves, ticket)
			l.session.ForgetReport(ticket)
		})
		return context.Cause(ctx)
	}
}

// send waits until a message is decided, or nobody waits for it any longer.
func (l *live) send(ctx context.Context, to string, body any, options *MessageOptions) (*callboardv1.MessageReceipt, error) {
	message, id, err := newMessage(to, body, options)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	sent := make(chan sendOutcome, 1)
	var ticket uint64
	l.happened(func(session.Moment) {
		ticket = l.newTicket()
		l.sends[ticket] = sent
		l.session.Send(&callboardv1.MessageSend{RequestId: id, Message: message}, ticket)
	})
	select {
	case outcome := <-sent:
		return outcome.receipt, outcome.err
	case <-ctx.Done():
		l.happened(func(session.Moment) {
			delete(l.sends, ticket)
			l.session.ForgetSend(ticket)
		})
		return nil, context.Cause(ctx)
	}
}

func (l *live) newTicket() uint64 {
	l.ticket++
	return l.ticket
}
