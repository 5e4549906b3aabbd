package registerlink

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/source/sourcetest"
	"posdx/drivers/ecr"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// A fakeRelay sends copies as agent/internal/relay does.
type fakeRelay struct {
	t    *testing.T
	path string
	c    *net.UnixConn
}

func (r *fakeRelay) send(c serial.Copy) {
	r.t.Helper()
	housetest.Until(r.t, "the daemon takes a copy", func() bool {
		if r.c == nil {
			var err error
			if r.c, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: r.path, Net: "unixgram"}); err != nil {
				return false
			}
			r.t.Cleanup(func() { r.c.Close() })
		}
		c.Time = time.Now()
		_, err := r.c.Write(c.Append(nil))
		return err == nil
	})
}

// listenTo starts to hear copies.
func listenTo(t *testing.T, d *sourcetest.FakeDaemon, framing, path string) (*Link, *housetest.Buffer, func()) {
	t.Helper()
	log := &housetest.Buffer{}
	e := &Link{Name: "ecr0", Framing: framing, Copies: path, Log: slog.New(slog.NewTextHandler(log, nil)),
		reopen: time.Millisecond, quiet: sourcetest.Soon}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, d) }()
	done := false
	stop := func() {
		if done {
			return
		}
		done = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(sourcetest.Soon):
			t.Error("does not end")
		}
	}
	t.Cleanup(stop)
	return e, log, stop
}

func TestCopiesOfARelay(t *testing.T) {
	r := &fakeRelay{t: t, path: filepath.Join(t.TempDir(), "ecr0.relay")}
	d := sourcetest.NewDaemon()
	e, log, _ := listenTo(t, d, ecr.MISPOS, r.path)
	frame := misposResult("97")
	// in the middle of one
	r.send(serial.Copy{From: serial.FromDevice, Device: true, App: true, Data: frame[5:],
		Errors: serial.Counters{Parity: 3}})
	r.send(serial.Copy{From: serial.FromApp, Device: true, App: true, Data: []byte{0x15}})
	for i := range frame {
		r.send(serial.Copy{From: serial.FromDevice, Device: true, App: true, Data: frame[i : i+1],
			Errors: serial.Counters{Parity: 4}})
	}
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
	if s := d.All()[0]; s.Code != "97" || s.Channel != "ecr" {
		t.Errorf("%+v", s)
	}
	got := e.Lines()
	if got[0].Counts != (ecr.Counts{Frames: 1}) || got[0].Errors.Parity != 4 || !got[0].Open || !got[1].Open ||
		got[0].Missed != 0 {
		t.Errorf("lines %+v", got)
	}
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	r.send(serial.Copy{})
	housetest.Until(t, "the device is away", func() bool { l := e.Lines(); return !l[0].Open && !l[1].Open })
	if s := fmt.Sprintf("%+v %s", d.All(), log); strings.Contains(s, "622202") {
		t.Errorf("a card number came out: %s", s)
	}
}

// What was not heard must not be read together with what came before it, nor be counted as the line's fault.
func TestAGapIsNoFaultOfTheLine(t *testing.T) {
	for _, framing := range []string{ecr.MISPOS, ecr.Transbank, ecr.ECR17, ecr.ZVT, ecr.ABECS} {
		t.Run(framing, func(t *testing.T) {
			r := &fakeRelay{t: t, path: filepath.Join(t.TempDir(), "s")}
			d := sourcetest.NewDaemon()
			e, _, _ := listenTo(t, d, framing, r.path)
			frame := resultFrames[framing]
			r.send(serial.Copy{Data: bytes.Clone(frame[:len(frame)/2])})
			r.send(serial.Copy{Data: append(bytes.Clone(frame[len(frame)-2:]), frame...), Lost: uint32(len(frame)/2 - 2)})
			housetest.Until(t, "the code behind the gap is seen", func() bool { return len(d.All()) == 1 })
			if l := e.Lines()[0]; l.Counts != (ecr.Counts{Frames: 1}) || l.Missed != uint64(len(frame)/2-2) {
				t.Errorf("%+v", l)
			}
		})
	}
}

// resultFrames is a result in every framing, with sums worked out by a program of its own.
var resultFrames = map[string][]byte{
	ecr.MISPOS:    []byte("\x02\x00\x09\xDF\x01\x01\x00\xDF\x07\x0297\x03\x01"),
	ecr.Transbank: []byte("\x020210|02|597029414300|75001088\x03\x7F"),
	ecr.ECR17:     []byte("\x02123456780E01\x03\x03"),
	ecr.ZVT:       []byte("\x10\x02\x06\x1E\x01\x6C\x10\x03\xC9\xF2"),
	ecr.ABECS:     []byte("\x16GCR041\x17\x50\x17"),
}

func TestCopiesAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 3 { // the socket of the one before lies in the way
		d := sourcetest.NewDaemon()
		_, _, stop := listenTo(t, d, ecr.MISPOS, path)
		r := &fakeRelay{t: t, path: path}
		r.send(serial.Copy{Data: misposResult("91")})
		housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
		stop()
	}
}

func TestCopiesThatAreNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	d := sourcetest.NewDaemon()
	e, _, _ := listenTo(t, d, ecr.MISPOS, path)
	r := &fakeRelay{t: t, path: path}
	r.send(serial.Copy{Device: true})
	for _, b := range [][]byte{{}, []byte("posdx"), bytes.Repeat([]byte{0xFF}, 5000),
		serial.Copy{Data: make([]byte, 2000)}.Append(nil)} {
		if _, err := r.c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	r.send(serial.Copy{Data: misposResult("91"), Device: true})
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
	if l := e.Lines(); l[0].Counts != (ecr.Counts{Frames: 1}) {
		t.Errorf("%+v", l)
	}
}

func TestPingOfAllThatListens(t *testing.T) {
	far, a := housetest.HeldTTY(t)
	_, b := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	e, _ := hear(t, d, ecr.MISPOS, a, b)
	housetest.Until(t, "both ports open", open(e))
	frame := misposResult("97")
	far.Write(frame[:7])
	for range 20 { // a question in the middle of a frame cuts nothing
		answered := make(chan struct{})
		e.Ping(func() { close(answered) })
		select {
		case <-answered:
		case <-time.After(sourcetest.Soon):
			t.Fatal("no answer")
		}
	}
	far.Write(frame[7:])
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
	// Only an ear that hangs does not answer.
	e.pulses[1].mu.Lock()
	e.pulses[1].port = deaf{}
	e.pulses[1].mu.Unlock()
	var all atomic.Bool
	e.Ping(func() { all.Store(true) })

	relayed, _, stop := listenTo(t, sourcetest.NewDaemon(), ecr.MISPOS, filepath.Join(t.TempDir(), "s"))
	answered := make(chan struct{})
	relayed.Ping(func() { close(answered) })
	select {
	case <-answered:
	case <-time.After(sourcetest.Soon):
		t.Fatal("no answer")
	}
	stop()
	relayed.Ping(func() {}) // after the end
	if all.Load() {
		t.Error("an ear that hangs answers")
	}
}

type deaf struct{}

func (deaf) SetReadDeadline(time.Time) error { return nil }
