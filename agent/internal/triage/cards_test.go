package triage

import (
	"testing"
	"time"

	"posdx/agent/report"
)

func TestHistoryCountsDistinctCards(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := &history{since: now}
	ev := report.Event{Code: "91", Origin: report.OriginHost, Channel: report.ChannelCapture}
	add := func(code string, card, issuer int) {
		now = now.Add(time.Minute)
		ev.Code = code
		h.add(now, ev, "C").more("", card, issuer)
		ev.Code = "91"
	}
	want := func(cards, issuers float64) {
		t.Helper()
		f := h.evidence(now, ev).Facts
		c, known := f.Num("cards_same_code_1h")
		i, _ := f.Num("issuers_same_code_1h")
		if c != cards || i != issuers || known != (cards > 0) {
			t.Errorf("got %v cards of %v issuers, %v; want %v of %v", c, i, known, cards, issuers)
		}
	}
	add("91", 1, 2)
	want(1, 1)
	add("55", 7, 8) // another code
	add("91", 1, 2)
	add("91", 3, 2)
	want(2, 1)
	add("91", 0, 0) // seen in a log, which does not tell whose it is
	want(0, 0)
	now = now.Add(hour + time.Second)
	add("91", 3, 2)
	want(1, 1)
}

// Sales that go well have no code; their times are what is normal.
func TestHistoryLearnsNormalTimes(t *testing.T) {
	h := &history{}
	for i := range 9 {
		stan := string(rune('1' + i))
		h.took(stan, int64(400+i))
		h.took(stan, int64(400+i)) // at the end of the sale, again
	}
	slow := int64(9000)
	e := h.answer(report.Event{Origin: report.OriginHost, Txn: &report.Txn{ResponseMS: &slow, HostAnswerSeen: new(bool)}})
	if ms, _ := e.Facts.Num("normal_response_ms"); ms != 404 || len(h.answers) != 9 {
		t.Errorf("normal are %v ms of %d answers, want 404 of 9", ms, len(h.answers))
	}
}
