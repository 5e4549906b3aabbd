package reader

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
	"posdx/drivers/serial"
)

// Frames printed in the NEO 2 guide (ping and its answer) and one whose check sum follows from them.
func TestNEOVectors(t *testing.T) {
	head := "5669564F7465636832 00"
	for _, c := range []struct {
		m      NEOMessage
		answer bool
		want   string
	}{
		{NEOMessage{Command: NEOPing, Status: 1}, false, head + "18 01 0000 B3CD"},
		{NEOMessage{Command: NEOPing}, true, head + "18 00 0000 FA83"},
		{NEOMessage{Command: NEOVersion}, false, head + "29 00 0000 DEA0"},
	} {
		if got := NEOFrame(nil, c.m, c.answer); !bytes.Equal(got, frametest.Unhex(t, c.want)) {
			t.Errorf("%+v: % X, want %s", c.m, got, c.want)
		}
	}
}

func decodeNEO(d *NEODecoder, b []byte) (tokens []Token, last NEOMessage) {
	for _, c := range b {
		if tok, m, ok := d.Push(c); ok {
			tokens = append(tokens, tok)
			if tok == TokenMessage {
				last = m
			}
		}
	}
	return tokens, last
}

func TestNEODecoder(t *testing.T) {
	version := NEOMessage{Command: NEOVersion, Data: []byte("NEO v1.20")}
	var d NEODecoder
	if tok, m := decodeNEO(&d, NEOFrame(nil, version, true)); len(tok) != 1 || string(m.Data) != "NEO v1.20" || d.Swapped != 0 {
		t.Errorf("%v %+v, %d swapped", tok, m, d.Swapped)
	}
	if tok, m := decodeNEO(&d, NEOFrame(nil, version, false)); len(tok) != 1 || string(m.Data) != "NEO v1.20" || d.Swapped != 1 {
		t.Errorf("other order: %v %+v, %d swapped", tok, m, d.Swapped)
	}
	spoiled := NEOFrame(nil, version, true)
	spoiled[16] ^= 4
	if tok, _ := decodeNEO(&d, spoiled); len(tok) != 1 || tok[0] != TokenCRC {
		t.Errorf("spoiled: %v", tok)
	}
	if tok, m := decodeNEO(&d, append([]byte("ViVVi"),
		NEOFrame(nil, NEOMessage{Command: NEOPing}, true)...)); tok[len(tok)-1] != TokenMessage || m.Command != NEOPing {
		t.Errorf("after a false start: %v", tok)
	}
	// A card answer (02: get transaction result) must leave nothing behind.
	card := []byte("4111111111111111=25121010000012345678")
	if tok, m := decodeNEO(&d, NEOFrame(nil, NEOMessage{Command: 0x02, Data: card}, true)); len(tok) != 1 ||
		len(m.Data) != 0 || bytes.Contains(d.buf[:], card[:8]) {
		t.Errorf("card: %v %+v", tok, m)
	}
}

func TestSelfCheck(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       Report
	}{
		{"well", "\x00\x01\x00\x01\x01\x00\x10\x01\x00\x11\x01\x00\x12\x01\x00\x13\x01\x00\x14\x01\x00\x1F\x01\xFF", Report{Tested: true}},
		{"nothing", "", Report{}},
		{"not checked", "\x11\x01\xFE\x12\x01\xFE", Report{}},
		{"switch", "\x11\x01\x81", Report{Tested: true, Tamper: true, Fault: "11:81"}},
		{"taken off its place, and hot", "\x14\x01\x01\x12\x01\x01", Report{Tested: true, Tamper: true, Fault: "14:01"}},
		{"voltage", "\x13\x01\x01", Report{Tested: true, Fault: "13:01"}},
		{"clock cell", "\x10\x01\x01", Report{Tested: true, Note: "10:01"}},
		{"another form", "\x11\x02\x81", Report{}},
		{"another source", "\x11\x01\x81\x57\x01\x01", Report{}},
		{"cut", "\x11\x01", Report{}},
	} {
		var r Report
		if r.selfCheck([]byte(c.data)); r != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, r, c.want)
		}
	}
}

func FuzzNEODecoder(f *testing.F) {
	f.Add(NEOFrame(nil, NEOMessage{Command: NEOVersion, Data: []byte("NEO v1.20")}, true))
	f.Add([]byte(neoHeader + "\x29\x00\xff\xff"))
	f.Add(NEOFrame(nil, NEOMessage{Command: NEOState, Data: []byte("\x11\x01\x04")}, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d NEODecoder
		if _, m := decodeNEO(&d, b); m.Command == NEOState {
			var r Report
			r.selfCheck(m.Data)
		}
		d.Reset()
		if tok, m := decodeNEO(&d, NEOFrame(nil, NEOMessage{Command: NEOPing}, true)); len(tok) != 1 || m.Command != NEOPing {
			t.Fatalf("a good frame was lost: %v", tok)
		}
	})
}

