package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	nowRunning = callboardv1.TaskState_TASK_STATE_RUNNING
	nowPaused  = callboardv1.TaskState_TASK_STATE_PAUSED
)

func (s *script) await(task, child string, ticket uint64) { s.awaitSome(task, 1, ticket, child) }

func (s *script) awaitSome(task string, count int, ticket uint64, children ...string) {
	s.Await(s.now, key(task), children, count, ticket)
}

// ends tells that these tasks completed, in one frame.
func (s *script) ends(tasks ...string) {
	s.endsAs(callboardv1.TaskState_TASK_STATE_COMPLETED, tasks...)
}

func (s *script) endsAs(state callboardv1.TaskState, tasks ...string) {
	batch := &callboardv1.TaskEndBatch{}
	for _, task := range tasks {
		batch.Ends = append(batch.Ends, &callboardv1.TaskEnd{TaskId: task, State: state, Result: text(task)})
	}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_TaskEnds{TaskEnds: batch}})
}

func (s *script) resume(task string, deadline *timestamppb.Timestamp) {
	batch := &callboardv1.ResumptionBatch{Resumptions: []*callboardv1.Resumption{{Attempt: lease1(task), Deadline: deadline}}}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Resumptions{Resumptions: batch}})
}

// told gives what those that wait are told, as texts: 1=c1, 2=c2 c3, 3 untold, 4: lost.
func (s *script) told() []string {
	var all []string
	for _, one := range acts[Awaited](s) {
		switch {
		case one.HeldBack:
		case one.Fault != nil:
			all = append(all, fmt.Sprintf("%d: %s", one.Ticket, one.Fault.Reason))
		case one.Untold:
			all = append(all, fmt.Sprintf("%d untold", one.Ticket))
		default:
			all = append(all, fmt.Sprintf("%d=%s", one.Ticket, strings.Join(results(one.Ends), " ")))
		}
	}
	return all
}

// decided gives what is held back of those that wait, as told does.
func (s *script) decided() []string {
	var all []string
	for _, one := range acts[Awaited](s) {
		if one.HeldBack {
			all = append(all, fmt.Sprintf("%d=%s", one.Ticket, strings.Join(results(one.Ends), " ")))
		}
	}
	return all
}

func results(ends []*callboardv1.TaskEnd) []string {
	var texts []string
	for _, end := range ends {
		texts = append(texts, end.GetResult().GetText())
	}
	return texts
}

// asked gives the tasks whose ends are asked for now, and the kinds of the reports that go with that.
func (s *script) asked() (ids, reported []string) {
	for _, frame := range s.frames() {
		ids = append(ids, frame.GetAwaits().GetTaskIds()...)
		reported = append(reported, kinds(frame.GetReports().GetReports())...)
	}
	return ids, reported
}

// pausedFor waits for a child, up to the receipt of the pause.
func (s *script) pausedFor(task, child string, ticket uint64) {
	s.await(task, child, ticket)
	s.receiptState(s.oneReport(), nowPaused)
}

func TestAWaitPausesAndItsEndResumes(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	ids, reported := s.asked()
	same(t, "reported", reported, "pause")
	same(t, "asked for", ids, "c1")
	s.ends("c1")
	same(t, "held back", s.told())
	resume := s.oneReport()
	expect(t, resume.GetResume() != nil, "would go on", resume)
	s.receiptState(resume, nowRunning)
	same(t, "told", s.told(), "1=c1")
	s.await("t1", "c1", 2)
	same(t, "at once", s.told(), "2=c1")
	expect(t, len(s.frames()) == 0, "without a pause")
}

func TestEndsThatComeWhileOthersAreAwaitedAreGivenAtOnce(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	s.await("t1", "c2", 2)
	s.await("t1", "c2", 3)
	ids, reported := s.asked()
	same(t, "one pause", reported, "pause")
	same(t, "each once", ids, "c1", "c2")
	s.ends("c1", "c2")
	same(t, "the first", s.told(), "1=c1")
	s.receiptState(s.oneReport(), nowRunning)
	same(t, "all that waited for the last", s.told(), "2=c2", "3=c2")
}

func TestAHandlerGoesOnWhenAResumptionNamesItAndLearnsItsDeadline(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.ends("c1")
	s.receiptState(s.oneReport(), nowPaused)
	same(t, "there is no slot", s.told())
	deadline := timestamppb.New(time.Unix(7, 0))
	s.resume("t1", deadline)
	actions := s.all()
	resumed, is := actions[0].(Resumed)
	expect(t, is && resumed.Deadline == deadline && resumed.Key == key("t1"), "the deadline", actions)
	given, is := actions[1].(Awaited)
	expect(t, is && given.Ticket == 1 && len(actions) == 2, "goes on", actions)
	s.resume("t2", deadline)
	expect(t, len(s.all()) == 0, "another's")
}

