package diagnose

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"posdx/agent/diagnose/noisyor"
	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A state is everything that one explanation knows about one event. infer fills it in; everything else only reads it.
type state struct {
	reader
	k        *codes.Knowledge
	given    *report.Event // as it came; reader.ev has the writer that was found out
	evidence []report.Evidence
	writer   writer
	profile  codes.Profile
	res      codes.Resolution
	trust    float64 // how far the code's own meaning counts, 0 to 1
	prior    codes.Prior
	readings []reading
	causes   []scored // in the order of the catalogue, unexplained among them
	says     []saying
	pairs    []pair
	spare    float64 // part of the certainty taken back, because so few witnesses agree
}

// A reading is one meaning that the code may have, with the part of the belief that goes to it.
type reading struct {
	*codes.Prior
	share float64 // 0 to 1; the shares of all readings sum to 1
	base  bool    // it stands for what is left to believe when the code cannot be trusted
}

// means tells whether a reading says what the code is about, and not only who wrote it.
func (r reading) means() bool { return !r.base && !slices.Contains(general, r.Topic) }

// A saying is what one finding says about one cause.
type saying struct {
	sign, cause int            // by their index in state.signs and state.causes
	db          float64        // decibans, below 0 against the cause
	word        codes.Strength // as the table has it
	brought     bool           // the cause explains the finding by way of a deeper one
	second      bool           // a stronger finding of the same family speaks already
}

// A pair is two causes that are there together, by their index in state.causes.
type pair struct {
	a, b  int
	p     float64 // that both are there
	share float64 // that a is the one that stopped the sale, given both
}

// scored is one cause with what speaks for it, in decibans.
type scored struct {
	*codes.Cause
	out       bool    // it cannot have produced this event
	prior     float64 // decibans against unexplained
	evidence  float64 // sum of all findings, taken alone
	own       float64 // the strongest single finding in its favour
	self      bool    // one finding is this fault itself
	witnesses float64 // independent ones, the code among them where its writer knows
	p         float64 // share of the belief; of two causes together each has half
	present   float64 // probability that it is there, alone or in company
	explains  bitset  // the faults found that it produces by itself and not weakly
	produces  bitset  // all faults found that it produces, those by way of others too
}

// infer does the whole inference: findings, stages, priors, weights, probabilities.
func infer(ev *report.Event, list []report.Evidence, k *codes.Knowledge, p codes.Profile) *state {
	f := &k.Inference
	if p.Base == "" {
		p, _ = k.Profile("unionpay")
	}
	s := &state{k: k, profile: p, given: ev, evidence: list, writer: findWriter(ev, list, k, p)}
	known := *ev
	known.Origin = s.writer.origin
	ev = &known
	s.reader = reader{f: f, ev: ev, Reading: evidence.Read(list, k)}
	s.txn = readTxn(ev, s.Reading)
	s.res, s.topic, s.trust = resolve(ev, &s.txn, p, k)
	s.prior, _ = f.Prior(s.topic)
	s.findings()
	s.causes = make([]scored, len(k.Causes))
	for i := range k.Causes {
		s.causes[i].Cause = &k.Causes[i]
	}
	s.gate()
	s.priors()
	s.listen()
	s.solve()
	return s
}

// connectedBefore is the part of its weight that the finding "a connection was made" keeps where the request had left
// and no answer came: the way may have failed in between.
const connectedBefore = 0.3

// hoursAnswered is the part of its weight that the finding "the clock is wrong" keeps where a host has answered all
// the same.
const hoursAnswered = 0.1

// findings has the judge read the evidence, and weakens findings that say less in this event than they do in general.
func (s *state) findings() {
	readSigns(&s.reader)
	s.rates()
	for i := range s.signs {
		switch g := &s.signs[i]; {
		case g.Name == "connect.made" && s.strengthOf("sent.silent") > 0:
			// A connection that was made before the failure says little about after it.
			g.strength *= connectedBefore
		case (g.Name == "clock.off" || g.Name == "clock.wrong") && s.txn.answered(s.ev.Origin) && s.topic != "clock":
			// A host was reached in spite of it: what it then finds wrong is another date, not another hour.
			g.strength *= hoursAnswered
		}
	}
	s.signs = slices.DeleteFunc(s.signs, func(g sign) bool { return !(g.strength > 0) })
}

