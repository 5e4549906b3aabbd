package console

import (
	"os"
	"strings"
	"testing"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// The picture of the console in each README is what a technician sees today: its head, its labels, its keys. The
// sentences of the knowledge may change without it; -update writes it anew.
func TestThePictureInREADME(t *testing.T) {
	for _, p := range []struct{ file, lang, begin string }{
		{"../../../README.md", "en", "as a technician sees it after a 97:\n\n```\n"},
		{"../../../README.zh.md", "zh", "这是一笔 97 之后技术人员看到的：\n\n```\n"},
	} {
		const end = "\n```\n"
		b, err := os.ReadFile(p.file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(b), p.begin)
		picture, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("no picture in %s", p.file)
		}
		page := firstPageOf97(p.lang)
		if *update {
			if err := os.WriteFile(p.file, []byte(before+p.begin+page+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, want := frameOf(picture), frameOf(page); got != want {
			t.Errorf("%s shows a console of before (-update writes the picture):\n%s\nwant\n%s", p.file, got, want)
		}
	}
}

// firstPageOf97 is what the console shows after a sale of a terminal that is not registered, without the empty lines.
func firstPageOf97(lang string) string {
	f, k := guidedFaults()[0], codes.Builtin()
	profile, _ := k.Profile("unionpay")
	known := append(f.known, f.world...)
	d := diagnose.Explain(f.event, known, k, diagnose.Options{Lang: lang, Profile: profile, Revision: 2, Final: true})
	m := emptyModel(lang, k, Contacts{Acquirer: "95516"})
	m.gotState(report.State{Time: noon, ClockTrusted: true, Terminal: "shop-0123/terminal-0042", Profile: "unionpay", Last: &d,
		Uplink: report.Uplink{Connected: true}, Evidence: known})
	var lines []string
	for _, l := range m.view() {
		if l = strings.TrimRight(l, " "); l != "" || len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
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
