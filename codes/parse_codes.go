package codes

import (
	"path"
	"slices"
	"sort"
	"strings"
)

// The words of the tables. A new one needs code that understands it, hence no data file.
var (
	writers  = []string{"acquirer", "switch", "issuer", "terminal", "cashier"}
	domains  = []string{"none", "unknown", "operator", "card-medium", "cardholder-account", "issuer", "risk", "scheme-switch", "acquirer-host", "merchant-config", "terminal-config", "terminal-keys", "terminal-hardware", "network-path"}
	retries  = []string{"no", "yes", "unknown", "after-signin", "after-reversal"}
	segments = []string{"card", "operator", "reader", "pinpad", "printer", "terminal", "modem", "lan", "wan", "acquirer", "switch", "issuer", "unknown", "-"}
	actors   = []string{"staff", "technician", "acquirer", "carrier", "issuer", "cardholder", "none"}
	verdicts = []string{"true", "false", "partly", "unknowable"}
)

// maxCode is the longest code of a document, in characters.
const maxCode = 64

func isWriter(w string) bool { return slices.Contains(writers, w) }

func (p *parser) sources() {
	seen := lines{}
	for _, r := range p.rows("sources.tsv", "key", "what") {
		p.k.Sources = append(p.k.Sources, Source{r.once(seen, "key"), r.must("what")})
	}
	sort.Slice(p.k.Sources, func(i, j int) bool { return p.k.Sources[i].Key < p.k.Sources[j].Key })
}

// schemes reads the list of code tables, and then each table.
func (p *parser) schemes() {
	seen, want := lines{}, map[string]row{}
	for _, r := range p.rows("schemes.tsv", "name", "number", "rows", "zh", "en", "writers") {
		s := Scheme{r.once(seen, "name"), r.text("zh", "en"), r.listOf("writers", "writer", isWriter)}
		p.number(r, "scheme", s.Name, 63)
		p.k.Schemes = append(p.k.Schemes, s)
		want[s.Name] = r
		if p.files["codes/"+s.Name+".tsv"] == nil {
			p.problem("codes/"+s.Name+".tsv", 0, "the file of scheme %q is missing", s.Name)
		}
	}
	sort.Slice(p.k.Schemes, func(i, j int) bool { return p.k.Schemes[i].Name < p.k.Schemes[j].Name })
	for _, name := range p.names("codes") {
		scheme, before := strings.TrimSuffix(path.Base(name), ".tsv"), len(p.k.Meanings)
		p.meanings(name, scheme, &p.k.Meanings)
		n := len(p.k.Meanings) - before
		if r, ok := want[scheme]; ok && n != int(r.number("rows", 1, maxRows)) {
			r.problem("column rows: %s has %d; was one lost, or is this number to follow?", name, n)
		}
	}
	sortMeanings(p.k.Meanings)
}

// meanings reads one table of codes. The rows of a shared code space may hold a code several times, once for each
// source; all others only once.
func (p *parser) meanings(file, scheme string, into *[]Meaning) {
	if _, ok := p.k.Scheme(scheme); !ok && !strings.HasPrefix(file, "overrides/") {
		p.problem(file, 0, "no scheme %q in schemes.tsv", scheme)
		return
	}
	seen := map[string]int{}
	for _, r := range p.rows(file, "code", "en", "zh", "class", "domain", "retry", "maps", "sent_by", "sources", "disputed", "note") {
		m := Meaning{
			Scheme:   scheme,
			Code:     r.must("code"),
			Text:     r.text("zh", "en"),
			Class:    r.str("class"),
			Domain:   r.one("domain", domains...),
			Retry:    r.one("retry", retries...),
			Maps:     r.str("maps"),
			SentBy:   r.listOf("sent_by", "writer", isWriter),
			Sources:  r.listOf("sources", "source in sources.tsv", func(s string) bool { _, ok := p.k.Source(s); return ok }),
			Disputed: r.one("disputed", "yes", "") == "yes",
			Note:     r.str("note"),
		}
		m.Code, m.Pattern = strings.CutPrefix(m.Code, "~")
		if len(m.Code) > maxCode {
			r.problem("code %q is longer than %d characters", m.Code, maxCode)
		}
		if len(m.Sources) == 0 {
			r.problem("code %q has no source", m.Code)
		}
		if strings.ContainsFunc(m.Note, chinese) {
			r.problem("column note: Chinese in %q", m.Note)
		}
		if n, ok := seen[m.Code]; ok {
			if scheme != SchemeAcquirer {
				r.problem("code %q stands in line %d already", m.Code, n)
			} else if !m.Disputed {
				r.problem("code %q stands in line %d too, so it is disputed", m.Code, n)
			}
		}
		seen[m.Code] = r.line
		*into = append(*into, m)
	}
}
