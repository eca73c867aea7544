package session

import (
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	limitReached = callboardv1.ErrorReason_ERROR_REASON_LIMIT_REACHED
	stepExists   = callboardv1.ErrorReason_ERROR_REASON_STEP_EXISTS
)

func TestAStepIsKeptUntilItsReceipt(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.step("t1", "fetch", 7)
	first := s.oneReport()
	expect(t, first.GetStep().GetName() == "fetch" && proto.Equal(first.GetAttempt(), lease1("t1")), "a step", first)
	expect(t, len(acts[ReportSettled](s)) == 0, "not before its receipt")
	s.drop(nil)
	s.attach(held("t1"))
	expect(t, proto.Equal(s.oneReport(), first), "again, as it was")
	s.receipt(first, committed)
	same(t, "settled", acts[ReportSettled](s), ReportSettled{7, nil})
	s.drop(nil)
	s.attach(held("t1"))
	expect(t, len(s.reports()) == 0, "no more")
}

func TestStepsKeepTheirPlaceAmongTheReports(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.step("t1", "one", 1)
	s.checkpoint("t1", 2)
	s.step("t1", "two", 3)
	s.complete("t1")
	same(t, "reports", kinds(s.reports()), "step", "checkpoint", "step", "completed")
}

func TestAStepWhileTheStreamIsAwayWaitsForIt(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.drop(nil)
	s.step("t1", "fetch", 1)
	s.attach(held("t1"))
	same(t, "then", kinds(s.reports()), "step")
}

func TestALaterReceiptDoesNotStandForAStep(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := newScript(t)
		s.working("t1")
		s.step("t1", "one", 1)
		s.checkpoint("t1", 2)
		reports := s.reports()
		if late {
			s.receipt(reports[1], committed)
			s.receipt(reports[0], again)
		} else {
			s.receipt(reports[0], again)
			s.receipt(reports[1], committed)
		}
		same(t, "settled", acts[ReportSettled](s), ReportSettled{2, nil})
		s.later(100 * time.Millisecond)
		expect(t, proto.Equal(s.oneReport(), reports[0]), "sent again, whatever came behind it")
		s.receipt(reports[0], committed)
		same(t, "settled", acts[ReportSettled](s), ReportSettled{1, nil})
	}
}

func TestAStepThatIsRefusedForWhatItIsLeavesTheAttempt(t *testing.T) {
	for reason, code := range map[callboardv1.ErrorReason]codes.Code{
		limitReached: codes.ResourceExhausted, stepExists: codes.AlreadyExists, invalid: codes.InvalidArgument, tooLarge: codes.InvalidArgument,
	} {
		s := newScript(t)
		s.working("t1")
		s.step("t1", "fetch", 1)
		s.receiptFor(s.oneReport(), refusal, reason, "no")
		actions := s.all()
		settled, is := actions[0].(ReportSettled)
		expect(t, is && len(actions) == 1, "nothing else", actions)
		expect(t, settled.Fault.Code == code && settled.Fault.Reason == ReasonName(reason) && settled.Fault.Message == "no", "raised", settled.Fault)
		s.step("t1", "fetch", 2)
		s.complete("t1")
		same(t, "its handler goes on", kinds(s.reports()), "step", "completed")
	}
}

func TestAStepOfAStaleAttemptCancelsItsHandler(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.step("t1", "one", 1)
	s.step("t1", "two", 2)
	reports := s.reports()
	s.receiptFor(reports[0], refusal, stale, "stale")
	actions := s.all()
	stop, is := actions[0].(Stop)
	expect(t, is && stop.Key == key("t1") && !stop.Reported && len(actions) == 3, "stops", actions)
	for _, action := range actions[1:] {
		settled := action.(ReportSettled)
		expect(t, settled.Fault.Code == codes.FailedPrecondition && settled.Fault.Reason == "STALE_ATTEMPT", "raised", settled.Fault)
	}
	// The receipt of what was on its way has nothing more to tell.
	s.receiptFor(reports[1], refusal, stale, "stale")
	s.step("t1", "three", 3)
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 1 && settled[0].Ticket == 3 && settled[0].Fault.Reason == "STALE_ATTEMPT", "at once", settled)
	expect(t, len(s.reports()) == 0, "nothing is sent")
}

func TestWhoWaitsForAStepIsToldThatTheAttemptIsLost(t *testing.T) {
	lose := map[string]func(s *script){
		"by a cancellation": func(s *script) { s.cancel("t1", lost) },
		"while away": func(s *script) {
			s.drop(nil)
			s.attach(held())
		},
		"by the agent's end": func(s *script) { s.Stop() },
	}
	for how, happens := range lose {
		s := newScript(t)
		s.working("t1")
		s.step("t1", "fetch", 1)
		s.reports()
		happens(s)
		settled := acts[ReportSettled](s)
		expect(t, len(settled) == 1 && settled[0].Ticket == 1, how, settled)
		fault := settled[0].Fault
		expect(t, fault != nil && fault.Code == codes.FailedPrecondition && fault.Reason == "STALE_ATTEMPT", how, fault)
	}
}

func TestWhileACancellationIsRequestedStepsAreRecorded(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.cancel("t1", requested)
	s.step("t1", "fetch", 1)
	s.receipt(s.oneReport(), committed)
	same(t, "settled", acts[ReportSettled](s), ReportSettled{1, nil})
}

func TestStepsWaitWithCheckpointsForRoom(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 1 })
	s.working("t1")
	for ticket := uint64(1); ticket <= 6; ticket += 2 {
		s.step("t1", "one", ticket)
		s.checkpoint("t1", ticket+1)
	}
	waiting := s.reports()
	same(t, "four", kinds(waiting), "step", "checkpoint", "step", "checkpoint")
	s.receipt(waiting[0], committed)
	same(t, "one more", kinds(s.reports()), "step")
	s.ForgetReport(6)
	s.receipt(waiting[1], committed)
	expect(t, len(s.reports()) == 0, "nobody waits for the sixth")
}

func TestAServerWithoutStepsIsSentNone(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	expect(t, s.StepFault() == nil, "steps can begin")
	s.step("t1", "one", 1)
	s.checkpoint("t1", 2)
	s.drop(nil)
	expect(t, s.StepFault() == nil, "also while away")
	welcome := held("t1")
	welcome.Features = []string{featureCheckpoint}
	s.attach(welcome)
	same(t, "reports", kinds(s.reports()), "checkpoint")
	s.step("t1", "two", 3)
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 2 && settled[0].Ticket+settled[1].Ticket == 4, "both", settled)
	for _, one := range settled {
		expect(t, one.Fault.Code == codes.FailedPrecondition && one.Fault.Reason == "" && one.Fault.Message == "the server takes no steps", "why", one.Fault)
	}
	expect(t, len(s.Running()) == 1 && s.StepFault() != nil, "the handler goes on", s.Running())
}

func TestAHandlerIsToldWhetherItsServerHasSteps(t *testing.T) {
	for _, has := range []bool{true, false} {
		s := newScript(t)
		welcome := &callboardv1.Welcome{Features: []string{featureCheckpoint}}
		if has {
			welcome.Features = append(welcome.Features, featureSteps)
		}
		s.attach(welcome)
		s.assign("t1")
		starts := acts[Start](s)
		expect(t, len(starts) == 1 && starts[0].HasSteps == has, "told", starts)
	}
}
