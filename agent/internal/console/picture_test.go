package console

import (
	"os"
	"strings"
	"testing"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// The picture of the console in README is what a technician sees today: its head, its labels, its keys. The sentences
// of the knowledge may change without it; -update writes it anew.
func TestThePictureInREADME(t *testing.T) {
	const file, begin, end = "../../../README.md", "as a technician sees it after a 97:\n\n```\n", "\n```\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	picture, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("no picture in README")
	}
	f, k := guidedFaults()[0], codes.Builtin()
	profile, _ := k.Profile("unionpay")
	known := append(f.known, f.world...)
	d := diagnose.Explain(f.event, known, k, diagnose.Options{Lang: "zh", Profile: profile, Revision: 2, Final: true})
	m := emptyModel("zh", k, Contacts{Acquirer: "95516"})
	m.gotState(report.State{Time: noon, ClockTrusted: true, Terminal: "shop-0123/terminal-0042", Profile: "unionpay", Last: &d,
		Uplink: report.Uplink{Connected: true}, Evidence: known})
	var lines []string
	for _, l := range m.view() {
		if l = strings.TrimRight(l, " "); l != "" || len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, l)
		}
	}
	page := strings.Join(lines, "\n")
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+page+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, want := frameOf(picture), frameOf(page); got != want {
		t.Errorf("README shows a console of before (-update writes the picture):\n%s\nwant\n%s", got, want)
	}
}

// frameOf is a page without what the knowledge says: its head without the time, the label of each line, its keys.
func frameOf(page string) string {
	lines := strings.Split(strings.TrimSpace(page), "\n")
	var frame []string
	for i, l := range lines {
		if label, _, _ := strings.Cut(l, " "); i > 0 && i < len(lines)-1 {
			if label != "" {
				frame = append(frame, label)
			}
			continue
		}
		frame = append(frame, l)
	}
	return strings.Join(frame, "\n")
}
