package session

import (
	"slices"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"callboard.dev/sdk/go/internal/planted"
	"google.golang.org/protobuf/proto"
)

const (
	// maxBatch is the most reports, messages or acknowledgements in a frame, by the protocol.
	maxBatch = 1000
	// batchBytes leaves room in a frame, which has at most 3 MiB, for what stands around the reports.
	batchBytes = 3<<20 - 64<<10
)

// kept is a report that has no receipt yet.
type kept struct {
	report *callboardv1.Report
	of     *attempt
	// ticket is its handler's, of a checkpoint or step that it waits for; else 0.
	ticket uint64
	// size is how many bytes of a frame it takes; 0 before anybody asked.
	size     int
	inFlight bool
	// wasSent: it left this process at least once.
	wasSent bool
	// settled: it is in no collection any more but, maybe, in ready.
	settled bool
	backoff backoff.Backoff
}

// line is the reports of one attempt, in their order.
type line struct {
	reports []*kept
	// blocked: one is to be repeated. It waits for the receipts of those behind it that are on their way, lest an old checkpoint
	// replace a new one, and newer ones wait behind it.
	blocked   bool
	notBefore Moment
	// committed is the newest that is durable and that makes older ones needless, slotCommitted the same of those about the slot.
	committed, slotCommitted int64
}

func (l *line) isOnItsWay() bool {
	return slices.ContainsFunc(l.reports, func(k *kept) bool { return k.inFlight })
}

// isStep says whether it is recorded by itself: a later report of the attempt doesn't stand for it.
func (k *kept) isStep() bool {
	return k.report.GetStep() != nil
}

func (k *kept) isOutput() bool {
	return k.report.GetOutput() != nil
}

// isNeedless says whether a newer report of the attempt is durable and makes this one needless. None does for a step or output; for a
// pause or resume only a newer one does, or the attempt's end.
func (k *kept) isNeedless() bool {
	switch {
	case k.isStep(), k.isOutput():
		return false
	case isOfSlot(k.report):
		return k.report.GetReportId() < k.of.line.slotCommitted
	}
	return k.report.GetReportId() < k.of.line.committed
}

// noteCommitted notes what a report that is durable makes needless.
func (l *line) noteCommitted(report *callboardv1.Report) {
	id := report.GetReportId()
	switch report.GetKind().(type) {
	case *callboardv1.Report_Output:
	case *callboardv1.Report_Pause, *callboardv1.Report_Resume:
		l.slotCommitted = max(l.slotCommitted, id)
	case *callboardv1.Report_Completed, *callboardv1.Report_Failed, *callboardv1.Report_Rejected:
		l.committed, l.slotCommitted = max(l.committed, id), max(l.slotCommitted, id)
	default:
		l.committed = max(l.committed, id)
	}
}

// outside is a checkpoint or step that waits for room.
type outside struct {
	of     *attempt
	report *callboardv1.Report
	ticket uint64
}

// outbox holds reports, each until its receipt. They are sent in their order, and again in their order, under the ids they have.
type outbox struct {
	// limit is how many reports may wait before checkpoints and steps wait outside.
	limit    int
	fraction func() float64
	lastID   int64
	kept     map[int64]*kept
	// outputs is how many of those kept are output, which has its own bounds.
	outputs int
	// ready can be sent, in order. What was settled meanwhile is passed over.
	ready   []*kept
	blocked []*attempt
	outside []outside
	done    []ReportSettled
}

func newOutbox(limit int, fraction func() float64) outbox {
	return outbox{limit: limit, fraction: fraction, kept: map[int64]*kept{}}
}

// newID gives a report id that was never used before.
func (o *outbox) newID() int64 {
	o.lastID++
	return o.lastID
}

// add keeps a report, and sends it when it can. Acceptances and ends always have room: slots bound them.
func (o *outbox) add(a *attempt, report *callboardv1.Report, ticket uint64) *kept {
	report.ReportId, report.Attempt = o.newID(), a.lease
	k := &kept{report: report, of: a, ticket: ticket}
	o.kept[report.ReportId] = k
	if k.isOutput() {
		o.outputs++
		a.output.onItsWay++
	}
	a.line.reports = append(a.line.reports, k)
	if !a.line.blocked {
		o.ready = append(o.ready, k)
	}
	return k
}

// addAwaited keeps a checkpoint or step when there is room, else lets it wait outside, with whoever saves it.
func (o *outbox) addAwaited(a *attempt, report *callboardv1.Report, ticket uint64) {
	o.outside = append(o.outside, outside{a, report, ticket})
	o.letIn()
}

func (o *outbox) letIn() {
	for len(o.outside) > 0 && o.count() < o.limit {
		next := o.outside[0]
		o.outside = o.outside[1:]
		o.flushOutput(next.of)
		o.add(next.of, next.report, next.ticket)
	}
}

// count is how many reports wait, but for output.
func (o *outbox) count() int {
	return len(o.kept) - o.outputs
}

// withdraw forgets a report that never left, and says whether it did.
func (o *outbox) withdraw(k *kept) bool {
	if k == nil || k.wasSent || k.settled {
		return false
	}
	o.remove(k)
	o.letIn()
	return true
}

