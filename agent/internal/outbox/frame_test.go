package outbox

import (
	"bytes"
	"fmt"
	"testing"
)

// FuzzScan feeds a segment with anything: no panic, no frame that was not written, the search stays bounded.
func FuzzScan(f *testing.F) {
	e := epoch{1, 2, 3}
	seg := header{epoch: e, base: 1, boot: 1}.encode()
	for i := range uint64(3) {
		seg = append(seg, frame{seq: i + 1, boot: 1, kind: "diagnosis", critical: i == 1, doc: []byte(`{"id":"x"}`)}.encode(e)...)
	}
	f.Add(seg)
	f.Add(seg[:len(seg)-5])
	f.Add(append(bytes.Clone(seg), make([]byte, 100)...))
	damaged := bytes.Clone(seg)
	damaged[headerLen+20] ^= 1
	f.Add(damaged)
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte{50, 0, 0, 0}, 500)) // plausible lengths everywhere
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeHeader(b)
		decodeMeta(b)
		covered := 0
		hole, tail := scan(e, b, func(off, n int, fr frame) {
			covered += n
			if again := fr.encode(e); !bytes.Equal(again, b[off:off+n]) && !loose(b[off:off+n]) {
				t.Errorf("a frame reads as something else than was written")
			}
		})
		if want := max(len(b)-headerLen, 0); covered+hole+tail != want {
			t.Errorf("%d good, %d in holes, %d in the tail: not %d", covered, hole, tail, want)
		}
	})
}

// loose tells whether a frame has flag bits that we do not write.
func loose(b []byte) bool { return b[frameLen+36]&^1 != 0 }

func TestLoss(t *testing.T) {
	var l loss
	for _, s := range [][2]uint64{{10, 12}, {20, 20}, {13, 13}, {1, 2}, {30, 40}, {19, 19}, {11, 21}, {35, 50}, {3, 3}} {
		l.add(s[0], s[1], "space")
	}
	if got, want := fmt.Sprint(l.spans), "[[1 3] [10 21] [30 50]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range uint64(2*maxSpans + 5) {
		l.add(100+2*i, 100+2*i, "space")
	}
	l.count("tally", 7)
	told, n := 0, 0
	for l.open() && n < 10 {
		var part loss
		part, l = l.split()
		told += part.counts["tally"]
		if len(part.spans) > maxSpans {
			t.Errorf("%d ranges in one report", len(part.spans))
		}
		n++
	}
	if told != 7 || n != 3 {
		t.Errorf("told of %d in %d reports, want 7 in 3", told, n)
	}
}
