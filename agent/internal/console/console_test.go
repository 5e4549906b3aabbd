package console

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"posdx/agent/internal/say"
	"posdx/agent/internal/sshsig"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// lost is what a client says of a daemon that is not there.
var lost = say.New("no-daemon", say.New("no-daemon-word"), "/run/posdx/hook.sock")

var update = flag.Bool("update", false, "write the golden screens")

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func someState() report.State {
	d := report.Diagnosis{
		ID: "7c-000000012f", Revision: 2, Final: true, Repeats: 2,
		Event: report.Event{ID: "7c-000000012f", Code: "96", Time: noon, Origin: report.OriginHost},
		Code:  report.CodeInfo{Scheme: "unionpay", Code: "96", Known: true, Meaning: "系统异常"},
		Money: report.Money{State: report.MoneyDeclined, Retry: report.RetryLater},
		Causes: []report.Cause{
			{ID: "host.malfunction", Segment: "acquirer", Probability: 0.86, Verdict: "likely", Act: report.Act{By: "acquirer", Step: "联系收单机构"}, Title: "处理中心故障",
				For:     []report.Reason{{Check: "txn.answer", Say: "主机 0.8 秒内应答"}, {Check: "fleet.advisory", Say: "同一收单机构 412 台终端都见到 96"}, {Check: "net.tcp", Say: "41 毫秒接通"}, {Check: "net.dns", Say: "第四条不显示"}},
				Against: []report.Reason{{Check: "app.version", Say: "应用不是最新版本"}}},
			{ID: "switch.malfunction", Probability: 0.08, Verdict: "possible", Title: "转接故障"},
			{ID: report.Unexplained, Probability: 0.06, Verdict: "indeterminate"},
		},
		NextTest: &report.NextTest{Check: "net.tcp", How: "换备用线路再试"}, Handoff: "K7QF-3MXP-9TWA",
	}
	return report.State{
		Time: noon.Add(3 * time.Second), ClockTrusted: true, Terminal: "shop/t1", Checks: []string{"net.tcp", "reader.port"},
		Uplink: report.Uplink{Waiting: 3}, InSale: true, Last: &d,
		Evidence: []report.Evidence{
			{Check: "net.tcp", Subject: "host-primary", Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 41.25}},
			{Check: "reader.port", Subject: "reader0", Status: report.Bad, Facts: report.Facts{"outcome": "gone", "model": "GemPC Twin"}},
			{Check: "modem.sim", Subject: "modem0", Status: report.CannotTell, Facts: report.Facts{"reason": "in-use"}},
			{Check: "printer.status", Subject: "printer0", Status: report.NotRun, Facts: report.Facts{"reason": "absent"}},
		},
	}
}

// know is knowledge of the test's own: the golden screens must not change with every sentence of the catalogue.
func know() *codes.Knowledge {
	return &codes.Knowledge{
		Schemes: []codes.Scheme{{Name: "channel-cn"}, {Name: "unionpay"}},
		Meanings: []codes.Meaning{
			{Scheme: "channel-cn", Code: "97", Text: codes.Text{ZH: "终端号未登记", EN: "Terminal not registered"}},
			{Scheme: "unionpay", Code: "96", Text: codes.Text{ZH: "银联处理中心系统异常或维护", EN: "The processing centre is at fault or in maintenance"}, Class: "C"},
			{Scheme: "unionpay", Code: "97", Text: codes.Text{ZH: "终端未登记：中心或银行找不到这个终端号，请联系收单机构核对", EN: "Terminal not registered: centre or bank does not know this terminal number"}, Class: "D", Disputed: true},
		},
		Causes: []codes.Cause{
			{ID: "host.malfunction", Title: codes.Text{ZH: "收单机构处理中心故障或维护", EN: "The acquirer's processing centre is at fault or in maintenance"},
				Steps: []codes.Step{
					{Text: codes.Text{ZH: "等几分钟再试。", EN: "Wait some minutes and try again."}},
					{Text: codes.Text{ZH: "仍不行就打收单机构客服，报应答码、终端号和时间，问是否在维护。", EN: "If it goes on, call the acquirer, give code, terminal number and time, and ask about maintenance."}},
				}},
			{ID: "switch.malfunction", Title: codes.Text{ZH: "转接故障", EN: "The payment network is at fault"}},
			{ID: "unexplained", Title: codes.Text{ZH: "原因不明", EN: "Cause unknown"}},
			{ID: "wan.outage", Title: codes.Text{ZH: "外网中断", EN: "Nothing beyond the router"}},
		},
		Inference: codes.Inference{Tests: []codes.Test{{Name: "net.tcp", Text: codes.Text{ZH: "换备用线路再试", EN: "try over the other line"}}}},
	}
}

// withPast gives the model a history of three.
func withPast(m *model) {
	var list []report.Diagnosis
	for i, code := range []string{"96", "97", "newpos:E7"} {
		d := *someState().Last
		d.ID, d.Event.Code, d.Event.Time = fmt.Sprintf("7c-%010x", 0x130-i), code, noon.Add(-time.Duration(i)*time.Hour)
		d.Abstained = i == 2
		list = append(list, d)
	}
	m.gotPast(list)
}

func newModel(lang string) *model {
	m := emptyModel(lang, know(), Contacts{Acquirer: "95516", Service: "400-820-8820"})
	st := someState()
	if lang == "en" {
		saidInEnglish(st.Last)
	}
	m.gotState(st)
	return &m
}

// saidInEnglish is a diagnosis as a daemon writes it that was asked in English.
func saidInEnglish(d *report.Diagnosis) {
	says := map[string]string{"txn.answer": "the host answered in 0.8 s", "net.tcp": "connected in 41 ms",
		"fleet.advisory": "412 terminals of this acquirer saw 96", "net.dns": "a fourth is not shown", "app.version": "the application is not the latest"}
	for _, reasons := range [][]report.Reason{d.Causes[0].For, d.Causes[0].Against} {
		for i := range reasons {
			reasons[i].Say = says[reasons[i].Check]
		}
	}
}

