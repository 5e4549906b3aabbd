package ecr

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// common are the dialects of most hosts, which Build writes.
var common = []*Dialect{UnionPay(), NAC(), Text(), TextHex()}

// talk is a row of messages as one side sends them, with what may be known of each.
func talk(t testing.TB, l LengthHeader, d *Dialect, n int) (stream []byte, ends []int, want []Message) {
	t.Helper()
	for i := range n {
		f := map[int]string{2: plantedPAN, 3: "000000", 11: fmt.Sprintf("%06d", i+1), 35: plantedTrack, 39: "96", 41: "10077120",
			52: plantedPIN, 63: plantedTrack}
		b, err := Build(d, heads[i%len(heads)], "0210", f)
		if err != nil {
			t.Fatal(err)
		}
		stream = l.Append(stream, b)
		ends = append(ends, len(stream))
		m, err := Parse(b, d)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, m)
	}
	return stream, ends, want
}

// collect pushes segments and returns what came out; every segment must be zero then.
func collect(t testing.TB, s *Stream, segments ...[]byte) (list []Message) {
	t.Helper()
	for _, b := range segments {
		b = bytes.Clone(b)
		s.Push(b, func(m Message) { list = append(list, m) })
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Fatal("the segment was not zeroed")
		}
		if free := s.held[len(s.held):cap(s.held)]; !bytes.Equal(free, make([]byte, len(free))) {
			t.Fatal("the buffer holds what was read")
		}
	}
	return list
}

func TestStreamReadsHoweverItIsCut(t *testing.T) {
	for _, l := range lengthHeaders {
		for _, d := range common {
			stream, _, want := talk(t, l, d, 3)
			for i := range want {
				want[i].Dialect = ""
			}
			check := func(how string, got []Message) {
				t.Helper()
				for i := range got {
					got[i].Dialect = "" // undeclared: two may fit
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%v %s %s: -want +got\n%s", l, d.Name, how, diff)
				}
			}
			check("whole", collect(t, NewStream(0), stream))
			check("declared", collect(t, NewStream(l, d), stream))
			check("by bytes", collect(t, NewStream(0), slices.Collect(slices.Chunk(stream, 1))...))
			for cut := range stream {
				check(fmt.Sprint("cut at ", cut), collect(t, NewStream(0), stream[:cut], stream[cut:]))
			}
		}
	}
}

func TestStreamFindsTheNextMessageAfterALoss(t *testing.T) {
	stream, ends, want := talk(t, Binary2, UnionPay(), 4)
	for lost := range ends[1] {
		s := NewStream(0)
		var got []Message
		got = append(got, collect(t, s, stream[:lost])...)
		s.Lost()
		// From the middle of the second message to its end, then each message in a segment of its own.
		got = append(got, collect(t, s, stream[lost+1:ends[1]], stream[ends[1]:ends[2]], stream[ends[2]:])...)
		s.Turn(func(m Message) { got = append(got, m) })
		if len(got) < 2 || got[len(got)-1] != want[3] || got[len(got)-2] != want[2] {
			t.Fatalf("after losing byte %d: %+v", lost, got)
		}
		if in := lost >= ends[0]; in != (s.Counts.Resyncs == 1) {
			t.Fatalf("after losing byte %d: %+v", lost, s.Counts)
		}
	}
}

func TestStreamStartsInTheMiddle(t *testing.T) {
	stream, ends, want := talk(t, BCD2, UnionPay(), 3)
	for from := 1; from < ends[0]; from++ {
		s := NewStream(0)
		got := collect(t, s, stream[from:ends[0]])
		s.Turn(func(Message) { t.Fatalf("from %d: a message out of half a one", from) })
		got = append(got, collect(t, s, stream[ends[0]:ends[1]], stream[ends[1]:])...)
		if len(got) != 2 || got[0] != want[1] || got[1] != want[2] {
			t.Fatalf("from byte %d: %+v", from, got)
		}
	}
}

// A message that no dialect can read costs itself only.
func TestStreamGoesOverWhatItCannotRead(t *testing.T) {
	stream, ends, want := talk(t, Binary2, UnionPay(), 3)
	bad := bytes.Clone(stream)
	at := ends[0] + 2 + 5 + 2 // the bitmap, behind a TPDU
	bad[at+7] ^= 0xff
	s := NewStream(0)
	got := collect(t, s, bad)
	if len(got) != 2 || got[0] != want[0] || got[1] != want[2] || s.Counts != (StreamCounts{Messages: 2, Refused: 1}) {
		t.Errorf("got %+v, %+v", got, s.Counts)
	}
}

