package capture

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"posdx/drivers/ecr"
)

// Nothing of what was read stays in memory, at any moment and however a message is cut.
func TestNothingOfACardStays(t *testing.T) {
	ask, answer := message(t, "0200", "000123", ""), message(t, "0210", "000123", "97")
	for cut := 1; cut < len(ask); cut++ {
		s := &fakeSink{}
		l := newLine(t, track(s), 1000)
		l.connect(1)
		l.say(true, ask[:cut])
		l.say(true, ask[cut:])
		half := min(cut, len(answer)-1)
		l.put(false, flagACK, l.down+uint32(half), l.up, bytes.Clone(answer[half:])) // the second half comes first
		var early []byte
		for _, f := range l.flows {
			if len(f.down.held) != 1 {
				t.Fatalf("cut at %d: %d pieces wait", cut, len(f.down.held))
			}
			early = f.down.held[0].data
		}
		l.put(false, flagACK, l.down, l.up, bytes.Clone(answer[:half]))
		same(t, s.codes(), "[0210 000123 97 host]")
		s.clean(t)
		if !bytes.Equal(early, make([]byte, len(early))) || l.held != 0 {
			t.Fatalf("cut at %d: what came early stays", cut)
		}
	}
}

// What waits for bytes that never come is zeroed when its connection ends.
func TestNothingOfACardStaysBehind(t *testing.T) {
	l := newLine(t, track(&fakeSink{}), 1000)
	l.connect(1)
	l.put(true, flagACK, l.up+10, l.down, message(t, "0200", "000123", ""))
	for _, f := range l.flows {
		early := f.up.held[0].data
		l.put(false, flagRST, l.down, 0, nil)
		if !bytes.Equal(early, make([]byte, len(early))) || l.held != 0 {
			t.Error("what waited stays")
		}
	}
}

// TestCardInEveryField plants a card into every field that a message can have, one at a time.
func TestCardInEveryField(t *testing.T) {
	// too short, or a number of the host's
	told := map[int]bool{3: true, 11: true, 12: true, 13: true, 37: true, 39: true, 41: true}
	for _, d := range []*ecr.Dialect{ecr.UnionPay(), ecr.NAC(), ecr.Text(), ecr.TextHex()} {
		planted := 0
		for n := 2; n <= 128; n++ {
			if told[n] {
				continue
			}
			var b []byte
			for _, v := range []string{plantedTrack, plantedPAN, "C" + plantedPAN, plantedPAN + plantedPAN + plantedPAN,
				plantedPIN} {
				for size := len(v); size >= 10 && b == nil || size == len(v) && b == nil; size-- {
					b, _ = ecr.Build(d, ecr.Head{TPDU: "6000030000"}, "0210", map[int]string{11: "000123", n: v[:size], 39: "96", 41: "10077120"})
				}
				if b != nil {
					break
				}
			}
			if b == nil {
				continue // not in the dialect, or too short for a card
			}
			planted++
			s := &fakeSink{}
			l := newLine(t, track(s), 1000)
			l.connect(1)
			stream := ecr.Binary2.Append(nil, b)
			for part := range slices.Chunk(stream, 7) {
				l.say(false, bytes.Clone(part))
			}
			same(t, s.codes(), "[0210 000123 96 host]")
			s.clean(t, fmt.Sprintf("%+v", l.recent))
		}
		if planted < 20 {
			t.Errorf("%s: planted into %d fields only", d.Name, planted)
		}
	}
}
