package paylog

import (
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
)

// TestOriginByTheWordsOfTheLine: who wrote the code is said in the line, in the words that logs use.
func TestOriginByTheWordsOfTheLine(t *testing.T) {
	p := pattern(t, `\[(?P<origin>[^\]]+)\] .*?code[=:](?P<code>\w+)`, Options{Origin: report.OriginUnknown})
	for line, want := range map[string]report.Origin{
		"[HOST] declined code=51": report.OriginHost, "[主机] 拒绝 code:51": report.OriginHost, "[发卡行] code=51": report.OriginHost, "[POS] code=E1": report.OriginTerminal,
		"[终端] code=E1": report.OriginTerminal, "[Terminal] code=E1": report.OriginTerminal, "[ECR] code=9997": report.OriginCashier, "[收银台] code=9997": report.OriginCashier,
		"[terminal] code=1": report.OriginTerminal, "[somebody] code=1": report.OriginUnknown, "[unknown] code=1": report.OriginUnknown,
	} {
		f, ok, refused := p.read([]byte(line), time.Now())
		if !ok || refused || f.seen.Origin != want {
			t.Errorf("%s: %+v, want %s", line, f.seen, want)
		}
	}
}

// TestATraceNumberIsNoCard: of twelve digits, which may be the front of a card number, six are kept.
func TestATraceNumberIsNoCard(t *testing.T) {
	p := pattern(t, `RC=(?P<code>\w+) ref=(?P<stan>\d+)`, Options{})
	for line, want := range map[string]string{"RC=96 ref=112113000123": "000123", "RC=96 ref=476173900101": "900101", "RC=96 ref=123": "123", "RC=96 ref=4761739001010010": ""} {
		f, _, _ := p.read([]byte(line), time.Now())
		got := ""
		if f.seen.Txn != nil {
			got = f.seen.Txn.STAN
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestALogThatSaysNothingSaysSo lets a debug log grow of which no line matches, and then one does; and text in an
// encoding that nobody named.
func TestALogThatSaysNothingSaysSo(t *testing.T) {
	l := newLogbook(t)
	l.start(nil)
	readable := func() (list []report.Evidence) {
		for _, e := range l.d.Told {
			if e.Check == "source.readable" {
				list = append(list, e)
			}
		}
		return list
	}
	l.write(strings.Repeat("DEBUG nothing of interest\n", unmatched-1))
	l.want("")
	if len(readable()) != 0 {
		t.Errorf("said too early: %+v", readable())
	}
	l.write("DEBUG card 4761739001010010\n")
	l.want("")
	if ev := readable(); len(ev) != 1 || ev[0].Status != report.CannotTell || ev[0].Facts["first"] != "letter" || ev[0].Subject != "log pay.log" {
		t.Errorf("%+v", ev)
	}
	l.write("resp=96\n")
	l.want("96")
	if ev := readable(); len(ev) != 2 || ev[1].Status != report.OK {
		t.Errorf("%+v", ev)
	}
	l.write(strings.Repeat("DEBUG nothing of interest\n", 5*unmatched))
	l.want("")
	if ev := readable(); len(ev) != 2 {
		t.Errorf("a quiet log of which some lines match: %+v", ev[2:])
	}

	l = newLogbook(t)
	l.start(nil)
	l.write("11:32:38 - Sem conex\xe3o com o servidor. Cod=[96]\n")
	l.want("")
	if ev := readable(); len(ev) != 1 || ev[0].Status != report.CannotTell || ev[0].Facts["not_in_encoding"] != 1.0 || !l.tail.news {
		t.Errorf("%+v", ev)
	}
}

// TestMarksAndCalendars: a file of UTF-8 may begin with a mark, and a till in Thailand counts other years.
func TestMarksAndCalendars(t *testing.T) {
	p := pattern(t, `^(?P<time>[-/\d]+ [:\d]+) resp=(?P<code>\w+)`, Options{Layout: "02/01/2006 15:04:05"})
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	for line, want := range map[string]time.Time{
		"28/11/2569 11:59:58 resp=96": now.Add(-2 * time.Second), "28/11/2026 11:59:58 resp=96": now.Add(-2 * time.Second),
		"28/11/2570 11:59:58 resp=96": now.Add(-2*time.Second).AddDate(1, 0, 0),
	} {
		if f, ok, _ := p.read([]byte(line), now); !ok || !f.at.Equal(want) {
			t.Errorf("%s: %v, want %v", line, f.at, want)
		}
	}
	marked := "\uFEFF28/11/2026 11:59:58 resp=96\r\n\uFEFF28/11/2026 11:59:59 resp=51\r\n"
	trial, err := Try(strings.NewReader(marked), LogFile{Patterns: []*Pattern{p}}, func(Hit) {})
	if err != nil || trial.Hits[0] != 2 || trial.Wrong != 0 {
		t.Errorf("%+v, %v", trial, err)
	}
}
