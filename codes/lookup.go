package codes

import (
	"cmp"
	"slices"
	"strings"
)

// A Profile says how the codes of one acquirer are read.
type Profile struct {
	Name   string
	Title  Text
	Base   string   // the scheme of its codes
	Also   []string // further schemes to look in, in this order
	Source string   // key of the source whose meanings of the shared four-character codes hold here; "" is not known
	// a sale may be made of a stripe's track 1 alone (ISO 8583 field 45); else it needs track 2 (field 35)
	Track1    bool
	Overrides []Meaning // rows that stand before those of the base scheme; sorted by code
	Rules     []Rule    // longer codes that hold a code of the base scheme, tried in order
}

// A Rule finds a code of the base scheme inside a longer one, by a pattern (see Match).
type Rule struct {
	Pattern string
	Note    string // where the rule is from
}

// Profile returns the profile with this name.
func (k *Knowledge) Profile(name string) (Profile, bool) {
	if p := k.profile(name); p != nil {
		return *p, true
	}
	return Profile{}, false
}

// Match tells whether a code has the form of a pattern, in which ? is a letter or digit, n and t a digit, x a letter
// or digit of the code inside, and anything else stands for itself. inside is what stands in the place of the x, "" if
// the pattern has none.
func Match(pattern, code string) (inside string, ok bool) {
	if len(pattern) != len(code) {
		return "", false
	}
	from, to := 0, 0
	for i := range len(pattern) {
		c := code[i]
		digit := c >= '0' && c <= '9'
		switch pattern[i] {
		case 'n', 't':
			ok = digit
		case '?':
			ok = digit || c >= 'A' && c <= 'Z'
		case 'x':
			if ok = digit || c >= 'A' && c <= 'Z'; to == 0 {
				from = i
			}
			to = i + 1
		default:
			ok = c == pattern[i]
		}
		if !ok {
			return "", false
		}
	}
	return code[from:to], true
}

// Lookup returns what a code means in a scheme. Letters may be of either case, and the terminal's own errors may lack
// the maker's name before their colon. Where the sources print different meanings, the first one is returned, marked
// as disputed.
func (k *Knowledge) Lookup(scheme, code string) (Meaning, bool) {
	rows := k.rows(scheme, code)
	if len(rows) == 0 {
		return Meaning{}, false
	}
	return rows[0], true
}

// Readings returns every meaning that the sources of a scheme print for a code, in the order of the table.
func (k *Knowledge) Readings(scheme, code string) []Meaning { return k.rows(scheme, code) }

// rows returns all rows of a code in a scheme.
func (k *Knowledge) rows(scheme, code string) []Meaning {
	table := k.table(scheme)
	if rows := exact(table, code); len(rows) > 0 {
		return rows
	}
	if upper := strings.ToUpper(code); upper != code {
		if rows := exact(table, upper); len(rows) > 0 {
			return rows
		}
	}
	for i := range table {
		if table[i].Pattern {
			if _, ok := Match(table[i].Code, code); ok {
				return table[i : i+1]
			}
		}
	}
	if scheme == SchemeLocal {
		return bare(table, code)
	}
	return nil
}

// table returns all rows of a scheme.
func (k *Knowledge) table(scheme string) []Meaning {
	from, _ := slices.BinarySearchFunc(k.Meanings, scheme,
		func(m Meaning, s string) int { return strings.Compare(m.Scheme, s) })
	to := from
	for to < len(k.Meanings) && k.Meanings[to].Scheme == scheme {
		to++
	}
	return k.Meanings[from:to]
}

// exact returns the rows with this code of rows sorted by code.
func exact(rows []Meaning, code string) []Meaning {
	from, _ := slices.BinarySearchFunc(rows, code, func(m Meaning, c string) int { return strings.Compare(m.Code, c) })
	to := from
	for to < len(rows) && rows[to].Code == code {
		to++
	}
	return rows[from:to]
}

// bare returns the rows whose code is this one behind its colon: E5 finds newpos:E5. A name that any program may give
// its errors is that alone, though a maker has one like it: whoever writes for the maker writes its prefix too.
func bare(table []Meaning, code string) []Meaning {
	var found, anyProgram []Meaning
	for i := range table {
		if _, name, ok := strings.Cut(table[i].Code, ":"); ok && strings.EqualFold(name, code) {
			found = append(found, table[i])
			if table[i].Class == ClassAnyName {
				anyProgram = append(anyProgram, table[i])
			}
		}
	}
	if len(anyProgram) > 0 {
		return anyProgram
	}
	return found
}

// ClassAnyName is the class of names that any program may give its errors; no maker's table says what they mean.
const ClassAnyName = "string"

// All returns every meaning of a code in every scheme, in the order of the schemes' names.
func (k *Knowledge) All(code string) []Meaning {
	var all []Meaning
	for i := range k.Schemes {
		all = append(all, k.rows(k.Schemes[i].Name, code)...)
	}
	return all
}

