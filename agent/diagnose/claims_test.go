package diagnose

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// everyClaim calls with the diagnosis of every written case and story, each whole and with every check but one in
// three.
func everyClaim(t *testing.T, each func(name string, d report.Diagnosis)) {
	t.Helper()
	k := knowledge(t)
	for _, c := range append(allCases(t), readStories(t, "testdata/unseen/open.jsonl")...) {
		for part := range 4 {
			var list []report.Evidence
			for i, e := range c.Evidence {
				if part == 3 || i%3 != part {
					list = append(list, e)
				}
			}
			each(c.Name, Explain(c.Event, list, k, Options{Lang: "en"}))
		}
	}
}

// TestAlsoIsNoCandidate: what may have caused the failure is not told of as something broken besides.
func TestAlsoIsNoCandidate(t *testing.T) {
	abstained := 0
	everyClaim(t, func(name string, d report.Diagnosis) {
		for _, a := range d.Also {
			if slices.Contains(d.CannotSeparate, a.ID) {
				t.Errorf("%s: %s remains, and is told of besides", name, a.ID)
			}
		}
		if !d.Abstained || len(d.Also) == 0 {
			return
		}
		abstained++
		if page := Render(d, "en", 400); strings.Contains(page, "did not cause") {
			t.Errorf("%s: nobody can tell the cause, yet it is known what did not cause it:\n%s", name, page)
		}
	})
	if abstained == 0 {
		t.Error("no abstention with something broken besides: the test is blind")
	}
}

// TestNothingIsSaidTwice: two findings that read one fact in the same words are one reason for a reader.
func TestNothingIsSaidTwice(t *testing.T) {
	k := knowledge(t)
	check := func(name string, d report.Diagnosis) {
		for _, c := range d.Causes {
			for _, list := range [...][]report.Reason{c.For, c.Against} {
				for i, r := range list {
					if slices.ContainsFunc(list[:i], func(o report.Reason) bool { return o.Check == r.Check && o.Say == r.Say }) {
						t.Errorf("%s, %s: %q twice", name, c.ID, r.Say)
					}
				}
			}
		}
	}
	everyClaim(t, check)
	for _, lang := range [...]string{"zh", "en"} {
		check("flaps", Explain(unsent("ConnectError"), []report.Evidence{bad("net.link", "eth0",
			report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "flaps_1h": 7.0})}, k, Options{Lang: lang}))
		busy := Explain(unsent("ConnectError"), []report.Evidence{bad("board.cpu", "system",
			report.Facts{"pressure_avg10": 95.0, "load1": 9.0, "processors": 2.0})}, k, Options{Lang: lang})
		for _, c := range busy.Causes {
			if len(c.For) > 1 && c.For[0].Check == c.For[1].Check {
				t.Errorf("too busy, and rather busy: %+v", c.For)
			}
		}
		check("clock", Explain(unsent("ConnectError"), []report.Evidence{bad("board.clock", "system",
			report.Facts{"offset_s": 86400.0, "source": "rtc"})}, k, Options{Lang: lang}))
	}
}

// TestNothingIsCertainInText: a probability that rounds to 100 is not written so, and every cause is named in words.
func TestNothingIsCertainInText(t *testing.T) {
	id := regexp.MustCompile(`\b(card|account|issuer|switch|host|merchant|terminal|reader|modem|lan|wan|operator)\.[a-z-]+`)
	sure := 0
	everyClaim(t, func(name string, d report.Diagnosis) {
		page := Render(d, "en", 400)
		if strings.Contains(page, " 100%") {
			t.Errorf("%s:\n%s", name, page)
		}
		if d.Causes[0].Probability >= 0.995 {
			sure++
		}
		if d.Abstained && id.MatchString(page) {
			t.Errorf("%s names a cause by its id:\n%s", name, page)
		}
	})
	if sure == 0 {
		t.Error("no cause so probable that it would round to 100: the test is blind")
	}
}

