package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// A mute is a device that counts what it is sent and says nothing.
type mute struct {
	port  string
	heard atomic.Int64
}

func newMute(t *testing.T) *mute {
	t.Helper()
	far, port := housetest.TTY(t)
	m := &mute{port: port}
	go housetest.Hear(far, func(b []byte) { m.heard.Add(int64(len(b))) })
	return m
}

// Whoever asks, and however, in a sale not one byte goes to modem, reader or PIN pad, and the sale goes on; after its
// end the same questions are asked.
func TestNobodysQuestionReachesADeviceInASale(t *testing.T) {
	modem, reader, pad := newMute(t), newMute(t), newMute(t)
	dir := t.TempDir()
	file := configured(t, dir, fmt.Sprintf("[[modem]]\nname = \"modem0\"\nport = %q\nmay_reset = true\n[[reader]]\nname = \"reader0\"\nport = %q\nprotocol = \"ccid\"\n[[pinpad]]\nname = \"pinpad0\"\nport = %q\n",
		modem.port, reader.port, pad.port))
	c, _, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	d, tasks, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	client, stop := serve(t, c, tasks, closing)
	defer stop()
	heard := func() int64 { return modem.heard.Load() + reader.heard.Load() + pad.heard.Load() }

	questions := []struct {
		name string
		ask  func()
	}{
		{"posdx check", func() { cli(t, "check", "--config", file, "modem", "reader", "pinpad") }},
		{"posdx check --offline", func() { cli(t, "check", "--config", file, "--offline", "modem", "reader", "pinpad") }},
		{"posdx diagnose", func() { cli(t, "diagnose", "--config", file) }},
		{"posdx diagnose --code", func() { cli(t, "diagnose", "--config", file, "--code", "96") }},
		{"posdx guide", func() { cli(t, "guide", "--config", file, "--code", "97") }},
		{"posdx status", func() { cli(t, "status", "--config", file) }},
		{"posdx reset", func() { cli(t, "reset", "--config", file, "modem0") }},
		{"console", func() {
			if err := (hook.Local{Daemon: d}).Diagnose(t.Context(), "en", "97", "", report.OriginUnknown,
				func(report.Diagnosis) {}); err != nil {
				t.Error(err)
			}
		}},
		{"fleet", func() {
			if r := d.command(t.Context(), "diagnose", report.Command{ID: "1", Args: map[string]any{"code": "91", "origin": "host"}}); r.Result != "done" {
				t.Errorf("%+v", r)
			}
		}},
		{"fleet's health", func() { d.command(t.Context(), "health", report.Command{ID: "2"}) }},
	}
	ask(t, client, map[string]any{"type": "txn", "phase": "start", "txn": map[string]any{"stan": "000123"}})
	for _, q := range questions {
		q.ask()
		if n := heard(); n > 0 {
			t.Fatalf("%s in a sale: %d bytes to devices", q.name, n)
		}
		if st := d.State(); !st.InSale || st.Last != nil {
			t.Fatalf("%s: in a sale %v, last diagnosis %v; want true and none", q.name, st.InSale, st.Last)
		}
	}
	code, _, talk := cli(t, "check", "--config", file, "--lang", "en", "modem")
	if code != exitNotRun || !strings.Contains(talk, "a sale is running") {
		t.Errorf("check in a sale: exit %d, %s", code, talk)
	}
	if _, out, talk := cli(t, "diagnose", "--config", file, "--lang", "en"); !strings.Contains(talk, "a sale is running") {
		t.Errorf("diagnose in a sale: %s%s", out, talk)
	}
	ask(t, client, map[string]any{"type": "txn", "phase": "end", "result": "cancelled"})
	if use, err := serial.Look(modem.port); err == nil && use.Blind {
		t.Skip("needs root, or CAP_SYS_PTRACE: who cannot see that nobody holds a port asks no device at any time")
	}
	cli(t, "check", "--config", file, "modem", "reader", "pinpad")
	if modem.heard.Load() == 0 || reader.heard.Load() == 0 || pad.heard.Load() == 0 {
		t.Errorf("after the sale: %d bytes to the modem, %d to the reader, %d to the PIN pad: this test could not fail", modem.heard.Load(), reader.heard.Load(), pad.heard.Load())
	}
}

// Without a daemon a command says so and asks no device, unless it is told to.
func TestNoDaemonNoDevices(t *testing.T) {
	modem := newMute(t)
	dir := t.TempDir()
	file := configured(t, dir, fmt.Sprintf("[[modem]]\nname = \"modem0\"\nport = %q\ndedicated = true\n", modem.port))
	for _, args := range [][]string{{"check", "modem"}, {"diagnose"}, {"diagnose", "--code", "96"}, {"guide"}, {"guide", "--code", "96"}, {"status"}} {
		code, out, talk := cli(t, append(args, "--config", file)...)
		if code != exitFailed || out != "" || !strings.Contains(talk, filepath.Join(dir, "s")) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, code, out, talk)
		}
		if args[0] != "status" && !strings.Contains(talk, "--offline") {
			t.Errorf("%v does not name the way out: %s", args, talk)
		}
		if n := modem.heard.Load(); n > 0 {
			t.Fatalf("%v: %d bytes to the modem", args, n)
		}
	}
	if code, _, talk := cli(t, "check", "modem.port", "--offline", "--config", file); modem.heard.Load() == 0 || !strings.Contains(talk, "checking from here") {
		t.Errorf("with --offline: exit %d, %d bytes, %s", code, modem.heard.Load(), talk)
	}
}

