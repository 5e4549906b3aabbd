package triage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/report"
	"posdx/codes"
)

// flash keeps documents in memory.
type flash struct {
	mu   sync.Mutex
	docs []report.Diagnosis
	err  error
	log  Journal // of the loop above it
	slow time.Duration
}

func (f *flash) Append(_ string, _ bool, _ time.Time, doc []byte) (uint64, error) {
	time.Sleep(f.slow) // slow flash
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	var d report.Diagnosis
	if err := json.Unmarshal(doc, &d); err != nil {
		return 0, err
	}
	f.docs = append(f.docs, d)
	return uint64(len(f.docs)), nil
}

func (f *flash) kept() []report.Diagnosis {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.docs)
}

func slow(check string, status report.Status, facts report.Facts, after time.Duration, bytes int) probe.Probe {
	return probe.Probe{Checks: []evidence.Check{evidence.Check(check)}, Subject: "x", Depth: report.Internal,
		Timeout: 10 * time.Second, Fresh: time.Minute, Bytes: bytes,
		Run: func(ctx context.Context) []report.Evidence {
			select {
			case <-time.After(after):
				return []report.Evidence{{Check: check, Subject: "x", Status: status, Facts: facts}}
			case <-ctx.Done():
				return []report.Evidence{{Check: check, Subject: "x", Status: report.CannotTell,
					Facts: report.Facts{"reason": report.ReasonTimeout}}}
			}
		}}
}

// start runs a loop over probes in the test's bubble.
func start(t *testing.T, f *flash, probes ...probe.Probe) *Loop {
	n := 0
	profile, _ := codes.Builtin().Profile("unionpay")
	l := New(Config{
		Knowledge: codes.Builtin, Profile: profile, Lang: "en", Version: "test", Runner: probe.NewRunner(probes),
		Store: f, Journal: f.log, Log: slog.New(slog.DiscardHandler),
		Stamp: func(e *report.Event) {
			n++
			e.ID, e.Time = fmt.Sprintf("%06x-%010x", 1, n), time.Now().UTC()
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

func answeredCode(code, stan string) Code {
	return Code{Event: report.Event{Code: code, Scheme: "unionpay", Origin: report.OriginHost, Channel: report.ChannelHook,
		Txn: &report.Txn{MTI: "0210", STAN: stan, Sent: yes(), HostAnswerSeen: yes()}}}
}

func submit(t *testing.T, l *Loop, c Code) Ticket {
	t.Helper()
	k, err := l.Submit(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// slowJournal is a journal on slow flash, which knows what it holds.
type slowJournal struct {
	slow  time.Duration
	mu    sync.Mutex
	holds map[string]bool
}

func (j *slowJournal) Begin(id string, _ []byte) error { return j.set(id, true) }
func (j *slowJournal) End(id string) error             { return j.set(id, false) }

func (j *slowJournal) set(id string, held bool) error {
	time.Sleep(j.slow) // slow flash
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holds[id] = held
	return nil
}

func (j *slowJournal) has(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.holds[id]
}

// What a slow flash takes of the five seconds is taken from the checks, and nobody waits for what it takes over the
// final revision: until that is kept the journal holds the first one, which was there before anybody had it.
func TestSlowFlashDelaysNoFinalRevision(t *testing.T) {
	for _, takes := range []time.Duration{0, 400 * time.Millisecond, 900 * time.Millisecond, 1500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			j := &slowJournal{slow: takes, holds: map[string]bool{}}
			f := &flash{slow: 3 * takes, log: j} // a record in a new file: the file's head, its folder, the record
			l := start(t, f, slow("net.tcp", report.OK, nil, time.Minute, 0))
			began := time.Now()
			k := submit(t, l, Code{Event: report.Event{Code: "ConnectError", Scheme: "terminal-local",
				Origin: report.OriginTerminal, Channel: report.ChannelHook}})
			if <-k.First; !j.has(k.ID) {
				t.Errorf("flash that takes %v: the first revision was given out before it was kept", takes)
			}
			<-k.Final
			if took := time.Since(began); took > Deadline {
				t.Errorf("flash that takes %v: the final revision came after %v", takes, took)
			}
			if takes > 0 && (!j.has(k.ID) || len(f.kept()) > 0) {
				t.Errorf("flash that takes %v: what is told is neither in the journal nor in the outbox", takes)
			}
			time.Sleep(10 * takes)
			synctest.Wait()
			if n := len(f.kept()); n != 1 || j.has(k.ID) {
				t.Errorf("flash that takes %v: %d documents kept, the journal's is left: %v", takes, n, j.has(k.ID))
			}
		})
	}
}

func TestRevisionsAndDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.link", report.OK, report.Facts{"carrier": true}, 300*time.Millisecond, 0),
			slow("modem.port", report.OK, nil, time.Hour, 0))
		began := time.Now()
		k := submit(t, l, answeredCode("96", "1"))
		first := <-k.First
		if took := time.Since(began); took != 0 || first.Revision != 1 || first.Final {
			t.Errorf("revision %d final %v after %v, want 1, false, at once", first.Revision, first.Final, took)
		}
		if n := len(f.kept()); n != 1 {
			t.Errorf("%d documents on flash when revision 1 was given out, want 1", n)
		}
		final := <-k.Final
		if took := time.Since(began); took > Deadline || final.Revision != 2 || !final.Final {
			t.Errorf("revision %d final %v after %v, want 2, true, within %v", final.Revision, final.Final, took, Deadline)
		}
		if i := slices.IndexFunc(final.Evidence, func(e report.Evidence) bool {
			return e.Check == "net.link" &&
				e.Status == report.OK
		}); i < 0 {
			t.Errorf("the quick check is not in the final revision: %v", final.Evidence)
		}
		if i := slices.IndexFunc(final.Evidence, func(e report.Evidence) bool {
			return e.Check == "modem.port" && e.Status == report.CannotTell
		}); i < 0 {
			t.Error("the hung check is not cannot-tell in the final revision")
		}
		if d, more := <-k.Final; more {
			t.Errorf("a second final: %+v", d)
		}
	})
}

