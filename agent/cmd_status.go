package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"posdx/agent/internal/console"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
)

// Exit codes of check: the worst of what was found.
const (
	exitBad        = 4
	exitCannotTell = 5
	exitNotRun     = 6
)

func runStatus(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "status", "[--json] [--lang zh|en]",
		"Prints what the running daemon knows: the terminal, the way to the fleet, every device's latest check, the last\ndiagnosis. Nothing is touched.\n\nExit code: 0, or 1 if no daemon answers.",
		"posdx status --lang en")
	socket := f.String("socket", hook.SocketPath, "the daemon's socket, a `path`")
	asJSON := f.Bool("json", false, "print JSON")
	lang := f.String("lang", "", "`language` of the texts: zh en")
	config := f.String("config", defaultConfig, "the configuration `FILE` of the terminal, for its knowledge pack")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || !isLang(s, "status", *lang) {
		f.Usage()
		return exitUsage
	}
	st, err := hook.Client{Path: *socket}.State(ctx)
	if err != nil {
		fmt.Fprintf(s.err, "posdx status: %v\n", err)
		return exitFailed
	}
	if *asJSON {
		json.NewEncoder(s.out).Encode(st)
		return exitOK
	}
	fmt.Fprintln(s.out, console.Head(st, *lang))
	for _, line := range console.Table(st.Evidence, *lang, renderWidth) {
		fmt.Fprintln(s.out, line)
	}
	if st.Last != nil {
		fmt.Fprintln(s.out)
		k := inForce(*config)
		last := console.InLanguage(*st.Last, k, st.Profile, *lang)
		for _, line := range console.Verdict(&last, k, *lang, renderWidth) {
			fmt.Fprintln(s.out, line)
		}
	}
	return exitOK
}

func runCheck(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "check", "[NAME…] [--json] [--lang zh|en]",
		"Checks devices and network now and prints what was found; through the daemon, which owns the devices, or by itself if\n"+
			"none runs. A device that is in use and a sale that is running are left in peace. A NAME is a check's, as net.tcp, or\nthe first part of several, as net or modem; without one everything is checked.\n\n"+
			"Exit code, the worst of all: 0 all ok; 4 something is bad; 5 something could not be told; 6 nothing ran;\n1 the check could not be asked for; 2 wrong usage. What is not fitted or not configured does not count.",
		"posdx check net.tcp reader\nposdx check modem --json")
	socket := f.String("socket", hook.SocketPath, "the daemon's socket, a `path`")
	config := f.String("config", defaultConfig, "the configuration `FILE`, used when no daemon answers")
	asJSON := f.Bool("json", false, "print JSON")
	lang := f.String("lang", "", "`language` of the texts: zh en")
	names, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if !isLang(s, "check", *lang) {
		return exitUsage
	}
	list, err := hook.Client{Path: *socket}.Check(ctx, names)
	if errors.Is(err, hook.ErrNoDaemon) {
		fmt.Fprintf(s.err, "no daemon answers at %s; checking from here\n", *socket)
		list, err = checkHere(ctx, *config, names)
	}
	if err != nil {
		fmt.Fprintf(s.err, "posdx check: %v\n", err)
		return exitFailed
	}
	return printChecks(s, list, *asJSON, *lang)
}

// printChecks prints evidence and returns the exit code of check.
func printChecks(s stdio, list []report.Evidence, asJSON bool, lang string) int {
	if asJSON {
		if list == nil {
			list = []report.Evidence{}
		}
		json.NewEncoder(s.out).Encode(list)
	} else {
		for _, line := range console.Table(list, lang, renderWidth) {
			fmt.Fprintln(s.out, line)
		}
	}
	return worst(list)
}

func worst(list []report.Evidence) int {
	code := exitNotRun
	for _, e := range list {
		reason, _ := e.Facts.Str("reason")
		switch e.Status {
		case report.Bad:
			return exitBad
		case report.CannotTell:
			if reason != report.ReasonAbsent {
				code = exitCannotTell
			}
		case report.OK:
			if code == exitNotRun {
				code = exitOK
			}
		}
	}
	return code
}
