package console

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// A line whose DCD falls is locked at once; one whose DCD was never up, because nobody wired it, is not.
func TestALineThatFallsIsLocked(t *testing.T) {
	for _, wired := range []bool{true, false} {
		var up atomic.Bool
		up.Store(wired)
		var log bytes.Buffer
		c := Console{Stay: true, PIN: "4711", Log: slog.New(slog.NewTextHandler(&log, nil)),
			Carrier: func() (bool, bool) { return up.Load(), true }}
		serve(t, c, 3, func(term *terminal, _ *fakeBackend) {
			for _, keys := range []string{"\r", "\r4711", "\r"} {
				fmt.Fprint(term, keys)
				synctest.Wait()
			}
			if s := term.sent(); !strings.Contains(s, "2设备") {
				t.Fatalf("not unlocked: %q", s)
			}
			time.Sleep(3 * dcdEvery)
			up.Store(false)
			time.Sleep(2 * dcdEvery)
			synctest.Wait()
			if s := term.sent(); strings.Contains(s, "press Enter") != wired {
				t.Errorf("wired %v: after DCD fell %q", wired, s)
			}
			if wired {
				fmt.Fprint(term, "\r")
				synctest.Wait()
				if s := term.sent(); !strings.Contains(s, "锁定") {
					t.Errorf("who comes next sees %q, want it locked", s)
				}
			}
		})
		if strings.Contains(log.String(), "fallen") != wired {
			t.Errorf("wired %v: log %s", wired, log.String())
		}
	}
}

// While the guide asks for a cable the terminal looks at it itself, at once and every few seconds, and says that it
// saw it; at its end it goes on looking, and what is put right does not change what was wrong.
func TestTheGuideLooksAtWhatIsPutRight(t *testing.T) {
	m := guidedModel("en")
	m.until(t, "ask.cable")
	if got := strings.Join(m.watching(), " "); got != "net.link" {
		t.Errorf("watches %q while it asks for the cable", got)
	}
	down := report.Evidence{Check: "net.link", Subject: "eth0", Status: report.Bad, Facts: report.Facts{"carrier": false,
		"kind": "ethernet"}, At: noon.Add(time.Minute)}
	m.gotWatched([]report.Evidence{down})
	for m.guide.Step != nil {
		m.press(key{r: '0'})
	}
	first := m.guide.Now.Causes[0]
	if first.ID != "lan.cable" || len(m.watching()) == 0 {
		t.Fatalf("first %+v, watches %v", first, m.watching())
	}
	up := down
	up.Status, up.Facts, up.At = report.OK, report.Facts{"carrier": true, "kind": "ethernet"}, noon.Add(2*time.Minute)
	m.gotWatched([]report.Evidence{up})
	page := strings.Join(m.view(), "\n")
	if !strings.Contains(m.note, "seen") || !strings.Contains(page, "Since") || m.guide.Now.Causes[0].ID != "lan.cable" ||
		m.guide.Now.Causes[0].Probability != first.Probability {
		t.Errorf("note %q, first %+v\n%s", m.note, m.guide.Now.Causes[0], page)
	}
	m.note = ""
	if m.gotWatched([]report.Evidence{up}); m.note != "" {
		t.Error("the same was said again")
	}
	m.press(key{r: 'q'})
	if len(m.watching()) != 0 {
		t.Error("it goes on looking when nobody looks at the guide")
	}
}

func slot(card string) []report.Evidence {
	return []report.Evidence{{Check: "reader.slot", Subject: "reader0", Status: report.OK, Facts: report.Facts{"card": card}}}
}

