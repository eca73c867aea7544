package session

import (
	"time"

	"callboard.dev/sdk/go/callboardv1"
)

// receiptsWithin is how long a drain waits for receipts once nothing else is left.
const receiptsWithin = 5 * time.Second

// InvalidResult is the type of the failure of an attempt whose result is none.
const InvalidResult = "InvalidResult"

// drain is when an agent that drains loses its patience: with handlers, then with receipts.
type drain struct {
	handlersUntil Moment
	// handedBack: the time of the handlers was over.
	handedBack bool
	// receiptsSince is since when the agent is attached with nothing left but receipts to come; [Never] when it isn't.
	receiptsSince Moment
	giveUpAt      Moment
	// Of one stream.
	announced, closedSlots bool
}

func (d *drain) dueAt() Moment {
	due := d.handlersUntil
	if d.handedBack {
		due = d.giveUpAt
	}
	if d.receiptsSince != Never {
		due = min(due, d.receiptsSince+receiptsWithin)
	}
	return due
}

// Drain takes nothing new, lets handlers go on for so long, delivers what there is, and ends. A second time changes nothing.
func (s *Session) Drain(now Moment, timeout time.Duration) {
	if s.drain == nil && s.link.phase != stopped {
		s.drain = &drain{handlersUntil: now + timeout, receiptsSince: Never}
		s.Tick(now)
	}
}

// tickDrain ends the agent when nothing is left, or its time is over. While detached it tries to deliver its reports for as long as
// the drain may take; once attached, receipts are waited for a short time only.
func (s *Session) tickDrain(now Moment) {
	d := s.drain
	if now >= d.handlersUntil && !d.handedBack {
		d.handedBack, d.giveUpAt = true, now+receiptsWithin
		s.handBack()
	}
	if s.handlersLeft() {
		return
	}
	// A server that knows of drains ends the stream when nothing is left: until then it might still be giving us a task.
	letGo := s.link.phase != attached || s.link.lacks(featureDrain)
	if letGo && len(s.outbox.kept) == 0 && s.mail.isIdle() {
		s.end(nil)
		return
	}
	if s.link.phase == attached && d.receiptsSince == Never {
		d.receiptsSince = now
	}
	if now >= d.dueAt() {
		s.end(nil)
	}
}

func (s *Session) handlersLeft() bool {
	for _, a := range s.attempts {
		if a.reports() {
			return true
		}
	}
	return s.mail.isRunning()
}

// handBack: what still runs is cancelled, and handed back. A message that is being handled is dropped, not acknowledged.
func (s *Session) handBack() {
	for _, a := range s.sorted() {
		if a.reports() {
			s.lose(a, callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST, "the agent stops")
			s.outbox.add(a, rejected(drainReason), 0)
		}
	}
	if s.mail.isRunning() {
		s.mail.abort()
		s.do(StopHandling{})
	}
}

// drainFrame says that the agent drains. The server ends the stream of an agent that has drained and has no attempt left: while a
// message is being handled, or has no receipt, it is only told to give nothing more.
func (s *Session) drainFrame() *callboardv1.AttachRequest {
	d := s.drain
	if d == nil || d.announced {
		return nil
	}
	if !s.mail.isIdle() && !s.link.lacks(featureMessages) {
		if d.closedSlots || s.link.lacks(featureSlots) {
			return nil
		}
		d.closedSlots = true
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Slots{Slots: &callboardv1.SlotsChange{Slots: 0}}}
	}
	d.announced = true
	if s.link.lacks(featureDrain) {
		return nil
	}
	return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Drain{Drain: &callboardv1.DrainRequest{}}}
}
