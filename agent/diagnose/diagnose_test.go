package diagnose

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// check holds what is true of every diagnosis, whatever went in.
func check(t testing.TB, d *report.Diagnosis, k *codes.Knowledge) {
	t.Helper()
	sum, unexplained := 0.0, 0
	for i, c := range d.Causes {
		sum += c.Probability
		if math.IsNaN(c.Probability) || c.Probability < 0 || c.Probability > 1 {
			t.Errorf("%s: probability %v", c.ID, c.Probability)
		}
		if c.ID == report.Unexplained {
			unexplained++
		} else if i > 0 && c.Probability > d.Causes[i-1].Probability+1e-9 && d.Causes[i-1].ID != report.Unexplained {
			t.Errorf("%s stands behind %s, though more probable", c.ID, d.Causes[i-1].ID)
		}
		if _, ok := k.Cause(c.ID); !ok || c.Title == "" || c.For == nil || c.Against == nil {
			t.Errorf("cause %q is incomplete", c.ID)
		}
	}
	if math.Abs(sum-1) > 1e-3 || unexplained != 1 || len(d.Causes) > maxCauses+1 {
		t.Errorf("%d causes, %d unexplained, sum %v", len(d.Causes), unexplained, sum)
	}
	if len(d.Handoff) > 24 || !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){4}[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(d.Handoff) {
		t.Errorf("hand-off code %q", d.Handoff)
	}
	if len(d.Evidence) > maxEvidence || d.CannotSeparate == nil || d.Masked == nil {
		t.Errorf("%d pieces of evidence, cannot_separate %v, masked %v", len(d.Evidence), d.CannotSeparate, d.Masked)
	}
	if d.Money.Say == "" {
		t.Error("no money line")
	}
}

// TestOutcomesBelongToTheirTest: a test ends in findings of its own check.
func TestOutcomesBelongToTheirTest(t *testing.T) {
	k := knowledge(t)
	for _, test := range k.Inference.Tests {
		for _, o := range test.Outcomes {
			if s := k.Inference.Sign(o.Sign); s.Check != test.Name {
				t.Errorf("test %s ends in %s, which %s shows", test.Name, o.Sign, s.Check)
			}
		}
	}
}

// TestRoundTrip takes every fault of the path as evidence beside a code that a host just answered: none may come first.
func TestRoundTrip(t *testing.T) {
	k := knowledge(t)
	yes := true
	for _, c := range readCases(t, "testdata/cases") {
		seg := ""
		if len(c.Expect.Top) > 0 {
			cause, _ := k.Cause(c.Expect.Top[0])
			seg = cause.Segment
		}
		if seg != "lan" && seg != "wan" && seg != "modem" {
			continue
		}
		evidence := slices.DeleteFunc(slices.Clone(c.Evidence), func(e report.Evidence) bool { return e.Check == "txn.answer" })
		for _, code := range []string{"96", "97", "51", "A0", "30", "ZZ"} {
			ev := report.Event{Code: code, Scheme: "unionpay", Origin: report.OriginHost,
				Txn: &report.Txn{MTI: "0210", Sent: &yes, HostAnswerSeen: &yes}}
			d := Explain(ev, evidence, k, Options{})
			if s := d.Causes[0].Segment; s == "lan" || s == "wan" || s == "modem" {
				t.Errorf("%s with an answered %s: %s", c.Name, code, d.Causes[0].ID)
			}
		}
	}
}

// TestSameBytes explains each case again with its evidence in other orders.
func TestSameBytes(t *testing.T) {
	k := knowledge(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range readCases(t, "testdata/cases") {
		d := Explain(c.Event, c.Evidence, k, Options{})
		check(t, &d, k)
		d.Evidence = nil
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			shuffled := slices.Clone(c.Evidence)
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			again := Explain(c.Event, shuffled, k, Options{})
			again.Evidence = nil
			if got, _ := json.Marshal(again); string(got) != string(want) {
				t.Fatalf("%s: the order of the evidence matters:\n%s\n%s", c.Name, want, got)
			}
		}
	}
}

