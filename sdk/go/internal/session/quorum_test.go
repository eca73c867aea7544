package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"callboard.dev/sdk/go/callboardv1"
)

const (
	completed = callboardv1.TaskState_TASK_STATE_COMPLETED
	unlucky   = callboardv1.TaskState_TASK_STATE_FAILED
)

func TestAWaitForSomeIsOneWait(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 2, 1, "c1", "c2", "c3", "c4")
	ids, reported := s.asked()
	same(t, "one pause", reported, "pause")
	same(t, "all are asked for, in one frame", ids, "c1", "c2", "c3", "c4")
	s.ends("c3")
	expect(t, len(s.told())+len(s.reports()) == 0, "too few")
	s.endsAs(unlucky, "c2")
	expect(t, len(s.told())+len(s.reports()) == 0, "they may still complete")
	s.ends("c1")
	same(t, "decided, and held back", s.decided(), "1=c3 c2 c1")
	resume := s.oneReport()
	expect(t, resume.GetResume() != nil, "would go on", resume)
	s.ends("c4")
	expect(t, len(s.decided()) == 0, "once")
	s.receiptState(resume, nowRunning)
	same(t, "those that had ended by then, as they did", s.told(), "1=c3 c2 c1")
	expect(t, len(s.awaited.byTask)+len(s.awaited.byTicket) == 0, "nothing is left", s.awaited)
	s.await("t1", "c4", 2)
	ids, _ = s.asked()
	same(t, "that one was of no interest any more", ids, "c4")
}

func TestAWaitForSomeIsOverWhenTheyCanNotCompleteAnyMore(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 2, 1, "c1", "c2", "c3")
	s.receiptState(s.oneReport(), nowPaused)
	s.endsAs(unlucky, "c3")
	expect(t, len(s.reports()) == 0, "two are left")
	s.endsAs(callboardv1.TaskState_TASK_STATE_UNSPECIFIED, "c1")
	s.receiptState(s.oneReport(), nowRunning)
	same(t, "as they ended", s.told(), "1=c3 c1")
}

func TestWhatIsKnownCountsForAWaitForSome(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	for at, child := range []string{"c3", "c1"} {
		s.pausedFor("t1", child, uint64(at+1))
		s.ends(child)
		s.receiptState(s.oneReport(), nowRunning)
	}
	s.all()
	s.awaitSome("t1", 2, 3, "c1", "c2", "c3")
	same(t, "at once", s.told(), "3=c3 c1")
	expect(t, len(s.frames()) == 0, "nothing is sent")
	s.awaitSome("t1", 2, 4, "c1", "c2")
	ids, reported := s.asked()
	same(t, "paused", reported, "pause")
	same(t, "only what is not known is asked for", ids, "c2")
	s.drop(nil)
	s.attach(held("t1"))
	ids, _ = s.asked()
	same(t, "on a new stream, too", ids, "c2")
}

// Also of those beyond the count: they have completed by then, and are none of the rest.
func TestAWaitForSomeGivesAllThatIsKnown(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 2, 1, "c1", "c2", "c3")
	s.receiptState(s.oneReport(), nowPaused)
	s.endsAs(unlucky, "c3")
	s.ends("c2", "c1")
	s.receiptState(s.oneReport(), nowRunning)
	same(t, "the last decided it", s.told(), "1=c3 c2 c1")
	s.awaitSome("t1", 1, 2, "c1", "c2", "c3", "c4")
	same(t, "one would do", s.told(), "2=c3 c2 c1")
	s.awaitSome("t1", 2, 3, "c1", "c3")
	same(t, "it failed before the other completed", s.told(), "3=c3 c1")
	expect(t, len(s.frames()) == 0, "nothing is sent")
}

