package console

import (
	"regexp"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// A pair of sayings that no page may hold both of: who reads them does not know what to do.
var contradictions = []struct{ one, other codes.Text }{
	{codes.Text{ZH: "可以马上再试", EN: "safe to try again now"}, codes.Text{ZH: "不要再试", EN: "do not try again"}},
	{codes.Text{ZH: "可以马上再试", EN: "safe to try again now"}, codes.Text{ZH: "先查询", EN: "look up the result"}},
	{codes.Text{ZH: "顾客没有被扣款", EN: "customer was not charged"}, codes.Text{ZH: "可能已被扣款", EN: "may have been charged"}},
	{codes.Text{ZH: "顾客没有被扣款", EN: "customer was not charged"}, codes.Text{ZH: "不清楚顾客是否", EN: "not known whether the customer"}},
	{codes.Text{ZH: "现在再试也不行", EN: "trying now will not"}, codes.Text{ZH: "可以马上再试", EN: "safe to try again now"}},
	{codes.Text{ZH: "不需要谁处理", EN: "nobody has to act"}, codes.Text{ZH: "需要上门", EN: "a visit is needed"}},
	{codes.Text{ZH: "已证实", EN: "confirmed"}, codes.Text{ZH: "证据不足", EN: "the evidence does not decide"}},
}

// What may stand in Latin letters on a Chinese page: names that are the same in every language, and units.
var latin = regexp.MustCompile(`(?i)^(posdx|sha|mbit|apn|sim|tpdu|dns|tls|ssl|pin|pos|wi-?fi|ip|ipv|dhcp|mac|arp|cvv2?|cvn|emv|usb|nfc|ic|app|atm|mtu|ups|dbm?|ms|gsm|lte|ca|ntp|hsm|adsl|esim|vpn|nat|ok|v?lan|puk|volt|mv|mb|kb|gb|crc|io|ping|tcp|syn|http|led|dc|ac|bit|shop|terminal|english|utc|x[0-9]+|rssi|rsrp|sinr|lrc|inode|gprs|ppp|at|cme|cpu|ram|icc|msr|pci|pts|oom|ubi|nand|emmc|sd|udp|rst|mss|icmp|sni|cn|stan|mid|tid)$`)

// actors are all who may have to act.
var actors = []string{"staff", "technician", "acquirer", "carrier", "issuer", "cardholder"}

// Every page that a technician comes to, of every recorded case, read by somebody who knows nothing: one thing to do
// at most, nothing that is taken back a line below, nothing in another language.
func TestPagesReadByAStranger(t *testing.T) {
	word := regexp.MustCompile(`[A-Za-z][A-Za-z-]{2,}`)
	halfWide := regexp.MustCompile(`\p{Han}[,;:!?]`)
	own := ownNames(codes.Builtin())
	ids := regexp.MustCompile(`\b[a-z]+\.[a-z0-9-]+\b|sha256:[0-9a-f]+`)
	for _, lang := range []string{"zh", "en"} {
		pages := 0
		read := func(name, page string, m *model) {
			pages++
			flat := strings.Join(strings.Fields(page), " ")
			if lang == "zh" {
				flat = strings.ReplaceAll(flat, " ", "") // a line may end between any two characters
			}
			for _, c := range contradictions {
				one, other := c.one.In(lang), c.other.In(lang)
				if strings.Contains(strings.ToLower(flat), strings.ToLower(one)) && strings.Contains(strings.ToLower(flat),
					strings.ToLower(other)) {
					t.Errorf("%s-%s: both %q and %q:\n%s", name, lang, one, other, page)
				}
			}
			acts := 0
			for l := range strings.Lines(page) {
				if step, ok := strings.CutPrefix(l, wordAct.In(lang)+" "); ok {
					acts++
					for _, by := range actors { // steps are for who reads them, whoever acts in the end
						if strings.HasPrefix(strings.TrimSpace(step), m.know.Word("actor", by).In(lang)+wordColon.In(lang)) {
							t.Errorf("%s-%s: a step that another is said to do:\n%s", name, lang, page)
						}
					}
				}
			}
			if acts > 1 {
				t.Errorf("%s-%s: %d things to do:\n%s", name, lang, acts, page)
			}
			if lang == "en" && hasHan(page) {
				t.Errorf("%s-en: Chinese:\n%s", name, page)
			}
			if s := halfWide.FindString(flat); lang == "zh" && s != "" {
				t.Errorf("%s-zh: a mark of another script in %q:\n%s", name, s, page)
			}
			if lang == "zh" {
				d := m.spoken()
				if name[0] != '1' { // ids of causes and checks stand beside their names
					page = ids.ReplaceAllString(page, "")
				}
				for _, w := range word.FindAllString(page, -1) {
					if name[0] != '1' && own[w] {
						continue
					}
					if !latin.MatchString(w) && !strings.Contains(d.Event.Code, w) && !strings.Contains(d.Handoff, w) &&
						!strings.Contains(m.state.Terminal, w) && !quoted(d, w) {
						t.Errorf("%s-zh: %q is not Chinese:\n%s", name, w, page)
					}
				}
			}
		}
		scenarios(t, lang, func(name string, m *model) {
			for _, k := range "1d2678e" {
				m.press(key{r: k})
				read(string(k)+" "+name, strings.Join(m.body(), "\n"), m)
			}
			m.press(key{r: 'g'})
			for n := 0; m.guide != nil && n < 8; n++ {
				read("g "+name, strings.Join(m.body(), "\n"), m)
				if m.guide.Step == nil {
					break
				}
				m.press(key{r: '0'})
			}
		})
		if pages < 300 {
			t.Errorf("only %d pages were read", pages)
		}
		t.Logf("%s: %d pages", lang, pages)
	}
}

// The first page sends to the guide where the guide has something, and names what that is; where it has nothing it does
// not.
func TestTheFirstPageSendsToTheGuideWhereItHelps(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		sent, alone := 0, 0
		scenarios(t, lang, func(name string, m *model) {
			m.state.Checks = []string{"net.errors", "net.tcp"}
			d := m.spoken()
			if !d.Abstained {
				return
			}
			flat := func() string {
				page := strings.Join(strings.Fields(strings.Join(m.body(), " ")), " ")
				if lang == "zh" {
					page = strings.ReplaceAll(page, " ", "")
				}
				return page
			}
			page, press := flat(), wordGuideTest.In(lang)
			m.press(key{r: 'g'})
			if m.guide.Step == nil {
				alone++
				if strings.Contains(page, press) {
					t.Errorf("%s: sends to a guide that has nothing:\n%s", name, page)
				}
				return
			}
			sent++
			how := press + m.guide.Step.How
			if lang == "zh" {
				how = strings.ReplaceAll(how, " ", "")
			}
			if !strings.Contains(page, how) {
				t.Errorf("%s: the guide has %q, the page says\n%s", name, how, page)
			}
		})
		if sent == 0 || alone == 0 {
			t.Errorf("%d are sent there, %d are not", sent, alone)
		}
	}
}

// ownNames are what the knowledge calls its tables, topics, families and facts by: they are the same in every language,
// and stand on pages behind the first one only.
func ownNames(k *codes.Knowledge) map[string]bool {
	own := map[string]bool{"code": true, "decode": true, report.Unexplained: true, "none": true}
	for _, s := range k.Schemes {
		for _, w := range regexp.MustCompile(`[A-Za-z-]+`).FindAllString(s.Name, -1) {
			own[w] = true
		}
	}
	for _, p := range k.Inference.Priors {
		own[p.Topic] = true
	}
	for _, s := range k.Inference.Signs {
		own[s.Family], own[s.Name] = true, true
	}
	return own
}

// quoted tells whether a word is a value that was measured: the name of an interface, of a place, of an application.
func quoted(d *report.Diagnosis, w string) bool {
	for _, e := range d.Evidence {
		if strings.Contains(e.Subject, w) {
			return true
		}
		for _, v := range e.Facts {
			if s, ok := v.(string); ok && strings.Contains(s, w) {
				return true
			}
		}
	}
	return false
}