// base returns the prior for a code that cannot be trusted: of any code that the same kind of writer may write.
func (s *state) base() *codes.Prior {
	name := "any"
	switch {
	case s.ev.Origin == report.OriginTerminal:
		name = "local-any"
	case s.ev.Origin == report.OriginHost && s.txn.answered(s.ev.Origin):
		name = "host-any"
	}
	p, _ := s.f.Prior(name)
	return &p
}

// read finds what the code may mean. Where its sources disagree each meaning has a share, by the number of sources
// that print it. What the code's writer cannot know is left to base.
func (s *state) read() {
	left := 1.0
	if rows := s.k.Readings(s.res.Scheme, s.ev.Code); len(rows) > 1 && !s.res.Usable && s.res.Decoded == "" {
		total := 0.0
		for i := range rows {
			total += float64(max(1, len(rows[i].Sources)))
		}
		for i := range rows {
			if p, ok := s.f.Prior(s.f.Topic(rows[i])); ok {
				share := s.trust * float64(max(1, len(rows[i].Sources))) / total
				s.readings = append(s.readings, reading{&p, share, false})
				left -= share
			}
		}
	} else {
		s.readings = append(s.readings, reading{&s.prior, s.trust, false})
		left -= s.trust
	}
	if s.holdsNoCard() {
		// No card is in such a message, so a code of cards is not meant as that.
		s.readings = slices.DeleteFunc(s.readings, func(r reading) bool {
			if s.ofCards(r.Prior) {
				left += r.share
				return true
			}
			return false
		})
	}
	if left > 1e-9 {
		s.readings = append(s.readings, reading{s.base(), left, true})
	}
}

// ofCards tells whether what mainly lies behind a topic is a card, or whoever issued it.
func (s *state) ofCards(p *codes.Prior) bool {
	some := false
	for _, n := range p.Causes {
		if c, ok := s.k.Cause(n.Cause); ok && n.Often == codes.Main {
			if some = true; !slices.Contains(cardSegments, c.Segment) {
				return false
			}
		}
	}
	return some
}

// gate leaves out the causes that cannot have produced this event: a host that answers has been reached by a card that
// was read, a code tells at which stage of the sale it was written, and whoever wrote it writes codes for some causes
// only. What the code's topic names is a candidate whatever else is said of it.
func (s *state) gate() {
	s.read()
	answered := s.txn.answered(s.ev.Origin) && !s.ownCode()
	hands := s.hands(answered)
	approved := s.approval() && s.trust >= 0.85 // a sale that was made was stopped by nothing
	for i := range s.causes {
		c := &s.causes[i]
		if s.holdsNoCard() && slices.Contains(cardSegments, c.Segment) {
			c.out = true // no card and no account is in such a message
			continue
		}
		if c.ID == report.Unexplained || slices.ContainsFunc(s.readings, func(r reading) bool {
			return r.means() && r.share > 0.02 && r.Names(c.ID) && r.Frequency(c.ID) < codes.Rare
		}) {
			continue
		}
		switch {
		case answered:
			c.out = !acts(c.Stages, "answer")
		case s.trust > 0.5 && s.ownCode():
			c.out = !meets(c.Stages, s.prior.Stages)
		}
		c.out = c.out || approved || !meets(c.Writers, hands)
	}
}

// cardSegments are those of the card and whoever issued it.
var cardSegments = []string{"card", "issuer"}

// hands returns who may have written the code: terminal, or acquirer, switch, issuer behind a host that answered. It
// is empty where that is not known, or where a cashier program may have made the code up.
func (s *state) hands(answered bool) []string {
	switch {
	case !answered && s.ownCode() && s.trust > 0.5:
		return []string{string(report.OriginTerminal)}
	case !answered || s.trust < 0.85:
		return nil
	case len(s.res.Meaning.SentBy) > 0:
		return s.res.Meaning.SentBy
	}
	if scheme, ok := s.k.Scheme(s.res.Scheme); ok {
		return scheme.Writers
	}
	return nil
}

// ownCode tells whether the terminal or its card wrote the code.
func (s *state) ownCode() bool { return s.res.Own() }

// acts tells whether a cause that can end a sale at these stages can do so at one of them; no stages are all.
func acts(stages []string, at string) bool { return len(stages) == 0 || slices.Contains(stages, at) }