func TestRepeatsAreOneDiagnosis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.link", report.OK, nil, time.Second, 0))
		a := submit(t, l, answeredCode("96", "1"))
		b := submit(t, l, answeredCode("96", "2"))
		one, two := <-a.Final, <-b.Final
		if one.ID != two.ID {
			t.Errorf("the repeat got another diagnosis: %s and %s", one.ID, two.ID)
		}
		time.Sleep(2 * time.Second)
		if again := <-submit(t, l, answeredCode("96", "3")).Final; again.ID != one.ID || again.Repeats != 2 {
			t.Errorf("after the end: got %s with %d repeats, want %s with 2", again.ID, again.Repeats, one.ID)
		}
		time.Sleep(2 * quiet)
		kept := f.kept()
		last := kept[len(kept)-1]
		if len(kept) != 3 || last.Revision != 3 || last.Repeats != 2 {
			t.Errorf("got %d documents, the last revision %d with %d repeats; want 3, 3 and 2", len(kept), last.Revision, last.Repeats)
		}
		if fresh := <-submit(t, l, answeredCode("96", "4")).First; fresh.ID == one.ID {
			t.Error("a code after the quiet time was taken for a repeat")
		}
	})
}

func TestOtherMoneyIsNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{}, slow("net.link", report.OK, nil, time.Second, 0))
		c := Code{Event: report.Event{Code: "9997", Origin: report.OriginCashier, Channel: report.ChannelHook,
			Txn: &report.Txn{STAN: "1", Sent: no(), HostAnswerSeen: no()}}}
		a := <-submit(t, l, c).First
		c.Event.Txn = &report.Txn{STAN: "2", Sent: yes(), HostAnswerSeen: no()}
		b := <-submit(t, l, c).First
		if a.ID == b.ID || b.Money.Retry == report.RetrySafe || b.Money.Retry == report.RetryLater {
			t.Errorf("a sale that left got the money line of one that did not: %s %q, %s %q", a.ID, a.Money.Retry, b.ID, b.Money.Retry)
		}
	})
}

// One code of two schemes is two codes; the profile's own scheme named and not named is one.
func TestOtherSchemeIsNoRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{}, slow("net.link", report.OK, nil, time.Second, 0))
		of := func(scheme, stan string) report.Diagnosis {
			c := answeredCode("57", stan)
			c.Event.Scheme = scheme
			return <-submit(t, l, c).First
		}
		plain, own, visa := of("", "1"), of("unionpay", "2"), of("visa", "3")
		if own.ID != plain.ID || visa.ID == plain.ID || visa.Code.Scheme != "visa" {
			t.Errorf("57 of no scheme, of unionpay and of visa: %s, %s, %s (read by %s)", plain.ID, own.ID, visa.ID, visa.Code.Scheme)
		}
		if again := of("", "4"); again.ID != plain.ID || again.Repeats != 2 {
			t.Errorf("a repeat of no scheme went to %s with %d repeats, want %s with 2", again.ID, again.Repeats, plain.ID)
		}
	})
}

