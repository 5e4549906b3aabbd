package codes

import (
	"math"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
)

// Inference is what the diagnosis weighs with. How often a cause lies behind a code, and what a finding says about a
// cause, are words (Frequency, Strength); Settings says what each word weighs, in decibans: ten times the decimal
// logarithm of a likelihood ratio, so that 10 dB multiply the odds by ten. Every table is sorted by its first field
// unless it says otherwise.
type Inference struct {
	Settings Settings
	Topics   []TopicRule // in the order they are tried
	Priors   []Prior
	Signs    []Sign
	Tests    []Test
	Retry    []CauseRetry
	Later    []LaterWord // in the order of the table
	Spoken   []TopicWord // in the order of the table
	Numbers  []Number    // sorted by kind, then number
}

// Settings are the numbers of the diagnosis. settings.tsv says of each whether it is fitted by the evaluation or set,
// and why.
type Settings struct {
	// decibans, above 0, of the strengths of a finding
	Hint, Moderate, Strong, Decisive float64
	// decibans against main, below 0, of the frequencies of a cause
	Often, Sometimes, Seldom, Rare, Remote float64

	Unexplained float64 // decibans added to the frequency of unexplained
	Family      float64 // share of its weight that a finding keeps beside a stronger one of the same family
	Brought     float64 // share of a finding's weight for a deeper cause that may bring it about
	Company     float64 // decibans of two faults at once against one of them alone
	// shares of the certainty that are taken back with 0, 1, 2, 3 and more independent witnesses
	Spare0, Spare1, Spare2, Spare3 float64
	SpareOthers                    float64 // share of that for the other causes; the rest is for unexplained
	SetAbove                       float64 // least probability of a cause in the set that holds the true one with 95 %

	AbstainBelow float64 // least probability that an act is right at which somebody is sent
	StaleFloor   float64 // share of its weight that the oldest evidence keeps
	Likely       float64 // least probability of a cause called likely
	Confirmed    float64 // and of one called confirmed, which needs witnesses besides
}

// Weigh returns what a strength weighs, in decibans; below 0 for one against a cause.
func (s *Settings) Weigh(w Strength) float64 {
	v := [...]float64{0, s.Hint, s.Moderate, s.Strong, s.Decisive}
	if w < 0 {
		return -v[-w]
	}
	return v[w]
}

// Frequency returns what a frequency weighs against Main, in decibans: 0 or less.
func (s *Settings) Frequency(f Frequency) float64 {
	return [...]float64{0, s.Often, s.Sometimes, s.Seldom, s.Rare, s.Remote}[f]
}

// A Strength is how strongly a finding speaks for a cause or, below 0, against it.
type Strength int8

// Strengths, from the weakest.
const (
	Hint     Strength = 1
	Moderate Strength = 2
	Strong   Strength = 3
	Decisive Strength = 4
)

var words = [...]string{"hint", "moderate", "strong", "decisive"}

// A Frequency is how often a cause lies behind a code: 0 main, 1 often, 2 sometimes, 3 seldom, 4 rare, 5 remote.
type Frequency int8

// Frequencies that Go names: the greatest, and the two least.
const (
	Main   Frequency = 0
	Rare   Frequency = 4
	Remote Frequency = 5
)

var frequencies = [...]string{"main", "often", "sometimes", "seldom", "rare", "remote"}

// A TopicRule assigns codes to a topic (what a code is about, such as funds or swipe) by their row in a table. All of
// its lists must match; an empty one matches anything.
type TopicRule struct {
	Topic   string
	Schemes []string // names of schemes; a trailing * stands for any end
	Codes   []string // likewise
	Domains []string // Meaning.Domain
	Words   []string // in small letters; some word of the English meaning begins with one of them
}

// A Prior is what a topic says about the causes before any check is looked at.
type Prior struct {
	Topic       string
	Unexplained Frequency
	Rest        Frequency // of the causes it does not name
	Retry       string    // advice where the host declined with such a code: report.Money.Retry
	Settled     bool      // the code itself says what happened; otherwise checks must find out
	Stages      []string  // stages of a sale at which such a code appears; empty: any
	Causes      []Named   // sorted by cause
	Text        Text      // what such a code says
}

// Named is a cause that a topic names.
type Named struct {
	Cause string
	Often Frequency
}

