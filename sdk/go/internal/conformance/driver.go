package main

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// leaveWithin is how long agents have to stop at the end, so that the driver keeps to the contract's 5 s.
const leaveWithin = 4 * time.Second

// instruction is one that was read. Nothing is done yet.
type instruction interface {
	// begin does what has its place in the order of the lines, without waiting, and gives the rest.
	begin(d *driver) (work, error)
}

// work is the part of an instruction that runs beside others. It gives what the SDK gave.
type work func(ctx context.Context) (any, error)

// instructions are those that are not for a client: see [operations].
var instructions = map[string]func() instruction{
	"agent.start":    func() instruction { return new(startAgent) },
	"agent.attached": func() instruction { return new(awaitAttachment) },
	"agent.status":   func() instruction { return new(askStatus) },
	"agent.health":   func() instruction { return new(askHealth) },
	"agent.drain":    func() instruction { return new(drainAgent) },
	"agent.stop":     func() instruction { return new(stopAgent) },
	"agent.wait":     func() instruction { return new(awaitAgent) },
	"gate.open":      func() instruction { return new(openGate) },
	"client.open":    func() instruction { return new(openClient) },
	"client.close":   func() instruction { return new(closeClient) },
	"watch.start":    func() instruction { return new(startWatch) },
	"watch.wait":     func() instruction { return new(awaitWatch) },
	"watch.stop":     func() instruction { return new(stopWatch) },
	"output.start":   func() instruction { return new(startOutput) },
	"output.wait":    func() instruction { return new(awaitOutput) },
	"output.stop":    func() instruction { return new(stopWatch) },
}

// driver is what instructions have brought about.
type driver struct {
	ctx context.Context
	out *writer

	agents  *registry[*agent]
	clients *registry[*caller]
	watches *registry[*watch]
	gates   gates
	claims  claims
}

func newDriver(ctx context.Context, out *writer) *driver {
	return &driver{
		ctx: ctx, out: out,
		agents: newRegistry[*agent]("agent"), clients: newRegistry[*caller]("client"), watches: newRegistry[*watch]("watch"),
	}
}

// take begins what a line says. The error is that nothing more can be answered.
func (d *driver) take(line []byte) error {
	var read fields
	var id int64
	var do string
	err := json.Unmarshal(line, &read)
	if err == nil {
		err = read.take("id", &id)
	}
	if err != nil {
		return d.out.say(object{"fault": "no instruction: " + err.Error()})
	}
	if err := read.take("do", &do); err != nil {
		return d.out.say(answer(id, "instruction", nil, fault(err.Error())))
	}
	rest, err := d.begin(do, read)
	if err != nil {
		return d.out.say(answer(id, do, nil, err))
	}
	go func() {
		given, err := rest(d.ctx)
		// When nobody reads any more, the reader of instructions learns it, too.
		_ = d.out.say(answer(id, do, given, err))
	}()
	return nil
}

func (d *driver) begin(do string, arguments fields) (work, error) {
	known, is := instructions[do]
	if !is {
		return d.beginOperation(do, arguments)
	}
	read := known()
	if err := arguments.fill(read); err != nil {
		return nil, fault(err.Error())
	}
	return read.begin(d)
}

// beginOperation begins what is for a client.
func (d *driver) beginOperation(do string, arguments fields) (work, error) {
	known, is := operations[do]
	if !is {
		return nil, faultf("there is no such instruction")
	}
	var name string
	if err := arguments.take("client", &name); err != nil {
		return nil, fault(err.Error())
	}
	read := known()
	if err := arguments.fill(read); err != nil {
		return nil, fault(err.Error())
	}
	with, err := d.clients.get(name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (any, error) { return read.run(ctx, with) }, nil
}

// end stops all agents at once, whatever their handlers still do.
func (d *driver) end() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	var stopping sync.WaitGroup
	for _, one := range d.agents.all() {
		stopping.Go(func() { _ = one.Stop() })
	}
	go func() {
		stopping.Wait()
		cancel()
	}()
	<-ctx.Done()
}

// registry is what was made under a name. A name may be given again: then it is the newer one's.
type registry[T any] struct {
	kind string

	mu    sync.Mutex
	named map[string]T
	made  []T
}

func newRegistry[T any](kind string) *registry[T] {
	return &registry[T]{kind: kind, named: map[string]T{}}
}

func (r *registry[T]) put(name string, made T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.named[name] = made
	r.made = append(r.made, made)
}

func (r *registry[T]) get(name string) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, is := r.named[name]
	if !is {
		return found, faultf("there is no %s `%s`", r.kind, name)
	}
	return found, nil
}

// all gives also those whose name another has now.
func (r *registry[T]) all() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made)
}
