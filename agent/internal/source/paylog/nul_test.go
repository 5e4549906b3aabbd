package paylog

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
)

// paddedLogs are what programs write that put whole buffers into their logs: each line ends with its NUL (as
// irods/irods #2071), its fields are of a fixed size (rsyslog/rsyslog #1530), only the lines about sales have any
// (elastic/beats #36027). %02s is the code.
var paddedLogs = map[string]string{
	"a NUL before the line's end": "[12:00:01] sale resp=%s\x00\n",
	"before CR LF":                "[12:00:01] sale resp=%s\x00\r\n",
	"fields of fixed size":        "\x00\x00term=00001234\x00\x00\x00\x00 resp=%s\x00\x00\x00\x00\x00\x00 text=\xe4\xbd\x99\xe9\xa2\x9d\x00\x00\x00\n",
	"one line in eight":           strings.Repeat("DEBUG idle\n", 7) + "sale resp=%s\x00\x00 stan=000123\n",
}

// A program that pads its lines with NULs is read, from the first line written on where the log shows its habit
// already; the lines that a cut or a truncation tears in such a log are still not taken for whole.
func TestLinesPaddedWithNULs(t *testing.T) {
	for name, line := range paddedLogs {
		l := newLogbook(t)
		var text strings.Builder
		for range 20 {
			fmt.Fprintf(&text, line, "00")
		}
		l.write(text.String())
		file := LogFile{Path: l.path, Patterns: []*Pattern{pattern(t, `resp=(?P<code>\S+)`, Options{})}}
		var err error
		if l.tail, err = newTail(file, l.d, make([]byte, 2048), time.Now, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.tail.close)
		l.want("")
		l.write(fmt.Sprintf(line, "96") + fmt.Sprintf(line, "51"))
		if l.want("96 51"); len(l.d.Losses) > 0 {
			t.Errorf("%s: lost %v", name, l.d.Losses)
		}
		l.write("[12:00:02] sale resp=5" + strings.Repeat("\x00", maxPadding+1) + fmt.Sprintf(line, "91"))
		if l.want("91"); l.d.Losses["log line torn"] != 1 {
			t.Errorf("%s: lost %v behind a hole", name, l.d.Losses)
		}
		hits := 0
		trial, err := Try(strings.NewReader(text.String()), l.tail.file, func(Hit) { hits++ })
		if err != nil || hits != 20 || trial.Torn != 0 {
			t.Errorf("%s: %d hits, %+v, %v", name, hits, trial, err)
		}
		fmt.Fprintf(&text, line, "96")
		named := strings.ReplaceAll(text.String(), "resp=", "RspCode=")
		if list, look, err := Suggest(strings.NewReader(named), int64(len(named)), ""); err != nil || len(list) == 0 ||
			list[0].Codes["00"] != 20 || list[0].Codes["96"] != 1 || look.Padded == 0 {
			t.Errorf("%s: %+v, %+v, %v", name, list, look, err)
		}
	}
}

// A log of which every line is broken, and one in two-byte characters that nobody named, do not look like quiet ones.
func TestALogOfZerosSaysSo(t *testing.T) {
	wide := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteRune(c)
			b.WriteByte(0)
		}
		return b.String()
	}
	for name, line := range map[string]string{
		"holes": "sale resp=96" + strings.Repeat("\x00", 2*maxPadding) + "\n", "two-byte": wide("sale resp=96\n"),
	} {
		l := newLogbook(t)
		l.start(nil)
		l.write(strings.Repeat(line, unmatched+8))
		l.want("")
		if !slices.ContainsFunc(l.d.Told, func(e report.Evidence) bool {
			return e.Check == "source.readable" && e.Status == report.CannotTell
		}) || !l.tail.news {
			t.Errorf("%s: told %+v", name, l.d.Told)
		}
		if odd := l.tail.decode.wrong > 0; odd != (name == "two-byte") {
			t.Errorf("%s: %d lines are not in their encoding", name, l.tail.decode.wrong)
		}
		var said strings.Builder
		(&Logs{Log: slog.New(slog.NewTextHandler(&said, nil))}).heard(l.tail)
		if strings.Contains(said.String(), "set its encoding") != (name == "two-byte") {
			t.Errorf("%s: %s", name, said.String())
		}
		trial, err := Try(strings.NewReader(strings.Repeat(line, 40)), l.tail.file, func(h Hit) { t.Errorf("%s: %+v", name, h) })
		if err != nil || (trial.Torn == 0) == (trial.Wrong == 0) {
			t.Errorf("%s: %+v, %v", name, trial, err)
		}
	}
}

// NULs in two-byte text are characters: bytes beside them belong to others (U+4E00 is 4E 00).
func TestZerosInTwoByteText(t *testing.T) {
	for _, w := range []width{twoLittle, twoBig} {
		s := splitter{wide: w}
		var got []string
		text := utf16Of("a\x00\x00一=b\nresp=96\n", w == twoBig)
		s.add(text, func(line []byte) {
			if line != nil {
				got = append(got, string(line))
			}
		})
		if want := []string{string(utf16Of("一=b", w == twoBig)), string(utf16Of("resp=96", w == twoBig))}; !slices.Equal(got, want) {
			t.Errorf("%d: %q, want %q", w, got, want)
		}
	}
}

func utf16Of(s string, big bool) (b []byte) {
	for _, r := range s {
		if big {
			b = append(b, byte(r>>8), byte(r))
		} else {
			b = append(b, byte(r), byte(r>>8))
		}
	}
	return b
}
