package session

import (
	"slices"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/planted"
)

const (
	// resumeEvery is how often an attempt that wants to go on says so.
	resumeEvery = time.Second
	// mostAwaited is how many tasks may be awaited on a stream, by the protocol. The rest waits here.
	mostAwaited = 10_000
)

// slot is how an attempt stands to the slot that it takes.
type slot int

const (
	// atWork: it has its slot.
	atWork slot = iota
	// paused: its handler waits, and needs none.
	paused
	// resuming: its handler would go on, and the server has not said that it may.
	resuming
)

// wait is one for the ends of tasks, by a handler.
type wait struct {
	of *attempt
	// tasks are those of the quorum, as they were given.
	tasks  []string
	ticket uint64
	*Quorum
}

// waiting is what the handler of an attempt waits for, and what that does to its slot.
type waiting struct {
	slot slot
	// underWay are the waits that are not over.
	underWay []*wait
	// heldBack are the waits that are over, while the handler may not go on.
	heldBack []*wait
	// ends are those that were told, each task's once, in the order in which they came.
	ends []*callboardv1.TaskEnd
	// resume is the report that was made last, and firstResume the id of the first since the handler would go on: receipts of those
	// before it are of an earlier pause.
	resume      *kept
	firstResume int64
	resumeAt    Moment
}

// awaited is the waits of all attempts.
type awaited struct {
	// byTask are those under way, by each of their tasks that has not ended.
	byTask   map[string][]*wait
	byTicket map[uint64]*wait
	// unsent are tasks that this stream's server was not asked for, sent those that it was and whose end it has not told.
	unsent []string
	sent   map[string]bool
}

func newAwaited() awaited {
	return awaited{byTask: map[string][]*wait{}, byTicket: map[uint64]*wait{}, sent: map[string]bool{}}
}

// Await waits until so many of these tasks have completed, or can't any more; one of one until it has ended. [Awaited] with the ticket
// tells it, when the handler may go on.
func (s *Session) Await(now Moment, key Key, taskIDs []string, count int, ticket uint64) {
	a := s.attempts[key]
	if a == nil || !a.reports() || s.link.phase == stopped {
		s.do(Awaited{Ticket: ticket, Fault: leaseLost("the lease is lost")})
		s.Tick(now)
		return
	}
	w := &wait{a, taskIDs, ticket, NewQuorum(taskIDs, count)}
	for _, end := range a.waiting.ends {
		w.Take(end)
	}
	switch {
	case w.IsOver():
		s.give(w)
	case s.link.phase == attached && s.link.lacks(featureChildren):
		s.do(Awaited{Ticket: ticket, Untold: true})
	default:
		s.beginWait(w)
	}
	s.Tick(now)
}

// ForgetAwait takes back a wait that was given up.
func (s *Session) ForgetAwait(now Moment, ticket uint64) {
	w := s.awaited.byTicket[ticket]
	if w == nil {
		return
	}
	of := &w.of.waiting
	of.heldBack = slices.DeleteFunc(of.heldBack, func(other *wait) bool { return other == w })
	if slices.Contains(of.underWay, w) {
		s.awaited.end(w)
		s.resumeIfNothingIsUnderWay(now, w.of)
	}
	delete(s.awaited.byTicket, ticket)
	s.Tick(now)
}

// ChildFault says why no child can be created: the server takes none. Nil when one can.
func (s *Session) ChildFault() *Fault {
	if s.link.lacks(featureChildren) {
		return noChildren()
	}
	return nil
}

func (s *Session) beginWait(w *wait) {
	of := &w.of.waiting
	if of.slot == resuming {
		// What is held back would wait for this one, too.
		s.giveHeldBack(w.of)
	}
	s.awaited.begin(w)
	if of.slot != paused && !planted.Has(planted.SlotHeldWhileWaiting) {
		s.pause(w.of)
	}
}

