package callboard

import "sync/atomic"

// workers run handlers, each in a goroutine of its own. One that has run a handler is kept for the next: its stack has grown to what
// handlers need, and growing it costs more than starting it.
type workers struct {
	next chan func()
	// ended is closed when there will be no more to run.
	ended <-chan struct{}
	idle  atomic.Int32
	// mostIdle is how many are kept.
	mostIdle int32
}

func newWorkers(mostIdle int, ended <-chan struct{}) *workers {
	return &workers{next: make(chan func()), ended: ended, mostIdle: int32(mostIdle)}
}

// run runs something at once. It may end its goroutine.
func (w *workers) run(do func()) {
	select {
	case w.next <- do:
	default:
		go w.work(do)
	}
}

func (w *workers) work(do func()) {
	for {
		do()
		if w.idle.Add(1) > w.mostIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case do = <-w.next:
			w.idle.Add(-1)
		case <-w.ended:
			return
		}
	}
}
