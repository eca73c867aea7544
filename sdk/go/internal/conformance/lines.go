package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	sdk      = "go"
	protocol = 1
	// longestLine, in bytes, is the contract's.
	longestLine = 16 << 20
)

// reader gives the runner's lines.
type reader struct{ lines *bufio.Scanner }

func newReader(from io.Reader) *reader {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 64<<10), longestLine+1)
	return &reader{lines}
}

// next gives the next line, or io.EOF. It is the caller's to keep.
func (r *reader) next() ([]byte, error) {
	if r.lines.Scan() {
		return bytes.Clone(r.lines.Bytes()), nil
	}
	if err := r.lines.Err(); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return nil, io.EOF
}

// writer writes lines, each whole and at once.
type writer struct {
	mu sync.Mutex
	to io.Writer
}

func newWriter(to io.Writer) *writer {
	return &writer{to: to}
}

func (w *writer) say(line any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.to.Write(text.Bytes())
	return err
}

// object is what a line is made of.
type object map[string]any

func ready() object {
	return object{"ready": object{"sdk": sdk, "protocol": protocol}}
}

// answer is the line that answers an instruction: with what the SDK gave, the error that it raised, or the driver's own fault.
func answer(id int64, do string, given any, err error) object {
	var own fault
	switch {
	case errors.As(err, &own):
		return object{"id": id, "fault": do + ": " + own.Error()}
	case err != nil:
		return object{"id": id, "error": showError(err)}
	}
	return object{"id": id, "ok": given}
}

// fault is what the driver itself can't do: it is no observation of the SDK.
type fault string

func (f fault) Error() string { return string(f) }

func faultf(format string, values ...any) error {
	return fault(fmt.Sprintf(format, values...))
}
