package callboard

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"callboard.dev/sdk/go/callboardv1"
	"callboard.dev/sdk/go/internal/session"
)

// cancelsAtOnce is how many children are cancelled beside each other.
const cancelsAtOnce = 32

// RestAction says what becomes of the children that have not ended when [Context.WaitChildren] has what it waits for.
type RestAction int

// What becomes of the rest. The zero value is [RestKeep].
const (
	// RestKeep: they go on. When the parent's run ends, it is what OnParentEnd of [ChildOptions] says.
	RestKeep RestAction = iota
	// RestCancel: they are cancelled.
	RestCancel
)

// WaitChildrenOptions say how many children are waited for, and what becomes of the rest.
type WaitChildrenOptions struct {
	// Count is how many must complete, 1 to as many as are given: new(2). Nil means all.
	Count *int
	// Rest says what becomes of those that have not ended then. Default [RestKeep].
	Rest RestAction
}

// WaitChildren waits until so many of these children have completed, and gives those that have by then, in the order in which they were
// given, each as [Child.Wait] does:
//
//	options := &callboard.WaitChildrenOptions{Count: new(2), Rest: callboard.RestCancel}
//	fastest, err := task.WaitChildren(ctx, searches, options)
//
// Meanwhile the task is PAUSED, as in [Child.Wait]. Of no children it gives none, at once.
//
// As soon as so many can't complete any more, the error is that of the first of them, in that order, that ended badly: a [*TaskFailed], or
// one of the kind [ErrNotFound]. It is of the kind [ErrInvalidArgument] when Count is below 1 or above the number of children, or a child stands there
// twice; else those of [Child.Wait], and then nothing becomes of the children. With [RestCancel] it may be that of [Client.Cancel].
func (c *Context) WaitChildren(ctx context.Context, children []*Child, options *WaitChildrenOptions) ([]*Task, error) {
	chosen := WaitChildrenOptions{}
	if options != nil {
		chosen = *options
	}
	if len(children) == 0 && chosen.Count == nil {
		return nil, nil
	}
	ids, count, err := chosen.check(children)
	if err != nil {
		return nil, err
	}
	var fault error
	isSettled := chosen.Rest == RestKeep
	settle := func(ends []*callboardv1.TaskEnd) {
		if !isSettled {
			isSettled, fault = true, c.cancelRest(ctx, ids, ends)
		}
	}
	ends, err := c.awaitSome(ctx, ids, count, settle)
	if err != nil {
		return nil, err
	}
	settle(ends)
	tasks, err := c.completedOf(ctx, ids, count, ends)
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, err
	}
	return tasks, nil
}

// check gives the ids of the children, and how many of them must complete.
func (o WaitChildrenOptions) check(children []*Child) (ids []string, count int, err error) {
	seen := make(map[string]bool, len(children))
	for _, child := range children {
		if seen[child.ID()] {
			return nil, 0, invalid("children", fmt.Sprintf("the child %s is given twice: give each once", child.ID()))
		}
		seen[child.ID()] = true
		ids = append(ids, child.ID())
	}
	if o.Count == nil {
		return ids, len(ids), nil
	}
	if *o.Count < 1 || *o.Count > len(ids) {
		return nil, 0, invalid("count", fmt.Sprintf("count is %d: give 1 to the number of children, %d", *o.Count, len(ids)))
	}
	return ids, *o.Count, nil
}

// awaitSome waits until so many of these have completed, or can't any more, and gives the ends that were told by then. Those are settled
// at once when that is before the handler may go on: one of the rest may have the slot that it needs.
func (c *Context) awaitSome(
	ctx context.Context, ids []string, count int, settle func([]*callboardv1.TaskEnd),
) ([]*callboardv1.TaskEnd, error) {
	ends, isTold, err := c.live.await(ctx, c.key, ids, count, settle)
	if err == nil && !isTold {
		ends, err = c.askForSome(ctx, ids, count)
	}
	if err != nil {
		return nil, c.notAwaited(ctx, fmt.Sprintf("%d of %d children", count, len(ids)), err)
	}
	return ends, nil
}

// askForSome is awaitSome by calls, for a server that doesn't tell.
func (c *Context) askForSome(ctx context.Context, ids []string, count int) ([]*callboardv1.TaskEnd, error) {
	ctx, giveUp := context.WithCancel(ctx)
	ends, faults := make(chan *callboardv1.TaskEnd, len(ids)), make(chan error, len(ids))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer giveUp()
	for _, id := range ids {
		asking.Go(func() {
			if end, err := c.askFor(ctx, id); err != nil {
				faults <- err
			} else {
				ends <- end
			}
		})
	}
	quorum := session.NewQuorum(ids, count)
	for !quorum.IsOver() {
		select {
		case end := <-ends:
			quorum.Take(end)
		case err := <-faults:
			return nil, err
		}
	}
	return quorum.Ends(), nil
}

func (c *Context) askFor(ctx context.Context, id string) (*callboardv1.TaskEnd, error) {
	ended, err := c.Client().Wait(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return &callboardv1.TaskEnd{TaskId: id}, nil
	}
	return &callboardv1.TaskEnd{
		TaskId: id, State: ended.GetState(), Run: ended.GetRun(), Result: ended.GetResult(), Failure: ended.GetFailure(),
	}, err
}

// completedOf gives those that completed, in the order of the ids; when they are too few, the error of the first of them that ended badly.
func (c *Context) completedOf(ctx context.Context, ids []string, count int, ends []*callboardv1.TaskEnd) ([]*Task, error) {
	ended := make(map[string]*callboardv1.TaskEnd, len(ends))
	good := 0
	for _, end := range ends {
		ended[end.GetTaskId()] = end
		if end.GetState() == StateCompleted {
			good++
		}
	}
	var tasks []*Task
	for _, id := range ids {
		end := ended[id]
		if end == nil || (end.GetState() == StateCompleted) != (good >= count) {
			continue
		}
		task, err := c.asTask(ctx, end)
		if err == nil {
			err = completed(task)
		}
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, task)
	}
	return tasks, nil
}

// cancelRest cancels those that have not ended. The request is the same in every attempt: one that comes to the same end again repeats it.
func (c *Context) cancelRest(ctx context.Context, ids []string, ends []*callboardv1.TaskEnd) error {
	ended := make(map[string]bool, len(ends))
	for _, end := range ends {
		ended[end.GetTaskId()] = true
	}
	faults := make([]error, len(ids))
	room := make(chan struct{}, cancelsAtOnce)
	var cancelling sync.WaitGroup
	for at, id := range ids {
		if ended[id] {
			continue
		}
		room <- struct{}{}
		cancelling.Go(func() {
			defer func() { <-room }()
			_, faults[at] = c.Client().Cancel(ctx, id, &ReasonOptions{RequestID: "rest/" + id})
		})
	}
	cancelling.Wait()
	for _, fault := range faults {
		// One that is forgotten has ended meanwhile.
		if fault != nil && !errors.Is(fault, ErrNotFound) {
			return c.wasGivenUp(ctx, fault)
		}
	}
	return nil
}
