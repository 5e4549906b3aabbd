package console

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posdx/agent/diagnose"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// scenarios are the recorded cases of the engine, each as a terminal with the knowledge in force would show it.
func scenarios(t *testing.T, lang string, each func(name string, m *model)) {
	t.Helper()
	files, _ := filepath.Glob("../../diagnose/testdata/cases/*.json")
	if len(files) < 40 {
		t.Fatalf("%d cases", len(files))
	}
	k := codes.Builtin()
	profile, _ := k.Profile("unionpay")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Event    report.Event
			Evidence []report.Evidence
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		d := diagnose.Explain(c.Event, c.Evidence, k, diagnose.Options{Lang: lang, Profile: profile, Revision: 2,
			Final: true})
		m := emptyModel(lang, k, Contacts{Acquirer: "95516", Carrier: "10086", Service: "400-820-8820"})
		m.gotState(report.State{Time: c.Event.Time, ClockTrusted: true, Terminal: "shop-0123/terminal-0042", Profile: "unionpay", Last: &d,
			Uplink: report.Uplink{Waiting: 12}, Evidence: c.Evidence})
		each(strings.TrimSuffix(filepath.Base(file), ".json"), &m)
	}
}

// The first page fits into a second at 9600 baud, whatever happened: one thing to do, three proofs at most, whom to
// call.
func TestFirstPageOfEveryScenario(t *testing.T) {
	ids := regexp.MustCompile(`\b(net|modem|reader|pinpad|printer|board|app|txn|fleet|ask|host|lan|wan|terminal|card|account|issuer)\.[a-z]`)
	facts := regexp.MustCompile(`[a-z_]+=`)
	for _, lang := range []string{"zh", "en"} {
		most, calls, abstained := 0, 0, 0
		scenarios(t, lang, func(name string, m *model) {
			var s screen
			n := len(s.paint(m.view(), m.cols)) + askBytes
			most = max(most, n)
			if n > firstBytes {
				t.Errorf("%s-%s: the first page takes %d bytes, want at most %d", name, lang, n, firstBytes)
			}
			body := m.body()
			page := strings.Join(body, "\n")
			count := func(w codes.Text) (n int) {
				for _, l := range body {
					if strings.HasPrefix(l, w.In(lang)+" ") {
						n++
					}
				}
				return n
			}
			d := m.spoken()
			acts := 1
			if d.Causes[0].ID == "none" {
				acts = 0
			}
			who := acts
			if d.Abstained {
				who = 0
			}
			if count(wordWho) != who || count(wordAct) != acts ||
				count(wordMoney) != 1 || count(wordCause) != 1 || count(wordCode) != 1 ||
				count(wordHandoff) != 1 {
				t.Errorf("%s-%s: want one code, money, cause, hand-off code and %d acts:\n%s", name, lang, acts, page)
			}
			if strings.Contains(page, "2. ") {
				t.Errorf("%s-%s: a second step:\n%s", name, lang, page)
			}
			if len(body) > rows-frame {
				t.Errorf("%s-%s: %d lines", name, lang, len(body))
			}
			if bad := ids.FindString(page); bad != "" || facts.MatchString(page) {
				t.Errorf("%s-%s: an id or a raw fact (%s) on the first page:\n%s", name, lang, bad, page)
			}
			if lang == "en" && hasHan(strings.Join(m.view()[:rows-1], "")) {
				t.Errorf("%s-%s: untranslated:\n%s", name, lang, page)
			}
			for _, number := range []string{m.contacts.Acquirer, m.contacts.Carrier, m.contacts.Service} {
				calls += strings.Count(page, number)
			}
			if d.Abstained {
				abstained++
				if count(wordFor) != 0 || len(d.CannotSeparate) > 0 && count(wordLeft) != 1 {
					t.Errorf("%s-%s: abstained, want what remains and no proofs:\n%s", name, lang, page)
				}
			} else if sure := text.Percent(d.Causes[0].Probability); acts > 0 &&
				!strings.Contains(strings.Join(strings.Fields(page), " "), sure) {
				t.Errorf("%s-%s: no probability:\n%s", name, lang, page)
			}
		})
		t.Logf("%s: the largest first page takes %d bytes", lang, most)
		if calls == 0 || abstained == 0 {
			t.Errorf("%s: %d pages name whom to call, %d abstain; the cases prove too little", lang, calls, abstained)
		}
	}
}

// Whom the page says to call is whom the steps say to call.
func TestWhomToCallIsWhomTheStepsSay(t *testing.T) {
	asked := map[string]int{}
	for _, c := range codes.Builtin().Causes {
		steps := c.StepsFor("").EN
		who, _ := Contacts{}.of(c.Act, c.Remedies)
		for phrase, want := range map[string]string{"call the acquirer": "acquirer", "call the service provider": "technician"} {
			if c.Act == "staff" && strings.Contains(steps, phrase) {
				asked[want]++
				if who != want {
					t.Errorf("%s: the page sends to %q, the steps say %q", c.ID, who, phrase)
				}
			}
		}
	}
	if asked["acquirer"] < 3 || asked["technician"] < 3 {
		t.Errorf("%v: the catalogue proves too little", asked)
	}
}

// Without a number stored the line says so, spaced as each language does.
func TestNoNumberIsStored(t *testing.T) {
	for lang, want := range map[string]string{"zh": "店员；不行就找技术人员（本机没有存号码）", "en": "(no number is stored here)"} {
		got := whoActs(report.Act{By: "staff"}, nil, Contacts{}, lang)
		if !strings.HasSuffix(got, want) || lang == "en" && !strings.Contains(got, " (") {
			t.Errorf("%s: %q, want %q", lang, got, want)
		}
	}
}
