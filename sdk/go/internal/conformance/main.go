// Command conformance is the driver of the Go SDK: it plays agents and clients as the runner of tests/conformance says, by lines of
// JSON on its standard input, through the SDK's public API alone. Its contract is tests/conformance/DRIVER.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"callboard.dev/sdk/go/internal/planted"
)

const (
	defectVariable = "CALLBOARD_DEFECT"
	// unknownDefect is the exit code, EX_USAGE, for a defect that this build can't have.
	unknownDefect = 64
)

func main() {
	// Standard output is the runner's: what is logged goes elsewhere.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if name := os.Getenv(defectVariable); name != "" {
		if err := planted.Plant(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(unknownDefect)
		}
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve carries out instructions until there are no more.
func serve(from io.Reader, to io.Writer) error {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	d := newDriver(ctx, newWriter(to))
	err := d.out.say(ready())
	for in := newReader(from); err == nil; {
		var line []byte
		if line, err = in.next(); err == nil {
			err = d.take(line)
		}
	}
	d.end()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