// Frequency returns how often a cause lies behind codes of the topic; Rest for one that it does not name.
func (p *Prior) Frequency(cause string) Frequency {
	i, ok := slices.BinarySearchFunc(p.Causes, cause, func(n Named, c string) int { return strings.Compare(n.Cause, c) })
	if !ok {
		return p.Rest
	}
	return p.Causes[i].Often
}

// Names tells whether the topic names a cause.
func (p *Prior) Names(cause string) bool {
	_, ok := slices.BinarySearchFunc(p.Causes, cause, func(n Named, c string) int { return strings.Compare(n.Cause, c) })
	return ok
}

// A Weight is what a finding says about one cause.
type Weight struct {
	Cause string
	Word  Strength
}

// A Sign is what a finding says: its text and its weights. When a finding shows is decided by the limits and package
// evidence.
type Sign struct {
	Name    string
	Check   string
	Family  string   // shared by findings about one phenomenon, of which only the strongest counts in full
	Tells   bool     // it is news for and against causes; otherwise it is a fault that causes produce
	Weights []Weight // sorted by cause
	Brought []string // causes, not in Weights, of deeper findings that bring this one about; sorted
	Surely  []string // those of Brought that always bring it about, since nothing gets past them; sorted
	Text    Text     // {fact} stands for a fact of the evidence
}

// A Test is something that can be tried next. Its name is that of its check; a question to a person begins with
// "ask.".
type Test struct {
	Name     string
	CostS    float64 // seconds of whoever does it
	Depth    string  // internal external interactive
	Outcomes []Outcome
	Text     Text // what to do
}

// An Outcome is a finding that a test can end in.
type Outcome struct {
	Sign  string  // the finding's name
	Share float64 // how often the test ends so, relative to the others; of a fault it is worked out from its weights
}

// CauseRetry is the advice for a cause when the request provably never left the terminal.
type CauseRetry struct{ Cause, Retry string }

// A LaterWord is a word that, in the text of an error nobody has a table for, means that the request may have left: it
// speaks of an answer, a reversal, a repetition, an approval or an open result. It is compared with the text in small
// letters and without anything that is no letter or digit.
type LaterWord struct {
	Word   string
	Whole  bool   // the text must be this word and nothing else
	Unless string // a text that holds this as well says nothing; "" for none
}

// SpeaksOfLater tells whether the text of an error, in either language, has one of the LaterWords in it.
func (f *Inference) SpeaksOfLater(text string) bool {
	text = bareText(text)
	return slices.ContainsFunc(f.Later, func(w LaterWord) bool {
		if w.Whole {
			return text == w.Word
		}
		return strings.Contains(text, w.Word) && (w.Unless == "" || !strings.Contains(text, w.Unless))
	})
}

// bareText leaves the letters, small, and the digits of a text: ReceiveTimeout, receive_timeout and "Receive timeout"
// are one.
func bareText(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, text)
}

// A TopicWord is a word that tells what an error that no table has is about. It is compared as a LaterWord is.
type TopicWord struct {
	Word  string
	Topic string
}

// SpokenTopic returns what an error that no table has is about by its own words, in either language; "" where they do
// not say.
func (f *Inference) SpokenTopic(text string) string {
	text = bareText(text)
	for _, w := range f.Spoken {
		if strings.Contains(text, w.Word) {
			return w.Topic
		}
	}
	return ""
}

// A Number stands for a cause or a scheme in hand-off codes. It is never given to another one.
type Number struct {
	Kind   string // cause scheme
	Number int
	ID     string
}

// Prior returns the prior of a topic.
func (f *Inference) Prior(topic string) (Prior, bool) {
	i, ok := slices.BinarySearchFunc(f.Priors, topic, func(p Prior, t string) int { return strings.Compare(p.Topic, t) })
	if !ok {
		return Prior{}, false
	}
	return f.Priors[i], true
}

// Sign returns the sign of a finding, nil if there is none.
func (f *Inference) Sign(name string) *Sign {
	i, ok := slices.BinarySearchFunc(f.Signs, name, func(s Sign, n string) int { return strings.Compare(s.Name, n) })
	if !ok {
		return nil
	}
	return &f.Signs[i]
}

