package incident

import (
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// What a person merged stays merged: the same finding again is the incident that explains it, not a new one. And what
// it costs is told in sales an hour.
func TestMergedStaysMergedAndCostIsTold(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	site, bank := Place{"site": "s"}, Place{"acquirer": "b"}
	l := Look{Now: now, Estate: "shop", Places: map[string]Place{"t1": site, "t2": site, "t3": site, "t4": bank}}
	list := []store.Incident{
		{No: 1, Estate: "shop", Cause: "wan.outage", Opened: now.Add(-time.Hour), Closed: now.Add(-time.Minute),
			Detail: store.Detail{Kind: KindSurge, Place: site, MergedIn: 2}},
		{No: 2, Estate: "shop", Cause: "host.malfunction", Opened: now.Add(-time.Hour),
			Detail: store.Detail{Kind: KindSurge, Place: bank, Also: []string{"wan.outage"}}},
	}
	found := []Finding{{Kind: KindSurge, Cause: "wan.outage", Segment: "wan", Place: site,
		Reporters: map[string]bool{"t1": true, "t2": true, "t3": true}, Of: 3}}
	for _, i := range Follow(l, found, list, nil) {
		if i.No != 2 {
			t.Errorf("what was merged came back as %+v", i)
		}
	}

	told := func(terminal string, sales int) store.Sighting {
		return store.Sighting{At: report.Address{Estate: "shop", Terminal: terminal}, Received: now, Cause: "wan.outage",
			Segment: "wan", Sales: sales}
	}
	l.Recent = []store.Sighting{told("t1", 2), told("t1", 0), told("t2", 1), told("t3", 1), told("t4", 50)}
	got := Follow(l, found, nil, nil)
	if len(got) != 1 || got[0].Lost != 5*4 {
		t.Errorf("five failed sales in a quarter of an hour at the place cost %+v", got)
	}
	l.Rate = 3
	silent := []store.Incident{{No: 9, Estate: "shop", Cause: "unexplained", Opened: now, Peak: 3,
		Detail: store.Detail{Kind: KindSilence, Place: site}}}
	got = Follow(l, nil, silent, map[string]Member{})
	if len(got) != 1 || got[0].Lost != 9 {
		t.Errorf("three silent terminals that sell three an hour cost %+v", got)
	}
}
