package evidence

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// values are what a sweep tries for a fact: every word, both answers, and of a number its bounds and both sides of
// every limit that any rule sets to it.
func values(k *codes.Knowledge, f *codes.Fact) []any {
	key := f.Check + " " + f.Name
	if v, ok := tried.Load(key); ok {
		return slices.Clip(v.([]any))
	}
	v := valuesOf(k, f)
	tried.Store(key, v)
	return slices.Clip(v)
}

var tried sync.Map

func valuesOf(k *codes.Knowledge, f *codes.Fact) []any {
	switch f.Kind() {
	case "bool":
		return []any{false, true}
	case "list":
		list := []any{[]string{}}
		for _, w := range f.Words {
			list = append(list, []string{w})
		}
		return list
	case "counts":
		return []any{map[string]float64{"chip": 6, "stripe": 5}, map[string]float64{"chip": 3, "contactless": 3}, map[string]float64{"pin": 0, "without_pin": 4},
			map[string]float64{"ethernet": 5}, map[string]float64{"wifi": 4}}
	case "number":
		list := []any{f.Low, min(f.High, 1e6), 0.0, 1.0, 2.0, 4.0, 7.0, 12.0, 40.0, 90.0, 800.0, 5000.0, 40000.0, 200000.0}
		for i := range k.Limits {
			if l := &k.Limits[i]; l.Check == f.Check {
				for _, limit := range []float64{l.Fair, l.Poor, l.Bad, l.Full} {
					list = append(list, limit, math.Floor(limit)-1, math.Ceil(limit)+1)
				}
			}
		}
		return slices.DeleteFunc(list, func(v any) bool { return v.(float64) < f.Low || v.(float64) > f.High })
	}
	switch {
	case len(f.Words) > 0:
		list := []any{}
		for _, w := range f.Words {
			list = append(list, w)
		}
		return list
	case f.Type == "code":
		return []any{"00", "98", "A0", "none"}
	case f.Type == "cause":
		return []any{"8", "33", "36"}
	case f.Name == "address":
		return []any{"", "169.254.3.4", "10.0.0.4"}
	case f.Name == "target":
		return []any{"host-primary", "internet", "gateway"}
	case f.Name == "operator":
		return []any{"310410", "46000"}
	case f.Name == "iface":
		return []any{"eth0", "wlan0", "wwan0"}
	}
	return []any{"1.0", "2.0"}
}

// a spinner turns a seed into choices that look like chance and are the same every time.
type spinner uint64

func (s *spinner) n(n int) int {
	*s ^= *s << 13
	*s ^= *s >> 7
	*s ^= *s << 17
	return int(uint64(*s) % uint64(n))
}

// anyEvidence makes evidence of a check with some of its facts.
func anyEvidence(k *codes.Knowledge, check string, s *spinner) report.Evidence {
	e := report.Evidence{Check: check, Subject: "x", Status: report.OK, Facts: report.Facts{},
		At: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)}
	if strings.HasPrefix(check, "net.") {
		e.Subject = "host-primary"
	}
	for _, f := range k.FactsOf(check) {
		if s.n(3) > 0 {
			v := values(k, &f)
			e.Facts[f.Name] = v[s.n(len(v))]
		}
	}
	return e
}

// TestBadNeverYieldsOnlyGoodNews sweeps every check: whatever makes it bad, its own facts or the word of whoever sent
// it, what it shows is never all in favour of health.
func TestBadNeverYieldsOnlyGoodNews(t *testing.T) {
	k := codes.Builtin()
	sale := Sale{Event: &report.Event{Code: "98", Origin: report.OriginTerminal}}
	for _, c := range k.Checks {
		if c.Name == string(TxnHistory) {
			continue // what sales there were is never bad
		}
		t.Run(c.Name, func(t *testing.T) {
			s, bad := spinner(len(c.Name)*7919+1), 0
			for range 700 {
				e := anyEvidence(k, c.Name, &s)
				if s.n(2) == 0 {
					e.Status = report.Bad
				} else {
					Grade(&e, k)
				}
				if e.Status != report.Bad {
					continue
				}
				bad++
				var good, other []string
				for _, f := range Read([]report.Evidence{e}, k).Findings(sale) {
					if f.News == codes.GoodNews {
						good = append(good, f.Name)
					} else {
						other = append(other, f.Name)
					}
				}
				if len(good) > 0 && len(other) == 0 {
					t.Fatalf("%v is bad and shows only %v", e.Facts, good)
				}
			}
			if bad == 0 {
				t.Error("the sweep makes nothing bad")
			}
		})
	}
}

// verdict is all that the judge makes of evidence.
func verdict(k *codes.Knowledge, sale Sale, list ...report.Evidence) string {
	var b strings.Builder
	for _, e := range list {
		e.Facts = clone(e.Facts)
		Grade(&e, k)
		fmt.Fprint(&b, e.Status, e.Facts["level"], e.Facts["reason"], ";")
	}
	r := Read(list, k)
	fmt.Fprint(&b, r.Kind, ";")
	for _, f := range r.Findings(sale) {
		fmt.Fprintf(&b, "%s %.3f;", f.Name, f.Strength)
	}
	return b.String()
}

func put(f report.Facts, name string, v any) {
	if f[name] = v; v == nil {
		delete(f, name)
	}
}

func clone(f report.Facts) report.Facts {
	c := report.Facts{}
	for n, v := range f {
		c[n] = v
	}
	return c
}

