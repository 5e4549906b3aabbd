package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
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
		{"check * --socket " + socket, exitFailed, "start posdx run"},
		{"check /etc/passwd --socket " + socket, exitUsage, "NAME: want names of checks"},
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

// A star is every check, as no name is, with a daemon and without one.
func TestAStarIsEveryCheck(t *testing.T) {
	client, dir, stop := start(t, "")
	defer stop()
	file := configured(t, dir, "")
	for _, way := range [][]string{{"--socket", client.Path}, {"--socket", dir + "/none", "--offline", "--config", file}} {
		names := func(words ...string) (list []string) {
			code, out, talk := cli(t, append(append([]string{"check", "--json"}, words...), way...)...)
			var ev []report.Evidence
			if err := json.Unmarshal([]byte(out), &ev); err != nil || code == exitFailed || code == exitUsage {
				t.Fatalf("check %v %v: exit %d, %v: %s%s", words, way, code, err, out, talk)
			}
			for _, e := range ev {
				if !slices.Contains(list, e.Check) {
					list = append(list, e.Check)
				}
			}
			slices.Sort(list)
			return list
		}
		if all, star := names(), names("*"); len(all) < 5 || !slices.Equal(all, star) {
			t.Errorf("%v: all are %v, of a star %v", way, all, star)
		}
	}
}
