package source

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/agent/report"
)

const (
	plantedCard  = "4761739001010010"
	plantedTrack = "4761739001010010D25122011234567890"
)

// mustBeClean fails if anything of a planted card is in what a source passes on.
func mustBeClean(t *testing.T, what ...any) {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if _, n := report.Scrub(b); n > 0 || strings.Contains(string(b), plantedCard) {
		t.Fatalf("a card number got through: %s", b)
	}
}

// FuzzRequest sends any line to the hook's parser, alone and with a card number put into every place of it.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"ref":"a","type":"code","code":"96","scheme":"unionpay","origin":"host","txn":{"mti":"0210","stan":"000123","terminal_id":"10043871","entry":"chip","connect_ms":41,"response_ms":812,"sent":true,"host_answer_seen":true},"wait":"final","lang":"en","full":true}`,
		`{"type":"txn","phase":"end","stan":"1","result":"approved","pin":true,"code":"00"}`,
		`{"type":"fact","check":"app.config","facts":{"terminal_id_ok":false,"changed_since_approval":["apn"]}}`,
		`{"type":"fact","check":"app.version","facts":{"installed":"5.2.1","expected":"5.3.0"}}`,
		`{"type":"fact","check":"reader.reads","facts":{"good":3,"cards":9,"cards_failed":4}}`,
		`{"type":"check","names":["net.tcp"]}`, `{"type":"status"}`, `{"type":"diagnose","code":"97","channel":"console"}`,
		`{"type":"code","code":"96","pan":"x","PAN 1":{}}`, `[`, `{"type":`, "\xff\xfe{}",
	} {
		f.Add([]byte(s), "96")
		f.Add([]byte(strings.ReplaceAll(s, "000123", plantedCard)), "000123")
	}
	f.Fuzz(func(t *testing.T, line []byte, place string) {
		check := func(line []byte) {
			if len(line) > maxLine {
				return
			}
			q, a := parse(line, time.Unix(1e9, 0))
			if a.Result == Refused && (a.Why == "" || q.seen != nil || q.mark != nil || q.fact != nil) {
				t.Fatalf("%q: refused with %+v but keeps %+v", line, a, q)
			}
			if q.seen != nil && codeProblem(q.seen.Code) != "" {
				t.Fatalf("%q: code %q got in", line, q.seen.Code)
			}
			if strings.Contains(string(line), plantedCard) {
				mustBeClean(t, a, q.seen, q.mark, q.fact, q.ref, q.names)
			}
		}
		check(line)
		if place != "" && strings.Count(string(line), place) < 8 {
			check([]byte(strings.ReplaceAll(string(line), place, plantedCard)))
			check([]byte(strings.ReplaceAll(string(line), place, plantedTrack)))
		}
	})
}

// FuzzTail sends any bytes through a log in pieces of any size. The pieces must not matter, memory is bounded, and no
// card number gets through.
func FuzzTail(f *testing.F) {
	gb, _ := simplifiedchinese.GB18030.NewEncoder().String("应答码=96 卡号=" + plantedCard + "\n应答码=97\n")
	f.Add([]byte("应答码=96\nresp=97 stan=000123 tid="+plantedCard+"\n"), uint8(3), false, false)
	f.Add([]byte(gb), uint8(1), true, true)
	f.Add([]byte("resp="+plantedCard+" stan="+plantedCard+"\r\n\x00\x00\x00resp=5\n"), uint8(7), false, true)
	f.Add([]byte(strings.Repeat("x", 20<<10)+"resp=1\nresp=2\n"), uint8(255), false, false)
	f.Fuzz(func(t *testing.T, log []byte, piece uint8, gb, records bool) {
		read := func(size int) (seen string) {
			d := newDaemon()
			begin := (*regexp.Regexp)(nil)
			if records {
				begin = regexp.MustCompile(`^[a-z0-9]`)
			}
			file := LogFile{Begin: begin, Patterns: []*Pattern{
				pattern(t, `应答码=(?P<code>\S+)`, PatternOptions{}),
				pattern(t, `resp=(?P<code>\S+)( stan=(?P<stan>\S+))?( tid=(?P<tid>\S+))?`, PatternOptions{}),
				pattern(t, `(?P<code>.*)(?P<scheme>.)(?P<entry>.)(?P<time>.)$`, PatternOptions{Mark: PhaseEnd}),
			}}
			if gb {
				file.Encoding = "gb18030"
			}
			tl, err := newTail(file, d, nil, func() time.Time { return time.Unix(1e9, 0) }, nil)
			if err != nil {
				t.Fatal(err)
			}
			for b := log; len(b) > 0; b = b[min(size, len(b)):] {
				piece := bytes.Clone(b[:min(size, len(b))])
				if tl.take(piece, 0); bytes.ContainsFunc(piece, func(r rune) bool { return r != 0 }) {
					t.Fatalf("%q was not zeroed", piece)
				}
			}
			if c := cap(tl.lines.line); c > 2*maxLogLine {
				t.Fatalf("a buffer of %d bytes", c)
			}
			if strings.Contains(string(log), plantedCard) {
				mustBeClean(t, d.seen, d.marks)
			}
			tl.endAll()
			left := [][]byte{tl.lines.line[:cap(tl.lines.line)], tl.record.text[:cap(tl.record.text)], tl.decode.text}
			if s := string(bytes.Join(left, nil)); strings.Trim(s, "\x00") != "" {
				t.Fatalf("%q stays in memory", s)
			}
			b, err := json.Marshal([]any{d.seen, d.marks, d.lost})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if a, b := read(1+int(piece)), read(len(log)+1); a != b {
			t.Fatalf("in pieces of %d: %s\nat once: %s", 1+int(piece), a, b)
		}
	})
}

// FuzzCompilePattern compiles any expression and reads a line with it.
func FuzzCompilePattern(f *testing.F) {
	f.Add(`^(?P<time>\S+ \S+) .*码[:：](?P<code>\w+)`, "2006-01-02 15:04:05", []byte("2026-11-21 12:00:00 返回码:96"))
	f.Add(`(?P<code>)`, "15:04", []byte("x"))
	f.Fuzz(func(t *testing.T, expr, layout string, line []byte) {
		p, err := CompilePattern(expr, PatternOptions{Layout: layout})
		if err != nil || len(line) > 1000 {
			return
		}
		got, _, _ := p.read(line, time.Unix(1e9, 0))
		if got.seen != nil && codeProblem(got.seen.Code) != "" {
			t.Fatalf("code %q got in", got.seen.Code)
		}
	})
}

// FuzzPlaces reads any remembered places.
func FuzzPlaces(f *testing.F) {
	f.Add([]byte(`{"/a":{"dev":1,"ino":2,"offset":3,"print":4}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m map[string]*mark
		json.Unmarshal(b, &m)
		sensible(m)
		for _, p := range m {
			if p == nil || p.Offset < 0 {
				t.Fatalf("%q gave %+v", b, p)
			}
		}
	})
}