// meets tells whether two lists have a member in common; an empty list is every member.
func meets(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// priors works out how probable each cause is before any finding. Each reading is a distribution over the causes that
// were not ruled out, and unexplained; they are mixed by their shares.
func (s *state) priors() {
	set := &s.f.Settings
	mixed := make([]float64, len(s.causes))
	own := make([]float64, len(s.causes))
	for _, r := range s.readings {
		total := 0.0
		for i := range s.causes {
			c := &s.causes[i]
			switch {
			case c.ID == report.Unexplained:
				own[i] = ratio(set.Frequency(r.Unexplained) + set.Unexplained)
			case c.out:
				own[i] = 0
			default:
				own[i] = ratio(set.Frequency(r.Frequency(c.ID)))
			}
			total += own[i]
		}
		for i := range own {
			mixed[i] += r.share * own[i] / total
		}
	}
	rest := decibans(mixed[s.causeIndex(report.Unexplained)])
	for i := range s.causes {
		s.causes[i].prior = decibans(mixed[i]) - rest
	}
}

// ratio turns decibans into a ratio of likelihoods, decibans a ratio into decibans.
func ratio(db float64) float64   { return math.Exp(db * (math.Ln10 / 10)) }
func decibans(r float64) float64 { return 10 * math.Log10(max(r, 1e-30)) }

// listen notes what every finding says about every cause, adds it up, and counts the witnesses.
func (s *state) listen() {
	set := &s.f.Settings
	s.says = make([]saying, 0, 16*len(s.signs))
	for i := range s.signs {
		g := &s.signs[i]
		most := 0.0
		for _, w := range g.Weights {
			db := set.Weigh(w.Word) * g.strength
			most = max(most, db)
			s.says = append(s.says, saying{sign: i, cause: s.causeIndex(w.Cause), db: db, word: w.Word})
		}
		for _, id := range g.Brought {
			db := s.brought(g.Sign, id) * most
			s.says = append(s.says, saying{sign: i, cause: s.causeIndex(id), db: db, brought: true})
		}
	}
	s.families()
	for _, x := range s.says {
		c := &s.causes[x.cause]
		c.evidence += x.db
		c.own = max(c.own, evidence.Choose(x.brought, 0, x.db))
		if x.db > 0 && !s.signs[x.sign].Tells {
			c.produces.put(x.sign)
			if !x.brought && x.db >= set.Hint/2 && c.ID != "none" {
				c.explains.put(x.sign)
			}
		}
	}
	s.count()
}

// brought returns the part of a finding's weight that goes to a cause which explains it by way of a deeper finding:
// all of it where nothing gets past that deeper fault, else Settings.Brought.
func (s *state) brought(g *codes.Sign, cause string) float64 {
	return evidence.Choose(slices.Contains(g.Surely, cause), 1, s.f.Settings.Brought)
}

// families weakens what is said twice. Of the findings of one family, and apart for and against, the one with most
// news counts in full and the others by Settings.Family. What follows from a deeper finding is less news, and keeps
// less, the more clearly that one shows.
func (s *state) families() {
	n := len(s.causes)
	// What is brought about by way of deeper findings is a family of its own: that nothing beyond a break works is one
	// phenomenon, however often it is looked at.
	names := []string{"brought"}
	family := make([]int, len(s.signs))
	for i := range s.signs {
		at := slices.Index(names, s.signs[i].Family)
		if at < 0 {
			at = len(names)
			names = append(names, s.signs[i].Family)
		}
		family[i] = at
	}
	follows := s.follows()
	news := func(x *saying) float64 {
		if x.db > 0 {
			return x.db * (1 - follows[x.sign])
		}
		return -x.db
	}
	strongest := make([]int32, 2*len(names)*n) // by family, side and cause; one more than its index
	for i := range s.says {
		x := &s.says[i]
		at := 2 * family[x.sign]
		switch {
		case x.brought:
			at = 0
		case x.db < 0:
			at++
		}
		best := &strongest[at*n+x.cause]
		switch {
		case *best == 0:
			*best = int32(i + 1)
		case news(&s.says[*best-1]) < news(x):
			s.says[*best-1].second = true
			*best = int32(i + 1)
		default:
			x.second = true
		}
	}
	for i := range s.says {
		x, keep := &s.says[i], 1.0
		if x.db > 0 {
			keep -= (1 - s.f.Settings.Family) * follows[x.sign]
		}
		if x.second {
			keep = min(keep, s.f.Settings.Family)
		}
		x.db *= keep
	}
}

// follows returns for each finding how strongly, 0 to 1, a deeper finding shows that brings it about. Then it is
// little news, whichever cause explains the two.
func (s *state) follows() []float64 {
	list := make([]float64, len(s.signs))
	for i := range s.signs {
		g := &s.signs[i]
		for j := range s.signs {
			d := &s.signs[j]
			if len(g.Brought) == 0 || i == j || d.Tells || d.strength <= list[i] {
				continue
			}
			if slices.ContainsFunc(d.Weights, func(w codes.Weight) bool {
				return w.Word >= codes.Strong && slices.Contains(g.Brought, w.Cause)
			}) {
				list[i] = d.strength
			}
		}
	}
	return list
}

// count counts the independent witnesses of each cause: at most one for every family that speaks for it, by its
// weight, and one for the code where its writer knows what it says.
func (s *state) count() {
	set := &s.f.Settings
	for i := range s.says {
		x := &s.says[i]
		c := &s.causes[x.cause]
		if x.second || x.brought || x.db <= 0 {
			continue
		}
		c.witnesses += evidence.Ramp(x.db, set.Hint, set.Strong)
		g := &s.signs[x.sign]
		c.self = c.self || !g.Tells && g.strength >= 0.9 && x.db >= 0.9*set.Decisive
	}
	for i := range s.causes {
		c := &s.causes[i]
		switch main := s.prior.Frequency(c.ID) == 0; {
		case main && s.knows():
			c.witnesses++
			c.self = c.self || c.evidence >= 0 // where the rest speaks against it, a host's word is a word
		case main && s.ownCode() && s.trust >= 0.85:
			c.witnesses += 0.5 // the terminal knows what it met, not why
		}
	}
}

// knows tells whether the code's writer knows what it says: it is a host's own verdict. That a host wrote it must have
// been told; an inference is no witness.
func (s *state) knows() bool {
	return s.prior.Settled && s.trust >= 0.85 && !s.writer.inferred && !s.writer.open
}

// solve makes probabilities of priors and findings (package noisyor).
func (s *state) solve() {
	set := &s.f.Settings
	at := make([]int, len(s.causes)) // of each cause, its place in the problem
	back := make([]int, 0, len(s.causes))
	var p noisyor.Problem
	for i := range s.causes {
		at[i] = -1
		if c := &s.causes[i]; !c.out && c.ID != report.Unexplained {
			at[i] = len(back)
			back = append(back, i)
			p.Odds = append(p.Odds, ratio(c.prior))
			p.Single = append(p.Single, c.explains == bitset{})
		}
	}
	// One of two causes stops the sale, and the other one is there besides.
	besides := ratio(set.Company)
	p.Both = func(a, b int) float64 {
		if !s.apart(back[a], back[b]) {
			return 0
		}
		return besides * (p.Odds[a] + p.Odds[b])
	}
	p.Findings = make([]noisyor.Finding, len(s.signs))
	effects := make([]noisyor.Effect, 0, len(s.says))
	for from := 0; from < len(s.says); {
		to := from
		sign := s.says[from].sign
		most := 0.0
		for to < len(s.says) && s.says[to].sign == sign {
			most = max(most, s.says[to].db)
			to++
		}
		start := len(effects)
		f := &p.Findings[sign]
		f.Seen = !s.signs[sign].Tells
		if f.Seen {
			f.Leak = 0.9 * ratio(-most)
		} else {
			f.Leak = 1 - 0.99*ratio(-most)
		}
		for _, x := range s.says[from:to] {
			if at[x.cause] < 0 || x.db == 0 {
				continue
			}
			e := noisyor.Effect{Cause: at[x.cause], P: f.Leak * ratio(x.db), Stops: x.word <= -codes.Strong}
			if !f.Seen {
				e.P = 1 - (1-f.Leak)*ratio(x.db)
			}
			effects = append(effects, e)
		}
		f.Effects = effects[start:len(effects):len(effects)]
		from = to
	}
	post := noisyor.Solve(&p)
	best := -1
	for i, c := range back {
		x := &s.causes[c]
		x.present = post.Marginal[i]
		x.p = post.Alone[i]
	}
	// Which of two that are there stopped the sale follows from what speaks for each alone.
	for _, c := range post.Pairs {
		x, y := &s.causes[back[c.A]], &s.causes[back[c.B]]
		share := 1 / (1 + ratio(y.prior+y.evidence-x.prior-x.evidence))
		s.causes[back[c.A]].p += c.P * share
		s.causes[back[c.B]].p += c.P * (1 - share)
		s.pairs = append(s.pairs, pair{back[c.A], back[c.B], c.P, share})
	}
	// What the pairs too small to be named weigh together is shared by what each cause has in them.
	for i, c := range back {
		x := &s.causes[c]
		x.p += max(0, post.Marginal[i]-post.Alone[i]-s.inPairs(c)) / 2
		if best < 0 || x.p > s.causes[best].p {
			best = c
		}
	}
	s.cause(report.Unexplained).p = post.None
	s.cause(report.Unexplained).present = post.None
	s.keep(spareFor(set, s.causes[best].witnesses))
}

// keep takes back a part of the certainty, the larger the less was seen. It goes to unexplained, for what nobody
// thought of, and to the other causes that were not ruled out, whose odds come nearer to each other.
func (s *state) keep(spare float64) {
	s.spare = spare
	others := s.f.Settings.SpareOthers
	total := 0.0
	for i := range s.causes {
		total += math.Sqrt(s.causes[i].p)
	}
	for i := range s.causes {
		c := &s.causes[i]
		more := spare * others * math.Sqrt(c.p) / total
		if c.ID == report.Unexplained {
			more += spare * (1 - others)
		}
		c.p += more - spare*c.p
		c.present = min(1, c.present+more-spare*c.present)
	}
}

// inPairs returns how probable the named pairs with a cause are.
func (s *state) inPairs(c int) float64 {
	sum := 0.0
	for _, x := range s.pairs {
		if x.a == c || x.b == c {
			sum += x.p
		}
	}
	return sum
}

// spareFor returns the part of the certainty that keep takes back when so many independent witnesses agree,
// interpolated between the whole numbers of Settings.
func spareFor(set *codes.Settings, witnesses float64) float64 {
	v := [...]float64{set.Spare0, set.Spare1, set.Spare2, set.Spare3}
	i := min(int(witnesses), len(v)-2)
	return v[i] + (v[i+1]-v[i])*min(1, witnesses-float64(i))
}

// apart tells whether two causes can be two faults: they lie in different segments, and each explains a finding that
// the other one does not.
func (s *state) apart(a, b int) bool {
	x, y := &s.causes[a], &s.causes[b]
	return x.Segment != y.Segment && x.explains.beyond(&y.produces) && y.explains.beyond(&x.produces)
}

// A bitset is a set of findings.
type bitset [maxEvidence / 64]uint64

func (b *bitset) put(i int) {
	if i < maxEvidence {
		b[i/64] |= 1 << (i % 64)
	}
}

func (b *bitset) has(i int) bool { return i < maxEvidence && b[i/64]&(1<<(i%64)) != 0 }

func (b *bitset) beyond(c *bitset) bool {
	for i := range b {
		if b[i]&^c[i] != 0 {
			return true
		}
	}
	return false
}

// cause returns a cause by its id; for one that the catalogue does not have, an empty one that nobody keeps.
func (s *state) cause(id string) *scored {
	if i := s.causeIndex(id); i >= 0 {
		return &s.causes[i]
	}
	return &scored{Cause: &codes.Cause{}}
}

// causeIndex returns where a cause stands in the catalogue, -1 if it is not in it.
func (s *state) causeIndex(id string) int {
	i, ok := slices.BinarySearchFunc(s.k.Causes, id,
		func(c codes.Cause, id string) int { return strings.Compare(c.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// ranked returns the causes, most probable first.
func (s *state) ranked() []*scored {
	list := make([]*scored, len(s.causes))
	for i := range s.causes {
		list[i] = &s.causes[i]
	}
	slices.SortStableFunc(list, func(a, b *scored) int {
		return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(b.present, a.present), strings.Compare(a.ID, b.ID))
	})
	return list
}

// A Weighing is an event and its evidence, read once. The evaluation weighs it again and again with other settings.
type Weighing struct{ s *state }

// Read reads an event and its evidence for Weigh.
func Read(ev report.Event, evidence []report.Evidence, k *codes.Knowledge, p codes.Profile) *Weighing {
	return &Weighing{infer(&ev, evidence, k, p)}
}

// Weigh weighs the event with the settings and weights of f, and calls each for every cause with its probability.
func (w *Weighing) Weigh(f *codes.Inference, each func(cause string, p float64)) {
	s := *w.s
	s.f = f
	s.causes = make([]scored, len(w.s.causes))
	for i := range s.causes {
		s.causes[i] = scored{Cause: w.s.causes[i].Cause, out: w.s.causes[i].out}
	}
	s.says, s.pairs = nil, nil
	s.priors()
	s.listen()
	s.solve()
	for i := range s.causes {
		each(s.causes[i].ID, s.causes[i].p)
	}
}