func typeText(m *model, s string) (last action) {
	for _, r := range s {
		last = m.press(key{r: r})
	}
	return last
}

// TestWhatCannotBeReadIsNotEmpty: where nobody can tell what is kept, the page does not say that nothing is.
func TestWhatCannotBeReadIsNotEmpty(t *testing.T) {
	m := newModel("en")
	m.press(key{r: '7'})
	if page := strings.Join(m.view(), "\n"); !strings.Contains(page, wordNoPast.In("en")) {
		t.Fatalf("nothing is kept:\n%s", page)
	}
	m.pastUnread = true
	if page := strings.Join(m.view(), "\n"); strings.Contains(page, wordNoPast.In("en")) {
		t.Errorf("nothing could be read:\n%s", page)
	}
}

// TestWhoMayNotAskIsToldSo: a user without the right to ask is not told that the service is down, nor to start it.
func TestWhoMayNotAskIsToldSo(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		m := newModel(lang)
		m.gone = say.New("ask-closed", "/run/posdx/hook.sock", "/run/posdx/hook.sock")
		page := strings.Join(m.view(), "\n")
		if strings.Contains(page, "systemctl") || !strings.Contains(page, "root") {
			t.Errorf("%s:\n%s", lang, page)
		}
	}
}

// TestACardTypedIsTold: who types a card number on to Enter, without looking, is told that it was thrown away.
func TestACardTypedIsTold(t *testing.T) {
	for _, page := range []rune{'4', '5'} {
		m := newModel("en")
		typeText(m, string(page)+"4111111111111111")
		m.press(key{r: keyEnter})
		if m.note != wordNoCard.In("en") || m.entry != "" || !m.entering() {
			t.Errorf("page %c: note %q, entry %q, still entering: %v", page, m.note, m.entry, m.entering())
		}
	}
}

func TestScreens(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		for _, c := range []struct {
			name string
			set  func(*model)
		}{
			{"verdict", func(m *model) {}},
			{"nothing", func(m *model) { m.state = report.State{Time: noon, Terminal: "shop/t1", ClockTrusted: true} }},
			{"details", func(m *model) { m.press(key{r: 'd'}) }},
			{"facts", func(m *model) { typeText(m, "2"); m.press(key{r: keyEnter}) }},
			{"history", func(m *model) { withPast(m); typeText(m, "7j") }},
			{"found", func(m *model) { withPast(m); typeText(m, "7/97\r") }},
			{"past", func(m *model) { withPast(m); typeText(m, "7j\r") }},
			{"checked-one", func(m *model) {
				m.press(key{r: '3'})
				m.press(key{r: '0'})
				m.gotResults(m.state.Evidence)
				typeText(m, "j\r")
			}},
			{"ledger-in-the-other", func(m *model) {
				d := cutOff()
				m.know, m.state.Last = guidable(), &d
				m.press(key{r: 'e'})
				m.press(key{r: 'l'})
			}},
			{"path", func(m *model) {
				m.state.Last, m.state.Evidence = nil, but(saw("modem.sim", "modem0", report.CannotTell, report.Facts{"reason": "in-use"}),
					saw("net.tcp", "host-primary", report.Bad, report.Facts{"outcome": "timeout", "ms": 3000.0}),
					saw("net.tls", "host-primary", report.NotRun, report.Facts{"reason": "masked"}), unknownOf("net.path", "host-primary"),
					saw("txn.answer", "txn", report.Bad, report.Facts{"host_answer_seen": false, "sent": false}))
				m.press(key{r: screenPath})
			}},
			{"locked", func(m *model) { m.locked = true }},
			{"hidden", func(m *model) { m.locked, m.hidden = true, true }},
			{"pin", func(m *model) { m.locked, m.pin = true, true; typeText(m, "12") }},
			{"pin-or-key", func(m *model) {
				m.locked, m.pin, m.key, m.challenge = true, true, true, "t1@20261121T1200Z-K7QZJ4M2XW5RT6YB3NHC"
				typeText(m, "12")
			}},
			{"key", func(m *model) {
				m.locked, m.key, m.challenge = true, true, "t1@20261121T1200Z-K7QZJ4M2XW5RT6YB3NHC"
				typeText(m, sshsig.Begin+"\rU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgh0\rAAAA")
			}},
			{"gone", func(m *model) { m.gone = lost }},
			{"no-such-key", func(m *model) { m.press(key{r: 'x'}) }},
			{"abstained", func(m *model) {
				m.state.Last.Abstained, m.state.Last.CannotSeparate = true, []string{"host.malfunction", "switch.malfunction"}
			}},
			{"unknown", func(m *model) {
				m.state.Last.Code = report.CodeInfo{Code: "9997"}
				m.state.Last.Event.Code = "9997"
			}},
			{"devices", func(m *model) { m.press(key{r: '2'}) }},
			{"check", func(m *model) { m.press(key{r: '3'}) }},
			{"checked", func(m *model) { typeText(m, "3a"); m.gotResults(m.state.Evidence) }},
			{"one", func(m *model) {
				m.state.Checks = []string{"app.process", "board.clock", "modem.registration", "net.dns", "net.tcp"}
				typeText(m, "39net.")
			}},
			{"ledger", func(m *model) {
				d := cutOff()
				m.know, m.state.Last = guidable(), &d
				m.press(key{r: 'e'})
			}},
			{"enter", func(m *model) { typeText(m, "4\x15A0") }},
			{"lookup", func(m *model) { typeText(m, "597\r") }},
			{"handoff", func(m *model) { m.press(key{r: '6'}) }},
			{"help", func(m *model) { m.press(key{r: '?'}) }},
			{"failed", func(m *model) { m.failed(lost) }},
		} {
			t.Run(c.name+"-"+lang, func(t *testing.T) {
				m := newModel(lang)
				c.set(m)
				golden(t, c.name+"-"+lang, m)
			})
		}
	}
}

