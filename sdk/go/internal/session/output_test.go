package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func (s *script) say(task, words string, ticket uint64) {
	s.Output(s.now, key(task), TextPiece(words), ticket)
}

// batches gives the output in reports, as texts: 0:one|two.
func batches(reports []*callboardv1.Report) []string {
	var all []string
	for _, report := range reports {
		if batch := report.GetOutput(); batch != nil {
			var chunks []string
			for _, chunk := range batch.GetChunks() {
				chunks = append(chunks, chunk.GetText()+string(chunk.GetBinary()))
			}
			all = append(all, fmt.Sprintf("%d:%s", batch.GetOffset(), strings.Join(chunks, "|")))
		}
	}
	return all
}

// gathered has all that is given in the buffer, and then sends it: meanwhile the stream is away.
func (s *script) gathered(give func()) {
	s.drop(nil)
	give()
	s.attach(held("t1"))
}

func whole(content string) Piece {
	return WholePiece(&callboardv1.Payload{ContentType: "application/json", Content: &callboardv1.Payload_Text{Text: content}})
}

func TestTheFirstOutputGoesAtOnceAndThenItIsGathered(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.say("t1", "one ", 1)
	same(t, "in the buffer", acts[ReportSettled](s), ReportSettled{1, nil})
	s.say("t1", "and ", 9)
	first := s.oneReport()
	same(t, "at once, by itself", batches([]*callboardv1.Report{first}), "0:one ")
	expect(t, first.GetOutput().GetChunks()[0].GetContentType() == "text/plain", "text", first)
	s.say("t1", "two ", 2)
	s.say("t1", "three", 3)
	expect(t, len(s.reports()) == 0 && s.SendAt() > s.now+time.Second, "one has no receipt", s.SendAt()-s.now)
	s.receipt(first, committed)
	s.later(outputEvery - time.Millisecond)
	expect(t, len(s.reports()) == 0 && s.SendAt() == s.now+time.Millisecond, "too soon", s.SendAt()-s.now)
	s.later(time.Millisecond)
	same(t, "joined", batches(s.reports()), "4:and two three")
	expect(t, s.SendAt() > s.now, "nothing is left", s.SendAt()-s.now)
}

func TestWhatIsOfOneKindIsJoinedAndTheRestStaysApart(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	pieces := []Piece{
		TextPiece("a"), TextPiece("b"), BytesPiece([]byte("c")), BytesPiece([]byte("d")), whole("1"), whole("2"), TextPiece("e"),
	}
	s.gathered(func() {
		for at, piece := range pieces {
			s.Output(s.now, key("t1"), piece, uint64(at+1))
		}
	})
	report := s.oneReport()
	same(t, "chunks", batches([]*callboardv1.Report{report}), "0:ab|cd|1|2|e")
	expect(t, report.GetOutput().GetChunks()[1].GetContentType() == "application/octet-stream", "bytes", report)
}

func TestTextIsDividedBetweenCharacters(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	long := "x" + strings.Repeat("ü", LargestChunk)
	s.gathered(func() {
		s.say("t1", long, 1)
		s.Output(s.now, key("t1"), BytesPiece(make([]byte, LargestChunk+1)), 2)
	})
	var joined strings.Builder
	var sizes []int
	for _, chunk := range s.oneReport().GetOutput().GetChunks() {
		sizes = append(sizes, contentSize(chunk))
		joined.WriteString(chunk.GetText())
	}
	same(t, "sizes", sizes, LargestChunk-1, LargestChunk, 2, LargestChunk, 1)
	expect(t, joined.String() == long, "whole")
}