func TestAskNEO(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(NEOMessage) []byte
		want   Report
		err    error
	}{
		{"healthy", func(m NEOMessage) []byte {
			a := NEOMessage{Command: m.Command}
			if m.Command == NEOVersion {
				a.Data = []byte("NEO v1.20")
			}
			return NEOFrame(nil, a, true)
		}, Report{Model: "NEO", Firmware: "v1.20", Health: frame.Health{Answers: 3}}, nil},
		{"tampered", func(m NEOMessage) []byte {
			return NEOFrame(nil, NEOMessage{Command: m.Command, Status: NEOTamper}, true)
		},
			Report{Tamper: true, Fault: "1D", Health: frame.Health{Answers: 3}}, nil},
		{"insecure", func(m NEOMessage) []byte {
			return NEOFrame(nil, NEOMessage{Command: m.Command, Status: NEOInsecure}, true)
		},
			Report{Fault: "12", Health: frame.Health{Answers: 3}}, nil},
		{"has just started", func(m NEOMessage) []byte {
			return NEOFrame(NEOFrame(nil, NEOMessage{Command: NEOBooted, Status: 1}, true), NEOMessage{Command: m.Command}, true)
		}, Report{Health: frame.Health{Answers: 3, Resets: 3}}, nil},
		{"in the other order", func(m NEOMessage) []byte { return NEOFrame(nil, NEOMessage{Command: m.Command}, false) },
			Report{Health: frame.Health{Answers: 3, Swapped: 3}}, nil},
		{"a tamper switch is open", func(m NEOMessage) []byte {
			if m.Command == NEOState {
				return NEOFrame(nil, NEOMessage{Command: m.Command, Data: []byte("\x00\x01\x00\x11\x01\x04\x12\x01\xFE")}, true)
			}
			return NEOFrame(nil, NEOMessage{Command: m.Command}, true)
		}, Report{Tested: true, Tamper: true, Fault: "11:04", Health: frame.Health{Answers: 3}}, nil},
		{"does not know the last question", func(m NEOMessage) []byte {
			if m.Command == NEOState {
				return nil
			}
			return NEOFrame(nil, NEOMessage{Command: m.Command}, true)
		}, Report{Health: frame.Health{Answers: 2, Silence: 2}}, nil},
		{"refuses everything", func(m NEOMessage) []byte { return NEOFrame(nil, NEOMessage{Command: m.Command, Status: 0x0B}, true) },
			Report{Refused: true, Health: frame.Health{Answers: 3}}, nil},
		{"refuses the last question", func(m NEOMessage) []byte {
			a := NEOMessage{Command: m.Command}
			if m.Command == NEOState {
				a.Status = 0x02
			}
			return NEOFrame(nil, a, true)
		}, Report{Health: frame.Health{Answers: 3}}, nil},
		{"checked nothing", func(m NEOMessage) []byte {
			a := NEOMessage{Command: m.Command}
			if m.Command == NEOState {
				a.Data = []byte("\x11\x01\xFE\x12\x01\xFF")
			}
			return NEOFrame(nil, a, true)
		}, Report{Health: frame.Health{Answers: 3}}, nil},
		{"is well", func(m NEOMessage) []byte {
			a := NEOMessage{Command: m.Command}
			if m.Command == NEOState {
				a.Data = []byte("\x11\x01\x00\x12\x01\x00")
			}
			return NEOFrame(nil, a, true)
		}, Report{Tested: true, Health: frame.Health{Answers: 3}}, nil},
		{"silent", func(NEOMessage) []byte { return nil }, Report{Health: frame.Health{Silence: 2}}, serial.ErrIdle},
		{"rubbish", func(NEOMessage) []byte { return []byte{1, 2, 3} }, Report{Health: frame.Health{Silence: 2, Garbage: 6}},
			serial.ErrGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, device := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					var d NEODecoder
					in := make([]byte, 64)
					for {
						n, err := device.Read(in)
						if err != nil {
							return
						}
						for _, b := range in[:n] {
							if tok, m, ok := d.Push(b); ok && tok == TokenMessage {
								if out := c.answer(m); len(out) > 0 {
									device.Write(out)
								}
							}
						}
					}
				}()
				got, err := AskNEO(t.Context(), host)
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, c.want, c.err)
				}
				host.Close()
				device.Close()
				<-done
			})
		})
	}
}