// vt is a VT100 as far as the console uses one; anything else fails the test.
type vt struct {
	cell     [rows][cols + 1]rune
	row, col int
}

func (v *vt) write(b []byte) error {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if rest, ok := bytes.CutPrefix(b, []byte("\x0f\x1b(B\x1b>\x1b[r")); ok { // a VT100 whose state is the usual one
			b, v.row, v.col = rest, 0, 0
			continue
		}
		if r == 0x1b {
			end := bytes.IndexFunc(b[2:], func(r rune) bool { return r >= 0x40 }) + 3
			switch seq := string(b[:end]); {
			case seq == "\x1b[0m":
			case seq == "\x1b[2J":
				v.cell = [rows][cols + 1]rune{}
			case seq == "\x1b[6n":
			case seq == "\x1b[K":
				clear(v.cell[v.row][v.col:])
			case strings.HasSuffix(seq, "H"):
				if _, err := fmt.Sscanf(seq, "\x1b[%d;%dH", &v.row, &v.col); err != nil {
					return err
				}
				v.row, v.col = v.row-1, v.col-1
			default:
				return fmt.Errorf("sequence %q", seq)
			}
			b = b[end:]
			continue
		}
		if r == '\r' || r == '\n' {
			if b = b[1:]; r == '\r' {
				v.col = 0
			} else if v.row++; v.row >= rows {
				return errors.New("the screen scrolls")
			}
			continue
		}
		if r < 0x20 || v.col+text.Columns(r) > cols || v.row >= rows {
			return fmt.Errorf("%q at row %d, column %d", r, v.row+1, v.col+1)
		}
		v.cell[v.row][v.col] = r
		if text.Columns(r) == 2 {
			v.cell[v.row][v.col+1] = -1
		}
		v.col += text.Columns(r)
		b = b[n:]
	}
	return nil
}

func (v *vt) lines() []string {
	lines := make([]string, rows)
	for i, row := range v.cell {
		var s strings.Builder
		for _, r := range row {
			switch r {
			case 0:
				s.WriteByte(' ')
			case -1:
			default:
				s.WriteRune(r)
			}
		}
		lines[i] = strings.TrimRight(s.String(), " ")
	}
	return lines
}

