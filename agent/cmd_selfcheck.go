package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/codes"
)

func runSelfcheck(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "selfcheck", "[--config FILE] [--live SECONDS]",
		"Tells whether this program could take over here, touching nothing: it reads the configuration, what the program\nbefore it left on flash, and explains a code. With --live it waits that long until the running daemon is this very\nprogram, answers on its socket and has its outbox open.\n\nExit codes: 0 it can (it does); 1 it cannot, and why; 2 usage.",
		"posdx selfcheck --config "+defaultConfig+"\nposdx selfcheck --live 60")
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	live := f.Int("live", 0, "wait so many `SECONDS` for the running daemon to be well")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || *live < 0 || *live > 3600 {
		f.Usage()
		return exitUsage
	}
	c, _, err := readConfig(*path)
	if err == nil && *live > 0 {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*live)*time.Second)
		defer cancel()
		err = untilWell(ctx, c)
	} else if err == nil {
		err = couldRun(c)
	}
	if err != nil {
		s.fail("selfcheck", err)
		return exitFailed
	}
	fmt.Fprintf(s.out, "posdx %s: well, terminal %s of estate %s\n", version, c.Terminal, c.Estate)
	return exitOK
}

// couldRun tells whether this program could do its work with a configuration and the state that lies there.
func couldRun(c config) error {
	k := codes.Builtin()
	if _, err := chooseProfile(k, c.Profile); err != nil {
		return err
	}
	if err := outbox.Readable(filepath.Join(c.StateDir, "outbox")); err != nil {
		return err
	}
	d := diagnose.Explain(report.Event{Code: "96", Scheme: "unionpay", Origin: report.OriginHost}, nil, k,
		diagnose.Options{Lang: c.Language})
	if len(d.Causes) == 0 {
		return say.New("explain-nothing")
	}
	return nil
}

// wellPause is how long a daemon that is not well yet is left alone.
const wellPause = 500 * time.Millisecond

// untilWell waits until the running daemon is this program, answers, and has its outbox open.
func untilWell(ctx context.Context, c config) error {
	for {
		err := well(ctx, c)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return say.New("not-well", err)
		case <-time.After(wellPause):
		}
	}
}

func well(ctx context.Context, c config) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	st, err := hook.Client{Path: c.Hook.Socket}.State(ctx)
	if err != nil {
		return err
	}
	if st.Agent.Version != version {
		return say.New("other-version", st.Agent.Version, version)
	}
	dir := filepath.Join(c.StateDir, "outbox")
	if held, err := outbox.Held(dir); err != nil {
		return err
	} else if !held {
		return say.New("outbox-in-memory", dir)
	}
	return nil
}
