package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/report"
)

func TestWorst(t *testing.T) {
	ev := func(s report.Status, reason string) report.Evidence {
		f := report.Facts{}
		if reason != "" {
			f["reason"] = reason
		}
		return report.Evidence{Status: s, Facts: f}
	}
	good, bad := ev(report.OK, ""), ev(report.Bad, "")
	inUse, unfitted, skipped := ev(report.CannotTell, report.ReasonInUse), ev(report.CannotTell, report.ReasonAbsent),
		ev(report.NotRun, report.ReasonInSale)
	for _, c := range []struct {
		name string
		list []report.Evidence
		want int
	}{
		{"nothing", nil, exitNotRun},
		{"all good", []report.Evidence{good, good}, exitOK},
		{"one bad", []report.Evidence{good, inUse, bad, skipped}, exitBad},
		{"one in use", []report.Evidence{inUse, good}, exitCannotTell},
		{"one in use, last", []report.Evidence{good, inUse}, exitCannotTell},
		{"not fitted", []report.Evidence{good, unfitted}, exitOK},
		{"only not fitted", []report.Evidence{unfitted}, exitNotRun},
		{"one skipped", []report.Evidence{skipped, good}, exitOK},
		{"all skipped", []report.Evidence{skipped}, exitNotRun},
	} {
		if got := worst(c.list); got != c.want {
			t.Errorf("%s: got exit %d, want %d", c.name, got, c.want)
		}
	}
}

// Every command that needs the daemon says which socket it tried and what to do, and says nothing on stdout.
func TestCommandsWithoutDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "hook.sock")
	for _, c := range []struct {
		args string
		exit int
		has  string
	}{
		{"report --code 96 --socket " + socket, exitFailed, "start posdx run"},
		{"report --socket " + socket, exitUsage, "usage: posdx report"},
		{"report --code 96 --lang fr", exitUsage, `no language "fr"`},
		{"report --code 96 --txn stan", exitUsage, "name=value"},
		{"report --code 96 --txn connect_ms=fast", exitUsage, "whole milliseconds"},
		{"status --socket " + socket, exitFailed, socket},
		{"status extra", exitUsage, "usage: posdx status"},
		{"console --charset ebcdic", exitUsage, `--charset "ebcdic"`},
		{"console", exitFailed, "no terminal"},
	} {
		var out, talk bytes.Buffer
		code := run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk, speak: "en"}, strings.Fields(c.args))
		if code != c.exit || !strings.Contains(talk.String(), c.has) || out.Len() > 0 {
			t.Errorf("posdx %s: got exit %d, stdout %q, stderr %q; want %d and %q", c.args, code, out.String(), talk.String(), c.exit, c.has)
		}
	}
}