// TestMissingIsNotHealthy drops evidence and counts how it may not raise the confidence in what it supported.
func TestMissingIsNotHealthy(t *testing.T) {
	k := knowledge(t)
	for _, c := range readCases(t, "testdata/cases") {
		full := Explain(c.Event, c.Evidence, k, Options{})
		if full.Abstained || len(full.Causes[0].For) == 0 {
			continue
		}
		top := full.Causes[0].ID
		best := full.Causes[0].For[0]
		if best.Check == "code" || strings.HasPrefix(best.Check, "txn.") {
			continue
		}
		less := slices.Clone(c.Evidence)
		for i := range less {
			if less[i].Check == best.Check {
				less[i].Status, less[i].Facts = report.NotRun, report.Facts{"reason": "timeout"}
			}
		}
		d := Explain(c.Event, less, k, Options{})
		if d.Causes[0].ID == top && d.Causes[0].Probability > full.Causes[0].Probability+0.02 {
			t.Errorf("%s: without %s %s became more probable: %v, was %v", c.Name, best.Check, top, d.Causes[0].Probability, full.Causes[0].Probability)
		}
	}
}

func TestStaleCountsLess(t *testing.T) {
	k := knowledge(t)
	at := func(age time.Duration) float64 {
		d := Explain(report.Event{Code: "ConnectError", Origin: report.OriginTerminal},
			[]report.Evidence{{Check: "net.link", Subject: "eth0", Status: report.Bad, AgeMS: age.Milliseconds(),
				Facts: report.Facts{"kind": "ethernet", "carrier": false}}}, k, Options{})
		for _, c := range d.Causes {
			if c.ID == "lan.cable" {
				return c.Probability
			}
		}
		return 0
	}
	if fresh, hour, day := at(time.Second), at(time.Hour), at(24*time.Hour); fresh < 0.8 || hour >= fresh || day > hour ||
		day > 0.5 {
		t.Errorf("fresh %v, an hour old %v, a day old %v", fresh, hour, day)
	}
}

// TestAnyShape explains made-up documents: known checks with any facts of any type.
func TestAnyShape(t *testing.T) {
	k := knowledge(t)
	r := rand.New(rand.NewPCG(3, 4))
	var seen []report.Evidence
	for _, c := range readCases(t, "testdata/cases") {
		seen = append(seen, c.Evidence...)
	}
	values := []any{nil, true, false, -1.0, 0.0, 1.0, 1e308, math.NaN(), math.Inf(1), "", "ok", "bad", "\x1b[2J\u202e", "none", "host-primary@@", []any{1.0, "x"}, []string{"apn"},
		map[string]any{"pin": "x"}, map[string]float64{"chip": 9, "contactless": 9, "pin": 0, "no_pin": 3}, int64(-5), uint64(7)}
	for range 3000 {
		ev := report.Event{Code: evidence.Choose(r.IntN(2) == 0, "96", string([]byte{byte(r.IntN(256)), byte(r.IntN(256))})),
			Origin: report.Origin(evidence.Choose(r.IntN(2) == 0, "host", "terminal"))}
		var list []report.Evidence
		for range r.IntN(40) {
			e := seen[r.IntN(len(seen))]
			facts := report.Facts{}
			for name, v := range e.Facts {
				if facts[name] = v; r.IntN(3) == 0 {
					facts[name] = values[r.IntN(len(values))]
				}
			}
			e.Facts, e.AgeMS = facts, r.Int64N(1<<40)-1000
			list = append(list, e)
		}
		d := Explain(ev, list, k, Options{})
		check(t, &d, k)
		if b, err := json.Marshal(d.Causes); err != nil || len(b) == 0 {
			t.Fatal(err)
		}
		if h, err := DecodeHandoff(d.Handoff, d.Event.Time, k); err != nil {
			t.Fatal(h, err)
		}
	}
}

// TestFlood explains ten thousand pieces of evidence.
func TestFlood(t *testing.T) {
	k := knowledge(t)
	var flood []report.Evidence
	for _, c := range readCases(t, "testdata/cases") {
		flood = append(flood, c.Evidence...)
	}
	for len(flood) < 10000 {
		e := flood[len(flood)%500]
		e.AgeMS += int64(len(flood))
		flood = append(flood, e)
	}
	d := Explain(report.Event{Code: "96", Origin: report.OriginCashier}, flood, k, Options{})
	check(t, &d, k)
}

