package console

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// guidable is knowledge with just enough in it to be guided by: a cable, a router, the world behind it.
func guidable() *codes.Knowledge {
	text := func(zh, en string) codes.Text { return codes.Text{ZH: zh, EN: en} }
	weights := func(cable, gateway, outage float64) []codes.Weight {
		word := func(db float64) codes.Strength { return codes.Strength(max(-4, min(4, math.Trunc(db/3.5)))) }
		var list []codes.Weight
		for _, w := range []codes.Weight{{Cause: "lan.cable", Word: word(cable)}, {Cause: "lan.gateway",
			Word: word(gateway)}, {Cause: "wan.outage", Word: word(outage)}} {
			if w.Word != 0 {
				list = append(list, w)
			}
		}
		return list
	}
	return &codes.Knowledge{
		Hash:     "sha256:test",
		Checks:   codes.Builtin().Checks,
		Facts:    codes.Builtin().Facts,
		Limits:   codes.Builtin().Limits,
		News:     codes.Builtin().News,
		Schemes:  []codes.Scheme{{Name: "unionpay"}},
		Profiles: []codes.Profile{{Name: "unionpay", Base: "unionpay"}},
		Causes: []codes.Cause{
			{ID: "lan.cable", Segment: "lan", Act: "staff", Title: text("网线松了或坏了", "The network cable is loose or broken"), Steps: []codes.Step{{Text: text("1. 把网线两头插紧。", "1. Push the cable in at both ends.")}}},
			{ID: "lan.gateway", Segment: "lan", Act: "staff", Title: text("路由器没有工作", "The router does not work"), Steps: []codes.Step{{Text: text("1. 给路由器断电再上电。", "1. Switch the router off and on.")}}},
			{ID: report.Unexplained, Segment: "unknown", Act: "none", Title: text("原因不明", "Cause unknown"), Steps: []codes.Step{{Text: text("打电话。", "Call.")}}},
			{ID: "wan.outage", Segment: "wan", Act: "carrier", Title: text("外网中断", "Nothing works beyond the router"), Steps: []codes.Step{{Text: text("1. 打运营商电话。", "1. Call the carrier.")}}},
		},
		Inference: codes.Inference{
			Settings: codes.Settings{Hint: 3, Moderate: 7, Strong: 12, Decisive: 18, Often: -3, Sometimes: -6, Seldom: -10,
				Rare: -14, Remote: -18, Family: 0.3, Brought: 0.8,
				Company: -16, Spare0: 0.05, Spare1: 0.03, Spare2: 0.02, Spare3: 0.01, SetAbove: 0.05, AbstainBelow: 0.57,
				StaleFloor: 0.05, Likely: 0.6, Confirmed: 0.9},
			Priors: []codes.Prior{{Topic: "any", Unexplained: 1, Rest: codes.Remote, Retry: "later", Text: text("任何", "any"),
				Causes: []codes.Named{{Cause: "lan.cable"}, {Cause: "lan.gateway"}, {Cause: "wan.outage"}}}},
			Signs: []codes.Sign{
				{Name: "address.ok", Check: "net.address"},
				{Name: "adv.acquirer", Check: "fleet.advisory", Tells: true, Weights: weights(-7, -7, 11), Text: text("平台上另有 {terminals} 台也这样", "{terminals} others see it")},
				{Name: "adv.alone-acquirer", Check: "fleet.advisory", Tells: true, Weights: weights(7, 7, -11), Text: text("别的终端不这样", "no other sees it")},
				{Name: "ask.cable-in", Check: "ask.cable", Tells: true, Weights: weights(-8, 0, 0), Text: text("网线两头都插好了", "the cable is in at both ends")},
				{Name: "ask.cable-out", Check: "ask.cable", Tells: true, Weights: weights(16, 0, 0), Text: text("网线松了", "the cable is loose")},
				{Name: "ask.lamp-green", Check: "ask.router-lamp", Tells: true, Weights: weights(0, -7, -9), Text: text("互联网灯是绿的", "the internet lamp is green")},
				{Name: "ask.lamp-off", Check: "ask.router-lamp", Weights: weights(0, 14, -6), Text: text("一个灯都不亮", "no lamp is lit")},
				{Name: "ask.lamp-red", Check: "ask.router-lamp", Tells: true, Weights: weights(0, 1, 10), Text: text("互联网灯是红的", "the internet lamp is red")},
				{Name: "gateway.dead", Check: "net.gateway", Tells: true, Weights: weights(4, 8, -2), Text: text("路由器 {ip} 没有应答", "the router {ip} does not answer")},
				{Name: "gateway.ok", Check: "net.gateway", Tells: true, Weights: weights(-7, -20, 8), Text: text("路由器有应答", "the router answers")},
				{Name: "link.down", Check: "net.link", Tells: true, Weights: weights(10, 2, -8), Text: text("没有网线信号", "no carrier")},
				{Name: "link.ok", Check: "net.link", Tells: true, Weights: weights(-8, 0, 1), Text: text("网线有信号", "there is a carrier")},
			},
			Tests: []codes.Test{
				{Name: "ask.cable", CostS: 90, Depth: "interactive", Outcomes: []codes.Outcome{{Sign: "ask.cable-in", Share: 3}, {Sign: "ask.cable-out", Share: 1}}, Text: text("网线两头插紧了吗？", "Is the cable firmly in at both ends?")},
				{Name: "ask.router-lamp", CostS: 300, Depth: "interactive", Outcomes: []codes.Outcome{{Sign: "ask.lamp-green",
					Share: 3}, {Sign: "ask.lamp-red", Share: 1}, {Sign: "ask.lamp-off", Share: 1}},
					Text: text("路由器的互联网灯是绿的、红的，还是全都不亮？", "Is the router's internet lamp green, red, or is nothing lit?")},
				{Name: "fleet.advisory", CostS: 200, Depth: "external", Outcomes: []codes.Outcome{{Sign: "adv.alone-acquirer", Share: 1}, {Sign: "adv.acquirer", Share: 1}}, Text: text("问平台别的终端是否也这样", "ask the fleet whether others see it")},
				{Name: "net.gateway", CostS: 2, Depth: "internal", Outcomes: []codes.Outcome{{Sign: "gateway.ok", Share: 6}, {Sign: "gateway.dead", Share: 1}}, Text: text("联系路由器", "ask the router for an answer")},
				{Name: "net.link", CostS: 60, Depth: "external", Outcomes: []codes.Outcome{{Sign: "link.ok", Share: 6}, {Sign: "link.down", Share: 1}}, Text: text("看网线信号", "look at the carrier")},
			},
		},
	}
}

