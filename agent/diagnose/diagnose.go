// Package diagnose explains a response code: it turns one event and the evidence around it into a ranked list of
// causes, with what speaks for and against each, what became of the customer's money, who has to act, and which test
// to make next.
//
// Explain does all of it. Plan and After lead a person from question to question, Render and Speak write a diagnosis
// for people, DecodeHandoff reads the short code that a technician dictates on the phone, Ledger shows the whole
// calculation.
//
// The package is pure: no clock, no I/O, no state. The same event, evidence, knowledge and options give the same bytes
// on every processor. What a code proves depends on who wrote it. A host's real answer refutes every fault on the way
// to the host; a code that the terminal or a cashier program wrote says only what that program could know.
//
// Weights are in decibans: ten times the decimal logarithm of a likelihood ratio, so that 10 dB multiply the odds by
// ten. README.md tells how the calculation goes.
package diagnose

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// Options are what an explanation needs beside event, evidence and knowledge. Revision, Final, Repeats and TookMS are
// copied into the document as they are.
type Options struct {
	Lang     string        // of the texts: zh (default) or en
	Version  string        // of the program
	Profile  codes.Profile // how this acquirer's codes are read; the zero value is plain unionpay
	Revision int           // 1 for what is known at once
	Final    bool          // no later revision follows
	Repeats  int           // how often the code came again while the diagnosis was open
	TookMS   int64         // from the event to this revision
}

// Bounds of a diagnosis.
const (
	maxEvidence = 256 // pieces that a document carries
	maxCauses   = 5
	maxReasons  = 6 // for a cause, and as many against it
	maxMasked   = 8
	maxSeparate = 5
	reasonDB    = 1.5 // decibans; a reason that weighs less gets no line

	// sharedWord is by how much the figure may be below what a verdict's word stands for where another fault shares it.
	sharedWord = 0.15
)

// Explain makes the diagnosis of an event. It always answers, whatever the evidence holds: checks that the knowledge
// does not have are left out, and facts of a wrong type or value count as unknown.
func Explain(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, o Options) report.Diagnosis {
	if code := k.Canonical(ev.Scheme, ev.Code); code != ev.Code {
		if ev.CodeRaw == "" {
			ev.CodeRaw = ev.Code
		}
		ev.Code = code
	}
	s := infer(&ev, evidence, k, o.Profile)
	d := report.Diagnosis{
		ID: ev.ID, Revision: o.Revision, Final: o.Final, TookMS: o.TookMS, Event: ev, Repeats: o.Repeats,
		Code:           s.codeInfo(o.Lang),
		CannotSeparate: []string{},
		Masked:         []string{},
		Evidence:       evidence,
		Agent:          report.Agent{Version: o.Version, Knowledge: k.Hash},
	}
	if len(d.Evidence) > maxEvidence {
		d.Evidence = d.Evidence[:maxEvidence]
	}
	if d.Evidence == nil {
		d.Evidence = []report.Evidence{}
	}
	ranked := s.ranked()
	d.Abstained = s.abstains(ranked)
	if d.CannotSeparate = s.inseparable(ranked); !d.Abstained && len(d.CannotSeparate) < 2 {
		d.CannotSeparate = []string{}
	}
	d.Masked, d.Set, d.Witnesses = s.masked(ranked[0]), s.set(ranked), int(ranked[0].witnesses+0.5)
	d.Also = s.also(d.CannotSeparate, o.Lang)
	d.Causes = s.describe(ranked, d.Abstained, o.Lang)
	d.Money = s.money(d.Causes[0].ID, d.Abstained, o.Lang)
	steps := s.stepsWith(&d.Money)
	if steps == codes.StepsTried {
		d.Money.Say = moneySay(s.k, d.Money.State, steps, "").In(o.Lang)
		if act := &d.Causes[0].Act; act.By == "none" {
			act.By = "acquirer" // whom the line of the money sends for; the shop's other customers are met by it too
		}
	}
	for i := range d.Causes {
		d.Causes[i].Act.Step = s.cause(d.Causes[i].ID).StepsFor(steps).In(o.Lang)
	}
	if d.Causes[0].ID != "none" {
		if plan := s.plan(o.Lang); len(plan) > 0 {
			d.NextTest = &plan[0].NextTest
		}
	}
	s.examined(&d, o.Lang)
	d.Handoff = s.handoff(&d)
	return d
}