func TestPlanAndAfter(t *testing.T) {
	k := knowledge(t)
	no := false
	ev := report.Event{Code: "zvt:0x64", Origin: report.OriginTerminal, Txn: &report.Txn{Sent: &no}}
	steps := Plan(ev, nil, k, Options{Lang: "en"})
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Check == "ask.other-card" })
	if i < 0 {
		t.Fatalf("a card that cannot be read, and nobody asks for another card: %+v", steps)
	}
	sum := 0.0
	for _, a := range steps[i].Answers {
		sum += a.Probability
	}
	if math.Abs(sum-1) > 0.01 {
		t.Errorf("the answers sum to %v", sum)
	}
	e, ok := After(k, "ask.other-card", "ask.card-works")
	if !ok {
		t.Fatal("the answer is not taken")
	}
	d := Explain(ev, []report.Evidence{e}, k, Options{Lang: "en"})
	if d.Causes[0].ID != "card.damaged" || d.Causes[0].Probability < steps[i].Answers[0].FirstP-0.05 {
		t.Errorf("another card works: %s %v", d.Causes[0].ID, d.Causes[0].Probability)
	}
	if _, ok := After(k, "net.tcp", "tcp.ok"); ok {
		t.Error("a person's answer stands for a measurement")
	}
	if slices.ContainsFunc(Plan(ev, []report.Evidence{e}, k, Options{}), func(s Step) bool { return s.Check == "ask.other-card" }) {
		t.Error("what was answered is asked again")
	}
}

func TestHandoff(t *testing.T) {
	k := knowledge(t)
	for _, c := range readCases(t, "testdata/cases") {
		d := Explain(c.Event, c.Evidence, k, Options{})
		h, err := DecodeHandoff(strings.ToLower(strings.ReplaceAll(d.Handoff, "0", "o")), c.Event.Time, k)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if h.Code != c.Event.Code && d.Code.Known {
			t.Errorf("%s: code %q, want %q", c.Name, h.Code, c.Event.Code)
		}
		if h.Origin != c.Event.Origin || len(h.Causes) == 0 || h.Causes[0] != d.Causes[0].ID || h.Retry != d.Money.Retry ||
			h.State != d.Money.State {
			t.Errorf("%s: %+v", c.Name, h)
		}
		if want := c.Event.Time.UTC().Truncate(time.Hour); !h.Hour.Equal(want) {
			t.Errorf("%s: hour %v, want %v", c.Name, h.Hour, want)
		}
		if x := c.Event.Txn; x != nil && len(x.TerminalID) >= 4 && !strings.HasSuffix(x.TerminalID, h.Terminal) {
			t.Errorf("%s: terminal %q of %q", c.Name, h.Terminal, x.TerminalID)
		}
		// Every single misheard letter is noticed.
		for i := range d.Handoff {
			if d.Handoff[i] == '-' {
				continue
			}
			wrong := []byte(d.Handoff)
			wrong[i] = handoffAlphabet[(strings.IndexByte(handoffAlphabet, wrong[i])+7)%32]
			if _, err := DecodeHandoff(string(wrong), c.Event.Time, k); err == nil {
				t.Errorf("%s: %s passes for %s", c.Name, wrong, d.Handoff)
			}
		}
	}
}

// TestHandoffVersion0 reads codes that the first releases wrote, for ever.
func TestHandoffVersion0(t *testing.T) {
	k := knowledge(t)
	for text, want := range map[string]Handoff{
		"1Z02-4A61-QMF5-QM0Y-FFY2": {Code: "96", Scheme: "unionpay", Origin: report.OriginHost, Causes: []string{"host.malfunction"}, Sure: "confirmed"},
		"1ZHJ-SPQ6-3397-ZZRY-FD4N": {Code: "9997", Scheme: "acquirer-4", Origin: report.OriginCashier, Causes: []string{"lan.cable"}, Sure: "confirmed"},
		"F0S7-DCMN-B8XD-QM0Y-FD9M": {Code: "newpos:E5", Scheme: "terminal-local", Origin: report.OriginTerminal, Causes: []string{"modem.sim"}, Sure: "confirmed"},
	} {
		h, err := DecodeHandoff(text, time.Now(), k)
		if err != nil || h.Code != want.Code || h.Scheme != want.Scheme || h.Origin != want.Origin || len(h.Causes) == 0 ||
			h.Causes[0] != want.Causes[0] || h.Sure != want.Sure {
			t.Errorf("%s: %+v, %v", text, h, err)
		}
	}
}

