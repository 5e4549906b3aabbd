package diagnose

import (
	"fmt"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

// Widths of a rendered diagnosis, in terminal columns.
const (
	minWidth      = 32
	labelWidth    = 8
	shownReasons  = 3 // for the first cause, and two against it
	shownAgainst  = 2
	shownOthers   = 2 // further causes
	shownOtherMin = 0.05
	shownAlso     = 2 // broken, and not the cause
)

// Render writes a diagnosis as text for a terminal: what happened, the money, the cause with what speaks for and
// against it, who acts and how, what to try next, the hand-off code. A line is at most width columns (32 at least) of
// a fixed-width font, in which a Chinese character takes two, and ends with a newline.
func Render(d report.Diagnosis, lang string, width int) string {
	w := textWriter{width: max(width, minWidth)}
	if lang != "en" {
		lang = "zh"
	}
	say := func(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(lang) }

	w.line(say("应答码", "code"), headline(&d, lang))
	w.line(say("款项", "money"), d.Money.Say)
	if len(d.Causes) == 0 {
		return w.b.String()
	}
	first := d.Causes[0]
	switch {
	case d.Abstained:
		w.line(say("原因", "cause"), say("现有的证据分不清原因。", "The evidence does not tell the cause."))
		if len(d.CannotSeparate) > 0 {
			w.line("", say("可能是：", "It may be: ")+titles(&d, d.CannotSeparate, lang, say("；", "; ")))
		}
	case first.ID == "none":
		w.line(say("原因", "cause"), first.Title)
		if d.Event.Code == AnyCode {
			well, open := lookedAt(&d, lang)
			w.line(say("正常", "well"), well)
			if open != "" {
				w.line(say("未查清", "open"), open)
			}
		}
		return w.b.String()
	default:
		w.line(say("原因", "cause"), fmt.Sprintf("%s  %s  [%s]", first.Title, chance(first, lang), first.ID))
		for _, r := range first.For[:min(len(first.For), shownReasons)] {
			w.line("", "+ "+r.Say)
		}
		for _, r := range first.Against[:min(len(first.Against), shownAgainst)] {
			w.line("", "- "+r.Say)
		}
		shown := 0
		for _, c := range d.Causes[1:] {
			if c.ID != report.Unexplained && c.Probability >= shownOtherMin && shown < shownOthers {
				w.line(evidence.Choose(shown == 0, say("其次", "or else"), ""), fmt.Sprintf("%s  %s  [%s]", c.Title, chance(c, lang), c.ID))
				shown++
			}
		}
		if first.ID != report.Unexplained {
			w.line(say("处理", "act"), actor(first.Act, lang))
			w.line("", first.Act.Step)
		}
	}
	for i, a := range d.Also[:min(len(d.Also), shownAlso)] {
		w.line(evidence.Choose(i == 0, say("另外", "also"), ""), fmt.Sprintf(say("%s（%s）；%s", "%s (%s); %s"), a.Finding.Say,
			AlsoWord(&d).In(lang), actor(a.Act, lang)))
	}
	if d.Abstained && d.NextTest == nil {
		w.line(say("下一步", "next"), codes.Builtin().Word("next", "none").Sentence().In(lang))
	}
	if n := d.NextTest; n != nil {
		w.line(say("下一步", "next"), fmt.Sprintf(say("%s（约%s秒）", "%s (about %s s)"), n.How, factText(n.CostS)))
	}
	w.line(say("交接码", "hand-off"), d.Handoff)
	return w.b.String()
}

// AlsoWord says how the things in Diagnosis.Also stand to the failure: they have nothing to do with it, or, where the
// diagnosis abstains, perhaps they have.
func AlsoWord(d *report.Diagnosis) codes.Text {
	return codes.Builtin().Word("also", evidence.Choose(d.Abstained, "open", "beside"))
}

func headline(d *report.Diagnosis, lang string) string {
	say := func(zh, en string) string { return codes.Text{ZH: zh, EN: en}.In(lang) }
	who := map[report.Origin]string{report.OriginHost: say("主机写的", "written by the host"), report.OriginTerminal: say("终端自己写的", "written by the terminal"),
		report.OriginCashier: say("收银软件写的", "written by the cashier program")}[d.Event.Origin]
	if who == "" {
		who = say("来源不明", "writer not known")
	}
	text := clean(d.Event.Code)
	switch {
	case d.Event.Code == AnyCode:
		return say("没有应答码，检查终端现状", "none: the terminal as it is now")
	case !d.Code.Known:
		text += "  " + say("查过的码表里没有这个应答码", "in none of the tables searched")
	case d.Code.Disputed && d.Code.Scheme == codes.SchemeAcquirer:
		text += "  " + say("各家含义不同，不能单凭它判断", "means something else at every acquirer")
	case d.Code.Disputed:
		why := codes.Builtin().Word("reading", evidence.Choose(d.Code.Borrowed, "borrowed", "disputed")).In(lang)
		text += "  " + d.Code.Meaning + fmt.Sprintf(say("（%s）", " (%s)"), why)
	default:
		text += "  " + d.Code.Meaning
	}
	text += say("（", " (") + strings.TrimSpace(d.Code.Scheme+" "+who) + say("）", ")")
	if d.Repeats > 0 {
		text += fmt.Sprintf(say("，又出现%d次", ", seen %d more times"), d.Repeats)
	}
	return text
}

func chance(c report.Cause, lang string) string {
	return codes.Builtin().Word("verdict", c.Verdict).In(lang) + " " + text.Percent(c.Probability)
}

func actor(a report.Act, lang string) string {
	k := codes.Builtin()
	who := k.Word("actor", a.By)
	if a.By == "none" || a.By == "staff" || a.By == "cardholder" {
		return who.In(lang)
	}
	visit := k.Word("visit", evidence.Choose(a.Visit, "yes", "no"))
	return codes.Text{ZH: who.ZH + "，" + visit.ZH, EN: who.EN + ", " + visit.EN}.In(lang)
}

// titles joins the titles of causes. A cause that neither the document nor the tables know is called by its id.
func titles(d *report.Diagnosis, ids []string, lang, sep string) string {
	var list []string
	for _, id := range ids {
		title := id
		if c, ok := codes.Builtin().Cause(id); ok {
			title = c.Title.In(lang)
		}
		for _, c := range d.Causes {
			if c.ID == id {
				title = c.Title
			}
		}
		list = append(list, title)
	}
	return strings.Join(list, sep)
}

// A textWriter writes lines of text behind a column of labels.
type textWriter struct {
	b     strings.Builder
	width int
}

func (w *textWriter) line(label, what string) {
	pad := label + strings.Repeat(" ", max(0, labelWidth-text.Width(label)))
	hang := ""
	if strings.HasPrefix(what, "+ ") || strings.HasPrefix(what, "- ") {
		hang = "  "
	}
	var lines []string
	for _, paragraph := range strings.Split(what, "\n") {
		lines = append(lines, text.Wrap(paragraph, w.width-labelWidth-1-len(hang), 0)...)
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, l := range lines {
		if i > 0 {
			pad, l = strings.Repeat(" ", labelWidth), hang+l
		}
		w.b.WriteString(strings.TrimRight(pad+" "+l, " "))
		w.b.WriteByte('\n')
	}
}

// Wrap breaks a text into lines of at most width columns, at blanks and between Chinese characters, as Render does.
func Wrap(s string, width int) []string { return text.Wrap(s, width, 0) }