// cutOff is a diagnosis of a terminal that cannot connect, of which nothing was checked yet.
func cutOff() report.Diagnosis {
	d := report.Diagnosis{
		ID: "7c-0000000131", Revision: 2, Final: true, Agent: report.Agent{Version: "1", Knowledge: "sha256:test"},
		Event: report.Event{ID: "7c-0000000131", Time: noon, Code: "ConnectError", Origin: report.OriginTerminal},
		Evidence: []report.Evidence{
			{Check: "net.link", Subject: "eth0", Status: report.CannotTell, Facts: report.Facts{"reason": "timeout"}},
			{Check: "net.address", Subject: "eth0", Status: report.OK},
		},
	}
	return NewGuide(d, guidable(), "unionpay", "zh", nil).Now
}

func guidedModel(lang string) *model {
	d := cutOff()
	m := newModel(lang)
	m.know, m.state.Last = guidable(), &d
	m.state.Profile, m.state.Checks = "unionpay", []string{"modem.sim", "net.gateway", "net.link"}
	m.press(key{r: 'g'})
	return m
}

func evidence(check, subject string, s report.Status, f report.Facts) []report.Evidence {
	return []report.Evidence{{Check: check, Subject: subject, Status: s, Facts: f, AgeMS: 3}, {Check: "net.other",
		Subject: subject, Status: s, Facts: f}}
}

