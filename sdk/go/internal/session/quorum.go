package session

import "callboard.dev/sdk/go/callboardv1"

// Quorum is so many of some tasks that are to complete. It is over when they have, or so many can't any more. One of one is over when
// that task has ended, however.
type Quorum struct {
	count     int
	open      map[string]bool
	completed int
	ends      []*callboardv1.TaskEnd
}

// NewQuorum gives one of which nothing has ended. The tasks are different ones.
func NewQuorum(taskIDs []string, count int) *Quorum {
	q := &Quorum{count: count, open: make(map[string]bool, len(taskIDs))}
	for _, id := range taskIDs {
		q.open[id] = true
	}
	return q
}

// Take takes the end of one of its tasks, also when it is over: whoever waits gets all that is known by then. Another's changes nothing.
func (q *Quorum) Take(end *callboardv1.TaskEnd) {
	if !q.open[end.GetTaskId()] {
		return
	}
	delete(q.open, end.GetTaskId())
	q.ends = append(q.ends, end)
	if end.GetState() == callboardv1.TaskState_TASK_STATE_COMPLETED {
		q.completed++
	}
}

// IsReached says whether so many have completed.
func (q *Quorum) IsReached() bool {
	return q.completed >= q.count
}

// IsOver says whether no other end changes how it comes out.
func (q *Quorum) IsOver() bool {
	return q.IsReached() || q.completed+len(q.open) < q.count
}

// Ends gives those that were taken, in the order in which they came.
func (q *Quorum) Ends() []*callboardv1.TaskEnd {
	return q.ends
}
