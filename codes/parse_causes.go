package codes

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// causes reads the catalogue: each cause in a block, with its steps and the remedies that they carry out.
func (p *parser) causes() {
	const file = "causes.txt"
	remedies := p.remedies()
	seen := lines{}
	for _, b := range p.blocks(file, "cause") {
		own, steps := split(b.body, "step")
		c, r := block{b.head, own}, b.head.parts("number", "segment", "act", "visit")
		c.only("stages", "writers", "zh", "en")
		cause := Cause{
			ID:      r.once(seen, "cause"),
			Segment: r.one("segment", segments...),
			Act:     r.one("act", actors...),
			Visit:   r.one("visit", "yes", "no") == "yes",
			Stages:  c.say("stages").wordsOf("stages", stages[:]...),
			Writers: c.say("writers").wordsOf("writers", "terminal", "acquirer", "switch", "issuer"),
			Title:   c.text(),
		}
		p.number(r, "cause", cause.ID, 255)
		for _, s := range steps {
			cause.step(s, remedies)
		}
		sortIDs(cause.Remedies)
		for _, advice := range stepWords {
			// Of a message without a card neither the card nor its issuer is the cause.
			cardless := (advice == StepsSettlement || advice == StepsSignIn) &&
				(cause.Segment == "card" || cause.Segment == "issuer")
			if cause.StepsFor(advice).ZH == "" && !cardless {
				r.problem("cause %q has no step that goes with %s", cause.ID, advice)
			}
		}
		p.k.Causes = append(p.k.Causes, cause)
	}
	sort.Slice(p.k.Causes, func(i, j int) bool { return p.k.Causes[i].ID < p.k.Causes[j].ID })
	for _, id := range []string{"none", "unexplained"} {
		if _, ok := p.k.Cause(id); !ok {
			p.problem(file, 0, "cause %q is missing", id)
		}
	}
}

// step reads one step against a cause, "step R5,R7 when safe,later" and its text, and the remedies that it carries out.
func (c *Cause) step(b block, remedies map[string]bool) {
	b.only("zh", "en")
	r := b.head.parts("when")
	c.Steps = append(c.Steps, Step{Text: b.text(),
		When: r.listOf("when", "advice", func(s string) bool { return slices.Contains(stepWords, s) })})
	for _, remedy := range r.listOf("step", "remedy", func(s string) bool { return remedies[s] }) {
		if !slices.Contains(c.Remedies, remedy) {
			c.Remedies = append(c.Remedies, remedy)
		}
	}
}

// number reads the number that stands for a cause or a scheme in hand-off codes, for ever.
func (p *parser) number(r row, kind, id string, most float64) {
	n := Number{kind, int(r.number("number", 1, most)), id}
	list := &p.k.Inference.Numbers
	if i := slices.IndexFunc(*list, func(o Number) bool { return o.Kind == kind && o.Number == n.Number }); i >= 0 {
		p.clashes = append(p.clashes, clash{r, n, (*list)[i].ID})
	}
	*list = append(*list, n)
	sort.Slice(*list, func(i, j int) bool {
		a, b := (*list)[i], (*list)[j]
		return cmp.Or(strings.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number)) < 0
	})
}

// A clash is a number that was given to something else before.
type clash struct {
	row row
	Number
	of string
}

// sayClashes says of every clash which number is free: all are known when all rows are read.
func (p *parser) sayClashes() {
	for _, c := range p.clashes {
		last := 0
		for _, n := range p.k.Inference.Numbers {
			if n.Kind == c.Kind {
				last = max(last, n.Number)
			}
		}
		c.row.problem("number %d is that of %q already; the next free one is %d", c.Number.Number, c.of, last+1)
	}
}

// stages of a sale, in their order.
var stages = [...]string{"card", "pin", "build", "connect", "send", "wait", "answer", "unpack", "print"}

// wordsOf returns a cell's words, each of which must be one of those; "*" is none.
func (r row) wordsOf(column string, of ...string) []string {
	list := r.words(column, " ")
	for _, w := range list {
		if !slices.Contains(of, w) {
			r.problem("column %s: %q is none of %s", column, w, strings.Join(of, " "))
		}
	}
	return list
}

func (p *parser) isCause(id string) bool {
	_, ok := p.k.Cause(id)
	return ok
}

func (p *parser) isCheck(name string) bool {
	_, ok := p.k.Check(name)
	return ok
}

func sortIDs(ids []string) {
	sort.Slice(ids, func(i, j int) bool { return compareIDs(ids[i], ids[j]) < 0 })
}

// compareIDs orders C2 before C10: by the letter, then the number.
func compareIDs(a, b string) int {
	if len(a) == 0 || len(b) == 0 || a[0] != b[0] || len(a) == len(b) {
		return strings.Compare(a, b)
	}
	return len(a) - len(b)
}

