package sim

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"posdx/drivers/modem"
	"posdx/drivers/serial"
)

func askModem(t testing.TB, l *Line, c modem.Config) (modem.Report, error) {
	t.Helper()
	p, err := serial.Open(serial.Config{Path: l.Path(), Baud: 115200, HoldDTR: true})
	if err != nil {
		return modem.Report{}, err
	}
	defer p.Close()
	return modem.Ask(t.Context(), p, c)
}

func TestEveryModemMakeAnswers(t *testing.T) {
	for _, c := range []struct {
		make ModemMake
		want modem.Signal
	}{
		{Plain(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: modem.NoValue, BER: modem.NoValue}},
		{Quectel(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: modem.NoValue, BER: modem.NoValue}},
		{SIMCom(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: 17, BER: modem.NoValue}},
		{Huawei(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: 17, BER: modem.NoValue}},
		{Fibocom(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: modem.NoValue, BER: modem.NoValue}},
		{MeiG(), modem.Signal{RSSI: -65, RSRP: -85, RSRQ: -8, SINR: 17, BER: modem.NoValue}},
	} {
		t.Run(c.make.Maker, func(t *testing.T) {
			sim := NewModem(c.make, GoodModem(), 1)
			r, err := askModem(t, plugged(t, sim), modem.Config{APN: "CMIOT"})
			if err != nil {
				t.Fatal(err)
			}
			if r.SIM != modem.SIMReady || r.Registration != modem.RegHome || r.Tech != "4g" || r.Model == "" || r.Firmware == "" {
				t.Errorf("%+v", r)
			}
			if len(r.Signals) != 1 || r.Signals[0].RSSI != c.want.RSSI || r.Signals[0].RSRP != c.want.RSRP ||
				r.Signals[0].RSRQ != c.want.RSRQ ||
				(r.Signals[0].SINR-c.want.SINR) > 0.3 || (r.Signals[0].SINR-c.want.SINR) < -0.3 {
				t.Errorf("signal %+v, want %+v", r.Signals, c.want)
			}
			if b := r.Bearer; !b.Attached || !b.Active || b.Address.String() != "10.64.12.7" || !b.APN || !b.APNKnown || b.Cause != "" {
				t.Errorf("bearer %+v", b)
			}
		})
	}
}

func TestModemTroubles(t *testing.T) {
	for _, c := range []struct {
		name  string
		state func(*ModemState)
		check func(modem.Report) bool
	}{
		{"no sim", func(s *ModemState) { s.SIM, s.Stat, s.Attached, s.Active = "10", 0, false, false },
			func(r modem.Report) bool { return r.SIM == modem.SIMMissing && r.Registration == modem.RegIdle }},
		{"pin", func(s *ModemState) { s.SIM = "SIM PIN" }, func(r modem.Report) bool { return r.SIM == modem.SIMPIN }},
		{"puk", func(s *ModemState) { s.SIM = "SIM PUK" }, func(r modem.Report) bool { return r.SIM == modem.SIMPUK }},
		{"sim failure", func(s *ModemState) { s.SIM = "13" }, func(r modem.Report) bool { return r.SIM == modem.SIMFailure }},
		{"denied", func(s *ModemState) { s.Stat, s.Attached, s.Active = 3, false, false },
			func(r modem.Report) bool { return r.Registration == modem.RegDenied && !r.Bearer.Attached }},
		{"searching", func(s *ModemState) { s.Stat = 2 }, func(r modem.Report) bool { return r.Registration == modem.RegSearching }},
		{"roaming", func(s *ModemState) { s.Stat = 5 },
			func(r modem.Report) bool { return r.Registration == modem.RegRoaming && r.Tech == "4g" }},
		{"2g", func(s *ModemState) { s.Act = 0 }, func(r modem.Report) bool {
			return r.Registration == modem.RegHome && r.Tech == "2g" && r.Signals[0].RSSI == -65 &&
				r.Signals[0].RSRP == modem.NoValue
		}},
		{"no signal", func(s *ModemState) { s.CSQ, s.RSRP, s.RSRQ = 99, 255, 255 },
			func(r modem.Report) bool { return len(r.Signals) == 0 }},
		{"no context", func(s *ModemState) { s.Active, s.CEER = false, `"Requested service option not subscribed"` },
			func(r modem.Report) bool {
				return r.Bearer.Attached && r.Bearer.ActiveKnown && !r.Bearer.Active && !r.Bearer.Address.IsValid() &&
					r.Bearer.Cause == "Requested service option not subscribed"
			}},
		{"wrong apn", func(s *ModemState) { s.APN = "internet" }, func(r modem.Report) bool { return r.Bearer.APNKnown && !r.Bearer.APN }},
		{"IMS is context 1", func(s *ModemState) { s.IMS = true }, func(r modem.Report) bool {
			return allGood(r) && r.Bearer.Address == netip.MustParseAddr("10.64.12.7")
		}},
		{"IMS alone is up", func(s *ModemState) { s.IMS, s.Active = true, false },
			func(r modem.Report) bool { return r.Bearer.ActiveKnown && !r.Bearer.Active }},
		{"flight mode", func(s *ModemState) { s.RadioOff = true }, func(r modem.Report) bool {
			return r.Radio == modem.RadioOff && r.SIM == modem.SIMReady && r.Registration == modem.RegIdle
		}},
		{"locked to a network", func(s *ModemState) { s.SIM = "40" }, func(r modem.Report) bool { return r.SIM == modem.SIMLocked }},
		{"no echo", func(s *ModemState) { s.Echo = 0 }, allGood},
		{"echo twice", func(s *ModemState) { s.Echo = 2 }, allGood},
		{"digits for results", func(s *ModemState) { s.V0 = true }, allGood},
		{"flood of unasked lines", func(s *ModemState) { s.Flood = true }, allGood},
		{"slow", func(s *ModemState) { s.Late = 30 * time.Millisecond }, allGood},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := NewModem(Plain(), GoodModem(), 1)
			sim.Change(c.state)
			r, err := askModem(t, plugged(t, sim), modem.Config{APN: "cmiot"})
			if err != nil || !c.check(r) {
				t.Errorf("%+v, %v", r, err)
			}
			// It may ask for numbers instead of plain ERROR, but must put that back.
			sim.mu.Lock()
			defer sim.mu.Unlock()
			if sim.cmee != 0 {
				t.Errorf("left +CMEE at %d", sim.cmee)
			}
		})
	}
}

