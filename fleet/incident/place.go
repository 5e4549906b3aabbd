package incident

import (
	"maps"
	"slices"
	"strings"

	"posdx/agent/report"
	"posdx/codes"
)

// Scopes of an incident beside the dimensions.
const (
	ScopePlace  = "place"  // several dimensions
	ScopeEstate = "estate" // none of the recorded ones
)

// A Place is some dimensions with a value each: what the terminals of an incident have in common, or all that is known
// of one terminal.
type Place map[string]string

// Scope returns how topics and pages name a place: its dimension and value, ScopePlace and a key of several, or
// ScopeEstate.
func (p Place) Scope(estate string) (scope, key string) {
	dims := slices.Sorted(maps.Keys(p))
	switch len(dims) {
	case 0:
		return ScopeEstate, estate
	case 1:
		return dims[0], p[dims[0]]
	}
	return ScopePlace, p.String()
}

// String writes a place for people: model=M2 application=1.4.
func (p Place) String() string {
	var s []string
	for _, d := range slices.Sorted(maps.Keys(p)) {
		s = append(s, d+"="+p[d])
	}
	return strings.Join(s, " ")
}

// Holds tells whether a terminal, of which this is known, belongs to the place.
func (p Place) Holds(of Place) bool {
	for d, v := range p {
		if of[d] != v {
			return false
		}
	}
	return true
}

// whose is the dimensions that terminals with a fault of a segment are likely to share, so that of several places that
// fit the reports equally well the likelier one is named.
var whose = map[string][]string{
	"acquirer": {"acquirer", "scheme"}, "switch": {"acquirer", "scheme"}, "issuer": {"acquirer", "scheme"},
	"wan": {"carrier", "bearer", "region"}, "modem": {"carrier", "bearer", "model", "firmware"},
	"lan":      {"site"},
	"terminal": {"model", "firmware", "application", "knowledge", "agent"}, "reader": {"model", "firmware", "site"}, "pinpad": {"model", "firmware", "site"}, "printer": {"model", "firmware", "site"},
	SegmentSilence: {"carrier", "site", "region"},
}

// natural is how likely a place is for its segment: each dimension that faults of this segment do not usually share
// makes it less likely. What is between terminal and host knows no cards.
func natural(segment string, p map[string]string) float64 {
	w := 1.0
	for d := range p {
		of := whose[segment]
		if d == aspectEntry || d == aspectCard {
			of = seesCards
			d = segment
		}
		if !slices.Contains(of, d) {
			w /= 3
		}
	}
	return w
}

// seesCards are the segments whose faults may be of some cards only.
var seesCards = []string{"card", "operator", "reader", "pinpad", "printer", "terminal", "acquirer", "switch", "issuer", "unknown"}

// Acts is who must act on an incident of a cause at a place. A terminal alone may take its acquirer's fault for its
// carrier's: names that cannot be found, or a host that is too far. Where all of one acquirer meet it, whatever their
// carrier and wherever they are, it is not the carriers' to mend.
func Acts(c codes.Cause, place map[string]string) string {
	if c.Act == "carrier" && place["acquirer"] != "" &&
		!slices.ContainsFunc([]string{"carrier", "bearer", "region", "site"}, func(d string) bool { return place[d] != "" }) {
		return "acquirer"
	}
	return c.Act
}

// PlaceOf gathers what is known of a terminal: from its birth, its code table, and the inventory, which goes before
// the birth.
func PlaceOf(birth report.Birth, scheme string, inventory map[string]string) Place {
	p := Place{}
	for d, v := range birth.Labels {
		if slices.Contains(report.Dimensions, d) && v != "" {
			p[d] = v
		}
	}
	set := func(d, v string) {
		if v != "" {
			p[d] = v
		}
	}
	set("agent", birth.Agent.Version)
	set("knowledge", birth.Agent.Knowledge)
	set("scheme", scheme)
	for d, v := range inventory {
		set(d, v)
	}
	if p["acquirer"] == "" {
		set("acquirer", scheme)
	}
	return p
}
