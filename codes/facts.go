package codes

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// A Fact is one thing that a check can measure, as it is registered in checks.txt.
type Fact struct {
	Check   string
	Name    string
	Type    string   // bool int float word name text code cause list counts
	Unit    string   // "" for none
	Words   []string // that a word or list may hold
	Low     float64  // plausible values of a number; one outside counts as unknown
	High    float64
	Display bool   // it is only shown: no finding reads it, and Why says why
	Hook    bool   // the payment application may report it
	Why     string // of a display-only fact
}

// Number tells whether the fact is a number.
func (f *Fact) Number() bool { return f.Type == "int" || f.Type == "float" }

// Kind is the kind of Go value that holds the fact: bool, number, text, list or counts.
func (f *Fact) Kind() string {
	switch f.Type {
	case "bool", "list", "counts":
		return f.Type
	case "int", "float":
		return "number"
	}
	return "text"
}

// News is what a finding means for the health of the check that shows it.
type News string

// Kinds of news.
const (
	GoodNews News = "good" // the check is well
	Note     News = "note" // neither well nor ill: what was found, not how well it is
	PoorNews News = "poor" // the check is poor at worst
	BadNews  News = "bad"  // the check is bad from the limit on
)

// A Limit says when the facts of one check show a finding, and how strongly.
//
// Without a Fact the finding shows with strength Full when all conditions hold. With one, its strength rises with the
// fact's value from 0 at Poor to 1 at Full, whichever of the two is larger, and the value grades the check: fair
// beyond Fair, poor beyond Poor, bad from Bad on. The strength of good news rises from 0 at Bad to 1 at Full.
type Limit struct {
	Finding string
	Check   string
	When    []Cond // all must hold
	Fact    string // a number, measured or derived; "" for none
	Grades  bool   // Fair is set
	Fair    float64
	Poor    float64
	Bad     float64
	Full    float64
	News    News
	Joined  bool // several checks show the finding together, and this is one of them
}

// FindingNews is what a finding means for the health of its check.
type FindingNews struct {
	Finding string
	News    News
}

// A Cond is a condition on one fact of a check.
type Cond struct {
	Fact   string
	Op     string   // is not (bool); eq ne (one of Words); ge le gt lt (Number); known unknown; Claimed, Joined
	Words  []string // of eq and ne
	Number float64  // of ge le gt lt
}

// Claimed is the condition that holds where the sender of evidence calls it bad and its facts do not show why.
const Claimed = "claimed"

// Joined is the condition of a finding that several checks show together, or the sale does. Package evidence decides
// it in Go.
const Joined = "joined"

var factTypes = [...]string{"bool", "int", "float", "word", "name", "text", "code", "cause", "list", "counts"}

// checks reads checks.txt: each check in a block, with the facts that it can measure.
func (p *parser) checks() {
	seen := lines{}
	kinds := map[string]string{}
	for _, b := range p.blocks("checks.txt", "check") {
		b.only("zh", "en", "touches", "fact")
		r := b.head.parts("fresh", "depth", "hook")
		c := Check{r.once(seen, "check"), r.number("fresh", 1, 1e6), r.one("depth", "internal", "external"), r.str("hook"), b.text(), b.say("touches").str("touches")}
		p.k.Checks = append(p.k.Checks, c)
		own := lines{}
		for _, e := range b.body {
			if e.word == "fact" {
				r := e.parts("type", "unit", "low", "high", "words", "use", "hook")
				p.fact(r, Fact{Check: c.Name, Name: r.once(own, "fact")}, kinds)
			}
		}
	}
	sort.Slice(p.k.Checks, func(i, j int) bool { return p.k.Checks[i].Name < p.k.Checks[j].Name })
	sort.SliceStable(p.k.Facts, func(i, j int) bool {
		a, b := &p.k.Facts[i], &p.k.Facts[j]
		return a.Check < b.Check || a.Check == b.Check && a.Name < b.Name
	})
}

// fact reads one fact of a check. Facts of one name hold one kind of value, whichever check measures them.
func (p *parser) fact(r row, f Fact, kinds map[string]string) {
	f.Type, f.Unit, f.Why = r.one("type", factTypes[:]...), r.str("unit"), r.str("why")
	f.Display = r.one("use", "display", "") == "display"
	f.Hook = r.one("hook", "yes", "") == "yes"
	if k := kinds[f.Name]; k != "" && k != f.Kind() {
		r.problem("column type: %s is a %s elsewhere; a fact of one name holds one kind of value", f.Name, k)
	}
	kinds[f.Name] = f.Kind()
	if f.Number() {
		f.Low, f.High = r.number("low", -1e18, 1e18), r.number("high", f.Low, 1e18)
	} else if r.str("low")+r.str("high") != "" {
		r.problem("column low: only numbers have bounds")
	}
	if f.Words = r.list("words"); f.Words == nil && f.Type == "word" {
		r.problem("column words: a word fact needs its words")
	}
	if f.Display && f.Why == "" {
		r.problem("column why: say why nothing judges %s", f.Name)
	}
	for _, w := range f.Words {
		if !slices.ContainsFunc(p.k.Words, func(o Word) bool { return o.Kind == KindFact && o.ID == w }) {
			r.problem("words.tsv has no fact %q", w)
		}
	}
	p.k.Facts = append(p.k.Facts, f)
}

