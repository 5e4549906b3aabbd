package printer

import (
	"errors"
	"testing"
	"testing/synctest"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
	"posdx/drivers/serial"
)

// The bytes are those of the tables under DLE EOT in the manuals of Epson TM-U220, Citizen CT-S2000 and Bixolon
// SRP-350.
func TestPrinterBits(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers [4]byte
		want    string
	}{
		{"well", [4]byte{0x12, 0x12, 0x12, 0x12}, "ok"},
		{"drawer pin high", [4]byte{0x16, 0x12, 0x12, 0x12}, "ok"},
		{"paper near its end", [4]byte{0x12, 0x12, 0x12, 0x1E}, "paper-low"},
		{"paper at its end", [4]byte{0x1A, 0x32, 0x12, 0x7E}, "no-paper"},
		{"paper end, sensor alone", [4]byte{0x12, 0x12, 0x12, 0x72}, "no-paper"},
		{"cover open", [4]byte{0x1A, 0x16, 0x12, 0x12}, "cover-open"},
		{"cutter", [4]byte{0x1A, 0x52, 0x1A, 0x12}, "jam"},
		{"mechanics", [4]byte{0x1A, 0x52, 0x16, 0x12}, "jam"},
		{"broken", [4]byte{0x1A, 0x52, 0x32, 0x12}, "fault"},
		{"broken and out of paper", [4]byte{0x1A, 0x72, 0x32, 0x7E}, "fault"},
		{"head too hot", [4]byte{0x1A, 0x52, 0x52, 0x12}, "over-heat"},
		{"cover opened while printing", [4]byte{0x1A, 0x56, 0x52, 0x12}, "cover-open"},
		{"an error without a name", [4]byte{0x1A, 0x52, 0x12, 0x12}, "fault"},
	} {
		var p Report
		for i, b := range c.answers {
			if !answerOf(b) {
				t.Errorf("%s: %02X is no answer", c.name, b)
			}
			p.put(byte(i+1), b)
		}
		if got := p.Outcome(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for _, b := range []byte{0x00, 0x10, 0x11, 0x13, 0x14, 0x0F, 0x2C, 0xFF, 0x92} {
		if answerOf(b) {
			t.Errorf("%02X is taken for an answer", b)
		}
	}
}

func TestPortStatus(t *testing.T) {
	for _, c := range []struct {
		b    byte
		want string
		bad  bool
	}{{0x18, "ok", false}, {0x30, "no-paper", true}, {0x38, "no-paper", true}, {0x10, "fault", true}, {0x08, "ok", false}} {
		if p, bad := PortStatus(c.b); p.Outcome() != c.want || bad != c.bad {
			t.Errorf("%02X: %s %v, want %s %v", c.b, p.Outcome(), bad, c.want, c.bad)
		}
	}
}

func TestAskPrinter(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func([]byte) []byte
		want   Report
		err    error
	}{
		{"well", func([]byte) []byte { return []byte{0x12} }, Report{Health: frame.Health{Answers: 8}}, nil},
		{"knows the first only", func(b []byte) []byte {
			if b[2] == 1 {
				return []byte{0x1A}
			}
			return nil
		}, Report{Offline: true, Unanswered: true, Health: frame.Health{Answers: 2, Silence: 2}}, nil},
		{"flow control and its own status in between", func([]byte) []byte { return []byte{0x11, 0x10, 0x13, 0x12} }, Report{Health: frame.Health{Answers: 8}}, nil},
		{"one byte for every question: the drawer's pin", func([]byte) []byte { return []byte{0x16} }, Report{Unanswered: true, Health: frame.Health{Answers: 8}}, nil},
		{"one byte for every question: off line", func([]byte) []byte { return []byte{0x1E} },
			Report{Offline: true, Unanswered: true, Health: frame.Health{Answers: 8}}, nil},
		{"one byte for every question: nobody knows what it means", func([]byte) []byte { return []byte{0x32} }, Report{Disordered: true, Health: frame.Health{Answers: 8}}, nil},
		{"silent", func([]byte) []byte { return nil }, Report{Health: frame.Health{Silence: 2}}, serial.ErrIdle},
		{"rubbish", func([]byte) []byte { return []byte("no") }, Report{Health: frame.Health{Silence: 2, Garbage: 4}}, serial.ErrGarbled},
		{"never stops", func([]byte) []byte { return make([]byte, 2*frame.BytesMax) }, Report{}, serial.ErrGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, stop := frametest.Answering(c.answer)
				defer stop()
				got, err := Ask(t.Context(), host)
				if c.name == "never stops" {
					got = Report{}
				}
				if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, c.want, c.err)
				}
			})
		})
	}
}

// A printer whose answers are those to earlier questions: as many questions behind as it says. The bytes are those of
// public reports (testdata/README.md).
func TestAnswersThatAreBehind(t *testing.T) {
	for name, real := range map[string][4]byte{
		"ok": {0x16, 0x12, 0x12, 0x12}, "no-paper": {0x1E, 0x32, 0x12, 0x72}, "cover-open": {0x1A, 0x16, 0x12, 0x12}, "paper-low": {0x12, 0x12, 0x12, 0x1E},
		"jam": {0x1A, 0x52, 0x1A, 0x12}, "over-heat": {0x1A, 0x52, 0x52, 0x12}, "fault": {0x1A, 0x52, 0x32, 0x12},
	} {
		for behind := range 5 {
			for _, before := range []byte{0x12, 0x16, 0x1A, 0x32} { // what it said to whoever asked last
				synctest.Test(t, func(t *testing.T) {
					var queue []byte
					for range behind {
						queue = append(queue, before)
					}
					host, stop := frametest.Answering(func(b []byte) []byte {
						queue = append(queue, real[b[2]-1])
						out := queue[:1]
						queue = queue[1:]
						return out
					})
					defer stop()
					p, err := Ask(t.Context(), host)
					switch {
					case err != nil:
						t.Errorf("%s, %d behind: %v", name, behind, err)
					case p.Disordered && behind > 0:
					case p.Outcome() != name:
						t.Errorf("%s, %d behind after %02X: %s", name, behind, before, p.Outcome())
					}
				})
			}
		}
	}
}

// FuzzSorted: whatever a printer answered, what is known of a question is something that it said, and one order
// explains all of it.
func FuzzSorted(f *testing.F) {
	f.Add([]byte{0x12, 0x16, 0x12, 0x12, 0x12, 0x12, 0x12, 0x12, 0x16, 0x16, 0x16, 0x16})
	f.Add([]byte{0x12, 0x1E, 0x32, 0x12, 0x72, 0x72, 0x12, 0x32, 0x1E, 0x1E})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, answers []byte) {
		asked := []byte{1, 2, 3, 4, 4, 3, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4}
		var d printerDialogue
		for i, b := range answers[:min(len(answers), len(asked))] {
			if answerOf(b) {
				d.said = append(d.said, said{asked[i], b})
			}
		}
		a, known := d.sorted()
		if !known {
			return
		}
		explained := false
		for behind := 1; behind <= behindMax && !explained; behind++ {
			explained = true
			for i := behind; i < len(d.said); i++ {
				explained = explained && a[d.said[i-behind].n-1] == d.said[i].b
			}
		}
		if !explained {
			t.Errorf("% X of %v", a, d.said)
		}
	})
}
