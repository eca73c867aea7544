package session

import (
	"testing"
	"time"
)

func TestADrainWaitsForHandlersAndReceipts(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.startDrain()
	same(t, "told", s.kinds(), "drain")
	s.assign("t2")
	rejected := s.oneReport()
	expect(t, rejected.GetRejected().GetReason() == "drain", "handed back", rejected)
	s.receipt(rejected, committed)
	s.complete("t1")
	report := s.oneReport()
	expect(t, len(acts[End](s)) == 0, "waits for the receipt")
	s.receipt(report, committed)
	expect(t, len(acts[End](s)) == 0, "waits for the server to let go")
	s.drop(nil)
	same(t, "ends", acts[End](s), End{nil})
	expect(t, s.TickAt() == Never, "over")
}

func TestADrainIsToldBeforeTheReportsThatWait(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.complete("t1")
	s.startDrain()
	same(t, "else the free slot would be given another task", s.kinds(), "drain", "reports")
}

func TestHeartbeatsGoOnWhileADrainWaitsForHandlers(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.startDrain()
	same(t, "told", s.kinds(), "drain")
	for range 6 {
		s.later(lease/3 + time.Millisecond)
		same(t, "alive", s.kinds(), "heartbeat")
		s.heartbeat()
	}
}

func TestADrainWithNothingRunningTellsTheServerFirst(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.startDrain()
	expect(t, len(acts[End](s)) == 0, "not yet")
	same(t, "told", s.kinds(), "drain")
	s.drop(nil)
	same(t, "ends", acts[End](s), End{nil})
}

func TestAServerThatDoesNotLetGoIsLeftAfterFiveSeconds(t *testing.T) {
	s := newScript(t)
	s.attach(nil)
	s.startDrain()
	s.frames()
	s.later(4900 * time.Millisecond)
	expect(t, len(acts[End](s)) == 0, "patient")
	s.later(100 * time.Millisecond)
	same(t, "ends", acts[End](s), End{nil})
}

func TestADrainHandsBackWhatRunsTooLong(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.startDrain()
	s.frames()
	for range 5 {
		s.later(5980 * time.Millisecond)
		s.heartbeat()
	}
	s.frames()
	same(t, "runs", s.Running(), key("t1"))
	s.later(100 * time.Millisecond)
	stops := acts[Stop](s)
	expect(t, len(stops) == 1 && !stops[0].Reported, "told", stops)
	report := s.oneReport()
	expect(t, report.GetRejected().GetReason() == "drain", "handed back", report)
	s.complete("t1")
	expect(t, len(s.reports()) == 0, "nothing more of it")
	s.receipt(report, committed)
	s.drop(nil)
	same(t, "ends", acts[End](s), End{nil})
}

func TestADrainWaitsFiveSecondsForReceipts(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.startDrain()
	s.complete("t1")
	s.reports()
	s.later(4900 * time.Millisecond)
	expect(t, len(acts[End](s)) == 0, "patient")
	s.later(100 * time.Millisecond)
	same(t, "ends", acts[End](s), End{nil})
}

func TestAnAgentThatDrainsAttachesAgainToDeliverItsReports(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.drop(gone)
	s.startDrain()
	s.complete("t1")
	// For as long as the drain may take.
	s.now += 10 * time.Second
	same(t, "held", tasksOf(s.attach(held("t1")).GetHeld()), "t1")
	frames := s.frames()
	expect(t, len(frames) == 2 && kindOf(frames[0], "frame") == "drain" && kindOf(frames[1], "frame") == "reports", "frames", frames)
	s.receipt(frames[1].GetReports().GetReports()[0], committed)
	s.drop(nil)
	same(t, "ends", acts[End](s), End{nil})
}

func TestADrainGivesUpWhatItCannotDeliver(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.complete("t1")
	s.drop(gone)
	s.startDrain()
	for s.now < 134*time.Second {
		s.later(time.Second)
		s.drop(gone)
		expect(t, len(acts[End](s)) == 0, "tries on")
	}
	s.later(2 * time.Second)
	same(t, "ends", acts[End](s), End{nil})
}

func TestADrainWhileDetachedWithNothingLeftEndsAtOnce(t *testing.T) {
	s := newScript(t)
	s.working()
	s.drop(gone)
	s.startDrain()
	same(t, "ends", acts[End](s), End{nil})
}

func TestAStopEndsAtOnce(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.Stop()
	all := s.all()
	expect(t, len(all) == 3, "stop, end, settled", all)
	_, stopped := all[0].(Stop)
	settled, _ := all[2].(ReportSettled)
	expect(t, stopped && all[1] == End{nil} && settled.Fault != nil, "in order", all)
	s.fail("t1")
	expect(t, len(s.frames()) == 0, "silent")
	s.Stop()
	expect(t, len(s.all()) == 0, "once")
}

func TestTheServerKnowsOfTheDrainBeforeAnythingIsHandedBack(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.drainIn = 0
	s.startDrain()
	same(t, "frames", s.kinds(), "drain", "reports")
}
