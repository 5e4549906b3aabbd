package registerlink

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/drivers/serial"
	"posdx/firmware-build/housetest"
)

// misposResult is a result as a MIS-POS terminal frames it, with a card number beside it.
func misposResult(result string) []byte {
	data := "\xDF\x01\x01\x00\xDF\x1E\x106222020000000003\xDF\x07" + string(rune(len(result))) + result
	b := []byte{0, byte(len(data)/10<<4 | len(data)%10)}
	b = append(append(b, data...), 3)
	sum := byte(0)
	for _, c := range b {
		sum ^= c
	}
	return append(append([]byte{2}, b...), sum)
}

// hear starts to listen and returns what stops it and waits for its end.
// A busy machine delays bytes longer than a line does, so a frame is not given up but where that is the question.
func hear(t *testing.T, d *sourcetest.FakeDaemon, framing string, paths ...string) (*Link, *housetest.Buffer) {
	t.Helper()
	return hearAt(t, d, framing, sourcetest.Soon, paths...)
}

func hearAt(t *testing.T, d *sourcetest.FakeDaemon, framing string, quiet time.Duration, paths ...string) (*Link,
	*housetest.Buffer) {
	t.Helper()
	log := &housetest.Buffer{}
	e := &Link{Name: "ecr0", Framing: framing, Log: slog.New(slog.NewTextHandler(log, nil)), reopen: time.Millisecond,
		quiet: quiet}
	for _, p := range paths {
		e.Ports = append(e.Ports, serial.Config{Path: p, Baud: 9600})
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, d) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(sourcetest.Soon):
			t.Error("does not end")
		}
	})
	return e, log
}

func open(e *Link) func() bool {
	return func() bool {
		for _, l := range e.Lines() {
			if !l.Open {
				return false
			}
		}
		return len(e.Lines()) > 0
	}
}

func TestECRHearsBothDirections(t *testing.T) {
	terminal, a := housetest.HeldTTY(t)
	register, b := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	e, log := hear(t, d, ecr.MISPOS, a, b)
	housetest.Until(t, "both ports open", open(e))
	register.Write([]byte("\x02\x00\x19\xDF\x01\x01\x00\xDF\x03\x0C000000012345\x03"))
	// 000000012345 folds to 01
	register.Write([]byte{0x00 ^ 0x19 ^ 0xDF ^ 0x01 ^ 0x01 ^ 0xDF ^ 0x03 ^ 0x0C ^ 0x01 ^ 0x03, 0x15})
	housetest.Until(t, "the sale begins", func() bool { d.Mu.Lock(); defer d.Mu.Unlock(); return len(d.Marks) == 1 })
	if m := d.Marks[0]; m.Phase != source.PhaseStart || m.Channel != report.ChannelECR {
		t.Errorf("mark %+v", m)
	}
	housetest.Until(t, "the NAK is counted", func() bool { return e.Lines()[1].Counts.NAKs == 1 })
	frame := misposResult("97")
	terminal.Write(frame[:7])
	terminal.Write(frame[7:])
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
	terminal.Write(frame) // no ACK came: it is the same result
	terminal.Write(misposResult("\x00\x01\x00\x14"))
	housetest.Until(t, "the terminal's own error is seen", func() bool { return len(d.All()) == 2 })
	terminal.Write(misposResult("00"))
	housetest.Until(t, "the approval is told", func() bool { d.Mu.Lock(); defer d.Mu.Unlock(); return len(d.Marks) == 2 })
	if m := d.Marks[1]; m.Phase != source.PhaseEnd || m.Result != source.ResultApproved {
		t.Errorf("mark %+v", m)
	}
	got := d.All()
	if s := got[0]; s.Code != "97" || s.Origin != report.OriginHost || s.Channel != report.ChannelECR || s.Scheme != "" {
		t.Errorf("first %+v", s)
	}
	if s := got[1]; s.Code != "00010014" || s.Origin != report.OriginTerminal || s.Scheme != "terminal-local" {
		t.Errorf("second %+v", s)
	}
	if l := e.Lines()[0]; l.Counts != (ecr.Counts{Frames: 4}) || l.Heard.IsZero() {
		t.Errorf("line %+v", l)
	}
	if s := fmt.Sprintf("%+v %+v %s", got, d.Marks, log); strings.Contains(s, "622202") {
		t.Errorf("a card number came out: %s", s)
	}
}

