package main

import (
	"testing"
	"time"

	"posdx/agent/internal/source/registerlink"
	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/drivers/serial"
)

func TestLinkEvidence(t *testing.T) {
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	// A reading is what the PIN pad has said and been told so far.
	type reading struct{ frames, bytes, spoiled, parity, asked int }
	for _, c := range []struct {
		name      string
		readings  []reading
		line, pad string
		closed    bool
	}{
		{"nothing yet", []reading{{}}, "too-few", "too-few", false},
		{"nobody speaks", []reading{{}, {}}, "too-few", "too-few", false},
		{"all well", []reading{{frames: 5, bytes: 100, asked: 5}, {frames: 40, bytes: 900, asked: 40}}, "good", "ok", false},
		{"one spoiled frame", []reading{{}, {frames: 40, bytes: 900, spoiled: 1, asked: 40}}, "poor", "ok", false},
		{"one in five", []reading{{}, {frames: 40, bytes: 900, spoiled: 10, asked: 40}}, "bad", "ok", false},
		{"parity", []reading{{}, {frames: 40, bytes: 900, parity: 5, asked: 40}}, "bad", "ok", false},
		{"a wrong speed", []reading{{}, {bytes: 900, asked: 4}}, "bad", "fault", false},
		{"silent", []reading{{frames: 5, bytes: 100, asked: 5}, {frames: 5, bytes: 100, asked: 6},
			{frames: 5, bytes: 100, asked: 9}}, "good", "silent", false},
		{"asked twice", []reading{{frames: 5, bytes: 100, asked: 5}, {frames: 6, bytes: 120, asked: 6},
			{frames: 6, bytes: 120, asked: 8}}, "good", "ok", false},
		{"old faults are forgotten", append([]reading{{}, {bytes: 50, frames: 1, spoiled: 9}},
			quiet(70, reading{bytes: 50, frames: 1, spoiled: 9})...), "too-few", "too-few", false},
		{"not heard", []reading{{}, {frames: 3, bytes: 50}}, "good", "in-use", true},
	} {
		h := &linkHistory{name: "ecr0"}
		for i, r := range c.readings {
			at := begin.Add(time.Duration(i) * time.Minute)
			pad := registerlink.Line{Open: !c.closed, Bytes: uint64(r.bytes),
				Counts: ecr.Counts{Frames: r.frames, SumErrors: r.spoiled}, Errors: serial.Counters{Parity: uint64(r.parity)}}
			app := registerlink.Line{Open: true, Bytes: uint64(r.asked) * 10, Counts: ecr.Counts{Frames: r.asked}}
			if i > 0 && r.asked != c.readings[i-1].asked {
				app.Heard = at
			}
			if i > 0 && r.bytes != c.readings[i-1].bytes {
				pad.Heard = at
			}
			h.read(at, []registerlink.Line{pad, app})
		}
		for _, e := range []struct {
			got  report.Evidence
			want string
		}{{h.line(), c.line}, {h.pad(), c.pad}} {
			what := ""
			for _, fact := range []string{"reason", "level", "outcome"} {
				if s, ok := e.got.Facts[fact].(string); ok {
					what = s
				}
			}
			bad := what == "bad" || what == "silent" || what == "fault"
			if what != e.want || bad != (e.got.Status == report.Bad) {
				t.Errorf("%s: %s is %v %v, want %s", c.name, e.got.Check, e.got.Status, e.got.Facts, e.want)
			}
		}
	}
}

func quiet[T any](n int, r T) (list []T) {
	for range n {
		list = append(list, r)
	}
	return list
}

func TestOnlyPINPadsMakeEvidence(t *testing.T) {
	c := mustParse(t, least+"[[ecr]]\nname = \"a\"\nframing = \"zvt\"\nway = \"relay\"\n[[ecr]]\nname = \"b\"\nframing = \"abecs\"\nway = \"relay\"\n")
	list := links(c, nil)
	if p := linkProbes(c, list); len(p) != 1 || p[0].Subject != "b" {
		t.Errorf("probes %+v", p)
	}
	answered := false
	pingLinks(list)(func() { answered = true })
	if !answered {
		t.Error("links that listen to nothing yet do not answer")
	}
	m := map[string]int64{}
	countLinks(list, m)
	if len(m) != 0 {
		t.Errorf("counts of nothing: %v", m)
	}
}
