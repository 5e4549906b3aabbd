package paylog

import (
	"bytes"
	"encoding/json"
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// FuzzTail sends any bytes through a log in pieces of any size. The pieces must not matter, memory is bounded, and no
// card number gets through.
func FuzzTail(f *testing.F) {
	gb, _ := simplifiedchinese.GB18030.NewEncoder().String("应答码=96 卡号=" + sourcetest.PlantedCard + "\n应答码=97\n")
	f.Add([]byte("应答码=96\nresp=97 stan=000123 tid="+sourcetest.PlantedCard+"\n"), uint8(3), false, false)
	f.Add([]byte(gb), uint8(1), true, true)
	f.Add([]byte("resp="+sourcetest.PlantedCard+" stan="+sourcetest.PlantedCard+"\r\n\x00\x00\x00resp=5\n"), uint8(7), false, true)
	f.Add([]byte(strings.Repeat("resp=96\x00\x00 stan=000123\x00\n", 9)+"resp=47617390\x0001010010 stan="+sourcetest.PlantedCard[:8]+"\x00"+
		sourcetest.PlantedCard[8:]+"\x00\n"), uint8(5), false, false)
	f.Add([]byte(strings.Repeat("x", 20<<10)+"resp=1\nresp=2\n"), uint8(255), false, false)
	f.Fuzz(func(t *testing.T, log []byte, piece uint8, gb, records bool) {
		read := func(size int) (seen string) {
			d := sourcetest.NewDaemon()
			begin := (*regexp.Regexp)(nil)
			if records {
				begin = regexp.MustCompile(`^[a-z0-9]`)
			}
			file := LogFile{Begin: begin, Patterns: []*Pattern{
				pattern(t, `应答码=(?P<code>\S+)`, Options{}),
				pattern(t, `dump=(?P<message>.*)`, Options{}),
				pattern(t, `hex=(?P<code_hex>\S*)`, Options{}),
				pattern(t, `resp=(?P<code>\S+)( stan=(?P<stan>\S+))?( tid=(?P<tid>\S+))?`, Options{}),
				pattern(t, `(?P<code>.*)(?P<scheme>.)(?P<entry>.)(?P<time>.)$`, Options{Mark: source.PhaseEnd}),
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
			if strings.Contains(string(log), sourcetest.PlantedCard) {
				sourcetest.MustBeClean(t, d.Events, d.Marks)
			}
			tl.endAll()
			left := [][]byte{tl.lines.line[:cap(tl.lines.line)], tl.record.text[:cap(tl.record.text)], tl.decode.text}
			if s := string(bytes.Join(left, nil)); strings.Trim(s, "\x00") != "" {
				t.Fatalf("%q stays in memory", s)
			}
			b, err := json.Marshal([]any{d.Events, d.Marks, d.Losses})
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
		p, err := CompilePattern(expr, Options{Layout: layout})
		if err != nil || len(line) > 1000 {
			return
		}
		got, _, _ := p.read(line, time.Unix(1e9, 0))
		if got.seen != nil && source.CodeProblem(got.seen.Code) != "" {
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
