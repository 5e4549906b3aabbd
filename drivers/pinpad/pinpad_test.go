package pinpad

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/serial"
)

// The answer printed in 3.2.4: two texts, a map of keys, and a counter that is none of our business.
func TestABECSAnswer(t *testing.T) {
	keys := "0111001100000000000000000000000" + strings.Repeat("2", 69)
	block := "\x80\x01\x00\x0C991274366155\x80\x04\x00\x0DHEMISPHERES  \x80\x35\x00\x64" + keys + "\x91\x01\x00\x0A\xFF\xFF\xF9\x13\x25\x00\x43\x20\x04\x43"
	name, status, blocks := abecsAnswer([]byte("GIX000151" + block[:151]))
	if name != "GIX" || status != "000" || len(blocks) != 1 {
		t.Fatalf("%s %s %q", name, status, blocks)
	}
	var p Report
	p.extended(blocks[0])
	if p.Maker != "HEMISPHERES" || p.Keys[KeyDUKPTPIN].Loaded() != 5 || p.Model != "" {
		t.Errorf("%+v", p)
	}
	if yes, known := p.Keys[KeyDUKPTPIN].Has(2); !yes || !known {
		t.Error("place 2")
	}
	if yes, known := p.Keys[KeyDUKPTPIN].Has(4); yes || !known {
		t.Error("place 4")
	}
	if _, known := p.Keys[KeyMasterPIN].Has(1); known {
		t.Error("a map that was not told is known")
	}
	for _, bad := range []string{"", "GIX", "GIX0x0", "GIX000", "GIX000200abc", "GIX00012", "\x12GIX000", "GCR000005;4111"} {
		if _, _, blocks := abecsAnswer([]byte(bad)); len(blocks) != 0 {
			t.Errorf("%q: %q", bad, blocks)
		}
	}
}

func FuzzABECS(f *testing.F) {
	f.Add(frame.ABECSFrame([]byte{0x06}, []byte("GIX000012\x80\x03\x00\x08PP2000;8")))
	f.Add(frame.ABECSFrame(nil, []byte("ERR010")))
	f.Add([]byte("\x16\x13\x33\x13\x36\x13\x37\x17\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d frame.ABECSDecoder
		for _, c := range b {
			if tok, m, ok := d.Push(c); ok && tok == frame.ABECSMessage {
				_, _, blocks := abecsAnswer(m)
				var p Report
				for _, x := range blocks {
					p.extended(x)
					p.basic(x)
				}
				if len(p.Model) > 60 || len(p.Keys[0]) != 0 && len(p.Keys[0]) != 100 {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}

// pad answers messages on one end of a pipe with what the test says, byte for byte.
func pad(t *testing.T, answer func(message string) []byte) (net.Conn, func()) {
	host, device := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var d frame.ABECSDecoder
		in := make([]byte, 256)
		for {
			n, err := device.Read(in)
			if err != nil {
				return
			}
			for _, c := range in[:n] {
				tok, m, ok := d.Push(c)
				if !ok {
					continue
				}
				what := string(m)
				if tok == frame.ABECSNak {
					what = "NAK"
				}
				if out := answer(what); len(out) > 0 {
					device.Write(out)
				}
			}
		}
	}()
	return host, func() { host.Close(); device.Close(); <-done }
}

func TestAskABECS(t *testing.T) {
	ack := func(message string) []byte { return frame.ABECSFrame([]byte{0x06}, []byte(message)) }
	gixAnswer := "GIX000012\x80\x03\x00\x08PP2000;8"
	gin := "GIN000100" + "SUBDIVISIONS        " + "PP2000;8MB         " + "C" + "SO:3.45             " + "1.08" + "002.15 140723   " + "01927612            "
	damagedOnce := 0
	for _, c := range []struct {
		name   string
		answer func(string) []byte
		want   Report
		err    error
	}{
		{"healthy", func(string) []byte { return ack(gixAnswer) }, Report{Model: "PP2000 8", Health: frame.Health{Answers: 1}}, nil},
		{"old", func(m string) []byte {
			if m[:3] == "GIX" {
				return ack("ERR010")
			}
			return ack(gin)
		}, Report{Model: "PP2000 8MB", Maker: "SUBDIVISIONS", Firmware: "SO:3.45", Spec: "1.08", Health: frame.Health{Answers: 2}}, nil},
		{"in a secure session", func(string) []byte { return ack("GIX009") }, Report{Status: "009", Health: frame.Health{Answers: 1}}, nil},
		{"broken", func(m string) []byte { return ack(m[:3] + "040") }, Report{Status: "040", Health: frame.Health{Answers: 2}}, nil},
		{"silent", func(string) []byte { return nil }, Report{Health: frame.Health{Silence: 1}}, serial.ErrIdle},
		{"dies in the answer", func(string) []byte { return ack(gixAnswer)[:9] }, Report{Health: frame.Health{Silence: 1}}, serial.ErrGarbled},
		{"NAKs", func(string) []byte { return []byte{0x15} }, Report{Health: frame.Health{NAK: 3}}, serial.ErrGarbled},
		{"rubbish", func(string) []byte { return []byte("hello") }, Report{Health: frame.Health{Silence: 1, Garbage: 5}}, serial.ErrGarbled},
		{"damaged once", func(m string) []byte {
			a := ack(gixAnswer)
			if damagedOnce++; damagedOnce == 1 {
				a[5] ^= 1
			} else if m != "NAK" {
				t.Errorf("asked with %q", m)
			}
			return a
		}, Report{Model: "PP2000 8", Health: frame.Health{Answers: 1, CRC: 1}}, nil},
		{"damaged", func(string) []byte { a := ack(gixAnswer); a[5] ^= 1; return a }, Report{Health: frame.Health{CRC: 3}},
			serial.ErrGarbled},
		{"somebody else's answer first", func(string) []byte {
			return append(ack("GCR000020;4111111111111111="), frame.ABECSFrame(nil, []byte(gixAnswer))...)
		}, Report{Model: "PP2000 8", Health: frame.Health{Answers: 1, Stray: 1}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, stop := pad(t, c.answer)
				defer stop()
				got, err := Ask(t.Context(), host)
				if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, c.want, c.err)
				}
			})
		})
	}
}

func TestAskABECSObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, stop := pad(t, func(string) []byte { return nil })
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(30*time.Millisecond, cancel)
		if _, err := Ask(ctx, host); !errors.Is(err, context.Canceled) || time.Since(start) > 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