func TestStreamHoldsLittle(t *testing.T) {
	junk := rand.New(rand.NewPCG(1, 2))
	s := NewStream(0)
	seg := make([]byte, 1400)
	for range 4000 {
		for i := range seg {
			seg[i] = byte(junk.Uint32())
		}
		if junk.IntN(4) == 0 {
			seg[0], seg[1] = 0x0f, 0xff // a length that is a lie
		}
		s.Push(seg, func(Message) {})
		if len(s.held) > ASCII4.Size()+MaxMessage || len(s.starts) > maxStarts {
			t.Fatalf("holds %d bytes, %d beginnings", len(s.held), len(s.starts))
		}
	}
	stream, _, want := talk(t, Binary2, UnionPay(), 1)
	s.Turn(func(Message) {})
	if got := collect(t, s, stream); len(got) != 1 || got[0] != want[0] {
		t.Errorf("after it: %+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { s.Push(seg, func(Message) {}); s.Turn(func(Message) {}) }); n > 40 {
		t.Errorf("%v allocations a segment of junk", n)
	}
}

func TestStreamNames(t *testing.T) {
	for name, want := range map[string]LengthHeader{"": 0, "binary2": Binary2, "bcd2": BCD2, "ascii4": ASCII4, "binary2-self": Binary2Self, "little2": Little2, "hex4": Hex4} {
		if got, err := LengthHeaderByName(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if _, err := LengthHeaderByName("tpdu"); err == nil {
		t.Error("a header that is none")
	}
	for _, d := range dialects {
		if got, err := DialectsByName(d.Name); err != nil || len(got) != 1 || got[0].Name != d.Name {
			t.Errorf("%q: %v, %v", d.Name, got, err)
		}
	}
	if _, err := DialectsByName("klingon"); err == nil {
		t.Error("a dialect that is none")
	}
}

func FuzzStream(f *testing.F) {
	for i, l := range []LengthHeader{Binary2, BCD2, ASCII4} {
		stream, _, _ := talk(f, l, common[i], 2)
		f.Add(stream, uint64(i))
	}
	for i, w := range ways(f) {
		f.Add(w.b, uint64(i))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(7))
	f.Add(bytes.Repeat([]byte{0x0f, 0xff, 0x02, 0x00}, 2000), uint64(9))
	f.Fuzz(func(t *testing.T, b []byte, how uint64) {
		cuts := rand.New(rand.NewPCG(how, 1))
		s := NewStream(0)
		for len(b) > 0 {
			n := 1 + cuts.IntN(min(len(b), 1+cuts.IntN(3000)))
			for _, m := range collect(t, s, b[:n]) {
				if len(m.Code) > 3 || len(m.Terminal) > 8 || len(m.Reference) > 12 ||
					strings.ContainsFunc(m.Code+m.Terminal+m.Reference, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("%+v", m)
				}
			}
			b = b[n:]
			switch cuts.IntN(16) {
			case 0:
				s.Lost()
			case 1:
				s.Turn(func(Message) {})
			}
			for i, at := range s.starts {
				if at < 0 || at >= len(s.held) || i == 0 && at != 0 || i > 0 && at <= s.starts[i-1] {
					t.Fatalf("beginnings %v of %d bytes", s.starts, len(s.held))
				}
			}
			if (len(s.starts) == 0) != (len(s.held) == 0) {
				t.Fatalf("beginnings %v of %d bytes", s.starts, len(s.held))
			}
		}
		s.Close()
		if s.held != nil {
			t.Fatal("closed and yet holds")
		}
	})
}

// jPOS's packagers, in JavaScript, know nothing of ours: every length header, with and without what may stand before
// the message type.
func TestStreamReadsWhatJPOSWrote(t *testing.T) {
	ask := Message{Dialect: "unionpay", TPDU: "6000030000", MTI: "0200", Processing: "000000", STAN: "000123", Terminal: "10077120"}
	answer := Message{Dialect: "unionpay", TPDU: "6000030000", MTI: "0210", Processing: "000000", STAN: "000123", Time: "131411", Date: "1121",
		Reference: "112113000123", Code: "96", Terminal: "10077120"}
	with := func(m Message, change func(*Message)) Message { change(&m); return m }
	kinds := map[string]Message{
		"ask": ask, "answer": answer, "lri": answer,
		"signin": with(answer, func(m *Message) {
			m.MTI, m.Processing, m.STAN, m.Reference, m.Code = "0810", "", "000007", "112113000007", "97"
		}),
		"reversal":  with(ask, func(m *Message) { m.MTI, m.Code = "0400", "98" }),
		"bare":      with(answer, func(m *Message) { m.TPDU = "" }),
		"text":      with(answer, func(m *Message) { m.Dialect, m.TPDU, m.Code = "text", "", "51" }),
		"secondary": with(answer, func(m *Message) { m.Dialect, m.MTI, m.Code = "text", "0430", "00" }),
	}
	all := foreign(t, "jspos.hex")
	for kind, want := range kinds {
		for name, l := range map[string]LengthHeader{"binary2": Binary2, "bcd2": BCD2, "ascii4": ASCII4} {
			stream := all[kind+"-"+name]
			want.Length = len(stream) - l.Size()
			for cut := range stream {
				got := collect(t, NewStream(0), stream[:cut], stream[cut:])
				if diff := cmp.Diff([]Message{want}, got); diff != "" {
					t.Fatalf("%s %s cut at %d: -want +got\n%s", kind, name, cut, diff)
				}
			}
			if got := collect(t, NewStream(l), stream, stream); len(got) != 2 || got[1] != want {
				t.Errorf("%s %s twice: %+v", kind, name, got)
			}
		}
	}
	if len(all) != 3*len(kinds) {
		t.Errorf("%d messages, of which %d are tested", len(all), 3*len(kinds))
	}
}

// TestMessagesInsideHTTP reads messages that go as the body of a POST and of its answer (UnionPay's access over HTTP,
// x-ISO-TPDU/x-auth): in one segment with the head, in two, cut at every byte, and what is no message behind a head.
func TestMessagesInsideHTTP(t *testing.T) {
	message := Binary2.Append(nil, sale(t, UnionPay(), heads[2]))
	head := fmt.Sprintf("POST /mjc/webtrans/VPB_lb HTTP/1.1\r\nHOST: 203.0.113.10:20141\r\nUser-Agent: Donjin Http 0.1\r\n"+
		"Content-Type:x-ISO-TPDU/x-auth\r\nContent-Length: %d\r\n\r\n", len(message))
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: x-ISO-TPDU/x-auth\r\nContent-Length: %d\r\n\r\n", len(message))
	for _, h := range []string{head, answer} {
		whole := append([]byte(h), message...)
		for cut := 1; cut < len(whole); cut++ {
			if got := collect(t, NewStream(0), whole[:cut], whole[cut:]); len(got) != 1 {
				t.Fatalf("%.8s cut at %d: %d messages", h, cut, len(got))
			}
		}
		s := NewStream(0)
		if got := collect(t, s, whole, whole, []byte(h), message); len(got) != 3 || s.Counts.Resyncs != 0 {
			t.Errorf("%.8s, three on one connection: %d, %+v", h, len(got), s.Counts)
		}
	}
	page := []byte("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html><body>502</body></html>")
	s := NewStream(0)
	if got := collect(t, s, page, append([]byte(answer), message...)); len(got) != 1 || s.Counts.Refused == 0 {
		t.Errorf("behind a page: %d messages, %+v", len(got), s.Counts)
	}
	s = NewStream(0)
	got := collect(t, s, append([]byte(answer), message...), []byte("HTTP/1.1 400 half a head"))
	s.Turn(func(m Message) { got = append(got, m) })
	if got = append(got, collect(t, s, message)...); len(got) != 2 {
		t.Errorf("behind half a head: %d messages, %+v", len(got), s.Counts)
	}
	endless := bytes.Repeat([]byte("x"), 4*maxHead)
	copy(endless, "POST /")
	if got := collect(t, NewStream(0), endless, message); len(got) != 1 {
		t.Errorf("behind a head without an end: %d messages", len(got))
	}
}
