package session

import (
	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/planted"
)

// NextFrame gives the next frame to send; nil when there is none. Ask when the stream can take it: asking means sending.
func (s *Session) NextFrame(now Moment) *callboardv1.AttachRequest {
	frame := s.nextFrame(now)
	if frame != nil {
		s.link.lastSent = now
	}
	return frame
}

// SendAt says when NextFrame has a frame at the latest, after it had none; [Never] when only an event can bring one.
func (s *Session) SendAt() Moment {
	if s.link.phase != attached {
		return Never
	}
	due := min(s.heartbeatAt(), s.outbox.dueAt(), s.progressAt(), s.outputAt(), s.awaited.sendAt())
	if !s.link.lacks(featureMessages) {
		due = min(due, s.mail.sendAt())
	}
	return due
}

func (s *Session) nextFrame(now Moment) *callboardv1.AttachRequest {
	if s.link.phase == connecting {
		s.link.phase = greeted
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Hello{Hello: s.hello()}}
	}
	if s.link.phase != attached {
		return nil
	}
	// Before the reports: one that frees a slot, or hands a task back, would be answered with another task.
	if frame := s.drainFrame(); frame != nil {
		return frame
	}
	s.gatherOutput(now)
	reports := s.outbox.take(now)
	reports = append(reports, s.dueProgress(now, maxBatch-len(reports))...)
	if len(reports) > 0 {
		batch := &callboardv1.ReportBatch{Reports: reports}
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Reports{Reports: batch}}
	}
	if ids := s.awaited.take(); len(ids) > 0 {
		batch := &callboardv1.TaskAwaitBatch{TaskIds: ids}
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Awaits{Awaits: batch}}
	}
	if frame := s.mailFrame(now); frame != nil {
		return frame
	}
	if now >= s.heartbeatAt() {
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Heartbeat{Heartbeat: &callboardv1.Heartbeat{}}}
	}
	return nil
}

// heartbeatAt is when the next heartbeat is due. A drain changes nothing of it: what it waits for is leased as before.
func (s *Session) heartbeatAt() Moment {
	if s.drain != nil && planted.Has(planted.SilentWhileDraining) {
		return Never
	}
	return s.link.heartbeatAt()
}

func (s *Session) hello() *callboardv1.Hello {
	features := []string{featureCancellation, featureDrain, featureMessageReceipts, featureSteps, featureChildren}
	if s.config.TakesMessages {
		features = append(features, featureMessages)
	}
	var held []*callboardv1.Attempt
	for _, a := range s.sorted() {
		if a.isHeld() {
			held = append(held, a.lease)
		}
	}
	return &callboardv1.Hello{
		Namespace:     s.config.Namespace,
		Profile:       s.config.Profile,
		Held:          held,
		Features:      features,
		PreviousEpoch: s.link.epoch,
		InstanceId:    s.config.InstanceID,
	}
}

func (s *Session) mailFrame(now Moment) *callboardv1.AttachRequest {
	if s.link.lacks(featureMessages) {
		return nil
	}
	if handled := s.mail.takeAcknowledgements(now); len(handled) > 0 {
		batch := &callboardv1.MessageAcknowledgementBatch{MessageIds: handled}
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Acknowledgements{Acknowledgements: batch}}
	}
	if sends := s.mail.takeSends(now); len(sends) > 0 {
		batch := &callboardv1.MessageSendBatch{Messages: sends}
		return &callboardv1.AttachRequest{Frame: &callboardv1.AttachRequest_Messages{Messages: batch}}
	}
	return nil
}

// Received takes a frame that came. A kind that this SDK doesn't know is ignored.
func (s *Session) Received(now Moment, frame *callboardv1.AttachResponse) {
	if s.link.phase != greeted && s.link.phase != attached {
		return
	}
	s.link.lastReceived = now
	if welcome := frame.GetWelcome(); welcome != nil {
		s.welcomed(now, welcome)
	}
	if s.link.phase == attached {
		s.take(now, frame)
	}
	s.Tick(now)
}