func TestAReportHasNoMoreChunksAndBytesThanItMay(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.gathered(func() {
		for at := range uint64(mostChunks + 1) {
			s.Output(s.now, key("t1"), whole("1"), at+1)
		}
	})
	first := s.oneReport()
	expect(t, len(first.GetOutput().GetChunks()) == mostChunks, "chunks", len(first.GetOutput().GetChunks()))
	s.receipt(first, committed)
	s.later(outputEvery)
	second := s.oneReport()
	same(t, "the rest", batches([]*callboardv1.Report{second}), fmt.Sprintf("%d:1", mostChunks))
	s.receipt(second, committed)
	s.gathered(func() {
		s.say("t1", strings.Repeat("x", largestOutput-1), 100)
		s.Output(s.now, key("t1"), whole(strings.Repeat("1", LargestChunk)), 101)
	})
	third := s.oneReport()
	expect(t, proto.Size(third) < batchBytes && len(third.GetOutput().GetChunks()) == 16, "bytes", len(third.GetOutput().GetChunks()))
}

func TestOutputWaitsWhileTheBufferIsFull(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.say("t1", "first", 1)
	first := s.oneReport()
	s.say("t1", strings.Repeat("x", fullAtBytes), 2)
	s.say("t1", "y", 3)
	s.say("t1", "z", 4)
	s.say("t2", "another's", 5)
	same(t, "there is room for", acts[ReportSettled](s), ReportSettled{1, nil}, ReportSettled{2, nil}, ReportSettled{5, nil})
	s.ForgetReport(4)
	s.receipt(first, committed)
	s.later(outputEvery)
	large := s.reports()
	same(t, "then", acts[ReportSettled](s), ReportSettled{3, nil})
	for _, report := range large {
		s.receipt(report, committed)
	}
	s.later(outputEvery)
	same(t, "in its order", batches(s.reports()), fmt.Sprintf("%d:y", 5+fullAtBytes))
	// Many small chunks fill it, too.
	for at := range uint64(fullAtChunks + 2) {
		s.Output(s.now, key("t2"), whole("1"), 100+at)
	}
	expect(t, len(acts[ReportSettled](s)) == fullAtChunks+1, "all but one: the first has gone")
}

func TestOutputStandsBeforeWhatIsReportedBehindIt(t *testing.T) {
	behind := map[string]func(s *script){
		"step":       func(s *script) { s.step("t1", "fetch", 9) },
		"checkpoint": func(s *script) { s.checkpoint("t1", 9) },
		"completed":  func(s *script) { s.complete("t1") },
		"failed":     func(s *script) { s.fail("t1") },
	}
	for kind, report := range behind {
		s := newScript(t)
		s.working("t1")
		s.say("t1", "one", 1)
		s.reports()
		s.say("t1", "two", 2)
		report(s)
		s.say("t1", "three", 3)
		reports := s.reports()
		same(t, "at once", kinds(reports), "output", kind)
		same(t, "regardless of the receipt", batches(reports), "3:two")
	}
}

func TestWhatIsLargeIsWholeBeforeTheEnd(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	for at := range uint64(1000) {
		s.Output(s.now, key("t1"), whole("1"), at+1)
	}
	s.complete("t1")
	reports := s.reports()
	chunks := 0
	for _, report := range reports {
		chunks += len(report.GetOutput().GetChunks())
	}
	expect(t, chunks == 1000 && reports[len(reports)-1].GetCompleted() != nil, "all", chunks)
	s.assign("t2")
	same(t, "output keeps no assignment away", kinds(s.reports()), "accepted")
}

func TestOutputIsRepeatedAsItWas(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.say("t1", "one", 1)
	first := s.oneReport()
	s.drop(nil)
	s.say("t1", "two", 2)
	s.attach(held("t1"))
	repeated := s.oneReport()
	expect(t, proto.Equal(repeated, first), "with its offset", repeated)
	s.receipt(repeated, committed)
	s.later(outputEvery)
	same(t, "then", batches(s.reports()), "3:two")
}

func TestALaterReceiptDoesNotStandForOutput(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.say("t1", "one", 1)
	s.reports()
	s.say("t1", "two", 2)
	s.checkpoint("t1", 3)
	reports := s.reports()
	s.receipt(reports[0], again)
	s.receipt(reports[1], committed)
	s.later(100 * time.Millisecond)
	expect(t, len(s.reports()) == 0, "it waits for the receipt of what is on its way")
	s = newScript(t)
	s.working("t1")
	s.say("t1", "one", 1)
	s.checkpoint("t1", 2)
	reports = s.reports()
	s.receipt(reports[0], again)
	s.receipt(reports[1], committed)
	s.later(100 * time.Millisecond)
	expect(t, proto.Equal(s.oneReport(), reports[0]), "sent again, whatever came behind it")
}

