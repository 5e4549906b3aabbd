package serial

import (
	"bytes"
	"testing"
)

func TestMarksAtEverySplit(t *testing.T) {
	const marked, want = "a\xFF\xFFb\xFF\x00cd\xFF\x00\x00e\xFF\x00\xFFf", "a\xFFbcde\xFFf"
	for n := range len(marked) + 1 {
		var m Marks
		got := append([]byte(nil), m.Clean([]byte(marked[:n]))...)
		got = append(got, m.Clean([]byte(marked[n:]))...)
		if string(got) != want || m.Damaged != 2 || m.Breaks != 1 {
			t.Errorf("split at %d: %q, %d damaged, %d breaks", n, got, m.Damaged, m.Breaks)
		}
	}
}

func FuzzMarks(f *testing.F) {
	f.Add([]byte("a\xFF\xFFb\xFF\x00c\xFF\x00\x00"), 4)
	f.Add([]byte("\xFFx\xFF\x00"), 1)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			at = len(b) / 2
		}
		var whole, split Marks
		got := bytes.Clone(whole.Clean(bytes.Clone(b)))
		cut := append(bytes.Clone(split.Clean(bytes.Clone(b[:at]))), split.Clean(bytes.Clone(b[at:]))...)
		if !bytes.Equal(got, cut) || whole != split {
			t.Fatalf("split at %d: %q %+v, whole %q %+v", at, cut, split, got, whole)
		}
		// What a kernel marks comes back as it was.
		var m Marks
		if back := m.Clean(bytes.ReplaceAll(b, []byte{0xFF}, []byte{0xFF, 0xFF})); !bytes.Equal(back, b) ||
			m.Damaged+m.Breaks > 0 {
			t.Fatalf("%q came back as %q", b, back)
		}
	})
}
