package evidence

import (
	"slices"

	"posdx/agent/report"
	"posdx/codes"
)

// Grade sets the status and level of evidence by its facts, in place of whatever they were: it is for whoever
// measured. Evidence of a check that was not made, could not tell or is not registered stays as it is.
func Grade(e *report.Evidence, k *codes.Knowledge) {
	if e.Facts == nil {
		e.Facts = report.Facts{}
	}
	if reason, ok := e.Facts.Str("reason"); ok && reason != "" && (e.Status == report.CannotTell || e.Status == report.NotRun) {
		return
	}
	if _, ok := k.Check(e.Check); !ok || Check(e.Check) == FleetAdvisory {
		return // what other terminals see is said, not measured
	}
	e.Status = report.OK
	delete(e.Facts, "level")
	it := newItem(e, k, 0)
	switch reason := it.doubt(); {
	case reason != "":
		e.Status, e.Facts["reason"] = report.CannotTell, reason
		return
	case it.Level == LevelBad:
		e.Status = report.Bad
	}
	if it.graded() {
		e.Facts["level"] = string(it.Level)
	}
}

// graded tells whether the level says more than ok or bad: the check measures numbers, or ended fair or poor.
func (it *Item) graded() bool {
	if it.Level == LevelPoor || it.Level == LevelFair {
		return true
	}
	for i, list := 0, it.k.LimitsOf(it.Check); i < len(list); i++ {
		if (list[i].News == codes.BadNews || list[i].News == codes.PoorNews) && list[i].Fact != "" {
			return true
		}
	}
	return false
}

// judge applies the limits of the item's check to its facts.
func (it *Item) judge() {
	it.Level, it.trust = LevelGood, 1
	limits := it.k.LimitsOf(it.Check)
	for i := range limits {
		l := &limits[i]
		if l.News == codes.GoodNews || !it.holds(l) {
			continue
		}
		it.look(l)
	}
	it.Level = worse(it.Level, it.inGo())
	if it.claimedBad() && it.Level != LevelBad {
		it.Level = LevelBad
		for i := range limits {
			if s := (shown{&limits[i], limits[i].Full, 1}); s.claimed() {
				it.shown = append(it.shown, s)
			}
		}
	}
	it.Level = worse(it.Level, it.claimedLevel())
	worst := 0.0
	for _, s := range it.shown {
		worst = max(worst, s.badness)
	}
	it.trust = Choose(it.Level == LevelBad, 0, 1-worst)
	if it.claimedLevel() == LevelPoor && worst == 0 {
		it.trust *= 0.5 // its sender calls it bad
	}
	for i := range limits {
		if l := &limits[i]; l.News == codes.GoodNews && it.trust > 0 && it.holds(l) {
			strength := l.Full
			if l.Fact != "" {
				v, ok := it.number(l.Fact)
				strength = Choose(ok, Ramp(v, l.Bad, l.Full), 0)
			}
			if strength *= it.trust; strength > 0 {
				it.shown = append(it.shown, shown{l, strength, 0})
			}
		}
	}
}

// look applies one limit whose conditions hold, of bad or poor news or a note: it sets the item's level and adds the
// finding.
func (it *Item) look(l *codes.Limit) {
	if l.Fact == "" {
		if len(l.When) == 1 && l.When[0].Op == codes.Claimed {
			return
		}
		s := shown{l, l.Full, 0}
		switch l.News {
		case codes.BadNews:
			it.Level, s.badness = LevelBad, 1
		case codes.PoorNews:
			it.Level, s.badness = worse(it.Level, LevelPoor), l.Full
		}
		it.shown = append(it.shown, s)
		return
	}
	v, ok := it.number(l.Fact)
	if !ok {
		return
	}
	up := l.Full > l.Poor
	past := func(limit float64) bool { return up && v > limit || !up && v < limit }
	strength := Ramp(v, l.Poor, l.Full)
	level := LevelGood
	switch {
	case l.News == codes.BadNews && (past(l.Bad) || v == l.Bad) && !it.byChance(l):
		level = LevelBad
	case l.News != codes.Note && past(l.Poor):
		level = LevelPoor
	case l.Grades && past(l.Fair):
		level = LevelFair
	}
	it.Level = worse(it.Level, level)
	if strength > 0 {
		s := shown{l, strength, 0}
		switch l.News {
		case codes.BadNews:
			s.badness = Ramp(v, l.Poor, l.Bad)
		case codes.PoorNews:
			s.badness = strength
		}
		it.shown = append(it.shown, s)
	}
}

