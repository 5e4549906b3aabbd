package evidence

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// found returns the findings that evidence shows beside an unanswered sale.
func found(list ...report.Evidence) map[string]Finding {
	return foundFor(Sale{Event: &report.Event{Code: "98", Origin: report.OriginTerminal}}, list...)
}

func foundFor(s Sale, list ...report.Evidence) map[string]Finding {
	m := map[string]Finding{}
	for _, f := range Read(list, codes.Builtin()).Findings(s) {
		m[f.Name] = f
	}
	return m
}

func sent(c Check, subject string, status report.Status, f report.Facts) report.Evidence {
	return report.Evidence{Check: string(c), Subject: subject, Status: status, Facts: f, Depth: report.Internal}
}

// TestBadIsNeverGoodNews holds what was wrong while probe and engine each had limits of their own: what the one called
// bad was good news to the other.
func TestBadIsNeverGoodNews(t *testing.T) {
	tests := []struct {
		name      string
		e         report.Evidence
		want, not string
	}{
		{"a clock off by 200 s", sent(BoardClock, "system", report.Bad, report.Facts{"offset_s": 200.0, "trusted": true, "source": "ntp"}), "clock.off", "clock.ok"},
		{"three spoiled frames", sent(ReaderLine, "reader0", report.Bad, report.Facts{"frame": 0.0, "parity": 0.0, "overrun": 0.0, "crc": 3.0, "window_s": 3600.0}), "line.noise", "line.clean"},
		{"a wearing head", sent(ReaderReads, "reader0", report.OK, report.Facts{"cards": 40.0, "cards_failed": 1.0, "wearing": "stripe", "trouble_pct": 20.0,
			"trouble_before_pct": 4.0}), "reads.wearing", "reads.good"},
		{"12 overheats", sent(BoardKernel, "system", report.Bad, report.Facts{"overheat_24h": 12.0, "io_errors_24h": 0.0}), "kernel.overheat", ""},
		{"a captive portal", sent(NetInternet, "internet", report.Bad, report.Facts{"target": "internet", "outcome": "ok", "portal": true}), "internet.portal", "internet.fail"},
		{"a portal whose sender called it well", sent(NetInternet, "internet", report.OK, report.Facts{"outcome": "ok", "portal": true}), "internet.portal", "internet.ok"},
		{"facts that are well and a sender that says bad", sent(BoardThermal, "soc", report.Bad, report.Facts{"celsius": 40.0, "throttled": false}), "heat.bad", "heat.ok"},
		{"facts that are bad and a sender that says ok", sent(BoardPower, "supply", report.OK, report.Facts{"source": "mains", "millivolts": 4400.0, "dips_1h": 9.0}), "power.bad", "power.ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := found(tt.e)
			if got[tt.want].Strength == 0 {
				t.Errorf("no %s: %v", tt.want, got)
			}
			if f, ok := got[tt.not]; ok {
				t.Errorf("%s shows with %.2f", tt.not, f.Strength)
			}
		})
	}
}

// TestFindingsOfTheTableAreMade holds the findings that the table says Go joins against those that Go makes.
func TestFindingsOfTheTableAreMade(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	named := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`"([a-z]+\.[a-z-]+)"`).FindAllStringSubmatch(string(b), -1) {
			named[m[1]] = true
		}
	}
	for _, scope := range []string{"acquirer", "carrier", "site", "model"} {
		named["adv."+scope], named["adv.alone-"+scope] = true, true
	}
	k := codes.Builtin()
	joined := map[string]bool{}
	for i := range k.Limits {
		if l := &k.Limits[i]; l.Joined {
			joined[l.Finding] = true
			if !named[l.Finding] && !strings.HasPrefix(l.Finding, "ask.") {
				t.Errorf("%s is joined in Go, says the table, and no Go makes it", l.Finding)
			}
		}
	}
	for name := range named {
		if _, isCheck := k.Check(name); k.Inference.Sign(name) != nil && !isCheck && !joined[name] &&
			!strings.Contains(usedByName, name) {
			t.Errorf("%s is made in Go, and the table does not say so", name)
		}
	}
}

// usedByName are findings of one check that Go asks for.
const usedByName = "internet.portal dns.slow clock.untrusted signal.ok signal.bad cert.own-ended cert.client-expired cert.client-refused reg.ok reads.wearing cpu.high kernel.hung"

// TestSignInReadsNoCard: in every version of ISO 8583 a sign-in is none of a card, however the entry was told.
func TestSignInReadsNoCard(t *testing.T) {
	sent := true
	for mti, reads := range map[codes.MTI]bool{"0200": true, "1200": true, "0800": false, "1804": false, "2804": false} {
		found := foundFor(Sale{Event: &report.Event{Code: "96"}, MTI: mti, Entry: "chip", Sent: &sent})
		if _, got := found["entry.read"]; got != reads {
			t.Errorf("%s: a card was read: %v", mti, got)
		}
	}
}
