package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// Children, in handlers and of clients.

type takeChild struct {
	Task        spec                             `field:"task"`
	As          string                           `field:"as"`
	Name        string                           `field:"name,optional"`
	OnParentEnd named[callboard.ParentEndAction] `field:"on_parent_end,optional"`
	Keep        bool                             `field:"keep,optional"`
	Catch       bool                             `field:"catch,optional"`
}

func (c *takeChild) carryOut(ctx context.Context, p *performance) (*ending, error) {
	given, err := c.take(ctx, p)
	return nil, p.note(c.As, given, err, c.Catch)
}

func (c *takeChild) take(ctx context.Context, p *performance) (any, error) {
	options := &callboard.ChildOptions{Name: c.Name, OnParentEnd: c.OnParentEnd.is}
	if !c.Keep {
		result, err := callboard.RunChild[any](ctx, p.task, c.Task.task(), options)
		return show(result), err
	}
	child, err := callboard.StartChild(ctx, p.task, c.Task.task(), options)
	if err != nil {
		return nil, err
	}
	p.kept[c.As] = child
	return object{"task_id": child.ID(), "existing": child.Existing()}, nil
}

type joinChildren struct {
	Children []string `field:"children"`
	As       string   `field:"as"`
	Catch    bool     `field:"catch,optional"`
}

func (j *joinChildren) carryOut(ctx context.Context, p *performance) (*ending, error) {
	results, err := j.join(ctx, p)
	return nil, p.note(j.As, results, err, j.Catch)
}

// join waits for all of them beside each other. The first error ends the waits that are still under way.
func (j *joinChildren) join(ctx context.Context, p *performance) (any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	children, err := p.children(j.Children)
	if err != nil {
		return nil, err
	}
	results := make([]any, len(children))
	var beside sync.WaitGroup
	var failing sync.Once
	var failed error
	for at, child := range children {
		beside.Go(func() {
			result, err := callboard.ChildResult[any](ctx, child)
			results[at] = show(result)
			if err != nil {
				failing.Do(func() {
					failed = err
					cancel(err)
				})
			}
		})
	}
	beside.Wait()
	return results, failed
}

// children gives those that were kept under these names.
func (p *performance) children(names []string) ([]*callboard.Child, error) {
	children := make([]*callboard.Child, len(names))
	for at, name := range names {
		if children[at] = p.kept[name]; children[at] == nil {
			return nil, errors.New("no child was kept as `" + name + "`")
		}
	}
	return children, nil
}

type awaitChildren struct {
	Children []string `field:"children"`
	As       string   `field:"as"`
	Count    *int     `field:"count,optional"`
	Rest     rest     `field:"rest,optional"`
	Catch    bool     `field:"catch,optional"`
}

func (a *awaitChildren) carryOut(ctx context.Context, p *performance) (*ending, error) {
	children, err := p.children(a.Children)
	if err != nil {
		return nil, err
	}
	tasks, err := p.task.WaitChildren(ctx, children, &callboard.WaitChildrenOptions{Count: a.Count, Rest: a.Rest.is})
	completed := make([]string, len(tasks))
	for at, task := range tasks {
		// A child that stands there twice is refused.
		completed[at] = a.Children[slices.IndexFunc(children, func(child *callboard.Child) bool { return child.ID() == task.GetId() })]
	}
	return nil, p.note(a.As, completed, err, a.Catch)
}

// rest says what becomes of the children that are not waited for any longer.
type rest struct{ is callboard.RestAction }

func (r *rest) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	known := map[string]callboard.RestAction{"KEEP": callboard.RestKeep, "CANCEL": callboard.RestCancel}
	var is bool
	if r.is, is = known[name]; !is {
		return fmt.Errorf("%q is neither KEEP nor CANCEL", name)
	}
	return nil
}

type listChildren struct {
	TaskID string `field:"task_id"`
	Run    int    `field:"run,optional"`
}

func (l *listChildren) run(ctx context.Context, by *caller) (any, error) {
	children, err := showAll(by.client.Children(ctx, l.TaskID, &callboard.ChildrenOptions{Run: l.Run}), always(showChild))
	return object{"children": children}, err
}

func showChild(child *callboardv1.Child) object {
	return object{
		"name": child.GetName(), "occurrence": child.GetOccurrence(), "task_id": child.GetTaskId(),
		"state": nameOf(child.GetTask().GetState()), "on_parent_end": nameOf(child.GetOnParentEnd()),
	}
}