// Whoever waits for a diagnosis reads it in his own language, whoever asked first.
func TestRepeatSpeaksTheLanguageOfWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{}, slow("net.link", report.OK, nil, time.Second, 0))
		of := func(lang, stan string) Ticket {
			c := answeredCode("54", stan)
			c.Lang = lang
			return submit(t, l, c)
		}
		check := func(when string, zh, en report.Diagnosis) {
			if zh.ID != en.ID || zh.Causes[0].ID != en.Causes[0].ID || zh.Money.Retry != en.Money.Retry || zh.Final != en.Final {
				t.Errorf("%s: two diagnoses: %+v, %+v", when, zh, en)
			}
			if zh.Money.Say == en.Money.Say || zh.Code.Meaning == en.Code.Meaning ||
				zh.Causes[0].Act.Step == en.Causes[0].Act.Step {
				t.Errorf("%s: both read %q, %q", when, zh.Money.Say, zh.Code.Meaning)
			}
		}
		en, zh := of("en", "1"), of("zh", "2")
		check("first", <-zh.First, <-en.First)
		first := <-en.Final
		check("final", <-zh.Final, first)
		check("after the end", <-of("zh", "3").Final, first)
		time.Sleep(2 * trusted)
		check("looked at again", <-of("zh", "4").Final, first)
	})
}

func TestTwoChannelsAreOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.link", report.OK, nil, time.Second, 0))
		a := submit(t, l, answeredCode("96", "000001"))
		c := answeredCode("96", "000001")
		c.Event.Channel, c.Event.Origin = report.ChannelLog, report.OriginUnknown
		c.Event.Txn = nil
		b := submit(t, l, c)
		one, two := <-a.Final, <-b.Final
		if one.ID != two.ID || one.Repeats != 0 {
			t.Errorf("got %s and %s with %d repeats, want one event, none repeated", one.ID, two.ID, one.Repeats)
		}
		if n := l.TakeTally(time.Now()).Counts[0].Count; n != 1 {
			t.Errorf("tally counts it %d times, want once", n)
		}
	})
}

func TestApprovalIsCountedNotDiagnosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		asked := false
		p := slow("net.link", report.OK, nil, 0, 0)
		p.Run = func(context.Context) []report.Evidence { asked = true; return nil }
		l := start(t, f, p)
		d := <-submit(t, l, answeredCode("00", "1")).Final
		if d.Causes[0].ID != "none" || !d.Final || asked || len(f.kept()) != 0 {
			t.Errorf("approval: cause %s, final %v, probed %v, %d documents", d.Causes[0].ID, d.Final, asked, len(f.kept()))
		}
		signin := answeredCode("00", "2")
		signin.Event.Txn.MTI = "0810"
		<-submit(t, l, signin).Final
		h := <-submit(t, l, answeredCode("96", "3")).First
		i := slices.IndexFunc(h.Evidence, func(e report.Evidence) bool { return e.Check == "txn.history" })
		if n, _ := h.Evidence[i].Facts.Num("approvals_1h"); n != 1 {
			t.Errorf("history: %v, want one approval", h.Evidence[i].Facts)
		}
	})
}

func TestAnsweredCodeSpendsNoSIMData(t *testing.T) {
	p := []probe.Probe{slow("net.tcp", report.OK, nil, 0, 500), slow("net.link", report.OK, nil, 0, 0)}
	host := answeredCode("96", "1").Event
	cashier := report.Event{Code: "9997", Origin: report.OriginCashier}
	silent := host
	silent.Txn = &report.Txn{HostAnswerSeen: no()}
	for _, c := range []struct {
		name    string
		ev      report.Event
		metered bool
		want    int
	}{{"answered, metered", host, true, 1}, {"answered, flat rate", host, false, 2}, {"cashier's, metered", cashier, true, 2}, {"host's but no answer was seen", silent, true, 2}} {
		if got := len(plan(c.ev, p, c.metered)); got != c.want {
			t.Errorf("%s: %d probes, want %d", c.name, got, c.want)
		}
	}
	p[1].Depth = report.Interactive
	if got := len(plan(cashier, p, false)); got != 1 {
		t.Errorf("a check that needs a person was planned by itself")
	}
}

