package ecr

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFramesOfTheField reads what real terminals and registers said to each other, in the order of a sale: over TCP as
// EVerest/zvt recorded it (zvt/data), Portalum/Portalum.Zvt #33, #42 and #49 as their users saw it; on a serial line
// Portalum/Portalum.Zvt #56. Card, terminal and authorisation numbers are ours.
func TestFramesOfTheField(t *testing.T) {
	local := func(kind Kind, code string) Found {
		return Found{Kind: kind, Code: code, Scheme: schemeLocal, Origin: FromTerminal}
	}
	start, end := Found{Kind: Start}, Found{Kind: End}
	const receipt = "  ** Customer Receipt **  Card No.: xxxxxxxxxxxx0010 Capture kind: Contactless "
	long := append(unhex("06D3FF"), byte((10*len(receipt)+4)%256), byte((10*len(receipt)+4)/256), 0x06, 0x82, 0x03, 0x0C)
	long = append(long, strings.Repeat(receipt, 10)...)
	status := func(members, behind string) []byte {
		b := unhex(members)
		return append(append([]byte{0x04, 0x0F, byte(len(b))}, b...), unhex(behind)...)
	}
	for _, c := range []struct {
		name, framing string
		answers       bool
		in            []byte
		want          []Found
	}{
		{"a booking of a reservation", ZVTLAN, false, unhex("0625081940870231490978"), []Found{start}},
		{"it goes on", ZVTLAN, true, unhex("04FF0117"), nil},
		{"the register says yes", ZVTLAN, false, unhex("800000"), nil},
		{"an approval, then the end", ZVTLAN, true, status("27000400000000250049 09780C225558 0D0405 22F0F8476173EEEEEE0010 8702313B3735303037310000 0B000975 1960 2912345678 0E2405 8A06 8C01", "060F00"),
			[]Found{{Kind: Result, Approved: true, STAN: "000975", Terminal: "12345678"}, end}},
		{"an approval without a card", ZVTLAN, true, status("270004000000000958 0B000982 0D0406 0C081706 8A05 8C01", ""), []Found{{Kind: Result, Approved: true, STAN: "000982"}}},
		{"a receipt of more than 255 bytes", ZVTLAN, true, append(long, unhex("060F00")...), []Found{end}},
		{"the end, with members behind", ZVTLAN, true, unhex("060F0A19102912345678490978"), []Found{end}},
		{"a partial reversal that is refused", ZVTLAN, true, unhex("061E04B887FFFF"), []Found{local(Result, "zvt:0xB8")}},
		{"an IM30 after its update", ZVTLAN, true, unhex("841E017D"), []Found{local(Refusal, "zvt:0x7D")}},
		{"a terminal that says who it is first", ZVTLAN, true, append(append(unhex("0000003E"), "VER|APP 19.46.69|MODEL Yomani 2|SERIAL 000819000A58B|6200000|1"...), unhex("061E016C")...), []Found{local(Result, "zvt:0x6C")}},
		{"bytes of no protocol before the end", ZVTLAN, true, append(unhex("150369"), unhex("060F00")...), []Found{end}},
		{"the register calls the sale off", ZVTLAN, false, unhex("06B000"), nil},
		{"a sale on a serial line", ZVT, false, unhex("10020601070400000000019010037657"), []Found{start}},
	} {
		for cut := range c.in {
			d := NewDecoder(c.framing, c.answers)
			got := listen(d, c.in[:cut], c.in[cut:])
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatalf("%s, cut at %d: -want +got\n%s", c.name, cut, diff)
			}
			if !bytes.Equal(d.held[:cap(d.held)], make([]byte, cap(d.held))) {
				t.Fatalf("%s: holds something", c.name)
			}
		}
	}
}
