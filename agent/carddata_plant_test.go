package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"posdx/drivers/ecr"
)

// A plant is the data of one card that never was, made of random digits so that finding any of it is no accident.
type plant struct {
	pan, track2, track1, name, cvv string
	pin                            []byte
}

// cvvMark stands before each planted CVV: three digits alone are everywhere.
const cvvMark = "QKZPWVX"

func newPlant(rnd *rand.Rand, prefix string, length int) plant {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + rnd.IntN(10))
		}
		return string(b)
	}
	p := plant{pan: prefix + digits(length-len(prefix)-1), name: "PLANTED" + string(rune('A'+rnd.IntN(26))) +
		"/CARDHOLDER", cvv: digits(3), pin: make([]byte, 8)}
	sum := 0
	for i := range len(p.pan) {
		d := int(p.pan[len(p.pan)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	p.pan += string(rune('0' + (10-sum%10)%10))
	rest := "3012201" + digits(10)
	p.track2, p.track1 = ";"+p.pan+"="+rest+"?", "%B"+p.pan+"^"+p.name+"^"+rest+"?"
	for i := range p.pin {
		p.pin[i] = byte(0x80 + rnd.IntN(128))
	}
	return p
}

func pack(digits string) []byte {
	b, _ := hex.DecodeString(digits + strings.Repeat("F", len(digits)%2))
	return b
}

func grouped(s, sep string) string {
	var parts []string
	for ; s != ""; s = s[min(4, len(s)):] {
		parts = append(parts, s[:min(4, len(s))])
	}
	return strings.Join(parts, sep)
}

// forms are the ways in which the card's data may turn up in a text.
func (p plant) forms() []string {
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, p.pan)
	return []string{p.pan, grouped(p.pan, " "), grouped(p.pan, "-"), p.track2, p.track1, "5A08" + p.pan + "5F24",
		p.pan[:6] + "******" + p.pan[len(p.pan)-4:],
		fmt.Sprintf("%x", sha256.Sum256([]byte(p.pan))), fmt.Sprintf("%x", sha1.Sum([]byte(p.pan))),
		fmt.Sprintf("%x", md5.Sum([]byte(p.pan))),
		hex.EncodeToString(p.pin), strings.ToUpper(hex.EncodeToString(p.pin)), wide, "=" + p.track2[len(p.pan)+2:]}
}

// needles are the bytes by which any part of it is known again that is worth finding: twelve digits in a row are.
func (p plant) needles() map[string][]byte {
	m := map[string][]byte{"PIN block": p.pin, "name": []byte(p.name[:8]), "CVV": []byte(cvvMark + "=" + p.cvv),
		"CVV in JSON": []byte(cvvMark + `":"` + p.cvv)}
	for i := range len(p.pan) - 11 {
		m[fmt.Sprintf("digits %d to %d", i, i+12)] = []byte(p.pan[i : i+12])
		if part := p.pan[i:]; len(part) >= 12 {
			m[fmt.Sprintf("BCD from %d", i)] = pack(part[:12])
		}
	}
	for _, f := range p.forms()[1:] {
		if len(f) >= 10 && !strings.Contains(f, p.pan) {
			m["form "+f[:4]] = []byte(f)
			if len(f) == 32 || len(f) == 40 || len(f) == 64 {
				m["hash "+f[:4]] = []byte(f[:16])
				raw, _ := hex.DecodeString(f)
				m["raw hash "+f[:4]] = raw[:8]
			}
		}
	}
	disc := p.track2[len(p.pan)+9 : len(p.track2)-1]
	m["discretionary data"], m["discretionary data, BCD"] = []byte(disc), pack(disc)
	return m
}

// requests are lines for the hook with the form in every member, alone and in company.
func (p plant) requests(t *testing.T, form string) (lines [][]byte) {
	for _, q := range []map[string]any{
		{"type": "code", "code": form}, {"type": "code", "code": "T-96", "scheme": form, "wait": "none"}, {"type": "code", "code": "T-96", "origin": form, "wait": "none", "ref": form},
		{"type": "code", "code": "T-96", "wait": "none", "lang": form, form: form, cvvMark: p.cvv, "pan": form, "track2": p.track2,
			"txn": map[string]any{"stan": form, "terminal_id": form, "mti": form, "entry": form, "pan": form, form: 1, "connect_ms": form, "response_ms": json.Number(p.pan)}},
		{"type": "fact", "check": "app.session", "facts": map[string]any{"last_signin_result": form, "signin_age_s": json.Number(p.pan), form: form}},
		{"type": "fact", "check": "app.version", "facts": map[string]any{"installed": form, "expected": form}},
		{"type": "fact", "check": "app.config", "facts": map[string]any{"changed_since_approval": []string{form}, "terminal_id_ok": form}},
		{"type": "fact", "check": form, "facts": map[string]any{form: form}},
		{"type": "txn", "phase": "end", "stan": form, "terminal_id": form, "result": form, "code": form, "entry": form,
			"pin": form}, {"type": form}, {"type": "check", "names": []string{form}}, {"type": "verdict", "id": form, "ref": form},
		{"type": "diagnose", "code": "T-97", "channel": form, "wait": "none"}, {"v": json.Number(p.pan), "type": "status"},
	} {
		b, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, append(b, '\n'))
		if strings.IndexByte("0123456789", form[0]) >= 0 {
			escaped := strings.NewReplacer("0", `\u0030`, "1", `\u0031`, "2", `\u0032`, "3", `\u0033`).Replace(form)
			lines = append(lines, append(bytes.ReplaceAll(b, []byte(form), []byte(escaped)), '\n'))
		}
	}
	return append(lines, []byte("what is "+form+" doing here\n"), []byte(`{"type":"code","code":"`+strings.Repeat(form, 9000/len(form))+"\"}\n"))
}

