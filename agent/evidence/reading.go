package evidence

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// maxItems bounds how many pieces of evidence one reading weighs. A terminal has about fifty checks; what exceeds this
// is the oldest of a flood.
const maxItems = 256

// A Reading is all the evidence of one moment, judged, in an order that does not depend on the one it came in.
type Reading struct {
	Items   []Item
	Missing []*report.Evidence // checks that could not tell or were not made
	Kind    string             // of the network the sale goes over: ethernet wifi cellular ppp; "" if that cannot be told

	k        *codes.Knowledge
	sale     Sale
	findings []Finding
}

// Read judges evidence, whoever sent it. Of two findings about one subject only the newer counts.
func Read(list []report.Evidence, k *codes.Knowledge) *Reading {
	r := &Reading{k: k}
	order := make([]*report.Evidence, 0, min(len(list), 16*maxItems))
	for i := range list {
		if k.FreshFor(list[i].Check) == 0 && !strings.HasPrefix(list[i].Check, "ask.") {
			continue // an unknown check teaches nothing
		}
		if order = append(order, &list[i]); len(order) == cap(order) && i+1 < len(list) {
			order = trim(order)
		}
	}
	order = trim(order)
	slices.SortStableFunc(order, func(a, b *report.Evidence) int {
		return cmp.Or(strings.Compare(a.Check, b.Check), strings.Compare(a.Subject, b.Subject), cmp.Compare(a.AgeMS, b.AgeMS),
			strings.Compare(string(a.Status), string(b.Status)))
	})
	r.Items = make([]Item, 0, len(order))
	for i, e := range order {
		// The same age twice is a contradiction, and both stay, unless they say the same.
		if i > 0 && order[i-1].Check == e.Check && order[i-1].Subject == e.Subject && order[i-1].Status == e.Status &&
			reflect.DeepEqual(order[i-1].Facts, e.Facts) {
			order[i] = order[i-1]
			continue
		}
		if i > 0 && order[i-1].Check == e.Check && order[i-1].Subject == e.Subject && order[i-1].AgeMS < e.AgeMS &&
			Check(e.Check) != FleetAdvisory {
			order[i] = order[i-1]
			continue
		}
		switch e.Status {
		case report.OK, report.Bad:
			r.Items = append(r.Items, newItem(e, k, k.Inference.Settings.StaleFloor))
		case report.CannotTell, report.NotRun:
			r.Missing = append(r.Missing, e)
		}
	}
	r.doubt()
	r.Kind = r.activeBearer()
	return r
}

// doubted is the share of its strength that a good finding keeps where another look at the same thing, at the same
// moment, found it broken. What works only sometimes is broken.
const doubted = 0.3

// doubt weakens good findings that another look at the same thing contradicts.
func (r *Reading) doubt() {
	for i := range r.Items {
		for j := i + 1; j < len(r.Items); j++ {
			a, b := &r.Items[i], &r.Items[j]
			if a.Check != b.Check || a.Subject != b.Subject {
				break
			}
			if a.AgeMS != b.AgeMS || a.Bad() == b.Bad() || Check(a.Check) == FleetAdvisory {
				continue
			}
			if good := Choose(a.Bad(), b, a); good.Fresh == max(a.Fresh, b.Fresh) {
				good.Fresh *= doubted
			}
		}
	}
}

// trim keeps the freshest pieces of evidence when there are too many.
func trim(order []*report.Evidence) []*report.Evidence {
	if len(order) <= maxItems {
		return order
	}
	// Not package sort, as elsewhere: ten thousand pieces of evidence would take a third longer, and pointers of every
	// type share one copy.
	slices.SortStableFunc(order, func(a, b *report.Evidence) int { return cmp.Compare(a.AgeMS, b.AgeMS) })
	return order[:maxItems]
}

// All returns the items of one check.
func (r *Reading) All(check Check) []Item {
	from, _ := slices.BinarySearchFunc(r.Items, string(check),
		func(it Item, c string) int { return strings.Compare(it.Check, c) })
	to := from
	for to < len(r.Items) && r.Items[to].Check == string(check) {
		to++
	}
	return r.Items[from:to]
}

// First returns the freshest item of a check, bad before ok, nil if there is none.
func (r *Reading) First(check Check) *Item {
	var best *Item
	list := r.All(check)
	for i := range list {
		if it := &list[i]; best == nil || it.Bad() && !best.Bad() || it.Bad() == best.Bad() && it.AgeMS < best.AgeMS {
			best = it
		}
	}
	return best
}

