package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/reader"
)

// anyCode stands for a terminal that is examined without a code: it is in no table, so the evidence alone decides.
const anyCode = "?"

// liveFlags are the flags of a diagnosis made now.
type liveFlags struct {
	code, scheme, origin, config, socket *string
}

func addLiveFlags(f *flag.FlagSet) *liveFlags {
	return &liveFlags{
		code:   f.String("code", anyCode, "the response code; without one the terminal is examined as it is"),
		scheme: f.String("scheme", "", "the code's table; empty for the configured one"),
		origin: f.String("origin", "unknown", "who wrote the code: host, terminal, cashier or unknown"),
		config: f.String("config", defaultConfig, "the configuration `FILE`: its knowledge pack, and its devices when no daemon answers"),
		socket: f.String("socket", defaults().Hook.Socket, "the daemon's socket `PATH`"),
	}
}

// valid says what is wrong with the flags of a command.
func (l *liveFlags) valid(s stdio, command string) bool {
	switch report.Origin(*l.origin) {
	case report.OriginHost, report.OriginTerminal, report.OriginCashier, report.OriginUnknown:
	default:
		fmt.Fprintf(s.err, "posdx %s: no origin %q: host, terminal, cashier or unknown\n", command, *l.origin)
		return false
	}
	if len(*l.code) > 64 {
		fmt.Fprintf(s.err, "posdx %s: a code of %d characters, want at most 64\n", command, len(*l.code))
		return false
	}
	return true
}

// diagnoseLive examines the terminal now and prints what it found.
func diagnoseLive(ctx context.Context, s stdio, live *liveFlags, o diagnose.Options, asJSON, explain bool) int {
	if !live.valid(s, "diagnose") {
		return exitUsage
	}
	d, err := live.diagnose(ctx, s, o)
	if err != nil {
		fmt.Fprintf(s.err, "posdx diagnose: %v\n", err)
		return exitFailed
	}
	code := printDiagnosis(s, &d, o, asJSON)
	if explain {
		fmt.Fprint(s.out, "\n", diagnose.Ledger(d.Event, d.Evidence, inForce(*live.config), o))
	}
	return code
}

// diagnose examines the terminal now: through the daemon, which owns the devices, or itself if none runs.
func (l *liveFlags) diagnose(ctx context.Context, s stdio, o diagnose.Options) (report.Diagnosis, error) {
	d, err := viaDaemon(ctx, l, o.Lang)
	if errors.Is(err, hook.ErrNoDaemon) {
		fmt.Fprintf(s.err, "no daemon answers at %s; examining the terminal from here, at most %v\n", *l.socket, triage.Deadline)
		return examine(ctx, l, o)
	}
	return d, err
}

func viaDaemon(ctx context.Context, live *liveFlags, lang string) (d report.Diagnosis, err error) {
	err = hook.Client{Path: *live.socket}.Diagnose(ctx, lang, *live.code, *live.scheme, report.Origin(*live.origin), func(r report.Diagnosis) { d = r })
	if err == nil && d.Revision == 0 {
		err = errors.New("the daemon gave no diagnosis")
	}
	return d, err
}

// examine asks every check once and explains what they found.
func examine(ctx context.Context, live *liveFlags, o diagnose.Options) (report.Diagnosis, error) {
	r, profile, err := local(*live.config)
	if err != nil {
		return report.Diagnosis{}, err
	}
	if profile.Base != "" {
		o.Profile = profile
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, triage.Deadline)
	defer cancel()
	r.Run(ctx, r.Probes(), nil)
	ev := report.Event{Code: *live.code, Scheme: *live.scheme, Origin: report.Origin(*live.origin), Channel: report.ChannelConsole}
	newStamper(0).event(&ev)
	o.TookMS = time.Since(start).Milliseconds()
	return diagnose.Explain(ev, r.Known(time.Now()), inForce(*live.config), o), nil
}

// checkHere asks the named checks, or all, without a daemon.
func checkHere(ctx context.Context, config string, names []string) ([]report.Evidence, error) {
	r, _, err := local(config)
	if err != nil {
		return nil, err
	}
	return checkNow(ctx, r, names)
}

// local makes the checks of a configuration for a command that runs without a daemon. A terminal that has no
// configuration yet is examined with the defaults.
func local(path string) (*probe.Runner, codes.Profile, error) {
	c, err := readConfig(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path == defaultConfig:
		c = defaults()
	case err != nil:
		return nil, codes.Profile{}, err
	}
	profile, err := chooseProfile(inForce(path), c.Profile)
	if err != nil {
		return nil, profile, err
	}
	s, err := sense(c, "", &reader.Reads{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, profile, err
	}
	return probe.NewRunner(s.probes), profile, nil
}
