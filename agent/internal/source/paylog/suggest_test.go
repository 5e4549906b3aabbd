package paylog

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

const suggestPAN = "4761739001010010"

// kinds are logs as programs write them: see the README of testdata for where each form is from. %[1]d counts, %[2]s is
// a code.
var kinds = []struct {
	name, line string
	enc        encoding.Encoding
	want       string // encoding
	stan       bool
}{
	{"jPOS", "<log realm=\"channel/10.1.1.1:8583\" at=\"2026-11-28T10:00:%02[1]d.123\" lifespan=\"12ms\">\n  <receive>\n    <isomsg direction=\"incoming\">\n" +
		"      <field id=\"0\" value=\"0210\"/>\n      <field id=\"2\" value=\"" + suggestPAN + "\"/>\n      <field id=\"11\" value=\"%06[1]d\"/>\n      <field id=\"39\" value=\"%[2]s\"/>\n" +
		"      <field id=\"41\" value=\"10077120\"/>\n    </isomsg>\n  </receive>\n</log>\n", nil, "", true},
	{"JSON lines", `{"ts":"2026-11-28T10:00:%02[1]d.000Z","level":"INFO","msg":"host answer","stan":"%06[1]d","pan":"` + suggestPAN + `","respCode":"%[2]s"}` + "\n", nil, "", true},
	{"JSON of numbers", `{"time":1764300000,"rc":%[2]s,"trace":%[1]d,"card":"` + suggestPAN + `"}` + "\n", nil, "", true},
	{"key=value", "2026-11-28 10:00:%02[1]d INFO host=203.0.113.10 pan=" + suggestPAN + " RspCode=%[2]s stan=%06[1]d ms=812\n", nil, "", true},
	{"key: value of a shell", "Nov 28 10:00:%02[1]d pos payd[312]: txn done, F39: %[2]s, F11: %06[1]d, F2: " + suggestPAN + "\n", nil, "", true},
	{"Chinese cashier", "2026-11-28 10:00:%02[1]d [交易] 卡号" + suggestPAN + " 流水号：%06[1]d 返回码：%[2]s\n", simplifiedchinese.GBK, "gb18030", true},
	{"Chinese cashier, brackets", "【10:00:%02[1]d】收银台1 应答码[%[2]s] 卡号[" + suggestPAN + "] 凭证号[%06[1]d]\n", encoding.Nop, "", true},
	{"Taiwan", "2026/11/28 10:00:%02[1]d 交易失敗 回應碼=%[2]s 卡號 " + suggestPAN + "\n", traditionalchinese.Big5, "big5", false},
	{"Brazil", "10:00:%02[1]d - (00000000.TM000001, pid=1, hnd=1)    Sem conexão com o servidor. Cod=[%[2]s] " + suggestPAN + "\n", charmap.Windows1252, "windows-1252", false},
	{"moov-io/iso8583, filled with dots", "F2   Primary Account Number..: " + suggestPAN + "\nF11  Systems Trace Audit Number.: %06[1]d\nF39  Response Code........: %[2]s\n", nil, "", false},
	{"numbers in brackets", "[002] " + suggestPAN + "\n[011] %06[1]d\n[039] %[2]s\n[041] T0001234\n", nil, "", false},
	{"parts of the primary bitmap", "P-02 : " + suggestPAN + "\nP-11 : %06[1]d\nP-39 : %[2]s\n", nil, "", false},
	{"elements alone", "<field num=\"2\" value=\"" + suggestPAN + "\"/>\n<field num=\"39\" value=\"%[2]s\"/>\n", nil, "", false},
	{".NET", "2026-11-28 10:00:%02[1]d Zahlung: Antwortcode = '%[2]s' Karte " + suggestPAN + "\r\n", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "utf-16le", false},
}

// TestSuggest proposes a pattern for logs of every form, from what it has seen alone, and shows no card number.
func TestSuggest(t *testing.T) {
	for _, k := range kinds {
		var b strings.Builder
		for i := range 40 {
			code := "00"
			if i%10 == 3 {
				code = "96"
			}
			fmt.Fprintf(&b, k.line, i, code)
			fmt.Fprintf(&b, "2026-11-28 10:00:%02d DEBUG printer ready, queue 3, version=2.1.%d\n", i, i)
		}
		text := []byte(b.String())
		if k.enc != nil {
			var err error
			if text, err = k.enc.NewEncoder().Bytes(text); err != nil {
				t.Fatal(err)
			}
		}
		list, _, err := Suggest(bytes.NewReader(text), int64(len(text)), "")
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %v, %v", k.name, list, err)
			continue
		}
		s := list[0]
		if s.Records != 40 || s.Codes["00"] != 36 && s.Codes["0"] != 36 || s.Codes["96"] != 4 || len(s.Codes) != 2 ||
			s.Encoding != k.want {
			t.Errorf("%s: %+v", k.name, s)
		}
		said := fmt.Sprintf("%+v %s", list, s.TOML("/l"))
		if strings.Contains(said, suggestPAN[:6]) {
			t.Errorf("%s: a card number is shown: %s", k.name, said)
		}
		// What is proposed works as a log, and finds the trace number where there is one.
		p, err := CompilePattern(s.Pattern, Options{Layout: s.Layout})
		if err != nil {
			t.Fatal(err)
		}
		file := LogFile{Encoding: s.Encoding, Patterns: []*Pattern{p}}
		if s.Begin != "" {
			file.Begin = regexp.MustCompile(s.Begin)
		}
		var hits []Hit
		trial, err := Try(bytes.NewReader(text), file, func(h Hit) { hits = append(hits, h) })
		if err != nil || len(hits) != 40 || trial.Wrong != 0 || (strings.TrimLeft(hits[7].STAN, "0") == "7") != k.stan {
			t.Errorf("%s: %d hits, %+v, %v\n%s", k.name, len(hits), trial, err, s.Pattern)
		}
		if strings.Contains(fmt.Sprintf("%+v", hits), suggestPAN[:6]) {
			t.Errorf("%s: a card number is shown", k.name)
		}
	}
}