// A Finding is one thing the evidence shows, by the name it has in the knowledge.
type Finding struct {
	Name     string
	Check    Check        // that shows it; of the text where the event itself does
	Item     *Item        // nil for the event itself
	Facts    report.Facts // for its text
	Strength float64      // 0 to 1: how clear it is, times its freshness
	News     codes.News
}

// A Sale is what is known of the transaction, after its witnesses were heard.
type Sale struct {
	Event        *report.Event
	Topic        string // what the code is about
	MTI, Entry   string
	Sent, Answer *bool
	Clash        bool // two witnesses contradict each other about what was sent or answered
	ConnectMS    *float64
	ResponseMS   *float64
	Answered     bool // a host really answered: the path to it worked a moment ago
}

// Findings says what the evidence shows about a sale. A finding that several items show keeps its strongest showing:
// two looks at one thing are not two witnesses.
func (r *Reading) Findings(s Sale) []Finding {
	r.sale, r.findings = s, make([]Finding, 0, 64)
	r.transaction()
	r.history()
	r.session()
	r.version()
	r.changes()
	r.single()
	r.clockOfEvent()
	r.turned()
	r.links()
	r.addresses()
	r.routers()
	r.bearers()
	r.mobile()
	r.beyond()
	r.advisories()
	r.alone()
	r.answers()
	return r.findings
}

// add records a finding of an item.
func (r *Reading) add(name string, it *Item, clear float64) {
	var facts report.Facts
	if it != nil {
		clear *= it.Fresh
		facts = it.Facts
	}
	r.put(name, it, facts, clear)
}

func (r *Reading) put(name string, it *Item, facts report.Facts, strength float64) {
	if !(strength > 0) { // not a number included
		return
	}
	strength = min(strength, 1)
	for i := range r.findings {
		if f := &r.findings[i]; f.Name == name {
			if f.Strength < strength {
				f.Item, f.Facts, f.Strength = it, facts, strength
			}
			return
		}
	}
	s := r.k.Inference.Sign(name)
	if s == nil {
		return
	}
	r.findings = append(r.findings, Finding{Name: name, Check: Check(s.Check), Item: it, Facts: facts, Strength: strength,
		News: r.k.NewsOf(name)})
}

func (r *Reading) has(name string) bool { return r.strength(name) > 0 }

// strength returns how strongly a finding shows, 0 if it does not.
func (r *Reading) strength(name string) float64 {
	for i := range r.findings {
		if r.findings[i].Name == name {
			return r.findings[i].Strength
		}
	}
	return 0
}

// most returns how strongly the strongest of some findings shows.
func (r *Reading) most(names ...string) float64 {
	top := 0.0
	for _, n := range names {
		top = max(top, r.strength(n))
	}
	return top
}

// single makes the findings that one check shows by itself. Good news of a part of the terminal counts only if no other
// look at it is bad.
func (r *Reading) single() {
	for i := range r.Items {
		it := &r.Items[i]
		if !r.concerns(it) {
			continue
		}
		good := r.several(it) || r.First(Check(it.Check)) == it
		for _, s := range it.shown {
			if !s.Joined && (good || s.News != codes.GoodNews) {
				r.add(s.Finding, it, s.strength)
			}
		}
	}
	r.storage()
	r.load()
	r.reads()
}

// several tells whether a check speaks of things that stand beside each other: two readers, two targets.
func (r *Reading) several(it *Item) bool {
	return strings.HasPrefix(it.Check, "reader.") || strings.HasPrefix(it.Check, "net.")
}

// concerns tells whether an item speaks of the network that the sale goes over; the faults of another are not this
// sale's.
func (r *Reading) concerns(it *Item) bool {
	switch c := Check(it.Check); {
	case c == NetLink || c == NetAddress || c == NetErrors:
		return !r.Other(linkKind(it))
	case c == NetWifi:
		return !r.Other("wifi")
	case strings.HasPrefix(it.Check, "net."):
		return it.Bearer == "" || !r.Other(kindOf(it.Bearer))
	case strings.HasPrefix(it.Check, "modem."):
		return !(r.Other("cellular") && r.Other("ppp"))
	}
	return true
}

// answers adds the findings of the questions that a person answered.
func (r *Reading) answers() {
	for i := range r.Items {
		it := &r.Items[i]
		if !strings.HasPrefix(it.Check, "ask.") {
			continue
		}
		word, _ := it.Facts.Str("answer")
		if s := r.k.Inference.Sign(word); s != nil && s.Check == it.Check {
			r.add(s.Name, it, 1)
		}
	}
}
