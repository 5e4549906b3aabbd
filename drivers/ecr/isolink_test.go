package ecr

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// isoFrames is an answer with card data in every field that takes some, in every dialect behind every length header.
func isoFrames(t testing.TB) (frames [][]byte) {
	for _, d := range common {
		for i, h := range heads {
			if i > 0 && d.ASCII { // packed headers stand before packed messages only
				continue
			}
			for _, l := range []LengthHeader{Binary2, BCD2, ASCII4} {
				frames = append(frames, l.Append(nil, sale(t, d, h)))
			}
		}
	}
	return frames
}

var isoWant = Found{Kind: Result, Code: "96", Origin: FromHost, MTI: "0210", STAN: "000123", Terminal: "10077120"}

func TestISOLinkReadsEverySplitAndKeepsNoCardData(t *testing.T) {
	for i, frame := range isoFrames(t) {
		for n := range len(frame) + 1 {
			d := NewDecoder(ISO8583, true)
			got := listen(d, frame[:n], frame[n:])
			if len(got) != 1 || got[0] != isoWant || d.Counts != (Counts{Frames: 1}) {
				t.Fatalf("%d split at %d: %+v, %+v", i, n, got, d.Counts)
			}
			if rest := d.held[:cap(d.held)]; !bytes.Equal(rest, make([]byte, cap(rest))) {
				t.Fatalf("%d: the frame was not zeroed", i)
			}
			if s := spilled(got, 6); s != "" {
				t.Fatalf("%d: %s", i, s)
			}
		}
	}
}

// Without a check sum some damage cannot be seen; what follows a pause, or stands whole behind half a frame, is read.
func TestISOLinkIsBackInStep(t *testing.T) {
	for i, frame := range isoFrames(t) {
		for at := i % 5; at < len(frame); at += 5 {
			for _, hit := range [][]byte{frame[:at], append(bytes.Clone(frame[:at]), frame[at+1:]...),
				func() []byte { b := bytes.Clone(frame); b[at] ^= 0x41; return b }()} {
				d := NewDecoder(ISO8583, true)
				listen(d, hit)
				d.Quiet(func(Found) {})
				if got := listen(d, frame); len(got) != 1 || got[0] != isoWant {
					t.Fatalf("%d, hit at %d, after a pause: %+v, %+v", i, at, got, d.Counts)
				}
				d = NewDecoder(ISO8583, true)
				got := listen(d, hit, frame)
				d.Quiet(func(f Found) { got = append(got, f) })
				if len(got) == 0 || got[len(got)-1] != isoWant {
					t.Fatalf("%d, hit at %d, without a pause: %+v, %+v", i, at, got, d.Counts)
				}
				if s := spilled(got, 6); s != "" {
					t.Fatalf("%d: %s", i, s)
				}
			}
		}
	}
}

func TestISOLinkKnowsRequestsAndRefusals(t *testing.T) {
	frame := func(mti string, f map[int]string) []byte {
		b, err := Build(UnionPay(), heads[2], mti, f)
		if err != nil {
			t.Fatal(err)
		}
		return Binary2.Append(nil, b)
	}
	d := NewDecoder(ISO8583, true)
	got := listen(d, frame("0200", map[int]string{2: plantedPAN, 11: "000007", 41: "10077120"}), []byte{nak}, frame("0400", map[int]string{11: "000007", 39: "98"}))
	if len(got) != 2 || got[0].Kind != Start || got[1].Code != "98" || got[1].Origin != FromTerminal || d.Counts.NAKs != 1 {
		t.Errorf("a request, a NAK and a reversal: %+v, %+v", got, d.Counts)
	}
}

func TestISOLinkHoldsItsMemory(t *testing.T) {
	frames := isoFrames(t)
	r := rand.New(rand.NewPCG(5, 6))
	d := NewDecoder(ISO8583, true)
	read := 0
	for range 2000 {
		p := frames[r.IntN(len(frames))]
		from, to := 0, len(p)
		if r.IntN(3) > 0 {
			from = r.IntN(len(p))
			to = from + 1 + r.IntN(len(p)-from)
		}
		d.Push(bytes.Clone(p[from:to]), func(Found) { read++ })
		if cap(d.held) != linkBuffer {
			t.Fatalf("holds %d", cap(d.held))
		}
	}
	if d.Counts.Resyncs < 100 || read < 100 {
		t.Errorf("%d read, %+v", read, d.Counts)
	}
}

func FuzzISOLink(f *testing.F) {
	for _, frame := range isoFrames(f)[:6] {
		f.Add(frame, byte(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut byte) {
		n := min(int(cut), len(b))
		d := NewDecoder(ISO8583, true)
		got := listen(d, b[:n], b[n:])
		d.Quiet(func(f Found) { got = append(got, f) })
		if d.Partial() || cap(d.held) != linkBuffer || !bytes.Equal(d.held[:cap(d.held)], make([]byte, linkBuffer)) {
			t.Errorf("holds %d bytes", len(d.held))
		}
	})
}
