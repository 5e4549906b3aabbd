package triage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"posdx/agent/report"
)

// A story is some sales and what was told of them, in the order in which it came.
type story struct {
	sales int
	told  []sighting
}

// tellings draws sales, and what four channels tell of them up to ten seconds late, in any order and with repeats. What
// it draws can be told apart: either every sale is told of by a channel that has its trace number, or one channel tells
// of all.
func tellings(t *rapid.T, code func(i int) string) (s story) {
	numbered := rapid.Bool().Draw(t, "numbered")
	channels := []report.Channel{report.ChannelHook, report.ChannelLog, report.ChannelECR, report.ChannelCapture}
	var has []bool
	for range channels {
		has = append(has, numbered && rapid.Bool().Draw(t, "has numbers"))
	}
	sure := rapid.IntRange(0, len(channels)-1).Draw(t, "sure")
	if has[sure] = numbered; !numbered {
		has = make([]bool, len(channels))
	}
	s.sales = rapid.IntRange(1, 20).Draw(t, "sales")
	at := time.Unix(1e9, 0)
	for i := range s.sales {
		at = at.Add(time.Duration(rapid.IntRange(500, 30000).Draw(t, "apart")) * time.Millisecond)
		// One that surely tells of this sale: any that has its number, or the one that tells of all.
		tells := sure
		if numbered {
			tells = rapid.SampledFrom(slices.DeleteFunc([]int{0, 1, 2, 3}, func(c int) bool { return !has[c] })).Draw(t, "tells")
		}
		for c, channel := range channels {
			if c != tells && rapid.Bool().Draw(t, "silent") {
				continue
			}
			g := sighting{channel: string(channel), code: code(i)}
			if has[c] {
				g.stan = fmt.Sprintf("%0*d", rapid.SampledFrom([]int{1, 6}).Draw(t, "zeroes"), 417+i)
			}
			times := 1
			if has[c] {
				times = rapid.IntRange(1, 3).Draw(t, "times")
			}
			for range times {
				g.at = at.Add(time.Duration(rapid.IntRange(0, 10000).Draw(t, "late")) * time.Millisecond)
				s.told = append(s.told, g)
			}
		}
	}
	slices.SortStableFunc(s.told, func(a, b sighting) int { return a.at.Compare(b.at) })
	return s
}

func (s story) String() string {
	var b strings.Builder
	for _, g := range s.told {
		fmt.Fprintf(&b, "%6.1f s %-8s %q %s\n", g.at.Sub(s.told[0].at).Seconds(), g.channel, g.stan, g.code)
	}
	return b.String()
}

// TestSalesAreCountedExactly is the model: as many sales are found as were made.
func TestSalesAreCountedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := tellings(t, func(i int) string { return "96" })
		var all sales
		n := 0
		for _, g := range s.told {
			if _, begun := all.of(g); begun {
				n++
			}
		}
		if n != s.sales {
			t.Fatalf("%d sales were counted as %d:\n%v", s.sales, n, s)
		}
	})
}