// KindFact is the Word.Kind of the words that facts hold.
const KindFact = "fact"

// Fact returns how a fact of a check is registered, nil if it is not.
func (k *Knowledge) Fact(check, name string) *Fact {
	i := sort.Search(len(k.Facts), func(i int) bool {
		f := &k.Facts[i]
		return f.Check > check || f.Check == check && f.Name >= name
	})
	if i < len(k.Facts) && k.Facts[i].Check == check && k.Facts[i].Name == name {
		return &k.Facts[i]
	}
	return nil
}

// FactsOf returns the facts of a check, sorted by name.
func (k *Knowledge) FactsOf(check string) []Fact {
	from := sort.Search(len(k.Facts), func(i int) bool { return k.Facts[i].Check >= check })
	to := from
	for to < len(k.Facts) && k.Facts[to].Check == check {
		to++
	}
	return k.Facts[from:to]
}

// LimitsOf returns the limits of a check in the order of the table.
func (k *Knowledge) LimitsOf(check string) []Limit {
	from := sort.Search(len(k.Limits), func(i int) bool { return k.Limits[i].Check >= check })
	to := from
	for to < len(k.Limits) && k.Limits[to].Check == check {
		to++
	}
	return k.Limits[from:to]
}

// derived are numbers that agent/evidence calculates from facts. Lines of findings.txt may use them like facts.
var derived = [...]string{"sunset_days", "offset_abs_s", "load_each", "available_pct", "below_critical", "errors_1h", "drops_1h", "spoiled_1h",
	"spoiled", "chars_spoiled_ppm", "frames_spoiled_pct", "failed_pct"}

// findings reads findings.txt: each finding in a block, with what shows it and what it says of causes.
func (p *parser) findings() {
	seen := lines{}
	for _, b := range p.blocks("findings.txt", "finding") {
		b.only("zh", "en", string(GoodNews), string(Note), string(PoorNews), string(BadNews), "for", "against")
		r := b.head.parts("of", "family", "kind")
		s := Sign{Name: r.once(seen, "finding"), Check: r.must("of"), Family: r.must("family"),
			Tells: r.one("kind", "fault", "tell") == "tell", Text: b.text()}
		p.limits(b, &s)
		p.weights(b, &s)
		p.k.Inference.Signs = append(p.k.Inference.Signs, s)
	}
	sort.SliceStable(p.k.Limits, func(i, j int) bool { return p.k.Limits[i].Check < p.k.Limits[j].Check })
	sort.Slice(p.k.News, func(i, j int) bool { return p.k.News[i].Finding < p.k.News[j].Finding })
	sort.Slice(p.k.Inference.Signs,
		func(i, j int) bool { return p.k.Inference.Signs[i].Name < p.k.Inference.Signs[j].Name })
}

// limits reads what shows a finding, and from which value on.
func (p *parser) limits(b block, s *Sign) {
	from, joined := len(p.k.Limits), false
	for _, e := range b.body {
		news := News(e.word)
		if news != GoodNews && news != Note && news != PoorNews && news != BadNews {
			continue
		}
		r := e.parts("of", "when", "by", "fair", "poor", "bad", "full", "strength")
		q := Limit{Finding: s.Name, Check: cmp.Or(r.str("of"), s.Check), News: news, Fact: r.str("by"), Full: 1}
		if r.cells[0] != "-" {
			r.problem("%q: what shows a finding begins with of, when or by", r.cells[0])
		}
		if !p.isCheck(q.Check) && !strings.HasPrefix(q.Check, "ask.") {
			r.problem("no check %q", q.Check)
		}
		when := strings.Fields(r.str("when"))
		if len(when) == 0 && q.Fact == "" {
			r.problem("say when: conditions, or always")
		}
		for _, w := range when {
			if w != "always" {
				q.When = append(q.When, p.cond(r, q.Check, w))
			}
		}
		joined = joined || len(q.When) == 1 && q.When[0].Op == Joined
		p.limit(r, &q)
		if from < len(p.k.Limits) && (p.k.Limits[from].News == GoodNews) != (news == GoodNews) {
			r.problem("finding %q is good news in one line and not in another", s.Name)
		}
		p.k.Limits = append(p.k.Limits, q)
	}
	if from == len(p.k.Limits) {
		b.head.problem("nothing says what shows the finding %q", s.Name)
		return
	}
	p.k.News = append(p.k.News, FindingNews{s.Name, p.k.Limits[from].News})
	for i := range p.k.Limits[from:] {
		p.k.Limits[from+i].Joined = joined
	}
}

