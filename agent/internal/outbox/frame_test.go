package outbox

import (
	"bytes"
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
