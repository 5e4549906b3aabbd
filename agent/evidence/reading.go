package evidence

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// maxItems bounds how much evidence one reading weighs; a terminal has about fifty checks. Beyond it the oldest is
// left out.
const maxItems = 256

// A Reading is the evidence of one moment, judged and sorted, so that the order in which it came does not matter.
type Reading struct {
	Items   []Item             // by check, subject and age
	Missing []*report.Evidence // of checks that could not tell or were not made
	Kind    string             // kind of network that the sale goes over: ethernet wifi cellular ppp; "" if not known

	k        *codes.Knowledge
	sale     Sale
	findings []Finding
}

// Read judges a list of evidence. Of two results of one check and subject only the newer counts; two of the same age
// both do. Checks that the knowledge does not have are left out.
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

// doubted is the share of its strength that a good finding keeps where another result of the same check, of the same
// age, is bad: what works only now and then is broken.
const doubted = 0.3

// doubt weakens good results that another one of the same check and subject contradicts.
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

// First returns one item of a check, nil if there is none: the newest of the bad ones, else the newest.
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

// A Finding is one thing that the evidence shows. Package codes has its text and what it says about causes (Sign).
type Finding struct {
	Name     string       // in the knowledge: link.down
	Check    Check        // under which it is told
	Item     *Item        // that shows it most clearly; nil if the event itself does
	Facts    report.Facts // that its text names
	Strength float64      // 0 to 1: how clear it is, times the freshness of Item
	News     codes.News   // what it says of the check's health
	Claimed  bool         // its sender says so and no fact does
}

// A Sale is what is known of the transaction that a code came from, gathered from the event and the checks. A nil
// pointer is not known.
type Sale struct {
	Event        *report.Event
	Topic        string // what the code is about (codes.TopicRule)
	MTI          codes.MTI
	Entry        string   // how the card was read, as in report.Txn; "" is not known
	Sent, Answer *bool    // the request left; an answer of the host was seen
	Clash        bool     // two witnesses contradict each other about one of these
	ConnectMS    *float64 // how long connecting to the host took
	ResponseMS   *float64 // how long its answer took
	Answered     bool     // a host really answered, so the way to it worked a moment ago
}

// Findings lists what the evidence shows about a sale, each finding once. Where several items show the same one, the
// strongest counts: two looks at one thing are not two witnesses.
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

// add records a finding that an item shows; clear is its strength, 0 to 1, before the item's age is counted.
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

// finding returns a finding that was made, nil if it was not.
func (r *Reading) finding(name string) *Finding {
	i := slices.IndexFunc(r.findings, func(f Finding) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &r.findings[i]
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

// single adds the findings that one check shows by itself. Good news about a part counts only if no other look at it
// is bad.
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
				if f := r.finding(s.Finding); f != nil && f.Item == it {
					f.Claimed = s.claimed()
				}
			}
		}
	}
	r.storage()
	r.load()
	r.reads()
}

// several tells whether a check may stand for things beside each other, such as two readers or two targets, each of
// which may be well by itself.
func (r *Reading) several(it *Item) bool {
	return strings.HasPrefix(it.Check, "reader.") || strings.HasPrefix(it.Check, "net.")
}

// concerns tells whether an item is about the network that the sale goes over. Faults of another one are not this
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
		return !r.wired()
	}
	return true
}

// answers adds what a person answered to the guide's questions.
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