// TestTheLoopCountsSalesExactly is the same through the loop: diagnoses with their repeats, the tally, and what the
// evidence says.
func TestTheLoopCountsSalesExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		approved := rapid.SliceOfN(rapid.Bool(), 20, 20).Draw(rt, "approved")
		s := tellings(rt, func(i int) string {
			if approved[i] {
				return "00"
			}
			return "96"
		})
		ends := rapid.Bool().Draw(rt, "ends") // the link tells of approvals without a code
		failed := 0
		for i := range s.sales {
			if !approved[i] {
				failed++
			}
		}
		synctest.Test(t, func(t *testing.T) {
			f := &flash{}
			l := start(t, f)
			began := time.Now()
			for _, g := range s.told {
				time.Sleep(time.Until(began.Add(g.at.Sub(s.told[0].at))))
				synctest.Wait()
				if ends && g.code == "00" && g.channel == string(report.ChannelECR) {
					l.Approved(Approval{Channel: report.ChannelECR, Txn: report.Txn{STAN: g.stan}})
					continue
				}
				c := answeredCode(g.code, g.stan)
				c.Event.Channel = report.Channel(g.channel)
				if g.channel == string(report.ChannelLog) && g.code != "00" {
					c.Event.Origin, c.Event.Txn = report.OriginUnknown, &report.Txn{STAN: g.stan}
				}
				submit(t, l, c)
			}
			time.Sleep(2 * quiet)
			counts := map[string]int{}
			for _, c := range l.TakeTally(time.Now()).Counts {
				counts[c.Code] += c.Count
			}
			told := map[string]int{}
			for _, d := range f.kept() {
				told[d.ID] = d.Repeats + 1
			}
			diagnosed := 0
			for _, n := range told {
				diagnosed += n
			}
			if counts["96"] != failed || counts["00"] != s.sales-failed || diagnosed != failed {
				t.Errorf("%d sales failed and %d went well: tally %v, diagnoses with repeats %d\n%v", failed, s.sales-failed, counts, diagnosed, s)
			}
		})
	})
}

// What was seen in the field: each line is a story that was counted wrong.
func TestSalesOfTheFieldAreCountedExactly(t *testing.T) {
	hook, log, wire := string(report.ChannelHook), string(report.ChannelLog), string(report.ChannelCapture)
	at := func(ms int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(ms) * time.Millisecond) }
	var thirty []sighting
	for i := range 30 {
		stan := fmt.Sprintf("%06d", i+1)
		for k, c := range []string{wire, hook, log} {
			thirty = append(thirty, sighting{at: at(6000*i + 300*k), channel: c, code: "91", stan: stan})
		}
	}
	for _, c := range []struct {
		name string
		told []sighting
		want int
	}{
		{"three sales 8 s apart on hook and log", []sighting{{at: at(0), channel: hook}, {at: at(400), channel: log}, {at: at(8000), channel: hook},
			{at: at(8400), channel: log}, {at: at(16000), channel: hook}, {at: at(16400), channel: log}}, 3},
		{"two trace numbers within 5 s", []sighting{{at: at(0), channel: hook, stan: "000041"}, {at: at(3000), channel: log, stan: "42"}}, 2},
		{"hook, log and capture together", thirty, 30},
		{"a number that is used again", []sighting{{at: at(0), channel: hook, stan: "7"},
			{at: at(30000), channel: hook, stan: "7"}, {at: at(31000), channel: log, stan: "000007"}}, 2},
		{"a frame of the link sent again", []sighting{{at: at(0), channel: "ecr", stan: "7"}, {at: at(2000), channel: "ecr", stan: "7"}}, 1},
		{"a reference that ends with the trace number", []sighting{{at: at(0), channel: wire, stan: "000123"}, {at: at(90000), channel: log, stan: "112113000123"}}, 1},
		// hps/heartland-ios #22: the host answers the second with a code for duplicates and the trace number of the first.
		{"a second try that the host calls a duplicate", []sighting{{at: at(0), channel: hook, code: "100011", stan: "000041"}, {at: at(700), channel: log, code: "100011", stan: "41"}}, 1},
		// sumup/sumup-android-sdk #47: the line is lost, and the same sale is tried again with a number of its own.
		{"tried again with another number", []sighting{{at: at(0), channel: hook, stan: "41"}, {at: at(300), channel: log, stan: "000041"},
			{at: at(20000), channel: hook, stan: "42"}, {at: at(20400), channel: log, stan: "000042"}}, 2},
		// braintree/braintree_ruby #8: the same card and amount at once again.
		{"the same again at once", []sighting{{at: at(0), channel: hook}, {at: at(1200), channel: hook}}, 2},
		{"trace numbers of nothing but zeroes", []sighting{{at: at(0), channel: hook, stan: "000000"}, {at: at(8000), channel: hook, stan: "000000"}}, 2},
	} {
		var all sales
		n := 0
		for _, g := range c.told {
			if _, begun := all.of(g); begun {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%s: counted %d, want %d", c.name, n, c.want)
		}
	}
}
