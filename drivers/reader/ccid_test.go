package reader

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"posdx/drivers/frame"
	"posdx/drivers/frame/frametest"
	"posdx/drivers/serial"
)

// Frames that libccid's ccid_serial.c sent to a pty, and one that carries its answer.
func TestFrameVectors(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{Message{Type: GetSlotStatus, Seq: 1}, "0306 65 00000000 00 01 000000 61"},
		{Message{Type: Escape, Seq: 2, Data: []byte{2}}, "0306 6B 01000000 00 02 000000 02 6F"},
		{Message{Type: Escape, Data: []byte{2}}, "0306 6B 01000000 00 00 000000 02 6D"},
	} {
		if got := Frame(nil, c.m); !bytes.Equal(got, frametest.Unhex(t, c.want)) {
			t.Errorf("%+v: % X, want %s", c.m, got, c.want)
		}
	}
}

func decode(b []byte) (tokens []Token, messages []Message) {
	var d Decoder
	for _, c := range b {
		if tok, m, ok := d.Push(c); ok {
			tokens = append(tokens, tok)
			if tok == TokenMessage {
				messages = append(messages, m)
			}
		}
	}
	return tokens, messages
}

func TestDecoder(t *testing.T) {
	status := "0306 81 00000000 00 01 020000 87"
	for _, c := range []struct {
		name, in string
		want     []Token
	}{
		{"message", status, []Token{TokenMessage}},
		{"two", status + status, []Token{TokenMessage, TokenMessage}},
		{"notices", "5003 5002", []Token{TokenIn, TokenOut}},
		{"nak", "031516", []Token{TokenNAK}},
		{"time request", "80 FF", []Token{TokenMore, TokenMore}},
		{"wrong sum", "0306 81 00000000 00 01 020000 86", []Token{TokenCRC}},
		{"garbage first", "00 41 " + status, []Token{TokenGarbage, TokenGarbage, TokenMessage}},
		{"start of a start", "03 " + status, []Token{TokenGarbage, TokenMessage}},
		{"notice cut by a notice", "50 5003", []Token{TokenGarbage, TokenIn}},
		{"nak cut by a message", "0315 " + status, []Token{TokenGarbage, TokenMessage}},
		{"longer than any", "0306 81 06010000 00 01 020000 " + status, nil},
		{"half", "0306 81 0000", nil},
	} {
		got, _ := decode(frametest.Unhex(t, c.in))
		if c.name == "longer than any" {
			if len(got) == 0 || got[0] != TokenGarbage || got[len(got)-1] != TokenMessage {
				t.Errorf("%s: %v", c.name, got)
			}
			continue
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

// A DataBlock carries an answer of the card, a track perhaps; so may any type that is not known.
func TestDecoderKeepsNoCard(t *testing.T) {
	card := []byte("4111111111111111=25121010000012345678")
	for typ := range 256 {
		var d Decoder
		var kept []byte
		for _, c := range Frame(nil, Message{Type: byte(typ), Data: card}) {
			if _, m, ok := d.Push(c); ok {
				kept = m.Data
			}
		}
		if isEscape := typ == Escape || typ == EscapeAnswer; (len(kept) > 0) != isEscape {
			t.Errorf("type %02X: kept %q", typ, kept)
		}
		if bytes.Contains(d.buf[:], card[:8]) {
			t.Errorf("type %02X: the decoder still holds the frame", typ)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(frametest.Unhex(f, "0306810000000000010200008750025003031516"))
	f.Add(frametest.Unhex(f, "03068305000000000002000048656C6C6F11"))
	f.Add(frametest.Unhex(f, "030680FFFFFFFF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		for i, c := range b {
			tok, m, ok := d.Push(c)
			if !ok && tok != 0 || ok && d.Pending() && tok != TokenGarbage {
				t.Fatalf("byte %d: token %d, pending %v", i, tok, d.Pending())
			}
			if ok && tok == TokenMessage {
				if len(m.Data) > ccidDataMax {
					t.Fatalf("%d bytes of data", len(m.Data))
				}
				if m.Type == Escape || m.Type == EscapeAnswer { // these come back as they went
					again, ms := decode(Frame(nil, m))
					if len(again) != 1 || len(ms) != 1 || !bytes.Equal(ms[0].Data, m.Data) {
						t.Fatalf("%+v does not survive", m)
					}
				}
			}
		}
		// Whatever came before, a frame after a pause is understood.
		d.Reset()
		good := false
		for _, c := range Frame(nil, Message{Type: SlotStatus, Seq: 9}) {
			tok, m, ok := d.Push(c)
			good = ok && tok == TokenMessage && m.Seq == 9
		}
		if !good {
			t.Fatal("a good frame was lost")
		}
	})
}

// a scripted reader: each command heard is answered by what the script gives, byte for byte.
func scripted(t *testing.T, answer func(Message) []byte) (net.Conn, func()) {
	host, device := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var d Decoder
		in := make([]byte, 64)
		for {
			n, err := device.Read(in)
			if err != nil {
				return
			}
			for _, c := range in[:n] {
				if tok, m, ok := d.Push(c); ok && tok == TokenMessage {
					if out := answer(m); len(out) > 0 {
						device.Write(out)
					}
				}
			}
		}
	}()
	return host, func() { host.Close(); device.Close(); <-done }
}

func statusOf(m Message, bStatus, bError byte) Message {
	return Message{Type: SlotStatus, Seq: m.Seq, Param: [3]byte{bStatus, bError, 0}}
}

func TestAskCCID(t *testing.T) {
	name := func(m Message, ask byte) []byte {
		a := Message{Type: EscapeAnswer, Seq: m.Seq}
		if len(m.Data) == 1 && m.Data[0] == ask {
			a.Data = []byte("GemTwin-V2.00-GC")
		}
		return Frame(nil, a)
	}
	for _, c := range []struct {
		name   string
		answer func(Message) []byte
		config CCIDConfig
		want   Report
		err    error
	}{
		{name: "twin with echo", answer: func(m Message) []byte {
			if m.Type == Escape {
				return append(Frame(nil, m), name(m, 2)...)
			}
			return append(Frame(nil, m), Frame(nil, statusOf(m, 2, 0))...)
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotAbsent, Health: frame.Health{Answers: 4}}},
		{name: "sec1210: name at 06", answer: func(m Message) []byte {
			if m.Type == Escape {
				return name(m, 6)
			}
			return Frame(nil, statusOf(m, 1, 0))
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotPresent, Health: frame.Health{Answers: 5}}},
		{name: "refuses escapes", answer: func(m Message) []byte {
			if m.Type == Escape {
				return Frame(nil, statusOf(m, 0x41, 0))
			}
			return Frame(nil, statusOf(m, 0, 0))
		}, want: Report{Slot: SlotActive, Health: frame.Health{Answers: 5}}},
		{name: "refuses everything", answer: func(m Message) []byte {
			return Frame(nil, statusOf(m, 0x42, 0))
		}, want: Report{Refused: true, Health: frame.Health{Answers: 5}}},
		{name: "mute card", answer: func(m Message) []byte {
			if m.Type == Escape {
				return name(m, 2)
			}
			return Frame(nil, statusOf(m, 0x41, ErrorMute))
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotMute, Health: frame.Health{Answers: 4, Mute: 3}}},
		{name: "broken", answer: func(m Message) []byte {
			if m.Type == Escape {
				return name(m, 2)
			}
			return Frame(nil, statusOf(m, 0x42, ErrorHardware))
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotAbsent, Fault: "FB", Health: frame.Health{Answers: 4, Hardware: 3}}},
		{name: "silent", answer: func(Message) []byte { return nil }, want: Report{Health: frame.Health{Silence: 2}},
			err: serial.ErrIdle},
		{name: "always a wrong sum", answer: func(m Message) []byte {
			f := Frame(nil, statusOf(m, 2, 0))
			f[len(f)-1] ^= 1
			return f
		}, want: Report{Health: frame.Health{CRC: 2, Silence: 2}}, err: serial.ErrGarbled},
		{name: "half an answer", answer: func(m Message) []byte { return Frame(nil, statusOf(m, 2, 0))[:6] },
			want: Report{Health: frame.Health{Silence: 2}}, err: serial.ErrGarbled},
		{name: "reads none of ours", answer: func(Message) []byte { return []byte(NAKFrame) },
			want: Report{Health: frame.Health{NAK: 2}}, err: serial.ErrGarbled},
		{name: "answers of somebody else's question", answer: func(m Message) []byte { m.Seq += 7; return Frame(nil, statusOf(m, 2, 0)) },
			want: Report{Health: frame.Health{Stray: 2, Silence: 2}}, err: serial.ErrGarbled},
		{name: "forgot to echo", config: CCIDConfig{Echo: EchoYes}, answer: func(m Message) []byte {
			if m.Type == Escape {
				return append(Frame(nil, m), name(m, 2)...)
			}
			return Frame(nil, statusOf(m, 2, 0))
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotAbsent, Health: frame.Health{Answers: 4, LostEcho: 3}}},
		{name: "cards come and go meanwhile", answer: func(m Message) []byte {
			if m.Type == Escape {
				return append([]byte(CardPresent+"\x80"+CardAbsent), name(m, 2)...)
			}
			return Frame(nil, statusOf(m, 2, 0))
		}, want: Report{Model: "GemTwin", Firmware: "V2.00-GC", Slot: SlotAbsent, Health: frame.Health{Answers: 4, Moves: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link, end := scripted(t, c.answer)
				defer end()
				got, err := AskCCID(t.Context(), link, c.config)
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("got  %+v, %v\nwant %+v, %v", got, err, c.want, c.err)
				}
			})
		})
	}
}

func TestAskCCIDObeysItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link, end := scripted(t, func(Message) []byte { return nil })
		defer end()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := AskCCID(ctx, link, CCIDConfig{})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, serial.ErrIdle) ||
			time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestAskCCIDOfABabbler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, device := net.Pipe()
		go io.Copy(io.Discard, device)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := bytes.Repeat([]byte("AB\x03\x00"), 64); ; {
				if _, err := device.Write(b); err != nil {
					return
				}
			}
		}()
		r, err := AskCCID(t.Context(), host, CCIDConfig{})
		if !errors.Is(err, serial.ErrGarbled) || r.Health.Garbage < frame.BytesMax {
			t.Errorf("%+v, %v", r, err)
		}
		host.Close()
		device.Close()
		<-done
	})
}
