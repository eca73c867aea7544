package session

import (
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	requested = callboardv1.CancellationReason_CANCELLATION_REASON_REQUESTED
	lost      = callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST
	timedOut  = callboardv1.CancellationReason_CANCELLATION_REASON_TIMED_OUT
	invalid   = callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD
	tooLarge  = callboardv1.ErrorReason_ERROR_REASON_PAYLOAD_TOO_LARGE
	stale     = callboardv1.ErrorReason_ERROR_REASON_STALE_ATTEMPT
)

func TestAnAssignmentIsAcceptedAndStartedAtOnce(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assign("t1", "t2")
	starts := acts[Start](s)
	expect(t, len(starts) == 2 && starts[0].Key == key("t1") && starts[1].Key == key("t2"), "starts", starts)
	reports := s.reports()
	same(t, "reports", kinds(reports), "accepted", "accepted")
	expect(t, proto.Equal(reports[0].GetAttempt(), lease1("t1")), "the lease", reports[0])
}

func TestTheSameAttemptComingTwiceRunsOnce(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assign("t1")
	s.assign("t1")
	expect(t, len(acts[Start](s)) == 1, "once")
	same(t, "reports", kinds(s.reports()), "accepted")
}

func TestATypeWithoutAHandlerIsRejected(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assignType("sing", "t1")
	expect(t, len(acts[Start](s)) == 0, "no handler")
	report := s.oneReport()
	expect(t, strings.Contains(report.GetRejected().GetReason(), "sing"), "why", report)
	s.receipt(report, committed)
	expect(t, len(s.attempts) == 0, "forgotten")
}

func TestAStarTakesAnyType(t *testing.T) {
	s := newScript(t, func(r *role) { r.types = []string{"*"} })
	s.attach(nil)
	s.assignType("sing", "t1")
	expect(t, len(acts[Start](s)) == 1, "taken")
}

func TestAServerThatDoesNotCountIsBounded(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 1 })
	s.attach(nil)
	s.assign("t1", "t2", "t3")
	expect(t, len(acts[Start](s)) == 2, "handlers that lost their lease may run beside those in the slots, no more")
	reports := s.reports()
	same(t, "reports", kinds(reports), "accepted", "accepted", "rejected")
	for at := range 200 {
		s.assignType("sing", "x"+strings.Repeat("x", at))
	}
	expect(t, len(s.outbox.kept) <= 72, "bounded", len(s.outbox.kept))
}

func TestACompletionImpliesAnAcceptanceThatNeverLeft(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assign("t1")
	s.complete("t1")
	report := s.oneReport()
	same(t, "reports", kinds([]*callboardv1.Report{report}), "completed")
	s.receipt(report, committed)
	expect(t, len(s.attempts) == 0 && len(s.outbox.kept) == 0, "forgotten")
}

func TestReportsWithoutAReceiptAreSentAgainInOrderWithTheirIDs(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assign("t1", "t2")
	first := s.reports()
	s.complete("t1")
	s.checkpoint("t2", 7)
	first = append(first, s.reports()...)
	same(t, "first", kinds(first), "accepted", "accepted", "completed", "checkpoint")
	s.receipt(first[0], committed)
	s.drop(nil)
	s.fail("t2")
	// Also those of attempts that are not held any more.
	same(t, "held", tasksOf(s.attach(held()).GetHeld()), "t1", "t2")
	repeated := s.reports()
	same(t, "again", kinds(repeated), "accepted", "completed", "checkpoint", "failed")
	for at, report := range repeated[:3] {
		expect(t, report.GetReportId() == first[at+1].GetReportId(), "the same id", report)
	}
	for _, report := range repeated {
		s.receipt(report, committed)
	}
	same(t, "settled", acts[ReportSettled](s), ReportSettled{7, nil})
	s.drop(nil)
	expect(t, len(s.attach(held()).GetHeld()) == 0 && len(s.reports()) == 0, "nothing is left")
}

func TestARetryReceiptRepeatsTheReportWithBackoff(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.complete("t1")
	for _, delay := range []time.Duration{100, 200, 400} {
		report := s.oneReport()
		s.receipt(report, again)
		expect(t, len(s.reports()) == 0, "waits")
		expect(t, s.SendAt() == s.now+delay*time.Millisecond, "delay", s.SendAt()-s.now)
		s.later(delay * time.Millisecond)
	}
	same(t, "again", kinds(s.reports()), "completed")
}

func TestBehindAReportThatIsRepeatedTheLaterOnesWait(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.checkpoint("t1", 1)
	first := s.oneReport()
	s.receipt(first, again)
	s.checkpoint("t1", 2)
	s.complete("t1")
	s.complete("t2")
	same(t, "other attempts go on", kinds(s.reports()), "completed")
	s.later(100 * time.Millisecond)
	repeated := s.reports()
	same(t, "again", kinds(repeated), "checkpoint", "checkpoint", "completed")
	expect(t, repeated[0].GetReportId() == first.GetReportId(), "in order")
}

