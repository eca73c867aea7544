package main

import (
	"context"
	"iter"
	"maps"
	"sync"

	"callboard.dev/sdk/go"
)

// watch gathers what a watch of the SDK gives: events, the messages of a mailbox, or output.
type watch struct {
	cancel context.CancelFunc
	// kind is the name of the list in answers.
	kind string

	mu    sync.Mutex
	found []object
	// amount is how much was found: how many, or, of output, how many bytes.
	amount int
	more   object
	ended  bool
	err    error
	change chan struct{}
}

// newWatch gives a watch of this name, and the context that ends when it is stopped.
func (d *driver) newWatch(name, kind string) (context.Context, *watch) {
	ctx, cancel := context.WithCancel(d.ctx)
	w := &watch{cancel: cancel, kind: kind, change: make(chan struct{})}
	d.watches.put(name, w)
	return ctx, w
}

// one is the amount of what is counted.
func one[T any](T) int { return 1 }

func nothingMore() object { return nil }

// gather takes all that an iterator gives, until the watch is stopped. More is what an answer says besides.
func gather[T any](
	ctx context.Context, w *watch, items iter.Seq2[T, error], show func(T) (object, error), amount func(T) int, more func() object,
) {
	for item, err := range items {
		var shown object
		if err == nil {
			shown, err = show(item)
		}
		w.note(func() {
			w.more = more()
			if err == nil {
				w.found = append(w.found, shown)
				w.amount += amount(item)
			} else if ctx.Err() == nil {
				w.err = err
			}
		})
	}
	w.note(func() { w.ended, w.more = true, more() })
}

// note changes something, and tells those that wait.
func (w *watch) note(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	close(w.change)
	w.change = make(chan struct{})
}

// answer gives all so far, and the error that ended the watch.
func (w *watch) answer() (any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := object{w.kind: list(w.found), "ended": w.ended}
	maps.Copy(said, w.more)
	return said, w.err
}

// has says whether there is so much, or the end. What it gives besides is closed when that may have changed.
func (w *watch) has(amount int) (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended || w.amount >= amount, w.change
}

type startWatch struct {
	Watch      string `field:"watch"`
	Client     string `field:"client"`
	TaskID     string `field:"task_id,optional"`
	Cursor     string `field:"cursor,optional"`
	UntilEnded bool   `field:"until_ended,optional"`
	Mailbox    string `field:"mailbox,optional"`
}

func (s *startWatch) begin(d *driver) (work, error) {
	by, err := d.clients.get(s.Client)
	if err != nil {
		return nil, err
	}
	options := callboard.WatchOptions{TaskID: s.TaskID, Cursor: s.Cursor, UntilEnded: s.UntilEnded}
	if s.Mailbox != "" && options != (callboard.WatchOptions{}) {
		return nil, faultf("a watch of a mailbox has no other field")
	}
	if s.Mailbox != "" {
		ctx, w := d.newWatch(s.Watch, "messages")
		go gather(ctx, w, by.client.WatchMessages(ctx, s.Mailbox), showMessage, one, nothingMore)
		return done, nil
	}
	ctx, w := d.newWatch(s.Watch, "events")
	events := by.client.Watch(&options)
	cursor := func() object { return object{"cursor": events.Cursor()} }
	w.note(func() { w.more = cursor() })
	go gather(ctx, w, events.Events(ctx), always(showEvent), one, cursor)
	return done, nil
}

type awaitWatch struct {
	Watch   string       `field:"watch"`
	Count   int          `field:"count"`
	Timeout milliseconds `field:"timeout_ms"`
}

func (a *awaitWatch) begin(d *driver) (work, error) {
	return d.awaitWatch(a.Watch, a.Count, a.Timeout)
}

// awaitWatch waits until a watch has so much, or its end.
func (d *driver) awaitWatch(name string, amount int, timeout milliseconds) (work, error) {
	w, err := d.watches.get(name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (any, error) {
		limited, cancel := context.WithTimeout(ctx, timeout.duration())
		defer cancel()
		for limited.Err() == nil {
			enough, change := w.has(amount)
			if enough {
				break
			}
			select {
			case <-change:
			case <-limited.Done():
			}
		}
		return w.answer()
	}, nil
}

type stopWatch struct {
	Watch string `field:"watch"`
}

func (s *stopWatch) begin(d *driver) (work, error) {
	w, err := d.watches.get(s.Watch)
	if err != nil {
		return nil, err
	}
	w.cancel()
	return func(context.Context) (any, error) { return w.answer() }, nil
}
