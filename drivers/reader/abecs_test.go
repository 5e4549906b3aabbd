package reader

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/serial"
)

func decodeABECS(d *ABECSDecoder, b []byte) (tokens []ABECSToken, last string) {
	for _, c := range b {
		if tok, m, ok := d.Push(c); ok {
			tokens = append(tokens, tok)
			if tok == ABECSMessage {
				last = string(m)
			}
		}
	}
	return tokens, last
}

// Frames printed in the specification, 2.2.2.
func TestABECSVectors(t *testing.T) {
	for message, want := range map[string]string{
		"OPN":    "16 4F504E 17 A8A9",
		"DSP000": "16 445350303030 17 3963",
		"DSP032    OPERA\xC7\xC3O       FINALIZADA   ": "16 44535030333220202020 4F50455241 C7C34F 20202020202020 46494E414C495A414441 202020 17 5213",
	} {
		frame := ABECSFrame(nil, []byte(message))
		if !bytes.Equal(frame, unhex(t, want)) {
			t.Errorf("%q: % X, want %s", message, frame, want)
		}
		var d ABECSDecoder
		if tok, got := decodeABECS(&d, frame); len(tok) != 1 || got != message {
			t.Errorf("%q: %v %q", message, tok, got)
		}
	}
}

func TestABECSDecoder(t *testing.T) {
	var d ABECSDecoder
	stuffed := "a\x13b\x16c\x17d"
	if tok, got := decodeABECS(&d, ABECSFrame([]byte{0x06}, []byte(stuffed))); len(tok) != 2 || tok[0] != ABECSAck || got != stuffed {
		t.Errorf("%v %q", tok, got)
	}
	spoiled := ABECSFrame(nil, []byte("GIX000"))
	spoiled[2] ^= 4
	if tok, _ := decodeABECS(&d, spoiled); len(tok) != 1 || tok[0] != ABECSDamaged {
		t.Errorf("spoiled: %v", tok)
	}
	if tok, got := decodeABECS(&d, append([]byte("\x16GIX0"), ABECSFrame(nil, []byte("OPN000"))...)); len(tok) != 2 || tok[0] != ABECSNoise || got != "OPN000" {
		t.Errorf("after half a message: %v %q", tok, got)
	}
	if tok, _ := decodeABECS(&d, append([]byte{0x16}, bytes.Repeat([]byte("x"), abecsMax+1)...)); len(tok) != 1 || tok[0] != ABECSNoise || d.Pending() {
		t.Errorf("too long: %v", tok)
	}
}

// The answer printed in 3.2.4: two texts, a map of keys, and a counter that is none of our business.
func TestABECSAnswer(t *testing.T) {
	keys := "0111001100000000000000000000000" + strings.Repeat("2", 69)
	block := "\x80\x01\x00\x0C991274366155\x80\x04\x00\x0DHEMISPHERES  \x80\x35\x00\x64" + keys + "\x91\x01\x00\x0A\xFF\xFF\xF9\x13\x25\x00\x43\x20\x04\x43"
	name, status, blocks := abecsAnswer([]byte("GIX000151" + block[:151]))
	if name != "GIX" || status != "000" || len(blocks) != 1 {
		t.Fatalf("%s %s %q", name, status, blocks)
	}
	var p PINPad
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
	f.Add(ABECSFrame([]byte{0x06}, []byte("GIX000012\x80\x03\x00\x08PP2000;8")))
	f.Add(ABECSFrame(nil, []byte("ERR010")))
	f.Add([]byte("\x16\x13\x33\x13\x36\x13\x37\x17\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d ABECSDecoder
		for _, c := range b {
			if tok, m, ok := d.Push(c); ok && tok == ABECSMessage {
				_, _, blocks := abecsAnswer(m)
				var p PINPad
				for _, x := range blocks {
					p.extended(x)
					p.basic(x)
				}
				if len(p.Model) > 60 || len(p.Keys[0]) != 0 && len(p.Keys[0]) != 100 {
					t.Fatalf("%+v", p)
				}
			}
		}
		d.Reset()
		if tok, got := decodeABECS(&d, ABECSFrame(nil, b[:min(len(b), 100)])); len(tok) != 1 || got != string(b[:min(len(b), 100)]) {
			t.Fatalf("a good message was lost: %v", tok)
		}
	})
}

// pad answers messages on one end of a pipe with what the test says, byte for byte.
func pad(t *testing.T, answer func(message string) []byte) (net.Conn, func()) {
	host, device := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var d ABECSDecoder
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
				if tok == ABECSNak {
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
	ack := func(message string) []byte { return ABECSFrame([]byte{0x06}, []byte(message)) }
	gixAnswer := "GIX000012\x80\x03\x00\x08PP2000;8"
	gin := "GIN000100" + "SUBDIVISIONS        " + "PP2000;8MB         " + "C" + "SO:3.45             " + "1.08" + "002.15 140723   " + "01927612            "
	damagedOnce := 0
	for _, c := range []struct {
		name   string
		answer func(string) []byte
		want   PINPad
		err    error
	}{
		{"healthy", func(string) []byte { return ack(gixAnswer) }, PINPad{Model: "PP2000 8", Health: Health{Answers: 1}}, nil},
		{"old", func(m string) []byte {
			if m[:3] == "GIX" {
				return ack("ERR010")
			}
			return ack(gin)
		}, PINPad{Model: "PP2000 8MB", Maker: "SUBDIVISIONS", Firmware: "SO:3.45", Spec: "1.08", Health: Health{Answers: 2}}, nil},
		{"in a secure session", func(string) []byte { return ack("GIX009") }, PINPad{Status: "009", Health: Health{Answers: 1}}, nil},
		{"broken", func(m string) []byte { return ack(m[:3] + "040") }, PINPad{Status: "040", Health: Health{Answers: 2}}, nil},
		{"silent", func(string) []byte { return nil }, PINPad{Health: Health{Silence: 1}}, serial.ErrIdle},
		{"dies in the answer", func(string) []byte { return ack(gixAnswer)[:9] }, PINPad{Health: Health{Silence: 1}}, serial.ErrGarbled},
		{"NAKs", func(string) []byte { return []byte{0x15} }, PINPad{Health: Health{NAK: 3}}, serial.ErrGarbled},
		{"rubbish", func(string) []byte { return []byte("hello") }, PINPad{Health: Health{Silence: 1, Garbage: 5}}, serial.ErrGarbled},
		{"damaged once", func(m string) []byte {
			a := ack(gixAnswer)
			if damagedOnce++; damagedOnce == 1 {
				a[5] ^= 1
			} else if m != "NAK" {
				t.Errorf("asked with %q", m)
			}
			return a
		}, PINPad{Model: "PP2000 8", Health: Health{Answers: 1, CRC: 1}}, nil},
		{"damaged", func(string) []byte { a := ack(gixAnswer); a[5] ^= 1; return a }, PINPad{Health: Health{CRC: 3}}, serial.ErrGarbled},
		{"somebody else's answer first", func(string) []byte {
			return append(ack("GCR000020;4111111111111111="), ABECSFrame(nil, []byte(gixAnswer))...)
		}, PINPad{Model: "PP2000 8", Health: Health{Answers: 1, Stray: 1}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, stop := pad(t, c.answer)
				defer stop()
				got, err := AskABECS(t.Context(), host)
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
		if _, err := AskABECS(ctx, host); !errors.Is(err, context.Canceled) || time.Since(start) > 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
