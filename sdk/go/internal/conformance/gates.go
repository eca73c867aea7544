package main

import (
	"context"
	"sync"
)

// gates are where handlers wait until the runner opens them. One that was opened stays open.
type gates struct {
	mu    sync.Mutex
	named map[string]*gate
}

type gate struct {
	open func()
	// opened is closed when it is.
	opened <-chan struct{}
}

// at gives the gate of this name, which is there as soon as somebody names it.
func (g *gates) at(name string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.named == nil {
		g.named = map[string]*gate{}
	}
	if g.named[name] == nil {
		opened := make(chan struct{})
		g.named[name] = &gate{sync.OnceFunc(func() { close(opened) }), opened}
	}
	return g.named[name]
}

type openGate struct {
	Gate string `field:"gate"`
}

func (o *openGate) begin(d *driver) (work, error) {
	d.gates.at(o.Gate).open()
	return done, nil
}

// done is the rest of an instruction that has nothing to tell.
func done(context.Context) (any, error) { return object{}, nil }
