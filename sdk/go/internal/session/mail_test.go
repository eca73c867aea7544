package session

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

// mailScript is attached to a server with messages, and takes them.
func mailScript(t *testing.T) *script {
	s := newScript(t, func(r *role) { r.messages = true })
	expect(t, slices.Contains(s.attach(withMessages(1)).GetFeatures(), "messages"), "says so")
	s.all()
	return s
}

func withMessages(epoch int64) *callboardv1.Welcome {
	return &callboardv1.Welcome{SessionEpoch: epoch, Features: append([]string{"messages"}, serverFeatures...)}
}

// deliver takes pairs of id and sender.
func (s *script) deliver(pairs ...string) {
	batch := &callboardv1.MessageDeliveryBatch{}
	for at := 0; at < len(pairs); at += 2 {
		batch.Messages = append(batch.Messages, &callboardv1.Message{Id: pairs[at], Agent: pairs[at+1]})
	}
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_Messages{Messages: batch}})
}

func (s *script) receipts(batch *callboardv1.MessageReceiptBatch) {
	s.Received(s.now, &callboardv1.AttachResponse{Frame: &callboardv1.AttachResponse_MessageReceipts{MessageReceipts: batch}})
}

func (s *script) sent(receipts ...*callboardv1.MessageSendReceipt) {
	s.receipts(&callboardv1.MessageReceiptBatch{Sent: receipts})
}

func (s *script) write(requestID string, ticket uint64) {
	s.Send(&callboardv1.MessageSend{RequestId: requestID}, ticket)
}

func (s *script) handling() []string {
	var ids []string
	for _, one := range acts[Handle](s) {
		ids = append(ids, one.Message.GetId())
	}
	return ids
}

// said is what the session says now, in short.
func (s *script) said() []string {
	var lines []string
	for _, frame := range s.frames() {
		switch kind := kindOf(frame, "frame"); kind {
		case "acknowledgements":
			lines = append(lines, "ack "+strings.Join(frame.GetAcknowledgements().GetMessageIds(), " "))
		case "messages":
			line := "send"
			for _, one := range frame.GetMessages().GetMessages() {
				line += " " + one.GetRequestId()
			}
			lines = append(lines, line)
		default:
			lines = append(lines, kind)
		}
	}
	return lines
}

func TestMessagesAreHandledOneAfterTheOtherAndAcknowledged(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann", "m2", "bob")
	same(t, "handles", s.handling(), "m1")
	same(t, "says", s.said())
	s.Handled(s.now, "m1", true)
	same(t, "handles", s.handling(), "m2")
	same(t, "says", s.said(), "ack m1")
	s.deliver("m1", "ann", "m2", "bob")
	same(t, "handles", s.handling())
	same(t, "says", s.said(), "ack m1")
	s.receipts(&callboardv1.MessageReceiptBatch{AcknowledgedIds: []string{"m1"}})
	s.Handled(s.now, "m2", true)
	same(t, "says", s.said(), "ack m2")
}

func TestAcknowledgementsThatCouldNotBeDecidedAreRepeated(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann")
	s.Handled(s.now, "m1", true)
	for _, delay := range []time.Duration{100, 200} {
		same(t, "says", s.said(), "ack m1")
		s.receipts(&callboardv1.MessageReceiptBatch{RetryIds: []string{"m1"}})
		same(t, "waits", s.said())
		expect(t, s.SendAt() == s.now+delay*time.Millisecond, "delay", s.SendAt()-s.now)
		s.later(delay * time.Millisecond)
	}
	same(t, "says", s.said(), "ack m1")
}

func TestWhatHasNoReceiptIsSaidAgainOnTheNextStream(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann", "m2", "ann")
	s.Handled(s.now, "m1", true)
	s.write("r1", 1)
	same(t, "says", s.said(), "ack m1", "send r1")
	s.drop(nil)
	s.attach(withMessages(2))
	same(t, "says again", s.said(), "ack m1", "send r1")
	s.all()
	s.deliver("m1", "ann", "m2", "ann", "m3", "ann")
	s.Handled(s.now, "m2", true)
	same(t, "handles", s.handling(), "m3")
}

func TestAMessageThatFailedComesAgainAndHoldsUpItsOwnSenderOnly(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann", "m2", "ann", "m3", "bob")
	s.all()
	s.Handled(s.now, "m1", false)
	same(t, "another's", s.handling(), "m3")
	s.Handled(s.now, "m3", true)
	same(t, "waits", s.handling())
	expect(t, s.TickAt() <= s.now+time.Second, "due", s.TickAt()-s.now)
	s.later(time.Second)
	same(t, "again", s.handling(), "m1")
	s.Handled(s.now, "m1", true)
	same(t, "then", s.handling(), "m2")
}

func TestAMessageThatKeepsFailingIsGivenUp(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann", "m2", "ann")
	for _, seconds := range []time.Duration{1, 2, 4, 8} {
		same(t, "tries", s.handling(), "m1")
		expect(t, s.Handled(s.now, "m1", false), "kept")
		for range seconds {
			s.heartbeat()
			s.later(time.Second)
		}
	}
	same(t, "tries", s.handling(), "m1")
	expect(t, !s.Handled(s.now, "m1", false), "given up")
	same(t, "then", s.handling(), "m2")
	expect(t, slices.Contains(s.said(), "ack m1"), "acknowledged")
}

