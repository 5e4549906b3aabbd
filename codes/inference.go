package codes

import (
	"cmp"
	"io/fs"
	"math"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Inference is what the engine weighs with: priors and weights of evidence, in decibans (ten times the decimal logarithm
// of an odds ratio). Every table is sorted by its first field unless it says otherwise.
type Inference struct {
	Settings Settings
	Topics   []TopicRule // in the order they are tried
	Priors   []Prior
	Signs    []Sign
	Tests    []Test
	Retry    []CauseRetry
	Numbers  []Number // sorted by kind, then number
}

// Settings are the numbers of the engine.
type Settings struct {
	Scale         float64 // probabilities are softmax(scale * decibans)
	UnexplainedDB float64 // what an unnamed cause weighs
	UncheckedDB   float64 // what it gains while nothing relevant was checked
	AbstainBelow  float64 // probability below which no cause is named as the answer
	StaleFloor    float64 // share of a weight that the oldest evidence keeps
	Likely        float64 // probability from which a cause is likely
	Confirmed     float64 // and from which it is confirmed, given decisive evidence
	DecisiveDB    float64 // weight that decides by itself
	ModelError    float64 // probability kept for unexplained however clear the evidence: causes nobody has thought of
}

// A TopicRule tells what a code is about from its table row. An empty list stands for any.
type TopicRule struct {
	Topic   string
	Schemes []string // a trailing * stands for any end
	Codes   []string // likewise
	Domains []string
	Words   []string // with one of them a word of the English meaning begins, lower case
}

// A Prior is what a topic says about the causes before any check.
type Prior struct {
	Topic       string
	Floor       float64 // of every cause not named
	Unexplained float64
	Retry       string // the advice when the host declined
	Settled     bool   // the code itself says what happened; otherwise checks must
	Weights     []Weight
	Text        Text
}

// A Weight is what something says about one cause.
type Weight struct {
	Cause string
	DB    float64
}

// A Sign is one thing that evidence can show. What shows it is decided in the engine; what it weighs, here.
type Sign struct {
	Name    string
	Check   string
	Weights []Weight
	Masks   []string // signs it explains away, sorted
	Text    Text     // {fact} stands for a fact of the evidence
}

// A Test is something that could be tried next. It is named after its check; those that only a person can do begin with
// "ask.".
type Test struct {
	Name     string
	CostS    float64 // seconds of whoever does it
	Depth    string  // internal external interactive
	Outcomes []Outcome
	Text     Text
}

// An Outcome is one sign a test can end in, and how often it does, relative to the others.
type Outcome struct {
	Sign  string
	Share float64
}

// CauseRetry is the advice for a cause when the request provably never left the terminal.
type CauseRetry struct{ Cause, Retry string }

// A Number stands for a cause or a scheme in a hand-off code, for ever.
type Number struct {
	Kind   string // cause scheme
	Number int
	ID     string
}

// Prior returns what a topic says.
func (f *Inference) Prior(topic string) (Prior, bool) {
	i, ok := slices.BinarySearchFunc(f.Priors, topic, func(p Prior, t string) int { return strings.Compare(p.Topic, t) })
	if !ok {
		return Prior{}, false
	}
	return f.Priors[i], true
}

// Sign returns the sign with this name, nil if there is none.
func (f *Inference) Sign(name string) *Sign {
	i, ok := slices.BinarySearchFunc(f.Signs, name, func(s Sign, n string) int { return strings.Compare(s.Name, n) })
	if !ok {
		return nil
	}
	return &f.Signs[i]
}

// RetryFor returns the advice for a cause when nothing left the terminal, "later" if none is listed.
func (f *Inference) RetryFor(cause string) string {
	i, ok := slices.BinarySearchFunc(f.Retry, cause, func(r CauseRetry, c string) int { return strings.Compare(r.Cause, c) })
	if !ok {
		return "later"
	}
	return f.Retry[i].Retry
}

// Topic returns what a code is about.
func (f *Inference) Topic(m Meaning) string {
	text := strings.ToLower(m.Text.EN)
	for i := range f.Topics {
		r := &f.Topics[i]
		if anyMatch(r.Schemes, m.Scheme) && anyMatch(r.Codes, m.Code) && anyMatch(r.Domains, m.Domain) &&
			(len(r.Words) == 0 || slices.ContainsFunc(r.Words, func(w string) bool { return containsWord(text, w) })) {
			return r.Topic
		}
	}
	return "any"
}

// containsWord tells whether some word of a text begins with w: "line" is in "line fault", not in "declined".
func containsWord(text, w string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], w)
		if i < 0 {
			return false
		}
		if i += from; i == 0 || text[i-1] < 'a' || text[i-1] > 'z' {
			return true
		}
		from = i + 1
	}
}