// Of a log that holds no code nothing is proposed: versions, amounts and counters are none.
func TestSuggestNothing(t *testing.T) {
	for _, text := range []string{"", "\x00\x00\x00", strings.Repeat("2026-11-28 10:00:00 DEBUG heap=1234 threads=7 card "+suggestPAN+"\n", 100),
		func() string {
			var b strings.Builder
			for i := range 500 {
				fmt.Fprintf(&b, "code=%d\n", 100000+i*7)
			}
			return b.String()
		}()} {
		list, _, err := Suggest(strings.NewReader(text), int64(len(text)), "")
		if err != nil && !errors.Is(err, ErrNotText) || len(list) > 0 {
			t.Errorf("%.40q: %+v, %v", text, list, err)
		}
	}
}

func FuzzSuggest(f *testing.F) {
	for _, k := range kinds {
		text := fmt.Sprintf(k.line, 1, "00") + fmt.Sprintf(k.line, 2, "96")
		if k.enc != nil {
			text, _ = k.enc.NewEncoder().String(text)
		}
		f.Add([]byte(text))
	}
	for _, k := range nameless {
		var text strings.Builder
		for i := range columnRows + 2 {
			fmt.Fprintf(&text, k.line+"%.0[1]d%.0[2]s%.0[3]d%.0[4]d%.0[5]s", i, []string{"00", "00", "96"}[i%3], i, 0, "SALE CHIP ")
		}
		f.Add([]byte(text.String()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _, err := Suggest(bytes.NewReader(b), int64(len(b)), "")
		if err != nil && !errors.Is(err, ErrNotText) {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Records < suggestLeast || len(s.Codes) > suggestCodes {
				t.Fatalf("%+v", s)
			}
			if _, err := CompilePattern(s.Pattern, Options{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestNamesOfACodeInOtherLogs: names in other languages and spellings, between lines that are about other things, and
// in the sets that their tills write. The forms are those of a printed message of iso-8583 for Node, XML, toString of
// an object, and dumps of fields.
func TestNamesOfACodeInOtherLogs(t *testing.T) {
	codes := []string{"00", "51", "00", "05", "00", "91", "00", "55"}
	sets := map[string]*charmap.Charmap{"windows-1250": charmap.Windows1250, "windows-874": charmap.Windows874,
		"windows-1256": charmap.Windows1256, "windows-1251": charmap.Windows1251}
	for form, encoding := range map[string]string{
		"Paiement - Code réponse : %s (n° 17)": "", "code retour=%s;montant=12.50": "", "kod odpowiedzi=%s; nr 17": "", "Esito: KO codice esito: %s": "",
		"Mã phản hồi: %s, STAN: 000123": "", "Kode respon: %s | trace 000123": "", "antwoordcode=%s transactie 17": "", "Kód odpovědi: %s číslo 17": "windows-1250",
		"รหัสตอบกลับ : %s trace : 000123": "windows-874", "رمز الاستجابة: %s": "windows-1256", "КодОтвета=%s; НомерЧека=17": "windows-1251",
		"authResponseCode: \"%s\"": "", "iso.getString(39) = %s": "", "Response code [39]...............................%s": "", "RESP_CD:%s TRC_NO:000123": "",
		"<ResponseCode>%s</ResponseCode><Trace>000123</Trace>": "", "Result { approved=false, hostResponseCode='%s', ref=17 }": "",
	} {
		var b bytes.Buffer
		for i := range 10 * len(codes) {
			fmt.Fprintf(&b, "2026-11-28 10:02:%02d ", i%60)
			switch i % 3 {
			case 0:
				fmt.Fprintf(&b, form+"\n", codes[i%len(codes)])
			case 1:
				b.WriteString("GET /status 200 OK in 35\n")
			default:
				b.WriteString("battery 98 %, temp 31\n")
			}
		}
		text := b.Bytes()
		if encoding != "" {
			var err error
			if text, err = sets[encoding].NewEncoder().Bytes(text); err != nil {
				t.Fatal(err)
			}
		}
		list, _, err := Suggest(bytes.NewReader(text), int64(len(text)), "")
		right := err == nil && len(list) > 0 && list[0].Encoding == encoding
		if !right || list[0].Codes["51"] == 0 || list[0].Codes["00"] == 0 || len(list[0].Codes) != 5 {
			t.Errorf("%s: %+v %v", form, list, err)
		}
	}
}