func (s *Session) take(now Moment, frame *callboardv1.AttachResponse) {
	switch frame := frame.GetFrame().(type) {
	case *callboardv1.AttachResponse_Assignments:
		for _, assignment := range frame.Assignments.GetAssignments() {
			s.assigned(assignment)
		}
	case *callboardv1.AttachResponse_Receipts:
		for _, receipt := range frame.Receipts.GetReceipts() {
			s.receipted(now, receipt)
		}
	case *callboardv1.AttachResponse_Cancellations:
		for _, cancellation := range frame.Cancellations.GetCancellations() {
			s.cancelled(cancellation)
		}
	case *callboardv1.AttachResponse_TaskEnds:
		for _, end := range frame.TaskEnds.GetEnds() {
			s.taskEnded(now, end)
		}
	case *callboardv1.AttachResponse_Resumptions:
		for _, resumption := range frame.Resumptions.GetResumptions() {
			s.resumed(resumption)
		}
	case *callboardv1.AttachResponse_Messages:
		if s.config.TakesMessages {
			for _, message := range frame.Messages.GetMessages() {
				s.mail.deliver(message)
			}
		}
	case *callboardv1.AttachResponse_MessageReceipts:
		for _, receipt := range frame.MessageReceipts.GetSent() {
			s.mail.sent(now, receipt)
		}
		s.mail.acknowledged(frame.MessageReceipts.GetAcknowledgedIds())
		s.mail.acknowledgeAgain(now, frame.MessageReceipts.GetRetryIds())
	case *callboardv1.AttachResponse_Drain:
		s.serverDrains(now, frame.Drain.GetEndpoints())
	}
}

func (s *Session) welcomed(now Moment, welcome *callboardv1.Welcome) {
	if s.link.phase != greeted {
		return
	}
	s.link.welcome(now, welcome)
	held := make(map[Key]bool, len(welcome.GetHeld()))
	for _, attempt := range welcome.GetHeld() {
		held[KeyOf(attempt)] = true
	}
	for _, a := range s.sorted() {
		if !held[a.key] && a.reports() {
			s.lose(a, callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST, "the lease was lost while the agent was away")
		}
	}
	s.outbox.sendAllAgain()
	s.mail.sendAllAgain()
	s.awaited.sendAllAgain()
	s.dropUntaken()
	s.resumeAgain(now, true)
	if s.link.lacks(featureMessages) {
		s.mail.giveUp(noMessages())
	}
	if s.drain != nil {
		s.drain.announced, s.drain.closedSlots = false, false
	}
}

// receipted takes what became of a report.
func (s *Session) receipted(now Moment, receipt *callboardv1.Receipt) {
	if planted.Has(planted.ReceiptIgnored) {
		return
	}
	k := s.outbox.kept[receipt.GetReportId()]
	a := s.attempts[KeyOf(receipt.GetAttempt())]
	if k != nil {
		a = k.of
	}
	status := receipt.GetStatus()
	if isGap(k, receipt) {
		status = callboardv1.ReceiptStatus_RECEIPT_STATUS_RETRY
	}
	switch status {
	case callboardv1.ReceiptStatus_RECEIPT_STATUS_COMMITTED:
		if k != nil {
			s.outbox.commit(k)
			s.resumeCommitted(k, receipt)
		}
	case callboardv1.ReceiptStatus_RECEIPT_STATUS_RETRY:
		if k != nil {
			s.outbox.retry(now, k)
		}
	case callboardv1.ReceiptStatus_RECEIPT_STATUS_REFUSED:
		// Progress isn't kept, but can be refused: then the receipt itself says of which attempt.
		s.refused(k, a, receipt)
	}
	if a != nil {
		s.forgetIfDone(a)
	}
}

func (s *Session) refused(k *kept, a *attempt, receipt *callboardv1.Receipt) {
	if k != nil {
		s.outbox.settle(k, reportRefused(k, receipt))
		if isOfStepAlone(k, receipt) {
			return
		}
		if isOfOutputAlone(k, receipt) {
			s.endOutput(k.of, outputIsFull(receipt))
			return
		}
		s.followUp(k, receipt)
	}
	if a != nil && a.reports() {
		why := receipt.GetMessage()
		if why == "" {
			why = "a report was refused"
		}
		s.lose(a, callboardv1.CancellationReason_CANCELLATION_REASON_LEASE_LOST, why)
	}
}

// followUp: a result that is refused for what it holds fails its attempt. Else the task would hang until its timeout.
func (s *Session) followUp(k *kept, receipt *callboardv1.Receipt) {
	switch receipt.GetReason() {
	case callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD, callboardv1.ErrorReason_ERROR_REASON_PAYLOAD_TOO_LARGE:
		if k.report.GetCompleted() != nil {
			retryable := false
			failure := &callboardv1.Failure{Type: InvalidResult, Message: receipt.GetMessage(), Retryable: &retryable}
			s.outbox.add(k.of, failed(failure), 0)
		}
	}
}