func TestWhatWasReadyWhenAnEarlierReportIsToBeRepeatedWaitsBehindIt(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	first := s.oneReport()
	s.checkpoint("t1", 2)
	s.receipt(first, again)
	expect(t, len(s.reports()) == 0, "waits")
	s.later(100 * time.Millisecond)
	repeated := s.reports()
	expect(t, len(repeated) == 2 && repeated[0].GetReportId() < repeated[1].GetReportId(), "in order", repeated)
}

func TestANewerCheckpointIsNeverReplacedByARepeatedOlderOne(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.checkpoint("t1", 2)
	reports := s.reports()
	s.receipt(reports[0], again)
	s.later(time.Second)
	expect(t, len(s.reports()) == 0, "the newer one is on its way")
	s.receipt(reports[1], committed)
	same(t, "settled", acts[ReportSettled](s), ReportSettled{2, nil}, ReportSettled{1, nil})
	expect(t, len(s.reports()) == 0 && len(s.outbox.kept) == 0, "done with")
}

func TestAnOlderReportIsDoneWithWhenANewerOneWasCommittedBeforeItsRetry(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.checkpoint("t1", 2)
	reports := s.reports()
	s.receipt(reports[1], committed)
	s.receipt(reports[0], again)
	same(t, "settled", acts[ReportSettled](s), ReportSettled{2, nil}, ReportSettled{1, nil})
}

func TestARefusedReportCancelsItsHandlerAndNothingMoreIsReported(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.assign("t1")
	accepted := s.oneReport()
	s.all()
	s.receipt(accepted, refusal)
	stops := acts[Stop](s)
	expect(t, len(stops) == 1 && stops[0].Key == key("t1") && !stops[0].Reported, "stops", stops)
	s.fail("t1")
	expect(t, len(s.reports()) == 0 && len(s.Running()) == 0 && len(s.attempts) == 0, "nothing more")
}

func TestRefusedProgressCancelsItsHandler(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.progressed("t1", 0.5)
	s.receipt(s.oneReport(), refusal)
	expect(t, len(acts[Stop](s)) == 1, "stopped")
}

func TestARefusedCheckpointFailsForWhoeverSavedIt(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.receiptFor(s.oneReport(), refusal, stale, "stale")
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 1 && settled[0].Fault.Code == codes.FailedPrecondition && settled[0].Fault.Reason == "STALE_ATTEMPT", "fails", settled)
}

func TestAResultThatIsRefusedForWhatItHoldsFailsItsAttempt(t *testing.T) {
	for _, reason := range []callboardv1.ErrorReason{invalid, tooLarge} {
		s := newScript(t)
		s.working("t1")
		s.complete("t1")
		completed := s.oneReport()
		s.receiptFor(completed, refusal, reason, "result is wrong")
		// Once, also when the receipt comes twice.
		s.receiptFor(completed, refusal, reason, "result is wrong")
		report := s.oneReport()
		failure := report.GetFailed().GetFailure()
		expect(t, failure.GetType() == "InvalidResult" && failure.GetMessage() == "result is wrong" && !failure.GetRetryable(), "fails", failure)
		expect(t, report.GetReportId() > completed.GetReportId() && proto.Equal(report.GetAttempt(), lease1("t1")), "a report", report)
		s.drop(nil)
		same(t, "held", tasksOf(s.attach(held("t1")).GetHeld()), "t1")
		expect(t, proto.Equal(s.oneReport(), report), "kept like any other")
		s.receiptFor(report, refusal, reason, "")
		expect(t, len(s.reports()) == 0 && len(s.attempts) == 0, "nothing follows it")
	}
}

func TestAFailureInPlaceOfAResultWaitsBehindWhatIsRepeated(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.complete("t1")
	reports := s.reports()
	s.receipt(reports[0], again)
	s.receiptFor(reports[1], refusal, invalid, "")
	expect(t, len(s.reports()) == 0, "waits")
	s.later(100 * time.Millisecond)
	same(t, "then", kinds(s.reports()), "checkpoint", "failed")
}

func TestAStaleResultIsJustRefused(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.complete("t1")
	s.receiptFor(s.oneReport(), refusal, stale, "")
	expect(t, len(s.reports()) == 0, "nothing follows")
}

func TestARequestedCancellationReportsWhateverTheHandlerMakesOfIt(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.cancel("t1", requested)
	s.cancel("t2", requested)
	s.cancel("t1", requested)
	stops := acts[Stop](s)
	expect(t, len(stops) == 2 && stops[0].Reported && stops[1].Reported, "told once each", stops)
	s.complete("t1")
	s.fail("t2")
	same(t, "reports", kinds(s.reports()), "completed", "failed")
}

