package main

import (
	"context"
	"strconv"
	"strings"

	"callboard.dev/sdk/go"
)

// Output, of handlers and for clients.

type giveOutput struct {
	Value value `field:"value"`
	Times *int  `field:"times,optional"`
	Catch bool  `field:"catch,optional"`
}

func (g *giveOutput) carryOut(ctx context.Context, p *performance) (*ending, error) {
	times := 1
	if g.Times != nil {
		times = *g.Times
	}
	for at := range times {
		given := g.Value.is
		if text, is := given.(string); is {
			given = strings.ReplaceAll(text, "{n}", strconv.Itoa(at))
		}
		if err := p.task.Output(ctx, given); err != nil {
			return nil, p.note("output", nil, err, g.Catch)
		}
	}
	return nil, nil
}

type listOutput struct {
	TaskID   string `field:"task_id"`
	Run      int    `field:"run,optional"`
	Offset   int64  `field:"offset,optional"`
	PageSize int    `field:"page_size,optional"`
}

func (l *listOutput) run(ctx context.Context, by *caller) (any, error) {
	options := &callboard.OutputOptions{Run: l.Run, Offset: l.Offset, PageSize: l.PageSize}
	chunks, err := showAll(by.client.Output(ctx, l.TaskID, options), showChunk)
	return object{"chunks": chunks}, err
}

func showChunk(chunk *callboard.OutputChunk) (object, error) {
	value, err := callboard.Decode[any](chunk.GetData())
	return object{"offset": chunk.GetOffset(), "value": show(value), "attempt": chunk.GetAttempt()}, err
}

func bytesOf(chunk *callboard.OutputChunk) int {
	return int(callboard.OutputEnd(chunk) - chunk.GetOffset())
}

type startOutput struct {
	Watch  string `field:"watch"`
	Client string `field:"client"`
	TaskID string `field:"task_id"`
	Run    int    `field:"run,optional"`
	Offset int64  `field:"offset,optional"`
}

func (s *startOutput) begin(d *driver) (work, error) {
	by, err := d.clients.get(s.Client)
	if err != nil {
		return nil, err
	}
	ctx, w := d.newWatch(s.Watch, "chunks")
	chunks := by.client.WatchOutput(ctx, s.TaskID, &callboard.OutputOptions{Run: s.Run, Offset: s.Offset})
	go gather(ctx, w, chunks, showChunk, bytesOf, nothingMore)
	return done, nil
}

type awaitOutput struct {
	Watch   string       `field:"watch"`
	Bytes   int          `field:"bytes"`
	Timeout milliseconds `field:"timeout_ms"`
}

func (a *awaitOutput) begin(d *driver) (work, error) {
	return d.awaitWatch(a.Watch, a.Bytes, a.Timeout)
}