// stepsWith returns which of a cause's steps fit: those for the advice about the money, or, where the message is no
// payment or several customers' cards were refused, those for one of the codes.Steps words.
func (s *state) stepsWith(m *report.Money) string {
	switch {
	case s.settlement():
		return codes.StepsSettlement
	case s.signIn():
		return codes.StepsSignIn
	case s.reversing() && m.State == report.MoneyDeclined:
		return codes.StepsReversed
	case m.Retry == report.RetryOtherMeans && s.cardsTried():
		return codes.StepsTried
	}
	return m.Retry
}

func (s *state) codeInfo(lang string) report.CodeInfo {
	m := s.res.Meaning
	c := report.CodeInfo{Scheme: s.ev.Scheme, Code: s.ev.Code, Known: s.res.Known, SentBy: []string{}}
	if !s.res.Known {
		c.Searched = s.res.Searched
		return c
	}
	c.Scheme, c.Class, c.Meaning, c.Disputed, c.Sources = s.res.Scheme, m.Class, m.Text.In(lang), m.Disputed ||
		!s.res.Usable, len(m.Sources)
	c.Borrowed = c.Disputed && s.res.Rows < 2 && (s.res.Lent || !s.res.Usable) && s.res.Scheme != codes.SchemeAcquirer
	if len(m.SentBy) > 0 {
		c.SentBy = m.SentBy
	}
	return c
}

// An act is what somebody is sent to do. Two causes with the same act need not be told apart: whichever it is, the
// same person begins with the same thing.
type act struct {
	by    string
	visit bool
	step  string // whoever calls somebody begins alike; whoever acts on the spot begins with the first step
}

func actOf(c *codes.Cause) act {
	a := act{by: c.Act, visit: c.Visit}
	switch c.Act {
	case "staff", "technician":
		if len(c.Steps) > 0 {
			a.step = c.Steps[len(c.Steps)-1].Text.EN
			for _, s := range c.Steps {
				if len(s.When) == 0 {
					a.step = s.Text.EN
					break
				}
			}
		}
	case "none":
		if c.ID != "none" {
			a.step = "wait" // nobody is called, and whose of the systems beyond it is need not be told apart
		}
	default:
		a.step = c.Segment
	}
	return a
}

// believed returns the probability that an act is right: that one of its causes is there, alone or in company.
func (s *state) believed(a act) float64 {
	p := 0.0
	for i := range s.causes {
		c := &s.causes[i]
		if c.ID != report.Unexplained && actOf(c.Cause) == a {
			p += c.p
		}
	}
	for _, x := range s.pairs {
		// Whoever is sent for one of two faults that may both have stopped the sale is sent rightly.
		switch first, second := actOf(s.causes[x.a].Cause) == a, actOf(s.causes[x.b].Cause) == a; {
		case first && !second && x.share > 0.1:
			p += x.p * (1 - x.share) * (1 - s.spare)
		case second && !first && x.share < 0.9:
			p += x.p * x.share * (1 - s.spare)
		}
	}
	return min(p, 1)
}

// abstains tells whether nobody can be sent: what remains needs different people, or different first steps.
func (s *state) abstains(ranked []*scored) bool {
	return ranked[0].ID == report.Unexplained || s.believed(actOf(ranked[0].Cause)) < s.f.Settings.AbstainBelow
}

// inseparable names the causes that remain: when the engine abstains, or when they share an act. Those far below the
// first are left out only where the rest is most of what is believed: many small ones may hold the cause together.
func (s *state) inseparable(ranked []*scored) []string {
	list := []string{}
	top, named, all := 0.0, 0.0, 0.0
	for _, c := range ranked {
		if c.ID != report.Unexplained {
			top, all = max(top, c.p), all+c.p
		}
	}
	for _, c := range ranked {
		if c.ID == report.Unexplained || c.out || c.p < alsoBelow && !s.spokenOf(c) {
			continue
		}
		if c.p < top/4 && named >= mostOf*all || len(list) == maxSeparate {
			break
		}
		list = append(list, c.ID)
		named += c.p
	}
	return list
}

