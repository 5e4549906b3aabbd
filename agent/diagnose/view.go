package diagnose

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/codes"
)

// maxEvidence bounds how many pieces of evidence one explanation weighs. A terminal has about fifty checks; what exceeds
// this is the oldest of a flood.
const maxEvidence = 256

// An item is one piece of evidence that says something: a check that ended in ok or bad.
type item struct {
	*report.Evidence
	target string  // the asked target without its bearer: host-primary
	bearer string  // the bearer chosen on purpose, "" if none
	fresh  float64 // share of its weight that its age leaves
}

func (it *item) bad() bool { return it.Status == report.Bad }

// num returns a finite number.
func (it *item) num(name string) (float64, bool) {
	v, ok := it.Facts.Num(name)
	return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// atLeast and atMost compare a number that is known; one that is not known is neither.
func (it *item) atLeast(name string, limit float64) bool {
	v, ok := it.num(name)
	return ok && v >= limit
}
func (it *item) atMost(name string, limit float64) bool {
	v, ok := it.num(name)
	return ok && v <= limit
}

func (it *item) str(name string) string { s, _ := it.Facts.Str(name); return s }

// is and isNot compare a yes-or-no fact that is known.
func (it *item) is(name string) bool    { v, ok := it.Facts.Bool(name); return ok && v }
func (it *item) isNot(name string) bool { v, ok := it.Facts.Bool(name); return ok && !v }

// level returns the grade of a graded check, "" if it gives none.
func (it *item) level() string { return it.str("level") }

// A view is the evidence in an order that does not depend on the one it came in.
type view struct {
	items   []item
	missing []*report.Evidence // checks that could not tell or did not run
}

func newView(evidence []report.Evidence, f *codes.Inference) view {
	var v view
	order := make([]*report.Evidence, 0, min(len(evidence), 16*maxEvidence))
	for i := range evidence {
		if f.FreshFor(evidence[i].Check) == 0 && !strings.HasPrefix(evidence[i].Check, "ask.") {
			continue // an unknown check teaches nothing
		}
		if order = append(order, &evidence[i]); len(order) == cap(order) && i+1 < len(evidence) {
			order = trim(order)
		}
	}
	order = trim(order)
	slices.SortStableFunc(order, func(a, b *report.Evidence) int {
		return cmp.Or(strings.Compare(a.Check, b.Check), strings.Compare(a.Subject, b.Subject), cmp.Compare(a.AgeMS, b.AgeMS),
			strings.Compare(string(a.Status), string(b.Status)))
	})
	v.items = make([]item, 0, len(order))
	for i, e := range order {
		// Of several findings about one subject only the newest counts; the same age twice is a contradiction, and both stay.
		if i > 0 && order[i-1].Check == e.Check && order[i-1].Subject == e.Subject && order[i-1].AgeMS < e.AgeMS && e.Check != "fleet.advisory" {
			order[i] = order[i-1]
			continue
		}
		switch e.Status {
		case report.OK, report.Bad:
			v.items = append(v.items, newItem(e, f))
		case report.CannotTell, report.NotRun:
			v.missing = append(v.missing, e)
		}
	}
	return v
}

// trim keeps the freshest pieces of evidence when there are more than maxEvidence.
func trim(order []*report.Evidence) []*report.Evidence {
	if len(order) <= maxEvidence {
		return order
	}
	// Not package sort, as elsewhere: ten thousand pieces of evidence would take a third longer, and pointers of every
	// type share one copy.
	slices.SortStableFunc(order, func(a, b *report.Evidence) int { return cmp.Compare(a.AgeMS, b.AgeMS) })
	return order[:maxEvidence]
}

func newItem(e *report.Evidence, f *codes.Inference) item {
	it := item{Evidence: e, fresh: 1}
	it.target = e.Subject
	if t, ok := e.Facts.Str("target"); ok && t != "" && !strings.Contains(e.Subject, "@") {
		it.target = t
	}
	it.target, it.bearer, _ = strings.Cut(it.target, "@")
	if limit, age := f.FreshFor(e.Check), float64(e.AgeMS)/1000; limit > 0 && age > limit {
		it.fresh = max(limit/age, f.Settings.StaleFloor)
	}
	return it
}

// staleTxn is how much older than the event what is said of its transaction may be: the look begins when the code is seen, and
// clocks of two writers differ a little.
const staleTxn = 5 * time.Second

// dropBefore leaves out what is said of an earlier transaction.
func (v *view) dropBefore(ev *report.Event) {
	v.items = slices.DeleteFunc(v.items, func(it item) bool {
		return it.Check == "txn.answer" && !it.At.IsZero() && !ev.Time.IsZero() && it.At.Before(ev.Time.Add(-staleTxn))
	})
}

// all returns the items of one check.
func (v *view) all(check string) []item {
	from, _ := slices.BinarySearchFunc(v.items, check, func(it item, c string) int { return strings.Compare(it.Check, c) })
	to := from
	for to < len(v.items) && v.items[to].Check == check {
		to++
	}
	return v.items[from:to]
}

// first returns the freshest item of a check, bad before ok, nil if there is none.
func (v *view) first(check string) *item {
	var best *item
	list := v.all(check)
	for i := range list {
		if it := &list[i]; best == nil || it.bad() && !best.bad() || it.bad() == best.bad() && it.AgeMS < best.AgeMS {
			best = it
		}
	}
	return best
}

// isHost tells the acquirer's host from every other target.
func (it *item) isHost() bool {
	return strings.HasPrefix(it.target, "host") || strings.HasPrefix(it.target, "acquirer")
}

// kindOf returns the kind of bearer that an interface name or kind stands for, "" if it tells nothing.
func kindOf(name string) string {
	switch {
	case name == "ethernet" || name == "wifi" || name == "cellular" || name == "ppp":
		return name
	case strings.HasPrefix(name, "eth") || strings.HasPrefix(name, "en") || strings.HasPrefix(name, "lan"):
		return "ethernet"
	case strings.HasPrefix(name, "wlan") || strings.HasPrefix(name, "wl"):
		return "wifi"
	case strings.HasPrefix(name, "ppp"):
		return "ppp"
	case strings.HasPrefix(name, "ww") || strings.HasPrefix(name, "usb") || strings.HasPrefix(name, "rmnet"):
		return "cellular"
	}
	return ""
}

// linkKind returns the kind of the link an item of net.link, net.address or net.errors speaks of.
func linkKind(it *item) string {
	for _, s := range [...]string{it.str("kind"), it.str("iface"), it.Subject} {
		if k := kindOf(s); k != "" {
			return k
		}
	}
	return ""
}

// activeBearer returns the kind of network the sale goes over, "" if that cannot be told: the one said to be active, else
// the only one that is up, else the one the approvals came by, else the one that went down within the hour, else the only
// one that there is any word of.
func (v *view) activeBearer() string {
	if it := v.first("net.bearer"); it != nil {
		if k := kindOf(it.str("active")); k != "" {
			return k
		}
	}
	up, down, fell := v.linkStates()
	if len(up) == 1 {
		return up[0]
	}
	if by := v.approvedBy(); by != "" {
		return by
	}
	modem := len(v.all("modem.registration"))+len(v.all("modem.sim"))+len(v.all("modem.bearer")) > 0
	switch {
	case len(up) > 1:
		return "" // several are up: none can be left out
	case len(fell) == 1:
		return fell[0]
	case len(down) == 1 && (down[0] != "ethernet" && down[0] != "wifi" || !modem):
		return down[0]
	case len(down) == 0 && modem && len(v.all("net.wifi")) == 0:
		return "cellular"
	case len(down) == 0 && !modem && len(v.all("net.wifi")) > 0:
		return "wifi"
	case len(down) == 0 && len(v.all("modem.line")) > 0 && !modem:
		return "ppp"
	}
	return ""
}

// linkStates returns the kinds of links that are up, those that are not, and of these the ones that were up within the
// hour. A link that was down all hour while sales were approved did not carry them and is left out.
func (v *view) linkStates() (up, down, fell []string) {
	approved := false
	if h := v.first("txn.history"); h != nil {
		approved = h.atLeast("approvals_1h", 1)
	}
	note := func(list []string, kind string) []string {
		if kind == "" || slices.Contains(list, kind) {
			return list
		}
		return append(list, kind)
	}
	links := v.all("net.link")
	for i := range links {
		if !linkDown(&links[i]) {
			up = note(up, linkKind(&links[i]))
		}
	}
	for i := range links {
		it := &links[i]
		kind := linkKind(it)
		still := it.atMost("flaps_1h", 0) && (kind == "ethernet" || kind == "wifi")
		if !linkDown(it) || slices.Contains(up, kind) || still && approved {
			continue
		}
		down = note(down, kind)
		if it.atLeast("flaps_1h", 1) {
			fell = note(fell, kind)
		}
	}
	return up, down, fell
}

// linkDown tells whether a link has no carrier. One that flaps is bad, but up.
func linkDown(it *item) bool {
	return it.isNot("carrier") || it.bad() && !it.is("carrier") && !it.atLeast("flaps_1h", flapsSome)
}

// approvedBy returns the kind of bearer that all recent approvals came by, "" if there is no such word.
func (v *view) approvedBy() string {
	it := v.first("txn.history")
	if it == nil {
		return ""
	}
	best, kind := 0.0, ""
	for _, k := range [...]string{"ethernet", "wifi", "cellular", "ppp"} {
		if n := it.Facts.Counts("approvals_by")[k]; n > best {
			best, kind = n, k
		}
	}
	return kind
}
