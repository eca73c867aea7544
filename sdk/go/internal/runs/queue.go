package runs

import "slices"

// queue has the runs that wait for a frame, in the order in which they were asked for.
type queue struct {
	runs []*Run
	// left is how many of them are over: they are passed over, and taken out when they are the most.
	left int
}

func (q *queue) len() int {
	return len(q.runs) - q.left
}

func (q *queue) push(r *Run) {
	r.place = waiting
	q.runs = append(q.runs, r)
}

// putBack puts runs that were asked before ahead of all others.
func (q *queue) putBack(runs []*Run) {
	for _, r := range runs {
		r.place = waiting
	}
	q.runs = append(runs, q.runs...)
}

// leave takes out one that nobody wants any more. Taking out each by itself would cost as much as there are others.
func (q *queue) leave(r *Run) {
	r.place = over
	q.left++
	if 2*q.left > len(q.runs) {
		q.runs = slices.DeleteFunc(q.runs, func(r *Run) bool { return r.place == over })
		q.left = 0
	}
}

// take gives the first runs out, for as long as the function takes them. One that it puts off stays where it is.
func (q *queue) take(offer func(*Run) verdict) {
	kept := 0
	at := 0
scan:
	for ; at < len(q.runs); at++ {
		r := q.runs[at]
		if r.place == over {
			q.left--
			continue
		}
		switch offer(r) {
		case taken:
		case putOff:
			q.runs[kept] = r
			kept++
		case full:
			break scan
		}
	}
	if kept == 0 {
		clear(q.runs[:at])
		q.runs = q.runs[at:]
		return
	}
	q.runs = slices.Delete(q.runs, kept, at)
}

// verdict is what becomes of a run that is offered to a frame.
type verdict int

const (
	taken verdict = iota
	putOff
	full
)

// drain gives all, and is empty.
func (q *queue) drain() []*Run {
	all := slices.DeleteFunc(q.runs, func(r *Run) bool { return r.place == over })
	*q = queue{}
	return all
}
