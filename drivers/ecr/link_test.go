package ecr

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The encoders of this file share nothing with the decoders: sums are worked out bit by bit, or as the specification's
// text puts it.

func lrcOf(seed byte, b ...byte) byte {
	for _, c := range b {
		seed ^= c
	}
	return seed
}

func frameMISPOS(members ...string) []byte {
	data := strings.Join(members, "")
	b := fmt.Appendf(nil, "%04d", len(data))
	n, _ := hex.DecodeString(string(b))
	b = append(append(n, data...), 3)
	return append(append([]byte{2}, b...), lrcOf(0, b...))
}

func member(tag byte, value string) string {
	switch n := len(value); {
	case n < 0x80:
		return string([]byte{0xDF, tag, byte(n)}) + value
	case n < 0x100:
		return string([]byte{0xDF, tag, 0x81, byte(n)}) + value
	default:
		return string([]byte{0xDF, tag, 0x82, byte(n >> 8), byte(n)}) + value
	}
}

func frameTransbank(text string) []byte {
	return append([]byte("\x02"+text+"\x03"), lrcOf(0, []byte(text+"\x03")...))
}

func frameECR17(text string) []byte {
	return append([]byte("\x02"+text+"\x03"), lrcOf(0x7F, []byte(text)...))
}

// crcBits divides by a polynomial, bit by bit, each byte's bits in the order given.
func crcBits(b []byte, low bool) (sum uint16) {
	for _, c := range b {
		for i := range 8 {
			bit := uint16(c>>(7-i)) & 1
			if low {
				bit = uint16(c>>i) & 1
			}
			top := sum >> 15
			sum <<= 1
			if top^bit != 0 {
				sum ^= 0x1021
			}
		}
	}
	if low { // the register counts from the other end
		var r uint16
		for i := range 16 {
			r |= (sum >> i & 1) << (15 - i)
		}
		return r
	}
	return sum
}

func frameZVT(apdu string) []byte {
	sum := crcBits([]byte(apdu+"\x03"), true)
	return append([]byte("\x10\x02"+strings.ReplaceAll(apdu, "\x10", "\x10\x10")+"\x10\x03"), byte(sum), byte(sum>>8))
}

func frameABECS(text string) []byte {
	sum := crcBits([]byte(text+"\x17"), false)
	text = strings.NewReplacer("\x13", "\x133", "\x16", "\x136", "\x17", "\x137").Replace(text)
	return append([]byte("\x16"+text+"\x17"), byte(sum>>8), byte(sum))
}

const (
	panBCD    = "\x62\x22\x02\x00\x00\x00\x00\x03"
	trackBCD  = panBCD + "\xD3\x01\x22\x01\x17\x58\x92\x88\x89"
	longBlock = "016" + plantedPAN + "036" + plantedTrack + "xx" + "008" + plantedPIN
)

func status(members string) string { return "\x04\x0F" + string(rune(len(members))) + members }