func TestOutputBehindOutputThatIsToBeRepeatedIsRepeatedToo(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.say("t1", "one", 1)
	first := s.oneReport()
	s.say("t1", "two", 2)
	s.checkpoint("t1", 3)
	reports := s.reports()
	s.receipt(first, again)
	s.receiptFor(reports[0], refusal, invalid, "there is a gap")
	s.receipt(reports[1], committed)
	s.later(time.Second)
	same(t, "both", batches(s.reports()), "0:one", "3:two")
	expect(t, len(s.Running()) == 1 && len(acts[Stop](s)) == 0, "its handler goes on")
}

func TestAtItsLimitOutputIsRefusedAndTheHandlerGoesOn(t *testing.T) {
	s := newScript(t)
	s.working("t1")
	s.say("t1", "one", 1)
	first := s.oneReport()
	s.say("t1", "two", 2)
	s.checkpoint("t1", 3)
	behind := s.reports()
	s.say("t1", strings.Repeat("x", fullAtBytes), 4)
	s.say("t1", "waits", 5)
	s.all()
	s.receiptFor(first, refusal, limitReached, "too much")
	s.receiptFor(behind[0], refusal, invalid, "there is a gap")
	s.say("t1", "three", 6)
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 2 && settled[0].Ticket == 5 && settled[1].Ticket == 6, "raised", settled)
	for _, one := range settled {
		expect(t, one.Fault.Code == codes.ResourceExhausted && one.Fault.Reason == "LIMIT_REACHED" && one.Fault.Message == "too much", "why", one.Fault)
	}
	s.complete("t1")
	same(t, "nothing more", kinds(s.reports()), "completed")
}

func TestOutputOfAStaleAttemptCancelsItsHandler(t *testing.T) {
	for _, reason := range []callboardv1.ErrorReason{stale, invalid} {
		s := newScript(t)
		s.working("t1")
		s.say("t1", "one", 1)
		first := s.oneReport()
		s.say("t1", strings.Repeat("x", fullAtBytes), 2)
		s.say("t1", "waits", 3)
		s.all()
		s.receiptFor(first, refusal, reason, "no")
		s.say("t1", "late", 4)
		actions := s.all()
		stops := slices.IndexFunc(actions, func(one Action) bool { _, is := one.(Stop); return is })
		expect(t, stops >= 0 && len(actions) == 3, "stops", actions)
		for _, action := range slices.Delete(actions, stops, stops+1) {
			settled := action.(ReportSettled)
			expect(t, settled.Fault.Reason == "STALE_ATTEMPT", "raised", settled.Fault)
		}
		expect(t, len(s.reports()) == 0, "nothing is sent")
	}
}

func TestAServerWithoutOutputIsSentNone(t *testing.T) {
	s := newScript(t)
	s.working("t1", "t2")
	s.say("t1", "one", 1)
	s.drop(nil)
	s.say("t1", "two", 2)
	welcome := held("t1", "t2")
	welcome.Features = []string{featureCheckpoint}
	s.attach(welcome)
	s.say("t1", "three", 3)
	settled := acts[ReportSettled](s)
	expect(t, len(settled) == 3 && settled[2].Fault.Code == codes.FailedPrecondition, "refused", settled)
	expect(t, settled[2].Fault.Message == "the server takes no output" && len(s.reports()) == 0, "why", settled[2].Fault)
	s.drop(nil)
	s.attach(held("t1", "t2"))
	s.say("t1", "four", 4)
	settled = acts[ReportSettled](s)
	expect(t, len(settled) == 1 && settled[0].Fault != nil, "there would be a gap", settled)
	s.say("t2", "one", 5)
	same(t, "another's", batches(s.reports()), "0:one")
}
