package ecr

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryCommandOfEveryProtocol walks the published command tables: what is for a card or an amount begins a sale,
// what is answered in the same way and is none does not, and what ends either does.
func TestEveryCommandOfEveryProtocol(t *testing.T) {
	start, other, end := Found{Kind: Start}, Found{Kind: Other}, Found{Kind: End}
	check := func(framing, what string, answers bool, frame []byte, want ...Found) {
		t.Helper()
		d := NewDecoder(framing, answers)
		got := listen(d, frame)
		for i := range got {
			got[i].Terminal = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: -want +got\n%s", framing, what, diff)
		}
	}
	local := func(kind Kind, code string) Found {
		return Found{Kind: kind, Code: code, Scheme: schemeLocal, Origin: FromTerminal}
	}
	approved := Found{Kind: Result, Approved: true}

	// PA00P015 13.07, chapter 2, in the order of its contents.
	for _, c := range []struct {
		command string
		want    Found
	}{
		{"0600", other}, {"0601", start}, {"0602", other}, {"0603", start}, {"0604", start}, {"0605", start}, {"0609", start}, {"060A", start},
		{"060C", start}, {"0610", other}, {"0612", other}, {"0618", other}, {"061A", other}, {"061B", other}, {"0620", other}, {"0621", start},
		{"0622", start}, {"0623", start}, {"0624", start}, {"0625", start}, {"0630", start}, {"0631", start}, {"0650", other}, {"0651", other},
		{"0670", other}, {"0679", other}, {"0691", other}, {"0693", other}, {"0695", other}, {"06C0", start}, {"0501", other},
	} {
		b, _ := hex.DecodeString(c.command + "00")
		check(ZVT, c.command, false, frameZVT(string(b)), c.want)
	}
	for apdu, want := range map[string][]Found{
		"800000": nil, "840000": nil, "849C00": {local(Refusal, "zvt:0x9C")}, "841E017D": {local(Refusal, "zvt:0x7D")}, "848300": {local(Refusal, "zvt:0x83")},
		"060F00": {end}, "061E016C": {local(Result, "zvt:0x6C")}, "040F022700": {approved}, "04FF010A": nil,
	} {
		b, _ := hex.DecodeString(apdu)
		check(ZVT, apdu, true, frameZVT(string(b)), want...)
	}
	// What the register refuses is a message of the terminal, and no sale.
	check(ZVT, "84 9C of the register", false, frameZVT("\x84\x9C\x00"))

	// transbankdevelopers.cl, POS Integrado.
	for command, want := range map[string][]Found{
		"0100": nil, "0200": {start}, "0250": nil, "0260": nil, "0270": {start}, "0280": nil, "0300": nil, "0500": {other}, "0700": {other}, "0800": {other},
		"1200": {start}, "0210|00|1|75001088|": {approved}, "0271|00|1|75001088|": {approved}, "1210|00|1|75001088|": {approved}, "0900|81": nil,
		"0210|07|1|75001088|": {local(Result, "transbank:07")}, "1210|05|1|75001088|": {local(Result, "transbank:05")}, "0271|02|1|75001088|": {local(Result, "transbank:02")},
		"0510|00|1|75001088|": {end}, "0710|1|2|": {end}, "0810|00|1|75001088|": {end},
		"0510|11|1|75001088|": {local(Result, "transbank:11")}, "0810|06|1|75001088|": {local(Result, "transbank:06")},
	} {
		check(Transbank, command, true, frameTransbank(command+"|"), want...)
	}

	// developer.nexigroup.com, traditional POS; the names of the crate ecr17-protocol.
	for command, want := range map[byte][]Found{
		'P': {start}, 'X': {start}, 'S': {start}, 'p': {start}, 'i': {start}, 'c': {start}, 'H': {start}, 'K': {start},
		'C': {other}, 'T': {other}, 's': nil, 'R': nil, 'G': nil, 'E': nil, 'U': nil,
	} {
		check(ECR17, string(command), false, frameECR17("123456780"+string(command)+"00000001000000000650"), want...)
	}
	for _, letter := range "EeicH" {
		check(ECR17, string(letter)+"00", true, frameECR17("123456780"+string(letter)+"00"), approved)
		for _, code := range []string{"01", "05", "09"} {
			check(ECR17, string(letter)+code, true, frameECR17("123456780"+string(letter)+code), local(Result, "ecr17:"+code))
		}
	}
	check(ECR17, "C00", true, frameECR17("123456780C00"), end)
	check(ECR17, "C01", true, frameECR17("123456780C01"), local(Result, "ecr17:01"))
	check(ECR17, "T01", true, frameECR17("123456780T01"), end)

	// IngPosCom.cpp: what each command of the register carries.
	head := member(1, "\x00") + member(4, "\x12\x34")
	check(MISPOS, "sale", false, frameMISPOS(head, member(2, "\x02"), member(3, "\x00\x00\x00\x01\x23\x45")), start)
	check(MISPOS, "cancelling", false, frameMISPOS(head, member(2, "\x03"), member(3, "\x00\x00\x00\x01\x23\x45"), member(0x18, "\x00\x00\x05")), start)
	check(MISPOS, "refund by reference", false, frameMISPOS(head, member(2, "\x04"), member(0x19, "\x00\x00\x05"), member(0x16, "      ")), start)
	check(MISPOS, "sign-in", false, frameMISPOS(head, member(2, "\x01"), member(8, "\x55\x55")))
	check(MISPOS, "text of a receipt", true, frameMISPOS(member(1, "\x02"), member(6, "x"), member(0x18, "\x00\x00\x05"), member(3, "x")))

	// ABECS 2.20, chapter 3.
	for _, name := range []string{"GCR", "GCX", "GCD", "GTK", "GPN", "GOC", "GOX", "CNG", "CHP", "FNC", "FCX"} {
		check(ABECS, name, false, frameABECS(name+"000"), start)
	}
	for _, name := range []string{"OPN", "GIN", "DSP", "DEX", "TLI", "TLR", "TLE", "GTS", "MNU", "CKE", "RMC", "CLO", "GKY"} {
		check(ABECS, name, false, frameABECS(name+"000"))
	}
	for name, want := range map[string][]Found{
		"GCR000": nil, "GPN000": nil, "GOC000": nil, "GCR013": {local(Result, "abecs:013")}, "GOC060": {local(Result, "abecs:060")},
		"FNC000": {end}, "FCX000": {end}, "RMC000": {end}, "CLO000": {end}, "CLX000": {end}, "ERR": nil,
	} {
		check(ABECS, name, true, frameABECS(name), want...)
	}
	check(ABECS, "cancelled", true, []byte{eot}, end)
}