func TestGuideScreens(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		for _, c := range []struct {
			name string
			set  func(*testing.T, *model)
		}{
			{"guide-check", func(t *testing.T, m *model) {}},
			{"guide-question", func(t *testing.T, m *model) { m.until(t, "ask.router-lamp") }},
			{"guide-over", func(t *testing.T, m *model) {
				for m.guide.Step != nil {
					m.press(key{r: '0'})
				}
			}},
			{"guide-confirmed", func(t *testing.T, m *model) {
				m.until(t, "ask.cable")
				m.press(key{r: '2'})
			}},
		} {
			t.Run(c.name+"-"+lang, func(t *testing.T) {
				m := guidedModel(lang)
				c.set(t, m)
				golden(t, c.name+"-"+lang, m)
			})
		}
	}
}

func golden(t *testing.T, name string, m *model) {
	t.Helper()
	lines := m.view()
	for i, l := range lines {
		if text.Width(l) > cols || len(lines) != rows {
			t.Errorf("line %d of %d is %d columns wide: %q", i+1, len(lines), text.Width(l), l)
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	file := filepath.Join("testdata", name+".txt")
	if *update {
		os.WriteFile(file, []byte(got), 0o644)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("screen differs from %s (-update writes it):\n%s", file, d)
	}
}

// until passes steps over until one comes.
func (m *model) until(t *testing.T, step string) {
	t.Helper()
	for range 20 {
		if m.guide.Step == nil {
			break
		}
		if m.guide.Step.Check == step {
			return
		}
		m.press(key{r: '0'})
	}
	t.Fatalf("no step %s comes", step)
}

// Answers and checks lead to a confirmed cause, and back again.
func TestGuideToTheEnd(t *testing.T) {
	m := guidedModel("en")
	before := fmt.Sprint(m.guide.Now.Causes)
	m.until(t, "net.gateway")
	a := m.press(key{r: '1'})
	if a.kind != actCheck || !slices.Equal(a.names, []string{"net.gateway"}) || !m.busy {
		t.Fatalf("1 led to %+v, want the check run", a)
	}
	if a := m.press(key{r: '1'}); a.kind != 0 || m.note == "" || m.guide.Step.Check != "net.gateway" {
		t.Error("a second key while the check runs did something")
	}
	m.gotResults(evidence("net.gateway", "gateway", report.Bad, report.Facts{"neighbour": "failed"}))
	m.done()
	if m.guide.Step != nil && m.guide.Step.Check == "net.gateway" || m.guide.Now.Causes[0].ID != "lan.gateway" {
		t.Fatalf("after the check: step %+v, first %s", m.guide.Step, m.guide.Now.Causes[0].ID)
	}
	if slices.ContainsFunc(m.guide.Now.Evidence, func(e report.Evidence) bool { return e.Check == "net.other" }) {
		t.Error("what nobody asked for is evidence")
	}
	for len(m.guide.given) > 0 {
		m.press(key{r: 'b'})
	}
	m.until(t, "ask.router-lamp")
	lamp := slices.IndexFunc(m.guide.Step.Answers, func(a diagnose.Answer) bool { return a.Sign == "ask.lamp-off" })
	foretold := m.guide.after[lamp][0]
	m.press(key{r: rune('1' + lamp)})
	d := m.guide.Now
	if c := d.Causes[0]; foretold != (chance{c.ID, c.Probability}) {
		t.Errorf("foretold %+v, came %s %v", foretold, c.ID, c.Probability)
	}
	if d.Causes[0].ID != "lan.gateway" || d.ID != "7c-0000000131" || d.Revision != 2 {
		t.Fatalf("first %+v, step %+v", d.Causes[0], m.guide.Step)
	}
	i := slices.IndexFunc(d.Evidence, func(e report.Evidence) bool { return e.Check == "ask.router-lamp" })
	if i < 0 || d.Evidence[i].Depth != report.Interactive || d.Evidence[i].At.IsZero() {
		t.Errorf("the answer is not among the evidence: %+v", d.Evidence)
	}
	for range 9 {
		m.press(key{r: 'b'})
	}
	if got := fmt.Sprint(m.guide.Now.Causes); got != before || m.note == "" {
		t.Errorf("all taken back: got %s, want %s; note %q", got, before, m.note)
	}
	if a := m.press(key{r: 'q'}); a.kind != 0 || m.screen != screenVerdict {
		t.Errorf("q led to %+v on screen %c, want the verdict", a, m.screen)
	}
}

// A finding replaces the older one about the same thing; a check that could not tell takes nothing away and is not
// offered again.
func TestGuideEvidence(t *testing.T) {
	g := NewGuide(cutOff(), guidable(), "", "en", []string{"net.link", "net.gateway"})
	g.Got("net.link", evidence("net.link", "eth0", report.OK, report.Facts{"carrier": true}))
	if n := len(g.Now.Evidence); n != 2 || g.Now.Evidence[0].Status != report.OK {
		t.Fatalf("evidence %+v", g.Now.Evidence)
	}
	g.Got("net.link", evidence("net.link", "eth0", report.CannotTell, report.Facts{"reason": "in-use"}))
	if n := len(g.Now.Evidence); n != 2 || g.Now.Evidence[0].Status != report.OK {
		t.Fatalf("evidence %+v", g.Now.Evidence)
	}
	g.Got("net.gateway", evidence("net.gateway", "gateway", report.CannotTell, report.Facts{"reason": "timeout"}))
	for range 9 {
		if g.Step == nil {
			break
		}
		if g.Step.Check == "net.gateway" || g.Step.Check == "net.link" {
			t.Fatalf("%s is offered again", g.Step.Check)
		}
		g.Skip()
	}
	if g.Step != nil || len(g.Elsewhere()) != 1 || g.Elsewhere()[0].Check != "fleet.advisory" {
		t.Errorf("at the end: step %+v, elsewhere %+v", g.Step, g.Elsewhere())
	}
	if g.Answer(1, noon) {
		t.Error("an answer was taken after the end")
	}
}

// What is not fitted is not offered; one of two that is there is enough.
func TestWorthwhile(t *testing.T) {
	one := func(check, subject string, status report.Status, reason string) report.Evidence {
		return report.Evidence{Check: check, Subject: subject, Status: status, Facts: report.Facts{"reason": reason}}
	}
	s := report.State{Checks: []string{"modem.sim", "net.dns", "net.link", "net.tcp", "reader.port"}, Evidence: []report.Evidence{
		one("modem.sim", "modem0", report.NotRun, report.ReasonAbsent),
		one("net.dns", "a", report.NotRun, report.ReasonAbsent), one("net.dns", "b", report.OK, ""),
		one("net.tcp", "a", report.CannotTell, report.ReasonTimeout), one("reader.port", "reader0", report.NotRun, report.ReasonInSale),
	}}
	if got, want := strings.Join(Worthwhile(s), " "), "net.dns net.link net.tcp reader.port"; got != want || len(s.Checks) != 5 {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A newer revision comes beneath the answers, another event does not; a new language changes the words only.
func TestGuideGoesOn(t *testing.T) {
	m := guidedModel("en")
	m.until(t, "ask.cable")
	m.press(key{r: '1'})
	d := cutOff()
	d.Revision, d.Evidence = 3, append(d.Evidence, evidence("net.gateway", "gateway", report.Bad, report.Facts{"neighbour": "failed"})...)
	m.gotDiagnosis(d)
	if m.guide.Now.Revision != 3 || !slices.ContainsFunc(m.guide.Now.Evidence,
		func(e report.Evidence) bool { return e.Check == "ask.cable" }) || m.guide.Now.Causes[0].ID != "lan.gateway" {
		t.Errorf("after the final revision: %+v", m.guide.Now)
	}
	other := cutOff()
	other.ID, other.Event.ID, other.Revision = "7c-0000000132", "7c-0000000132", 4
	m.gotDiagnosis(other)
	if m.guide.Now.ID != "7c-0000000131" {
		t.Error("another event took the place of the one that is asked about")
	}
	p := m.guide.Now.Causes[0].Probability
	m.press(key{r: 'l'})
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "路由器没有工作") || strings.Contains(s, "The router") ||
		m.guide.Now.Causes[0].Probability != p {
		t.Errorf("in Chinese: %s", s)
	}
	m.press(key{r: 'g'}) // away, and on with the newest
	m.press(key{r: 'g'})
	if m.guide.Now.ID != "7c-0000000132" {
		t.Error("the guide does not begin with the newest event")
	}
}

// The sentences of a diagnosis follow the language of the screen; nothing else changes.
func TestVerdictInTheScreensLanguage(t *testing.T) {
	m := guidedModel("zh")
	m.guide.Got("net.link", evidence("net.link", "eth0", report.Bad, report.Facts{"carrier": false, "kind": "ethernet"}))
	d := m.guide.Now
	d.Handoff, d.NextTest = "KEPT", nil
	m.state.Last = &d
	m.press(key{r: 'q'})
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "没有网线信号") {
		t.Fatalf("in Chinese: %s", s)
	}
	m.press(key{r: 'l'})
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "no carrier") || hasHan(s) || !strings.Contains(s, "KEPT") {
		t.Errorf("in English: %s", s)
	}
	// Other knowledge might have said something else: then the document is shown as it is.
	other := d
	other.ID, other.Agent.Knowledge = "7c-0000000133", "sha256:other"
	if got := InLanguage(other, m.know, "", "en"); !cmp.Equal(got, other) {
		t.Errorf("a diagnosis of other knowledge was changed:\n%s", cmp.Diff(other, got))
	}
}

func TestGuideIsFrugal(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		m := guidedModel(lang)
		var s screen
		if n := len(s.paint(m.view(), m.cols)); n > 2000 {
			t.Errorf("%s: the guide takes %d bytes", lang, n)
		}
		m.press(key{r: '0'})
		n := len(s.paint(m.view(), m.cols))
		t.Logf("%s: to the next question %d bytes", lang, n)
		if n > 1200 {
			t.Errorf("%s: the next question takes %d bytes", lang, n)
		}
		if n := len(s.paint(m.view(), m.cols)); n != 0 {
			t.Errorf("%s: nothing changed and %d bytes were sent", lang, n)
		}
	}
}

