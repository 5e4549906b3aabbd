package triage

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/report"
)

// A code is answered again by its id: while its checks run, after their end, for a repeat by its own id, for an
// approval, in the language of who asks; and it counts nothing. What is closed is looked for elsewhere, by the id of
// the diagnosis that explains it.
func TestACodeIsAnsweredAgainByItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flash{}
		l := start(t, f, slow("net.link", report.OK, nil, time.Second, 0))
		again := func(id, lang string) (Ticket, string) {
			t.Helper()
			k, of, err := l.Again(t.Context(), id, lang)
			if err != nil {
				t.Fatal(err)
			}
			return k, of
		}
		a := submit(t, l, answeredCode("96", "1"))
		b := submit(t, l, answeredCode("96", "2"))
		if k, of := again(a.ID, ""); of != "" || (<-k.First).Final || !(<-k.Final).Final {
			t.Errorf("while its checks run: %q", of)
		}
		<-b.Final
		if k, of := again(b.ID, "zh"); of != "" {
			t.Errorf("a repeat is not known by its own id")
		} else if d := <-k.First; !d.Final || d.ID != a.ID || d.Repeats != 1 || d.Money.Say == (<-a.Final).Money.Say {
			t.Errorf("a repeat by its own id: %s with %d repeats, final %v, %q", d.ID, d.Repeats, d.Final, d.Money.Say)
		}
		ok := submit(t, l, answeredCode("00", "3"))
		<-ok.Final
		if k, of := again(ok.ID, ""); of != "" || (<-k.Final).Money.State != report.MoneyApproved {
			t.Errorf("an approval is not known")
		}
		time.Sleep(2 * quiet)
		for _, id := range []string{a.ID, b.ID} {
			if _, of := again(id, ""); of != a.ID {
				t.Errorf("%s, once it is closed, is looked for as %q, want %q", id, of, a.ID)
			}
		}
		if _, of := again("000009-0000000009", ""); of != "000009-0000000009" {
			t.Errorf("one that never was is looked for as %q", of)
		}
		n := 0
		for _, c := range l.TakeTally(time.Now()).Counts {
			n += c.Count
		}
		if kept := f.kept(); n != 3 || kept[len(kept)-1].Repeats != 1 {
			t.Errorf("%d sales are counted and %d repeats, want 3 and 1: to ask is no sale", n, kept[len(kept)-1].Repeats)
		}
	})
}

// Who asks again while the loop ends, or has no time, is told so and does not hang.
func TestAskingAgainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Lang: "en"}) // nobody runs it
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		for range queue + 1 {
			if _, _, err := l.Again(ctx, "000001-0000000001", ""); err != ErrBusy {
				t.Fatalf("%v, want busy", err)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		l.Run(ended)
	})
}
