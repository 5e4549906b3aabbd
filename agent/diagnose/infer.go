package diagnose

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/codes"
)

// A state is everything one explanation knows about one event.
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
	causes   []scored // in the order of the catalogue, unexplained among them
}

// scored is one cause with what speaks for it, in decibans.
type scored struct {
	*codes.Cause
	prior    float64
	evidence float64 // sum of all signs that are not masked
	own      float64 // the strongest single sign of them in its favour
	hidden   float64 // what masked signs would have said in its favour
	unseen   float64 // share of evidence: a layer nobody looked at would explain the findings above it
	p        float64
}

// infer does the whole inference: signs, priors, weights, probabilities.
func infer(ev *report.Event, list []report.Evidence, k *codes.Knowledge, p codes.Profile) *state {
	f := &k.Inference
	s := &state{k: k, profile: p, given: ev, evidence: list, writer: findWriter(ev, list, k, p)}
	known := *ev
	known.Origin = s.writer.origin
	ev = &known
	s.reader = reader{f: f, ev: ev, Reading: evidence.Read(list, k)}
	s.txn = readTxn(ev, s.Reading)
	s.res, s.topic, s.trust = resolve(ev, &s.txn, p, k)
	s.prior, _ = f.Prior(s.topic)
	readSigns(&s.reader)
	s.score()
	return s
}

// base is what is weighed with when the code itself cannot be trusted.
func (s *state) base() codes.Prior {
	name := "any"
	if s.ev.Origin == report.OriginTerminal {
		name = "local-any"
	}
	p, _ := s.f.Prior(name)
	return p
}

func (s *state) score() {
	set := s.f.Settings
	base := s.base()
	s.causes = make([]scored, len(s.k.Causes))
	for i := range s.k.Causes {
		c := &s.causes[i]
		c.Cause = &s.k.Causes[i]
		mix := func(of func(*codes.Prior) float64) float64 { return s.trust*of(&s.prior) + (1-s.trust)*of(&base) }
		if c.ID == report.Unexplained {
			c.prior = set.UnexplainedDB + mix(func(p *codes.Prior) float64 { return p.Unexplained })
			if s.unchecked() {
				c.evidence += set.UncheckedDB
			}
			continue
		}
		c.prior = mix(func(p *codes.Prior) float64 { return weightOf(p.Weights, c.ID, p.Floor) })
	}
	for i := range s.signs {
		g := &s.signs[i]
		for _, w := range g.Weights {
			c := s.cause(w.Cause)
			db := w.DB * g.strength
			if g.masked {
				c.hidden += max(db, 0)
				continue
			}
			c.evidence += db
			c.own = max(c.own, db)
		}
	}
	s.credit()
	s.normalise()
}

const (
	strongDB    = 8    // a sign that favours a cause by so much is a finding worth doubting
	explainsDB  = 12   // what a sign must say for a cause so that the cause explains what the sign masks
	creditShare = 0.75 // of the doubted finding that goes to a deeper cause: it need not have shown in just this way
)

// credit is fair to the layers nobody looked at: had a deeper one been found broken, it would have masked the findings above
// it, so while it was not looked at they speak for it nearly as well as for the causes they are named after.
func (s *state) credit() {
	lift := map[string]float64{} // never iterated
	unseen := map[string]bool{}
	for i := range s.f.Signs {
		m := &s.f.Signs[i]
		if len(m.Masks) == 0 {
			continue
		}
		u, known := unseen[m.Check]
		if !known {
			u = s.unlooked(m.Check)
			unseen[m.Check] = u
		}
		if !u {
			continue
		}
		for j := range s.signs {
			g := &s.signs[j]
			if g.masked {
				continue
			}
			if _, ok := slices.BinarySearch(m.Masks, g.Name); !ok {
				continue
			}
			db := 0.0
			for _, w := range g.Weights {
				db = max(db, w.DB)
			}
			if db < strongDB {
				continue
			}
			for _, w := range m.Weights {
				if w.DB >= explainsDB {
					lift[w.Cause] = max(lift[w.Cause], g.strength*(creditShare*db-max(0, weightOf(g.Weights, w.Cause, 0))))
				}
			}
		}
	}
	for i := range s.causes {
		c := &s.causes[i]
		c.unseen = lift[c.ID]
		c.evidence += c.unseen
	}
}

// unlooked tells whether a layer of the way to the host, or the clock, was not looked at although it may well be there.
func (s *state) unlooked(check string) bool {
	switch {
	case check == "net.wifi":
		if s.Kind != "wifi" && len(s.All(evidence.NetWifi)) == 0 {
			return false
		}
	case strings.HasPrefix(check, "modem."):
		if s.Kind != "cellular" && s.Kind != "ppp" {
			return false
		}
	case !strings.HasPrefix(check, "net.") && check != "board.clock":
		return false
	}
	list := s.All(evidence.Check(check))
	for i := range list {
		if list[i].Fresh >= maskFrom {
			return false
		}
	}
	for _, e := range s.Missing {
		if reason, _ := e.Facts.Str("reason"); e.Check == check && (reason == report.ReasonAbsent || reason == report.ReasonMasked) {
			return false
		}
	}
	return true
}

func weightOf(list []codes.Weight, cause string, otherwise float64) float64 {
	i, ok := slices.BinarySearchFunc(list, cause, func(w codes.Weight, c string) int { return strings.Compare(w.Cause, c) })
	if !ok {
		return otherwise
	}
	return list[i].DB
}

func (s *state) cause(id string) *scored {
	if i := s.causeIndex(id); i >= 0 {
		return &s.causes[i]
	}
	return &scored{Cause: &codes.Cause{}}
}

// causeIndex returns where a cause stands in the catalogue, -1 if it is not in it.
func (s *state) causeIndex(id string) int {
	i, ok := slices.BinarySearchFunc(s.k.Causes, id, func(c codes.Cause, id string) int { return strings.Compare(c.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// unchecked tells whether a code that only checks can settle came with hardly any.
func (s *state) unchecked() bool {
	if s.prior.Settled && s.trust > 0.5 {
		return false
	}
	checks := 0
	for i := range s.signs {
		if it := s.signs[i].item; it != nil && !strings.HasPrefix(it.Check, "txn.") && !strings.HasPrefix(it.Check, "app.") && it.Fresh > 0.3 {
			checks++
		}
	}
	return checks < 2
}

// normalise turns decibans into probabilities.
func (s *state) normalise() {
	top := math.Inf(-1)
	for i := range s.causes {
		top = max(top, s.causes[i].prior+s.causes[i].evidence)
	}
	sum := 0.0
	for i := range s.causes {
		c := &s.causes[i]
		c.p = math.Pow(10, s.f.Settings.Scale*(c.prior+c.evidence-top)/10)
		sum += c.p
	}
	spare := min(s.f.Settings.ModelError, 0.5)
	for i := range s.causes {
		s.causes[i].p *= (1 - spare) / sum
	}
	s.cause(report.Unexplained).p += spare
}

// ranked returns the causes, most probable first.
func (s *state) ranked() []*scored {
	list := make([]*scored, len(s.causes))
	for i := range s.causes {
		list[i] = &s.causes[i]
	}
	slices.SortStableFunc(list, func(a, b *scored) int { return cmp.Or(cmp.Compare(b.p, a.p), strings.Compare(a.ID, b.ID)) })
	return list
}