func TestCheckOneOfTheList(t *testing.T) {
	for in, want := range map[string]string{"2": "net.gateway", "net.*": "net.gateway net.link", "modem": "modem.sim", "net.l": "net.link", "99": "", "NET": ""} {
		m := guidedModel("en")
		m.show(screenCheck)
		if a := typeText(m, "9"+in); a.kind != 0 {
			t.Errorf("%q: %+v before Enter", in, a)
		}
		a := m.press(key{r: keyEnter})
		if strings.Join(a.names, " ") != want || (a.kind == actCheck) != (want != "") || (m.note == "") != (want != "") {
			t.Errorf("%q asked for %q, want %q; note %q", in, a.names, want, m.note)
		}
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("net.check-number-%d", i))
	}
	if n := len(checkList(many, rows-frame)); n > rows-frame-2 {
		t.Errorf("%d rows of checks", n)
	}
}

// Every label leaves a blank before what it labels.
func TestLabels(t *testing.T) {
	for _, w := range []codes.Text{wordCode, wordMoney, wordCause, wordElse, wordFor, wordAgainst, wordAct, wordNext,
		wordHandoff, wordSoFar, wordAsk, wordRun, wordGiven, wordElsewhere, wordWatched, wordSince} {
		for _, lang := range []string{"zh", "en"} {
			if n := text.Width(w.In(lang)); n > 8 {
				t.Errorf("label %q is %d columns wide, want at most 8", w.In(lang), n)
			}
		}
	}
}

