package probe

import (
	"strings"
	"testing"
	"testing/fstest"

	"posdx/agent/report"
)

func stat(name, state, start string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("7 (" + name + ") " + state + strings.Repeat(" 0", 18) + " " + start + " 0 0\n")}
}

func TestProcess(t *testing.T) {
	proc := fstest.MapFS{"1/stat": stat("init", "S", "3"), "7/stat": stat("pay (main) app", "S", "900"), "uptime": {Data: []byte("1")}}
	p := Process(proc, "pay (main) app", nil)
	ask := func(want report.Status, running bool, restarts float64) {
		t.Helper()
		e := p.Run(t.Context())[0]
		r, _ := e.Facts.Bool("running")
		n, _ := e.Facts.Num("restarts_24h")
		if e.Status != want || r != running || n != restarts {
			t.Errorf("got %s %v, want %s running=%v restarts=%v", e.Status, e.Facts, want, running, restarts)
		}
	}
	ask(report.OK, true, 0)
	proc["8/stat"] = stat("pay (main) app", "S", "1000") // a child of it: the oldest counts
	ask(report.OK, true, 0)
	delete(proc, "8/stat")
	proc["7/stat"] = stat("pay (main) app", "Z", "900")
	ask(report.Bad, false, 0)
	proc["9/stat"] = stat("pay (main) app", "R", "1200")
	ask(report.OK, true, 1)
	proc["9/stat"] = &fstest.MapFile{Data: []byte("garbage")}
	ask(report.Bad, false, 1)
	for n, want := range map[int]report.Status{0: report.OK, 2: report.OK, 3: report.Bad} {
		proc["9/stat"] = stat("pay (main) app", "R", "1200")
		e := Process(proc, "pay (main) app", func() (int, bool) { return n, true }).Run(t.Context())[0]
		if got, _ := e.Facts.Num("crashes_24h"); e.Status != want || int(got) != n {
			t.Errorf("%d crashes: %s %v, want %s", n, e.Status, e.Facts, want)
		}
	}
	if e := Process(proc, "", nil).Run(t.Context())[0]; e.Status != report.NotRun {
		t.Errorf("no name configured: got %s, want not-run", e.Status)
	}
}