func anyMatch(list []string, s string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(w string) bool { return wild(w, s) })
}

// wild tells whether s is w, or begins with it where w ends in a star.
func wild(w, s string) bool {
	if p, ok := strings.CutSuffix(w, "*"); ok {
		return strings.HasPrefix(s, p)
	}
	return w == s
}

// inferenceParser reads the tables below inference/.
type inferenceParser struct {
	*parser
	f      Inference
	groups map[string][]string
}

// parseInference reads the engine's tables; k holds the schemes, checks and causes they refer to.
func parseInference(files fs.FS, k *Knowledge) (Inference, []Problem) {
	p := &inferenceParser{parser: &parser{k: k}, groups: map[string][]string{}}
	p.read(files)
	p.parseGroups()
	p.parseSettings()
	p.parsePriors()
	p.parseTopics()
	p.parseSigns()
	p.parseTests()
	p.parseRest()
	return p.f, p.problems
}

func inferenceFile(name string) string { return path.Join("inference", name+".tsv") }

// number returns a cell that is a number within bounds.
func (r row) number(column string, low, high float64) float64 {
	v, err := strconv.ParseFloat(r.must(column), 64)
	if err != nil || math.IsNaN(v) || v < low || v > high {
		r.problem("column %s: %q is no number from %g to %g", column, r.str(column), low, high)
	}
	return v
}

// words returns a cell's words, apart by sep; "*" is none.
func (r row) words(column, sep string) []string {
	s := r.must(column)
	if s == "" || s == "*" {
		return nil
	}
	return strings.Split(s, sep)
}

func (p *inferenceParser) parseGroups() {
	for _, r := range p.rows(inferenceFile("groups"), "name", "members") {
		name := r.must("name")
		if _, twice := p.groups[name]; twice || !strings.HasPrefix(name, "@") {
			r.problem("column name: %q is there twice or does not start with @", name)
		}
		var members []string
		for _, w := range r.words("members", " ") {
			if strings.HasPrefix(w, "@") {
				if p.groups[w] == nil {
					r.problem("column members: no group %q above this line", w)
				}
				members = append(members, p.groups[w]...)
				continue
			}
			members = append(members, w)
		}
		p.groups[name] = members
	}
}

func (p *inferenceParser) parseSettings() {
	s := &p.f.Settings
	fields := map[string]*float64{"scale": &s.Scale, "unexplained_db": &s.UnexplainedDB, "unchecked_db": &s.UncheckedDB,
		"abstain_below": &s.AbstainBelow, "stale_floor": &s.StaleFloor, "likely": &s.Likely, "confirmed": &s.Confirmed, "decisive_db": &s.DecisiveDB, "model_error": &s.ModelError}
	for _, r := range p.rows(inferenceFile("settings"), "name", "value", "why") {
		field, ok := fields[r.must("name")]
		if !ok {
			r.problem("column name: no setting %q, or twice", r.str("name"))
			continue
		}
		*field = r.number("value", -30, 100)
		delete(fields, r.str("name"))
	}
	for name := range fields {
		p.problem(inferenceFile("settings"), 0, "no setting %q", name)
	}
}

