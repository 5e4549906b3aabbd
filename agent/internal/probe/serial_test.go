package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/drivers/reader"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
)

func plugged(t testing.TB, peer sim.Peer) *sim.Line {
	t.Helper()
	l := sim.NewLine(filepath.Join(t.TempDir(), "tty"), peer, 1)
	if err := l.Plug(); err != nil {
		t.Skipf("no pty here: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// ran asks every probe in a list once and returns the evidence by check.
func ran(t testing.TB, probes []Probe) map[string]report.Evidence {
	t.Helper()
	got := map[string]report.Evidence{}
	for _, p := range probes {
		ctx, cancel := context.WithTimeout(t.Context(), p.Timeout)
		list := p.Run(ctx)
		cancel()
		answered := map[string]bool{}
		for _, e := range list {
			if e.Status == "" || e.Facts == nil || e.Subject != p.Subject {
				t.Errorf("%s: incomplete: %+v", p.Checks[0], e)
			}
			if r, ok := e.Facts.Str("reason"); (e.Status == report.CannotTell || e.Status == report.NotRun) != ok {
				t.Errorf("%s: status %s with reason %q", e.Check, e.Status, r)
			}
			got[e.Check], answered[e.Check] = e, true
		}
		for _, c := range p.Checks {
			if !answered[string(c)] {
				t.Errorf("%s: not answered", c)
			}
		}
	}
	return got
}

// show is what a test compares: the status, then the facts in the order asked for, "-" for an absent one.
func show(e report.Evidence, facts ...string) string {
	words := []string{string(e.Status)}
	for _, f := range facts {
		if v, ok := e.Facts[f]; ok {
			words = append(words, fmt.Sprint(v))
		} else {
			words = append(words, "-")
		}
	}
	return strings.Join(words, " ")
}

func TestReader(t *testing.T) {
	var reads reader.Reads
	s := sim.NewReader(sim.GemPCTwin(), 1)
	l := plugged(t, s)
	probes := Reader(ReaderConfig{Name: "reader0", Port: l.Path(), Dedicated: true, Reads: &reads})
	for _, c := range []struct {
		name                       string
		change                     func(*sim.ReaderState)
		port, selftest, slot, line string
		plug, unplug               bool
	}{
		{name: "healthy", port: "ok ok GemTwin V2.00-GC -", selftest: "cannot-tell -", slot: "ok absent", line: "ok good 0"},
		{name: "a card", change: func(s *sim.ReaderState) { s.Card = true }, port: "ok ok GemTwin V2.00-GC -", selftest: "cannot-tell -", slot: "ok present", line: "ok good 0"},
		{name: "mute card", change: func(s *sim.ReaderState) { s.Mute = true }, port: "ok ok GemTwin V2.00-GC -", selftest: "cannot-tell -", slot: "bad mute", line: "ok good 0"},
		{name: "broken", change: func(s *sim.ReaderState) { *s = sim.ReaderState{Hardware: true} },
			port: "ok ok GemTwin V2.00-GC -", selftest: "bad fault", slot: "ok absent", line: "ok good 0"},
		{name: "silent", change: func(s *sim.ReaderState) { *s = sim.ReaderState{Silent: true} }, port: "bad silent - - -", selftest: "cannot-tell -", slot: "cannot-tell -", line: "ok good 0"},
		{name: "wrong sums", change: func(s *sim.ReaderState) { *s = sim.ReaderState{BadCRC: 1} }, port: "bad garbled - - -", selftest: "cannot-tell -", slot: "cannot-tell -", line: "bad bad 2"},
		{name: "wrong sums again", port: "bad garbled - - -", selftest: "cannot-tell -", slot: "cannot-tell -", line: "bad bad 4"},
		{name: "unplugged", unplug: true, port: "bad gone - - -", selftest: "cannot-tell -", slot: "cannot-tell -", line: "bad bad 4"},
		{name: "plugged in again", plug: true, change: func(s *sim.ReaderState) { *s = sim.ReaderState{} }, port: "ok ok GemTwin V2.00-GC -", selftest: "cannot-tell -", slot: "ok absent", line: "bad bad 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				s.Change(c.change)
			}
			if c.unplug {
				l.Unplug()
			}
			if c.plug {
				if err := l.Plug(); err != nil {
					t.Fatal(err)
				}
			}
			got := ran(t, probes)
			for check, want := range map[string]string{
				show(got["reader.port"], "outcome", "model", "firmware", "reason"): c.port,
				show(got["reader.selftest"], "outcome"):                            c.selftest,
				show(got["reader.slot"], "card"):                                   c.slot,
				show(got["reader.usb"], "reason"):                                  "not-run absent",
				show(got["reader.reads"], "reason"):                                "cannot-tell too-few",
			} {
				if check != want {
					t.Errorf("got  %s\nwant %s", check, want)
				}
			}
			if line := show(got["reader.line"], "level", "crc"); line != c.line {
				t.Errorf("line: got %s, want %s", line, c.line)
			}
		})
	}
}

func TestNEOReader(t *testing.T) {
	s := sim.NewNEOReader()
	l := plugged(t, s)
	probes := Reader(ReaderConfig{Port: l.Path(), Dedicated: true, Protocol: "neo"})
	for _, c := range []struct {
		name           string
		state          sim.NEOState
		port, selftest string
	}{
		{"does not know the self-test", sim.NEOState{Firmware: "NEO v1.00.043"}, "ok ok NEO v1.00.043", "cannot-tell - -"},
		{"sums the other way round", sim.NEOState{Firmware: "NEO v1.00.043", Swapped: true}, "ok ok NEO v1.00.043", "cannot-tell - -"},
		{"refuses everything", sim.NEOState{Refuses: true}, "cannot-tell - - -", "cannot-tell - -"},
		{"opened", sim.NEOState{Tampered: true}, "ok ok - -", "bad tamper 1D"},
		{"insecure", sim.NEOState{Insecure: true}, "ok ok - -", "bad fault 12"},
		{"self-checked", sim.NEOState{Firmware: "NEO v1.00.043", Check: []byte{0x11, 1, 0, 0x12, 1, 0}}, "ok ok NEO v1.00.043", "ok ok -"},
		{"a switch is open", sim.NEOState{Firmware: "NEO v1.00.043", Check: []byte{0x11, 1, 2, 0x12, 1, 0}}, "ok ok NEO v1.00.043", "bad tamper 11:02"},
		{"too hot", sim.NEOState{Firmware: "NEO v1.00.043", Check: []byte{0x11, 1, 0, 0x12, 1, 1}}, "ok ok NEO v1.00.043", "bad fault 12:01"},
		{"silent", sim.NEOState{Silent: true}, "bad silent - -", "cannot-tell - -"},
	} {
		s.Change(func(s *sim.NEOState) { *s = c.state })
		got := ran(t, probes)
		if port := show(got["reader.port"], "outcome", "model", "firmware"); port != c.port {
			t.Errorf("%s: got %s, want %s", c.name, port, c.port)
		}
		if st := show(got["reader.selftest"], "outcome", "code"); st != c.selftest {
			t.Errorf("%s: got %s, want %s", c.name, st, c.selftest)
		}
	}
}

func TestDialUpModem(t *testing.T) {
	l := plugged(t, sim.NewModem(sim.Plain(), sim.GoodModem(), 1))
	got := ran(t, Modem(ModemConfig{Port: l.Path(), Dedicated: true, DialUp: true}))
	for check, want := range map[string]string{"modem.port": "ok -", "modem.sim": "not-run absent", "modem.registration": "not-run absent", "modem.line": "not-run policy"} {
		if s := show(got[check], "reason"); s != want {
			t.Errorf("%s: %s, want %s", check, s, want)
		}
	}
}

func TestReaderInUse(t *testing.T) {
	l := plugged(t, sim.NewReader(sim.GemPCTwin(), 1))
	housetest.Hold(t, l.Path())
	got := ran(t, Reader(ReaderConfig{Port: l.Path()}))
	for _, c := range []string{"reader.port", "reader.selftest", "reader.slot"} {
		if s := show(got[c], "reason"); s != "cannot-tell in-use" {
			t.Errorf("%s: %s", c, s)
		}
	}
	// What can be seen without the port still is.
	if s := show(got["reader.line"], "reason"); s != "cannot-tell unsupported" {
		t.Errorf("line: %s", s)
	}
}

// Who cannot see whether somebody holds a port stays away from it, unless it is his alone.
func TestBlindStaysAway(t *testing.T) {
	if path := os.Getenv("POSDX_BLIND"); path != "" {
		for _, dedicated := range []bool{false, true} {
			fmt.Printf("dedicated %v: %s\n", dedicated, show(ran(t, Reader(ReaderConfig{Port: path, Dedicated: dedicated}))["reader.port"], "outcome", "reason"))
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to become nobody")
	}
	const nobody = 65534
	l := plugged(t, sim.NewReader(sim.GemPCTwin(), 1))
	tty, err := filepath.EvalSymlinks(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tty, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBlindStaysAway$")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "POSDX_BLIND="+tty)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("an emulated program cannot start itself as nobody")
	}
	if want := "dedicated false: cannot-tell - permission\ndedicated true: ok ok -\n"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNothingFitted(t *testing.T) {
	for _, list := range [][]Probe{Reader(ReaderConfig{}), Modem(ModemConfig{}), {Absent("pinpad0", "pinpad.port"), Absent("printer0", "printer.status")}} {
		for check, e := range ran(t, list) {
			if s := show(e, "reason"); s != "not-run absent" {
				t.Errorf("%s: %s", check, s)
			}
		}
	}
}

func TestUnknownProtocol(t *testing.T) {
	l := plugged(t, sim.NewReader(sim.GemPCTwin(), 1))
	if s := show(ran(t, Reader(ReaderConfig{Port: l.Path(), Dedicated: true, Protocol: "morse"}))["reader.port"], "reason"); s != "cannot-tell unsupported" {
		t.Error(s)
	}
}

func TestDirtyReader(t *testing.T) {
	var reads reader.Reads
	s := sim.NewReader(sim.GemPCTwin(), 1)
	probes := Reader(ReaderConfig{Port: "/dev/null", Reads: &reads})[2:]
	now := time.Now().Add(-time.Hour)
	sell := func(cards int) string {
		for range cards {
			now = now.Add(2 * time.Minute)
			reads.Note(reader.Attempt{At: now, OK: s.Insert()})
			s.Remove()
		}
		return show(ran(t, probes)["reader.reads"], "level", "cards", "cards_failed", "reason")
	}
	if got := sell(4); got != "cannot-tell - 4 0 too-few" {
		t.Error(got)
	}
	if got := sell(4); got != "ok good 8 0 -" {
		t.Error(got)
	}
	s.Change(func(s *sim.ReaderState) { s.Dirty = 1 })
	if got := sell(3); got != "ok poor 11 3 -" {
		t.Error(got)
	}
	if got := sell(6); got != "bad bad 17 9 -" {
		t.Error(got)
	}
}

func TestModem(t *testing.T) {
	s := sim.NewModem(sim.Plain(), sim.GoodModem(), 1)
	l := plugged(t, s)
	probes := Modem(ModemConfig{Port: l.Path(), APN: "cmiot", Dedicated: true})
	for _, c := range []struct {
		name                        string
		change                      func(*sim.ModemState)
		port, sim, reg, sig, bearer string
	}{
		{"healthy", nil, "ok ok", "ok ready", "ok home 4g", "ok good -85 -65", "ok true true 10.64.12.7 true -"},
		{"weak", func(s *sim.ModemState) { s.RSRP, s.CSQ = 22, 4 }, "ok ok", "ok ready", "ok home 4g", "ok good -85 -65", "ok true true 10.64.12.7 true -"}, // one sample of four
		{"still", nil, "ok ok", "ok ready", "ok home 4g", "ok good -85 -65", "ok true true 10.64.12.7 true -"},
		{"for good", nil, "ok ok", "ok ready", "ok home 4g", "bad bad -119 -105", "ok true true 10.64.12.7 true -"},
		{"no sim", func(s *sim.ModemState) {
			*s = sim.GoodModem()
			s.SIM, s.Stat, s.Attached, s.Active = "10", 0, false, false
		},
			"ok ok", "bad missing", "bad idle -", "bad bad -119 -105", "bad false false - true -"},
		{"denied", func(s *sim.ModemState) { *s = sim.GoodModem(); s.Stat, s.Attached, s.Active = 3, false, false },
			"ok ok", "ok ready", "bad denied -", "bad bad -119 -105", "bad false false - true -"},
		{"no context", func(s *sim.ModemState) { *s = sim.GoodModem(); s.Active, s.CEER = false, `"Missing or unknown APN"` },
			"ok ok", "ok ready", "ok home 4g", "ok good -85 -65", "bad true false - true Missing or unknown APN"},
		{"silent", func(s *sim.ModemState) { s.Silent = true }, "bad silent", "cannot-tell -", "cannot-tell - -", "cannot-tell - - -", "cannot-tell - - - - -"},
		{"rubbish", func(s *sim.ModemState) { *s = sim.GoodModem(); s.Garbage = 1 }, "bad garbled", "cannot-tell -", "cannot-tell - -", "cannot-tell - - -", "cannot-tell - - - - -"},
		{"unplugged", nil, "bad gone", "cannot-tell -", "cannot-tell - -", "cannot-tell - - -", "cannot-tell - - - - -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				s.Change(c.change)
			}
			if c.name == "unplugged" {
				l.Unplug()
			}
			got := ran(t, probes)
			for what, pair := range map[string][2]string{
				"port":   {show(got["modem.port"], "outcome"), c.port},
				"sim":    {show(got["modem.sim"], "state"), c.sim},
				"reg":    {show(got["modem.registration"], "state", "tech"), c.reg},
				"signal": {show(got["modem.signal"], "level", "rsrp_dbm", "rssi_dbm"), c.sig},
				"bearer": {show(got["modem.bearer"], "attached", "context_active", "address", "apn_ok", "cause"), c.bearer},
				"line":   {show(got["modem.line"], "reason"), "not-run absent"},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: got %s, want %s", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestModemInUse(t *testing.T) {
	l := plugged(t, sim.NewModem(sim.Plain(), sim.GoodModem(), 1))
	housetest.Hold(t, l.Path())
	for check, e := range ran(t, Modem(ModemConfig{Port: l.Path()})) {
		want := "cannot-tell in-use"
		if check == "modem.line" {
			want = "not-run absent"
		}
		if s := show(e, "reason"); s != want {
			t.Errorf("%s: %s", check, s)
		}
	}
}

// No identifier of a modem or its SIM may be in any evidence.
func TestModemIsAnonymous(t *testing.T) {
	l := plugged(t, sim.NewModem(sim.ModemMake{Maker: "001017003456784", Model: "001017003456784", Firmware: "4111 1111 1111 1111"}, sim.GoodModem(), 1))
	for check, e := range ran(t, Modem(ModemConfig{Port: l.Path(), Dedicated: true})) {
		if s := fmt.Sprint(e.Facts); strings.Contains(s, "0034567") || strings.Contains(s, "1111") {
			t.Errorf("%s: %s", check, s)
		}
	}
}

func TestProbesLeaveNothingBehind(t *testing.T) {
	cycles := 100
	if os.Getenv("POSDX_LONG") != "" {
		cycles = 10_000
	}
	rl := plugged(t, sim.NewReader(sim.GemCorePOSPro(), 1))
	ml := plugged(t, sim.NewModem(sim.Plain(), sim.GoodModem(), 1))
	probes := append(Reader(ReaderConfig{Port: rl.Path(), Dedicated: true}),
		Modem(ModemConfig{Port: ml.Path(), Dedicated: true})...)
	for range 3 {
		ran(t, probes)
	}
	fds, gos := housetest.Descriptors(t), runtime.NumGoroutine()
	for range cycles {
		if got := ran(t, probes); got["reader.port"].Status != report.OK || got["modem.port"].Status != report.OK {
			t.Fatalf("%+v", got)
		}
	}
	if n := housetest.Descriptors(t); n > fds {
		t.Errorf("%d cycles: %d descriptors before, %d after", cycles, fds, n)
	}
	for i := 0; runtime.NumGoroutine() > gos+2; i++ {
		if i > 1e6 {
			t.Fatalf("%d cycles: %d goroutines before, %d after", cycles, gos, runtime.NumGoroutine())
		}
		runtime.Gosched()
	}
}