// spokenOf tells whether anything speaks of a cause: what the code means, or more than a hint. Of dozens of causes
// that are left only because nothing speaks of them, naming some would be a guess.
func (s *state) spokenOf(c *scored) bool {
	set := &s.f.Settings
	return c.evidence >= set.Moderate/2 || slices.ContainsFunc(s.readings, func(r reading) bool {
		return r.means() && r.Names(c.ID) && (c.evidence > -set.Hint || r.share > 0.02 && r.Frequency(c.ID) == 0)
	})
}

// general are the topics of a code of which no more is known than who wrote it.
var general = []string{"any", "local-any", "host-any"}

// mostOf is the part of what is believed that the causes named together hold at least, if few enough do.
const mostOf = 0.75

// set returns the credible set: the causes at least as probable as the true one was in 95 of 100 trials
// (Settings.SetAbove), so that one of them holds with 95 % probability.
func (s *state) set(ranked []*scored) []string {
	list := []string{}
	for i, c := range ranked {
		if i == 0 || c.p >= s.f.Settings.SetAbove {
			list = append(list, c.ID)
		}
	}
	return list
}

// masked names the causes whose findings the first cause brings about: a broken cable explains why the host cannot be
// reached.
func (s *state) masked(first *scored) []string {
	list := []string{}
	for i := range s.causes {
		c := &s.causes[i]
		if c.Cause == first.Cause || c.p >= 0.25 || len(list) == maxMasked || first.p < 0.5 {
			continue
		}
		for _, x := range s.says {
			g := &s.signs[x.sign]
			if x.cause == i && !x.brought && !g.Tells && x.db >= s.f.Settings.Moderate && slices.Contains(g.Brought, first.ID) {
				list = append(list, c.ID)
				break
			}
		}
	}
	return list
}

// alsoBelow is the probability below which a cause that is there is not among those that may have caused an event.
const alsoBelow = 0.1

// alsoShare is how much of a word's weight a finding must have to be worth mentioning beside an event: of strong, or of
// moderate where its check is bad.
const alsoShare = 0.75

// also names what is broken and cannot have caused this event; remain are the causes that may have.
func (s *state) also(remain []string, lang string) []report.Also {
	var list []report.Also
	var by []*sign // what each of the list rests on
	first := s.ranked()[0]
	proof := s.proofOf(first.ID)
	for i := range s.causes {
		c := &s.causes[i]
		if c.Cause == first.Cause || !c.out && c.p >= alsoBelow || slices.Contains(remain, c.ID) {
			continue // it may have caused this event
		}
		best := -1
		for j := range s.says {
			if x := &s.says[j]; x.cause == i && !s.signs[x.sign].Tells && !x.brought && (best < 0 || x.db > s.says[best].db) {
				best = j
			}
		}
		if best < 0 {
			continue
		}
		g := &s.signs[s.says[best].sign]
		if g.Name == proof || !c.out && c.present < 0.5 && first.produces.has(s.says[best].sign) {
			continue // it is what the first cause rests on, or what it brings about
		}
		if db := s.says[best].db; db < alsoShare*s.f.Settings.Strong &&
			(g.news != codes.BadNews || db < alsoShare*s.f.Settings.Moderate) {
			continue // poor, or not clear enough to act on
		}
		do := s.whoActs(c.Cause)
		do.Step = c.StepsFor("").In(lang)
		list = append(list, report.Also{ID: c.ID, Segment: c.Segment, Act: do,
			Finding: report.Reason{Check: g.Check, Say: s.say(g, lang),
				WeightDB: round(s.says[best].db, 1)}})
		by = append(by, g)
	}
	list = told(list, by)
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(cmp.Compare(b.Finding.WeightDB, a.Finding.WeightDB), strings.Compare(a.ID, b.ID)) < 0
	})
	return list[:min(len(list), maxCauses)]
}