// What somebody asks is answered and is nowhere else: not in the tally, the outbox, the last verdict or the journal.
func TestWhatIsAskedIsKeptApart(t *testing.T) {
	dir := t.TempDir()
	c := mustParse(t, least+"state_dir = \""+dir+"\"\n[hook]\nsocket = \""+dir+"/s\"\n")
	d, tasks, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	up := &fakeLink{}
	d.up = up
	client, stop := serve(t, c, tasks, closing)
	real := ask(t, client, map[string]any{"type": "code", "code": "96", "origin": "host", "wait": "final", "full": true})
	asked := ask(t, client, map[string]any{"type": "diagnose", "code": "96", "origin": "host", "wait": "final", "full": true})
	r, q := real[len(real)-1].Diagnosis, asked[len(asked)-1].Diagnosis
	if r == nil || q == nil || r.Asked || !q.Asked || q.ID == r.ID || q.Event.Channel != report.ChannelCommand {
		t.Fatalf("real %+v, asked %+v", r, q)
	}
	if st := d.State(); st.Last == nil || st.Last.ID != r.ID || st.Last.Repeats != 0 {
		t.Errorf("the last verdict is %+v, want that of the sale", st.Last)
	}
	if n, _ := historyFact(q, "same_code_1h"); n != 1 {
		t.Errorf("the question counts %v sales with its code, want the one there was", n)
	}
	if len(up.asked) != 1 {
		t.Errorf("%d documents for the fleet's asked topic, want 1", len(up.asked))
	}
	// Noise on a line is no question, and neither is a code that no payment application could have shown.
	for _, code := range []string{"97]TxxTwPPcI2", "\x1b[A", "abcdefghijkl", "9 9", "97\n97"} {
		if err := (hook.Local{Daemon: d}).Diagnose(t.Context(), "en", code, "", report.OriginUnknown,
			func(report.Diagnosis) {}); err == nil {
			t.Errorf("%q was answered", code)
		}
	}
	for _, bad := range []map[string]any{{"code": "96", "origin": "evil"}, {"code": "9\x016"}, {"code": ""}, {"code": 96},
		{"code": "96", "scheme": "nobody"}, {"cod": "96"}, {"code": strings.Repeat("9", 65)}} {
		if rep := d.command(t.Context(), "diagnose", report.Command{ID: "1", Args: bad}); rep.Result != "refused" || rep.Why == "" {
			t.Errorf("%v: %+v", bad, rep)
		}
	}
	// Who goes on asking waits; the payment application never does.
	refused := false
	for range 20 {
		err := (hook.Local{Daemon: d}).Diagnose(shortly(t), "en", "97", "", report.OriginUnknown, func(report.Diagnosis) {})
		refused = refused || err != nil && strings.Contains(err.Error(), "too many questions")
	}
	if !refused {
		t.Error("20 questions in a row were all taken")
	}
	ask(t, client, map[string]any{"type": "code", "code": "91", "origin": "host", "wait": "final"})
	tally := d.loop.TakeTally(time.Now())
	stop()
	if len(tally.Counts) != 2 || tally.Counts[0].Count+tally.Counts[1].Count != 2 {
		t.Errorf("counted %+v, want the two sales", tally.Counts)
	}
	box, err := outbox.Open(filepath.Join(dir, "outbox"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	box.Scan(func(rec outbox.Record) bool {
		if rec.Kind == report.KindDiagnosis && strings.Contains(string(rec.Doc), `"asked":true`) || rec.Kind == report.KindAsked {
			t.Errorf("kept for the fleet: %s", rec.Doc)
		}
		return true
	})
}

// shortly ends a question that is only there to be one too many.
func shortly(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(stop)
	return ctx
}

func historyFact(d *report.Diagnosis, name string) (float64, bool) {
	for _, e := range d.Evidence {
		if e.Check == "txn.history" {
			return e.Facts.Num(name)
		}
	}
	return 0, false
}

// A fakeLink is a way to the fleet that keeps what it is given.
type fakeLink struct {
	asked [][]byte
	site  []report.SiteWord
}

func (f *fakeLink) State() report.Uplink { return report.Uplink{} }
func (f *fakeLink) PublishHealth([]byte) {}
func (f *fakeLink) PublishLoose(kind string, doc []byte) {
	if kind == report.KindAsked {
		f.asked = append(f.asked, doc)
	}
}
func (f *fakeLink) TellSite(w report.SiteWord) { f.site = append(f.site, w) }
func (f *fakeLink) Ping(answer func())         { answer() }
func (f *fakeLink) Counts(map[string]int64)    {}

// Only the end of a sale ends it.
func TestWhatEndsASale(t *testing.T) {
	txn := func(mti, stan string) *report.Txn { return &report.Txn{MTI: mti, STAN: stan} }
	now := time.Now()
	for name, c := range map[string]struct {
		seen source.Seen
		ends bool
	}{
		"its code on the hook":               {source.Seen{Channel: report.ChannelHook, Code: "96", Time: now}, true},
		"its code in the log":                {source.Seen{Channel: report.ChannelLog, Code: "96", Time: now, Txn: txn("", "123")}, true},
		"its code on the register link":      {source.Seen{Channel: report.ChannelECR, Code: "96", Time: now}, true},
		"its decline on the wire":            {source.Seen{Channel: report.ChannelCapture, Code: "51", Time: now, Txn: txn("0210", "000123")}, true},
		"its reversal":                       {source.Seen{Channel: report.ChannelHook, Code: "98", Time: now, Txn: txn("0400", "000124")}, true},
		"its approval on the wire":           {source.Seen{Channel: report.ChannelCapture, Code: "00", Time: now, Txn: txn("0210", "000123")}, false},
		"a question on the console":          {source.Seen{Channel: report.ChannelConsole, Code: "96", Time: now}, false},
		"a question of the fleet":            {source.Seen{Channel: report.ChannelCommand, Code: "96", Time: now}, false},
		"a sign-in in the background":        {source.Seen{Channel: report.ChannelCapture, Code: "00", Time: now, Txn: txn("0810", "000009")}, false},
		"a sign-in that fails":               {source.Seen{Channel: report.ChannelCapture, Code: "97", Time: now, Txn: txn("0810", "000009")}, false},
		"a sign-in of 1993":                  {source.Seen{Channel: report.ChannelCapture, Code: "000", Time: now, Txn: txn("1814", "000009")}, false},
		"a download in the background":       {source.Seen{Channel: report.ChannelCapture, Code: "96", Time: now, Txn: txn("0312", "000009")}, false},
		"an administrative message":          {source.Seen{Channel: report.ChannelHook, Code: "00", Time: now, Txn: txn("0630", "")}, false},
		"another sale's code":                {source.Seen{Channel: report.ChannelLog, Code: "96", Time: now, Txn: txn("0210", "000122")}, false},
		"what was written while nobody read": {source.Seen{Channel: report.ChannelLog, Code: "96", Time: now, Late: true}, false},
		"what was written before it began":   {source.Seen{Channel: report.ChannelLog, Code: "96", Time: now.Add(-5 * time.Second)}, false},
	} {
		l := saleLock{runner: probe.NewRunner(nil)}
		l.mark(source.TxnMark{Phase: source.PhaseStart, Txn: report.Txn{STAN: "000123"}}, now)
		l.code(c.seen)
		if l.runner.InSale() == c.ends {
			t.Errorf("%s: in a sale %v", name, l.runner.InSale())
		}
	}
}

// The others of the site are told of a sale's code once a cause is named, once in a while, and of nothing that is over.
func TestTheSiteIsToldOfANamedCause(t *testing.T) {
	now := time.Now()
	said := func(code, cause string, when time.Time) *report.Diagnosis {
		return &report.Diagnosis{Event: report.Event{Code: code, Time: when},
			Causes: []report.Cause{{ID: cause, Segment: "wan"}}}
	}
	link := &fakeLink{}
	d := &daemon{up: link}
	d.tellSite(said("96", report.Unexplained, now), now)
	d.tellSite(said("96", "wan.outage", now.Add(-time.Hour)), now)
	if len(link.site) != 0 {
		t.Errorf("told %+v of what is not named, or over", link.site)
	}
	d.tellSite(said("96", "wan.outage", now), now)
	d.tellSite(said("96", "wan.outage", now), now.Add(time.Minute))
	d.tellSite(said("97", "wan.outage", now), now.Add(time.Minute))
	d.tellSite(said("96", "wan.outage", now), now.Add(2*time.Minute)) // two that take turns
	if len(link.site) != 2 || link.site[0].Code != "96" || link.site[1].Code != "97" {
		t.Errorf("told %+v, want 96 once and 97", link.site)
	}
	(&daemon{}).tellSite(said("96", "wan.outage", now), now) // without a broker
	c := config{}
	c.Labels = map[string]string{"site": "s1"}
	if siteOf(c) != "" {
		t.Error("sites tell each other though nobody asked for it")
	}
	if c.Broker.SiteWords = true; siteOf(c) != "s1" {
		t.Error("the site is not known")
	}
}
