package session

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

const (
	// LargestChunk is the most bytes of content in a chunk of output; mostChunks is how many chunks a report has, and largestOutput how
	// many bytes of content, at most. All are the protocol's.
	LargestChunk  = 64 << 10
	mostChunks    = 64
	largestOutput = 1 << 20
	// outputEvery is the least time between two output reports of an attempt.
	outputEvery = 50 * time.Millisecond
	// Output waits outside while so many bytes, or so many chunks, are in the buffer of its attempt.
	fullAtBytes  = 1 << 20
	fullAtChunks = 4096
)

// Piece is what a handler gives as output at once.
type Piece struct {
	kind    pieceKind
	content []byte
	whole   *callboardv1.Payload
}

// pieceKind says whether a piece may be joined to one of its kind.
type pieceKind int

const (
	alone pieceKind = iota
	ofText
	ofBytes
)

// TextPiece is text of any length. It is divided between characters, and joined to text before it.
func TextPiece(text string) Piece { return Piece{kind: ofText, content: []byte(text)} }

// BytesPiece is bytes of any length. They are divided, and joined to bytes before them.
func BytesPiece(content []byte) Piece { return Piece{kind: ofBytes, content: bytes.Clone(content)} }

// WholePiece is a chunk by itself, of at most [LargestChunk] bytes.
func WholePiece(payload *callboardv1.Payload) Piece { return Piece{whole: payload} }

func (p *Piece) size() int {
	return len(p.content) + contentSize(p.whole)
}

// payload gives a piece as it goes over the wire, with the content types of section 4.
func (p *Piece) payload() *callboardv1.Payload {
	switch p.kind {
	case ofText:
		return &callboardv1.Payload{ContentType: "text/plain", Content: &callboardv1.Payload_Text{Text: string(p.content)}}
	case ofBytes:
		return &callboardv1.Payload{ContentType: "application/octet-stream", Content: &callboardv1.Payload_Binary{Binary: p.content}}
	}
	return p.whole
}

// firstPart is how many bytes of a piece fit into so much room, without dividing a character.
func (p *Piece) firstPart(room int) int {
	if len(p.content) <= room {
		return len(p.content)
	}
	for p.kind == ofText && room > 0 && !utf8.RuneStart(p.content[room]) {
		room--
	}
	return room
}

func contentSize(payload *callboardv1.Payload) int {
	return len(payload.GetText()) + len(payload.GetBinary())
}

// output is what the handler of an attempt gave and what was not reported yet.
type output struct {
	// chunks are of at most LargestChunk bytes each, size is of all.
	chunks []Piece
	size   int
	// offset is how many bytes the attempt gave before them.
	offset int64
	// onItsWay is how many reports of it have no receipt.
	onItsWay int
	due      Moment
	// waiting was given while there was no room.
	waiting []givenOutput
	// fault is why no more is taken; nil while it is.
	fault *Fault
}

type givenOutput struct {
	piece  Piece
	ticket uint64
}

func (o *output) isFull() bool {
	return o.size >= fullAtBytes || len(o.chunks) >= fullAtChunks
}

// put divides a piece into chunks, and joins the first to the one before where both are of one kind.
func (o *output) put(piece Piece) {
	o.size += piece.size()
	if piece.kind == alone {
		o.chunks = append(o.chunks, piece)
		return
	}
	for len(piece.content) > 0 {
		last := len(o.chunks) - 1
		if last >= 0 && o.chunks[last].kind == piece.kind {
			part := piece.firstPart(LargestChunk - len(o.chunks[last].content))
			o.chunks[last].content = append(o.chunks[last].content, piece.content[:part]...)
			piece.content = piece.content[part:]
		}
		if len(piece.content) > 0 {
			part := piece.firstPart(LargestChunk)
			o.chunks = append(o.chunks, Piece{kind: piece.kind, content: slices.Clip(piece.content[:part])})
			piece.content = piece.content[part:]
		}
	}
}

// take gives the chunks for a report; nil when there are none.
func (o *output) take() *callboardv1.OutputBatch {
	if len(o.chunks) == 0 {
		return nil
	}
	batch, size := &callboardv1.OutputBatch{Offset: o.offset}, 0
	for at := range o.chunks {
		chunk := &o.chunks[at]
		if at == mostChunks || size+chunk.size() > largestOutput {
			break
		}
		size += chunk.size()
		batch.Chunks = append(batch.Chunks, chunk.payload())
	}
	clear(o.chunks[:len(batch.Chunks)])
	o.chunks = o.chunks[len(batch.Chunks):]
	o.size -= size
	o.offset += int64(size)
	return batch
}