// told leaves out what a clearer one of the list explains, and of those that rest on one finding all but the first.
func told(list []report.Also, by []*sign) []report.Also {
	var left []report.Also
	for i := range list {
		explained := false
		for j := range list {
			a, b := list[i].Finding.WeightDB, list[j].Finding.WeightDB
			explained = explained || by[i] == by[j] && (b > a || b == a && j < i) || b > a && by[i].explainedBy(list[j].ID)
		}
		if !explained {
			left = append(left, list[i])
		}
	}
	return left
}

// explainedBy tells whether a cause can bring a finding about.
func (g *sign) explainedBy(cause string) bool {
	return slices.Contains(g.Brought, cause) ||
		slices.ContainsFunc(g.Weights, func(w codes.Weight) bool { return w.Cause == cause && w.Word > 0 })
}

// proofOf names the finding that speaks most for a cause.
func (s *state) proofOf(cause string) (name string) {
	at, most := s.causeIndex(cause), 0.0
	for i := range s.says {
		if x := &s.says[i]; x.cause == at && x.db > most {
			name, most = s.signs[x.sign].Name, x.db
		}
	}
	return name
}

// describe writes out the first causes and unexplained. What the causes left out weigh goes to unexplained: the
// probabilities of the document sum to 1.
func (s *state) describe(ranked []*scored, abstained bool, lang string) []report.Cause {
	var list []report.Cause
	rest := 1.0
	for _, c := range ranked {
		if c.ID == report.Unexplained || c.out && len(list) > 0 || len(list) == maxCauses {
			continue // what cannot have been it is not listed, however little is left
		}
		p := round(c.p, 4)
		rest -= p
		list = append(list, s.describeOne(c, p, abstained, len(list) == 0, lang))
	}
	unexplained := s.describeOne(s.cause(report.Unexplained), max(0, round(rest, 4)), abstained, false, lang)
	at := len(list)
	for at > 0 && list[at-1].Probability < unexplained.Probability && (abstained || at > 1) {
		at--
	}
	return slices.Insert(list, at, unexplained)
}

// A described cause is under construction: put sorts a reason into For or Against.
type described struct{ report.Cause }

func (d *described) put(r report.Reason) {
	if r.WeightDB > 0 {
		d.For = append(d.For, r)
	} else {
		d.Against = append(d.Against, r)
	}
}

func (s *state) describeOne(c *scored, p float64, abstained, first bool, lang string) report.Cause {
	d := described{report.Cause{ID: c.ID, Segment: c.Segment, Probability: p, Title: c.Title.In(lang),
		Act: s.whoActs(c.Cause), For: []report.Reason{}, Against: []report.Reason{}}}
	d.Verdict = s.verdict(c, p, abstained, first)
	if c.ID == report.Unexplained {
		return d.Cause
	}
	for _, r := range s.readings {
		if db := s.codeWeight(r, c.ID); math.Abs(db) >= reasonDB && (s.res.Known || r.means()) && r.Topic != s.base().Topic {
			say := r.Text
			if slices.Contains(approvals, r.Topic) && !s.isPayment() {
				say = s.k.Word("reason", "accepted")
			}
			d.put(report.Reason{Check: "code", Say: say.In(lang), WeightDB: round(db, 1)})
		}
	}
	index := s.causeIndex(c.ID)
	for _, x := range s.says {
		if db := round(x.db, 1); x.cause == index && math.Abs(db) >= reasonDB && !s.saidWorse(x) {
			g := &s.signs[x.sign]
			d.put(report.Reason{Check: g.Check, Say: s.say(g, lang), WeightDB: db})
		}
	}
	for _, list := range [...][]report.Reason{d.For, d.Against} {
		sort.SliceStable(list, func(i, j int) bool {
			a, b := list[i], list[j]
			if x, y := math.Abs(a.WeightDB), math.Abs(b.WeightDB); x != y {
				return x > y
			}
			return a.Check+a.Say < b.Check+b.Say
		})
	}
	d.For, d.Against = once(d.For), once(d.Against)
	d.For, d.Against = d.For[:min(len(d.For), maxReasons)], d.Against[:min(len(d.Against), maxReasons)]
	return d.Cause
}