// weights reads "lan.*:-8 @path:-30 lan.cable:+26": later entries override earlier ones.
func (p *inferenceParser) weights(r row, column string) []Weight {
	var list []Weight
	for _, w := range r.words(column, " ") {
		name, value, _ := strings.Cut(w, ":")
		db, err := strconv.ParseFloat(value, 64)
		if err != nil || !(math.Abs(db) <= 60) {
			r.problem("column %s: %q: want cause:decibans, at most 60 either way", column, w)
			continue
		}
		causes := p.expand(name, p.k.causeIDs())
		if len(causes) == 0 {
			r.problem("column %s: no cause %q", column, name)
		}
		for _, c := range causes {
			if i := slices.IndexFunc(list, func(w Weight) bool { return w.Cause == c }); i >= 0 {
				list[i].DB = db
			} else {
				list = append(list, Weight{c, db})
			}
		}
	}
	list = slices.DeleteFunc(list, func(w Weight) bool { return w.DB == 0 && column == "weights" })
	sort.Slice(list, func(i, j int) bool { return list[i].Cause < list[j].Cause })
	return list
}

// expand resolves a name, a name with a star at its end, or a group, against what there is.
func (p *inferenceParser) expand(name string, all []string) []string {
	names := []string{name}
	if strings.HasPrefix(name, "@") {
		names = p.groups[name]
	}
	var found []string
	for _, n := range names {
		for _, a := range all {
			if wild(n, a) {
				found = append(found, a)
			}
		}
	}
	return found
}

func (k *Knowledge) causeIDs() []string {
	ids := make([]string, len(k.Causes))
	for i := range k.Causes {
		ids[i] = k.Causes[i].ID
	}
	return ids
}

var retryWords = [...]string{"safe", "later", "query-first", "after-signin", "other-means", "no"}

func (p *inferenceParser) parsePriors() {
	file := inferenceFile("priors")
	for _, r := range p.rows(file, "topic", "floor", "unexplained", "retry", "settled", "causes", "zh", "en") {
		p.f.Priors = append(p.f.Priors, Prior{Topic: r.must("topic"), Floor: r.number("floor", -60, 0),
			Unexplained: r.number("unexplained", -60, 20), Retry: r.one("retry", retryWords[:]...),
			Settled: r.one("settled", "yes", "no") == "yes", Weights: p.weights(r, "causes"), Text: r.text("zh", "en")})
	}
	sortUnique(p.parser, file, p.f.Priors, func(q Prior) string { return q.Topic })
	for _, needed := range []string{"any", "local-any", "host-any", "success"} {
		if _, ok := p.f.Prior(needed); !ok {
			p.problem(file, 0, "no topic %q, which the engine needs", needed)
		}
	}
}

func (p *inferenceParser) parseTopics() {
	for _, r := range p.rows(inferenceFile("topics"), "topic", "schemes", "codes", "domains", "words") {
		t := TopicRule{r.must("topic"), r.words("schemes", " "), r.words("codes", " "), r.words("domains", " "), r.words("words", "|")}
		if _, ok := p.f.Prior(t.Topic); !ok {
			r.problem("column topic: no prior for %q", t.Topic)
		}
		p.f.Topics = append(p.f.Topics, t)
	}
}

func (p *inferenceParser) parseSigns() {
	file := inferenceFile("signs")
	rows := p.rows(file, "sign", "check", "weights", "masks", "zh", "en", "why")
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.must("sign")
	}
	for _, r := range rows {
		s := Sign{Name: r.must("sign"), Check: r.must("check"), Weights: p.weights(r, "weights"), Text: r.text("zh", "en")}
		if r.str("masks") != "" {
			for _, w := range r.words("masks", " ") {
				signs := p.expand(w, names)
				if len(signs) == 0 {
					r.problem("column masks: no sign %q", w)
				}
				for _, n := range signs {
					// Good news is never explained away: it contradicts.
					if n != s.Name && !strings.HasSuffix(n, ".ok") && !strings.HasSuffix(n, "-ok") {
						s.Masks = append(s.Masks, n)
					}
				}
			}
			slices.Sort(s.Masks)
			s.Masks = slices.Compact(s.Masks)
		}
		p.f.Signs = append(p.f.Signs, s)
	}
	sortUnique(p.parser, file, p.f.Signs, func(s Sign) string { return s.Name })
}