// Whatever screens follow each other, the terminal shows the last one.
func TestPaintShowsTheScreen(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab 12中文，。A")), 0, 39, -1)
	rapid.Check(t, func(t *rapid.T) {
		var s screen
		var v vt
		for range rapid.IntRange(1, 6).Draw(t, "screens") {
			lines := make([]string, rows)
			for i := range lines {
				if rapid.Bool().Draw(t, "set") {
					lines[i] = text.Draw(t, "line")
				}
			}
			if err := v.write(s.paint(lines, cols)); err != nil {
				t.Fatal(err)
			}
			for i := range lines {
				lines[i] = strings.TrimRight(lines[i], " ")
			}
			if d := cmp.Diff(lines, v.lines()); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// At 9600 baud a second is 960 bytes.
func TestPaintIsFrugal(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		m := newModel(lang)
		var s screen
		first := len(s.paint(m.view(), m.cols))
		t.Logf("%s: first verdict %d bytes", lang, first)
		if first > firstBytes-askBytes {
			t.Errorf("%s: the first screen takes %d bytes", lang, first)
		}
		if n := len(s.paint(m.view(), m.cols)); n != 0 {
			t.Errorf("%s: nothing changed and %d bytes were sent", lang, n)
		}
		m.state.Time = m.state.Time.Add(time.Minute)
		if n := len(s.paint(m.view(), m.cols)); n > 120 {
			t.Errorf("%s: a minute passed and %d bytes were sent", lang, n)
		}
		m.press(key{r: '2'})
		t.Logf("%s: to the devices %d bytes", lang, len(s.paint(m.view(), m.cols)))
		m.state.Evidence[0].Status = report.Bad
		if n := len(s.paint(m.view(), m.cols)); n > 400 {
			t.Errorf("%s: one check changed and %d bytes were sent", lang, n)
		}
		m.press(key{r: '4'})
		s.paint(m.view(), m.cols)
		m.press(key{r: '7'})
		if n := len(s.paint(m.view(), m.cols)); n > 20 {
			t.Errorf("%s: a key was typed and %d bytes were sent", lang, n)
		}
	}
}

// No text from elsewhere steers the terminal.
func TestHostileTextStaysText(t *testing.T) {
	m := newModel("en")
	evil := "\x1b[2J\x07\r\n\u009b31m"
	d := m.state.Last
	d.Event.Code, d.Code.Meaning, d.Handoff, d.Causes[0].Title, d.Causes[0].ID = evil, evil, evil, evil, evil
	d.Causes[0].For[0].Say, d.NextTest.How, d.Money.State, d.Causes[0].Act.By = evil, evil, evil, evil
	m.state.Terminal = evil
	m.state.Evidence[0].Facts = report.Facts{evil: evil, "a": []string{evil}}
	m.state.Evidence[0].Subject = evil
	m.failed(errors.New(evil))
	m.know, d.Event.Code, m.state.Checks = guidable(), evil, []string{evil}
	d.Evidence = append(d.Evidence, report.Evidence{Check: "net.link", Subject: evil, Status: report.Bad,
		Facts: report.Facts{"carrier": false, evil: evil}})
	m.press(key{r: 'g'})
	m.guide.Got(m.guide.Step.Check, []report.Evidence{{Check: m.guide.Step.Check, Subject: evil, Status: report.Bad,
		Facts: report.Facts{evil: evil}}})
	for _, k := range "12637?deg39" {
		m.press(key{r: k})
		m.note = text.Clean(evil)
		for _, l := range m.view() {
			if strings.ContainsFunc(l, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
				t.Errorf("screen %c: control characters in %q", k, l)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a1", "a 1"}, {"\r\n", "13"}, {"\n", "13"}, {"\r\r", "13 13"}, {"\x1b[A\x1bOPx", "-2 -8 x"}, {"\x1b[24;3R", "-1:24:3"}, {"\x1bq", "q"}, {"\x1b[5~\x1b[6~\x1bOB", "-4 -5 -3"}, {"\x1b[3~", "-8"}, {"\x1b[3R", "-8"}, {"\x1b[1\x1b[Bq", "-3 q"},
		{"\x00\x00\xff\x80q", "q"}, {"\x1b[" + strings.Repeat("1", 100) + "q", ""}, {"\x1b\x1b[Aq", "27 -2 q"}, {"\x1b[1;\x00q", "q"}, {"\b\x7f", "127 127"},
	} {
		var d decoder
		var got []string
		for i := range len(c.in) {
			if k, ok := d.push(c.in[i]); ok {
				switch {
				case k.r == keyCursor:
					got = append(got, fmt.Sprintf("%d:%d:%d", k.r, k.row, k.column))
				case k.r > 0x20 && k.r < 0x7f:
					got = append(got, string(k.r))
				default:
					got = append(got, fmt.Sprint(int(k.r)))
				}
			}
		}
		if c.in[0] == 0x1b && strings.Contains(c.in, "1111") {
			got = nil // the rest of a sequence that is too long may come out as keys; it must only end
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: got %q, want %q", c.in, s, c.want)
		}
	}
}

// What the keys of terminal programs send, each in its usual setting: PuTTY's manual (the terminal keyboard panel) and
// its rxvt and SCO choices, SecureCRT's VT100 and Linux key maps, the terminfo entries of xterm, screen and tmux,
// linux, and minicom, which sends what the terminal that it runs in does.
func TestKeysOfTerminalPrograms(t *testing.T) {
	const up, down, home, end, pageUp, pageDown = keyUp, keyDown, keyHome, keyEnd, keyPageUp, keyPageDown
	for program, sends := range map[string]map[string]rune{
		"PuTTY": {"\x1b[A": up,
			"\x1b[B": down, "\x1bOA": up, "\x1bOB": down, "\x1b[1~": home, "\x1b[4~": end, "\x1b[5~": pageUp,
			"\x1b[6~": pageDown, "\x7f": keyBackspace, "\x1b[11~": keyOther, "\x1b[2~": keyOther, "\x1b[3~": keyOther,
			"\x1b[C": keyOther},
		"PuTTY, rxvt keys":  {"\x1b[H": home, "\x1bOw": keyOther, "\x1b[7~": home, "\x1b[8~": end},
		"PuTTY, Linux keys": {"\x1b[[A": keyOther, "\x1b[[E": keyOther},
		"PuTTY, SCO keys":   {"\x1b[H": home, "\x1b[F": end, "\x1b[M": keyOther},
		"SecureCRT, VT100": {"\x1b[A": up,
			"\x1bOA": up, "\x1bOP": keyOther, "\x1bOS": keyOther, "\b": keyBackspace, "\x1b[1~": home, "\x1b[4~": end},
		"xterm": {"\x1bOA": up, "\x1b[1;5A": up, "\x1bOH": home, "\x1bOF": end, "\x1b[5~": pageUp, "\x1b[6;2~": keyOther, "\x1bOP": keyOther,
			"\x1b[15~": keyOther, "\x1b[200~": keyOther, "\x1b[Z": keyOther},
		"screen and tmux": {"\x1bOA": up, "\x1b[1~": home, "\x1b[4~": end, "\x1b[5~": pageUp, "\x1b[6~": pageDown},
		"linux, minicom":  {"\x1b[[B": keyOther, "\x1b[17~": keyOther, "\x1b[1~": home, "\x1b[4~": end},
	} {
		for sent, want := range sends {
			var d decoder
			var got []rune
			for i := range len(sent) {
				if k, ok := d.push(sent[i]); ok {
					got = append(got, k.r)
				}
			}
			if len(got) != 1 || got[0] != want || d.pending() {
				t.Errorf("%s: %q is %d, want %d", program, sent, got, want)
			}
		}
	}
	m := newModel("en")
	if m.press(key{r: keyOther}); !strings.Contains(m.note, "this key does nothing") {
		t.Errorf("of a function key it says %q", m.note)
	}
}

// FuzzConsole presses any keys and paints after each: no panic, no line too wide, memory bounded.
func FuzzConsole(f *testing.F) {
	f.Add([]byte("1234567\r l 2nnpp 5 96\rq"))
	f.Add([]byte("g1001lb21q39net.\r39\x03eg000"))
	f.Add([]byte("\x1b[6228480402564890018\r"))
	f.Add([]byte("4\x15\xff\x00\x1b[99999999999999999999;99999999999999R4" + strings.Repeat("9", 200) + "\r"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := guidedModel("zh")
		var d decoder
		var s screen
		var v vt
		for _, c := range b[:min(len(b), 200)] {
			k, ok := d.push(c)
			if !ok {
				continue
			}
			switch a := m.press(k); a.kind {
			case actCheck:
				m.gotResults(append(evidence("net.gateway", "gateway", report.OK, nil), m.state.Evidence...))
			case actDiagnose:
				if a.code == "" || len(a.code) > maxEntry {
					t.Fatalf("asks for code %q", a.code)
				}
				m.done()
			}
			if err := v.write(s.paint(m.view(), m.cols)); err != nil {
				t.Fatalf("%q: %v", b, err)
			}
		}
		if digits(m.entry) > codeDigits {
			t.Fatalf("a card number is kept: %q", m.entry)
		}
		if len(m.entry) > maxEntry {
			t.Fatalf("entry of %d", len(m.entry))
		}
		if d.state != inSequence && d.seq != [maxSequence]byte{} {
			t.Fatalf("what came after an escape is kept: %q", d.seq)
		}
	})
}

// fakeBackend is a daemon whose diagnosis takes as long as the test wants.
type fakeBackend struct {
	mu     sync.Mutex
	states int
	lang   string // of the diagnosis, as a daemon asked in it writes it; empty: Chinese
	err    error  // of the state
	asked  []string
	wait   chan struct{} // closed when a diagnosis may end; nil: at once
}

func (f *fakeBackend) State(context.Context) (report.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states++
	st := someState()
	if f.lang == "en" {
		saidInEnglish(st.Last)
	}
	return st, f.err
}

func (f *fakeBackend) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeBackend) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.states
}

func (f *fakeBackend) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// hang makes every diagnosis take for ever.
func (f *fakeBackend) hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wait = make(chan struct{})
}

func (f *fakeBackend) Check(_ context.Context, names []string) ([]report.Evidence, error) {
	return someState().Evidence, nil
}

func (f *fakeBackend) Diagnose(ctx context.Context, lang, code, _ string, _ report.Origin,
	next func(report.Diagnosis)) error {
	f.mu.Lock()
	f.asked = append(f.asked, lang+" "+code)
	wait := f.wait
	f.mu.Unlock()
	d := *someState().Last
	d.ID, d.Event.Code, d.Final = "7c-0000000130", code, false
	next(d)
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.Final = true
	next(d)
	return nil
}

// A terminal is the far end of a line: it answers questions for the cursor and keeps what it was sent.
type terminal struct {
	net.Conn
	mu      sync.Mutex
	got     bytes.Buffer
	column  int    // answered for the cursor; 0: no answer
	size    string // answered for its last row and column; empty: 24 by 80
	resized chan os.Signal
}

func (t *terminal) run() {
	b := make([]byte, 4096)
	for {
		n, err := t.Conn.Read(b)
		t.mu.Lock()
		t.got.Write(b[:n])
		t.mu.Unlock()
		if t.column > 0 {
			answer := fmt.Sprintf("\x1b[1;%dR", t.column)
			for range bytes.Count(b[:n], []byte("\x1b[6n")) {
				io.WriteString(t.Conn, answer)
				t.mu.Lock()
				if answer = "\x1b[24;80R"; t.size != "" {
					answer = t.size
				}
				t.mu.Unlock()
			}
		}
		if err != nil {
			return
		}
	}
}

func (t *terminal) sent() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.got.String()
	t.got.Reset()
	return s
}

// serve runs a console on one end of a line inside a bubble of time and gives the other to f.
func serve(t *testing.T, c Console, column int, f func(*terminal, *fakeBackend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		back := &fakeBackend{}
		c.Backend, c.Knowledge = back, know
		if c.Lang == "" {
			c.Lang = "zh"
		}
		term := &terminal{Conn: far, column: column, resized: make(chan os.Signal, 1)}
		c.Resized = term.resized
		go term.run()
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- c.Run(ctx, near) }()
		synctest.Wait()
		f(term, back)
		stop()
		near.Close()
		far.Close()
		if err := <-over; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Run: %v", err)
		}
		synctest.Wait()
	})
}

func TestConsoleOnATerminal(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, back *fakeBackend) {
		if s := term.sent(); !strings.Contains(s, "\x1b[2J") || !strings.Contains(s, "款项") {
			t.Errorf("got %q, want a Chinese screen", s)
		}
		fmt.Fprint(term, "4\x15A0\r")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "A0") || len(back.questions()) != 1 || back.questions()[0] != "zh A0" {
			t.Errorf("got %q, asked %q", s, back.questions())
		}
		before := back.count()
		time.Sleep(time.Minute)
		if n := back.count() - before; n < 5 || n > 7 {
			t.Errorf("%d states in a minute, want 6", n)
		}
		time.Sleep(lookedAt)
		before = back.count()
		time.Sleep(time.Hour)
		if back.count() != before {
			t.Errorf("%d states asked for while nobody looks", back.count()-before)
		}
	})
}

func TestConsoleWithoutChinese(t *testing.T) {
	serve(t, Console{}, 4, func(term *terminal, _ *fakeBackend) {
		if s := term.sent(); !strings.Contains(s, "\x1b[2J") || !strings.Contains(s, "Money") {
			t.Errorf("got %q, want an English screen", s)
		}
		fmt.Fprint(term, "l")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "款项") || !strings.Contains(s, "缺字") {
			t.Errorf("got %q, want Chinese all the same, with a warning", s)
		}
	})
}

func TestConsoleOnADumbTerminal(t *testing.T) {
	serve(t, Console{}, 0, func(term *terminal, back *fakeBackend) {
		time.Sleep(probeWait + time.Millisecond)
		synctest.Wait()
		s := strings.TrimPrefix(term.sent(), "\r中\x1b[6n\x1b[999;999H\x1b[6n")
		if strings.Contains(s, "\x1b") || !strings.Contains(s, "Money") {
			t.Errorf("got %q, want English lines without sequences", s)
		}
		fmt.Fprint(term, "4\x1597")
		synctest.Wait()
		fmt.Fprint(term, "\r")
		synctest.Wait()
		if s := term.sent(); strings.Contains(s, "\x1b") || strings.Count(s, "Money") != 1 || !strings.Contains(s, "> 97") ||
			len(back.questions()) != 1 {
			t.Errorf("got %q, asked %q", s, back.questions())
		}
		fmt.Fprint(term, "39")
		synctest.Wait()
		if s := term.sent(); strings.Contains(s, "\x1b") || !strings.Contains(s, " 1  net.tcp") {
			t.Errorf("got %q, want the list of checks", s)
		}
		fmt.Fprint(term, "net.\r")
		synctest.Wait()
		term.sent()
		time.Sleep(5 * time.Minute)
		if s := term.sent(); s != "" {
			t.Errorf("unasked: %q", s)
		}
	})
}

func TestConsoleOnALineThatIsAlwaysOpen(t *testing.T) {
	serve(t, Console{Stay: true}, 3, func(term *terminal, back *fakeBackend) {
		if s := term.sent(); !strings.Contains(s, "press Enter") || back.count() != 0 {
			t.Errorf("got %q and %d states before anybody came", s, back.count())
		}
		rubbish := bytes.Repeat([]byte("\x00\xffq1234\x1b[[["), 1000)
		term.Write(rubbish)
		synctest.Wait()
		if s := term.sent(); s != "" {
			t.Errorf("rubbish before Enter was answered: %q", s)
		}
		fmt.Fprint(term, "\r")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "款项") {
			t.Errorf("got %q, want the verdict", s)
		}
		fmt.Fprint(term, "q")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "press Enter") {
			t.Errorf("got %q after q", s)
		}
		fmt.Fprint(term, "\r")
		time.Sleep(lookedAt + 2*refresh)
		synctest.Wait()
		if s := term.sent(); !strings.HasSuffix(s, "按回车开始\r\n") {
			t.Errorf("got %q after ten silent minutes, want the door closed", s)
		}
	})
}

