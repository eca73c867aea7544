// Package planted has the bugs on purpose: defects of the SDK that a test can have, to show that the conformance suite would notice.
//
// The code asks for them by name where it would go wrong:
//
//	if planted.Has(planted.ReceiptIgnored) { ... }
//
// No release has them: without the build tag callboard_defects, [Has] is the constant false, and nothing can be planted.
package planted

// Defect is something that the SDK then does wrong. tests/conformance/DRIVER.md has them for all SDKs.
type Defect string

const (
	// ReceiptIgnored: a receipt does not end a report. It is sent again with each attachment, and a checkpoint never returns.
	ReceiptIgnored Defect = "receipt-ignored"
	// ReportForgotten: a report is forgotten when it was sent. What had no receipt is not repeated.
	ReportForgotten Defect = "report-forgotten"
	// CancellationIgnored: handlers are not told to stop.
	CancellationIgnored Defect = "cancellation-ignored"
	// AssignmentRunTwice: the same attempt coming twice runs twice.
	AssignmentRunTwice Defect = "assignment-run-twice"
	// ChildKeyPerAttempt: the request id and occurrence of children differ from attempt to attempt, so that a later one doesn't find them.
	ChildKeyPerAttempt Defect = "child-key-per-attempt"
	// SlotHeldWhileWaiting: a handler that waits for a child sends no pause.
	SlotHeldWhileWaiting Defect = "slot-held-while-waiting"
	// RunsNotAskedAgain: what was on a stream of runs that broke is not asked again.
	RunsNotAskedAgain Defect = "runs-not-asked-again"
	// SilentWhileDraining: an agent that drains sends no heartbeats.
	SilentWhileDraining Defect = "silent-while-draining"
	// NoReattach: the agent ends when its stream broke.
	NoReattach Defect = "no-reattach"
)