// RetryFor returns the advice for a cause when the request never left the terminal: report.Money.Retry, "later" if the
// tables list none.
func (f *Inference) RetryFor(cause string) string {
	i, ok := slices.BinarySearchFunc(f.Retry, cause,
		func(r CauseRetry, c string) int { return strings.Compare(r.Cause, c) })
	if !ok {
		return "later"
	}
	return f.Retry[i].Retry
}

// Topic returns the topic of a table's row: that of the first rule that fits, "any" if none does.
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

// inferenceTables are the files below inference/.
var inferenceTables = [...]string{"settings", "priors", "topics", "order", "tests", "retry", "later", "spoken"}

// inference reads the findings, and the engine's tables below inference/.
func (p *parser) inference() {
	p.settings()
	p.priors()
	p.topics()
	p.findings()
	p.order()
	p.tests()
	p.retry()
	p.later()
	p.spoken()
}

// spoken reads the words that tell what an error is about.
func (p *parser) spoken() {
	seen := map[string]int{}
	for _, r := range p.rows(inferenceFile("spoken"), "word", "topic") {
		w := TopicWord{r.once(seen, "word"), r.str("topic")}
		if w.Word != bareText(w.Word) {
			r.problem("word %q: small letters and digits only", w.Word)
		}
		if _, ok := p.k.Inference.Prior(w.Topic); !ok {
			r.problem("topic %q is not in priors.tsv", w.Topic)
		}
		p.k.Inference.Spoken = append(p.k.Inference.Spoken, w)
	}
}