// logLines are lines of a debug log, with the form in and beside every group of the patterns.
func (p plant) logLines(form string) []string {
	flat := strings.ReplaceAll(form, " ", "")
	var dumps []string // of messages, as hex digits and as characters, and of single fields
	for _, d := range []*ecr.Dialect{ecr.NAC(), ecr.Text(), ecr.TextHex()} {
		track := strings.ReplaceAll(p.track2, "=", "D")
		if d.ASCII {
			track = p.track2
		}
		track = strings.Trim(track, ";?")
		for _, mti := range []string{"0200", "0210"} {
			fields := map[int]string{2: p.pan, 3: "000000", 11: "000001", 35: track[:min(len(track), 37)], 39: "05", 41: "10043877"}
			if b, err := ecr.Build(d, ecr.Head{}, mti, fields); err == nil {
				dumps = append(dumps, fmt.Sprintf("10:00:00 MSG %X\n", b), fmt.Sprintf("10:00:00 MSG % x\n", b), fmt.Sprintf("10:00:00 MSG %X\n", b[:len(b)-3]))
				if d.HexBitmap {
					dumps = append(dumps, fmt.Sprintf("10:00:00 MSG %s\n", b))
				}
			}
		}
	}
	dumps = append(dumps, fmt.Sprintf("10:00:00 HEX %X\n", flat), fmt.Sprintf("10:00:00 HEX %X\n", p.pan[:6]))
	return append(dumps, []string{
		p.lastLine(form),
		"10:00:00 sale RC=" + flat + " stan=000001 tid=10043877 at=12:00:00\n", "10:00:00 RC=T-55 stan=" + flat + " tid=1 at=12:00:00\n",
		"10:00:00 RC=T-55 stan=1 tid=" + flat + " at=12:00:00\n", "10:00:00 RC=T-55 stan=1 tid=1 at=" + flat + "\n",
		"10:00:00 " + strings.Repeat(p.track1, 20<<10/len(p.track1)) + " RC=T-55\n", "10:00:00 torn " + form + "\x00\x00\x00\n",
	}...)
}

// lastLine is a line that all patterns of a debug log are for.
func (p plant) lastLine(form string) string {
	return "10:00:00 sale " + form + " RC=T-55 stan=000001 tid=10043877 at=12:00:00 " + p.track2 + " " + cvvMark + "=" + p.cvv + "\n"
}

// A plantedLink is a framing of the register link and frames of it that hold the card.
type plantedLink struct {
	framing string
	frames  [][]byte
}