func TestAMessageIsSentUntilItsReceiptSaysWhatBecameOfIt(t *testing.T) {
	s := mailScript(t)
	s.write("r1", 1)
	s.write("r2", 2)
	same(t, "says", s.said(), "send r1 r2")
	s.sent(&callboardv1.MessageSendReceipt{RequestId: "r1", Retry: true})
	same(t, "waits", s.said())
	s.now = s.SendAt()
	same(t, "says again", s.said(), "send r1")
	receipt := &callboardv1.MessageReceipt{MessageId: "m1", Sequence: 1}
	one := &callboardv1.MessageSendReceipt{RequestId: "r1", Message: receipt}
	s.sent(one, one)
	s.sent(&callboardv1.MessageSendReceipt{RequestId: "r2", Reason: callboardv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND})
	settled := acts[SendSettled](s)
	expect(t, len(settled) == 2 && settled[0] == SendSettled{1, receipt, nil}, "settled", settled)
	expect(t, settled[1].Ticket == 2 && settled[1].Fault.Code == codes.NotFound, "refused", settled[1])
}

func TestAtMost64MessagesAreOnTheirWay(t *testing.T) {
	s := mailScript(t)
	for number := range uint64(66) {
		s.write("r"+strconv.FormatUint(number, 10), number+1)
	}
	lines := s.said()
	expect(t, len(lines) == 1 && len(strings.Fields(lines[0])) == 65, "64", lines)
	expect(t, s.SendAt() != s.now && s.SendAt() != 0, "nothing more is due")
	s.sent(&callboardv1.MessageSendReceipt{RequestId: "r7", Message: &callboardv1.MessageReceipt{MessageId: "m"}})
	same(t, "one more", s.said(), "send r64")
	s.ForgetSend(66)
	s.ForgetSend(1)
	s.drop(nil)
	s.attach(withMessages(2))
	lines = s.said()
	expect(t, len(lines) == 1 && len(strings.Fields(lines[0])) == 65, "all again", lines)
	expect(t, !strings.Contains(lines[0]+" ", " r7 ") && !strings.Contains(lines[0]+" ", " r65 "), "but what is done with", lines)
}

func TestTwoMessagesUnderOneRequestIDGetAnAnswerEach(t *testing.T) {
	s := mailScript(t)
	s.write("r1", 1)
	s.write("r1", 2)
	same(t, "says", s.said(), "send r1 r1")
	receipt := &callboardv1.MessageReceipt{MessageId: "m1", Sequence: 1}
	s.sent(&callboardv1.MessageSendReceipt{RequestId: "r1", Message: receipt},
		&callboardv1.MessageSendReceipt{RequestId: "r1", Reason: callboardv1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED})
	settled := acts[SendSettled](s)
	expect(t, len(settled) == 2 && settled[0] == SendSettled{1, receipt, nil}, "first", settled)
	expect(t, settled[1].Ticket == 2 && settled[1].Fault.Code == codes.InvalidArgument, "second", settled)
}

func TestAServerWithoutMessagesIsSentNone(t *testing.T) {
	s := newScript(t, func(r *role) { r.messages = true })
	s.Start(s.now)
	s.write("r1", 1)
	s.attach(nil)
	s.write("r2", 2)
	settled := acts[SendSettled](s)
	expect(t, len(settled) == 2 && settled[0].Fault != nil && settled[1].Fault != nil, "refused", settled)
	same(t, "says", s.said())
}

func TestADrainWaitsForTheMessageAtWorkAndBeginsNoOther(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann", "m2", "ann")
	s.all()
	s.startDrain()
	same(t, "says", s.said(), "slots")
	s.Handled(s.now, "m1", true)
	same(t, "begins no other", s.handling())
	same(t, "says", s.said(), "ack m1")
	s.receipts(&callboardv1.MessageReceiptBatch{AcknowledgedIds: []string{"m1"}})
	same(t, "says", s.said(), "drain")
	s.drop(nil)
	expect(t, len(acts[End](s)) == 1, "ends")
}

func TestADrainWhoseTimeIsOverStopsTheMessageAtWork(t *testing.T) {
	s := mailScript(t)
	s.deliver("m1", "ann")
	s.all()
	s.Drain(s.now, time.Second)
	s.later(time.Second)
	expect(t, len(acts[StopHandling](s)) == 1, "told")
	s.Handled(s.now, "m1", false)
	for _, line := range s.said() {
		expect(t, !strings.HasPrefix(line, "ack"), "not acknowledged", line)
	}
}

func TestHandledMessagesAreRememberedUpToALimit(t *testing.T) {
	s := mailScript(t)
	for number := range remembered + 5 {
		id := "m" + strconv.Itoa(number)
		s.deliver(id, "ann")
		s.Handled(s.now, id, true)
		s.receipts(&callboardv1.MessageReceiptBatch{AcknowledgedIds: []string{id}})
	}
	expect(t, len(s.mail.handled) == remembered && len(s.mail.oldest) == remembered, "bounded", len(s.mail.handled))
}
