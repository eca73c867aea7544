package session

import (
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

var gone = &Fault{Code: codes.Unavailable, Message: "gone"}

func TestSaysHelloAndNothingElseBeforeTheWelcome(t *testing.T) {
	s := newScript(t)
	s.Start(s.now)
	same(t, "connects", acts[Connect](s), Connect{Target{Address: 0}})
	frames := s.frames()
	expect(t, len(frames) == 1, "one frame", frames)
	hello := frames[0].GetHello()
	expect(t, hello.GetProfile().GetName() == "agent-1" && hello.GetPreviousEpoch() == 0 && hello.GetInstanceId() == "i", "who", hello)
	same(t, "features", hello.GetFeatures(), "cancellation", "drain", "message_receipts", "steps", "children")
	s.assign("t1")
	s.later(5 * time.Second)
	expect(t, len(s.frames()) == 0 && len(s.all()) == 0, "silent before the welcome")
}

func TestTriesTheNextAddressWhenNoWelcomeComes(t *testing.T) {
	s := newScript(t, func(r *role) { r.addresses = 2 })
	s.Start(s.now)
	s.frames()
	s.all()
	s.later(9900 * time.Millisecond)
	expect(t, len(s.all()) == 0, "patient")
	s.later(100 * time.Millisecond)
	expect(t, len(acts[Cut](s)) == 1, "cut")
	s.later(100 * time.Millisecond)
	same(t, "connects", acts[Connect](s), Connect{Target{Address: 1}})
}

func TestBacksOffDoublingAndAWelcomeResetsIt(t *testing.T) {
	s := newScript(t)
	s.Start(s.now)
	for _, want := range []int{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		s.drop(gone)
		due := s.TickAt()
		expect(t, due-s.now == time.Duration(want)*time.Millisecond, "delay", due-s.now, want)
		s.later(due - s.now)
	}
	s.attach(nil)
	s.drop(gone)
	expect(t, s.TickAt() == s.now+100*time.Millisecond, "reset", s.TickAt()-s.now)
}

func TestAServerThatAsksForADelayGetsIt(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	asked := 3 * time.Second
	s.drop(&Fault{Code: codes.Unavailable, RetryAfter: &asked})
	expect(t, s.TickAt() == s.now+asked, "asked", s.TickAt()-s.now)
}

func TestAHeartbeatWhenNothingWasSentForAThirdOfTheLease(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	expect(t, s.SendAt() == s.now+lease/3, "due", s.SendAt()-s.now)
	s.later(lease/3 - 10*time.Millisecond)
	same(t, "too soon", s.kinds())
	s.later(10 * time.Millisecond)
	same(t, "due", s.kinds(), "heartbeat")
	s.later(time.Second)
	s.assign("t1")
	s.reports()
	s.later(lease/3 - 10*time.Millisecond)
	same(t, "a report counts", s.kinds())
}

func TestASilentServerIsCutAfterALease(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.later(5 * time.Second)
	s.heartbeat()
	s.later(lease - time.Millisecond)
	expect(t, len(acts[Cut](s)) == 0, "patient")
	s.later(time.Millisecond)
	expect(t, len(acts[Cut](s)) == 1 && !s.Standing().Attached, "cut")
}

func TestComesBackWithItsRunningAttemptsAndEpoch(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.drop(gone)
	hello := s.attach(held("t1"))
	same(t, "held", tasksOf(hello.GetHeld()), "t1", "t2")
	expect(t, hello.GetPreviousEpoch() == 1 && hello.GetInstanceId() == "i", "who", hello)
	stops := acts[Stop](s)
	expect(t, len(stops) == 1 && stops[0].Key == key("t2") && !stops[0].Reported, "stops", stops)
	s.complete("t2")
	expect(t, len(s.reports()) == 0, "nothing is reported of it")
	s.complete("t1")
	same(t, "reports", kinds(s.reports()), "completed")
}

func TestEndsWhereTryingAgainCannotHelp(t *testing.T) {
	for _, fault := range []*Fault{
		{Code: codes.Aborted, Reason: "SESSION_SUPERSEDED"},
		{Code: codes.PermissionDenied, Reason: "NOT_YOUR_AGENT"},
		{Code: codes.InvalidArgument, Reason: "INVALID_FIELD"},
		{Code: codes.NotFound, Reason: "NAMESPACE_NOT_FOUND"},
		{Code: codes.Unauthenticated},
	} {
		s := newScript(t)
		s.working("t1")
		s.drop(fault)
		all := s.all()
		expect(t, len(all) == 2, "stop and end", all)
		stop, _ := all[0].(Stop)
		end, _ := all[1].(End)
		expect(t, stop.Key == key("t1") && !stop.Reported && end.Fault == fault, "ends", all)
		expect(t, s.Stopped() && s.TickAt() == Never && len(s.frames()) == 0, "over")
	}
}

func TestAnExpiredSessionAttachesAgainAndARemovedAgentEnds(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.drop(&Fault{Code: codes.Aborted, Reason: "SESSION_EXPIRED"})
	expect(t, !s.Stopped(), "goes on")
	s.later(100 * time.Millisecond)
	s.frames()
	s.all()
	removed := &Fault{Code: codes.FailedPrecondition, Reason: "AGENT_STATE"}
	s.drop(removed)
	same(t, "ends", acts[End](s), End{removed})
}

func TestADrainingServerIsLeftAtOnceForTheEndpointThatItNames(t *testing.T) {
	s := newScript(t, func(r *role) { r.addresses = 2 })
	s.working("t1")
	s.later(2 * time.Second)
	s.serverDrain("nonsense", "http://c:3")
	all := s.all()
	expect(t, len(all) == 2 && all[0] == Cut{} && all[1] == Connect{Target{Endpoint: "http://c:3"}}, "moves", all)
	same(t, "held", tasksOf(s.attach(held("t1")).GetHeld()), "t1")
	s.later(2 * time.Second)
	s.serverDrain()
	same(t, "the next address", acts[Connect](s), Connect{Target{Address: 1}})
}

func TestAServerThatDrainsAtOnceIsNotAttachedToInATightLoop(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.all()
	s.serverDrain()
	expect(t, len(acts[Connect](s)) == 0 && s.TickAt() > s.now, "waits a while")
}

func TestUnknownFramesAndCancellationsAreIgnored(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.cancel("t1", 0)
	s.cancel("t1", 99)
	s.cancel("t2", callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED)
	s.Received(s.now, &callboardv1.AttachResponse{})
	expect(t, len(s.all()) == 0, "nothing happens")
}

func TestASecondWelcomeIsIgnored(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Welcome{Welcome: &callboardv1.Welcome{}}})
	expect(t, len(s.all()) == 0 && s.Standing().Epoch == 1, "ignored")
}
