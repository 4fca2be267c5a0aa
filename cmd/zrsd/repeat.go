package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/zrsd/zrsd/internal/printable"
)

// An output is the standard output of a command: what goes to it may come from a peer, or from a file.
type output struct {
	io.Writer
	terminal *os.File // nil: it is none
	bytes    io.Writer
}

func newOutput(stdout io.Writer) *output {
	o := &output{Writer: printable.Writer(stdout), bytes: stdout}
	if f, ok := stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.terminal = f
	}
	return o
}

// bytesOf returns where bytes go that are not text.
func bytesOf(out io.Writer) io.Writer {
	if o, ok := out.(*output); ok {
		return o.bytes
	}
	return out
}

// clearScreen is what a terminal clears itself for.
const clearScreen = "\x1b[H\x1b[2J"

// repeat shows something at an interval until ctx ends, which is no error, or for so many rounds; 0: without an end.
// On a terminal each round takes the place of the one before, where inPlace says so; otherwise there is a line between.
// A round is written when all of it is there.
func repeat(ctx context.Context, out io.Writer, interval time.Duration, rounds int, inPlace bool,
	show func(context.Context, io.Writer) error) error {
	o, _ := out.(*output)
	screen := inPlace && o != nil && o.terminal != nil
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		var round bytes.Buffer
		err := show(ctx, &round)
		switch {
		case ctx.Err() != nil:
			return nil // the interruption is what was asked for
		case err != nil:
			return err
		case screen:
			_, err = o.terminal.WriteString(clearScreen)
		case inPlace && n > 1:
			_, err = io.WriteString(out, "\n")
		}
		if err == nil {
			_, err = round.WriteTo(out)
		}
		if err != nil || n == rounds {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
