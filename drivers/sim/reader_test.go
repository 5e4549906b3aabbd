package sim

import (
	"cmp"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"posdx/drivers/reader"
	"posdx/drivers/serial"
)

// plugged gives a peer a tty.
func plugged(t testing.TB, peer Peer) *Line {
	t.Helper()
	l := NewLine(filepath.Join(t.TempDir(), "tty"), peer, 1)
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func askReader(t testing.TB, l *Line, echo reader.Echo) (reader.Report, error) {
	t.Helper()
	return askReaderAt(t, l, echo, 115200)
}

func askReaderAt(t testing.TB, l *Line, echo reader.Echo, baud int) (reader.Report, error) {
	t.Helper()
	p, err := serial.Open(serial.Config{Path: l.Path(), Baud: baud, StopBits: stopBits, RTSLow: true, HoldDTR: true})
	if err != nil {
		return reader.Report{}, err
	}
	defer p.Close()
	return reader.AskCCID(t.Context(), p, reader.CCIDConfig{Echo: echo})
}

func TestEveryReaderModelAnswers(t *testing.T) {
	for _, m := range []ReaderModel{GemPCTwin(), GemCorePOSPro(), GemCoreSIMPro(), GemCoreSIMPro2(), SEC1210()} {
		t.Run(m.Name, func(t *testing.T) {
			sim := NewReader(m, 1)
			l := plugged(t, sim)
			baud := cmp.Or(m.Wakes, 115200)
			r, err := askReaderAt(t, l, reader.EchoUnknown, baud)
			if err != nil || r.Model+"-"+r.Firmware != m.Firmware || r.Slot != reader.SlotAbsent || r.Health.Line() != 0 {
				t.Errorf("%+v, %v", r, err)
			}
			sim.Insert()
			if r, err := askReaderAt(t, l, reader.EchoUnknown, baud); err != nil || r.Slot != reader.SlotPresent {
				t.Errorf("with a card: %+v, %v", r, err)
			}
			for _, never := range []byte{reader.PowerOn, reader.PowerOff, reader.Transfer} {
				if n := sim.Asked(never); n != 0 {
					t.Errorf("the probe sent command %02X %d times", never, n)
				}
			}
		})
	}
}

func TestReaderFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*ReaderState)
		err   error
		check func(reader.Report) bool
	}{
		{"silent", func(s *ReaderState) { s.Silent = true }, serial.ErrIdle,
			func(r reader.Report) bool { return r.Health.Silence > 0 }},
		{"babbles", func(s *ReaderState) { s.Babble, s.Silent = true, true }, serial.ErrGarbled,
			func(r reader.Report) bool { return r.Health.Garbage > 0 }},
		{"hardware", func(s *ReaderState) { s.Hardware = true }, nil, func(r reader.Report) bool { return r.Fault == "FB" }},
		{"mute card", func(s *ReaderState) { s.Card, s.Mute = true, true }, nil,
			func(r reader.Report) bool { return r.Slot == reader.SlotMute }},
		{"wrong sums", func(s *ReaderState) { s.BadCRC = 1 }, serial.ErrGarbled, func(r reader.Report) bool { return r.Health.CRC > 0 }},
		{"naks", func(s *ReaderState) { s.NAK = 1 }, serial.ErrGarbled, func(r reader.Report) bool { return r.Health.NAK > 0 }},
		{"no echo", func(s *ReaderState) { s.DropEcho = 1 }, nil, func(r reader.Report) bool { return r.Health.LostEcho > 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim := NewReader(GemPCTwin(), 1)
			l := plugged(t, sim)
			sim.Change(c.fault)
			r, err := askReader(t, l, reader.EchoYes)
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) || !c.check(r) {
				t.Errorf("%+v, %v", r, err)
			}
			sim.Change(func(s *ReaderState) { *s = ReaderState{} })
			if r, err := askReader(t, l, reader.EchoYes); err != nil || r.Health.Line() != 0 {
				t.Errorf("mended: %+v, %v", r, err)
			}
		})
	}
}

func TestReaderUnpluggedAndBack(t *testing.T) {
	sim := NewReader(GemCorePOSPro(), 1)
	l := plugged(t, sim)
	l.Unplug()
	if _, err := askReader(t, l, 0); !errors.Is(err, serial.ErrGone) {
		t.Errorf("unplugged: %v", err)
	}
	if err := l.Plug(); err != nil {
		t.Fatal(err)
	}
	if _, err := askReader(t, l, 0); err != nil {
		t.Errorf("plugged in again: %v", err)
	}
}

func TestReaderUnpluggedMeanwhile(t *testing.T) {
	sim := NewReader(GemCorePOSPro(), 1)
	sim.Change(func(s *ReaderState) { s.Silent = true })
	l := plugged(t, sim)
	p, err := serial.Open(serial.Config{Path: l.Path(), Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ended := make(chan error, 1)
	go func() { _, err := reader.AskCCID(t.Context(), p, reader.CCIDConfig{}); ended <- err }()
	l.Unplug()
	select {
	case err := <-ended:
		if !errors.Is(err, serial.ErrGone) {
			t.Errorf("unplugged: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still asking")
	}
}

func TestSpoiledLine(t *testing.T) {
	l := plugged(t, NewReader(GemPCTwin(), 1))
	l.Spoil(0.2)
	if r, err := askReader(t, l, reader.EchoYes); !errors.Is(err, serial.ErrGarbled) {
		t.Errorf("%+v, %v", r, err)
	}
	l.Spoil(0)
	if _, err := askReader(t, l, reader.EchoYes); err != nil {
		t.Error(err)
	}
}

func TestDirtyHead(t *testing.T) {
	sim := NewReader(GemPCTwin(), 1)
	sim.Change(func(s *ReaderState) { s.Dirty = 0.5 })
	var read int
	for range 200 {
		if sim.Insert() {
			read++
		}
		sim.Remove()
	}
	if read < 70 || read > 130 {
		t.Errorf("half of the cards should fail: %d of 200 read", read)
	}
}