// Output takes what a handler gives while it works. [ReportSettled] with the ticket, which is not 0, tells when it is in the buffer, or
// that it isn't taken.
func (s *Session) Output(now Moment, key Key, piece Piece, ticket uint64) {
	a := s.attempts[key]
	switch {
	case a == nil || !a.reports() || s.link.phase == stopped:
		s.do(ReportSettled{ticket, leaseLost("the lease is lost")})
	case s.link.phase == attached && s.link.lacks(featureOutput):
		s.do(ReportSettled{ticket, noOutput()})
	case a.output.fault != nil:
		s.do(ReportSettled{ticket, a.output.fault})
	default:
		if !slices.Contains(s.giving, a) {
			s.giving = append(s.giving, a)
		}
		a.output.waiting = append(a.output.waiting, givenOutput{piece, ticket})
		s.letOutputIn(a)
		if s.link.phase == attached {
			// Not when the frame goes: by then more may be there, and the first is to go by itself.
			s.gatherOutput(now)
		}
	}
}

// letOutputIn puts what waits into the buffer, as far as that has room.
func (s *Session) letOutputIn(a *attempt) {
	for len(a.output.waiting) > 0 && !a.output.isFull() {
		next := a.output.waiting[0]
		a.output.waiting = a.output.waiting[1:]
		a.output.put(next.piece)
		s.do(ReportSettled{next.ticket, nil})
	}
}

// gatherOutput makes reports of the output that may be sent now: of an attempt one at a time, and not too often.
func (s *Session) gatherOutput(now Moment) {
	s.giving = slices.DeleteFunc(s.giving, func(a *attempt) bool {
		s.letOutputIn(a)
		if len(a.output.chunks) > 0 && a.output.onItsWay == 0 && now >= a.output.due {
			a.output.due = now + outputEvery
			s.outbox.addOutput(a, a.output.take())
			s.letOutputIn(a)
		}
		return len(a.output.chunks) == 0
	})
}

func (s *Session) outputAt() Moment {
	due := Never
	for _, a := range s.giving {
		if len(a.output.waiting) > 0 && !a.output.isFull() {
			return 0
		}
		if len(a.output.chunks) > 0 && a.output.onItsWay == 0 {
			due = min(due, a.output.due)
		}
	}
	return due
}

// flushOutput reports all of an attempt's output: what is reported next stands behind it.
func (o *outbox) flushOutput(a *attempt) {
	for batch := a.output.take(); batch != nil; batch = a.output.take() {
		o.addOutput(a, batch)
	}
}

func (o *outbox) addOutput(a *attempt, batch *callboardv1.OutputBatch) {
	o.add(a, &callboardv1.Report{Kind: &callboardv1.Report_Output{Output: batch}}, 0)
}

// endOutput: no more of it is taken, and what is in the buffer isn't sent. The first fault stays.
func (s *Session) endOutput(a *attempt, why *Fault) {
	if a.output.fault != nil {
		return
	}
	for _, one := range a.output.waiting {
		s.do(ReportSettled{one.ticket, why})
	}
	a.output.chunks, a.output.size, a.output.waiting, a.output.fault = nil, 0, nil, why
}

// forgetOutput takes back what waits for room.
func (s *Session) forgetOutput(ticket uint64) {
	for _, a := range s.giving {
		a.output.waiting = slices.DeleteFunc(a.output.waiting, func(one givenOutput) bool { return one.ticket == ticket })
	}
}

// dropOutput: the server takes none. Where some was on its way, what comes later would leave a gap, also on a server that takes it.
func (s *Session) dropOutput() {
	for _, a := range s.sorted() {
		if len(a.output.chunks) > 0 || len(a.output.waiting) > 0 || a.output.onItsWay > 0 {
			s.endOutput(a, noOutput())
		}
	}
	s.giving = nil
	s.outbox.drop(func(report *callboardv1.Report) bool { return report.GetOutput() != nil }, noOutput())
}

// isOfOutputAlone says whether output was refused for what it is, and not for its attempt: the run has as much as it may. What was on
// its way behind the first that was too much leaves a gap.
func isOfOutputAlone(k *kept, receipt *callboardv1.Receipt) bool {
	if !k.isOutput() {
		return false
	}
	switch receipt.GetReason() {
	case callboardv1.ErrorReason_ERROR_REASON_LIMIT_REACHED:
		return true
	case callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD:
		return k.of.output.fault != nil
	}
	return false
}

// isGap says whether output was refused because output before it is to be repeated: then it is to be, too.
func isGap(k *kept, receipt *callboardv1.Receipt) bool {
	if receipt.GetReason() != callboardv1.ErrorReason_ERROR_REASON_INVALID_FIELD || k == nil || !k.isOutput() {
		return false
	}
	first := slices.IndexFunc(k.of.line.reports, (*kept).isOutput)
	return first >= 0 && k.of.line.reports[first] != k
}

func outputIsFull(receipt *callboardv1.Receipt) *Fault {
	return &Fault{Code: codes.ResourceExhausted, Reason: ReasonName(receipt.GetReason()), Message: receipt.GetMessage()}
}