// BenchmarkGuide is one answer with the product's own knowledge: what a key costs the terminal.
func BenchmarkGuide(b *testing.B) {
	d := cutOff()
	g := NewGuide(d, codes.Builtin(), "", "zh", []string{"net.gateway", "net.link"})
	if g.Step == nil {
		b.Fatal("nothing to ask")
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Skip()
		g.Back()
	}
}

// A question that a check has answered is not asked; its bad news leaves it open, for a person sees more.
func TestWhatACheckAnsweredIsNotAsked(t *testing.T) {
	for status, want := range map[report.Status]bool{report.OK: false, report.Bad: true, report.CannotTell: true} {
		g := NewGuide(cutOff(), guidable(), "", "en", nil)
		g.Got("net.link", evidence("net.link", "eth0", status, report.Facts{"reason": "timeout"}))
		asked := false
		for g.Step != nil {
			asked = asked || g.Step.Check == "ask.cable"
			g.Skip()
		}
		if asked != want && !(status == report.Bad && g.settled()) {
			t.Errorf("net.link %s: the cable is asked for: %v, want %v", status, asked, want)
		}
	}
	k := codes.Builtin()
	for _, a := range answeredBy {
		if _, ok := k.Check(a.check); !ok || !slices.ContainsFunc(k.Inference.Tests,
			func(x codes.Test) bool { return x.Name == a.question }) {
			t.Errorf("%s or %s is unknown", a.question, a.check)
		}
	}
	for _, check := range watched {
		if _, ok := k.Check(check); !ok {
			t.Errorf("%s is unknown", check)
		}
	}
}

