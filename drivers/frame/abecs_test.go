package frame

import (
	"bytes"
	"testing"

	"posdx/drivers/frame/frametest"
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
		if !bytes.Equal(frame, frametest.Unhex(t, want)) {
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
	if tok, got := decodeABECS(&d, ABECSFrame([]byte{0x06}, []byte(stuffed))); len(tok) != 2 || tok[0] != ABECSAck ||
		got != stuffed {
		t.Errorf("%v %q", tok, got)
	}
	spoiled := ABECSFrame(nil, []byte("GIX000"))
	spoiled[2] ^= 4
	if tok, _ := decodeABECS(&d, spoiled); len(tok) != 1 || tok[0] != ABECSDamaged {
		t.Errorf("spoiled: %v", tok)
	}
	if tok, got := decodeABECS(&d, append([]byte("\x16GIX0"), ABECSFrame(nil, []byte("OPN000"))...)); len(tok) != 2 ||
		tok[0] != ABECSNoise || got != "OPN000" {
		t.Errorf("after half a message: %v %q", tok, got)
	}
	if tok, _ := decodeABECS(&d, append([]byte{0x16}, bytes.Repeat([]byte("x"), abecsMax+1)...)); len(tok) != 1 ||
		tok[0] != ABECSNoise || d.Pending() {
		t.Errorf("too long: %v", tok)
	}
}

func FuzzABECS(f *testing.F) {
	f.Add(ABECSFrame([]byte{0x06}, []byte("GIX000012\x80\x03\x00\x08PP2000;8")))
	f.Add(ABECSFrame(nil, []byte("ERR010")))
	f.Add([]byte("\x16\x13\x33\x13\x36\x13\x37\x17\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d ABECSDecoder
		decodeABECS(&d, b)
		d.Reset()
		if tok, got := decodeABECS(&d, ABECSFrame(nil, b[:min(len(b), 100)])); len(tok) != 1 ||
			got != string(b[:min(len(b), 100)]) {
			t.Fatalf("a good message was lost: %v", tok)
		}
	})
}
