package session

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// sentTo is an agent that is attached to its first address of two, works, and is told by the server to go to one of these.
func sentTo(t *testing.T, endpoints ...string) *script {
	t.Helper()
	s := newScript(t, func(r *role) { r.addresses = 2 })
	s.working("t1")
	s.later(2 * time.Second)
	s.serverDrain(endpoints...)
	return s
}

// attachesTo says where the agent attaches next, as soon as it does. Its hello goes out.
func (s *script) attachesTo(what string, want Target) {
	s.t.Helper()
	connects := acts[Connect](s)
	if len(connects) == 0 && !s.Stopped() {
		s.later(s.TickAt() - s.now)
		connects = acts[Connect](s)
	}
	same(s.t, what, connects, Connect{want})
	s.frames()
}

func TestANamedEndpointThatRefusesDoesNotEndTheAgent(t *testing.T) {
	for _, fault := range []*Fault{
		{Code: codes.Unauthenticated},
		{Code: codes.PermissionDenied},
		{Code: codes.NotFound, Reason: "NAMESPACE_NOT_FOUND"},
		{Code: codes.InvalidArgument, Reason: "INVALID_FIELD"},
	} {
		s := sentTo(t, "http://c:3", "http://d:4")
		s.attachesTo("the first", Target{Endpoint: "http://c:3"})
		s.drop(fault)
		s.attachesTo("the second", Target{Endpoint: "http://d:4"})
		s.drop(fault)
		s.attachesTo("its own, the one behind the one that drains", Target{Address: 1})
		s.drop(fault)
		same(t, "its own says so: that is the end", acts[End](s), End{fault})
	}
}

func TestWhatANamedEndpointSaysOfTheAgentItselfEndsIt(t *testing.T) {
	for _, fault := range []*Fault{
		{Code: codes.Aborted, Reason: "SESSION_SUPERSEDED"},
		{Code: codes.PermissionDenied, Reason: "NOT_YOUR_AGENT"},
		{Code: codes.FailedPrecondition, Reason: "AGENT_STATE"},
	} {
		s := sentTo(t, "http://c:3", "http://d:4")
		s.attachesTo("the first", Target{Endpoint: "http://c:3"})
		s.drop(fault)
		same(t, "ends", acts[End](s), End{fault})
	}
}

func TestANamedEndpointThatWelcomedIsBelieved(t *testing.T) {
	s := sentTo(t, "http://c:3", "http://d:4")
	s.attach(held("t1"))
	s.all()
	fault := &Fault{Code: codes.Unauthenticated}
	s.drop(fault)
	same(t, "ends", acts[End](s), End{fault})
}

func TestNamedEndpointsAreTriedInTheirOrderAndEachOnce(t *testing.T) {
	s := sentTo(t, "nonsense", "http://c:3", "d:4", "http://d:4", "http://c:3")
	for _, want := range []Target{{Endpoint: "http://c:3"}, {Endpoint: "http://d:4"}, {Address: 1}, {Address: 0}} {
		s.attachesTo("in turn", want)
		s.drop(gone)
	}
}

func TestADelayThatANamedEndpointAsksForIsNotKeptElsewhere(t *testing.T) {
	s := sentTo(t, "http://c:3", "http://d:4")
	s.attachesTo("the first", Target{Endpoint: "http://c:3"})
	asked := 20 * time.Second
	s.drop(&Fault{Code: codes.Unavailable, RetryAfter: &asked})
	expect(t, s.TickAt() == s.now+100*time.Millisecond, "soon", s.TickAt()-s.now)
}

func TestAWelcomeForgetsTheOtherNamedEndpoints(t *testing.T) {
	s := sentTo(t, "http://c:3", "http://d:4")
	s.attach(held("t1"))
	s.all()
	s.drop(gone)
	s.attachesTo("its own", Target{Address: 1})
}

func TestANewNoticeReplacesTheNamedEndpoints(t *testing.T) {
	s := sentTo(t, "http://c:3", "http://d:4")
	s.attach(held("t1"))
	s.later(2 * time.Second)
	s.all()
	s.serverDrain("http://e:5")
	s.attachesTo("the new one", Target{Endpoint: "http://e:5"})
	s.drop(gone)
	s.attachesTo("its own", Target{Address: 1})
}

func TestOnlySoManyNamedEndpointsAreKept(t *testing.T) {
	var names []string
	for host := range 20 {
		names = append(names, fmt.Sprintf("http://h%d:1", host))
	}
	s := sentTo(t, names...)
	for _, name := range names[:4] {
		s.attachesTo("in turn", Target{Endpoint: name})
		s.drop(gone)
	}
	s.attachesTo("its own", Target{Address: 1})
}

func TestANamedEndpointThatIsSilentIsGivenUpSoon(t *testing.T) {
	s := sentTo(t, "http://c:3", "http://d:4")
	s.attachesTo("the first", Target{Endpoint: "http://c:3"})
	s.later(4999 * time.Millisecond)
	expect(t, len(s.all()) == 0, "patient")
	s.later(time.Millisecond)
	same(t, "cut", s.all(), Action(Cut{}))
	s.attachesTo("the second", Target{Endpoint: "http://d:4"})
	s.drop(gone)
	s.attachesTo("its own", Target{Address: 1})
	s.later(9 * time.Second)
	expect(t, len(s.all()) == 0, "its own has its time")
}
