package session

import (
	"slices"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"callboard.dev/sdk/go/internal/planted"
	"google.golang.org/grpc/codes"
)

const (
	// welcomeWithin is how long opening a stream may take, up to the welcome.
	welcomeWithin = 10 * time.Second
	// namedWelcomeWithin is the same at an endpoint that a server that drains named. There is always something else to try behind it, and
	// servers give the attempts of an agent that stays away for long to others.
	namedWelcomeWithin = 5 * time.Second
	// maxNamed is how many such endpoints are kept: all of them, silent, take less than the time for which agents that were sent away
	// are awaited (30 s).
	maxNamed = 4
	// defaultLease holds when the server says none.
	defaultLease  = 10 * time.Second
	shortestLease = 100 * time.Millisecond
	// brief: a server that drains sooner than this after its welcome is not left at once, but after a while.
	brief = time.Second
)

// phase is where the session is. Draining is told apart: an agent drains in any of them.
type phase int

const (
	// idle: it has not begun.
	idle phase = iota
	// detached: there is no stream, and will be one at connectAt.
	detached
	// connecting: a stream is being opened, and nothing was sent.
	connecting
	// greeted: the hello was sent.
	greeted
	// attached: the welcome came.
	attached
	// stopped: it is over.
	stopped
)

// link is the connection: when to open it, to give it up, to send a heartbeat, to call the server silent.
type link struct {
	phase     phase
	connectAt Moment
	turn      int
	// named are the endpoints of the latest drain notice that were not tried yet.
	named   []string
	backoff backoff.Backoff
	agentID string
	epoch   int64

	// Of one stream.
	isNamed                bool
	opened, welcomed       Moment
	lastSent, lastReceived Moment
	lease                  time.Duration
	features               []string
}

// open begins to open a stream.
func (l *link) open(now Moment, addresses int) Target {
	var target Target
	l.isNamed = len(l.named) > 0
	if l.isNamed {
		target.Endpoint, l.named = l.named[0], l.named[1:]
	} else {
		target.Address = l.turn % max(1, addresses)
		l.turn++
	}
	l.phase, l.opened, l.lastSent, l.lastReceived = connecting, now, now, now
	return target
}

func (l *link) welcome(now Moment, welcome *callboardv1.Welcome) {
	l.phase, l.welcomed, l.named = attached, now, nil
	l.agentID, l.epoch = welcome.GetAgentId(), welcome.GetSessionEpoch()
	l.features = welcome.GetFeatures()
	l.lease = defaultLease
	if lease := welcome.GetLease().AsDuration(); lease > 0 {
		l.lease = max(lease, shortestLease)
	}
	l.backoff.Reset()
}

// lacks says whether a server is known not to take such frames. It has meaning only while attached.
func (l *link) lacks(feature string) bool {
	return !slices.Contains(l.features, feature)
}

// heartbeatAt is a third of the lease after the last frame.
func (l *link) heartbeatAt() Moment {
	return l.lastSent + l.lease/3
}

// brokenAt is when the stream is to be cut, unless something comes.
func (l *link) brokenAt() Moment {
	switch l.phase {
	case connecting, greeted:
		if l.isNamed {
			return l.opened + namedWelcomeWithin
		}
		return l.opened + welcomeWithin
	case attached:
		return l.lastReceived + l.lease
	}
	return Never
}

func (l *link) dueAt() Moment {
	if l.phase == detached {
		return l.connectAt
	}
	return l.brokenAt()
}

// isUnprovenEndpoint says whether the stream is at an endpoint that a drain notice named, and that has not welcomed the agent. It may be
// anything: a server that was misspelled, of others, or that doesn't know the agent yet.
func (l *link) isUnprovenEndpoint() bool {
	return l.isNamed && l.phase != attached
}

// isFinal says whether attaching again can't help: what ends the agent itself, or what one of its own addresses refuses.
func (l *link) isFinal(fault *Fault) bool {
	return fault.endsAgent(l.phase == attached) || (fault.isLasting() && !l.isUnprovenEndpoint())
}

// Disconnected takes the end of the stream, or that it could not be opened: with its fault unless it ended well.
func (s *Session) Disconnected(now Moment, fault *Fault) {
	switch s.link.phase {
	case idle, detached, stopped:
		// The end of a stream that was given up here is no news.
		return
	}
	var asked *time.Duration
	if fault != nil {
		if s.link.isFinal(fault) {
			s.end(fault)
			return
		}
		// What a named endpoint asks for is of no matter to the others, and it is not tried again.
		if !s.link.isUnprovenEndpoint() {
			asked = fault.RetryAfter
		}
	}
	s.detach(now, s.link.backoff.Next(asked, s.config.Fraction()))
	s.Tick(now)
}

// detach: the stream is gone. Another is opened after a delay.
func (s *Session) detach(now Moment, delay time.Duration) {
	if planted.Has(planted.NoReattach) && s.link.epoch > 0 {
		s.end(&Fault{Code: codes.Unavailable, Message: "the stream broke"})
		return
	}
	s.link.phase, s.link.connectAt = detached, now+delay
	for _, a := range s.progress {
		a.progress = nil
	}
	s.progress = nil
	if s.drain != nil {
		s.drain.receiptsSince = Never
	}
}

// serverDrains: the server goes away. Attach where it says, or at the next address, at once.
func (s *Session) serverDrains(now Moment, endpoints []string) {
	s.link.named = s.usable(endpoints)
	var delay time.Duration
	if now < s.link.welcomed+brief {
		delay = s.link.backoff.Next(nil, s.config.Fraction())
	}
	s.do(Cut{})
	s.detach(now, delay)
}

// usable gives the endpoints that can be tried, in their order, each once.
func (s *Session) usable(endpoints []string) []string {
	var found []string
	for _, endpoint := range endpoints {
		if len(found) == maxNamed {
			break
		}
		if s.config.UsableEndpoint(endpoint) && !slices.Contains(found, endpoint) {
			found = append(found, endpoint)
		}
	}
	return found
}