func TestResumeIsSentEachSecondAndAfterEachWelcome(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.ends("c1")
	s.receiptState(s.oneReport(), nowPaused)
	for range 3 {
		s.later(990 * time.Millisecond)
		expect(t, len(s.reports()) == 0, "not yet")
		expect(t, s.TickAt() == s.now+10*time.Millisecond, "due", s.TickAt()-s.now)
		s.later(10 * time.Millisecond)
		again := s.oneReport()
		expect(t, again.GetResume() != nil, "again", again)
		s.later(2 * time.Second)
		expect(t, len(s.reports()) == 0, "not while it has no receipt")
		s.receiptState(again, nowPaused)
		again = s.oneReport()
		s.receiptState(again, nowPaused)
	}
	s.drop(nil)
	s.attach(held("t1"))
	again := s.oneReport()
	expect(t, again.GetResume() != nil, "at once", again)
	s.drop(nil)
	s.attach(held("t1"))
	repeated := s.oneReport()
	expect(t, repeated.GetReportId() == again.GetReportId(), "without a receipt it is repeated, and no other is sent", repeated)
	s.receiptState(repeated, nowRunning)
	same(t, "told", s.told(), "1=c1")
	s.later(5 * time.Second)
	expect(t, len(s.reports()) == 0, "no more")
}

func TestAWaitThatBeginsWhileOneIsHeldBackPausesAnew(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.ends("c1")
	old := s.oneReport()
	s.await("t1", "c2", 2)
	same(t, "given at once", s.told(), "1=c1")
	s.receiptState(s.oneReport(), nowPaused)
	s.ends("c2")
	resume := s.oneReport()
	s.receiptState(old, nowRunning)
	same(t, "that was of the first", s.told())
	s.receiptState(resume, nowRunning)
	same(t, "told", s.told(), "2=c2")
}

func TestWhatWasSaidBeforeTheLatestPauseGivesNoSlot(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.ends("c1")
	s.receiptState(s.oneReport(), nowPaused)
	s.await("t1", "c2", 2)
	same(t, "given at once", s.told(), "1=c1")
	pause := s.oneReport()
	s.ends("c2")
	resume := s.oneReport()
	// The slot that this one gives was given up by the pause, of which the server had not heard.
	s.resume("t1", nil)
	same(t, "held back", s.told())
	s.receiptState(pause, nowPaused)
	s.receiptState(resume, nowPaused)
	same(t, "held back", s.told())
	s.resume("t1", nil)
	same(t, "told", s.told(), "2=c2")
}

func TestAHandlerThatWaitsAgainAndAgainWhileTheStreamIsAwayReportsItOnce(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.drop(nil)
	for ticket := range uint64(100) {
		s.await("t1", "c1", ticket+1)
		s.ForgetAwait(s.now, ticket+1)
	}
	s.attach(held("t1"))
	_, reported := s.asked()
	same(t, "reported", reported, "pause", "resume")
}

func TestAResumeThatTheServerWasToldBeforeIsNotTakenBack(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.ends("c1")
	s.receiptState(s.oneReport(), nowPaused)
	// It is said again, and has not left, when the handler waits anew.
	s.later(time.Second)
	s.await("t1", "c2", 2)
	_, reported := s.asked()
	same(t, "or the handler would be given a slot that it does not need", reported, "resume", "pause")
}

func TestAWaitThatIsGivenUpResumes(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	s.await("t1", "c2", 2)
	s.receiptState(s.oneReport(), nowPaused)
	s.ForgetAwait(s.now, 1)
	expect(t, len(s.reports()) == 0, "another is under way")
	s.ForgetAwait(s.now, 2)
	resume := s.oneReport()
	expect(t, resume.GetResume() != nil, "it was the last", resume)
	s.ends("c1", "c2")
	s.receiptState(resume, nowRunning)
	same(t, "nobody waits", s.told())
	// What is held back can be given up, too.
	s.pausedFor("t1", "c3", 3)
	s.ends("c3")
	s.ForgetAwait(s.now, 3)
	s.receiptState(s.oneReport(), nowRunning)
	same(t, "nobody waits", s.told())
	s.ForgetAwait(s.now, 3)
}

func TestAwaitedTasksAreAskedForOnEachStream(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.await("t1", "c1", 1)
	s.await("t2", "c2", 2)
	s.await("t2", "c1", 3)
	ids, _ := s.asked()
	same(t, "asked for", ids, "c1", "c2")
	s.ForgetAwait(s.now, 2)
	s.drop(nil)
	s.await("t1", "c4", 4)
	s.attach(held("t1", "t2"))
	ids, reported := s.asked()
	same(t, "again, but for what was given up", ids, "c1", "c4")
	same(t, "the pauses have no receipts", reported, "pause", "pause")
	s.ends("c1")
	same(t, "the first goes on waiting", s.told(), "1=c1")
	s.await("t2", "c2", 5)
	ids, _ = s.asked()
	same(t, "asked for anew", ids, "c2")
}