// An endless stream is answered with no more than the screen that it leads to.
func TestConsoleFlood(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, _ *fakeBackend) {
		term.sent()
		for range 200 {
			term.Write(bytes.Repeat([]byte("1"), 512))
		}
		synctest.Wait()
		if n := len(term.sent()); n > 4000 {
			t.Errorf("100 kB of keys made %d bytes", n)
		}
	})
}

// A code that a person types is that code, whatever was seen last.
func TestATypedCodeIsThatCode(t *testing.T) {
	m := newModel("en")
	if m.last() == nil {
		t.Fatal("the state has no diagnosis")
	}
	m.press(key{r: screenEnter})
	for _, r := range "97" {
		m.press(key{r: r})
	}
	if a := m.press(key{r: keyEnter}); a.kind != actDiagnose || a.code != "97" {
		t.Errorf("asks %v %q, want 97", a.kind, a.code)
	}
}

func TestConsoleBusy(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, b *fakeBackend) {
		b.hang()
		fmt.Fprint(term, "4\x1596\r")
		synctest.Wait()
		fmt.Fprint(term, "4\x1597\r")
		synctest.Wait()
		if len(b.questions()) != 1 {
			t.Errorf("asked %q beside a running diagnosis", b.questions())
		}
		time.Sleep(2 * jobTimeout) // and one that hangs is given up
		fmt.Fprint(term, "\x03")
		fmt.Fprint(term, "4\x1598\r")
		synctest.Wait()
		if len(b.questions()) != 2 {
			t.Errorf("asked %q after the first was given up", b.questions())
		}
	})
}