func (p *inferenceParser) parseTests() {
	file := inferenceFile("tests")
	for _, r := range p.rows(file, "test", "cost_s", "depth", "outcomes", "zh", "en") {
		t := Test{Name: r.must("test"), CostS: r.number("cost_s", 0.1, 3600), Depth: r.one("depth", "internal", "external", "interactive"), Text: r.text("zh", "en")}
		for _, w := range r.words("outcomes", " ") {
			name, value, _ := strings.Cut(w, ":")
			share, err := strconv.ParseFloat(value, 64)
			if err != nil || !(share > 0 && share <= 100) || p.f.Sign(name) == nil {
				r.problem("column outcomes: %q: want a sign and its share above 0", w)
			}
			t.Outcomes = append(t.Outcomes, Outcome{name, share})
		}
		if len(t.Outcomes) < 2 {
			r.problem("column outcomes: a test needs at least two")
		}
		p.f.Tests = append(p.f.Tests, t)
	}
	sortUnique(p.parser, file, p.f.Tests, func(t Test) string { return t.Name })
}

func (p *inferenceParser) parseRest() {
	file := inferenceFile("retry")
	for _, r := range p.rows(file, "cause", "retry") {
		causes := p.expand(r.must("cause"), p.k.causeIDs())
		if len(causes) == 0 {
			r.problem("column cause: no cause %q", r.str("cause"))
		}
		for _, c := range causes {
			p.f.Retry = append(p.f.Retry, CauseRetry{c, r.one("retry", retryWords[:]...)})
		}
	}
	sortUnique(p.parser, file, p.f.Retry, func(c CauseRetry) string { return c.Cause })

	file = inferenceFile("numbers")
	for _, r := range p.rows(file, "kind", "number", "id") {
		n := Number{r.one("kind", "cause", "scheme"), int(r.number("number", 1, 255)), r.must("id")}
		if n.Kind == "scheme" && n.Number > 63 {
			r.problem("column number: schemes have numbers up to 63")
		}
		if i := slices.IndexFunc(p.f.Numbers, func(o Number) bool { return o.Kind == n.Kind && (o.Number == n.Number || o.ID == n.ID) }); i >= 0 {
			r.problem("%s %d %q is there already", n.Kind, n.Number, n.ID)
		}
		p.f.Numbers = append(p.f.Numbers, n)
	}
	sort.Slice(p.f.Numbers, func(i, j int) bool {
		a, b := p.f.Numbers[i], p.f.Numbers[j]
		return cmp.Or(strings.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number)) < 0
	})
	for _, id := range p.k.causeIDs() {
		if !slices.ContainsFunc(p.f.Numbers, func(n Number) bool { return n.Kind == "cause" && n.ID == id }) {
			p.problem(file, 0, "cause %q has no number", id)
		}
	}
	for _, scheme := range p.k.Schemes {
		if !slices.ContainsFunc(p.f.Numbers, func(n Number) bool { return n.Kind == "scheme" && n.ID == scheme.Name }) {
			p.problem(file, 0, "scheme %q has no number", scheme.Name)
		}
	}
}

// sortUnique sorts a table by its key and reports keys that stand twice.
func sortUnique[T any](p *parser, file string, table []T, key func(T) string) {
	sort.SliceStable(table, func(i, j int) bool { return key(table[i]) < key(table[j]) })
	for i := 1; i < len(table); i++ {
		if key(table[i]) == key(table[i-1]) {
			p.problem(file, 0, "%q is there twice", key(table[i]))
		}
	}
}