// pause frees the slot. When the server was not told yet that the handler would go on, that is taken back instead: so there are few
// such reports, however often a handler waits while the stream is away.
func (s *Session) pause(a *attempt) {
	isFirst := a.waiting.slot == resuming && a.waiting.resume.report.GetReportId() == a.waiting.firstResume
	s.setSlot(a, paused)
	if isFirst && s.outbox.withdraw(a.waiting.resume) {
		return
	}
	s.outbox.add(a, &callboardv1.Report{Kind: &callboardv1.Report_Pause{Pause: &callboardv1.Pause{}}}, 0)
}

// taskEnded takes the end of a task that was awaited.
func (s *Session) taskEnded(now Moment, end *callboardv1.TaskEnd) {
	var over []*wait
	for _, w := range s.awaited.told(end.GetTaskId()) {
		w.of.waiting.remember(end)
		w.Take(end)
		if w.IsOver() {
			s.awaited.end(w)
			over = append(over, w)
		}
	}
	for _, w := range over {
		if len(w.of.waiting.underWay) > 0 || w.of.waiting.slot == atWork {
			s.give(w)
			continue
		}
		w.of.waiting.heldBack = append(w.of.waiting.heldBack, w)
		s.do(Awaited{Ticket: w.ticket, Ends: w.Ends(), HeldBack: true})
		s.resumeIfNothingIsUnderWay(now, w.of)
	}
}

func (w *waiting) remember(end *callboardv1.TaskEnd) {
	is := func(other *callboardv1.TaskEnd) bool { return other.GetTaskId() == end.GetTaskId() }
	if !slices.ContainsFunc(w.ends, is) {
		w.ends = append(w.ends, end)
	}
}

func (s *Session) resumeIfNothingIsUnderWay(now Moment, a *attempt) {
	if a.waiting.slot == paused && len(a.waiting.underWay) == 0 {
		s.setSlot(a, resuming)
		a.waiting.firstResume = s.outbox.lastID + 1
		s.sendResume(now, a)
	}
}

func (s *Session) sendResume(now Moment, a *attempt) {
	a.waiting.resumeAt = now + resumeEvery
	a.waiting.resume = s.outbox.add(a, &callboardv1.Report{Kind: &callboardv1.Report_Resume{Resume: &callboardv1.Resume{}}}, 0)
}

// resumeAgain says once more which handlers would go on: when it is time, or, on a new stream, at once. One that has no receipt is
// repeated by the outbox.
func (s *Session) resumeAgain(now Moment, atOnce bool) {
	for _, a := range s.resuming {
		if a.waiting.resume.settled && (atOnce || now >= a.waiting.resumeAt) {
			s.sendResume(now, a)
		}
	}
}

func (s *Session) resumeDue() Moment {
	due := Never
	if s.link.phase == attached {
		for _, a := range s.resuming {
			if a.waiting.resume.settled {
				due = min(due, a.waiting.resumeAt)
			}
		}
	}
	return due
}

// resumeCommitted takes the receipt of a resume: the handler may go on when it says that the task runs.
func (s *Session) resumeCommitted(k *kept, receipt *callboardv1.Receipt) {
	isCurrent := k.report.GetResume() != nil && k.report.GetReportId() >= k.of.waiting.firstResume
	if isCurrent && k.of.waiting.slot == resuming && receipt.GetState() == callboardv1.TaskState_TASK_STATE_RUNNING {
		s.goOn(k.of)
	}
}

// resumed: an attempt that was paused has a slot again.
func (s *Session) resumed(resumption *callboardv1.Resumption) {
	a := s.attempts[KeyOf(resumption.GetAttempt())]
	if a == nil || !a.reports() {
		return
	}
	if resumption.GetDeadline() != nil {
		s.do(Resumed{a.key, resumption.GetDeadline()})
	}
	// What is said before the receipt of the latest pause was said without knowing of that, and gives no slot any more.
	if a.waiting.slot == resuming && !a.line.hasPause() {
		s.goOn(a)
	}
}

// hasPause says whether a pause has no receipt yet.
func (l *line) hasPause() bool {
	return slices.ContainsFunc(l.reports, func(k *kept) bool { return k.report.GetPause() != nil })
}

func (s *Session) goOn(a *attempt) {
	s.setSlot(a, atWork)
	s.giveHeldBack(a)
}

