package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// A group is what one letter of the check screen runs.
type group struct {
	key      byte
	title    codes.Text
	prefixes []string // of the checks' names; none means all
}

var checkGroups = [...]group{
	{'a', codes.Text{ZH: "网络", EN: "network"}, []string{"net."}},
	{'b', codes.Text{ZH: "通信模块", EN: "modem"}, []string{"modem."}},
	{'c', codes.Text{ZH: "读卡器", EN: "card reader"}, []string{"reader."}},
	{'d', codes.Text{ZH: "密码键盘和打印机", EN: "PIN pad and printer"}, []string{"pinpad.", "printer."}},
	{'e', codes.Text{ZH: "主板、电源、存储、时钟", EN: "board, power, storage, clock"}, []string{"board."}},
	{'f', codes.Text{ZH: "支付应用", EN: "payment app"}, []string{"app."}},
	{'0', codes.Text{ZH: "全部", EN: "everything"}, nil},
}

func (g group) has(check string) bool {
	begins := func(p string) bool { return strings.HasPrefix(check, p) }
	return len(g.prefixes) == 0 || slices.ContainsFunc(g.prefixes, begins)
}

// checkState is what the screen of checks knows.
type checkState struct {
	group   group             // the one that was run last
	results []report.Evidence // of it; nil: none was run since the screen was opened
}

func (m *model) checkLines() []string {
	if m.results != nil {
		return append([]string{wordChecked.In(m.lang)}, devices(m.results, m.know, m.lang, m.cols, m.at)...)
	}
	lines := []string{wordChoose.In(m.lang), ""}
	for _, g := range checkGroups {
		lines = append(lines, fmt.Sprintf("  %c  %s", g.key, g.title.In(m.lang)))
	}
	return append(lines, fmt.Sprintf("  %c  %s", screenOne, wordList.In(m.lang)))
}

// pressCheck takes the letter of a group while the groups are listed.
func (m *model) pressCheck(r rune) (a action, taken bool) {
	if m.results != nil {
		return m.pressDevices(r)
	}
	for _, g := range checkGroups {
		if r == rune(g.key) {
			m.group = g
			return m.start(action{kind: actCheck, names: g.prefixes}), true
		}
	}
	if r == screenOne {
		m.show(r)
		return action{}, true
	}
	return action{}, false
}

// gotChecked takes what the checks of the group found.
func (m *model) gotChecked(list []report.Evidence) {
	m.page, m.at, m.results = 0, 0, []report.Evidence{}
	for _, e := range list {
		if m.group.has(e.Check) {
			m.results = append(m.results, e)
		}
	}
}

func (m *model) oneLines() []string {
	return append(checkList(m.state.Checks, m.bodyRows()), wordOneOf.In(m.lang), "  > "+m.entry)
}

// checkOne runs the check with this number in the list, or those whose names begin so.
func (m *model) checkOne(entry string) action {
	entry = strings.TrimSpace(entry)
	var names []string
	if n, err := strconv.Atoi(entry); err == nil && n >= 1 && n <= len(m.state.Checks) {
		names = []string{m.state.Checks[n-1]}
	} else {
		begin := strings.TrimSuffix(entry, "*")
		names = slices.DeleteFunc(slices.Clone(m.state.Checks), func(c string) bool { return !strings.HasPrefix(c, begin) })
	}
	if len(names) == 0 {
		m.note, m.entry = text.Clean(fmt.Sprintf(wordNoCheck.In(m.lang), entry)), ""
		return action{}
	}
	m.group = group{prefixes: names}
	m.show(screenCheck)
	return m.start(action{kind: actCheck, names: names})
}

// checkList numbers checks in three columns, as many as a screen has room for.
func checkList(checks []string, rows int) []string {
	const columns = 3
	most := max(1, rows-3)
	lines := make([]string, min(most, (len(checks)+columns-1)/columns))
	for i, c := range checks[:min(len(checks), columns*most)] {
		row := &lines[i%len(lines)]
		*row = text.Pad(*row, i/len(lines)*26) + text.Cut(fmt.Sprintf("%2d  %s", i+1, text.Clean(c)), 25)
	}
	return append(lines, "")
}