func TestAfterALostLeaseNothingIsReported(t *testing.T) {
	for _, reason := range []callboardv1.CancellationReason{lost, timedOut} {
		s := newScript(t)
		s.working("t1")
		s.progressed("t1", 0.5)
		s.cancel("t1", reason)
		stops := acts[Stop](s)
		expect(t, len(stops) == 1 && !stops[0].Reported && stops[0].Reason == reason, "told", stops)
		s.checkpoint("t1", 3)
		settled := acts[ReportSettled](s)
		expect(t, len(settled) == 1 && settled[0].Fault != nil, "refused", settled)
		s.fail("t1")
		expect(t, len(s.reports()) == 0 && len(s.attempts) == 0, "nothing")
	}
}

func TestAnAttemptCanBeLostAfterItsCancellationWasRequested(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.cancel("t1", requested)
	s.cancel("t1", lost)
	s.fail("t1")
	expect(t, len(s.reports()) == 0, "nothing is reported")
}

func TestProgressIsSentTenTimesASecondAndTheLatestWins(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	for step := range 5 {
		s.progressed("t1", float64(step)/10)
	}
	expect(t, s.oneReport().GetProgress().GetFraction() == 0.4, "the latest")
	s.progressed("t1", 0.5)
	s.progressed("t1", 0.6)
	expect(t, len(s.reports()) == 0 && s.SendAt() == s.now+100*time.Millisecond, "later", s.SendAt()-s.now)
	s.later(100 * time.Millisecond)
	expect(t, s.oneReport().GetProgress().GetFraction() == 0.6, "the latest")
	s.progressed("t1", 0.7)
	s.complete("t1")
	same(t, "nothing behind the end", kinds(s.reports()), "completed")
}

func TestProgressIsNotKeptAcrossStreams(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.progressed("t1", 0.5)
	s.drop(nil)
	s.progressed("t1", 0.6)
	s.attach(held("t1"))
	expect(t, len(s.reports()) == 0, "forgotten")
	s.progressed("t1", 0.7)
	expect(t, s.oneReport().GetProgress().GetFraction() == 0.7, "new progress goes")
}

func TestFramesThatTheServerDidNotListAreNotSent(t *testing.T) {
	s := newScript(t)
	s.attach(&callboardv1.Welcome{Features: []string{"other"}})
	s.assign("t1")
	s.reports()
	s.all()
	s.progressed("t1", 0.5)
	s.checkpoint("t1", 1)
	expect(t, len(s.reports()) == 0, "nothing is sent")
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 1 && settled[0].Fault.Code == codes.Unimplemented, "refused", settled)
	s.startDrain()
	expect(t, len(s.frames()) == 0, "no drain frame")
}

func TestCheckpointsOfAServerThatTakesNoneAreRefusedOnReturn(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.drop(nil)
	welcome := held("t1")
	welcome.Features = []string{"progress"}
	s.attach(welcome)
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 1 && settled[0].Fault.Code == codes.Unimplemented && len(s.reports()) == 0, "refused", settled)
}

func TestCheckpointsWaitWhileFourReportsASlotDo(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 1 })
	s.working("t1")
	for ticket := range uint64(6) {
		s.checkpoint("t1", ticket+1)
	}
	waiting := s.reports()
	expect(t, len(waiting) == 4, "four", len(waiting))
	s.receipt(waiting[0], committed)
	expect(t, len(s.reports()) == 1, "one more")
	s.complete("t1")
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 2 && settled[0] == ReportSettled{1, nil} && settled[1].Ticket == 6 && settled[1].Fault != nil, "settled", settled)
}

func TestACheckpointThatNobodyWaitsForIsForgotten(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 1 })
	s.working("t1")
	for ticket := range uint64(5) {
		s.checkpoint("t1", ticket+1)
	}
	waiting := s.reports()
	s.ForgetReport(5)
	s.ForgetReport(1)
	s.receipt(waiting[0], committed)
	expect(t, len(s.reports()) == 0, "the fifth is forgotten; the first was on its way")
	same(t, "settled", acts[ReportSettled](s), ReportSettled{1, nil})
}

func TestABatchStaysBelowTheLimitOfAFrame(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 8 })
	tasks := []string{"t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"}
	s.working(tasks...)
	for _, task := range tasks {
		s.Completed(s.now, key(task), text(strings.Repeat("x", 1_000_000)))
	}
	var counts []int
	for _, frame := range s.frames() {
		counts = append(counts, len(frame.GetReports().GetReports()))
		expect(t, proto.Size(frame) <= 3<<20, "fits", proto.Size(frame))
	}
	same(t, "frames", counts, 3, 3, 2)
}
