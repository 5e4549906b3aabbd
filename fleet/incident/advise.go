package incident

import (
	"maps"
	"math"
	"slices"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// under is the scope, among those that agents subscribe by, of an advisory for a place that has none of them.
var under = map[string]string{"scheme": "acquirer", "bearer": "carrier", "region": "site", "firmware": "model", "application": "model", "agent": "model", "knowledge": "model"}

// Advisories returns what the open incidents tell the terminals, by topic: for each place the incident that most
// terminals report. An incident whose place is not recorded has no advisory, since it is not known which terminals
// share it, nor has one of terminals that sell nothing, which explains no code until one of them names a cause.
func Advisories(list []store.Incident) map[string]report.Advisory {
	out := map[string]report.Advisory{}
	for _, i := range list {
		if !i.Closed.IsZero() || !i.Quiet.IsZero() || len(i.Place) == 0 ||
			i.Kind == KindIdle && i.Cause == report.Unexplained {
			continue
		}
		a := report.Advisory{Code: i.Code, Terminals: i.Terminals, Time: i.Seen, Since: i.Opened, Cause: i.Cause,
			Place: i.Place, Entry: i.Only[aspectEntry], CardScheme: i.Only[aspectCard]}
		a.SharePct = math.Round(1000*float64(i.Terminals)/float64(max(i.Of, 1))) / 10
		a.Scope, a.Key = scopeOf(i.Place)
		topic := report.AdvisoryTopic(i.Estate, a.Scope, a.Key)
		if old, ok := out[topic]; ok && old.Terminals >= a.Terminals {
			continue
		}
		out[topic] = a
	}
	return out
}

// scopeOf names a place in the two levels of an advisory's topic.
func scopeOf(p Place) (scope, key string) {
	for _, d := range []string{"site", "carrier", "acquirer", "model"} {
		if v, ok := p[d]; ok {
			if len(p) == 1 {
				return d, report.TopicKey(v)
			}
			return d, report.PlaceKey(p)
		}
	}
	return under[slices.Min(slices.Collect(maps.Keys(p)))], report.PlaceKey(p)
}