// links is a result on every framing, with card data wherever the framing lets some stand, and what may be known of it.
func links(t testing.TB) []struct {
	framing string
	frame   []byte
	want    Found
} {
	packet := string(sale(t, UnionPay(), heads[2]))
	card := "\x22\xF0\xF8" + panBCD + "\x23\xF1\xF7" + trackBCD + "\x24\xF0\xF1\xF7" + trackBCD + "\x2D\xF1\xF6" + plantedPAN + "\x3A\x06\x22\x0E\x30\x12"
	return []struct {
		framing string
		frame   []byte
		want    Found
	}{
		{MISPOS, frameMISPOS(member(1, "\x00"), member(0x1E, plantedPAN), member(0x1F, "3012"), member(6, plantedTrack),
			member(8, plantedPAN), member(7, "97")),
			Found{Kind: Result, Code: "97", Origin: FromHost}},
		{MISPOS, frameMISPOS(member(1, "\x00"), member(0x1E, plantedPAN), member(7, "\x00\x01\x00\x14")),
			Found{Kind: Result, Code: "00010014", Origin: FromTerminal, Scheme: "terminal-local"}},
		{MISPOS, frameMISPOS(member(1, "\x01"), member(6, packet)),
			Found{Kind: Result, Code: "96", Origin: FromHost, MTI: "0210", STAN: "000123", Terminal: "10077120"}},
		{MISPOS, frameMISPOS(packet), Found{Kind: Result, Code: "96", Origin: FromHost, MTI: "0210", STAN: "000123", Terminal: "10077120"}},
		{MISPOS, frameMISPOS(member(7, "00"), member(0x1E, plantedPAN)), Found{Kind: Result, Code: "00", Approved: true,
			Origin: FromHost}},
		{MISPOS, frameMISPOS(member(1, "\x00"), member(2, "\x01"), member(3, "000000012345")), Found{Kind: Start}},
		{Transbank, frameTransbank("0210|02|597029414300|75001088|" + plantedPAN + "|" + plantedTrack + "|" + plantedPIN),
			Found{Kind: Result, Code: "transbank:02", Scheme: "terminal-local", Origin: FromTerminal, Terminal: "75001088"}},
		{Transbank, frameTransbank("0210|00|597029414300|" + plantedPAN + "|x"), Found{Kind: Result, Approved: true}},
		{ECR17, frameECR17("123456780E01" + plantedPAN + plantedTrack),
			Found{Kind: Result, Code: "ecr17:01", Scheme: "terminal-local", Origin: FromTerminal, Terminal: "12345678"}},
		{ZVT, frameZVT(status("\x27\xE2" + card + "\x0B\x00\x01\x23\x29\x10\x07\x71\x20")),
			Found{Kind: Result, Code: "zvt:0xE2", Scheme: "terminal-local", Origin: FromTerminal, STAN: "000123", Terminal: "10077120"}},
		{ZVT, frameZVT(status(card + "\x06\x0A\x4C" + panBCD + "\x00" + "\x27\x33")), Found{Kind: Result, Code: "51", Origin: FromHost}},
		{ZVT, frameZVT(status("\x27\x10\x99" + trackBCD)), Found{Kind: Result, Code: "16", Origin: FromHost}},
		{ZVT, frameZVT("\x06\x1E\x01\x6C"), Found{Kind: Result, Code: "zvt:0x6C", Scheme: "terminal-local", Origin: FromTerminal}},
		{ABECS, frameABECS("GCR041"), Found{Kind: Result, Code: "abecs:041", Scheme: "terminal-local", Origin: FromTerminal}},
		{ABECS, frameABECS("GPN042" + longBlock), Found{Kind: Result, Code: "abecs:042", Scheme: "terminal-local", Origin: FromTerminal}},
	}
}

func listen(d *Decoder, parts ...[]byte) (list []Found) {
	for _, p := range parts {
		d.Push(bytes.Clone(p), func(f Found) { list = append(list, f) })
	}
	return list
}

// The frames come from the specifications and from the tests of ecrterm (Python, b5afb94) and bcpinpad (Go, 53e6358).
func TestPublishedFrames(t *testing.T) {
	code := Found{Kind: Result, Code: "97", Origin: FromHost}
	start, other, end := Found{Kind: Start}, Found{Kind: Other}, Found{Kind: End}
	approved := Found{Kind: Result, Approved: true, STAN: "613995", Terminal: "60099914"}
	for _, c := range []struct {
		framing, digits string
		want            []Found
	}{
		{MISPOS, "020009DF010100DF070239370301", []Found{code}},
		{Transbank, "0230313030" + "0302", nil}, // the poll, 30^31^30^30^03 behind it
		{Transbank, "02303230307C3132337C0331", []Found{start}},
		{ZVT, "10020670001003D9F9", []Found{other}},
		{ZVT, "10020501030000001003DFDB", []Found{other}},
		{ZVT, "1002800000" + "1003F51F", nil},
		{ZVT, "1002060006123456BA0978100324C3", []Found{other}},
		{ZVT, "1002060F0BF0F0F7322E31342E3135001003B111", []Found{end}},
		{ZVT, "100206010A04000000011010004909781003F2FF", []Found{start}},
		{ZVT, "1002040F3727000400000000400049" + "09780C0938480D042522F1F15966666666D20021220100170001870175" +
			"0B6139951940296009" + "99140E05128A021003908C", []Found{approved}},
		{ABECS, "164F504E17A8A9", nil},
		{ABECS, "1644535030303017" + "3963", nil},
		{ABECS, "164F504E30303017" + "775E", nil},
	} {
		b, err := hex.DecodeString(c.digits)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(c.framing, true)
		got := listen(d, b)
		if diff := cmp.Diff(c.want, got); diff != "" || d.Counts != (Counts{Frames: 1}) || d.Partial() {
			t.Errorf("%s %s: %+v, -want +got\n%s", c.framing, c.digits, d.Counts, diff)
		}
	}
}

