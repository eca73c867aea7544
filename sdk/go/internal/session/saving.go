package session

import (
	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

// SaveCheckpoint takes what the next attempt is to begin from. [ReportSettled] with the ticket, which is not 0, tells what became of it.
func (s *Session) SaveCheckpoint(key Key, data *callboardv1.Payload, ticket uint64) {
	s.save(key, &callboardv1.Report{
		Kind: &callboardv1.Report_Checkpoint{Checkpoint: &callboardv1.Checkpoint{Data: data}},
	}, ticket)
}

// RecordStep takes the result of a step. [ReportSettled] with the ticket, which is not 0, tells what became of it.
func (s *Session) RecordStep(key Key, record *callboardv1.StepRecord, ticket uint64) {
	s.save(key, &callboardv1.Report{Kind: &callboardv1.Report_Step{Step: record}}, ticket)
}

// ForgetReport takes back a checkpoint, step or output that nobody waits for any longer, unless it is on its way already.
func (s *Session) ForgetReport(ticket uint64) {
	s.outbox.forget(ticket)
	s.forgetOutput(ticket)
}

// StepFault says why no step can begin now: the server that is attached takes none. Nil when one can.
func (s *Session) StepFault() *Fault {
	if s.link.phase == attached && s.link.lacks(featureSteps) {
		return noSteps()
	}
	return nil
}

// saved are the reports that handlers wait for: the feature of a server that takes them, and what is told when it has none of it.
var saved = []struct {
	feature string
	is      func(*callboardv1.Report) bool
	fault   func() *Fault
}{
	{featureCheckpoint, func(report *callboardv1.Report) bool { return report.GetCheckpoint() != nil }, noCheckpoints},
	{featureSteps, func(report *callboardv1.Report) bool { return report.GetStep() != nil }, noSteps},
}

func (s *Session) save(key Key, report *callboardv1.Report, ticket uint64) {
	a := s.attempts[key]
	if a == nil || !a.reports() || s.link.phase == stopped {
		s.do(ReportSettled{ticket, leaseLost("the lease is lost")})
		return
	}
	for _, kind := range saved {
		if kind.is(report) && s.link.phase == attached && s.link.lacks(kind.feature) {
			s.do(ReportSettled{ticket, kind.fault()})
			return
		}
	}
	s.outbox.addAwaited(a, report, ticket)
}

// dropUntaken: what the server takes none of will never have a receipt.
func (s *Session) dropUntaken() {
	for _, kind := range saved {
		if s.link.lacks(kind.feature) {
			s.outbox.drop(kind.is, kind.fault())
		}
	}
	if s.link.lacks(featureOutput) {
		s.dropOutput()
	}
	if s.link.lacks(featureChildren) {
		s.stopPausing()
	}
	for _, a := range s.sorted() {
		s.forgetIfDone(a)
	}
}

func reportRefused(k *kept, receipt *callboardv1.Receipt) *Fault {
	fault := &Fault{Code: codes.FailedPrecondition, Reason: ReasonName(receipt.GetReason()), Message: receipt.GetMessage()}
	if k.isStep() {
		fault.Code = codeOfStep(receipt.GetReason())
	}
	return fault
}

// isOfStepAlone says whether a step was refused for what it is, and not for its attempt: then its handler decides how to go on.
func isOfStepAlone(k *kept, receipt *callboardv1.Receipt) bool {
	return k.isStep() && codeOfStep(receipt.GetReason()) != codes.FailedPrecondition
}

// codeOfStep is what a refused step is raised as.
func codeOfStep(reason callboardv1.ErrorReason) codes.Code {
	switch reason {
	case callboardv1.ErrorReason_ERROR_REASON_LIMIT_REACHED:
		return codes.ResourceExhausted
	case callboardv1.ErrorReason_ERROR_REASON_STEP_EXISTS:
		return codes.AlreadyExists
	case callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD, callboardv1.ErrorReason_ERROR_REASON_PAYLOAD_TOO_LARGE:
		return codes.InvalidArgument
	}
	return codes.FailedPrecondition
}
