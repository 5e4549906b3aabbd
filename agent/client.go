package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
)

// exitTimeout says that a daemon is there and does not answer: it is stopped, hangs, or the machine is overloaded.
const exitTimeout = 8

const (
	// answerWait is how long a daemon may take to answer: what it knows it says within milliseconds.
	answerWait = 10 * time.Second
	// checkTakes and diagnosisTakes are what the work itself may take beyond that, by the daemon's own bounds.
	checkTakes     = 60 * time.Second
	diagnosisTakes = 15 * time.Second
)

// clientFlags are the flags of every command that speaks to the daemon.
type clientFlags struct {
	command        string
	config, socket *string
	timeout        *time.Duration
	offline        *bool // of commands that could ask devices themselves
}

func addClientFlags(f *flag.FlagSet) *clientFlags {
	return &clientFlags{
		command: f.Name(),
		config:  f.String("config", defaultConfig, "本机配置 `FILE`，守护进程的套接字写在其中\nthe configuration `FILE` of the terminal, which names the daemon's socket"),
		socket:  f.String("socket", "", "守护进程套接字的`路径`；默认按配置\nthe daemon's socket, a `path`; default: the configured one"),
		timeout: f.Duration("timeout", answerWait, "等守护进程回答`多久`\nhow `long` the daemon may take to answer"),
	}
}

func (c *clientFlags) addOffline(f *flag.FlagSet) {
	c.offline = f.Bool("offline", false, "没有守护进程时由本命令直接检查设备；支付应用可能在交易时不要用\nask the devices from here if no daemon runs; not while the payment application may be selling")
}

// valid checks the values that all these commands have; what is wrong is said.
func (c *clientFlags) valid(s stdio) bool {
	if *c.timeout <= 0 {
		s.fail(c.command, say.New("timeout", *c.timeout))
		return false
	}
	return true
}

// daemon finds the daemon: the one way to it of every command.
func (c *clientFlags) daemon() (*daemonClient, error) {
	path, note := *c.socket, error(nil)
	if path == "" {
		var err error
		if path, note, err = conf.SocketOf(*c.config); err != nil {
			return nil, say.New("socket-unknown", err)
		}
	}
	d := &daemonClient{wait: *c.timeout, note: note}
	d.Client = hook.Client{Path: path, Heard: func(a hook.Answer) { d.inSale = a.InSale }}
	return d, nil
}

// failed says why the daemon could not be asked and returns the exit code.
func (c *clientFlags) failed(s stdio, err error) int {
	s.fail(c.command, err)
	switch {
	case errors.Is(err, errNoAnswer):
		return exitTimeout
	case errors.Is(err, hook.ErrNoDaemon) && c.offline != nil:
		s.fail(c.command, say.New("offline-hint"))
	}
	return exitFailed
}

// alone tells whether the command is to ask the devices itself: no daemon runs, and it was told to.
func (c *clientFlags) alone(err error) bool {
	return errors.Is(err, hook.ErrNoDaemon) && c.offline != nil && *c.offline
}

var errNoAnswer = say.New("no-answer")

// A daemonClient speaks to the daemon and waits no longer than it may. It is a console.Backend.
type daemonClient struct {
	hook.Client
	wait   time.Duration
	note   error // why it is the default socket, nil if the configuration says so
	inSale bool  // the last answer was given in a sale, from what was known before it
}

// within does f and says it plainly where the daemon did not answer in time: in its own, or in the shorter one of who
// asks, as the console's.
func (d *daemonClient) within(ctx context.Context, wait time.Duration, f func(context.Context) error) error {
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end).Round(time.Second/10))
	}
	in, stop := context.WithTimeout(ctx, wait)
	defer stop()
	err := f(in)
	switch {
	case err == nil || errors.Is(ctx.Err(), context.Canceled):
	case errors.Is(err, context.DeadlineExceeded):
		return say.New("no-answer-within", d.Path, wait, errNoAnswer)
	case errors.Is(err, hook.ErrNoDaemon) && d.note != nil:
		return say.New("with-note", err, d.note)
	}
	return err
}

// State asks what the daemon knows now.
func (d *daemonClient) State(ctx context.Context) (s report.State, err error) {
	err = d.within(ctx, d.wait, func(ctx context.Context) error {
		s, err = d.Client.State(ctx)
		return err
	})
	return s, err
}

// Check runs checks. A daemon that does not answer at all is found out at once.
func (d *daemonClient) Check(ctx context.Context, names []string) (ev []report.Evidence, err error) {
	if _, err := d.State(ctx); err != nil {
		return nil, err
	}
	err = d.within(ctx, d.wait+checkTakes, func(ctx context.Context) error {
		ev, err = d.Client.Check(ctx, names)
		return err
	})
	return ev, err
}

// Diagnose asks why a code appeared and gives each revision to next.
func (d *daemonClient) Diagnose(ctx context.Context, lang, code, scheme string, origin report.Origin,
	next func(report.Diagnosis)) error {
	if _, err := d.State(ctx); err != nil {
		return err
	}
	return d.within(ctx, d.wait+diagnosisTakes, func(ctx context.Context) error {
		return d.Client.Diagnose(ctx, lang, code, scheme, origin, next)
	})
}

// sayInSale tells a person why nothing was asked.
func (d *daemonClient) sayInSale(s stdio) {
	if !d.inSale {
		return
	}
	fmt.Fprintln(s.err, say.New("in-sale").In(s.lang()))
}