// A Resolution is what a code means at one terminal, and how well that is known.
type Resolution struct {
	Meaning Meaning // the zero value if the code is not known
	Known   bool    // some table searched has the code
	Lent    bool    // the meaning is from another scheme's table, since the code's own has none
	Usable  bool    // the meaning holds here: the table suits who wrote the code, and its sources do not leave several
	Scheme  string  // the table that has it
	// the base scheme's code inside a longer one, by a rule of the profile or as the source prints it; "" if none
	Decoded  string
	Rows     int      // how many meanings that table has for the code
	Searched []string // the tables looked in, in order
}

// Own reports whether the code is the terminal's own or its card's, by the table that has it: no host wrote it.
func (r Resolution) Own() bool { return own(r.Scheme) }

func own(scheme string) bool {
	return scheme == SchemeLocal || scheme == SchemeReversal || scheme == SchemeCard
}

// Who wrote a code.
const (
	originHost     = "host"
	originTerminal = "terminal"
	originCashier  = "cashier"
)

// IsReversal tells whether a message of this type carries the terminal's own reason in field 39: a reversal request or
// advice (0400, 0401, 0420, 0421) of any version of ISO 8583.
func IsReversal(mti string) bool {
	return len(mti) == 4 && mti[1] == '4' && (mti[2] == '0' || mti[2] == '2')
}

// Resolve returns what a code means at a terminal with a profile, written by an origin (a value of report.Origin).
//
// Who wrote a code selects the table. With scheme "" it is the profile's for the host, the terminal's own errors for
// the terminal, and the four-character codes for a cashier program. A host's table may explain what a terminal wrote,
// but is not Usable then: such a code is no verdict of a host. A bare code of a host is never one of the terminal's
// own errors. Two characters that the scheme lacks are read as field 39 of ISO 8583:1987 and marked as disputed.
func (k *Knowledge) Resolve(p Profile, scheme, code, origin string) Resolution {
	r := k.resolve(p, scheme, code, origin)
	if two := threePlaces(code); two != "" && !r.Known {
		if short := k.resolve(p, scheme, two, origin); short.Known {
			short.Decoded = two
			return short
		}
	}
	return r
}

func (k *Knowledge) resolve(p Profile, scheme, code, origin string) Resolution {
	var r Resolution
	names, lent := k.tables(p, scheme, code, origin)
	for _, name := range names {
		r.Searched = append(r.Searched, name)
		if k.resolveIn(&r, p, name, code) {
			if name == lent && !lend(&r.Meaning) {
				r = Resolution{Searched: r.Searched}
				continue
			}
			r.Known, r.Scheme, r.Lent = true, r.Meaning.Scheme, name == lent && r.Meaning.Code != "00"
			r.Usable = r.Usable && suits(name, origin)
			return r
		}
	}
	return r
}

// schemeISO is the field 39 that nearly every host's own table began as.
const schemeISO = "iso8583-1987"

// schemeReject holds no field 39: why a switch threw a message away.
const schemeReject = "unionpay-reject"

// lend prepares a meaning that another scheme's table lends. Money is never said to have moved on another's word: but
// for 00, the approval of every table, an approval is not lent.
func lend(m *Meaning) bool {
	if m.Code == "00" {
		return true
	}
	m.Disputed = true
	return !m.Approves() && m.Class != "partial"
}

