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

// TestTriesOfOneSale: a decline that follows a try without an answer is no decline of the customer's money. Whose try
// it was decides, where that is known; where it is not, the sale just before counts.
func TestTriesOfOneSale(t *testing.T) {
	type try struct {
		code     string
		approved bool
		open     bool
		card     int
		after    time.Duration
	}
	for name, c := range map[string]struct {
		list  []try
		tries int
		open  bool
	}{
		"a first one":               {[]try{{"51", false, false, 1, 0}}, 1, false},
		"a second of the same card": {[]try{{"98", false, true, 1, 0}, {"51", false, false, 1, time.Minute}}, 2, true},
		"another card between":      {[]try{{"98", false, true, 1, 0}, {"00", true, false, 2, time.Minute}, {"51", false, false, 1, time.Minute}}, 2, true},
		"another customer":          {[]try{{"98", false, true, 1, 0}, {"51", false, false, 2, time.Minute}}, 1, false},
		"nobody knows the cards":    {[]try{{"98", false, true, 0, 0}, {"51", false, false, 0, time.Minute}}, 2, true},
		"something went well since": {[]try{{"98", false, true, 0, 0}, {"00", true, false, 0, time.Minute}, {"51", false, false, 0, time.Minute}}, 1, false},
		"long ago":                  {[]try{{"98", false, true, 1, 0}, {"51", false, false, 1, 6 * time.Minute}}, 1, false},
		"declined before":           {[]try{{"55", false, false, 1, 0}, {"55", false, false, 1, time.Minute}}, 2, false},
		"three, the first open":     {[]try{{"98", false, true, 1, 0}, {"05", false, false, 1, time.Minute}, {"05", false, false, 1, time.Minute}}, 3, true},
		"a repeat after a time-out": {[]try{{"98", false, true, 1, 0}, {"94", false, false, 1, 20 * time.Second}}, 2, true},
	} {
		now := time.Unix(1e9, 0)
		h := &history{since: now}
		for _, s := range c.list {
			now = now.Add(s.after)
			class := "C"
			if s.approved {
				class = "A"
			}
			one := h.add(now, report.Event{Code: s.code, Origin: report.OriginHost, Channel: report.ChannelCapture}, class)
			one.leave(s.open)
			one.more("", s.card, s.card)
		}
		if n, open := h.tries(now, c.list[len(c.list)-1].code); n != c.tries || open != c.open {
			t.Errorf("%s: %d tries, open %v; want %d, %v", name, n, open, c.tries, c.open)
		}
	}
}

// TestRestartsSinceTheLastApproval counts starts of the machine, never too many: the time of an approval of before this
// start may be an hour behind.
func TestRestartsSinceTheLastApproval(t *testing.T) {
	at := time.Unix(1e9, 0)
	var asked time.Time
	h := &history{since: at, starts: func(since time.Time) int { asked = since; return 3 }}
	if _, known := h.restarts(); known {
		t.Error("restarts since an approval that nobody knows of")
	}
	h.approved = at.Add(-10 * hour)
	if n, known := h.restarts(); n != 3 || !known || !asked.Equal(at.Add(-9*hour)) {
		t.Errorf("%d %v since %v", n, known, asked)
	}
	h.approved = at.Add(time.Minute)
	if h.restarts(); !asked.Equal(h.approved) {
		t.Errorf("since %v, want the approval of this life", asked)
	}
}

// TestCodesSinceTheUpdate: what failed before an update is not counted after it.
func TestCodesSinceTheUpdate(t *testing.T) {
	now := time.Unix(1e9, 0)
	h := &history{since: now}
	ev := report.Event{Code: "30", Origin: report.OriginHost}
	h.add(now, ev, "C")
	h.updated()
	for range 3 {
		h.add(now, ev, "C")
	}
	h.add(now, report.Event{Code: "51", Origin: report.OriginHost}, "C")
	if n, _ := h.evidence(now, ev).Facts.Num("same_code_since_update"); n != 3 {
		t.Errorf("%v since the update, want 3", n)
	}
}
