//go:build callboard_defects

package session

import (
	"testing"
	"time"

	"callboard.dev/sdk/go/internal/planted"
)

// plant gives the session a defect for as long as the test lasts. Tests with one run alone.
func plant(t *testing.T, defect planted.Defect) {
	t.Helper()
	for _, name := range []string{"", string(defect)} {
		if err := planted.Plant(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = planted.Plant("") })
}

func TestADefectThatNobodyKnowsCanNotBePlanted(t *testing.T) {
	if planted.Plant("made-up") == nil {
		t.Error("it can")
	}
}

func TestWithReceiptsIgnoredReportsAreSentWithEachAttachment(t *testing.T) {
	plant(t, planted.ReceiptIgnored)
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	s.receipt(s.oneReport(), committed)
	expect(t, len(acts[ReportSettled](s)) == 0, "it never returns")
	s.drop(nil)
	s.attach(held("t1"))
	same(t, "again", kinds(s.reports()), "accepted", "checkpoint")
}

func TestForgottenReportsAreNotRepeated(t *testing.T) {
	plant(t, planted.ReportForgotten)
	s := newScript(t)
	s.working("t1")
	s.checkpoint("t1", 1)
	same(t, "sent", kinds(s.reports()), "checkpoint")
	same(t, "settled", acts[ReportSettled](s), ReportSettled{1, nil})
	s.complete("t1")
	same(t, "sent", kinds(s.reports()), "completed")
	s.drop(nil)
	expect(t, len(s.attach(held()).GetHeld()) == 0 && len(s.reports()) == 0, "forgotten")
}

func TestAnAttemptComingTwiceRunsTwice(t *testing.T) {
	plant(t, planted.AssignmentRunTwice)
	s := newScript(t)
	s.attach(nil)
	s.assign("t1")
	s.assign("t1")
	expect(t, len(acts[Start](s)) == 2, "twice")
	s.complete("t1")
	s.complete("t1")
	same(t, "reported once", kinds(s.reports()), "completed")
}

func TestWithoutAttachingAgainTheAgentEndsWithItsStream(t *testing.T) {
	plant(t, planted.NoReattach)
	s := newScript(t)
	s.Start(s.now)
	s.all()
	s.drop(nil)
	expect(t, !s.Stopped(), "it was never attached")
	s.attach(nil)
	s.drop(nil)
	expect(t, s.Stopped() && len(acts[End](s)) == 1, "it ends")
}

func TestNoHeartbeatsGoWhileADrainWaitsForHandlers(t *testing.T) {
	plant(t, planted.SilentWhileDraining)
	s := newScript(t)
	s.working("t1")
	s.startDrain()
	same(t, "told", s.kinds(), "drain")
	s.later(lease/3 + time.Millisecond)
	same(t, "silent", s.kinds())
	expect(t, s.SendAt() == Never, "and nothing is due")
}

func TestASlotIsHeldByWhoWaits(t *testing.T) {
	plant(t, planted.SlotHeldWhileWaiting)
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	ids, reported := s.asked()
	expect(t, len(reported) == 0 && len(ids) == 1, "no pause", reported)
	s.ends("c1")
	same(t, "told", s.told(), "1=c1")
}
