// Package notice writes what a merchant is shown and handed: a verdict in two lines for a small display, and as the
// text of a receipt. Columns are those of a fixed-width font in which Chinese characters are two wide. It writes in the
// language of the diagnosis.
package notice

import (
	"strings"
	"unicode"

	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// Widths, in columns: of displays from the smallest PIN pad's on, of paper from 57 mm to 80 mm.
const (
	MinDisplay, MaxDisplay = 16, 40
	MinReceipt, MaxReceipt = 24, 64
)

var (
	wordHead    = codes.Text{ZH: "交易诊断", EN: "ABOUT THIS SALE"}
	wordCode    = codes.Text{ZH: "应答码", EN: "Code"}
	wordCause   = codes.Text{ZH: "原因", EN: "Cause"}
	wordUnclear = codes.Text{ZH: "还无法判断", EN: "cannot tell yet"}
	wordWho     = codes.Text{ZH: "处理", EN: "To do"}
	wordHandoff = codes.Text{ZH: "交接码", EN: "Ref"}
	colon       = codes.Text{ZH: "：", EN: ": "}
)

// language is the one that a diagnosis speaks.
func language(d *report.Diagnosis) string {
	if strings.ContainsFunc(d.Money.Say, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		return "zh"
	}
	return "en"
}

func word(kind, id, lang string) string { return text.Clean(codes.Builtin().Word(kind, id).In(lang)) }

// Display is a verdict in two lines of at most so many columns: what became of the money, and whether to try again.
func Display(d report.Diagnosis, cols int) []string {
	lang := language(&d)
	return []string{text.Cut(word("money.display", d.Money.State, lang), cols), text.Cut(word("retry.short", d.Money.Retry, lang), cols)}
}

// Receipt is a verdict as lines of at most so many columns, for the paper that a cashier keeps: the code and when,
// the money, the cause, one thing to do, the hand-off code.
func Receipt(d report.Diagnosis, cols int) (lines []string) {
	lang := language(&d)
	rule := strings.Repeat("-", cols)
	add := func(label codes.Text, what string) {
		if what = text.Clean(what); what != "" {
			lead := label.In(lang)
			if lead != "" {
				lead += colon.In(lang)
			}
			lines = append(lines, text.Wrap(lead+what, cols, 0)...)
		}
	}
	head := wordHead.In(lang)
	lines = append(lines, rule, strings.Repeat(" ", max(0, cols-text.Width(head))/2)+head,
		d.Event.Time.Local().Format("2006-01-02 15:04 MST"))
	add(wordCode, d.Event.Code+"  "+d.Code.Meaning)
	lines = append(lines, "")
	add(codes.Text{}, d.Money.Say)
	if len(d.Causes) > 0 && d.Causes[0].ID != "none" {
		c := d.Causes[0]
		if d.Abstained {
			add(wordCause, wordUnclear.In(lang))
		} else {
			add(wordCause, c.Title)
		}
		if step := firstStep(c.Act.Step); step != "" && !d.Abstained {
			add(wordWho, word("actor", c.Act.By, lang)+colon.In(lang)+step)
		}
	}
	add(wordHandoff, d.Handoff)
	return append(lines, rule)
}

// firstStep is the first of numbered steps, without its number.
func firstStep(steps string) string {
	steps = strings.TrimPrefix(steps, "1. ")
	if i := strings.Index(steps, "2. "); i > 0 {
		steps = steps[:i]
	}
	return strings.TrimSpace(steps)
}