func TestFullQueueAnswersAtOnce(t *testing.T) {
	l := New(Config{Knowledge: codes.Builtin, Stamp: func(*report.Event) {}, Runner: probe.NewRunner(nil), Store: &flash{},
		Log: slog.New(slog.DiscardHandler)})
	for range queue {
		if _, err := l.Submit(answeredCode("96", "1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Submit(answeredCode("96", "1")); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestFullFlashStillAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{err: errors.New("no space left on device")})
		if d := <-submit(t, l, answeredCode("97", "1")).Final; d.Causes[0].ID != "terminal.not-registered" {
			t.Errorf("got %s", d.Causes[0].ID)
		}
	})
}

func TestChangedSinceApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{})
		a := answeredCode("00", "1")
		a.Event.Txn.TerminalID = "10043871"
		l.Note("app_version", "5.2")
		<-submit(t, l, a).Final
		l.Note("app_version", "5.3")
		b := answeredCode("97", "2")
		b.Event.Txn.TerminalID = "10043817"
		d := <-submit(t, l, b).Final
		i := slices.IndexFunc(d.Evidence, func(e report.Evidence) bool { return e.Check == "app.config" })
		if i < 0 {
			t.Fatal("no app.config in the evidence")
		}
		if got := d.Evidence[i].Facts.Strings("changed_since_approval"); !slices.Equal(got, []string{"app_version", "terminal_id"}) {
			t.Errorf("got %v, want app_version and terminal_id", got)
		}
	})
}

func TestMemoryOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{})
		a := answeredCode("00", "1")
		a.Event.Txn.TerminalID = "10043871"
		<-submit(t, l, a).Final
		m := l.Memory()
		time.Sleep(time.Minute)
		again := New(l.c)
		again.Restore(m)
		go again.Run(t.Context())
		b := answeredCode("97", "2")
		b.Event.Txn.TerminalID = "10043817"
		d := <-submit(t, again, b).Final
		h, c := d.Evidence[1].Facts, d.Evidence[2].Facts
		if age, _ := h.Num("last_approval_age_s"); age != 60 || !slices.Equal(c.Strings("changed_since_approval"), []string{"terminal_id"}) {
			t.Errorf("got %v and %v, want an approval 60 s ago and terminal_id changed since", h, c)
		}
	})
}

func TestFreshAgentClaimsNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{})
		if f := (<-submit(t, l, answeredCode("97", "1")).Final).Evidence[1].Facts; f["approvals_1h"] != nil || f["no_approval_s"] != nil {
			t.Errorf("a moment after the start: %v, want no count of approvals", f)
		}
		time.Sleep(hour)
		if f := (<-submit(t, l, answeredCode("97", "1")).Final).Evidence[1].Facts; f["approvals_1h"] == nil || f["no_approval_s"] != 3600.0 {
			t.Errorf("an hour after the start: %v, want a count of approvals", f)
		}
	})
}

func TestResumeEndsWhatAPowerCutLeft(t *testing.T) {
	f := &flash{}
	l := New(Config{Knowledge: codes.Builtin, Lang: "en", Runner: probe.NewRunner(nil), Store: f,
		Stamp: func(*report.Event) {}, Log: slog.New(slog.DiscardHandler)})
	cut := report.Diagnosis{ID: "b", Revision: 1, Event: answeredCode("96", "1").Event}
	l.c.Runner.Remember(report.Evidence{Check: "board.reboots", Subject: "system", Status: report.Bad,
		Facts: report.Facts{"last_reason": "BrownOutReset", "count_24h": 4}, At: time.Now()})
	l.Resume(cut)
	d := f.kept()[0]
	if d.Revision != 2 || !d.Final || len(d.Evidence) != 1 {
		t.Errorf("got revision %d final %v with %d evidence, want 2, true, 1", d.Revision, d.Final, len(d.Evidence))
	}
}

// notes is a journal in memory that can refuse.
type notes struct {
	open map[string][]byte
	full bool
}

func (n *notes) Begin(id string, doc []byte) error {
	if n.full {
		return errors.New("full")
	}
	n.open[id] = doc
	return nil
}