// Esc is a key of its own, and the key after it counts: at once or later.
func TestEscSwallowsNothing(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, _ *fakeBackend) {
		fmt.Fprint(term, "2")
		synctest.Wait()
		term.sent()
		fmt.Fprint(term, "\x1b")
		time.Sleep(2 * escWait)
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "款项") {
			t.Errorf("Esc on the devices sent %q, want the verdict", s)
		}
		fmt.Fprint(term, "\x1b2")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "reader0") {
			t.Errorf("Esc and 2 sent %q, want the devices", s)
		}
		fmt.Fprint(term, "\x1b[") // a sequence that was cut off swallows nothing either
		time.Sleep(2 * escWait)
		synctest.Wait()
		fmt.Fprint(term, "6")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "逐字") {
			t.Errorf("6 after half a sequence sent %q", s)
		}
		fmt.Fprint(term, "4abc\x1b")
		time.Sleep(2 * escWait)
		fmt.Fprint(term, "4A0\r")
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "A0") || strings.Contains(s, "4A0") {
			t.Errorf("a code after one given up: %q", s)
		}
	})
}

// Keys that move do so: the chosen line, the page.
func TestKeysThatMove(t *testing.T) {
	m := newModel("en")
	typeText(m, "2")
	m.press(key{r: keyDown})
	if s := m.view()[3]; !strings.HasPrefix(s, marker) {
		t.Errorf("after the arrow %q is not chosen", s)
	}
	m.press(key{r: keyEnter})
	if s := strings.Join(m.view(), "\n"); !strings.Contains(s, "modem.sim") {
		t.Errorf("Enter shows %s, want the facts of the second", s)
	}
	m.press(key{r: keyEsc})
	if m.screen != screenDevices || m.at != 1 {
		t.Errorf("Esc leads to screen %c, line %d", m.screen, m.at)
	}
	for i := range 60 {
		m.state.Evidence = append(m.state.Evidence, report.Evidence{Check: "net.dns", Subject: fmt.Sprintf("target%d", i), Status: report.OK})
	}
	for range 40 {
		m.press(key{r: keyDown})
	}
	if s := strings.Join(m.view(), "\n"); m.page != 2 || !strings.Contains(s, "\n"+marker) {
		t.Errorf("the chosen line is not on page %d:\n%s", m.page, s)
	}
	m.press(key{r: keyPageUp})
	if m.page != 1 {
		t.Errorf("page %d after one up", m.page)
	}
	typeText(m, "4abc")
	m.press(key{r: keyClear})
	if m.entry != "" {
		t.Errorf("Ctrl-U leaves %q", m.entry)
	}
}

// Every screen fits the terminal that it is shown on.
func TestWindowSizes(t *testing.T) {
	for _, size := range [][2]int{{24, 80}, {10, 40}, {50, 132}, {1, 1}, {999, 999}} {
		m := guidedModel("zh")
		m.resize(size[0], size[1])
		for _, k := range "1234\x1b5\x1b67?dge39\x1b" {
			m.press(key{r: k})
			lines := m.view()
			if tiny := size[0] < minRows; tiny {
				if len(lines) != 1 || !strings.Contains(lines[0], "40x8") {
					t.Fatalf("%v: %q", size, lines)
				}
			} else if len(lines) != m.rows || len(lines) < minRows || len(lines) > maxRows {
				t.Fatalf("%v: %d rows", size, len(lines))
			}
			for _, l := range lines {
				if text.Width(l) > m.cols {
					t.Errorf("%v, screen %c: %d columns in %q", size, m.screen, text.Width(l), l)
				}
			}
		}
	}
}