// TestHandoffRoom: the last scheme and the last cause that there is room for come through.
func TestHandoffRoom(t *testing.T) {
	k := *knowledge(t)
	k.Inference.Numbers = append(slices.Clone(k.Inference.Numbers), codes.Number{Kind: "scheme", Number: 63, ID: "scheme-63"},
		codes.Number{Kind: "cause", Number: 255, ID: "cause-255"})
	s := &state{k: &k}
	s.Reading = evidence.Read(nil, &k)
	s.f = &k.Inference
	at := time.Date(2031, 5, 6, 7, 30, 0, 0, time.UTC)
	ev := report.Event{Code: "96", Origin: report.OriginHost, Time: at}
	s.ev = &ev
	d := report.Diagnosis{Event: ev, Code: report.CodeInfo{Scheme: "scheme-63", Known: true}, Causes: []report.Cause{{ID: "cause-255"}}}
	h, err := DecodeHandoff(s.handoff(&d), at.Add(100*24*time.Hour), &k)
	if err != nil || h.Scheme != "scheme-63" || len(h.Causes) != 1 || h.Causes[0] != "cause-255" || !h.Hour.Equal(at.Truncate(time.Hour)) {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestHandoffMisheard: no single wrong letter and no two neighbours that changed places pass, whatever the code; where
// only one group fits, it is named; and any dash or blank may stand between the groups.
func TestHandoffMisheard(t *testing.T) {
	k := knowledge(t)
	tried, named := 0, 0
	for _, c := range readCases(t, "testdata/cases")[:20] {
		right := strings.ReplaceAll(Explain(c.Event, c.Evidence, k, Options{}).Handoff, "-", "")
		for _, spoken := range []string{right[:4] + "—" + right[4:8] + "－" + right[8:12] + "–" + right[12:16] + "　" +
			right[16:], strings.Map(func(r rune) rune { return r + 0xfee0 }, right)} {
			if _, err := DecodeHandoff(spoken, c.Event.Time, k); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
		check := func(wrong string, group int) {
			tried++
			_, err := DecodeHandoff(wrong, c.Event.Time, k)
			if err == nil {
				t.Fatalf("%s passes for %s", wrong, right)
			}
			if _, said, ok := strings.Cut(err.Error(), "most likely in group "); ok {
				if named++; said != strconv.Itoa(group) {
					t.Errorf("%s for %s: group %s, want %d", wrong, right, said, group)
				}
			}
		}
		for i := range right {
			for _, l := range handoffAlphabet {
				if byte(l) != right[i] {
					check(right[:i]+string(l)+right[i+1:], i/handoffGroup+1)
				}
			}
		}
	}
	if named*2 < tried {
		t.Errorf("the group was named in %d of %d only", named, tried)
	}
}

// TestRender keeps every line within its width, in both languages, and says the money line in full.
func TestRender(t *testing.T) {
	k := knowledge(t)
	for _, c := range readCases(t, "testdata/cases") {
		for _, lang := range []string{"zh", "en"} {
			d := Explain(c.Event, c.Evidence, k, Options{Lang: lang})
			for _, width := range []int{80, 40, 5} {
				shown := Render(d, lang, width)
				for _, line := range strings.Split(shown, "\n") {
					if n := text.Width(line); n > max(width, minWidth) {
						t.Errorf("%s %s: %d columns: %q", c.Name, lang, n, line)
					}
				}
				flat := strings.Join(strings.Fields(shown), "")
				if !strings.Contains(flat, strings.Join(strings.Fields(d.Money.Say), "")) {
					t.Errorf("%s %s: no money line in\n%s", c.Name, lang, shown)
				}
			}
		}
	}
	if Render(report.Diagnosis{}, "en", 80) == "" {
		t.Error("an empty diagnosis renders to nothing")
	}
}

// FuzzExplain feeds documents of any shape. Whatever they hold, there is an answer, and safe is not said for what may
// have left.
func FuzzExplain(f *testing.F) {
	for i, c := range readCases(f, "testdata/cases") {
		if i%8 == 0 {
			b, _ := json.Marshal(map[string]any{"event": c.Event, "evidence": c.Evidence})
			f.Add(b)
		}
	}
	f.Add([]byte(`{"event":{"code":"\u0000\u009b[31m","origin":"x","txn":{"mti":"04\u00ff0"}},"evidence":[{"check":"net.tcp","status":"bad","facts":{"ms":"x","outcome":7,"target":[]}}]}`))
	k := codes.Builtin()
	f.Fuzz(func(t *testing.T, data []byte) {
		var doc struct {
			Event    report.Event
			Evidence []report.Evidence
		}
		if json.Unmarshal(data, &doc) != nil {
			return
		}
		for _, lang := range []string{"zh", "en"} {
			d := Explain(doc.Event, doc.Evidence, k, Options{Lang: lang})
			check(t, &d, k)
			text := Render(d, lang, 80)
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x9b }) {
				t.Errorf("control character in %q", text)
			}
			x := doc.Event.Txn
			if x != nil && x.Sent != nil && *x.Sent && x.HostAnswerSeen != nil && !*x.HostAnswerSeen &&
				(d.Money.Retry == report.RetrySafe || d.Money.Retry == report.RetryLater) {
				t.Errorf("%s for a request that left without an answer", d.Money.Retry)
			}
		}
		Ledger(doc.Event, doc.Evidence, k, Options{})
		Plan(doc.Event, doc.Evidence, k, Options{})
	})
}

func FuzzDecodeHandoff(f *testing.F) {
	f.Add("F0S7-DCCJ-Q8S7-ZZTM-T7QC")
	f.Add("")
	f.Add("IIII-LLLL-OOOO-0000-0000-1")
	k := codes.Builtin()
	f.Fuzz(func(t *testing.T, text string) {
		h, err := DecodeHandoff(text, time.Unix(1.8e9, 0), k)
		if err == nil && h.Text(k, "zh") == "" {
			t.Error("nothing to read")
		}
	})
}

func BenchmarkExplain(b *testing.B) {
	k := codes.Builtin()
	list := readCases(b, "testdata/cases")
	var all []report.Evidence
	for _, c := range list {
		all = append(all, c.Evidence...)
	}
	for i := range all {
		all[i].Subject += string(rune('a' + i%26))
	}
	typical := list[slices.IndexFunc(list, func(c testCase) bool { return c.Name == "host-slow-timer" })]
	b.Run("typical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Explain(typical.Event, typical.Evidence, k, Options{})
		}
	})
	for _, n := range []int{0, 16, 64, 256, 10000} {
		evidence := all[:min(n, len(all))]
		for len(evidence) < n {
			evidence = append(evidence[:len(evidence):len(evidence)], all...)
		}
		b.Run("evidence="+factText(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Explain(typical.Event, evidence, k, Options{})
			}
		})
	}
}

// TestWhatMayBeFoundHasNoHoles: what a test could find is told before it was looked for.
func TestWhatMayBeFoundHasNoHoles(t *testing.T) {
	k := knowledge(t)
	for _, test := range k.Inference.Tests {
		for _, o := range test.Outcomes {
			for _, text := range []string{k.Inference.Sign(o.Sign).Text.ZH, k.Inference.Sign(o.Sign).Text.EN} {
				if got := unfilled(text); strings.ContainsAny(got, "{}") || strings.Contains(got, "(…") ||
					strings.Contains(got, "（…") || got == "" {
					t.Errorf("%s: %q", o.Sign, got)
				}
			}
		}
	}
	if got := unfilled("{n} terminals ({share_pct} %) of this acquirer see the same"); got != "… terminals of this acquirer see the same" {
		t.Errorf("%q", got)
	}
}