// links gives frames with card data wherever each framing lets some stand.
func (p plant) links(t *testing.T) []plantedLink {
	xor := func(seed byte, s string) byte {
		for i := range len(s) {
			seed ^= s[i]
		}
		return seed
	}
	crc := func(s string, low bool) (sum uint16) {
		for i := range len(s) {
			for k := range 8 {
				bit := uint16(s[i]>>(7-k)) & 1
				if low {
					if sum ^= uint16(s[i]>>k) & 1; sum&1 != 0 {
						sum = sum>>1 ^ 0x8408
					} else {
						sum >>= 1
					}
					continue
				}
				top := sum >> 15
				if sum <<= 1; top^bit != 0 {
					sum ^= 0x1021
				}
			}
		}
		return sum
	}
	member := func(tag byte, v string) string { return string([]byte{0xDF, tag, 0x81, byte(len(v))}) + v }
	mispos := func(members ...string) []byte {
		data := strings.Join(members, "")
		body := string(pack(fmt.Sprintf("%04d", len(data)))) + data + "\x03"
		return []byte("\x02" + body + string([]byte{xor(0, body)}))
	}
	bars := func(seed byte, text, summed string) []byte {
		return []byte("\x02" + text + "\x03" + string([]byte{xor(seed, summed)}))
	}
	zvt := func(apdu string) []byte {
		sum := crc(apdu+"\x03", true)
		return []byte("\x10\x02" + strings.ReplaceAll(apdu, "\x10", "\x10\x10") + "\x10\x03" + string([]byte{byte(sum), byte(sum >> 8)}))
	}
	abecs := func(text string) []byte {
		sum := crc(text+"\x17", false)
		return []byte("\x16" + text + "\x17" + string([]byte{byte(sum >> 8), byte(sum)}))
	}
	llvar := func(b []byte) string {
		return string([]byte{0xF0 | byte(len(b)/10), 0xF0 | byte(len(b)%10)}) + string(b)
	}
	card := "\x22" + llvar(pack(p.pan)) + "\x23" + llvar(pack(strings.ReplaceAll(p.track2[1:len(p.track2)-1], "=", "D")))
	status := func(members string) string { return "\x04\x0F" + string([]byte{byte(len(members))}) + members }
	transbank := "0210|02|597029414300|75001088|" + p.pan + "|" + p.track2 + "|" + string(p.pin)
	ecr17 := "123456780E01" + p.pan + p.track2 + p.track1
	long := fmt.Sprintf("%03d%s%03d%s008%s", len(p.pan), p.pan, len(p.track2), p.track2, p.pin)
	return []plantedLink{
		{ecr.MISPOS, [][]byte{mispos(member(1, "\x00"), member(0x1E, p.pan), member(6, p.track2), member(8, p.track1),
			member(9, string(p.pin)), member(7, "T9")),
			mispos(member(1, "\x01"), member(6, string(p.message(t, "0210", "96")))), mispos(string(p.message(t, "0210", "96")))}},
		{ecr.Transbank, [][]byte{bars(0, transbank, transbank+"\x03")}},
		{ecr.ECR17, [][]byte{bars(0x7F, ecr17, ecr17)}},
		{ecr.ZVT, [][]byte{zvt(status("\x27\xE2" + card)), zvt(status(card + "\x27\x51"))}},
		{ecr.ABECS, [][]byte{abecs("GOC041" + long), abecs("GPN000" + long)}},
		{ecr.ISO8583, [][]byte{ecr.Binary2.Append(nil, p.message(t, "0210", "96")), ecr.ASCII4.Append(nil, p.message(t, "0200", ""))}},
	}
}

// message is an ISO 8583 message with the card in every field that may hold it.
func (p plant) message(t *testing.T, mti, code string) []byte {
	fields := map[int]string{2: p.pan, 3: "000000", 4: "000000012345", 11: "000123", 14: "3012", 22: "051", 25: "00",
		35: strings.ReplaceAll(p.track2[1:len(p.track2)-1], "=", "D")[:min(37, len(p.track2)-2)],
		41: "10043877", 42: "898330154110012", 49: "156", 52: string(p.pin), 55: "\x57\x11" + string(pack(p.pan)) +
			"\x5a\x08" + string(pack(p.pan)), 62: p.pan, 63: p.track2, 64: string(p.pin)}
	if code != "" {
		fields[37], fields[39], fields[44] = "112113000123", code, p.pan
	}
	b, err := ecr.Build(ecr.UnionPay(), ecr.Head{TPDU: "6000030000", Header: "602200000000"}, mti, fields)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