// A visit that gave up on a slow answer, and the next one at once: nothing of the first is taken for the second's, on
// any make.
func TestTheNextVisitAtOnce(t *testing.T) {
	for _, maker := range []ModemMake{Plain(), Quectel(), SIMCom(), Huawei(), Fibocom(), MeiG(), Wavecom(), DialUp()} {
		t.Run(maker.Maker, func(t *testing.T) {
			t.Parallel()
			sim := NewModem(maker, GoodModem(), 1)
			l := plugged(t, sim)
			c := modem.Config{APN: "cmiot", DialUp: maker == DialUp()}
			sim.Change(func(s *ModemState) { s.Late = 250 * time.Millisecond })
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond) // in the middle of an answer
			defer cancel()
			p, err := serial.Open(serial.Config{Path: l.Path(), Baud: 115200, HoldDTR: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := modem.Ask(ctx, p, c); err == nil {
				t.Error("the first visit was to be broken off")
			}
			p.Close()
			sim.Change(func(s *ModemState) { s.Late = 0 })
			r, err := askModem(t, l, c)
			if err != nil || r.Maker != maker.Maker || r.Model != maker.Model || r.Firmware != maker.Firmware || !c.DialUp &&
				(r.SIM != modem.SIMReady || r.Registration != modem.RegHome || !r.Bearer.APN) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func allGood(r modem.Report) bool {
	return r.Model == "simulated 27.007 modem" && r.SIM == modem.SIMReady && r.Registration == modem.RegHome &&
		len(r.Signals) == 1 && r.Signals[0].RSRP == -85 &&
		r.Bearer.Active && r.Bearer.APN
}

func TestModemDeadly(t *testing.T) {
	for _, c := range []struct {
		name  string
		state func(*ModemState)
		err   error
	}{
		{"silent", func(s *ModemState) { s.Silent = true }, serial.ErrIdle},
		{"rubbish", func(s *ModemState) { s.Garbage = 1 }, serial.ErrGarbled},
		{"under a multiplexer", func(s *ModemState) { s.Muxed = true }, modem.ErrFrames},
		{"dies mid-answer", func(s *ModemState) { s.Dies = true }, serial.ErrGarbled},
		{"far too late", func(s *ModemState) { s.Late = time.Hour }, serial.ErrIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim := NewModem(Plain(), GoodModem(), 1)
			sim.Change(c.state)
			l := plugged(t, sim)
			start := time.Now()
			if r, err := askModem(t, l, modem.Config{}); !errors.Is(err, c.err) {
				t.Errorf("%+v, %v", r, err)
			}
			t.Logf("known after %v", time.Since(start))
		})
	}
}

func TestModemUnplugged(t *testing.T) {
	sim := NewModem(Plain(), GoodModem(), 1)
	l := plugged(t, sim)
	l.Unplug()
	if _, err := askModem(t, l, modem.Config{}); !errors.Is(err, serial.ErrGone) {
		t.Errorf("unplugged: %v", err)
	}
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	if _, err := askModem(t, l, modem.Config{}); err != nil {
		t.Errorf("back: %v", err)
	}
}