func TestAWaitForSomeBesideOthers(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 1, 1, "c1", "c2")
	s.await("t1", "c2", 2)
	s.awaitSome("t1", 2, 3, "c2", "c3")
	ids, reported := s.asked()
	same(t, "one pause", reported, "pause")
	same(t, "each is asked for once", ids, "c1", "c2", "c3")
	s.ends("c1")
	same(t, "others are under way", s.told(), "1=c1")
	s.ends("c2")
	same(t, "another is under way", s.told(), "2=c2")
	s.endsAs(unlucky, "c3")
	same(t, "held back", s.told())
	s.receiptState(s.oneReport(), nowRunning)
	same(t, "the last", s.told(), "3=c2 c3")
}

func TestWaitsThatOneEndFinishesAreHeldBackTogether(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	s.awaitSome("t1", 1, 2, "c1", "c2")
	s.receiptState(s.oneReport(), nowPaused)
	s.ends("c1")
	same(t, "held back", s.told())
	resume := s.oneReport()
	s.ForgetAwait(s.now, 2)
	s.receiptState(resume, nowRunning)
	same(t, "the other was given up", s.told(), "1=c1")
}

func TestAWaitForSomeThatIsGivenUpResumesAndIsAskedForNoMore(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 2, 1, "c1", "c2", "c3")
	s.receiptState(s.oneReport(), nowPaused)
	s.ends("c1")
	s.ForgetAwait(s.now, 1)
	expect(t, s.oneReport().GetResume() != nil, "it was the last")
	s.ends("c2", "c3")
	s.drop(nil)
	s.attach(held("t1"))
	ids, _ := s.asked()
	expect(t, len(ids)+len(s.told()) == 0, "nobody waits", ids)
}

func TestWhoWaitsForSomeIsToldWhatEndsTheWait(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.awaitSome("t1", 1, 1, "c1", "c2")
	s.cancel("t1", lost)
	same(t, "lost", s.told(), "1: STALE_ATTEMPT")
	s.awaitSome("t1", 1, 2, "c1", "c2")
	same(t, "still", s.told(), "2: STALE_ATTEMPT")

	s = newScript(t)
	s.working("t1")
	s.awaitSome("t1", 2, 1, "c1", "c2")
	s.ends("c1")
	s.drop(nil)
	welcome := held("t1")
	welcome.Features = slices.DeleteFunc(slices.Clone(serverFeatures), func(one string) bool { return one == featureChildren })
	s.attach(welcome)
	same(t, "by a server without children", s.told(), "1 untold")
	s.awaitSome("t1", 1, 2, "c2", "c3")
	same(t, "ask for them", s.told(), "2 untold")
	s.awaitSome("t1", 1, 3, "c2", "c1")
	same(t, "what is known is known", s.told(), "3=c1")
}

// Whatever ends come in whatever order: a quorum is over with the first that decides it, not before. Those behind it don't change how.
func TestAQuorumIsOverWhenItIsDecided(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		var ids []string
		for at := range 1 + random.IntN(6) {
			ids = append(ids, fmt.Sprint(at))
		}
		count := 1 + random.IntN(len(ids))
		q := NewQuorum(ids, count)
		good, bad := 0, 0
		for _, at := range random.Perm(len(ids)) {
			decided := good >= count || bad > len(ids)-count
			if q.IsOver() != decided || q.IsReached() != (good >= count) || len(q.Ends()) != good+bad {
				t.Fatalf("seed %d: %d of %d, %d completed, %d did not: %v", seed, count, len(ids), good, bad, q)
			}
			end := &callboardv1.TaskEnd{TaskId: ids[at], State: []callboardv1.TaskState{completed, unlucky}[random.IntN(2)]}
			q.Take(end)
			q.Take(end)
			q.Take(&callboardv1.TaskEnd{TaskId: "x", State: completed})
			if end.GetState() == completed {
				good++
			} else {
				bad++
			}
		}
		if !q.IsOver() || len(q.Ends()) != len(ids) {
			t.Fatalf("seed %d: all have ended: %v", seed, q)
		}
	}
}