func (n *notes) End(id string) error { delete(n.open, id); return nil }

func TestFirstRevisionsGoToTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{open: map[string][]byte{}}
		f := &flash{log: n}
		l := start(t, f, slow("net.link", report.OK, report.Facts{"carrier": true}, 300*time.Millisecond, 0))
		ticket := submit(t, l, answeredCode("97", "1"))
		<-ticket.First
		if len(n.open) != 1 || len(f.kept()) != 0 {
			t.Errorf("after revision 1: %d in the journal, %d in the store; want 1 and 0", len(n.open), len(f.kept()))
		}
		<-ticket.Final
		synctest.Wait()
		if len(n.open) != 0 || len(f.kept()) != 1 || !f.kept()[0].Final {
			t.Errorf("at the end: %d in the journal, %d in the store; want 0 and the final one", len(n.open), len(f.kept()))
		}
		n.full = true
		<-submit(t, l, answeredCode("91", "2")).Final
		synctest.Wait()
		if kept := f.kept(); len(kept) != 3 || kept[1].Final || !kept[2].Final {
			t.Errorf("without a journal: %d documents, want both revisions in the store", len(kept))
		}
	})
}

// A flood of different codes is answered too: one that cannot wait for its checks ends with what is known.
func TestFloodEndsEveryDiagnosis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.link", report.OK, report.Facts{"carrier": true}, 300*time.Millisecond, 0))
		var all []Ticket
		for i := range 3 * maxOpen {
			c := answeredCode(fmt.Sprint("T", i), fmt.Sprint(i))
			all = append(all, submit(t, l, c))
			synctest.Wait() // the queue itself is short
		}
		for i, k := range all {
			if d, ok := <-k.Final; !ok || !d.Final {
				t.Errorf("code %d got no final diagnosis", i)
			}
		}
		synctest.Wait()
		finals := map[string]int{}
		for _, d := range f.kept() {
			if d.Final {
				finals[d.ID]++
			}
		}
		if len(finals) != len(all) {
			t.Errorf("%d of %d diagnoses were ended in the store", len(finals), len(all))
		}
	})
}

func TestAdvice(t *testing.T) {
	l := New(Config{})
	now := time.Now()
	l.Advise("acquirer", "x", &report.Advisory{Scope: "acquirer", Code: "96", Terminals: 40, SharePct: 30, Time: now.Add(-time.Minute)})
	if e := l.advice(report.Event{Code: "96"}, now); len(e) != 1 || e[0].Status != report.Bad {
		t.Errorf("got %v", e)
	}
	if e := l.advice(report.Event{Code: "97"}, now); len(e) != 0 {
		t.Errorf("advice on 96 was given for 97: %v", e)
	}
	l.Advise("acquirer", "x", &report.Advisory{Scope: "acquirer", Code: "96", Terminals: 40, Entry: "contactless",
		CardScheme: "visa", Time: now})
	for _, c := range []struct {
		txn  *report.Txn
		want int
	}{
		{nil, 0}, {&report.Txn{Entry: "contactless", CardScheme: "visa"}, 1}, {&report.Txn{Entry: "contactless"}, 0},
		{&report.Txn{Entry: "contactless", CardScheme: "jcb"}, 0}, {&report.Txn{Entry: "chip", CardScheme: "visa"}, 0},
	} {
		if e := l.advice(report.Event{Code: "96", Txn: c.txn}, now); len(e) != c.want {
			t.Errorf("contactless visa cards fail elsewhere, this was %+v: %v", c.txn, e)
		}
	}
	l.Advise("acquirer", "x", nil)
	if e := l.advice(report.Event{Code: "96"}, now); len(e) != 0 {
		t.Errorf("ended advice is still given: %v", e)
	}
}

