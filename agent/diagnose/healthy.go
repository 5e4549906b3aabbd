package diagnose

import (
	"slices"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// AnyCode stands in Event.Code when a terminal is examined without a failed sale: Explain then goes by the evidence
// alone, and may answer that nothing is wrong.
const AnyCode = "?"

// nothingWrong is the title of `none` where no sale was looked at.
var nothingWrong = codes.Text{ZH: "没有发现问题", EN: "Nothing wrong was found"}

var noSale = codes.Text{ZH: "没有查看某一笔交易，不说明款项。", EN: "No sale was looked at; this says nothing of money."}

// A look is what checks without a code came to, by the names of the checks, sorted.
type look struct {
	well, wrong, open []string // open: it could not be told
}

func lookAt(list []report.Evidence) (l look) {
	for _, e := range list {
		of := &l.open
		switch level, _ := e.Facts.Str("level"); {
		case strings.HasPrefix(e.Check, "txn.") || e.Check == string(evidence.FleetAdvisory) || strings.HasPrefix(e.Check, "ask."):
			continue
		case e.Status == report.Bad || level == string(evidence.LevelPoor):
			of = &l.wrong
		case e.Status == report.OK:
			of = &l.well
		default:
			if reason, _ := e.Facts.Str("reason"); reason == report.ReasonAbsent {
				continue // not fitted: there is nothing to be well
			}
		}
		if !slices.Contains(*of, e.Check) {
			*of = append(*of, e.Check)
		}
	}
	slices.Sort(l.well)
	slices.Sort(l.wrong)
	slices.Sort(l.open)
	return l
}

// examined turns a diagnosis without a code into the answer that nothing is wrong, where no check found anything. How
// sure that is follows from how much could be looked at.
func (s *state) examined(d *report.Diagnosis, lang string) {
	if s.ev.Code != AnyCode || s.ev.Txn != nil {
		return
	}
	d.Money.Say = noSale.In(lang)
	l := lookAt(d.Evidence)
	if len(l.wrong) > 0 || len(l.well) == 0 {
		return
	}
	p := round(0.95*float64(len(l.well))/float64(len(l.well)+len(l.open)), 4)
	none := s.describeOne(s.cause("none"), p, false, true, lang)
	none.Title, none.Verdict, none.For, none.Against = nothingWrong.In(lang), "possible", []report.Reason{}, []report.Reason{}
	if p >= s.f.Settings.Likely {
		none.Verdict = "likely"
	}
	rest := s.describeOne(s.cause(report.Unexplained), round(1-p, 4), false, false, lang)
	d.Causes, d.Abstained, d.CannotSeparate, d.Masked, d.Also, d.Set = []report.Cause{none, rest}, false, []string{},
		[]string{}, nil, nil
	none.Act.Step = s.cause("none").StepsFor(report.RetryNo).In(lang)
	d.NextTest = nil
}

// lookedAt says in words which checks found all well and which could not tell.
func lookedAt(d *report.Diagnosis, lang string) (well, open string) {
	k := codes.Builtin()
	l := lookAt(d.Evidence)
	name := func(list []string) string {
		var names []string
		for _, c := range list {
			title := c
			if check, ok := k.Check(c); ok {
				title = check.Title.In(lang)
			}
			names = append(names, title)
		}
		return strings.Join(names, codes.Text{ZH: "、", EN: "; "}.In(lang))
	}
	return name(l.well), name(l.open)
}