func TestDecoderReadsEverySplitAndKeepsNoCardData(t *testing.T) {
	for i, c := range links(t) {
		for n := range len(c.frame) + 1 {
			d := NewDecoder(c.framing, true)
			got := listen(d, c.frame[:n], c.frame[n:])
			if diff := cmp.Diff([]Found{c.want}, got); diff != "" {
				t.Fatalf("%s %d split at %d: -want +got\n%s", c.framing, i, n, diff)
			}
			if rest := d.held[:cap(d.held)]; !bytes.Equal(rest, make([]byte, cap(rest))) {
				t.Fatalf("%s %d: the frame was not zeroed", c.framing, i)
			}
			if s := spilled(got, 6); s != "" {
				t.Fatalf("%s %d: %s", c.framing, i, s)
			}
		}
	}
}

// spilled says whether a run of so many digits of the planted card is in what came out.
func spilled(list []Found, run int) string {
	for _, f := range list {
		for _, v := range []string{f.Code, f.Scheme, string(f.Origin), f.MTI, f.STAN, f.Terminal} {
			for i := range len(plantedTrack) - run + 1 {
				if s := plantedTrack[i : i+run]; strings.Trim(s, "0") != "" && strings.Contains(v, s) {
					return fmt.Sprintf("%+v holds %s", f, s)
				}
			}
		}
	}
	return ""
}

func TestDecoderZeroesWhatItIsGiven(t *testing.T) {
	for _, c := range links(t) {
		b := bytes.Clone(c.frame)
		NewDecoder(c.framing, true).Push(b, func(Found) {})
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("%s: bytes were not zeroed", c.framing)
		}
	}
}

func TestDecoderIsBackInStepWithTheNextFrame(t *testing.T) {
	for i, c := range links(t) {
		for at := range c.frame {
			bad := bytes.Clone(c.frame)
			bad[at] ^= 0x41
			d := NewDecoder(c.framing, true)
			var got []Found
			d.Push(bad, func(f Found) { got = append(got, f) })
			d.Quiet(func(f Found) { got = append(got, f) })
			damagedOnes := len(got)
			got = append(got, listen(d, c.frame)...)
			d.Quiet(func(f Found) { got = append(got, f) })
			if len(got) == 0 || got[len(got)-1] != c.want || len(got) != damagedOnes+1 {
				t.Fatalf("%s %d byte %d damaged: %+v", c.framing, i, at, got)
			}
			if damagedOnes > 0 && c.framing != ECR17 {
				t.Fatalf("%s %d byte %d damaged: read as %+v", c.framing, i, at, got[0])
			}
		}
		// Without a pause between them: the sound one behind is found all the same.
		d := NewDecoder(c.framing, true)
		got := listen(d, c.frame[:len(c.frame)-3], c.frame)
		d.Quiet(func(f Found) { got = append(got, f) })
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s %d cut short and sent again: %+v, %+v", c.framing, i, got, d.Counts)
		}
	}
}

func TestDecoderCounts(t *testing.T) {
	for _, c := range links(t) {
		d := NewDecoder(c.framing, true)
		listen(d, []byte{ack, nak}, c.frame, []byte{nak})
		if want := (Counts{Frames: 1, NAKs: 2}); d.Counts != want {
			t.Errorf("%s: %+v, want %+v", c.framing, d.Counts, want)
		}
		bad := bytes.Clone(c.frame)
		bad[len(bad)-1] ^= 0x80
		listen(d, bad)
		if d.Counts.SumErrors != 1 || d.Counts.Resyncs != 1 {
			t.Errorf("%s: a wrong check character: %+v", c.framing, d.Counts)
		}
		d = NewDecoder(c.framing, true)
		listen(d, c.frame[:len(c.frame)-1])
		if !d.Partial() {
			t.Errorf("%s: a frame without its end is not partial", c.framing)
		}
		d.Quiet(func(Found) {})
		if d.Counts.Cut != 1 || d.Partial() {
			t.Errorf("%s: cut: %+v", c.framing, d.Counts)
		}
	}
}