// What a line is there for is read in a narrow window too: the finding of a device, the chance of a cause, the key that
// leads to all others.
func TestANarrowWindowShowsWhatCounts(t *testing.T) {
	for _, c := range []struct {
		cols int
		keys string
		want []string
	}{
		{40, "2", []string{" bad", " cannot tell", " ok"}}, {60, "2", []string{" cannot tell (in use)"}},
		{40, "7", []string{"86%"}}, {80, "7", []string{"86%"}},
		{40, "1", []string{"?=more"}}, {40, "d", []string{"?help"}}, {40, "4", []string{"Esc=cancel"}},
		{40, "dx", []string{"x does nothing here; see the line below"}},
	} {
		m := newModel("en")
		m.gotPast([]report.Diagnosis{*m.state.Last})
		m.resize(16, c.cols)
		typeText(m, c.keys)
		page := strings.Join(m.view(), "\n")
		for _, w := range c.want {
			if !strings.Contains(page, w) {
				t.Errorf("%d columns, keys %s: no %q in\n%s", c.cols, c.keys, w, page)
			}
		}
	}
}

// A table folds what is not fitted into one line; a device that was asked for alone is shown.
func TestTheTableFoldsWhatIsNotFitted(t *testing.T) {
	absent := report.Facts{"reason": report.ReasonAbsent}
	list := []report.Evidence{saw("modem.sim", "modem0", report.NotRun, absent), saw("net.dns", "internet", report.NotRun, absent),
		saw("net.dns", "host-primary", report.OK, nil), saw("modem.sim", "modem1", report.NotRun, absent)}
	got := strings.Join(Table(list, "en", 80), "\n")
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "host-primary") || !strings.HasSuffix(got, "\nNot fitted: modem.sim, net.dns") {
		t.Errorf("%s", got)
	}
	if one := Table(list[:1], "en", 80); len(one) != 1 || !strings.Contains(one[0], "reason=absent") {
		t.Errorf("%q", one)
	}
}

// What went wrong is said to its end, also where that takes more than a row; a page that is full keeps its lines, and
// the smallest window holds any length.
func TestALongNoteIsSaidToItsEnd(t *testing.T) {
	long := strings.Repeat("word ", 30) + "end"
	m := newModel("en")
	m.note = long
	page := m.view()
	if len(page) != rows || !strings.HasSuffix(page[rows-2], "end") || !strings.HasPrefix(page[rows-3], "word") ||
		!strings.HasPrefix(page[0], "posdx") {
		t.Errorf("%s", strings.Join(page, "\n"))
	}
	m.resize(minRows, minCols+1)
	for _, m.note = range []string{long, strings.Repeat(long, 9), "short"} {
		full := m.view()
		if len(full) != minRows || full[minRows-3] == "" || strings.HasPrefix(full[minRows-3], "word") || full[minRows-2] == "" {
			t.Errorf("%s", strings.Join(full, "\n"))
		}
	}
	m.press(key{r: '5'}) // a page of three lines
	m.note = strings.Repeat(long, 9)
	if full := m.view(); len(full) != minRows || !strings.HasSuffix(full[minRows-2], "..") {
		t.Errorf("%s", strings.Join(full, "\n"))
	}
}

// A key that turns to a page that is not there, or chooses a line that is not there, says so; no key does nothing
// without a word.
func TestNoKeyDoesNothingWithoutAWord(t *testing.T) {
	down := func(m *model) { m.press(key{r: keyPageDown}) }
	for name, c := range map[string]struct {
		keys  string
		press func(*model)
		want  codes.Text
	}{
		"down, one page":        {"d", down, wordOnlyPage},
		"up, one page":          {"d", func(m *model) { m.press(key{r: keyUp}) }, wordOnlyPage},
		"down, one page's list": {"7", down, wordOnlyPage},
		"up at the top":         {"e", func(m *model) { m.press(key{r: keyPageUp}) }, wordFirstPage},
		"end, then down":        {"e", func(m *model) { m.press(key{r: keyEnd}); down(m) }, wordLastPage},
		"first line":            {"2", func(m *model) { m.press(key{r: keyUp}) }, wordFirstLine},
		"last line":             {"2jjjjjjjjjj", func(m *model) { m.press(key{r: keyDown}) }, wordLastLine},
	} {
		for _, lang := range []string{"zh", "en"} {
			m := newModel(lang)
			if strings.HasPrefix(c.keys, "e") {
				m.resize(minRows, 80)
			}
			typeText(m, c.keys)
			c.press(m)
			if page := strings.Join(m.view(), "\n"); !strings.Contains(page, c.want.In(lang)) {
				t.Errorf("%s: no %q in\n%s", name, c.want.In(lang), page)
			}
		}
	}
	for _, r := range []rune{keyEnter, keyEsc, keyClear, keyBackspace, keyOther, 'x', '+'} {
		m := newModel("en")
		if m.press(key{r: r}); !strings.Contains(m.note, "see the line below") {
			t.Errorf("%q: %q", r, m.note)
		}
	}
	// Two presses of one key turn two pages, and one back turns one back.
	m := newModel("en")
	m.resize(minRows, 80)
	typeText(m, "e")
	for range 3 {
		down(m)
	}
	if m.press(key{r: keyPageUp}); m.page != 2 || m.note != "" {
		t.Errorf("page %d, %q", m.page, m.note)
	}
}

// A daemon that is not there is said, with what to do, and never as a terminal without a diagnosis; when it comes
// back its state is shown.
func TestTheDaemonIsNotThere(t *testing.T) {
	serve(t, Console{}, 3, func(term *terminal, back *fakeBackend) {
		term.sent()
		back.fail(errors.New("no daemon listens on /run/x"))
		time.Sleep(refresh + time.Second)
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "posdx doctor") || !strings.Contains(s, "/run/x") || strings.Contains(s, "00:00") {
			t.Errorf("got %q, want the remedy", s)
		}
		fmt.Fprint(term, "2")
		synctest.Wait()
		if s := term.sent(); strings.Contains(s, "reader0") {
			t.Errorf("devices of a daemon that is not there: %q", s)
		}
		back.fail(nil)
		time.Sleep(refresh + time.Second)
		synctest.Wait()
		if s := term.sent(); !strings.Contains(s, "reader0") {
			t.Errorf("got %q after it came back", s)
		}
	})
}