// TestOneIsSingular: what the tables count is written in the singular where it is one.
func TestOneIsSingular(t *testing.T) {
	for text, want := range map[string]string{
		"{n} time{s}": "1 time", "{m} time{s}": "2 times", "{m} and {n} dip{s}": "2 and 1 dip",
		"fails: {x} error{s}, {m} kill{s}": "fails: 2 kills", "gone (in {x} day{s})": "gone",
	} {
		if got := fill(text, report.Facts{"n": 1.0, "m": 2.0}, "en"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := unfilled(text); strings.Contains(got, "{") || strings.Contains(got, "……") {
			t.Errorf("%q unfilled: %q", text, got)
		}
	}
	// One that is counted in whole numbers and stands before a plural is written so that it can be one.
	counted := regexp.MustCompile(`\{(\w+)\} (?:\S+ )?(times|dips|restarts|days|errors|kills|questions|tasks|programs|reversals)\b`)
	signs := codes.Builtin().Inference.Signs
	for i := range signs {
		if m := counted.FindString(signs[i].Text.EN); m != "" {
			t.Errorf("%s: %q is wrong for one", signs[i].Name, m)
		}
	}
}

// fewUnread is a reader that read all but one of 25 cards: any day.
func fewUnread() []report.Evidence {
	return []report.Evidence{
		{Check: "reader.reads", Subject: "reader0", Status: report.OK, Facts: report.Facts{"good": 30.0, "failed": 1.0,
			"cards": 25.0, "cards_failed": 1.0, "window_s": 7200.0}},
		{Check: "txn.history", Subject: "terminal", Status: report.OK, Facts: report.Facts{"same_code_1h": 1.0,
			"cards_same_code_1h": 1.0, "approvals_1h": 12.0, "declines_1h": 1.0, "cards_1h": 14.0}},
	}
}

// TestAnUnreadCardIsNotThisOne: one card in 25 is read badly on any day. Of a sale whose code says nothing of reading
// it says nothing either; of one that ended at the card it does.
func TestAnUnreadCardIsNotThisOne(t *testing.T) {
	k := knowledge(t)
	for _, ev := range []report.Event{
		{Code: "QX7"}, {Code: "QX7", Origin: report.OriginTerminal},
		{Code: "9998", Scheme: "acquirer-4", Origin: report.OriginCashier},
		{Code: "06", Scheme: "unionpay", Origin: report.OriginTerminal, Txn: &report.Txn{MTI: "0400"}}, unsent("QX7"),
	} {
		if d := Explain(ev, fewUnread(), k, Options{}); d.Causes[0].ID == "card.damaged" && !d.Abstained {
			t.Errorf("%s %s: the card is named, %.2f", ev.Code, ev.Origin, d.Causes[0].Probability)
		}
	}
	ev := unsent("newpos:E12")
	if d := Explain(ev, fewUnread(), k, Options{}); d.Causes[0].ID != "card.damaged" || d.Abstained {
		t.Errorf("a card that was not read: %s, abstained %v", d.Causes[0].ID, d.Abstained)
	}
}

// TestOnlyWhatIsSpokenOfRemains: causes of which neither the code nor a check says anything are not named as what it
// may be: of dozens alike, five would be a guess.
func TestOnlyWhatIsSpokenOfRemains(t *testing.T) {
	k := knowledge(t)
	if d := Explain(report.Event{Code: "QX7"}, nil, k, Options{}); !d.Abstained || len(d.CannotSeparate) != 0 {
		t.Errorf("nothing is known, and it may be %v", d.CannotSeparate)
	}
	yes := true
	keys := report.Event{Code: "A0", Scheme: "unionpay", Origin: report.OriginHost,
		Txn: &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}}
	d := Explain(keys, []report.Evidence{
		{Check: "app.keys", Subject: "payment-app", Status: report.OK, Facts: report.Facts{"state": "ok"}},
		{Check: "app.session", Subject: "payment-app", Status: report.OK, Facts: report.Facts{"signed_in": true,
			"signin_age_s": 3000.0, "last_signin_result": "00"}},
		fewUnread()[1],
	}, k, Options{})
	if !d.Abstained || len(d.CannotSeparate) == 0 || slices.ContainsFunc(d.CannotSeparate, func(id string) bool {
		return strings.HasPrefix(id, "account.") || strings.HasPrefix(id, "issuer.")
	}) {
		t.Errorf("a MAC error with keys that are well: abstained %v, may be %v", d.Abstained, d.CannotSeparate)
	}
}

// TestHandoffNamesWhatThePageNames: the code that is read out over the telephone holds no cause that the page does not
// show.
func TestHandoffNamesWhatThePageNames(t *testing.T) {
	k := knowledge(t)
	alone := 0
	everyClaim(t, func(name string, d report.Diagnosis) {
		h, err := DecodeHandoff(d.Handoff, d.Event.Time, k)
		if err != nil {
			t.Fatal(name, err)
		}
		page := Render(d, "en", 400)
		for _, id := range h.Causes {
			c, _ := k.Cause(id)
			if id != report.Unexplained && !strings.Contains(page, c.Title.EN) && d.Causes[0].ID != "none" {
				t.Errorf("%s: the code names %s, the page does not:\n%s", name, id, page)
			}
		}
		if len(h.Causes) == 1 {
			alone++
		}
	})
	if alone == 0 {
		t.Error("every code names two causes: the test is blind")
	}
}

// Nobody reads 72002 s: a time is told in the unit that fits.
func TestTimesAreToldInTheirUnit(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		zh, en  string
	}{
		{3, "3秒以前", "3 s ago"}, {119, "119秒以前", "119 s ago"}, {180, "3分钟以前", "3 minutes ago"},
		{72002, "20小时以前", "20 hours ago"}, {31_536_000, "365天以前", "365 days ago"}, {-86_400 * 3, "-3天以前", "-3 days ago"},
	} {
		for lang, want := range map[string]string{"zh": c.zh, "en": c.en} {
			text := codes.Text{ZH: "{x_s}秒以前", EN: "{x_s} s ago"}.In(lang)
			if got := fill(text, report.Facts{"x_s": c.seconds}, lang); got != want {
				t.Errorf("%g: %q, want %q", c.seconds, got, want)
			}
		}
	}
	for text, want := range map[string]string{"{x_s} sales": "7200 sales", "{x_s}": "7200", "{x_ms} s": "7200 s"} {
		if got := fill(text, report.Facts{"x_s": 7200.0, "x_ms": 7200.0}, "en"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