func (s *Session) giveHeldBack(a *attempt) {
	heldBack := a.waiting.heldBack
	a.waiting.heldBack = nil
	for _, w := range heldBack {
		s.give(w)
	}
}

// give tells whoever waits how the tasks ended.
func (s *Session) give(w *wait) {
	delete(s.awaited.byTicket, w.ticket)
	s.do(Awaited{Ticket: w.ticket, Ends: w.Ends()})
}

// endWaits: the handler doesn't go on by what it waits for. What is given says why.
func (s *Session) endWaits(a *attempt, why Awaited) {
	for _, w := range slices.Concat(a.waiting.underWay, a.waiting.heldBack) {
		s.awaited.end(w)
		delete(s.awaited.byTicket, w.ticket)
		why.Ticket = w.ticket
		s.do(why)
	}
	a.waiting.heldBack = nil
	s.setSlot(a, atWork)
}

// stopPausing: the server takes no children. It can't tell when those end that are awaited.
func (s *Session) stopPausing() {
	for _, a := range s.sorted() {
		s.giveHeldBack(a)
		s.endWaits(a, Awaited{Untold: true})
	}
	s.outbox.drop(func(report *callboardv1.Report) bool { return isOfSlot(report) }, noChildren())
}

// setSlot counts those that need no slot.
func (s *Session) setSlot(a *attempt, to slot) {
	from := a.waiting.slot
	a.waiting.slot = to
	if (from == atWork) != (to == atWork) {
		if to == atWork {
			s.pausedCount--
		} else {
			s.pausedCount++
		}
	}
	if from == resuming {
		s.resuming = slices.DeleteFunc(s.resuming, func(other *attempt) bool { return other == a })
	}
	if to == resuming {
		s.resuming = append(s.resuming, a)
	}
}

// isOfSlot says whether a report is one that frees a slot, or wants one back.
func isOfSlot(report *callboardv1.Report) bool {
	return report.GetPause() != nil || report.GetResume() != nil
}

func (w *awaited) begin(one *wait) {
	w.byTicket[one.ticket] = one
	one.of.waiting.underWay = append(one.of.waiting.underWay, one)
	for _, id := range one.tasks {
		if !one.open[id] {
			continue
		}
		w.byTask[id] = append(w.byTask[id], one)
		if !w.sent[id] && !slices.Contains(w.unsent, id) {
			w.unsent = append(w.unsent, id)
		}
	}
}

// end: a wait is no longer under way.
func (w *awaited) end(one *wait) {
	is := func(other *wait) bool { return other == one }
	one.of.waiting.underWay = slices.DeleteFunc(one.of.waiting.underWay, is)
	for id := range one.open {
		left := slices.DeleteFunc(slices.Clone(w.byTask[id]), is)
		if len(left) > 0 {
			w.byTask[id] = left
		} else {
			w.forget(id)
		}
	}
}

// told: the end of a task has come. It gives the waits that it was awaited by.
func (w *awaited) told(taskID string) []*wait {
	by := w.byTask[taskID]
	w.forget(taskID)
	delete(w.sent, taskID)
	return by
}

// forget: nobody waits for a task any longer. When it was asked for, its end may come all the same.
func (w *awaited) forget(taskID string) {
	delete(w.byTask, taskID)
	w.unsent = slices.DeleteFunc(w.unsent, func(id string) bool { return id == taskID })
}

// take gives tasks to ask for now, as many as a frame may have.
func (w *awaited) take() []string {
	count := min(len(w.unsent), maxBatch, mostAwaited-len(w.sent))
	ids := slices.Clone(w.unsent[:count])
	w.unsent = w.unsent[count:]
	for _, id := range ids {
		w.sent[id] = true
	}
	return ids
}

func (w *awaited) sendAt() Moment {
	if len(w.unsent) > 0 && len(w.sent) < mostAwaited {
		return 0
	}
	return Never
}

// sendAllAgain: there is a new stream.
func (w *awaited) sendAllAgain() {
	w.unsent = w.unsent[:0]
	clear(w.sent)
	for id := range w.byTask {
		w.unsent = append(w.unsent, id)
	}
	slices.Sort(w.unsent)
}