// later reads the words that speak of a stage after sending.
func (p *parser) later() {
	seen := lines{}
	for _, r := range p.rows(inferenceFile("later"), "word", "match", "unless", "why") {
		w := LaterWord{r.once(seen, "word"), r.one("match", "part", "whole") == "whole", r.str("unless")}
		if w.Word != bareText(w.Word) || w.Unless != bareText(w.Unless) {
			r.problem("word %q, unless %q: small letters and digits only", w.Word, w.Unless)
		}
		p.k.Inference.Later = append(p.k.Inference.Later, w)
	}
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

func (p *parser) settings() {
	s := &p.k.Inference.Settings
	fields := s.fields()
	for _, r := range p.rows(inferenceFile("settings"), "name", "value", "fitted", "why") {
		name := r.must("name")
		i := slices.IndexFunc(fields, func(f setting) bool { return f.name == name })
		if i < 0 {
			r.problem("column name: no setting %q, or twice", name)
			continue
		}
		r.one("fitted", "yes", "no")
		*fields[i].value = r.number("value", -60, 60)
		fields = slices.Delete(fields, i, i+1)
	}
	for _, f := range fields {
		p.problem(inferenceFile("settings"), 0, "no setting %q", f.name)
	}
	if !(0 < s.Hint && s.Hint < s.Moderate && s.Moderate < s.Strong && s.Strong < s.Decisive) {
		p.problem(inferenceFile("settings"), 0, "hint, moderate, strong and decisive must rise from above 0")
	}
	if !(0 >= s.Often && s.Often >= s.Sometimes && s.Sometimes >= s.Seldom && s.Seldom >= s.Rare && s.Rare >= s.Remote) {
		p.problem(inferenceFile("settings"), 0, "often, sometimes, seldom, rare and remote must fall from 0")
	}
}

type setting struct {
	name  string
	value *float64
}

func (s *Settings) fields() []setting {
	return []setting{{"hint", &s.Hint}, {"moderate", &s.Moderate}, {"strong", &s.Strong}, {"decisive", &s.Decisive},
		{"often", &s.Often}, {"sometimes", &s.Sometimes}, {"seldom", &s.Seldom}, {"rare", &s.Rare}, {"remote", &s.Remote},
		{"unexplained", &s.Unexplained}, {"family", &s.Family}, {"brought", &s.Brought}, {"company", &s.Company},
		{"spare_0", &s.Spare0}, {"spare_1", &s.Spare1}, {"spare_2", &s.Spare2}, {"spare_3", &s.Spare3}, {"spare_others", &s.SpareOthers}, {"set_above", &s.SetAbove},
		{"abstain_below", &s.AbstainBelow}, {"stale_floor", &s.StaleFloor}, {"likely", &s.Likely}, {"confirmed", &s.Confirmed}}
}

// Field returns the setting that has this name in settings.tsv, nil if there is none.
func (s *Settings) Field(name string) *float64 {
	for _, f := range s.fields() {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// expand resolves a name, or one with a star at its end, against what there is.
func (p *parser) expand(name string, all []string) []string {
	var found []string
	for _, a := range all {
		if wild(name, a) {
			found = append(found, a)
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

// Words that a step may go with (Step.When) instead of the advice for a payment.
const (
	StepsTried      = "other-means-tried" // the cards of several customers met the same, so that another card is no advice
	StepsReversed   = "reversed"          // the host has accepted a reversal
	StepsSettlement = "settlement"        // the message compares totals: no payment
	StepsSignIn     = "sign-in"           // the message manages the network: no payment
)

// stepWords are all that a step may go with.
var stepWords = append(retryWords[:len(retryWords):len(retryWords)], StepsTried, StepsReversed, StepsSettlement,
	StepsSignIn)

func (p *parser) priors() {
	file := inferenceFile("priors")
	for _, r := range p.rows(file, "topic", "unexplained", "rest", "retry", "settled", "stages", "main", "often", "sometimes", "seldom", "rare", "zh", "en") {
		q := Prior{Topic: r.must("topic"), Unexplained: Frequency(slices.Index(frequencies[:], r.one("unexplained", frequencies[:]...))),
			Rest:  Frequency(slices.Index(frequencies[:], r.one("rest", frequencies[1:]...))),
			Retry: r.one("retry", retryWords[:]...), Settled: r.one("settled", "yes", "no") == "yes", Text: r.text("zh", "en")}
		for _, w := range r.words("stages", " ") {
			if !slices.Contains(stages[:], w) {
				r.problem("column stages: %q is none of %s", w, strings.Join(stages[:], " "))
			}
			q.Stages = append(q.Stages, w)
		}
		for often := range Remote {
			for _, c := range p.causesOf(r, frequencies[often]) {
				if q.Names(c) {
					r.problem("column %s: %q is named before", frequencies[often], c)
					continue
				}
				q.Causes = append(q.Causes, Named{c, often})
				sort.Slice(q.Causes, func(i, j int) bool { return q.Causes[i].Cause < q.Causes[j].Cause })
			}
		}
		p.k.Inference.Priors = append(p.k.Inference.Priors, q)
	}
	sortUnique(p, file, p.k.Inference.Priors, func(q Prior) string { return q.Topic })
	for _, needed := range []string{"any", "local-any", "host-any", "success"} {
		if _, ok := p.k.Inference.Prior(needed); !ok {
			p.problem(file, 0, "no topic %q, which the engine needs", needed)
		}
	}
}

// causesOf reads a cell of causes, "-" for none; a trailing * stands for any end.
func (p *parser) causesOf(r row, column string) []string {
	return p.causesIn(r, column, r.str(column))
}

// causesIn reads a list of causes.
func (p *parser) causesIn(r row, column, causes string) []string {
	var list []string
	for _, w := range strings.Fields(causes) {
		causes := p.expand(w, p.k.causeIDs())
		if len(causes) == 0 {
			r.problem("column %s: no cause %q", column, w)
		}
		list = append(list, causes...)
	}
	return list
}

func (p *parser) topics() {
	for _, r := range p.rows(inferenceFile("topics"), "topic", "schemes", "codes", "domains", "words") {
		t := TopicRule{r.must("topic"), r.words("schemes", " "), r.words("codes", " "), r.words("domains", " "), r.words("words", "|")}
		if _, ok := p.k.Inference.Prior(t.Topic); !ok {
			r.problem("column topic: no prior for %q", t.Topic)
		}
		p.k.Inference.Topics = append(p.k.Inference.Topics, t)
	}
}

// sourced tells whether a reason ends with its source in square brackets.
func sourced(why string) bool {
	text, source, ok := strings.Cut(why, " [")
	return ok && strings.TrimSpace(text) != "" && len(source) > 2 && strings.HasSuffix(source, "]")
}

// nothingBeyond is the finding that no other place can be reached: whatever brings it about lets nothing through.
const nothingBeyond, nothingBeyondCheck = "internet.fail", "net.internet"

// order reads which findings bring others about. The causes of a deeper finding produce what it brings about.
func (p *parser) order() {
	file := inferenceFile("order")
	brings := map[string][]string{}
	for _, r := range p.rows(file, "finding", "brings") {
		name := r.must("finding")
		deep := p.k.Inference.Sign(name)
		if deep == nil || brings[name] != nil {
			r.problem("column finding: no finding %q, or twice", name)
			continue
		}
		list := r.words("brings", " ")
		// A layer below shuts the way; a portal, which is found at the same place, lets some things through. What it may
		// bring about, or may not, has a question mark; what one that shuts nothing always does, an exclamation mark.
		shuts := name == nothingBeyond || deep.Check != nothingBeyondCheck && slices.Contains(list, nothingBeyond)
		for _, n := range list {
			sure := shuts
			if bare := strings.TrimRight(n, "?!"); bare != n {
				if sure = n == bare+"!"; sure == shuts {
					r.problem("column brings: %q needs no mark, by what else %s brings about", n, name)
				}
				n = bare
			}
			s := p.k.Inference.Sign(n)
			if s == nil || s.Tells {
				r.problem("column brings: no fault %q", n)
				continue
			}
			brings[name] = append(brings[name], n)
			for _, w := range deep.Weights {
				own := slices.ContainsFunc(s.Weights, func(o Weight) bool { return o.Cause == w.Cause && o.Word > 0 })
				if w.Word < Strong || own {
					continue
				}
				if !slices.Contains(s.Brought, w.Cause) {
					s.Brought = append(s.Brought, w.Cause)
				}
				if sure && !slices.Contains(s.Surely, w.Cause) {
					s.Surely = append(s.Surely, w.Cause)
				}
			}
		}
	}
	for i := range p.k.Inference.Signs {
		s := &p.k.Inference.Signs[i]
		slices.Sort(s.Brought)
		slices.Sort(s.Surely)
		// What a cause brings about by way of a deeper finding does not speak against it.
		s.Weights = slices.DeleteFunc(s.Weights, func(w Weight) bool { return slices.Contains(s.Brought, w.Cause) })
		if circle := circleFrom(brings, s.Name, nil); circle != nil {
			p.problem(file, 0, "cause and symptom in a circle: %s", strings.Join(circle, ", "))
			return
		}
	}
}

// circleFrom returns the findings of a circle that is reached from one, nil if there is none.
func circleFrom(brings map[string][]string, name string, on []string) []string {
	if i := slices.Index(on, name); i >= 0 {
		return append(on[i:], name)
	}
	for _, n := range brings[name] {
		if c := circleFrom(brings, n, append(on, name)); c != nil {
			return c
		}
	}
	return nil
}

func (p *parser) tests() {
	file := inferenceFile("tests")
	for _, r := range p.rows(file, "test", "cost_s", "depth", "outcomes", "zh", "en") {
		t := Test{Name: r.must("test"), CostS: r.number("cost_s", 0.1, 3600), Depth: r.one("depth", "internal", "external", "interactive"), Text: r.text("zh", "en")}
		for _, w := range r.words("outcomes", " ") {
			name, value, _ := strings.Cut(w, ":")
			share, err := strconv.ParseFloat(value, 64)
			if err != nil || !(share > 0 && share <= 100) || p.k.Inference.Sign(name) == nil {
				r.problem("column outcomes: %q: want a sign and its share above 0", w)
			}
			t.Outcomes = append(t.Outcomes, Outcome{name, share})
		}
		if len(t.Outcomes) < 2 {
			r.problem("column outcomes: a test needs at least two")
		}
		p.k.Inference.Tests = append(p.k.Inference.Tests, t)
	}
	sortUnique(p, file, p.k.Inference.Tests, func(t Test) string { return t.Name })
}

func (p *parser) retry() {
	file := inferenceFile("retry")
	for _, r := range p.rows(file, "cause", "retry") {
		causes := p.expand(r.must("cause"), p.k.causeIDs())
		if len(causes) == 0 {
			r.problem("column cause: no cause %q", r.str("cause"))
		}
		for _, c := range causes {
			p.k.Inference.Retry = append(p.k.Inference.Retry, CauseRetry{c, r.one("retry", retryWords[:]...)})
		}
	}
	sortUnique(p, file, p.k.Inference.Retry, func(c CauseRetry) string { return c.Cause })
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
