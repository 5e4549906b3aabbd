package hook

import (
	"bytes"
	"fmt"
	"strings"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

var changes = []string{"app_version", "kernel_version", "terminal_id", "merchant_id", "host_address", "tpdu", "apn", "phone_number",
	"certificate", "ip_config", "reader_firmware", "parameters"}

// A kind is what values a fact may have and which of them are bad.
type kind byte

const (
	yesIsGood kind = iota // true or false; false is bad
	yesIsBad
	number       // a number from 0; none is bad by itself
	countIsBad   // a number from 0; above 0 is bad
	signed       // a number; none is bad by itself
	version      // a word of at most 64 characters
	responseCode // a response code, or "none": no answer; anything but success is bad
	firstIsGood  // one of words; all but the first are bad
	listOfWords  // a list of members of words; none is bad by itself
)

// A fact is one thing a payment app may report, by the contract's names.
type fact struct {
	name  string
	kind  kind
	words []string
}

// A reportable is a check whose evidence comes from the payment app.
type reportable struct {
	check, subject string
	facts          []fact
}

var deviceOutcomes = []string{"ok", "silent", "fault", "no-paper", "paper-low", "jam", "cover-open", "over-heat"}

var reportables = []reportable{
	{"app.process", "payment-app", []fact{{name: "running", kind: yesIsGood}, {name: "restarts_24h", kind: number}, {name: "crashes_24h", kind: countIsBad}}},
	{"app.version", "payment-app", []fact{{name: "installed", kind: version}, {name: "expected", kind: version}, {name: "updated_age_s", kind: number}}},
	{"app.config", "payment-app", []fact{{name: "terminal_id_ok"}, {name: "merchant_id_ok"}, {name: "host_ok"}, {name: "tpdu_ok"}, {name: "apn_ok"},
		{name: "phone_ok"}, {name: "client_cert_days_left", kind: signed}, {name: "client_cert_refused", kind: yesIsBad}, {name: "changed_since_approval", kind: listOfWords, words: changes}}},
	{"app.operator", "payment-app", []fact{{name: "role_ok"}, {name: "menu_ok"}}},
	{"app.session", "payment-app", []fact{{name: "signed_in"}, {name: "signin_age_s", kind: number}, {name: "last_signin_result", kind: responseCode}}},
	{"app.keys", "payment-app", []fact{{name: "state", kind: firstIsGood, words: []string{"ok", "missing", "mismatch"}}, {name: "backup_cell_ok"}}},
	{"app.journal", "payment-app", []fact{{name: "pending_reversals", kind: countIsBad}, {name: "unsettled", kind: number}, {name: "stan_reused", kind: yesIsBad}}},
	{"pinpad.port", "pinpad", []fact{{name: "outcome", kind: firstIsGood, words: deviceOutcomes}}},
	{"printer.status", "printer", []fact{{name: "outcome", kind: firstIsGood, words: deviceOutcomes}}},
	{"board.clock", "system", []fact{{name: "offset_s", kind: signed}}},
	{"reader.reads", "reader0", []fact{{name: "good", kind: number}, {name: "failed", kind: number}, {name: "cards", kind: number},
		{name: "cards_failed", kind: number}, {name: "window_s", kind: number}}},
}

// take checks one value against the fact. It returns the value as Facts hold it, whether it is bad news, and a problem.
func (f fact) take(raw []byte) (value any, bad bool, problem string) {
	switch f.kind {
	case yesIsGood, yesIsBad:
		b := string(raw) == "true"
		if !b && string(raw) != "false" {
			return nil, false, "want true or false"
		}
		return b, b == (f.kind == yesIsBad), ""
	case number, countIsBad:
		n, ok := decimal(raw)
		if !ok || n < 0 || n > 1e10 {
			return nil, false, "want a number from 0 to 1e10"
		}
		return n, f.kind == countIsBad && n > 0, ""
	case signed:
		n, ok := decimal(raw)
		if !ok || n < -1e10 || n > 1e10 {
			return nil, false, "want a number from -1e10 to 1e10"
		}
		return n, false, ""
	case version:
		s, ok := unquote(raw)
		if !ok || !source.Word(View(s), source.MaxWord) {
			return nil, false, "want a version: at most 64 of A-Z a-z 0-9 . _ - + :"
		}
		return string(s), false, ""
	case responseCode:
		s, ok := unquote(raw)
		if !ok || source.CodeProblem(View(s)) != "" {
			return nil, false, `want a response code, or "none" if no answer came`
		}
		return string(s), len(bytes.Trim(s, "0")) > 0, ""
	case firstIsGood:
		if s, ok := unquote(raw); ok && source.OneOf(View(s), f.words) {
			return string(s), string(s) != f.words[0], ""
		}
		return nil, false, "want one of " + strings.Join(f.words, " ")
	case listOfWords:
		in, ok := elements(raw)
		list := make([]string, 0, len(f.words))
		for _, e := range in {
			s, isText := unquote(e)
			if ok = ok && isText && source.OneOf(View(s), f.words) && len(list) < len(f.words); !ok {
				break
			}
			list = append(list, string(s))
		}
		if !ok {
			return nil, false, "want a list of " + strings.Join(f.words, " ")
		}
		return list, false, ""
	}
	panic(fmt.Sprintf("fact %q: no such kind", f.name))
}

// fewCards is the number of distinct cards below which failed reads say nothing about the reader.
const fewCards = 4

// evidence makes evidence of what the payment app reports. Facts that are not of the contract are ignored and named,
// those with a wrong value are left out and named with the problem.
func (r reportable) evidence(in []pair) (ev report.Evidence, ignored, warnings []string) {
	ev = report.Evidence{Check: r.check, Subject: r.subject, Status: report.OK, Facts: report.Facts{}, Depth: report.Internal}
	m := members{raw: in}
	for _, f := range r.facts {
		raw, ok := m.get(f.name)
		if !ok {
			continue
		}
		value, bad, problem := f.take(raw)
		if problem != "" {
			warnings = append(warnings, "facts."+f.name+": "+problem)
			continue
		}
		ev.Facts[f.name] = value
		if bad {
			ev.Status = report.Bad
		}
	}
	if n := len(m.raw); n > 0 {
		ignored = append(ignored, fmt.Sprintf("%d of facts", n))
	}
	if len(ev.Facts) == 0 {
		return ev, ignored, warnings
	}
	switch r.check {
	case "app.config":
		if days, known := ev.Facts.Num("client_cert_days_left"); known && days < 0 {
			ev.Status = report.Bad
		}
	case "app.version":
		installed, _ := ev.Facts.Str("installed")
		expected, _ := ev.Facts.Str("expected")
		if installed != "" && expected != "" && installed != expected {
			ev.Status = report.Bad
		}
	case "printer.status", "pinpad.port":
		if o, _ := ev.Facts.Str("outcome"); o == "paper-low" {
			ev.Status, ev.Facts["level"] = report.OK, "poor"
		}
	case "reader.reads":
		cards, _ := ev.Facts.Num("cards")
		failed, _ := ev.Facts.Num("cards_failed")
		switch {
		case cards < fewCards:
			ev.Status, ev.Facts["reason"] = report.CannotTell, report.ReasonTooFew
		case failed*3 >= cards:
			ev.Status = report.Bad
		}
	}
	return ev, ignored, warnings
}