// What two neighbours met a moment ago is evidence as the fleet's word is; another code, an old word and, where the
// fleet itself speaks of the site, the neighbours are not.
func TestNeighboursAreHeeded(t *testing.T) {
	l := New(Config{})
	now := time.Now()
	terminals := func(code string, when time.Time) float64 {
		var n float64
		for _, e := range l.advice(report.Event{Code: code}, when) {
			if e.Facts["scope"] == "site" && e.Status == report.Bad {
				n, _ = e.Facts.Num("terminals")
			}
		}
		return n
	}
	word := report.SiteWord{Code: "ConnectError"}
	l.Neighbour("t2", word, now)
	l.Neighbour("t2", word, now.Add(time.Second))
	l.Neighbour("t3", word, now)
	if n := terminals("ConnectError", now.Add(time.Minute)); n != 3 {
		t.Errorf("%v terminals are said to see it, want the two neighbours and this one", n)
	}
	if n := terminals("96", now.Add(time.Minute)); n != 0 {
		t.Errorf("of another code %v are said to see it", n)
	}
	if n := terminals("ConnectError", now.Add(heeded+time.Second)); n != 0 {
		t.Errorf("after a while %v are still said to see it", n)
	}
	for i := range 3 * maxHeard {
		l.Neighbour(fmt.Sprint("t", i), word, now)
	}
	if len(l.heard) > maxHeard {
		t.Errorf("%d words are kept", len(l.heard))
	}
	l.Neighbour("t2", word, now)
	for i := range 3 * maxHeard {
		l.Neighbour("loud", report.SiteWord{Code: fmt.Sprint(i)}, now)
	}
	if n := terminals("ConnectError", now.Add(time.Minute)); n < 3 {
		t.Errorf("one that says much drowns the others: %v are heard", n)
	}
	l.Advise("site", "x", &report.Advisory{Scope: "site", Code: "ConnectError", Terminals: 7, Time: now})
	if n := terminals("ConnectError", now.Add(time.Minute)); n != 7 {
		t.Errorf("the fleet counts 7, evidence says %v", n)
	}
}

func TestHistoryCountsCardsNotTries(t *testing.T) {
	var h history
	now := time.Now()
	for i := range 3 {
		h.read(now, "chip", false, i > 0)
	}
	h.read(now, "chip", true, false)
	h.read(now, "stripe", false, false)
	h.read(now, "stripe", true, true)
	f := h.evidence(now, report.Event{}).Facts
	cards, _ := f.Num("cards_1h")
	failed, _ := f.Num("cards_failed_1h")
	if cards != 3 || failed != 1 || f.Counts("entry_failures")["chip"] != 3 || f.Counts("entry_failures")["stripe"] != 1 {
		t.Errorf("got %v, want 3 cards, 1 of them unread after 3 tries", f)
	}
	if f = h.evidence(now.Add(2*hour), report.Event{}).Facts; f["cards_1h"] != nil {
		t.Errorf("two hours later: %v", f)
	}
}

func TestReplayGivesTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.tcp", report.Bad, report.Facts{"target": "host-primary", "outcome": "refused", "ms": 3}, time.Millisecond, 100))
		one := <-submit(t, l, answeredCode("96", "1")).Final
		a, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is handed on before it is kept
		b, err := json.Marshal(f.kept()[1])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("what was told and what was kept differ:\n%s\n%s", a, b)
		}
	})
}

func TestOneSaleIsOneApproval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, &flash{})
		ended := func(entry, stan string) {
			l.Approved(Approval{Channel: report.ChannelHook, Txn: report.Txn{Entry: entry, STAN: stan}})
		}
		log := func(stan string) {
			c := answeredCode("00", stan)
			c.Event.Channel = report.ChannelLog
			submit(t, l, c)
		}
		ended("chip", "000001")
		time.Sleep(time.Second)
		log("000001") // the same sale in the log
		time.Sleep(time.Second)
		log("000002") // the next one, the log first
		time.Sleep(time.Second)
		ended("stripe", "") // its end, without a number
		time.Sleep(20 * time.Second)
		ended("chip", "")
		time.Sleep(time.Minute)
		d := <-submit(t, l, answeredCode("96", "4")).First
		i := slices.IndexFunc(d.Evidence, func(e report.Evidence) bool { return e.Check == "txn.history" })
		f := d.Evidence[i].Facts
		by := f.Counts("approvals_by")
		if n, _ := f.Num("approvals_1h"); n != 3 || by["chip"] != 2 || by["stripe"] != 1 {
			t.Errorf("got %v, want 3 approvals: 2 by chip, 1 by stripe", f)
		}
		counts := map[string]int{}
		for _, c := range l.TakeTally(time.Now()).Counts {
			counts[c.Code] += c.Count
		}
		if counts["00"] != 3 || counts["96"] != 1 {
			t.Errorf("tally %v, want 00 three times and 96 once", counts)
		}
	})
}
