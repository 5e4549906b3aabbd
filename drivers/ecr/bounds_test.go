package ecr

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTransbanksOwnLibrary reads what others framed: see testdata.
func TestTransbanksOwnLibrary(t *testing.T) {
	list, err := os.ReadFile("testdata/transbank.hex")
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for line := range strings.Lines(string(list)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		var want []Found
		switch name {
		case "nothing":
		case "start":
			want = []Found{{Kind: Start}}
		case "other":
			want = []Found{{Kind: Other}}
		case "00":
			want = []Found{{Kind: Result, Approved: true, Terminal: "75001088"}}
		default:
			want = []Found{{Kind: Result, Code: "transbank:" + name, Scheme: "terminal-local", Origin: FromTerminal, Terminal: "75001088"}}
		}
		d := NewDecoder(Transbank, true)
		if diff := cmp.Diff(want, listen(d, b)); diff != "" || d.Counts != (Counts{Frames: 1}) {
			t.Errorf("%s %s: %+v, -want +got\n%s", name, digits, d.Counts, diff)
		}
		frames++
	}
	if frames < 15 {
		t.Errorf("%d frames only", frames)
	}
}

func TestConfirmationsOfECR17AreFrames(t *testing.T) {
	for with := range byte(4) {
		d := NewDecoder(ECR17, true)
		frame := frameECR17("123456780E01")
		frame[len(frame)-1] ^= with
		yes, no := []byte{ack, etx, ecr17Seed ^ ack ^ with}, []byte{nak, etx, ecr17Seed ^ nak ^ with}
		got := listen(d, frame, yes, no, frame, yes[:2], yes[2:], []byte{ack}, frame)
		if len(got) != 3 || d.Counts != (Counts{Frames: 3, NAKs: 1}) || d.Partial() {
			t.Errorf("%d: %+v, %+v", with, got, d.Counts)
		}
	}
	// An end without its check character must not swallow the beginning of the next frame.
	d := NewDecoder(ECR17, true)
	if got := listen(d, []byte{etx}, frameECR17("123456780E01")); len(got) != 1 || d.Counts != (Counts{Frames: 1, Resyncs: 1}) {
		t.Errorf("%+v, %+v", got, d.Counts)
	}
}

// faults are what happens to a frame on its way. Each returns what arrives, nil where it cannot happen at that place.
var faults = []struct {
	name string
	do   func(frame []byte, at int) []byte
}{
	{"stops in the middle", func(f []byte, at int) []byte { return bytes.Clone(f[:at]) }},
	{"begins in the middle", func(f []byte, at int) []byte { return bytes.Clone(f[at:]) }},
	{"a bit falls over", func(f []byte, at int) []byte { b := bytes.Clone(f); b[at] ^= 1 << (at % 8); return b }},
	{"a byte is missing", func(f []byte, at int) []byte { return slices.Delete(bytes.Clone(f), at, at+1) }},
	{"a byte too many", func(f []byte, at int) []byte { return slices.Insert(bytes.Clone(f), at, byte(0xA5)) }},
	{"a stray start", func(f []byte, at int) []byte { return slices.Insert(bytes.Clone(f), at, byte(stx)) }},
	{"a stray end", func(f []byte, at int) []byte { return slices.Insert(bytes.Clone(f), at, byte(etx)) }},
	{"a length that lies", func(f []byte, at int) []byte {
		if f[0] != stx || at != 1 && at != 2 || f[1] > 0x99 {
			return nil
		}
		b := bytes.Clone(f)
		b[at] = 0x19
		return b
	}},
	{"the wrong speed", func(f []byte, at int) []byte { return resampled(f, 1+float64(at%7)/3) }},
}

// resampled is what a UART reads that is set to so many times the rate of the line: ten bits to a character, sampled at
// the wrong moments, each character beginning at the next falling edge.
func resampled(b []byte, factor float64) (out []byte) {
	if factor == 1 {
		factor = 0.5
	}
	var bits []bool
	for _, c := range b {
		bits = append(bits, false)
		for i := range 8 {
			bits = append(bits, c>>i&1 != 0)
		}
		bits = append(bits, true)
	}
	at := func(t float64) bool { i := int(t); return i >= len(bits) || bits[i] }
	for t := 0.0; int(t) < len(bits); {
		if at(t) {
			t += 0.1
			continue
		}
		var c byte
		for i := range 8 {
			if at(t + (1.5+float64(i))/factor) {
				c |= 1 << i
			}
		}
		out = append(out, c)
		t += 9.5 / factor
	}
	return out
}

// TestResynchronisesWithinOneFrame lets every fault hit every place of every frame. Of two sound frames right behind it
// the second at the latest is read, and after a pause the first is; the fault is counted; memory does not grow.
func TestResynchronisesWithinOneFrame(t *testing.T) {
	for _, c := range links(t) {
		for _, f := range faults {
			for at := range c.frame {
				hit := f.do(c.frame, at)
				if hit == nil || bytes.Equal(hit, c.frame) || len(hit) == 0 {
					continue
				}
				d := NewDecoder(c.framing, true)
				listen(d, c.frame) // which check character an ECR17 line has is known by then
				before := d.Counts
				got := listen(d, hit, c.frame, c.frame)
				late := false
				d.Quiet(func(Found) { late = true })
				ends := len(got) > 0 && got[len(got)-1] == c.want
				if !ends && !(f.name == "a length that lies" && late) && !(c.framing == MISPOS && late) {
					t.Fatalf("%s, %s at %d: % x, found %+v, %+v", c.framing, f.name, at, hit, got, d.Counts)
				}
				n := d.Counts
				n.Frames, before.Frames = 0, 0
				if n == before && len(got) < 3 {
					t.Fatalf("%s, %s at %d: % x is not counted: %+v, found %+v", c.framing, f.name, at, hit, d.Counts, got)
				}
				if cap(d.held) != linkBuffer || len(d.held) != 0 {
					t.Fatalf("%s, %s at %d: holds %d of %d", c.framing, f.name, at, len(d.held), cap(d.held))
				}
				if got := listen(d, c.frame); len(got) != 1 || got[0] != c.want {
					t.Fatalf("%s, %s at %d: after a pause %+v", c.framing, f.name, at, got)
				}
				if s := spilled(got, 6); s != "" {
					t.Fatalf("%s, %s at %d: %s", c.framing, f.name, at, s)
				}
			}
		}
	}
}

// TestAnEndlessStreamHoldsNothing feeds each decoder a megabyte of what its own frames are made of, in any order.
func TestAnEndlessStreamHoldsNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, framing := range []string{MISPOS, Transbank, ECR17, ZVT, ABECS} {
		var parts [][]byte
		for _, c := range links(t) {
			if c.framing == framing {
				parts = append(parts, c.frame)
			}
		}
		d := NewDecoder(framing, true)
		buf := make([]byte, 256)
		allocs := testing.AllocsPerRun(1000, func() {
			n := 0
			for n < len(buf) {
				p := parts[r.IntN(len(parts))]
				from := r.IntN(len(p))
				n += copy(buf[n:], p[from:from+1+r.IntN(len(p)-from)])
			}
			d.Push(buf, func(Found) {})
		})
		// A code is a text and may cost one; what is held must not.
		if allocs > 40 || cap(d.held) != linkBuffer {
			t.Errorf("%s: %v allocations a push, holds %d", framing, allocs, cap(d.held))
		}
		if c := d.Counts; c.Resyncs+c.SumErrors < 100 || c.Frames == 0 {
			t.Errorf("%s: %+v", framing, c)
		}
	}
}
