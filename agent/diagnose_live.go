package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"posdx/agent/diagnose"
	conf "posdx/agent/internal/config"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/stamp"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/drivers/reader"
)

// anyCode stands for a terminal that is examined without a code.
const anyCode = diagnose.AnyCode

// liveFlags are the flags of a diagnosis made now.
type liveFlags struct {
	*clientFlags
	code, scheme, origin *string
}

func addLiveFlags(s stdio, f *flag.FlagSet) *liveFlags {
	l := &liveFlags{
		clientFlags: addClientFlags(f),
		code:        f.String("code", anyCode, "`应答码`；不写就按现状诊断终端\nthe response `code`; without one the terminal is examined as it is"),
		scheme:      f.String("scheme", "", "应答码所属的`码表`；不写按配置\nthe code's `table`; empty for the configured one"),
		origin:      f.String("origin", "unknown", "应答码由`谁`写出：host terminal cashier unknown\n`who` wrote the code: host terminal cashier unknown"),
	}
	l.addOffline(f)
	return l
}

// valid says what is wrong with the flags of a command.
func (l *liveFlags) valid(s stdio) bool {
	if !l.clientFlags.valid(s) {
		return false
	}
	wrong := hook.Wrong(hook.CodeRequest{Type: "diagnose", Code: *l.code, Scheme: *l.scheme, Origin: report.Origin(*l.origin)})
	if k := inForce(*l.config); *l.scheme != "" && len(wrong) == 0 {
		if _, known := k.Scheme(*l.scheme); !known {
			wrong = append(wrong, fmt.Sprintf("scheme: there is no code table %q; there are %s", *l.scheme, schemesOf(k)))
		}
	}
	for _, w := range wrong {
		s.fail(l.command, wrongValue(w))
	}
	return len(wrong) == 0
}

// diagnoseLive examines the terminal now and prints what it found.
func diagnoseLive(ctx context.Context, s stdio, live *liveFlags, o diagnose.Options, asJSON, explain bool) int {
	d, err := live.diagnose(ctx, s, o)
	late := d.Revision > 0 && !d.Final && (err == nil || errors.Is(err, errNoAnswer))
	if err != nil && !late {
		return live.failed(s, err)
	}
	code := printDiagnosis(s, &d, o, asJSON)
	if late {
		s.fail(live.command, say.New("final-late"))
		return exitTimeout
	}
	if explain {
		fmt.Fprint(s.out, "\n", diagnose.Ledger(d.Event, d.Evidence, inForce(*live.config), o))
	}
	return code
}

// diagnose examines the terminal now: through the daemon, which owns the devices, or itself if none runs and it is told
// to.
func (l *liveFlags) diagnose(ctx context.Context, s stdio, o diagnose.Options) (d report.Diagnosis, err error) {
	c, err := l.daemon()
	if err == nil {
		err = c.Diagnose(ctx, o.Lang, *l.code, *l.scheme, report.Origin(*l.origin), func(r report.Diagnosis) { d = r })
		if err == nil && d.Revision == 0 {
			err = say.New("no-diagnosis-given")
		}
		c.sayInSale(s)
	}
	if l.alone(err) {
		fmt.Fprintln(s.err, say.New("examining-from-here", c.Path, triage.Deadline).In(s.lang()))
		return examine(ctx, l, o)
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
	ev := report.Event{Code: *live.code, Scheme: *live.scheme, Origin: report.Origin(*live.origin),
		Channel: report.ChannelConsole}
	stamp.New(0).Event(&ev)
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
	c, _, err := readConfig(path)
	switch {
	case unwritten(path):
		c = config{Config: conf.Defaults()}
	case err != nil:
		return nil, codes.Profile{}, err
	}
	profile, err := chooseProfile(inForce(path), c.Profile)
	if err != nil {
		return nil, profile, err
	}
	c.track1 = profile.Track1
	s, err := sense(c, "", &reader.Reads{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, profile, err
	}
	return probe.NewRunner(s.probes), profile, nil
}