// With a PIN nothing but the verdict is shown before it, wrong ones are counted over all who come and make it wait.
func TestPIN(t *testing.T) {
	var log bytes.Buffer
	c := Console{Stay: true, PIN: "4711", Log: slog.New(slog.NewTextHandler(&log, nil))}
	serve(t, c, 3, func(term *terminal, back *fakeBackend) {
		enter := func() {
			fmt.Fprint(term, "\r")
			synctest.Wait()
		}
		try := func(pin string) string {
			fmt.Fprint(term, "\r"+pin)
			synctest.Wait()
			term.sent()
			fmt.Fprint(term, "\r")
			synctest.Wait()
			return term.sent()
		}
		enter()
		if s := term.sent(); !strings.Contains(s, "款项") || !strings.Contains(s, "锁定") {
			t.Errorf("got %q, want the verdict and that it is locked", s)
		}
		fmt.Fprint(term, "2\x034A0\r\x03dge7")
		synctest.Wait()
		if s := term.sent(); strings.Contains(s, "reader0") || len(back.questions()) != 0 {
			t.Errorf("without a PIN: %q, asked %q", s, back.questions())
		}
		fmt.Fprint(term, "\x03")
		for range mostTries - 2 { // two were tried above: "A0" and what followed are no PIN either
			try("0000")
			fmt.Fprint(term, "q")
			synctest.Wait()
			enter()
		}
		for range mostTries {
			try("1234")
		}
		if s := try("4711"); strings.Contains(s, "2设备") {
			t.Errorf("the right PIN right after %d wrong ones was taken: %q", mostTries, s)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		enter()
		term.sent()
		if s := try("4711"); !strings.Contains(s, "2设备") {
			t.Errorf("the right PIN a day later: %q", s)
		}
		time.Sleep(lookedAt + 2*refresh)
		synctest.Wait()
		enter()
		if s := term.sent(); !strings.Contains(s, "锁定") {
			t.Errorf("after ten silent minutes: %q, want it locked", s)
		}
	})
	if s := log.String(); !strings.Contains(s, "wrong PIN") || !strings.Contains(s, "unlocked") || strings.Contains(s,
		"4711") || strings.Contains(s, "1234") {
		t.Errorf("log:\n%s", s)
	}
}

// A card that is swiped into a field, as readers do that type like a keyboard, is dropped whole, and the next code is
// taken.
func TestACardIsNoEntry(t *testing.T) {
	for _, swipe := range []string{"4761739001010010", "%B4761739001010010^CARD/HOLDER^30122011758?;4761739001010010=30122011758?", "RC 4761 7390 0101 0010"} {
		m := guidedModel("en")
		m.show(screenLookup)
		for _, r := range swipe {
			m.press(key{r: r})
		}
		if m.entry != "" || m.note == "" {
			t.Errorf("%s: entry %q, note %q", swipe, m.entry, m.note)
		}
		m.press(key{r: keyEnter})
		for _, r := range "96" {
			m.press(key{r: r})
		}
		if m.press(key{r: keyEnter}); m.looked != "96" {
			t.Errorf("%s: then %q", swipe, m.looked)
		}
	}
}

// TestALineThatNobodyReadsIsWaitedFor: the greeting is tried once and given up; the session does not end, to be begun
// and to fail again for ever, and serves whoever comes an hour later.
func TestALineThatNobodyReadsIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		line := &counted{Conn: near}
		c := Console{Stay: true, Lang: "en", Backend: &fakeBackend{}, Knowledge: know}
		go func() { over <- c.Run(ctx, line) }()
		time.Sleep(time.Hour)
		select {
		case err := <-over:
			t.Fatalf("the session ended: %v", err)
		default:
		}
		if line.writes != 1 {
			t.Errorf("%d writes in an hour to a line that nobody reads, want 1", line.writes)
		}
		term := &terminal{Conn: far, column: 2}
		go term.run()
		fmt.Fprint(far, "\r")
		time.Sleep(10 * time.Second)
		if s := term.sent(); !strings.Contains(s, "\x1b[2J") {
			t.Errorf("somebody came and was shown %q", s)
		}
		stop()
		near.Close()
		far.Close()
		<-over
	})
}

// counted counts the writes to a line.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}

// Whatever a program before it has left of the terminal's state, a screen that is painted anew takes it back before its
// first character.
func TestAFreshScreenTakesBackWhatAnotherLeft(t *testing.T) {
	m := newModel("en")
	var s screen
	sent := string(s.paint(m.view(), m.cols))
	before, _, _ := strings.Cut(sent, "posdx")
	for left, back := range map[string]string{"the other set of characters (SO)": "\x0f", "graphics for letters (ESC ( 0)": "\x1b(B",
		"keys of figures that send sequences (ESC =)": "\x1b>", "a region that scrolls": "\x1b[r", "reverse video": "\x1b[0m"} {
		if !strings.Contains(before, back) {
			t.Errorf("%s stays: the screen begins with %q", left, before)
		}
	}
}

// TestFactsOfSeveralValues: lists and counts by name are shown as people write them, those from memory and those that
// came as JSON alike.
func TestFactsOfSeveralValues(t *testing.T) {
	for _, f := range []report.Facts{
		{"keys_loaded": map[string]float64{"pin": 3, "mac": 1.5}, "missing": []string{"TPK", "TAK"}, "level": "poor"},
		{"keys_loaded": map[string]any{"pin": 3.0, "mac": 1.5}, "missing": []any{"TPK", "TAK"}, "level": "poor"},
	} {
		if got, want := facts(f), "level=poor keys_loaded=mac:1.5,pin:3 missing=TPK,TAK"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
