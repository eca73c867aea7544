package runs

import (
	"slices"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/protobuf/proto"
)

const (
	// mostRuns is how many runs, or ids of forgotten ones, are in a frame.
	mostRuns = 1000
	// frameBytes is how many bytes of runs, unless there is only one.
	frameBytes = 1 << 20
)

// HasFrame says whether NextFrame has a frame.
func (s *Stream) HasFrame() bool {
	return s.isOpen && (!s.greeted || len(s.forgotten) > 0 || s.waiting.len() > 0 && len(s.asked) < mostAsked)
}

// NextFrame gives the next RunTasksRequest to send, encoded; nil when there is none. Ask when the stream can take it: asking means
// sending.
func (s *Stream) NextFrame() []byte {
	if !s.isOpen {
		return nil
	}
	if !s.greeted {
		s.greeted = true
		// Also when those that it was opened for have given up: a server waits for a first frame.
		return s.appendRuns(encode(&callboardv1.RunTasksRequest{Namespace: s.config.Namespace}))
	}
	if len(s.forgotten) > 0 {
		// By itself: a run may be asked for again under an id that is forgotten.
		count := min(len(s.forgotten), mostRuns)
		frame := encode(&callboardv1.RunTasksRequest{ForgottenIds: s.forgotten[:count]})
		s.forgotten = s.forgotten[count:]
		return frame
	}
	return s.appendRuns(nil)
}

// appendRuns moves runs that wait to the stream, as many as there is room for in the frame, and on the stream.
func (s *Stream) appendRuns(frame []byte) []byte {
	count := 0
	s.waiting.take(func(r *Run) verdict {
		switch {
		case count == mostRuns, len(s.asked) == mostAsked, count > 0 && len(frame)+len(r.encoded) > frameBytes:
			return full
		case s.asked[r.id] != nil:
			// Another is on its way under this id: the outcome would be the other's.
			return putOff
		}
		if count == 0 {
			// Most runs of a program are of one size.
			frame = slices.Grow(frame, min(frameBytes, s.waiting.len()*len(r.encoded)))
		}
		frame = append(frame, r.encoded...)
		r.place = asked
		s.asked[r.id] = r
		count++
		return taken
	})
	return frame
}

// encode is for frames of our own: they can always be encoded but for an id that is not UTF-8, and such a run was never made.
func encode(frame *callboardv1.RunTasksRequest) []byte {
	encoded, _ := proto.Marshal(frame)
	return encoded
}
