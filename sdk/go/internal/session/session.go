// Package session is an agent's side of the attach protocol, as section 6 of sdk/SPEC.md has it: a state machine without I/O, clock,
// goroutines or randomness.
//
// What happens is told to a [Session]: frames that came, handlers that ended, streams that broke, time that passed. What is to be
// done about it is asked of it: [Session.TakeActions] for handlers and streams, [Session.NextFrame] for the next frame to send
// ([Session.SendAt] says when to ask again), [Session.TickAt] for when to call [Session.Tick] again. So every rule here can be
// tested as a script.
//
// Frames are asked for one at a time, when the stream can take one: reports that wait meanwhile go out together, and nothing piles
// up behind a slow connection.
package session

import (
	"math"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

// Moment is a point in time: how long after the agent's beginning, by a monotonic clock.
type Moment = time.Duration

// Never is later than every moment.
const Never Moment = math.MaxInt64

// What a server or an agent may list in its features.
const (
	featureCancellation    = "cancellation"
	featureCheckpoint      = "checkpoint"
	featureChildren        = "children"
	featureDrain           = "drain"
	featureMessages        = "messages"
	featureMessageReceipts = "message_receipts"
	featureOutput          = "output"
	featureProgress        = "progress"
	featureSlots           = "slots"
	featureSteps           = "steps"
)

// Config says what an agent is, and how it behaves.
type Config struct {
	Namespace string
	Profile   *callboardv1.AgentProfile
	// InstanceID is random, and the same for as long as the agent lives.
	InstanceID string
	// Addresses says how many addresses there are to try.
	Addresses int
	// UsableEndpoint says whether a server that drains may send the agent there.
	UsableEndpoint func(string) bool
	// TakesMessages says that there is a handler of messages.
	TakesMessages bool
	// Fraction gives a random number from 0 to 1.
	Fraction func() float64
}

// Session is the state of an agent. It is not safe for concurrent use.
type Session struct {
	config   Config
	types    map[string]bool
	link     link
	attempts map[Key]*attempt
	// running is how many handlers run.
	running int
	// pausedCount is how many of them need no slot.
	pausedCount int
	outbox      outbox
	progress    []*attempt
	// giving are the attempts that have output to report, resuming those whose handlers would go on.
	giving   []*attempt
	resuming []*attempt
	awaited  awaited
	mail     mail
	drain    *drain
	actions  []Action
}

// New gives an agent that has not begun.
func New(config Config) *Session {
	s := &Session{config: config, types: map[string]bool{}, attempts: map[Key]*attempt{}}
	for _, handler := range config.Profile.GetHandles() {
		s.types[handler.GetType()] = true
	}
	s.outbox = newOutbox(4*s.slots(), config.Fraction)
	s.mail = newMail(config.Fraction)
	s.awaited = newAwaited()
	return s
}

func (s *Session) slots() int {
	return max(1, int(s.config.Profile.GetSlots()))
}

// Start begins to attach.
func (s *Session) Start(now Moment) {
	if s.link.phase == idle {
		s.link.phase, s.link.connectAt = detached, now
	}
	s.Tick(now)
}

// Progressed takes how far a handler is. The latest wins, and nothing is kept across streams.
func (s *Session) Progressed(key Key, progress *callboardv1.Progress) {
	a := s.attempts[key]
	if a == nil || !a.reports() || s.link.phase != attached || s.link.lacks(featureProgress) {
		return
	}
	if a.progress == nil {
		s.progress = append(s.progress, a)
	}
	a.progress = progress
}

// Completed takes a handler's result.
func (s *Session) Completed(now Moment, key Key, result *callboardv1.Payload) {
	s.ended(now, key, &callboardv1.Report{
		Kind: &callboardv1.Report_Completed{Completed: &callboardv1.Completion{Result: result}},
	})
}

// Failed takes a handler's failure.
func (s *Session) Failed(now Moment, key Key, failure *callboardv1.Failure) {
	s.ended(now, key, failed(failure))
}

// Stop ends at once. What was running is requeued by the server.
func (s *Session) Stop() {
	if s.link.phase != stopped {
		s.end(nil)
	}
}

// Tick does whatever is due.
func (s *Session) Tick(now Moment) {
	if s.link.phase == stopped {
		return
	}
	if s.drain != nil {
		s.tickDrain(now)
	} else if s.config.TakesMessages {
		if message := s.mail.start(now); message != nil {
			s.do(Handle{message})
		}
	}
	if s.link.phase == attached {
		s.resumeAgain(now, false)
	}
	switch {
	case s.link.phase == detached && now >= s.link.connectAt:
		s.do(Connect{s.link.open(now, s.config.Addresses)})
	case now >= s.link.brokenAt():
		s.do(Cut{})
		s.detach(now, s.link.backoff.Next(nil, s.config.Fraction()))
	}
}

// TickAt says when Tick is due at the latest; [Never] when only an event can change something.
func (s *Session) TickAt() Moment {
	if s.link.phase == stopped {
		return Never
	}
	due := min(s.link.dueAt(), s.resumeDue())
	if s.drain != nil {
		return min(due, s.drain.dueAt())
	}
	return min(due, s.mail.startAt())
}

// TakeActions gives what to do now, in this order.
func (s *Session) TakeActions() []Action {
	for _, settled := range s.outbox.takeSettled() {
		s.do(settled)
	}
	for _, settled := range s.mail.takeSettled() {
		s.do(settled)
	}
	actions := s.actions
	s.actions = nil
	return actions
}

// Standing is what an agent knows of its session.
type Standing struct {
	Attached bool
	AgentID  string
	Epoch    int64
	// Draining says that it takes nothing new, Stopped that it is over.
	Draining, Stopped bool
}

// Standing says how the agent stands.
func (s *Session) Standing() Standing {
	return Standing{s.link.phase == attached, s.link.agentID, s.link.epoch, s.drain != nil, s.Stopped()}
}

// Stopped says whether it is over.
func (s *Session) Stopped() bool {
	return s.link.phase == stopped
}

func (s *Session) do(action Action) {
	s.actions = append(s.actions, action)
}

// end is the end of all: with a fault when trying again can't help.
func (s *Session) end(fault *Fault) {
	s.link.phase = stopped
	for _, a := range s.sorted() {
		if a.reports() {
			s.lose(a, callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST, "the agent stops")
		}
	}
	s.outbox.giveUp(leaseLost("the agent stops"))
	s.mail.giveUp(&Fault{Code: codes.Unavailable, Message: "the agent stops"})
	if s.mail.isRunning() {
		s.mail.abort()
		s.do(StopHandling{})
	}
	s.do(End{fault})
}