// tables returns where to look, in order and none twice. lent is the one among them that only lends its meanings.
func (k *Knowledge) tables(p Profile, scheme, code, origin string) (names []string, lent string) {
	bareHost := origin == originHost && !strings.Contains(code, ":")
	add := func(more ...string) {
		for _, name := range more {
			if name == SchemeLocal && bareHost {
				continue // a host knows nothing of some make's own 14
			}
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	// An acquirer with longer codes of its own says more with them than the code inside.
	own := p.Source != "" && len(code) > 2 && (scheme == "" || scheme == p.Base)
	switch {
	case scheme == SchemeReversal || scheme == SchemeLocal || scheme == SchemeCard || scheme == SchemeAcquirer:
		add(scheme)
	case origin == originTerminal:
		add(SchemeLocal, SchemeCard, SchemeReversal, scheme)
	case origin == originCashier && len(code) > 2:
		add(SchemeAcquirer, scheme)
	default:
		if own {
			add(SchemeAcquirer)
		}
		add(scheme)
	}
	if scheme == "" || scheme == p.Base {
		add(p.Base)
		add(p.Also...)
	} else if own := k.profile(scheme); own != nil && own.Base == scheme {
		add(own.Also...) // what a scheme's own profile adds belongs to it wherever it is named
	}
	host := cmp.Or(scheme, p.Base)
	if s, ok := k.Scheme(host); ok && len(code) == 2 && origin != originTerminal && host != SchemeAcquirer &&
		host != schemeReject && !slices.Equal(s.Writers, []string{originTerminal}) &&
		!slices.Contains(names, schemeISO) {
		lent = schemeISO
		add(lent)
	}
	if scheme == "" {
		add(SchemeLocal, SchemeAcquirer)
	}
	return names, lent
}

// resolveIn looks for a code in one table and sets the meaning, whether it is the only one, and the code inside.
func (k *Knowledge) resolveIn(r *Resolution, p Profile, scheme, code string) bool {
	if scheme == p.Base {
		if rows := exact(p.Overrides, code); len(rows) > 0 {
			r.Meaning, r.Rows, r.Usable = rows[0], len(rows), true
			return true
		}
	}
	rows := k.rows(scheme, code)
	if len(rows) == 0 {
		return k.decode(r, p, scheme, code)
	}
	r.Meaning, r.Rows, r.Usable = shared(rows), len(rows), len(rows) == 1
	if scheme == SchemeAcquirer {
		// Every acquirer gives these characters its own meaning: without knowing whose they are, none holds.
		r.Usable, r.Meaning.Disputed = false, true
		for _, m := range rows {
			if p.Source != "" && slices.Contains(m.Sources, p.Source) {
				if m.Pattern {
					return k.decode(r, p, p.Base, code)
				}
				r.Meaning, r.Usable, r.Decoded = m, true, m.Maps
				r.Meaning.Disputed = false
				return true
			}
		}
		// Another source's row must not hide what a rule of this profile says.
		if k.decode(r, p, p.Base, code) {
			return true
		}
	}
	r.Decoded = r.Meaning.Maps
	return true
}

// ambiguous is the meaning of a code whose sources do not agree. It is shown instead of the first of several meanings.
var ambiguous = Text{"各系统对此码的定义不同，单凭此码无法判断", "Every system gives this code its own meaning; by itself it says nothing"}

// shared returns what the rows of one code have in common.
func shared(rows []Meaning) Meaning {
	m := rows[0]
	for _, n := range rows[1:] {
		m.Disputed = true
		if n.Domain != m.Domain {
			m.Code, m.Text, m.Class, m.Domain, m.Retry, m.Maps, m.Note = rows[0].Code, ambiguous, "", "unknown", "unknown", "", ""
		}
		for _, s := range n.Sources {
			if !slices.Contains(m.Sources, s) {
				m.Sources = append(slices.Clip(m.Sources), s)
			}
		}
	}
	return m
}

// decode tries the profile's rules where the base scheme, or the shared code space, has no such code itself.
func (k *Knowledge) decode(r *Resolution, p Profile, scheme, code string) bool {
	if scheme != p.Base && scheme != SchemeAcquirer {
		return false
	}
	for _, rule := range p.Rules {
		inside, ok := Match(rule.Pattern, code)
		if !ok {
			continue
		}
		if rows := exact(p.Overrides, inside); len(rows) > 0 {
			r.Meaning, r.Rows = rows[0], len(rows)
		} else if rows := k.rows(p.Base, inside); len(rows) > 0 {
			r.Meaning, r.Rows = rows[0], len(rows)
		} else {
			continue
		}
		r.Decoded, r.Usable = inside, true
		return true
	}
	return false
}

// suits tells whether a table holds codes that this origin writes.
func suits(scheme, origin string) bool {
	switch origin {
	case originHost:
		return !own(scheme)
	case originTerminal:
		return own(scheme)
	case originCashier:
		return scheme == SchemeAcquirer || scheme == SchemeLocal
	}
	return true
}

// Writers returns which origins (host, terminal, cashier) can have written a code of which nobody said who wrote it:
// those named by the tables that this profile looks in, in that order. It is empty for a code that no table has.
func (k *Knowledge) Writers(p Profile, scheme, code string) []string {
	var who [3]bool
	names, lent := k.tables(p, scheme, code, "")
	for _, name := range names {
		var r Resolution
		bareName := name == SchemeLocal && !strings.Contains(code, ":") // some make's own 77 is not this terminal's
		if bareName && who != [3]bool{} || !k.resolveIn(&r, p, name, code) || name == lent && !lend(&r.Meaning) {
			continue
		}
		writers := r.Meaning.SentBy
		if s, ok := k.Scheme(r.Meaning.Scheme); ok && len(writers) == 0 {
			writers = s.Writers
		}
		for _, w := range writers {
			switch w {
			case originTerminal:
				who[1] = true
			case originCashier:
				who[2] = true
			default: // acquirer, switch and issuer all answer through the host
				who[0] = true
			}
		}
	}
	var origins []string
	for i, o := range [...]string{originHost, originTerminal, originCashier} {
		if who[i] {
			origins = append(origins, o)
		}
	}
	return origins
}