// Any card tries the reader: it is seen coming and going, and where the slot cannot be asked the application's reads
// are counted.
func TestTheReaderIsTriedWithAnyCard(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		m := newModel(lang)
		m.state.Evidence = append(m.state.Evidence, slot("present")...) // one was in all the time: that is not this one
		if a := m.press(key{r: 't'}); a.kind != actWatch || strings.Join(m.watching(), " ") != "reader.slot reader.reads" {
			t.Fatalf("T led to %+v, watches %v", a, m.watching())
		}
		page := func() string { return strings.Join(m.view(), "\n") }
		golden(t, "try-"+lang, m)
		m.gotWatched(slot("absent"))
		if m.try.in || m.try.out {
			t.Errorf("%s: a card that was in before counts", lang)
		}
		m.gotWatched(slot("present"))
		m.gotWatched(slot("active"))
		if !m.try.in || m.try.out {
			t.Errorf("%s: not seen coming: %+v", lang, m.try)
		}
		m.gotWatched(slot("absent"))
		golden(t, "tried-"+lang, m)
		if !m.try.over() || len(m.watching()) != 0 {
			t.Errorf("%s: seen both and looks on: %+v", lang, m.try)
		}
		m.press(key{r: 't'})
		m.gotWatched(slot("mute"))
		if !strings.Contains(page(), wordTryMute.In(lang)[:6]) {
			t.Errorf("%s: a card that does not answer:\n%s", lang, page())
		}
		reads := func(good, failed float64) report.Evidence {
			return report.Evidence{Check: "reader.reads", Subject: "reader0", Status: report.OK, Facts: report.Facts{"good": good, "failed": failed}}
		}
		busy := report.Evidence{Check: "reader.slot", Subject: "reader0", Status: report.CannotTell, Facts: report.Facts{"reason": "in-use"}}
		m.state.Evidence = []report.Evidence{busy, reads(20, 3)}
		m.press(key{r: 't'})
		m.gotWatched([]report.Evidence{busy, reads(20, 4)})
		golden(t, "try-in-use-"+lang, m)
		m.state.Evidence = []report.Evidence{{Check: "reader.slot", Subject: "reader", Status: report.NotRun, Facts: report.Facts{"reason": "absent"}}}
		m.press(key{r: 't'})
		if s := page(); !strings.Contains(s, wordTryNone.In(lang)) || len(m.watching()) != 0 {
			t.Errorf("%s: without a reader:\n%s", lang, s)
		}
	}
}

// The details name what else is broken, and of how many causes one holds.
func TestDetailsShowAlsoAndSet(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		d := cutOff()
		d.Abstained, d.CannotSeparate = false, nil
		d.Set = []string{d.Causes[0].ID, "lan.cable", "somebody.elses"}
		d.Also = []report.Also{{ID: "lan.gateway", Act: report.Act{By: "staff"}, Finding: report.Reason{Check: "net.gateway", Say: "x"}}}
		page := strings.Join(Verdict(&d, guidable(), lang, 200), "\n")
		for _, want := range []codes.Text{{ZH: "95% 的把握在以上 2 个之中，或：somebody.elses", EN: "95 % sure that it is in the 2 above, or: somebody.elses"},
			{ZH: "另外     路由器没有工作（不是这次失败的原因）；店员", EN: "Besides  The router does not work (did not cause this failure); shop staff"}} {
			if !strings.Contains(page, want.In(lang)) {
				t.Errorf("no %q in\n%s", want.In(lang), page)
			}
		}
	}
}

// Keys that are typed while the history is still being read from flash count when it is there.
func TestHistoryTakesWhatIsTypedAhead(t *testing.T) {
	m := newModel("en")
	m.press(key{r: '7'})
	m.busy = true
	m.press(key{r: 'j'})
	if m.note != "" {
		t.Errorf("it says %q", m.note)
	}
	m.done()
	if withPast(m); m.at != 1 {
		t.Errorf("line %d is chosen, want 1", m.at)
	}
	m.press(key{r: keyEnter})
	if m.chosen == nil || m.chosen.Event.Code != "97" {
		t.Errorf("opened %+v", m.chosen)
	}
}

