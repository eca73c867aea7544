package session

import (
	"slices"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	// mostSending is how many messages may be on their way without a receipt. The rest waits here.
	mostSending = 64
	// mostWaiting is how many messages wait for the handler: only a server that doesn't count comes there.
	mostWaiting = 1000
	// remembered is how many handled messages are remembered, to know them when they come again.
	remembered = 1000
	// mostTries is how often a message is given to its handler before it is given up.
	mostTries = 5
	// firstDelay is the time before the second try; it doubles up to the longest.
	firstDelay   = time.Second
	longestDelay = time.Minute
)

// sending is a message that has no receipt yet.
type sending struct {
	send     *callboardv1.MessageSend
	ticket   uint64
	inFlight bool
	wasSent  bool
}

// acknowledgement is one that has no receipt yet.
type acknowledgement struct {
	id   string
	sent bool
}

// sender is whose messages keep their order.
type sender struct{ principal, agent string }

func senderOf(message *callboardv1.Message) sender {
	return sender{message.GetPrincipal(), message.GetAgent()}
}

// mail is the messages of an agent: those that handlers send, until their receipt, and those that are delivered, until they are
// handled and acknowledged. One is handled at a time, in the order of the mailbox; one that failed holds up only its own sender's.
type mail struct {
	fraction func() float64
	backoff  backoff.Backoff

	sending   []*sending
	sendAfter Moment
	settled   []SendSettled

	// waiting was delivered and not handled; what is being handled is among them.
	waiting  []*callboardv1.Message
	running  string
	delayed  map[sender]Moment
	failures map[string]int
	handled  map[string]bool
	// oldest is what was handled, in order.
	oldest           []string
	acknowledging    []acknowledgement
	acknowledgeAfter Moment
}

func newMail(fraction func() float64) mail {
	return mail{
		fraction: fraction,
		delayed:  map[sender]Moment{},
		failures: map[string]int{},
		handled:  map[string]bool{},
	}
}

// Send takes a message of a handler. [SendSettled] with the ticket tells what became of it.
func (s *Session) Send(send *callboardv1.MessageSend, ticket uint64) {
	switch {
	case s.link.phase == stopped:
		s.do(SendSettled{Ticket: ticket, Fault: &Fault{Code: codes.Unavailable, Message: "the agent has stopped"}})
	case s.link.phase == attached && s.link.lacks(featureMessages):
		s.do(SendSettled{Ticket: ticket, Fault: noMessages()})
	default:
		s.mail.sending = append(s.mail.sending, &sending{send: send, ticket: ticket})
	}
}

// ForgetSend takes back a message that nobody waits for any longer, unless it is on its way already.
func (s *Session) ForgetSend(ticket uint64) {
	s.mail.sending = slices.DeleteFunc(s.mail.sending, func(one *sending) bool {
		return one.ticket == ticket && !one.wasSent
	})
}

// Handled takes the end of a message's handler; ok when it had no error. It says false when the message failed too often, and is given up.
func (s *Session) Handled(now Moment, id string, ok bool) bool {
	kept := s.mail.finish(now, id, ok)
	s.Tick(now)
	return kept
}

func (m *mail) inFlight() int {
	count := 0
	for _, one := range m.sending {
		if one.inFlight {
			count++
		}
	}
	return count
}

// takeSends gives the messages to send now, as many as fit into a frame.
func (m *mail) takeSends(now Moment) []*callboardv1.MessageSend {
	if now < m.sendAfter || len(m.sending) == 0 {
		return nil
	}
	var batch []*callboardv1.MessageSend
	room, bytes := mostSending-m.inFlight(), 0
	for _, one := range m.sending {
		if one.inFlight {
			continue
		}
		size := proto.Size(one.send) + 8
		if len(batch) >= room || len(batch) > 0 && bytes+size > batchBytes {
			break
		}
		bytes += size
		one.inFlight, one.wasSent = true, true
		batch = append(batch, one.send)
	}
	return batch
}

// sent takes the receipt of a message: of the oldest on its way under that request id, for handlers choose theirs, maybe the same twice.
func (m *mail) sent(now Moment, receipt *callboardv1.MessageSendReceipt) {
	at := slices.IndexFunc(m.sending, func(one *sending) bool {
		return one.inFlight && one.send.GetRequestId() == receipt.GetRequestId()
	})
	if at < 0 {
		return
	}
	one := m.sending[at]
	if receipt.GetRetry() {
		one.inFlight = false
		m.sendAfter = max(m.sendAfter, now+m.backoff.Next(nil, m.fraction()))
		return
	}
	m.backoff.Reset()
	m.sending = slices.Delete(m.sending, at, at+1)
	settled := SendSettled{Ticket: one.ticket, Receipt: receipt.GetMessage()}
	if receipt.GetMessage() == nil {
		settled.Fault = sendRefused(receipt)
	}
	m.settled = append(m.settled, settled)
}

// giveUp: nobody waits for what has no receipt any longer.
func (m *mail) giveUp(fault *Fault) {
	for _, one := range m.sending {
		m.settled = append(m.settled, SendSettled{Ticket: one.ticket, Fault: fault})
	}
	m.sending = nil
}

func (m *mail) takeSettled() []SendSettled {
	settled := m.settled
	m.settled = nil
	return settled
}