// take gives the reports to send now, as many as fit into a frame.
func (o *outbox) take(now Moment) []*callboardv1.Report {
	o.release(now)
	var batch []*callboardv1.Report
	bytes, taken := 0, 0
	for _, k := range o.ready {
		if !k.settled {
			if k.size == 0 {
				// Not before: many an acceptance never leaves.
				k.size = proto.Size(k.report) + 8
			}
			// A report by itself always fits: payloads are checked when they are made.
			if len(batch) == maxBatch || len(batch) > 0 && bytes+k.size > batchBytes {
				break
			}
			k.inFlight, k.wasSent = true, true
			bytes += k.size
			batch = append(batch, k.report)
		}
		taken++
	}
	clear(o.ready[:taken])
	o.ready = o.ready[taken:]
	if planted.Has(planted.ReportForgotten) {
		o.forgetAll(batch)
	}
	return batch
}

// release lets the reports be sent of the attempts that have waited long enough.
func (o *outbox) release(now Moment) {
	if len(o.blocked) == 0 {
		return
	}
	o.blocked = slices.DeleteFunc(o.blocked, func(a *attempt) bool {
		if a.line.isOnItsWay() || len(a.line.reports) > 0 && now < a.line.notBefore {
			return false
		}
		a.line.blocked = false
		o.ready = append(o.ready, a.line.reports...)
		return true
	})
}

// dueAt says when there is something to send.
func (o *outbox) dueAt() Moment {
	for len(o.ready) > 0 && o.ready[0].settled {
		o.ready = o.ready[1:]
	}
	if len(o.ready) > 0 {
		return 0
	}
	due := Never
	for _, a := range o.blocked {
		if !a.line.isOnItsWay() {
			due = min(due, a.line.notBefore)
		}
	}
	return due
}

// commit takes the receipt of a report that is durable.
func (o *outbox) commit(k *kept) {
	line := &k.of.line
	line.noteCommitted(k.report)
	o.settle(k, nil)
	// Those before it that were to be repeated are done with, too.
	for _, older := range slices.Clone(line.reports) {
		if !older.inFlight && older.isNeedless() {
			o.settle(older, nil)
		}
	}
}

// retry takes the receipt of a report that the server could not decide.
func (o *outbox) retry(now Moment, k *kept) {
	line := &k.of.line
	if k.isNeedless() {
		o.settle(k, nil)
		return
	}
	if !k.inFlight {
		return
	}
	k.inFlight = false
	line.notBefore = max(line.notBefore, now+k.backoff.Next(nil, o.fraction()))
	if !line.blocked {
		line.blocked = true
		o.blocked = append(o.blocked, k.of)
		o.ready = slices.DeleteFunc(o.ready, func(other *kept) bool { return other.of == k.of })
	}
}

// settle is the end of a report.
func (o *outbox) settle(k *kept, fault *Fault) {
	o.remove(k)
	if k.ticket != 0 {
		o.done = append(o.done, ReportSettled{k.ticket, fault})
	}
	o.letIn()
}

// forgetAll takes reports for committed that were only sent: a defect.
func (o *outbox) forgetAll(sent []*callboardv1.Report) {
	for _, report := range sent {
		o.settle(o.kept[report.GetReportId()], nil)
	}
}

func (o *outbox) remove(k *kept) {
	k.settled = true
	delete(o.kept, k.report.GetReportId())
	if k.isOutput() {
		o.outputs--
		k.of.output.onItsWay--
	}
	line := &k.of.line
	line.reports = slices.DeleteFunc(line.reports, func(other *kept) bool { return other == k })
}

// sendAllAgain: there is a new stream. What has no receipt is sent again at once.
func (o *outbox) sendAllAgain() {
	o.blocked = nil
	o.ready = o.inOrder()
	for _, k := range o.ready {
		k.inFlight = false
		k.of.line.blocked, k.of.line.notBefore = false, 0
	}
}

// forget takes back what waits outside.
func (o *outbox) forget(ticket uint64) {
	o.outside = slices.DeleteFunc(o.outside, func(one outside) bool { return one.ticket == ticket })
}

// dropWaiting refuses what waits outside of an attempt.
func (o *outbox) dropWaiting(a *attempt, fault *Fault) {
	o.outside = slices.DeleteFunc(o.outside, func(one outside) bool {
		if one.of == a {
			o.done = append(o.done, ReportSettled{one.ticket, fault})
		}
		return one.of == a
	})
}

// releaseSteps: whoever waits for the steps of an attempt is told this. What was sent of them is kept until its receipt all the same.
func (o *outbox) releaseSteps(a *attempt, fault *Fault) {
	for _, k := range a.line.reports {
		if k.isStep() && k.ticket != 0 {
			o.done = append(o.done, ReportSettled{k.ticket, fault})
			k.ticket = 0
		}
	}
}

// drop refuses what somebody waits for, of those that are meant.
func (o *outbox) drop(meant func(*callboardv1.Report) bool, fault *Fault) {
	o.outside = slices.DeleteFunc(o.outside, func(one outside) bool {
		if meant(one.report) {
			o.done = append(o.done, ReportSettled{one.ticket, fault})
			return true
		}
		return false
	})
	for _, k := range o.inOrder() {
		if meant(k.report) && !k.settled {
			o.settle(k, fault)
		}
	}
}

// giveUp forgets everything. Nobody waits for it any longer.
func (o *outbox) giveUp(fault *Fault) {
	o.drop(func(*callboardv1.Report) bool { return true }, fault)
	o.ready, o.blocked = nil, nil
}

func (o *outbox) inOrder() []*kept {
	all := make([]*kept, 0, len(o.kept))
	for _, k := range o.kept {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *kept) int { return int(a.report.GetReportId() - b.report.GetReportId()) })
	return all
}

func (o *outbox) takeSettled() []ReportSettled {
	done := o.done
	o.done = nil
	return done
}
