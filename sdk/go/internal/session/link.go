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
	endpoint  string
	backoff   backoff.Backoff
	agentID   string
	epoch     int64

	// Of one stream.
	opened, welcomed       Moment
	lastSent, lastReceived Moment
	lease                  time.Duration
	features               []string
}

// open begins to open a stream.
func (l *link) open(now Moment, addresses int) Target {
	target := Target{Endpoint: l.endpoint}
	if l.endpoint == "" {
		target.Address = l.turn % max(1, addresses)
		l.turn++
	}
	l.endpoint = ""
	l.phase, l.opened, l.lastSent, l.lastReceived = connecting, now, now, now
	return target
}

func (l *link) welcome(now Moment, welcome *callboardv1.Welcome) {
	l.phase, l.welcomed = attached, now
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

// Disconnected takes the end of the stream, or that it could not be opened: with its fault unless it ended well.
func (s *Session) Disconnected(now Moment, fault *Fault) {
	switch s.link.phase {
	case idle, detached, stopped:
		// The end of a stream that was given up here is no news.
		return
	}
	var asked *time.Duration
	if fault != nil {
		if fault.isFinal(s.link.phase == attached) {
			s.end(fault)
			return
		}
		asked = fault.RetryAfter
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
	for _, endpoint := range endpoints {
		if s.config.UsableEndpoint(endpoint) {
			s.link.endpoint = endpoint
			break
		}
	}
	var delay time.Duration
	if now < s.link.welcomed+brief {
		delay = s.link.backoff.Next(nil, s.config.Fraction())
	}
	s.do(Cut{})
	s.detach(now, delay)
}