// deliver takes a message that came. One that is known is not handled again; one that was handled is acknowledged again.
func (m *mail) deliver(message *callboardv1.Message) {
	id := message.GetId()
	if m.handled[id] {
		m.acknowledge(id)
		return
	}
	known := slices.ContainsFunc(m.waiting, func(other *callboardv1.Message) bool { return other.GetId() == id })
	if !known && len(m.waiting) < mostWaiting {
		m.waiting = append(m.waiting, message)
	}
}

// start gives the next message to be handled, if it is time.
func (m *mail) start(now Moment) *callboardv1.Message {
	if m.isRunning() || len(m.waiting) == 0 {
		return nil
	}
	for who, until := range m.delayed {
		if until <= now {
			delete(m.delayed, who)
		}
	}
	for _, message := range m.waiting {
		if _, waits := m.delayed[senderOf(message)]; !waits {
			m.running = message.GetId()
			return message
		}
	}
	return nil
}

// finish takes the end of the handler. It says false when the message is given up.
func (m *mail) finish(now Moment, id string, ok bool) bool {
	if m.running != id {
		return true
	}
	m.running = ""
	at := slices.IndexFunc(m.waiting, func(message *callboardv1.Message) bool { return message.GetId() == id })
	if !ok && at >= 0 {
		m.failures[id]++
		if failures := m.failures[id]; failures < mostTries {
			m.delayed[senderOf(m.waiting[at])] = now + min(longestDelay, firstDelay<<(failures-1))
			return true
		}
	}
	delete(m.failures, id)
	if at >= 0 {
		m.waiting = slices.Delete(m.waiting, at, at+1)
	}
	m.remember(id)
	m.acknowledge(id)
	return ok
}

func (m *mail) remember(id string) {
	m.handled[id] = true
	m.oldest = append(m.oldest, id)
	if len(m.oldest) > remembered {
		delete(m.handled, m.oldest[0])
		m.oldest = m.oldest[1:]
	}
}

// abort: the handler is to stop. What it has is delivered again, to whoever attaches next.
func (m *mail) abort() {
	m.running = ""
}

func (m *mail) acknowledge(id string) {
	for at := range m.acknowledging {
		if m.acknowledging[at].id == id {
			m.acknowledging[at].sent = false
			return
		}
	}
	m.acknowledging = append(m.acknowledging, acknowledgement{id: id})
}

// takeAcknowledgements gives those that can be sent now.
func (m *mail) takeAcknowledgements(now Moment) []string {
	if now < m.acknowledgeAfter {
		return nil
	}
	var ids []string
	for at := range m.acknowledging {
		if one := &m.acknowledging[at]; !one.sent && len(ids) < maxBatch {
			one.sent = true
			ids = append(ids, one.id)
		}
	}
	return ids
}

// acknowledged: messages are out of the mailbox.
func (m *mail) acknowledged(ids []string) {
	if len(ids) > 0 {
		m.acknowledging = slices.DeleteFunc(m.acknowledging, func(one acknowledgement) bool {
			return slices.Contains(ids, one.id)
		})
	}
}

// acknowledgeAgain: the server could not take acknowledgements.
func (m *mail) acknowledgeAgain(now Moment, ids []string) {
	if len(ids) == 0 {
		return
	}
	m.acknowledgeAfter = max(m.acknowledgeAfter, now+m.backoff.Next(nil, m.fraction()))
	for at := range m.acknowledging {
		if slices.Contains(ids, m.acknowledging[at].id) {
			m.acknowledging[at].sent = false
		}
	}
}

// sendAllAgain: there is a new stream. What has no receipt is sent again.
func (m *mail) sendAllAgain() {
	for _, one := range m.sending {
		one.inFlight = false
	}
	for at := range m.acknowledging {
		m.acknowledging[at].sent = false
	}
	m.sendAfter, m.acknowledgeAfter = 0, 0
}

func (m *mail) isRunning() bool {
	return m.running != ""
}

// isIdle says whether nothing is at work, and everything has its receipt.
func (m *mail) isIdle() bool {
	return !m.isRunning() && len(m.sending) == 0 && len(m.acknowledging) == 0
}

// sendAt says when there is something to send.
func (m *mail) sendAt() Moment {
	due := Never
	if m.inFlight() < min(mostSending, len(m.sending)) {
		due = m.sendAfter
	}
	if slices.ContainsFunc(m.acknowledging, func(one acknowledgement) bool { return !one.sent }) {
		due = min(due, m.acknowledgeAfter)
	}
	return due
}

// startAt says when a message that failed is tried again.
func (m *mail) startAt() Moment {
	due := Never
	if !m.isRunning() {
		for _, until := range m.delayed {
			due = min(due, until)
		}
	}
	return due
}

func sendRefused(receipt *callboardv1.MessageSendReceipt) *Fault {
	fault := &Fault{Code: codes.FailedPrecondition, Reason: ReasonName(receipt.GetReason()), Message: receipt.GetDetail()}
	switch fault.Reason {
	case "AGENT_NOT_FOUND", "NAMESPACE_NOT_FOUND":
		fault.Code = codes.NotFound
	case "LIMIT_REACHED":
		fault.Code = codes.ResourceExhausted
	case "INVALID_FIELD", "PAYLOAD_TOO_LARGE", "REQUEST_ID_REUSED":
		fault.Code = codes.InvalidArgument
	}
	return fault
}
