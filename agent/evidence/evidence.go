// Package evidence judges what the checks measured. From the facts of each check it makes a status (ok, bad,
// cannot-tell), a level (good to bad) and the findings that the diagnosis weighs. No other package holds a limit:
// probes, sources and the engine all ask here. The limits themselves are data (codes/data/findings.txt).
//
// New, CannotTell and NotRun make the evidence of one check. Read judges the evidence of a moment, whoever made it;
// Findings says what all of it shows together.
//
// The package is pure: no clock, no I/O, no state. The constants of names.go, one for each check and fact, are
// generated from the registry in codes/data/checks.txt, so that a name that is not registered does not compile.
package evidence

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// A Check is the name of a kind of evidence, such as net.tcp.
type Check string

// A Fact is the name under which a check reports a value of type T.
type Fact[T bool | float64 | string | []string | map[string]float64] string

// A Level grades what a check found. Fair and poor are still the status ok; poor weakens the check's good news.
type Level string

// Levels, from the best.
const (
	LevelGood Level = "good"
	LevelFair Level = "fair"
	LevelPoor Level = "poor"
	LevelBad  Level = "bad"
)

var levels = [...]Level{LevelGood, LevelFair, LevelPoor, LevelBad}

// worse returns the worse of two levels. An unknown level is better than any.
func worse(a, b Level) Level {
	if slices.Index(levels[:], b) > slices.Index(levels[:], a) {
		return b
	}
	return a
}

// A Value is a fact together with what was measured.
type Value struct {
	name  string
	value any
}

// Is returns the fact with a value, for New and the like.
func (f Fact[T]) Is(v T) Value { return Value{string(f), v} }

// Name is the fact's name in the documents.
func (f Fact[T]) Name() string { return string(f) }

// New makes the evidence of a check that was made. Status and level follow from the values by the built-in limits. A
// value that is not plausible is left out.
func New(c Check, subject string, values ...Value) report.Evidence {
	e := report.Evidence{Check: string(c), Subject: subject, Facts: factsOf(c, values)}
	Grade(&e, codes.Builtin())
	return e
}

// CannotTell makes the evidence of a check that was made and found out nothing; reason is one of report's Reason
// constants.
func CannotTell(c Check, subject, reason string, values ...Value) report.Evidence {
	return unanswered(c, subject, report.CannotTell, reason, values)
}

// NotRun makes the evidence of a check that was not made; reason is one of report's Reason constants.
func NotRun(c Check, subject, reason string, values ...Value) report.Evidence {
	return unanswered(c, subject, report.NotRun, reason, values)
}

// Said makes evidence of what somebody else reports, as the fleet does of other terminals. No limit judges it: it is
// bad if the caller says so.
func Said(c Check, subject string, bad bool, values ...Value) report.Evidence {
	e := report.Evidence{Check: string(c), Subject: subject, Status: report.OK, Facts: factsOf(c, values)}
	if bad {
		e.Status = report.Bad
	}
	return e
}

func unanswered(c Check, subject string, s report.Status, reason string, values []Value) report.Evidence {
	f := factsOf(c, values)
	f["reason"] = reason
	return report.Evidence{Check: string(c), Subject: subject, Status: s, Facts: f}
}

// factsOf keeps the facts that are registered for the check and have a plausible value. All others count as unknown.
func factsOf(c Check, values []Value) report.Facts {
	f := make(report.Facts, len(values)+2)
	for _, v := range values {
		if r := codes.Builtin().Fact(string(c), v.name); r != nil && Plausible(r, v.value) {
			f[v.name] = v.value
		}
	}
	return f
}

// maxWord bounds a name or a text of a device.
const maxWord = 64

// Plausible tells whether a value can be one of a registered fact: it has its type, is one of its words, lies within
// its bounds, and could not be a card number.
func Plausible(f *codes.Fact, v any) bool {
	facts := report.Facts{"x": v}
	switch f.Kind() {
	case "bool":
		_, ok := v.(bool)
		return ok
	case "number":
		n, ok := facts.Num("x")
		return ok && !math.IsNaN(n) && n >= f.Low && n <= f.High
	case "list":
		list := facts.Strings("x")
		return list != nil && (len(f.Words) == 0 ||
			!slices.ContainsFunc(list, func(w string) bool { return !slices.Contains(f.Words, w) }))
	case "counts":
		return facts.Counts("x") != nil
	}
	s, ok := v.(string)
	if n, isNumber := facts.Num("x"); f.Type == "cause" && isNumber {
		return n >= 0 && n <= 255 // 3GPP 24.008, 10.5.6.6: one octet
	}
	switch {
	case !ok || len(s) > maxWord && f.Type != "name":
		return false
	case f.Type == "word":
		return slices.Contains(f.Words, s)
	}
	return !report.Suspect([]byte(s))
}

// Ramp maps x to 0 at a and to 1 at b, linearly between them and constant beyond. b may be the smaller one.
func Ramp(x, a, b float64) float64 { return max(0, min(1, (x-a)/(b-a))) }

// Choose returns x if b is true, else y. Both are evaluated.
func Choose[T any](b bool, x, y T) T {
	if b {
		return x
	}
	return y
}

// causeText returns the 3GPP cause that an item holds, which modems give as a number or as text.
func causeText(it *Item) string {
	if v, ok := it.Facts.Num(string(Cause)); ok {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	s := it.str(Cause)
	return strings.TrimPrefix(strings.TrimPrefix(s, "#"), "cause ")
}

// Empty tells whether the value is a text of no characters, as devices give that have nothing to say.
func (v Value) Empty() bool { return v.value == "" }

// Registered is how a fact is registered: its type, words and bounds.
type Registered = codes.Fact

// A Reportable is a check that the payment application may report over the hook, always under the same subject.
type Reportable struct {
	Check   Check
	Subject string       // under which it is reported
	Facts   []Registered // that may be reported
}

// Reportables are the checks that the payment application may report.
func Reportables() []Reportable {
	k := codes.Builtin()
	var list []Reportable
	for _, c := range k.Checks {
		if c.Hook == "" {
			continue
		}
		r := Reportable{Check: Check(c.Name), Subject: c.Hook}
		for _, f := range k.FactsOf(c.Name) {
			if f.Hook {
				r.Facts = append(r.Facts, f)
			}
		}
		list = append(list, r)
	}
	return list
}

// Reported makes evidence of what the payment application reported of the check, judged by the built-in limits.
func (r *Reportable) Reported(facts report.Facts) report.Evidence {
	e := report.Evidence{Check: string(r.Check), Subject: r.Subject, Facts: facts, Depth: report.Internal}
	Grade(&e, codes.Builtin())
	return e
}