// saidWorse tells whether the finding that something is poor stands beside the one that the same thing is bad. To a
// reader the two are one.
func (s *state) saidWorse(x saying) bool {
	g := &s.signs[x.sign]
	return g.news == codes.PoorNews && slices.ContainsFunc(s.says, func(o saying) bool {
		w := &s.signs[o.sign]
		return o.cause == x.cause && w.news == codes.BadNews && w.Check == g.Check && w.Family == g.Family && w.item == g.item
	})
}

// once removes reasons that repeat a heavier one of the same check word for word: two findings may rest on one fact.
// The list is in the order of weight.
func once(list []report.Reason) []report.Reason {
	kept := list[:0]
	for _, r := range list {
		if !slices.ContainsFunc(kept, func(k report.Reason) bool { return k.Check == r.Check && k.Say == r.Say }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// codeWeight returns, in decibans, what a reading of the code says of a cause: for a named cause how far it lies above
// those that are not named; for one that is not named, where the code settles the matter, how far it lies below the
// main one; else 0.
func (s *state) codeWeight(r reading, cause string) float64 {
	set := &s.f.Settings
	switch {
	case r.Names(cause):
		return r.share * (set.Frequency(r.Frequency(cause)) - set.Frequency(r.Rest))
	case r.Settled:
		return r.share * set.Frequency(r.Rest)
	}
	return 0
}

// verdict returns the word for a cause: confirmed, likely, possible, rejected, or indeterminate where nobody can tell.
func (s *state) verdict(c *scored, p float64, abstained, first bool) string {
	set := s.f.Settings
	switch {
	case c.ID == report.Unexplained:
		return "indeterminate"
	case abstained && p >= 0.05:
		return "indeterminate"
	// Of two faults each may be there for certain; the word goes with the figure beside it all the same.
	case first && c.present >= set.Confirmed && p >= set.Confirmed-sharedWord && (c.witnesses >= 2 || c.self):
		return "confirmed"
	case max(p, c.present) >= set.Likely && p >= set.Likely-sharedWord:
		return "likely"
	case p < 0.02 && c.evidence <= -set.Strong:
		return "rejected"
	}
	return "possible"
}

// cardsTried tells whether so many cards met the code, and none was approved, that one more is no advice.
func (s *state) cardsTried() bool {
	return s.strengthOf("hist.many-cards") >= 0.5 || s.strengthOf("hist.many-cards-local") >= 0.5
}

// whoActs says who must act about a cause, where it comes first and where it is told of besides: what the shop mends
// itself needs no visit.
func (s *state) whoActs(c *codes.Cause) report.Act {
	if c.ID == "printer.fault" && s.printerWaits() || c.ID == "terminal.power" && s.wantsCharge() {
		return report.Act{By: "staff"}
	}
	return report.Act{By: c.Act, Visit: c.Visit}
}

// printerWaits tells a missing roll, which staff put in, or heat, which passes, from a broken printer.
func (s *state) printerWaits() bool {
	it := s.First(evidence.PrinterStatus)
	if it == nil {
		return s.topic == "paper"
	}
	switch it.Str(evidence.Outcome) {
	case "no-paper", "paper-low", "cover-open", "over-heat":
		return true
	}
	return s.topic == "paper"
}

// wantsCharge tells an empty battery, which staff charge, from a supply that fails.
func (s *state) wantsCharge() bool {
	for _, broken := range [...]string{"power.battery-sick", "power.bad", "power.dips-hurt", "power.brownout"} {
		if s.strengthOf(broken) > 0 {
			return false
		}
	}
	return s.strengthOf("power.battery") > 0 || s.topic == "battery"
}

// round makes a number the same on every processor: the last bits of a float64 differ between them.
func round(v float64, digits int) float64 {
	m := math.Pow10(digits)
	return math.Round(v*m) / m
}

// maxFact bounds a word out of the evidence in a text.
const maxFact = 48

// onlyKnown removes from a text what would name facts that are not known: parts in brackets, and members of the list
// behind a colon.
func onlyKnown(text string, given report.Facts) string {
	missing := func(part string) bool {
		names := facts.FindAllString(strings.ReplaceAll(part, plural, ""), -1)
		return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool {
			v, ok := given[strings.Trim(n, "{}")]
			return ok && factText(v) != "-"
		})
	}
	text = bracketed.ReplaceAllStringFunc(text, func(part string) string { return evidence.Choose(missing(part), "", part) })
	for _, marks := range [...][2]string{{": ", ", "}, {"：", "，"}} {
		head, list, ok := strings.Cut(text, marks[0])
		if !ok || strings.Contains(head, "{") {
			continue
		}
		parts := slices.DeleteFunc(strings.Split(list, marks[1]), missing)
		if len(parts) == 0 {
			return head
		}
		return head + marks[0] + strings.Join(parts, marks[1])
	}
	return text
}

// say words a finding. One that only its sender claims is told as that: the facts would belie the words.
func (s *state) say(g *sign, lang string) string {
	if check, ok := s.k.Check(g.Check); ok && g.claimed {
		return strings.ReplaceAll(s.k.Word("finding", "claimed").In(lang), "{check}", check.Title.In(lang))
	}
	return fill(g.Text.In(lang), g.facts, lang)
}

// plural is what the tables write for the ending of an English word that a number counts: nothing after one, else s.
const plural = "{s}"

// fill puts facts into the places of a text, such as {loss_pct}. Where a fact is not known its part of the text is
// left out, or a dash stands for it if the text cannot do without.
func fill(text string, facts report.Facts, lang string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	text = onlyKnown(text, facts)
	var b strings.Builder
	last := ""
	for {
		before, after, ok := strings.Cut(text, "{")
		b.WriteString(before)
		name, rest, closed := strings.Cut(after, "}")
		if !ok || !closed {
			return b.String()
		}
		if "{"+name+"}" == plural {
			last = evidence.Choose(last == "1", "", "s")
		} else {
			last = factWord(facts[name], lang)
			if long, after, ok := longTime(name, facts, rest, lang); ok {
				last, rest = long, after
			}
		}
		b.WriteString(last)
		text = rest
	}
}

// spans are the units that a time is told in, from this many seconds on: nobody reads 72002 s.
var spans = [...]struct {
	from, unit float64
	word       codes.Text
}{
	{2 * 86400, 86400, codes.Text{ZH: "天", EN: " days"}},
	{2 * 3600, 3600, codes.Text{ZH: "小时", EN: " hours"}},
	{2 * 60, 60, codes.Text{ZH: "分钟", EN: " minutes"}},
}

// longTime rewrites a fact in seconds, behind which the text names their unit, in the largest unit that fits, and
// returns what follows the unit.
func longTime(name string, facts report.Facts, rest, lang string) (long, after string, ok bool) {
	seconds, known := facts.Num(name)
	after, ok = strings.CutPrefix(rest, codes.Text{ZH: "秒", EN: " s"}.In(lang))
	if next, _ := utf8.DecodeRuneInString(after); !known || !ok || !strings.HasSuffix(name, "_s") ||
		lang == "en" && unicode.IsLetter(next) {
		return "", "", false
	}
	for _, s := range spans {
		if math.Abs(seconds) >= s.from {
			return factText(math.Round(seconds/s.unit)) + s.word.In(lang), after, true
		}
	}
	return "", "", false
}

// factWord writes a fact in a language. A word of the registry is called what people call it.
func factWord(v any, lang string) string {
	k := codes.Builtin()
	switch v := v.(type) {
	case string:
		return clean(k.Word("fact", v).In(lang))
	case []string, []any:
		words := slices.Clone(report.Facts{"x": v}.Strings("x"))
		for i, w := range words {
			words[i] = k.Word("fact", w).In(lang)
		}
		return clean(strings.Join(words, " "))
	}
	return factText(v)
}

// factText writes a fact; what is not printable never gets into a text.
func factText(v any) string {
	switch v := v.(type) {
	case string:
		return clean(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "-"
		}
		return strconv.FormatFloat(round(v, 1), 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case []string, []any:
		return clean(strings.Join(report.Facts{"x": v}.Strings("x"), " "))
	}
	return "-"
}

func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > maxFact {
		cut := maxFact
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut]
	}
	if s == "" {
		return "-"
	}
	return s
}
