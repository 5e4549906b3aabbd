package console

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// A guidedFault is a terminal with one fault: what is known when a person comes, what the checks would find, and what
// is the matter.
type guidedFault struct {
	name  string
	event report.Event
	known []report.Evidence
	world []report.Evidence // what a check finds that the guide has run; a check that is not here cannot be run
	truth string
	keys  int // at most, from the first page to the end: G, and one for each step
	// what the terminal sees by itself when it is put right; none where only a sale shows it
	back []report.Evidence
}

func saw(check, subject string, s report.Status, facts report.Facts) report.Evidence {
	return report.Evidence{Check: check, Subject: subject, Status: s, Facts: facts, At: noon, AgeMS: 1000,
		Depth: report.Internal}
}

func guidedFaults() []guidedFault {
	no, yes := false, true
	failed := func(code string) report.Event {
		return report.Event{ID: "01-0000000001", Time: noon, Code: code, Origin: report.OriginTerminal,
			Channel: report.ChannelHook, ClockTrusted: true,
			Txn: &report.Txn{MTI: "0200", Entry: "chip", Sent: &no, HostAnswerSeen: &no}}
	}
	unanswered := saw("txn.answer", "txn", report.Bad, report.Facts{"host_answer_seen": false, "sent": false})
	wire := saw("net.link", "eth0", report.OK, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": true, "flaps_1h": 0.0})
	dead := saw("net.gateway", "gateway", report.Bad, report.Facts{"ip": "192.168.1.1", "neighbour": "failed", "loss_pct": 100.0})
	router := saw("net.gateway", "gateway", report.OK, report.Facts{"ip": "192.168.1.1", "neighbour": "reachable", "rtt_ms": 1.0, "loss_pct": 0.0})
	out := saw("net.tcp", "host-primary", report.Bad, report.Facts{"target": "host-primary", "outcome": "timeout", "ms": 3000.0})
	elsewhere := saw("net.internet", "internet", report.Bad, report.Facts{"target": "internet", "outcome": "timeout", "ms": 3000.0})
	answered := func(code string) report.Event {
		return report.Event{ID: "01-0000000001", Time: noon, Code: code, Origin: report.OriginHost,
			Channel: report.ChannelHook, ClockTrusted: true,
			Txn: &report.Txn{MTI: "0210", Entry: "chip", Sent: &yes, HostAnswerSeen: &yes}}
	}
	noSIM := []report.Evidence{
		saw("modem.port", "modem0", report.OK, report.Facts{"outcome": "ok", "model": "EC200S"}),
		saw("modem.sim", "modem0", report.Bad, report.Facts{"state": "missing"}),
		saw("modem.registration", "modem0", report.Bad, report.Facts{"state": "idle"}),
		saw("modem.bearer", "modem0", report.Bad, report.Facts{"attached": false, "context_active": false}),
		saw("net.link", "wwan0", report.Bad, report.Facts{"iface": "wwan0", "kind": "cellular", "carrier": false, "flaps_1h": 0.0}),
		saw("net.tcp", "host-primary", report.Bad, report.Facts{"target": "host-primary", "outcome": "unreachable", "ms": 1.0}),
	}
	unplugged := []report.Evidence{
		saw("reader.port", "reader0", report.Bad, report.Facts{"outcome": "gone"}),
		saw("reader.usb", "reader0", report.Bad, report.Facts{"disconnects_1h": 1.0}),
		saw("board.kernel", "system", report.Bad, report.Facts{"usb_disconnects_24h": 1.0, "io_errors_24h": 0.0,
			"under_voltage_24h": 0.0, "hung_tasks_24h": 0.0, "oom_24h": 0.0}),
	}
	return []guidedFault{
		{"97-not-registered", answered("97"), []report.Evidence{saw("txn.answer", "txn", report.OK, report.Facts{"host_answer_seen": true, "sent": true})},
			[]report.Evidence{saw("txn.history", "txn", report.OK, report.Facts{"same_code_1h": 3.0, "cards_same_code_1h": 3.0, "approvals_1h": 0.0})}, "terminal.not-registered", 4, nil},
		{"cable-out", failed("ConnectError"), []report.Evidence{unanswered}, []report.Evidence{
			saw("net.link", "eth0", report.Bad, report.Facts{"iface": "eth0", "kind": "ethernet", "carrier": false, "flaps_1h": 1.0}), dead, out, elsewhere}, "lan.cable", 6, []report.Evidence{wire}},
		{"router-dead", failed("ConnectError"), []report.Evidence{unanswered, wire}, []report.Evidence{wire, dead, out, elsewhere}, "lan.gateway", 6, nil},
		{"line-down", failed("ConnectError"), []report.Evidence{unanswered, wire, router}, []report.Evidence{wire, router, out, elsewhere}, "wan.outage", 6, nil},
		{"one-card", failed("newpos:E12"), []report.Evidence{unanswered, saw("txn.history", "txn", report.OK, report.Facts{"same_code_1h": 1.0, "cards_same_code_1h": 1.0, "approvals_1h": 3.0})},
			nil, "card.damaged", 6, nil},
		{"reader-dirty", failed("newpos:E12"), []report.Evidence{unanswered, saw("reader.port", "reader0", report.CannotTell, report.Facts{"reason": "in-use"}),
			saw("txn.history", "txn", report.OK, report.Facts{"same_code_1h": 4.0, "cards_same_code_1h": 3.0, "approvals_1h": 3.0})}, nil, "reader.dirty", 6, nil},
		// What the checks have confirmed nobody is asked about: the guide begins with what to do.
		{"sim-missing", failed("ConnectError"), append(noSIM, unanswered), noSIM, "modem.sim", 1, []report.Evidence{
			saw("modem.sim", "modem0", report.OK, report.Facts{"state": "ready"})}},
		{"reader-unplugged", failed("mpt:drv-icc"), append(unplugged, unanswered), unplugged, "reader.disconnected", 1, []report.Evidence{
			saw("reader.usb", "reader0", report.OK, report.Facts{"disconnects_1h": 1.0}),
			saw("reader.port", "reader0", report.OK, report.Facts{"outcome": "ok"})}},
	}
}

// guidedRun goes through the guide as an honest person would, and writes down every screen's question, what it was
// worth, the true answer, and the ranking after it.
func guidedRun(t *testing.T, f guidedFault, lang string) (page string, keys int, g *Guide) {
	k := codes.Builtin()
	profile, _ := k.Profile("unionpay")
	d := diagnose.Explain(f.event, f.known, k, diagnose.Options{Lang: lang, Profile: profile, Revision: 2, Final: true})
	var checks []string
	for _, e := range f.world {
		checks = append(checks, e.Check)
	}
	g = NewGuide(d, k, "unionpay", lang, checks)
	g.Contacts = Contacts{Acquirer: "95516", Carrier: "10086", Service: "400-820-8820"}
	var b strings.Builder
	ranking := func() {
		for _, c := range g.Now.Causes[:min(3, len(g.Now.Causes))] {
			fmt.Fprintf(&b, "      %s\n", text.Clean(g.chance(chance{c.ID, c.Probability})))
		}
	}
	fmt.Fprintf(&b, "%s\nknowledge %s\n\nG\n", f.name, k.Hash)
	ranking()
	keys = 1
	for g.Step != nil && keys < 20 {
		s := *g.Step
		before := chanceIn(&g.Now, f.truth)
		fmt.Fprintf(&b, "\n%s\n   %.2f bit, %g s\n", text.Clean(s.How), s.GainBits, s.CostS)
		keys++
		if s.GainBits < 0.1 {
			t.Errorf("%s: %s is asked for %.3f bits", f.name, s.Check, s.GainBits)
		}
		switch answer := trueAnswer(s.Check, f.truth); {
		case !g.Asks():
			list := slices.DeleteFunc(slices.Clone(f.world), func(e report.Evidence) bool { return e.Check != s.Check })
			fmt.Fprintf(&b, "   1  %s", wordRunNow.In(lang))
			for _, e := range list {
				fmt.Fprintf(&b, ": %s %s", checkTitle(k, e.Check, lang), StatusWord(e.Status, lang))
			}
			b.WriteByte('\n')
			g.Got(s.Check, list)
		case answer == "":
			fmt.Fprintf(&b, "   0  %s\n", wordSkip.In(lang))
			g.Skip()
		default:
			i := slices.IndexFunc(s.Answers, func(a diagnose.Answer) bool { return a.Sign == answer })
			if i < 0 {
				t.Fatalf("%s: %s does not offer %s", f.name, s.Check, answer)
			}
			fmt.Fprintf(&b, "   %d  %s\n", i+1, text.Clean(g.saying(answer, s.Answers[i].Say)))
			g.Answer(i+1, noon)
		}
		if after := chanceIn(&g.Now, f.truth); after < before-0.005 {
			t.Errorf("%s: %s lowers the right cause from %.3f to %.3f", f.name, s.Check, before, after)
		}
		ranking()
	}
	fmt.Fprintf(&b, "\n%s: %d\n\n", codes.Text{ZH: "按键", EN: "keys"}.In(lang), keys)
	show := func() {
		for _, l := range g.Lines(cols) {
			b.WriteString(strings.TrimRight(l, " ") + "\n")
		}
	}
	show()
	if f.back == nil {
		return b.String(), keys, g
	}
	if len(g.ill()) == 0 {
		t.Errorf("%s: nothing is watched at the end:\n%s", f.name, b.String())
	}
	for i, e := range f.back {
		e.At = noon.Add(time.Duration(i+1) * time.Minute)
		before := g.Now.Causes[0]
		if seen := g.Seen([]report.Evidence{e}); len(seen) != 1 || g.Now.Causes[0].ID != before.ID {
			t.Errorf("%s: %s is back, seen %v, first cause %s", f.name, e.Check, seen, g.Now.Causes[0].ID)
		}
	}
	b.WriteString("\n\n")
	show()
	b.WriteString("\n\n")
	g.Became = &report.Outcome{Diagnosis: g.Now.ID, Cause: f.truth, Outcome: report.OutcomeBorneOut,
		Check: f.back[0].Check, Time: noon.Add(5 * time.Minute)}
	if show(); strings.Contains(b.String()[strings.LastIndex(b.String(), "\n\n"):], wordWatch.In(lang)) {
		t.Errorf("%s: after a good sale it waits for one:\n%s", f.name, b.String())
	}
	return b.String(), keys, g
}

// course is what is asked and answered, without what every fitting of the weights changes: rankings and gains, and
// the verdict at the end. That these are right is held elsewhere.
func course(page string) string {
	page, _, _ = strings.Cut(page, "\n\n"+codes.Text{ZH: "按键", EN: "keys"}.In(pageLang(page)))
	return regexp.MustCompile(`(?m)^ +[0-9.]+(% | bit).*\n`).ReplaceAllString(page+"\n", "")
}

func pageLang(page string) string {
	if hasHan(page) {
		return "zh"
	}
	return "en"
}

// The guide leads through faults to the right cause, in few keys, as the pages in testdata/guided show.
func TestGuidedRuns(t *testing.T) {
	for _, f := range guidedFaults() {
		for _, lang := range []string{"zh", "en"} {
			t.Run(f.name+"-"+lang, func(t *testing.T) {
				got, keys, g := guidedRun(t, f, lang)
				if first := g.Now.Causes[0].ID; first != f.truth || keys > f.keys || g.Step != nil {
					t.Errorf("ends with %s after %d keys, want %s after at most %d:\n%s", first, keys, f.truth, f.keys, got)
				}
				file := filepath.Join("testdata", "guided", f.name+"-"+lang+".txt")
				if *update {
					os.MkdirAll(filepath.Dir(file), 0o755)
					os.WriteFile(file, []byte(got), 0o644)
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if by := strings.Split(string(want), "\n")[1]; by != strings.Split(got, "\n")[1] {
					t.Logf("%s was written by other knowledge; -update writes it anew", file)
					return
				}
				if d := cmp.Diff(course(string(want)), course(got)); d != "" {
					t.Errorf("the run differs from %s (-update writes it):\n%s", file, d)
				}
			})
		}
	}
}

// For a 97 of an unregistered terminal the whole way takes four keys at most, by either road: the code of a sale, or
// one that a person types.
func TestTheWayToA97(t *testing.T) {
	f := guidedFaults()[0]
	k := codes.Builtin()
	profile, _ := k.Profile("unionpay")
	d := diagnose.Explain(f.event, f.known, k, diagnose.Options{Lang: "en", Profile: profile, Revision: 2, Final: true})
	whole := func(m *model, money string) {
		t.Helper()
		page := strings.Join(m.view(), "\n")
		for _, want := range []string{"not registered", money, "95516", "Hand-off"} {
			if !strings.Contains(strings.Join(strings.Fields(page), " "), want) {
				t.Errorf("no %q in\n%s", want, page)
			}
		}
	}
	sale := emptyModel("en", k, Contacts{Acquirer: "95516"})
	sale.gotState(report.State{Time: noon, ClockTrusted: true, Profile: "unionpay", Last: &d, Evidence: f.known})
	whole(&sale, "was not charged") // Enter, where the line waits, was the only key
	sale.press(key{r: 'g'})
	for sale.guide.Step != nil && len(sale.guide.given) < 3 {
		sale.press(key{r: '1'})
	}
	if sale.guide.Step != nil || sale.guide.Now.Causes[0].ID != f.truth {
		t.Errorf("the guide asks on: %+v", sale.guide.Step)
	}
	typed := emptyModel("en", k, Contacts{Acquirer: "95516"})
	typed.gotState(report.State{Time: noon, ClockTrusted: true, Profile: "unionpay"})
	keys := "497\r"
	for _, r := range keys {
		if a := typed.press(key{r: r}); a.kind == actDiagnose {
			asked := d
			asked.Event.Origin, asked.Asked = report.OriginUnknown, true
			typed.gotDiagnosis(diagnose.Explain(asked.Event, nil, k, diagnose.Options{Lang: "en", Profile: profile, Final: true}))
		}
	}
	whole(&typed, "Do not try again") // that nobody was charged is not said before somebody says who shows the code
	if len(keys) >= 5 || len(sale.guide.given)+2 >= 5 {
		t.Errorf("%d and %d keys", len(keys), len(sale.guide.given)+2)
	}
}