// A day is found as a code is, and one of the past is judged again with what is known today.
func TestThePastIsFoundByDayAndJudgedAgain(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		m := newModel(lang)
		day := func(d report.Diagnosis, at time.Time) report.Diagnosis {
			d.Event.Time = at
			return d
		}
		d := cutOff()
		d.Causes = slices.Clone(d.Causes)
		d.Causes[0].ID, d.Causes[0].Title = "wan.outage", "wrong"
		m.know, m.past = guidable(), []report.Diagnosis{day(d, noon), day(cutOff(), noon.AddDate(0, 0, -1))}
		for find, want := range map[string]int{"11-21": 1, "11-20": 1, "2026-11-21": 1, "11-21 12": 1, "11-2": 0, "12-21": 0, "ConnectError": 2, "21": 0} {
			typeText(m, "7/"+find+"\r")
			if n := len(m.history()); n != want {
				t.Errorf("%q finds %d, want %d", find, n, want)
			}
		}
		typeText(m, "7/11-21\r\ra")
		if page := strings.Join(m.view(), "\n"); m.chosen.Causes[0].ID == "wan.outage" ||
			!strings.Contains(page, wordAgainOther.In(lang)[:20]) {
			t.Errorf("%s: judged again:\n%s", lang, page)
		}
		typeText(m, "a")
		if page := strings.Join(m.view(), "\n"); !strings.Contains(page, wordAgainSame.In(lang)[:20]) {
			t.Errorf("%s: once more:\n%s", lang, page)
		}
	}
}

// Where the configuration says so, whoever has no PIN sees nothing of what happened.
func TestNothingIsShownBeforeThePIN(t *testing.T) {
	serve(t, Console{Stay: true, PIN: "4711", Hidden: true}, 3, func(term *terminal, _ *fakeBackend) {
		for _, keys := range []string{"\r", "l", "l", "r", "n", "2", "\x03"} {
			fmt.Fprint(term, keys)
			synctest.Wait()
		}
		if s := term.sent(); strings.Contains(s, "款项") || strings.Contains(s, "Money") || strings.Contains(s, "shop/t1") ||
			!strings.Contains(s, "锁定") {
			t.Errorf("without a PIN: %q", s)
		}
		fmt.Fprint(term, "\r")
		synctest.Wait()
		fmt.Fprint(term, "4711\r")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "款项") {
			t.Errorf("with it: %q", s)
		}
	})
}

// What is watched opens no port that a payment may want; only the page that a person opens for it asks the reader,
// and not for ever.
func TestWatchingOpensNoPortForEver(t *testing.T) {
	m := guidedModel("en")
	m.guide.checks = append(m.guide.checks, watched[:]...)
	for _, c := range watched {
		m.guide.base.Evidence = append(m.guide.base.Evidence, report.Evidence{Check: c, Subject: "x", Status: report.Bad,
			At: noon})
	}
	ports := func() (n int) {
		for m.looks = 0; m.looks < 1000; m.looks++ {
			got := strings.Join(m.watching(), " ")
			if got != "net.link reader.usb" {
				n++
			}
			if !strings.HasPrefix(got, "net.link reader.") {
				t.Fatalf("look %d is at %q", m.looks, got)
			}
		}
		return n
	}
	if n := ports(); n != 0 {
		t.Errorf("while the guide asks it opens ports %d times", n)
	}
	for m.guide.Step != nil {
		m.press(key{r: '0'})
	}
	if n := ports(); n != mostPorts {
		t.Errorf("at its end it opens ports %d times, want %d", n, mostPorts)
	}
	m.state.Evidence = slot("absent")
	m.press(key{r: 't'})
	for range mostLooks {
		if len(m.watching()) == 0 {
			t.Fatal("it gives up too soon")
		}
		m.gotWatched(slot("absent"))
	}
	if len(m.watching()) != 0 {
		t.Error("nobody puts a card in, and it asks for ever")
	}
}

// A terminal that says that it has another size is asked for it, and painted anew.
func TestATerminalIsResized(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, _ *fakeBackend) {
		term.sent()
		term.mu.Lock()
		term.size = "\x1b[10;40R"
		term.mu.Unlock()
		term.resized <- os.Interrupt // any will do
		synctest.Wait()
		s := term.sent()
		if !strings.Contains(s, "\x1b[0m\x1b[2J") || !strings.Contains(s, "\x1b[10;40H") || strings.Contains(s, "\x1b[24;") {
			t.Errorf("a window of 10 rows is sent %q", s)
		}
	})
}