// The packet was written by others: see drivers/ecr/testdata.
func TestECRKnowsThatTheHostHasAnswered(t *testing.T) {
	list, err := os.ReadFile("../../../../drivers/ecr/testdata/iso_8583.hex")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(list), "0210 ")
	digits, _, _ := strings.Cut(rest, "\n")
	packet, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil {
		t.Fatal(err)
	}
	packet = packet[2:] // its length
	data := append([]byte{0xDF, 1, 1, 1, 0xDF, 6, 0x82, byte(len(packet) >> 8), byte(len(packet))}, packet...)
	n, _ := hex.DecodeString(fmt.Sprintf("%04d", len(data)))
	frame := append(append(n, data...), 3)
	sum := byte(0)
	for _, c := range frame {
		sum ^= c
	}
	frame = append(append([]byte{2}, frame...), sum)
	begin := []byte("\x02\x00\x03\xDF\x03\x00\x03\xDC") // an amount: the next sale

	far, path := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	e, _ := hear(t, d, ecr.MISPOS, path)
	housetest.Until(t, "the port is open", open(e))
	far.Write(frame)
	far.Write(begin)
	far.Write(frame) // the same code in another sale
	housetest.Until(t, "both codes are seen", func() bool { return len(d.All()) == 2 })
	s := d.All()[0]
	if s.Code != "96" || s.Txn.MTI != "0210" || s.Txn.STAN != "000123" || s.Txn.TerminalID != "10077120" ||
		s.Txn.HostAnswerSeen == nil || !*s.Txn.HostAnswerSeen {
		t.Errorf("%+v %+v", s, s.Txn)
	}
}

func TestECRGivesUpAFrameThatStops(t *testing.T) {
	far, path := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	e, _ := hearAt(t, d, ecr.MISPOS, 0, path)
	housetest.Until(t, "the port is open", open(e))
	frame := misposResult("97")
	far.Write([]byte("\x02\x09\x99\xDF\x01")) // 999 bytes that never come
	housetest.Until(t, "the frame is given up", func() bool { return e.Lines()[0].Counts.Cut == 1 })
	far.Write(frame)
	housetest.Until(t, "the next is read", func() bool { return len(d.All()) == 1 })
}

func TestECRWaitsForAHeldPortAndSaysItOnce(t *testing.T) {
	far, path := housetest.HeldTTY(t)
	holder, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := syscall.Flock(int(holder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	d := sourcetest.NewDaemon()
	e, log := hear(t, d, ecr.MISPOS, path)
	housetest.Until(t, "it is said", func() bool { return strings.Contains(log.String(), "held by another") })
	far.Write([]byte("still his"))
	time.Sleep(20 * time.Millisecond) // some more tries: the count below can only be too small with fewer
	if n := strings.Count(log.String(), "held by another"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log)
	}
	syscall.Flock(int(holder.Fd()), syscall.LOCK_UN)
	housetest.Until(t, "the port is taken", open(e))
	far.Write(misposResult("91"))
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
}

func TestECROpensAgainAfterUnplugging(t *testing.T) {
	far, near := housetest.HeldTTY(t)
	path := t.TempDir() + "/ttyECR"
	if err := os.Symlink(near, path); err != nil {
		t.Fatal(err)
	}
	d := sourcetest.NewDaemon()
	e, log := hear(t, d, ecr.ZVT, path)
	housetest.Until(t, "the port is open", open(e))
	os.Remove(path)
	far.Close()
	housetest.Until(t, "the loss is said", func() bool { return strings.Contains(log.String(), "not there") })
	far, near = housetest.HeldTTY(t)
	if err := os.Symlink(near, path); err != nil {
		t.Fatal(err)
	}
	housetest.Until(t, "the port is open again", func() bool { return strings.Count(log.String(), "is listened to") == 2 && open(e)() })
	far.Write([]byte("\x10\x02\x06\x1E\x01\xA1\x10\x03"))
	sum := uint16(0)
	for _, c := range []byte("\x06\x1E\x01\xA1\x03") {
		for i := range 8 {
			out := sum&1 != 0
			sum >>= 1
			if out != (c>>i&1 != 0) {
				sum ^= 0x8408
			}
		}
	}
	far.Write([]byte{byte(sum), byte(sum >> 8)})
	housetest.Until(t, "the code is seen", func() bool { return len(d.All()) == 1 })
	if s := d.All()[0]; s.Code != "zvt:0xA1" || s.Origin != report.OriginTerminal {
		t.Errorf("%+v", s)
	}
}

func TestECRKeepsCodesForAFullSink(t *testing.T) {
	far, path := housetest.HeldTTY(t)
	d := sourcetest.NewDaemon()
	d.Room = -1
	e, _ := hear(t, d, ecr.MISPOS, path)
	housetest.Until(t, "the port is open", open(e))
	for i := range linkQueue + 2 {
		far.Write(misposResult(fmt.Sprintf("%02d", 51+i)))
	}
	housetest.Until(t, "the oldest are dropped and counted", func() bool { d.Mu.Lock(); defer d.Mu.Unlock(); return d.Losses["link code"] == 2 })
	d.Mu.Lock()
	d.Room = 100
	d.Mu.Unlock()
	housetest.Until(t, "the others come", func() bool { return len(d.All()) == linkQueue })
	if s := d.All()[0]; s.Code != "53" {
		t.Errorf("first %+v", s)
	}
}

func TestECRRefusesWhatItCannotBe(t *testing.T) {
	for _, e := range []*Link{{Name: "a", Framing: ecr.ZVT},
		{Name: "b", Framing: "morse", Ports: make([]serial.Config, 1)}, {Name: "c", Framing: ecr.ZVT, Ports: make([]serial.Config, 3)}} {
		if err := e.Run(t.Context(), sourcetest.NewDaemon()); err == nil {
			t.Errorf("%s runs", e.Name)
		}
	}
}
