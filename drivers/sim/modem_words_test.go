package sim

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/drivers/modem"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// allowed is every command line that a terminal's modem may ever hear from us. Each reads; the one that sets, +CMEE=1,
// is taken back before anything else is asked. What is not here: +++ and ATO (a call), ATZ and AT&F (erase AT#UD and
// the profile), ATE, ATV and ATQ (settings), +COPS= (searches for minutes), +CFUN= (restarts), +CREG= (settings),
// whatever dials, writes to a SIM or asks who the subscriber is.
var allowed = []string{
	"AT", "ATI", "AT+CGMI", "AT+GMI", "AT+CGMM", "AT+GMM", "AT+CGMR", "AT+GMR",
	"AT+CPIN?", "AT+CMEE?", "AT+CMEE=1", "AT+CMEE=0", "AT+QSIMSTAT?", "AT^SYSINFOEX",
	"AT+CEREG?", "AT+CGREG?", "AT+CREG?", "AT+C5GREG?", "AT+COPS?", "AT+QNWINFO", "AT+CNSMOD?",
	"AT+CSQ", "AT+CESQ", "AT+QCSQ", `AT+QENG="servingcell"`, "AT+CPSI?", "AT^HCSQ?", "AT+GTCCINFO?", "AT^CELLINFO=1",
	"AT+CGATT?", "AT+CGACT?", "AT+CGPADDR", "AT+CGDCONT?", "AT+CGCONTRDP", "AT+CEER",
	"AT+CFUN?", "AT+WS46=?", "ATS3?", "ATS4?", "ATS5?", "AT:R6C", "AT#UD",
}

// A witness notes every byte that a peer is told.
type witness struct {
	Peer
	mu   sync.Mutex
	told []byte
	hook func(told []byte) // called with all so far
}

func (w *witness) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return w.Peer.Serve(ctx, &witnessed{rw, w})
}

type witnessed struct {
	io.ReadWriteCloser
	w *witness
}

func (r *witnessed) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.told = append(r.w.told, b[:n]...)
	if r.w.hook != nil {
		r.w.hook(r.w.told)
	}
	return n, err
}

func (w *witness) lines(t *testing.T) []string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) > 0 && w.told[len(w.told)-1] != '\r' {
		t.Errorf("the last word has no end: %q", w.told)
	}
	return strings.Split(strings.TrimSuffix(string(w.told), "\r"), "\r")
}

// Every byte that the driver can send, over all makes, all states and all troubles, is on the list.
func TestOnlyAllowedWords(t *testing.T) {
	states := map[string]func(*ModemState){
		"good": func(*ModemState) {}, "no sim": func(s *ModemState) { s.SIM, s.Stat, s.Attached, s.Active = "10", 0, false, false },
		"pin": func(s *ModemState) { s.SIM = "SIM PIN" }, "denied": func(s *ModemState) { s.Stat, s.Attached, s.Active = 3, false, false },
		"2g": func(s *ModemState) { s.Act = 0 }, "no signal": func(s *ModemState) { s.CSQ, s.RSRP, s.RSRQ = 99, 255, 255 },
		"no context": func(s *ModemState) { s.Active, s.APN = false, "" }, "no apn": func(s *ModemState) { s.APN = "" },
		"rubbish": func(s *ModemState) { s.Garbage = 0.3 }, "flood": func(s *ModemState) { s.Flood = true },
		"digits": func(s *ModemState) { s.V0 = true },
		"dies":   func(s *ModemState) { s.Dies = true }, "silent": func(s *ModemState) { s.Silent = true },
		"muxed": func(s *ModemState) { s.Muxed = true },
	}
	said := map[string]bool{}
	var mu sync.Mutex
	var visits sync.WaitGroup
	atOnce := make(chan struct{}, 32) // they wait more than they work
	for _, maker := range []ModemMake{{}, Plain(), Quectel(), SIMCom(), Huawei(), Fibocom(), MeiG(), Wavecom(), DialUp()} {
		for name, state := range states {
			sim := NewModem(maker, GoodModem(), 1)
			sim.Change(state)
			w := &witness{Peer: sim}
			l := plugged(t, w)
			atOnce <- struct{}{}
			visits.Go(func() {
				defer func() { <-atOnce }()
				askModem(t, l, modem.Config{APN: "cmiot", DialUp: maker == DialUp(), Samples: 2})
				l.Unplug()
				mu.Lock()
				defer mu.Unlock()
				reasons := false
				for i, line := range w.lines(t) {
					if line == "" {
						continue // the end of a line that was broken off
					}
					if !slices.Contains(allowed, line) {
						t.Errorf("%s, %s: word %d is %q", maker.Maker, name, i, line)
					}
					if strings.HasPrefix(line, "AT+CMEE=") {
						reasons = line == "AT+CMEE=1"
					}
					said[line] = true
				}
				if reasons {
					t.Errorf("%s, %s: +CMEE=1 was not taken back: %q", maker.Maker, name, w.lines(t))
				}
			})
		}
	}
	visits.Wait()
	for _, a := range allowed { // a list with words that nobody says is a list that nobody reads
		if !said[a] {
			t.Errorf("%s is never said", a)
		}
	}
}

// Wherever a visit is broken off, the modem is as it was: a sale may begin at any word.
func TestBrokenOffAnywhere(t *testing.T) {
	for n := 1; n <= 24; n++ {
		sim := NewModem(Plain(), GoodModem(), 1)
		sim.Change(func(s *ModemState) { s.SIM, s.Stat, s.Attached, s.Active = "10", 0, false, false })
		ctx, cancel := context.WithCancel(t.Context())
		w := &witness{Peer: sim, hook: func(told []byte) {
			if bytes.Count(told, []byte("\r")) >= n {
				cancel()
			}
		}}
		p, err := serial.Open(serial.Config{Path: plugged(t, w).Path(), Baud: 115200, HoldDTR: true})
		if err != nil {
			t.Fatal(err)
		}
		modem.Ask(ctx, p, modem.Config{APN: "cmiot"})
		p.Close()
		cancel()
		restored := func() bool { sim.mu.Lock(); defer sim.mu.Unlock(); return sim.cmee == 0 }
		if !housetest.Within(20*time.Second, restored) {
			t.Errorf("broken off at word %d: +CMEE is left at 1; it heard %q", n, sim.Heard())
		}
	}
}