// holds tells whether all conditions of a limit do.
func (it *Item) holds(l *codes.Limit) bool {
	for i := range l.When {
		if !it.condition(&l.When[i]) {
			return false
		}
	}
	return true
}

func (it *Item) condition(c *codes.Cond) bool {
	switch c.Op {
	case codes.Claimed:
		return true // asked for where it counts
	case codes.Joined:
		return false
	case "is":
		return it.is(Fact[bool](c.Fact))
	case "not":
		return it.isNot(Fact[bool](c.Fact))
	case "eq":
		return slices.Contains(c.Words, it.str(Fact[string](c.Fact)))
	case "ne": // what is not known differs from every word, unless words are all that the check knows
		s, known := it.Facts.Str(c.Fact)
		return known && !slices.Contains(c.Words, s) || !known && !it.decides(c.Fact)
	}
	v, ok := it.number(c.Fact)
	if c.Op == "known" || c.Op == "unknown" {
		_, there := it.Facts[c.Fact]
		return (there || ok) == (c.Op == "known")
	}
	return ok && (c.Op == "ge" && v >= c.Number || c.Op == "le" && v <= c.Number || c.Op == "gt" && v > c.Number ||
		c.Op == "lt" && v < c.Number)
}

// decides tells whether a fact is the one that a check exists to find out. Where it is missing the check has found out
// nothing.
func (it *Item) decides(fact string) bool { return fact == string(Outcome) || fact == string(State) }

// byChance tells whether a value past its limit rests on too little to be called bad.
func (it *Item) byChance(l *codes.Limit) bool {
	if Check(it.Check) != NetPath || l.Fact != string(LossPct) {
		return false
	}
	samples, known := it.num(Samples)
	loss, _ := it.num(LossPct)
	return known && samples*loss/100 < 1.5 // one packet
}

// inGo returns the level of the few checks whose grade depends on several facts at once. All others are graded by the
// rows of findings.txt alone.
func (it *Item) inGo() Level {
	switch Check(it.Check) {
	case NetAddress:
		return it.addressLevel()
	case ModemBearer:
		return it.contextLevel()
	case AppSession:
		return it.sessionLevel()
	case AppVersion:
		if _, old := it.versionDiffers(); old {
			return LevelBad
		}
	case TxnAnswer:
		if it.isNot(HostAnswerSeen) {
			return LevelBad
		}
	case NetGateway:
		if it.deadRouter() {
			return LevelBad
		}
	}
	return LevelGood
}

// doubt returns the reason why a check that was made proves nothing, such as too few samples; "" if it proves
// something.
func (it *Item) doubt() string {
	known := func(f Fact[float64]) bool { _, ok := it.num(f); return ok }
	switch Check(it.Check) {
	case BoardMemory: // little is left, and whether anything waits for it the kernel does not say
		if it.Level == LevelPoor && !known(PressureAvg10) && !it.atLeast(OOMKills24h, 1) {
			return report.ReasonUnsupported
		}
	case BoardCPU: // a load says nothing of who waits: tasks stuck on a disk count as well
		if it.Level != LevelBad && !known(PressureAvg10) {
			return report.ReasonUnsupported
		}
	case BoardClock: // nothing here or outside vouches for it
		if it.Level != LevelBad && it.isNot(Trusted) {
			return report.ReasonUnsupported
		}
	case BoardReboots:
		if !known(Count24h) && (it.str(LastReason) == "unknown" || it.str(LastReason) == "") {
			return report.ReasonTooFew
		}
	case ReaderReads:
		if cards, ok := it.num(Cards); (!ok || cards < enoughCards) && it.shows("reads.wearing") == 0 {
			return report.ReasonTooFew
		}
	case ModemSignal:
		if n, ok := it.num(Samples); ok && n < EnoughSamples || len(it.shown) == 0 {
			return report.ReasonTooFew
		}
	case NetGateway:
		if loss, lossKnown := it.num(LossPct); it.Level != LevelBad && it.str(Neighbour) != "reachable" && lossKnown && loss >= 100 {
			return report.ReasonTimeout
		}
	case TxnAnswer:
		if _, ok := it.Known(HostAnswerSeen); !ok {
			return report.ReasonUnsupported
		}
	}
	return ""
}

// How much a judgement needs. With fewer cards than enoughCards two bad ones in a row look like a bad reader; fewer
// samples of the radio signal than EnoughSamples may have met a passing lorry.
const (
	enoughCards   = 5
	EnoughSamples = 3
)