// remedies reads the remedies; they are rows of the coverage table too.
func (p *parser) remedies() map[string]bool {
	known := map[string]bool{}
	seen := lines{}
	for _, r := range p.rows("remedies.tsv", "id", "zh", "en", "seeds", "checks", "hidden_zh", "hidden_en") {
		c := Coverage{
			ID:     r.once(seen, "id"),
			What:   r.text("zh", "en"),
			Seeds:  r.list("seeds"),
			Checks: r.listOf("checks", "check", p.isCheck),
			Hidden: r.textOrNone("hidden_zh", "hidden_en"),
		}
		known[c.ID] = true
		p.k.Coverage = append(p.k.Coverage, c)
	}
	return known
}

// coverage reads which causes and checks stand for each cause that the seed articles name, and joins causes and
// remedies in both directions.
func (p *parser) coverage() {
	offered := p.k.Coverage
	p.k.Coverage = nil
	seen := lines{}
	for _, r := range p.rows("coverage.tsv", "id", "zh", "en", "seeds", "causes", "checks", "hidden_zh", "hidden_en") {
		c := Coverage{
			ID:     r.once(seen, "id"),
			What:   r.text("zh", "en"),
			Seeds:  r.list("seeds"),
			Causes: r.listOf("causes", "cause", p.isCause),
			Checks: r.listOf("checks", "check", p.isCheck),
			Hidden: r.textOrNone("hidden_zh", "hidden_en"),
		}
		for _, id := range c.Causes {
			cause, _ := p.k.Cause(id)
			for _, remedy := range cause.Remedies {
				if !slices.Contains(c.Remedies, remedy) {
					c.Remedies = append(c.Remedies, remedy)
				}
			}
		}
		sortIDs(c.Remedies)
		p.mapped("coverage.tsv", r.line, c)
		p.k.Coverage = append(p.k.Coverage, c)
	}
	for _, c := range offered {
		for _, cause := range p.k.Causes {
			if slices.Contains(cause.Remedies, c.ID) {
				c.Causes = append(c.Causes, cause.ID)
			}
		}
		if len(c.Causes) > 0 {
			c.Remedies = []string{c.ID}
		}
		p.mapped("remedies.tsv", 0, c)
		p.k.Coverage = append(p.k.Coverage, c)
	}
	sort.Slice(p.k.Coverage, func(i, j int) bool { return compareIDs(p.k.Coverage[i].ID, p.k.Coverage[j].ID) < 0 })
}

// mapped reports a row that leads neither to a cause with a check nor to a reason why it cannot be observed.
func (p *parser) mapped(file string, line int, c Coverage) {
	if c.Hidden == (Text{}) && (len(c.Causes) == 0 || len(c.Checks) == 0) {
		p.problem(file, line, "row %q leads to no cause and check, and no reason says why it is not observable", c.ID)
	}
}

func (p *parser) claims() {
	for _, r := range p.rows("claims.tsv", "seed", "codes", "claim_zh", "claim_en", "verdict", "finding_zh", "finding_en") {
		p.k.Claims = append(p.k.Claims, Claim{
			Seed:    r.must("seed"),
			Codes:   r.list("codes"),
			Claim:   r.text("claim_zh", "claim_en"),
			Finding: r.text("finding_zh", "finding_en"),
			Verdict: r.one("verdict", verdicts...),
		})
	}
}

// forbidden reads what must not be advised, and holds the steps to it.
func (p *parser) forbidden() {
	for _, r := range p.rows("forbidden.tsv", "scheme", "codes", "origin", "remedies", "causes", "zh", "en") {
		f := Forbidden{
			Scheme:   r.str("scheme"),
			Codes:    r.list("codes"),
			Origin:   r.one("origin", "host", ""),
			Remedies: r.listOf("remedies", "remedy", func(id string) bool { return p.k.coverage(id) != nil }),
			Why:      r.text("zh", "en"),
		}
		for _, pattern := range r.list("causes") {
			hit := false
			for _, c := range p.k.Causes {
				if family, ok := strings.CutSuffix(pattern, ".*"); c.ID == pattern || ok && strings.HasPrefix(c.ID, family+".") {
					hit = true
					if !slices.Contains(f.Causes, c.ID) {
						f.Causes = append(f.Causes, c.ID)
					}
				}
			}
			if !hit {
				r.problem("column causes: no cause %q", pattern)
			}
		}
		slices.Sort(f.Causes)
		for _, id := range f.Causes {
			c, _ := p.k.Cause(id)
			for _, remedy := range c.Remedies {
				if slices.Contains(f.Remedies, remedy) {
					r.problem("a step of cause %q offers remedy %q", id, remedy)
				}
			}
		}
		p.k.Forbidden = append(p.k.Forbidden, f)
	}
}

func (k *Knowledge) coverage(id string) *Coverage {
	for i := range k.Coverage {
		if k.Coverage[i].ID == id {
			return &k.Coverage[i]
		}
	}
	return nil
}
