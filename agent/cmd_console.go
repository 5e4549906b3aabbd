package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"posdx/agent/internal/console"
	"posdx/agent/internal/library"
	"posdx/codes"
	"posdx/drivers/serial"
)

// lineAgain is how long to wait before a serial line is opened again that was unplugged or is in use.
const lineAgain = 5 * time.Second

func runConsole(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "console", "[--tty DEV --baud N] [--lang zh|en]",
		"The technician's console: the last verdict, every device, checks, a diagnosis, codes, the hand-off code. Here, or with\n"+
			"--tty on a serial line that minicom or picocom looks at (8N1, no flow control). It speaks to the running daemon.\n\n"+
			"On a serial line it asks for no password: whoever reaches the plug may read and may start checks. Where that is too\n"+
			"much let getty log people in and give them this command instead.",
		"posdx console --lang en\nposdx console --tty /dev/ttyS1 --baud 9600")
	tty := f.String("tty", "", "serial `device` to serve; default: the terminal this is started on")
	baud := f.Int("baud", 115200, "`speed` of the serial line")
	client := addClientFlags(f, "zh")
	encoding := f.String("encoding", "utf-8", "of the terminal program: `utf-8` or gb18030 (also GBK)")
	plain := f.Bool("plain", false, "print lines only, for a terminal without cursor addressing")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || !client.valid(s) || *encoding != "utf-8" && *encoding != "gb18030" {
		f.Usage()
		return exitUsage
	}
	d, err := client.daemon()
	if err != nil {
		return client.failed(s, err)
	}
	c := console.Console{Backend: d, Knowledge: knowledge(*client.config), Lang: *client.lang, GB18030: *encoding == "gb18030", Plain: *plain}
	if *tty != "" {
		err = serveLine(ctx, &c, serial.Config{Path: *tty, Baud: *baud}, func(err error) { fmt.Fprintf(s.err, "posdx console: %v\n", err) })
	} else {
		err = serveHere(ctx, &c, s)
	}
	if err != nil {
		fmt.Fprintf(s.err, "posdx console: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// inForce is the knowledge that a daemon of this configuration would use now.
func inForce(config string) *codes.Knowledge { return knowledge(config)() }

// knowledge returns what gives the daemon's knowledge if its configuration and state can be read, else the program's own.
func knowledge(config string) func() *codes.Knowledge {
	if c, _, err := readConfig(config); err == nil {
		if lib, err := library.New(c.StateDir, c.Knowledge.Keys, slog.New(slog.DiscardHandler)); err == nil {
			return func() *codes.Knowledge {
				lib.Look()
				return lib.Now.Load()
			}
		}
	}
	return codes.Builtin
}

// serveLine serves a serial line until ctx ends. A line that is in use or unplugged is tried again for ever; say is told
// when its trouble changes.
func serveLine(ctx context.Context, c *console.Console, line serial.Config, say func(error)) error {
	c.Stay = true
	said := ""
	for ctx.Err() == nil {
		p, err := serial.Open(line)
		if err == nil {
			said = ""
			// Closing ends a Read and a Write that wait, and with them Run.
			stop := context.AfterFunc(ctx, func() { p.Close() })
			err = c.Run(ctx, p)
			stop()
			p.Close()
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			say(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lineAgain):
		}
	}
	return nil
}

// serveHere serves the terminal the command was started on.
func serveHere(ctx context.Context, c *console.Console, s stdio) error {
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New("standard input is no terminal; posdx status and posdx check suit scripts")
	}
	if t := os.Getenv("TERM"); t == "dumb" {
		c.Plain = true
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("set up terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), old)
	err = c.Run(ctx, struct {
		io.Reader
		io.Writer
	}{in, s.out})
	if !c.Plain {
		fmt.Fprint(s.out, "\x1b[24;1H\r\n")
	}
	return err
}
