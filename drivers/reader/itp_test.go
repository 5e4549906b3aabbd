package reader

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
	"posdx/drivers/serial"
)

// The question for the version with its check sum, computed apart.
func TestITPVector(t *testing.T) {
	if got := ITPFrame(nil, []byte{'R', 0x22}); !bytes.Equal(got, frametest.Unhex(t, "02 52 22 03 71")) {
		t.Errorf("% X", got)
	}
}

func TestAskITP(t *testing.T) {
	name := "ID TECH TM3 SecureMag RS232 Reader V 3.19"
	card := ITPFrame(nil, []byte("%B4111111111111111^TEST/CARD^2512101?;4111111111111111=2512101?"))
	for _, c := range []struct {
		name   string
		answer []byte
		want   Report
		err    error
	}{
		{"well", ITPFrame([]byte{0x06}, []byte(name)), Report{Model: "ID TECH TM3 SecureMag RS232 Reader V", Firmware: "3.19", Health: frame.Health{Answers: 1}}, nil},
		{"a swipe in between", append(append([]byte{0x06}, card...), ITPFrame(nil, []byte(name))...),
			Report{Model: "ID TECH TM3 SecureMag RS232 Reader V", Firmware: "3.19", Health: frame.Health{Answers: 1, Stray: 1}}, nil},
		{"a swipe and nothing else", card, Report{Health: frame.Health{Stray: 2, Silence: 2}}, serial.ErrGarbled},
		{"not known", []byte{0x06, 0x16}, Report{Refused: true, Health: frame.Health{Silence: 2}}, nil},
		{"taken and not answered", []byte{0x06}, Report{Refused: true, Health: frame.Health{Silence: 2}}, nil},
		{"cannot be read", []byte{0x15}, Report{Health: frame.Health{NAK: 2}}, serial.ErrGarbled},
		{"silent", nil, Report{Health: frame.Health{Silence: 2}}, serial.ErrIdle},
		{"dies in the answer", ITPFrame([]byte{0x06}, []byte(name))[:9], Report{Health: frame.Health{Silence: 2}}, serial.ErrGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, stop := frametest.Answering(func([]byte) []byte { return c.answer })
				defer stop()
				got, err := AskITP(t.Context(), host)
				if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, c.want, c.err)
				}
			})
		})
	}
}

// No body that a track is in comes out of the decoder, and none stays behind in it.
func TestITPKeepsNoCard(t *testing.T) {
	for _, body := range []string{"%B4111111111111111^TEST/CARD^2512101?", ";4111111111111111=2512101?", "4111111111111111", "\x00\x4D%B4111111111111111", "ABC;4111111111111111="} {
		var d ITPDecoder
		for _, c := range ITPFrame(nil, []byte(body)) {
			if tok, m, ok := d.Push(c); ok && (tok != TokenMessage || len(m) > 0) {
				t.Errorf("%q: %v %q", body, tok, m)
			}
		}
		if bytes.Contains(d.buf[:], []byte("4111111")) {
			t.Errorf("%q stays in the decoder", body)
		}
	}
}

func FuzzITP(f *testing.F) {
	f.Add(ITPFrame([]byte{0x06}, []byte("ID TECH TM3 SecureMag RS232 Reader V 3.19")))
	f.Add(ITPFrame(nil, []byte(";4111111111111111=2512101?")))
	f.Add([]byte{0x02, 0x03, 0x03, 0x03, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d ITPDecoder
		for _, c := range b {
			if tok, m, ok := d.Push(c); ok && tok == TokenMessage && len(m) > 0 {
				if nameOf(m); bytes.ContainsAny(m, ";%=^") {
					t.Fatalf("%q", m)
				}
			}
		}
		d.Reset()
		n := 0
		for _, c := range ITPFrame(nil, []byte("READER V1")) {
			if _, m, ok := d.Push(c); ok && string(m) == "READER V1" {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("a good frame came out %d times", n)
		}
	})
}