func TestDecoderHoldsItsMemoryOnAnEndlessFrame(t *testing.T) {
	for framing, begin := range map[string]string{MISPOS: "\x02\x99\x99\xDF", Transbank: "\x02", ECR17: "\x02", ZVT: "\x10\x02", ABECS: "\x16"} {
		d := NewDecoder(framing, true)
		listen(d, []byte(begin), bytes.Repeat([]byte("A"), 10*linkBuffer))
		if cap(d.held) != linkBuffer || d.Counts.Oversize == 0 || d.Counts.Resyncs != 1 {
			t.Errorf("%s: holds %d, %+v", framing, cap(d.held), d.Counts)
		}
	}
}

func TestFramesThatTellNothing(t *testing.T) {
	packet := func(mti string, fields map[int]string) string {
		b, err := Build(UnionPay(), heads[2], mti, fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, framing string
		answers       bool
		frame         []byte
		refused       int
	}{
		{"a request that reads as an answer", ABECS, false, frameABECS("GIN003000"), 0},
		{"an encrypted answer", ABECS, true, frameABECS("\x12GC041"), 0},
		{"no status", ABECS, true, frameABECS("GCRabc"), 1},
		{"a block that is longer than the answer", ABECS, true, frameABECS("GCR041005xxxx"), 1},
		{"a length that is not the data's", ZVT, true, frameZVT("\x06\x1E\x02\x6C"), 1},
		{"an abort without a code", ZVT, true, frameZVT("\x06\x1E\x00"), 1},
		{"a card number longer than the message", ZVT, true, frameZVT("\x04\x0F\x05\x22\xF1\xF9\x27\xE2"), 1},
		{"a status without a result", ZVT, true, frameZVT(status("\x0B\x00\x01\x23")), 0},
		{"text for the printer that is a packet", MISPOS, true, frameMISPOS(member(1, "\x00"), member(6, packet("0210", map[int]string{39: "96"}))), 0},
		{"a sign-in that worked", MISPOS, true, frameMISPOS(packet("0810", map[int]string{39: "00"})), 0},
		{"no error", MISPOS, true, frameMISPOS(member(7, "\x00\x00\x00\x00")), 0},
		{"a member longer than the frame", MISPOS, true, frameMISPOS("\xDF\x07\x02" + "9"), 1},
		{"a result that is no code", MISPOS, true, frameMISPOS(member(7, "\x00\x01")), 1},
		{"an old result", Transbank, true, frameTransbank("0260|02|597029414300|75001088"), 0},
		{"a result in words", Transbank, true, frameTransbank("0210|NO|"), 1},
		{"a status", ECR17, true, frameECR17("123456780s0000000000"), 0},
		{"a result in words", ECR17, true, frameECR17("123456780EKO"), 1},
	} {
		d := NewDecoder(c.framing, c.answers)
		if got := listen(d, c.frame); got != nil || d.Counts != (Counts{Frames: 1, Refused: c.refused}) {
			t.Errorf("%s %s: %+v, %+v", c.framing, c.name, got, d.Counts)
		}
	}
}

func TestReversalCarriesTheTerminalsReason(t *testing.T) {
	b, err := Build(UnionPay(), heads[2], "0400", map[int]string{3: "000000", 11: "000123", 39: "98", 41: "10077120"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Found{{Kind: Result, Code: "98", Origin: FromTerminal, MTI: "0400", STAN: "000123", Terminal: "10077120"}}
	if diff := cmp.Diff(want, listen(NewDecoder(MISPOS, true), frameMISPOS(string(b)))); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNoiseHoldsNoRefusals(t *testing.T) {
	d := NewDecoder(Transbank, true)
	if listen(d, []byte{0x55, nak, nak}); d.Counts != (Counts{Resyncs: 1}) {
		t.Errorf("%+v", d.Counts)
	}
	d.Quiet(func(Found) {})
	if listen(d, []byte{nak}); d.Counts != (Counts{Resyncs: 1, NAKs: 1}) {
		t.Errorf("after a pause: %+v", d.Counts)
	}
}

func TestAFrameThatIsCutByTheNextHasNoWrongSum(t *testing.T) {
	for framing, frame := range map[string][]byte{Transbank: frameTransbank("0210|02||"), ECR17: frameECR17("123456780E01"), ABECS: frameABECS("GCR041")} {
		d := NewDecoder(framing, true)
		if got := listen(d, frame[:6], frame); len(got) != 1 || d.Counts != (Counts{Frames: 1, Resyncs: 1}) {
			t.Errorf("%s: %+v, %+v", framing, got, d.Counts)
		}
	}
}

func TestEcr17LearnsWhatItsCheckCharacterCovers(t *testing.T) {
	for with := range byte(4) {
		d := NewDecoder(ECR17, true)
		frame := frameECR17("123456780E01")
		frame[len(frame)-1] ^= with
		if got := listen(d, frame, []byte("\x01PLEASE WAIT         \x04"), frame); len(got) != 2 || d.Counts != (Counts{Frames: 2}) {
			t.Errorf("%d: %+v, %+v", with, got, d.Counts)
		}
		// 00 that was 01 before one bit fell over differs by what another terminal's character would.
		frame[12] ^= 1
		if got := listen(d, frame); got != nil || d.Counts.SumErrors != 1 {
			t.Errorf("%d: a changed result passed: %+v, %+v", with, got, d.Counts)
		}
	}
}

func TestUnknownFraming(t *testing.T) {
	if NewDecoder("morse", true) != nil {
		t.Error("there is a decoder of morse")
	}
}

// fuzzLink gives a decoder anything, whole and split, and then a sound frame.
func fuzzLink(f *testing.F, framing string) {
	var frame []byte
	var want Found
	for _, c := range links(f) {
		if c.framing == framing {
			f.Add(c.frame, len(c.frame)/2)
			f.Add(append(bytes.Clone(c.frame[1:]), c.frame...), 1)
			frame, want = c.frame, c.want
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			at = len(b) / 2
		}
		whole, split, single := NewDecoder(framing, true), NewDecoder(framing, true), NewDecoder(framing, true)
		got := listen(whole, b)
		if diff := cmp.Diff(got, listen(split, b[:at], b[at:])); diff != "" || whole.Counts != split.Counts {
			t.Fatalf("split at %d: %+v, %+v\n%s", at, whole.Counts, split.Counts, diff)
		}
		if len(b) <= 1024 {
			var slow []Found
			for i := range b {
				slow = append(slow, listen(single, b[i:i+1])...)
			}
			if diff := cmp.Diff(got, slow); diff != "" || whole.Counts != single.Counts {
				t.Fatalf("byte by byte: %+v, %+v\n%s", whole.Counts, single.Counts, diff)
			}
		}
		if s := spilled(got, 9); s != "" {
			t.Fatal(s)
		}
		for _, f := range got {
			_, bare, has := strings.Cut(f.Code, ":")
			if !has {
				bare = f.Code
			}
			if len(bare) > 8 || len(f.STAN) > 6 || len(f.Terminal) > 8 || len(f.MTI) > 4 || text([]byte(f.Code)) != f.Code ||
				text([]byte(f.Terminal)) != f.Terminal {
				t.Fatalf("outside the allow-list: %+v", f)
			}
		}
		if held := whole.held; !bytes.Equal(held[len(held):cap(held)], make([]byte, cap(held)-len(held))) {
			t.Fatal("bytes of an ended frame are kept")
		}
		whole.Quiet(func(Found) {})
		if framing == ECR17 { // which check character this line has is what it heard last
			listen(whole, frame)
			whole.Quiet(func(Found) {})
		}
		if got = listen(whole, frame); len(got) != 1 || got[0] != want {
			t.Fatalf("after a pause a sound frame gave %+v", got)
		}
	})
}

func FuzzMISPOS(f *testing.F)    { fuzzLink(f, MISPOS) }
func FuzzTransbank(f *testing.F) { fuzzLink(f, Transbank) }
func FuzzECR17(f *testing.F)     { fuzzLink(f, ECR17) }
func FuzzZVT(f *testing.F)       { fuzzLink(f, ZVT) }
func FuzzABECS(f *testing.F)     { fuzzLink(f, ABECS) }