// TestEveryMessageTypeOfASale is the same for ISO 8583, on a line of its own and inside a MIS-POS frame.
func TestEveryMessageTypeOfASale(t *testing.T) {
	for _, c := range []struct {
		mti, code string
		want      Found
	}{
		{"0100", "", Found{Kind: Start}}, {"0200", "", Found{Kind: Start}}, {"0120", "", Found{Kind: Start}}, {"0220", "", Found{Kind: Start}},
		{"0110", "00", Found{Kind: Result, Approved: true, Code: "00", Origin: FromHost}},
		{"0210", "00", Found{Kind: Result, Approved: true, Code: "00", Origin: FromHost}},
		{"0230", "00", Found{Kind: Result, Approved: true, Code: "00", Origin: FromHost}},
		{"0110", "51", Found{Kind: Result, Code: "51", Origin: FromHost}},
		{"0210", "96", Found{Kind: Result, Code: "96", Origin: FromHost}}, {"0210", "", Found{Kind: End}},
		{"0400", "98", Found{Kind: Result, Code: "98", Origin: FromTerminal}}, {"0400", "", Found{Kind: Start}}, {"0420", "", Found{Kind: Start}},
		{"0410", "00", Found{Kind: End}}, {"0430", "00", Found{Kind: End}}, {"0410", "12", Found{Kind: Result, Code: "12", Origin: FromHost}},
		{"0800", "", Found{}}, {"0810", "00", Found{}}, {"0810", "97", Found{Kind: Result, Code: "97", Origin: FromHost}}, {"0500", "", Found{}}, {"0510", "00", Found{}},
	} {
		f := map[int]string{11: "000123", 41: "10077120"}
		if c.code != "" {
			f[39] = c.code
		}
		b, err := Build(UnionPay(), heads[2], c.mti, f)
		if err != nil {
			t.Fatal(err)
		}
		var want []Found
		if c.want.Kind != Nothing {
			c.want.MTI, c.want.STAN, c.want.Terminal = c.mti, "000123", "10077120"
			want = []Found{c.want}
		}
		for framing, frame := range map[string][]byte{ISO8583: Binary2.Append(nil, b),
			MISPOS: frameMISPOS(member(1, "\x01"), member(6, string(b)))} {
			if diff := cmp.Diff(want, listen(NewDecoder(framing, c.mti[2] == '1'), frame)); diff != "" {
				t.Errorf("%s %s: -want +got\n%s", framing, fmt.Sprint(c.mti, c.code), diff)
			}
		}
	}
}