// TestEveryFactIsReadOrShown walks the registry: a fact that is judged changes what the judge says for some evidence,
// and one that is only shown never does.
func TestEveryFactIsReadOrShown(t *testing.T) {
	k := codes.Builtin()
	sales := []Sale{
		{Event: &report.Event{Code: "98", Origin: report.OriginTerminal}, Topic: "connect"},
		{Event: &report.Event{Code: "A0", Origin: report.OriginHost}, MTI: "0210", Answered: true, ResponseMS: new(float64)},
	}
	*sales[1].ResponseMS = 30000
	// Beside them stand checks that some facts are read together with.
	beside := []report.Evidence{
		sent(AppVersion, "payment-app", report.OK, report.Facts{"updated_age_s": 5000.0}),
		sent(TxnHistory, "terminal", report.OK, report.Facts{"last_approval_age_s": 9000.0, "approvals_1h": 0.0, "same_code_1h": 4.0, "cards_same_code_1h": 2.0}),
		sent(NetBearer, "uplink", report.OK, report.Facts{"active": "ethernet"}),
		sent(NetTCP, "host-primary", report.OK, report.Facts{"outcome": "ok", "target": "host-primary", "ms": 20.0}),
		sent(NetInternet, "internet", report.OK, report.Facts{"outcome": "ok", "target": "internet"}),
		sent(NetTCP, "host-primary", report.OK, report.Facts{"outcome": "ok", "target": "host-primary"}),
		sent(NetPath, "host-primary", report.OK, report.Facts{"loss_pct": 0.0, "rtt_ms": 60.0, "target": "host-primary"}),
	}
	mobile := []report.Evidence{
		sent(NetBearer, "uplink", report.OK, report.Facts{"active": "cellular"}),
		sent(ModemRegistration, "modem0", report.Bad, report.Facts{"state": "searching", "best_tech": "3g", "operator": "310410"}),
		sent(ModemBearer, "modem0", report.OK, report.Facts{"context_active": true, "family": "v6"}),
		sent(NetTCP, "host-primary", report.Bad, report.Facts{"outcome": "unreachable", "ms": 0.0, "target": "host-primary"}),
		sent(BoardClock, "system", report.OK, report.Facts{"trusted": true, "turn": "year-change", "turn_age_s": 4000.0}),
		sent(TxnHistory, "terminal", report.OK, report.Facts{"first_seen_age_s": 100.0, "last_approval_age_s": 9000.0, "same_code_1h": 4.0}),
	}
	// The engine joins these with what the event says of the same sale, before it asks the judge.
	joined := []string{"connect_ms", "response_ms", "sent"}
	for i := range k.Facts {
		f := &k.Facts[i]
		if f.Check == string(TxnAnswer) && slices.Contains(joined, f.Name) {
			continue
		}
		read := ""
		for n := 0; n < 3000 && (read == "" || f.Display && n < 300); n++ {
			s := spinner(uint64(i)*104729 + uint64(n)*7919 + 3)
			e := anyEvidence(k, f.Check, &s)
			v := append(values(k, f), nil) // not known
			list := []report.Evidence{e}
			if company := [...][]report.Evidence{nil, beside, nil, mobile}[n%4]; company != nil {
				list = append(list, slices.DeleteFunc(slices.Clone(company),
					func(b report.Evidence) bool { return b.Check == f.Check })...)
			}
			list[0].Facts = clone(e.Facts)
			put(list[0].Facts, f.Name, v[s.n(len(v))])
			one := verdict(k, sales[n/2%2], list...)
			list[0].Facts = clone(e.Facts)
			put(list[0].Facts, f.Name, v[s.n(len(v))])
			if other := verdict(k, sales[n/2%2], list...); other != one {
				read = fmt.Sprintf("%v\n%s\n%s", e.Facts, one, other)
			}
		}
		switch {
		case f.Display && read != "":
			t.Errorf("%s of %s is only shown, says the registry, but: %s", f.Name, f.Check, read)
		case !f.Display && read == "":
			t.Errorf("%s of %s is judged, says the registry, but nothing reads it", f.Name, f.Check)
		}
	}
}

// TestStrengthHasNoCliffs: a small step of a measured value changes no finding by much.
func TestStrengthHasNoCliffs(t *testing.T) {
	k := codes.Builtin()
	smooth := []string{"pct", "dbm", "db", "ms", "mv", "celsius", "v", "s"}
	sale := Sale{Event: &report.Event{Code: "98", Origin: report.OriginTerminal}}
	for i := range k.Limits {
		l := &k.Limits[i]
		f := k.Fact(l.Check, l.Fact)
		if f == nil || !slices.Contains(smooth, f.Unit) || f.Type == "int" && f.Unit != "mv" || l.News == codes.GoodNews {
			continue
		}
		base := report.Facts{}
		for _, c := range l.When {
			if len(c.Words) > 0 && c.Op == "eq" {
				base[c.Fact] = c.Words[0]
			}
		}
		step := math.Abs(l.Full-l.Poor) / 20
		before := map[string]float64(nil)
		for v := min(l.Poor, l.Full) - 4*step; v <= max(l.Poor, l.Full)+4*step; v += step {
			if v < f.Low || v > f.High {
				continue
			}
			e := report.Evidence{Check: l.Check, Subject: "host-primary", Facts: clone(base)}
			e.Facts[l.Fact] = v
			Grade(&e, k)
			now := map[string]float64{}
			for _, g := range Read([]report.Evidence{e}, k).Findings(sale) {
				now[g.Name] = g.Strength
			}
			for name, x := range now {
				if y := before[name]; before != nil && math.Abs(x-y) > 0.25 {
					t.Errorf("%s %s %.1f -> %.1f: %s %.2f -> %.2f", l.Check, l.Fact, v-step, v, name, y, x)
				}
			}
			before = now
		}
	}
}