func TestNoMoreTasksAreAskedForThanAFrameAndAStreamHave(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	for at := range uint64(mostAwaited + 5) {
		s.await("t1", fmt.Sprint(at), at+1)
	}
	var asked []string
	for _, frame := range s.frames() {
		ids := frame.GetAwaits().GetTaskIds()
		expect(t, len(ids) <= maxBatch, "a frame", len(ids))
		asked = append(asked, ids...)
	}
	expect(t, len(asked) == mostAwaited && s.SendAt() > s.now, "a stream", len(asked))
	s.ends("0", "1")
	ids, _ := s.asked()
	same(t, "when others have ended", ids, fmt.Sprint(mostAwaited), fmt.Sprint(mostAwaited+1))
}

func TestPausedHandlersTakeNoSlot(t *testing.T) {
	s := newScript(t, func(r *role) { r.slots = 1 })
	s.working("t1")
	for depth := range 10 {
		parent, child := fmt.Sprintf("t%d", depth+1), fmt.Sprintf("t%d", depth+2)
		s.pausedFor(parent, child, uint64(depth+1))
		s.assign(child)
		reports := s.reports()
		same(t, "taken", kinds(reports), "accepted")
		s.receipt(reports[0], committed)
	}
	s.assign("x1")
	s.assign("x2")
	same(t, "those count that do not wait", kinds(s.reports()), "accepted", "rejected")
}

func TestAHandlerThatEndsWhileItIsPausedReportsItsEnd(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.pausedFor("t1", "c1", 1)
	s.complete("t1")
	same(t, "told", s.told(), "1: STALE_ATTEMPT")
	completed := s.oneReport()
	expect(t, completed.GetCompleted() != nil, "its end", completed)
	s.receipt(completed, committed)
	s.ends("c1")
	s.later(5 * time.Second)
	expect(t, len(s.all())+len(s.reports()) == 0 && s.pausedCount == 0, "nothing else", s.pausedCount)
}

func TestWhoWaitsIsToldThatTheAttemptIsLost(t *testing.T) {
	lose := map[string]func(s *script){
		"by a cancellation": func(s *script) { s.cancel("t1", lost) },
		"while away": func(s *script) {
			s.drop(nil)
			s.attach(held())
		},
		"by a refused pause": func(s *script) { s.receiptFor(s.oneReport(), refusal, stale, "stale") },
		"by the agent's end": func(s *script) { s.Stop() },
	}
	for how, happens := range lose {
		s := newScript(t)
		s.working("t1")
		s.await("t1", "c1", 1)
		s.await("t1", "c2", 2)
		happens(s)
		same(t, how, s.told(), "1: STALE_ATTEMPT", "2: STALE_ATTEMPT")
		s.await("t1", "c3", 3)
		same(t, how, s.told(), "3: STALE_ATTEMPT")
	}
}

func TestAPauseIsRepeatedUnlessAResumeStandsForIt(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.await("t1", "c1", 1)
	s.checkpoint("t1", 9)
	reports := s.reports()
	s.receipt(reports[0], again)
	s.receipt(reports[1], committed)
	s.later(100 * time.Millisecond)
	repeated := s.oneReport()
	expect(t, repeated.GetReportId() == reports[0].GetReportId(), "a checkpoint says nothing of the slot", repeated)
	s.ends("c1")
	resume := s.oneReport()
	s.receiptState(resume, nowRunning)
	s.receipt(repeated, again)
	s.later(10 * time.Second)
	expect(t, len(s.reports()) == 0, "it would pause the handler that goes on")
}

func TestAServerWithoutChildrenTellsNoEnds(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2", "t3")
	expect(t, s.ChildFault() == nil, "children can be created")
	s.pausedFor("t2", "c2", 2)
	s.ends("c2")
	s.await("t1", "c1", 1)
	s.drop(nil)
	s.await("t3", "c3", 3)
	welcome := held("t1", "t2", "t3")
	welcome.Features = slices.DeleteFunc(slices.Clone(serverFeatures), func(one string) bool { return one == featureChildren })
	s.attach(welcome)
	same(t, "ask for them", s.told(), "1 untold", "2=c2", "3 untold")
	ids, reported := s.asked()
	expect(t, len(ids)+len(reported) == 0, "nothing is sent", ids, reported)
	s.await("t1", "c4", 4)
	same(t, "ask for it", s.told(), "4 untold")
	fault := s.ChildFault()
	expect(t, fault != nil && fault.Message == "the server takes no children" && s.pausedCount == 0, "none can be created", fault)
}
