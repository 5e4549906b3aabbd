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

// Status questions whose check sums were computed apart.
func TestCRTVectors(t *testing.T) {
	for _, c := range []struct {
		kind CRTKind
		body string
		want string
	}{{CRT310, "3130", "02 0002 3130 03 02"}, {CRT591, "43 3130", "F2 00 0003 433130 03 B0"}} {
		if got := CRTFrame(nil, c.kind, 0, frametest.Unhex(t, c.body)); !bytes.Equal(got, frametest.Unhex(t, c.want)) {
			t.Errorf("% X, want %s", got, c.want)
		}
	}
}

func decodeCRT(d *CRTDecoder, b []byte) (tokens []CRTToken, last []byte) {
	for _, c := range b {
		if tok, m, ok := d.Push(c); ok {
			tokens = append(tokens, tok)
			if tok == CRTMessage {
				last = m
			}
		}
	}
	return tokens, last
}

// What may hold a card's data comes out of the decoder empty, and nothing stays behind in it.
func TestCRTDecoderKeepsNoCard(t *testing.T) {
	card := "4111111111111111=25121010000012345678"
	for _, c := range []struct {
		kind CRTKind
		body string
		keep bool
	}{
		{CRT310, "\x31\x30\x4E\x49\x4A", true}, {CRT310, "N\x31\x05", true}, {CRT310, "\x45\x30Y" + card, false}, {CRT310, "N" + card, false},
		{CRT591, "P\x31\x30000", true}, {CRT591, "P\x60\x30000" + card, false}, {CRT591, "P\xA4\x30000V1", true},
	} {
		d := CRTDecoder{Kind: c.kind}
		tok, m := decodeCRT(&d, CRTFrame(nil, c.kind, 0, []byte(c.body)))
		if len(tok) != 1 || tok[0] != CRTMessage || (string(m) == c.body) != c.keep || !c.keep && len(m) > 0 {
			t.Errorf("%q: %v %q", c.body, tok, m)
		}
		if bytes.Contains(d.buf[:], []byte(card[:8])) {
			t.Errorf("%q stays in the decoder", c.body)
		}
	}
}

func FuzzCRT(f *testing.F) {
	f.Add(byte(0), CRTFrame(nil, CRT310, 0, []byte("\x31\x30\x4E\x49\x4A")))
	f.Add(byte(1), CRTFrame(nil, CRT591, 3, []byte("P\xA4\x30000CRT-591")))
	f.Add(byte(1), []byte("\xF2\x00\xFF\xFF"))
	f.Add(byte(0), CRTFrame(nil, CRT310, 0, []byte("N\x31\x05")))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		d := CRTDecoder{Kind: CRTKind(kind % 2)}
		dialogue := crtDialogue{kind: d.Kind}
		ask := []byte{0x31, 0x30}
		if d.Kind == CRT591 {
			ask = []byte{'C', 0x31, 0x30}
		}
		for _, c := range b {
			if tok, m, ok := d.Push(c); ok && tok == CRTMessage && dialogue.answers(ask, m) {
				var r Report
				if d.Kind == CRT591 {
					r.crt591(m)
				} else {
					r.crt310(m)
				}
				if len(r.Fault) > 2 || len(r.Model) > 60 {
					t.Fatalf("%+v", r)
				}
			}
		}
		d.Reset()
		if tok, _ := decodeCRT(&d, CRTFrame(nil, d.Kind, 0, ask)); len(tok) != 1 || tok[0] != CRTMessage {
			t.Fatalf("a good frame was lost: %v", tok)
		}
	})
}

func TestAskCRT(t *testing.T) {
	status := CRTFrame(nil, CRT310, 0, []byte("\x31\x30\x4B\x49\x4A"))
	two := func(body string) []byte { return CRTFrame([]byte{crtACK}, CRT591, 0, []byte(body)) }
	for _, c := range []struct {
		name   string
		kind   CRTKind
		answer func([]byte) []byte
		want   Report
		err    error
	}{
		{"310", CRT310, func(b []byte) []byte {
			switch {
			case b[0] == 0x02:
				return []byte{crtACK}
			case b[0] == crtENQ:
				return status
			}
			return nil
		}, Report{Slot: SlotPresent, Health: frame.Health{Answers: 1}}, nil},
		{"310 says nothing after the acknowledgement", CRT310, func(b []byte) []byte {
			if b[0] == 0x02 {
				return []byte{crtACK}
			}
			return nil
		}, Report{Refused: true, Health: frame.Health{Silence: 2}}, nil},
		{"310 without supply", CRT310, func(b []byte) []byte {
			if b[0] == crtENQ {
				return CRTFrame(nil, CRT310, 0, []byte("N\x31\x05"))
			}
			return []byte{crtACK}
		}, Report{Fault: "05", Health: frame.Health{Answers: 1}}, nil},
		{"591", CRT591, func(b []byte) []byte {
			switch {
			case len(b) > 5 && b[5] == 0xA4:
				return two("P\xA4\x30020CRT-591-M V1.2")
			case len(b) > 5:
				return two("P\x31\x30020")
			}
			return nil
		}, Report{Model: "CRT-591-M", Firmware: "V1.2", Slot: SlotAbsent, Health: frame.Health{Answers: 2}}, nil},
		{"591 jams", CRT591, func(b []byte) []byte {
			if len(b) > 5 {
				return two("N" + string(b[5:7]) + "10")
			}
			return nil
		}, Report{Fault: "10", Health: frame.Health{Answers: 2}}, nil},
		{"591 refuses everything", CRT591, func(b []byte) []byte {
			if len(b) > 5 {
				return two("N" + string(b[5:7]) + "00")
			}
			return nil
		}, Report{Refused: true, Health: frame.Health{Answers: 2}}, nil},
		{"310 refuses", CRT310, func(b []byte) []byte {
			if b[0] == crtENQ {
				return CRTFrame(nil, CRT310, 0, []byte("N\x31\x00"))
			}
			return []byte{crtACK}
		}, Report{Refused: true, Health: frame.Health{Answers: 1}}, nil},
		{"591 that nobody has initialised", CRT591, func(b []byte) []byte {
			if len(b) > 5 {
				return two("E" + string(b[5:7]) + "B0")
			}
			return nil
		}, Report{Note: "B0", Health: frame.Health{Answers: 2}}, nil},
		{"NAK", CRT591, func([]byte) []byte { return []byte{crtNAK} }, Report{Health: frame.Health{NAK: 2}}, serial.ErrGarbled},
		{"damaged", CRT591, func(b []byte) []byte { a := two("P\x31\x30020"); a[6] ^= 1; return a },
			Report{Health: frame.Health{CRC: 2, Silence: 2}}, serial.ErrGarbled},
		{"dies in the answer", CRT591, func([]byte) []byte { return two("P\x31\x30020")[:6] }, Report{Health: frame.Health{Silence: 2}}, serial.ErrGarbled},
		{"never stops", CRT310, func([]byte) []byte { return make([]byte, 3*frame.BytesMax) }, Report{}, serial.ErrGarbled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, stop := frametest.Answering(c.answer)
				defer stop()
				got, err := AskCRT(t.Context(), host, c.kind, 0)
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