// Every answer that is offered is taken, those of the engine's own questions too, and none has a blank in its text.
func TestEveryAnswerOfferedIsTaken(t *testing.T) {
	k := codes.Builtin()
	e := report.Event{ID: "01-0000000001", Time: noon, Code: "96", Origin: report.OriginUnknown}
	profile, _ := k.Profile("unionpay")
	d := diagnose.Explain(e, nil, k, diagnose.Options{Lang: "en", Profile: profile, Final: true})
	questions := map[string]bool{}
	for _, code := range []string{"96", "97", "ConnectError", "CommunicationError", "55", "newpos:E7"} {
		e.Code = code
		d = diagnose.Explain(e, nil, k, diagnose.Options{Lang: "en", Profile: profile, Final: true})
		g := NewGuide(d, k, "unionpay", "en", nil)
		for g.Step != nil {
			question, n := g.Step.Check, len(g.Step.Answers)
			questions[question] = true
			for i := 1; i <= n; i++ {
				if s := strings.Join(g.Lines(cols), "\n"); strings.Contains(s, "..") || strings.Contains(s, "{") {
					t.Errorf("%s: a blank in\n%s", question, s)
				}
				if !g.Answer(i, noon) {
					t.Errorf("%s: answer %d is not taken", question, i)
					continue
				}
				if s := strings.Join(g.Lines(cols), "\n"); strings.Contains(s, "writer.") {
					t.Errorf("an id in\n%s", s)
				}
				g.Back()
			}
			g.Skip()
		}
	}
	if !questions["ask.writer"] || len(questions) < 3 {
		t.Errorf("only %v were asked", questions)
	}
}

// What the terminal notices by itself is taken without a key, once, and said.
func TestTheGuideWatches(t *testing.T) {
	m := guidedModel("en")
	s := m.state
	s.Evidence = []report.Evidence{{Check: "net.link", Subject: "eth0", Status: report.Bad,
		Facts: report.Facts{"carrier": false, "kind": "ethernet"}, At: noon.Add(time.Minute)}}
	m.gotState(s)
	if !strings.Contains(m.note, "seen") || m.guide.Now.Causes[0].ID != "lan.cable" {
		t.Errorf("note %q, first %s", m.note, m.guide.Now.Causes[0].ID)
	}
	n := len(m.guide.given)
	if m.gotState(s); len(m.guide.given) != n {
		t.Error("the same was seen again")
	}
}

// At its end the guide tells what came of it.
func TestTheGuideTellsWhatCameOfIt(t *testing.T) {
	m := guidedModel("en")
	for m.guide.Step != nil {
		m.press(key{r: '0'})
	}
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "make a sale") {
		t.Errorf("nothing is waited for:\n%s", s)
	}
	s := m.state
	s.Outcome = &report.Outcome{Diagnosis: m.guide.Now.ID, Outcome: report.OutcomeBorneOut, Time: noon.Add(time.Hour)}
	m.gotState(s)
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "borne out") {
		t.Errorf("the good sale is not told:\n%s", s)
	}
}
