package hook

import (
	"fmt"
	"net/netip"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// reportables are the checks that a payment app may report.
var reportables = evidence.Reportables()

// take checks one value against its fact. It returns the value as report.Facts hold it, and a problem.
func take(f *evidence.Registered, raw []byte) (value any, problem string) {
	switch f.Type {
	case "bool":
		b := string(raw) == "true"
		if !b && string(raw) != "false" {
			return nil, "want true or false"
		}
		return b, ""
	case "int", "float":
		n, ok := decimal(raw)
		if !ok || n < f.Low || n > f.High {
			return nil, fmt.Sprintf("want a number from %g to %g", f.Low, f.High)
		}
		return n, ""
	case "code":
		s, ok := unquote(raw)
		if !ok || source.CodeProblem(View(s)) != "" {
			return nil, `want a response code, or "none" if no answer came`
		}
		return string(s), ""
	case "word":
		if s, ok := unquote(raw); ok && source.OneOf(View(s), f.Words) {
			return string(s), ""
		}
		return nil, "want one of " + strings.Join(f.Words, " ")
	case "list":
		in, ok := elements(raw)
		list := make([]string, 0, len(f.Words))
		for _, e := range in {
			s, isText := unquote(e)
			if ok = ok && isText && source.OneOf(View(s), f.Words) && len(list) < len(f.Words); !ok {
				break
			}
			list = append(list, string(s))
		}
		if !ok {
			return nil, "want a list of " + strings.Join(f.Words, " ")
		}
		return list, ""
	}
	s, ok := unquote(raw)
	if f.Name == evidence.PublicAddress.Name() { // it may have twelve digits and be no card
		a, err := netip.ParseAddr(View(s))
		if !ok || err != nil || a.Zone() != "" {
			return nil, "want an IP address"
		}
		return a.String(), ""
	}
	if !ok || !source.Word(View(s), source.MaxWord) {
		return nil, "want a version: at most 64 of A-Z a-z 0-9 . _ - + :"
	}
	return string(s), ""
}

// judged makes evidence of what the payment app reports. Facts that the contract does not have are ignored and named;
// those with a wrong value are left out and named with what is wrong.
func judged(r *evidence.Reportable, in []pair) (ev report.Evidence, ignored, warnings []string) {
	facts, m := report.Facts{}, members{raw: in}
	for i := range r.Facts {
		f := &r.Facts[i]
		raw, ok := m.get(f.Name)
		if !ok {
			continue
		}
		value, problem := take(f, raw)
		if problem != "" {
			warnings = append(warnings, "facts."+f.Name+": "+problem)
			continue
		}
		facts[f.Name] = value
	}
	if n := len(m.raw); n > 0 {
		ignored = append(ignored, fmt.Sprintf("%d of facts", n))
	}
	if len(facts) == 0 {
		return ev, ignored, warnings
	}
	return r.Reported(facts), ignored, warnings
}
