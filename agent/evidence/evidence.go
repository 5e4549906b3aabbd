// Package evidence is the judge: from what the checks measured it makes status, level and findings. It is the only
// place, with the tables it reads, that holds a limit. Probes, sources and the engine ask it; it asks nobody.
//
// It is pure: no clock, no I/O, no state. What a check may measure is registered in package codes, whose generator
// makes the constants of names.go from it, so that a check or a fact that is not registered does not compile.
package evidence

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// A Check is one kind of evidence.
type Check string

// A Fact is a name under which a check reports a value of type T.
type Fact[T bool | float64 | string | []string | map[string]float64] string

// A Level grades a check from good to bad. Poor is still ok, and counts.
type Level string

// Levels, from the best.
const (
	LevelGood Level = "good"
	LevelFair Level = "fair"
	LevelPoor Level = "poor"
	LevelBad  Level = "bad"
)

var levels = [...]Level{LevelGood, LevelFair, LevelPoor, LevelBad}

// worse returns the worse of two levels; one that is not known is no worse than any.
func worse(a, b Level) Level {
	if slices.Index(levels[:], b) > slices.Index(levels[:], a) {
		return b
	}
	return a
}

// A Value is a fact with what was measured.
type Value struct {
	name  string
	value any
}

// Is pairs a fact with its value.
func (f Fact[T]) Is(v T) Value { return Value{string(f), v} }

// Name is the fact's name in the documents.
func (f Fact[T]) Name() string { return string(f) }

// Of returns the fact in f; ok is false if it is not known.
func (f Fact[T]) Of(facts report.Facts) (v T, ok bool) {
	switch p := any(&v).(type) {
	case *bool:
		*p, ok = facts.Bool(string(f))
	case *float64:
		*p, ok = facts.Num(string(f))
	case *string:
		*p, ok = facts.Str(string(f))
	case *[]string:
		*p = facts.Strings(string(f))
		ok = *p != nil
	case *map[string]float64:
		*p = facts.Counts(string(f))
		ok = *p != nil
	}
	return v, ok
}

// New returns what a check found, with the status and level that the built-in limits give it.
func New(c Check, subject string, values ...Value) report.Evidence {
	e := report.Evidence{Check: string(c), Subject: subject, Facts: factsOf(c, values)}
	Grade(&e, codes.Builtin())
	return e
}

// CannotTell returns a check that was made and could not tell; reason is one of report's.
func CannotTell(c Check, subject, reason string, values ...Value) report.Evidence {
	return unanswered(c, subject, report.CannotTell, reason, values)
}

// NotRun returns a check that was not made; reason is one of report's.
func NotRun(c Check, subject, reason string, values ...Value) report.Evidence {
	return unanswered(c, subject, report.NotRun, reason, values)
}

// Said returns evidence that was not measured here: what the fleet reports about other terminals. It is bad where they
// have the same trouble.
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

// Plausible tells whether a value can be one of a registered fact: its type, its words, its bounds.
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

// Unknown returns the facts of a piece of evidence that are not registered for its check, sorted: they are kept, shown
// by name, and judged by nobody. Level and reason belong to every check.
func Unknown(e *report.Evidence, k *codes.Knowledge) []string {
	var list []string
	for name := range e.Facts {
		if name != "level" && name != "reason" && k.Fact(e.Check, name) == nil {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Worth rounds a measurement to the digits that it is good for: tenths.
func Worth(v float64) float64 { return math.Round(v*10) / 10 }

// Ramp rises from 0 at a to 1 at b, whichever is larger.
func Ramp(x, a, b float64) float64 { return max(0, min(1, (x-a)/(b-a))) }

// Choose is x if b holds, else y. Both are worked out.
func Choose[T any](b bool, x, y T) T {
	if b {
		return x
	}
	return y
}

// causeText is a 3GPP cause, which is a number or a text.
func causeText(it *Item) string {
	if v, ok := it.Facts.Num(string(Cause)); ok {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	s := it.str(Cause)
	return strings.TrimPrefix(strings.TrimPrefix(s, "#"), "cause ")
}

// Empty tells a text of no characters, which a device leaves that says nothing.
func (v Value) Empty() bool { return v.value == "" }

// Registered is the registration of a fact: its type, words and bounds.
type Registered = codes.Fact

// A Reportable is a check that the payment application may report, under its subject and with these facts.
type Reportable struct {
	Check   Check
	Subject string
	Facts   []Registered
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

// Reported returns what the payment application said of a check, judged.
func (r *Reportable) Reported(facts report.Facts) report.Evidence {
	e := report.Evidence{Check: string(r.Check), Subject: r.Subject, Facts: facts, Depth: report.Internal}
	Grade(&e, codes.Builtin())
	return e
}