// weights reads what a finding says of causes. What speaks strongly must say on what it rests.
func (p *parser) weights(b block, s *Sign) {
	seen := lines{}
	for _, e := range b.body {
		if e.word != "for" && e.word != "against" {
			continue
		}
		r := e.parts()
		name, causes, _ := strings.Cut(r.must(e.word), " ")
		w := Strength(slices.Index(words[:], name) + 1)
		if w == 0 {
			r.problem("%q is none of %s", name, strings.Join(words[:], " "))
			continue
		}
		if w >= Strong && !sourced(r.str("why")) {
			r.problem("what is %s says on what it rests, with its source in brackets: -- why [source]", name)
		}
		if causes == "" {
			r.problem("%s %s: which causes?", e.word, name)
		}
		if e.word == "against" {
			w = -w
		}
		for _, c := range p.causesIn(r, e.word, causes) {
			if line, ok := seen[c]; ok {
				r.problem("cause %q stands in line %d already", c, line)
				continue
			}
			seen[c] = r.line
			s.Weights = append(s.Weights, Weight{c, w})
		}
	}
	sort.Slice(s.Weights, func(i, j int) bool { return s.Weights[i].Cause < s.Weights[j].Cause })
}

// NewsOf returns what a finding means for the health of its check; for an unknown finding it is Note.
func (k *Knowledge) NewsOf(finding string) News {
	i := sort.Search(len(k.News), func(i int) bool { return k.News[i].Finding >= finding })
	if i == len(k.News) || k.News[i].Finding != finding {
		return Note
	}
	return k.News[i].News
}

// limit reads the numbers of a limit.
func (p *parser) limit(r row, q *Limit) {
	limit := func(column string, otherwise float64) float64 {
		if r.str(column) == "" {
			return otherwise
		}
		return r.number(column, -1e9, 1e9)
	}
	if q.Fact == "" {
		if q.Full = limit("strength", 1); !(q.Full > 0 && q.Full <= 1) || r.str("fair")+r.str("poor")+r.str("bad")+r.str("full") != "" {
			r.problem("without by and a fact there is a strength above 0 and up to 1, and no limits")
		}
		return
	}
	if r.str("strength") != "" {
		r.problem("with by and a fact the limits make the strength")
	}
	if !p.measured(q.Check, q.Fact) {
		r.problem("by: %s measures no number %q", q.Check, q.Fact)
	}
	switch q.News {
	case GoodNews:
		q.Bad, q.Full = r.number("bad", -1e9, 1e9), r.number("full", -1e9, 1e9)
		q.Poor = q.Bad
	case PoorNews, Note:
		q.Poor, q.Full = r.number("poor", -1e9, 1e9), r.number("full", -1e9, 1e9)
		q.Bad = math.Copysign(math.MaxFloat32, q.Full-q.Poor)
	default:
		q.Poor, q.Bad = r.number("poor", -1e9, 1e9), r.number("bad", -1e9, 1e9)
		q.Full = limit("full", q.Bad)
		if (q.Bad > q.Poor) != (q.Full > q.Poor) || q.Bad == q.Poor {
			r.problem("bad and full lie on the same side of poor")
		}
	}
	q.Grades, q.Fair = r.str("fair") != "", limit("fair", 0)
	if q.Poor == q.Full {
		r.problem("a strength rises between two different values")
	}
}

// measured tells whether a check has a number of this name, measured or reckoned.
func (p *parser) measured(check, name string) bool {
	f := p.k.Fact(check, name)
	return f != nil && f.Number() || slices.Contains(derived[:], name)
}

// cond reads "carrier", "!carrier", "source=mains|battery", "source!=battery", "load1?", "!load1?", "cards>=5".
func (p *parser) cond(r row, check, w string) Cond {
	if w == Claimed || w == Joined {
		return Cond{Op: w}
	}
	c := Cond{}
	for _, o := range [...]struct{ sign, op string }{{">=", "ge"}, {"<=", "le"}, {"!=", "ne"}, {"=", "eq"}, {">", "gt"}, {"<", "lt"}} {
		name, value, ok := strings.Cut(w, o.sign)
		if !ok {
			continue
		}
		c.Fact, c.Op = name, o.op
		f := p.k.Fact(check, name)
		if o.op == "eq" || o.op == "ne" {
			c.Words = strings.Split(value, "|")
			for _, v := range c.Words {
				if f == nil || f.Type == "word" && !slices.Contains(f.Words, v) {
					r.problem("column when: %q: %s has no word %q", w, name, v)
				}
			}
			return c
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !p.measured(check, name) {
			r.problem("column when: %q compares no number of %s", w, check)
		}
		c.Number = n
		return c
	}
	name, not := strings.CutPrefix(w, "!")
	name, known := strings.CutSuffix(name, "?")
	c.Fact = name
	switch {
	case known && not:
		c.Op = "unknown"
	case known:
		c.Op = "known"
	case not:
		c.Op = "not"
	default:
		c.Op = "is"
	}
	if f := p.k.Fact(check, name); f == nil && !p.measured(check, name) || !known && f.Type != "bool" {
		r.problem("column when: %q: %s has no such yes-or-no fact", w, check)
	}
	return c
}

// FreshFor returns for how many seconds the result of a check counts in full, 0 for an unknown check.
func (k *Knowledge) FreshFor(check string) float64 {
	c, ok := k.Check(check)
	if !ok {
		return 0
	}
	return c.Fresh
}
