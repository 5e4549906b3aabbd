package simulate

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/digest"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

// A published incident, as the cases of the diagnosis tell what one terminal meets, and where it was: in dimensions of
// the simulated fleet.
type published struct {
	file  string
	kind  string // surge, or silence where the terminals' own reports have no other way
	dims  []string
	only  map[string]string
	share float64 // of the sales that fail
	act   string  // who must, where the case does not say
	ends  string  // what ends on a day that is known long before: the check of a health document
}

var publishedIncidents = []published{
	{"incident-3g-switched-off", "silence", []string{"carrier", "model"}, nil, 1, "", "modem.registration"},
	{"incident-carrier-lost-registration", "silence", []string{"carrier", "bearer"}, nil, 1, "carrier", ""},
	{"incident-core-certificate-no-data", "silence", []string{"carrier", "bearer"}, nil, 1, "", ""},
	{"incident-cross-signed-root", "surge", []string{"application"}, nil, 1, "", ""},
	{"incident-expired-root", "surge", []string{"firmware"}, nil, 1, "", "board.certificates"},
	{"incident-ipv4-host-on-ipv6-bearer", "surge", []string{"carrier", "bearer"}, nil, 1, "", ""},
	{"incident-leap-day", "surge", []string{"model"}, nil, 1, "", ""},
	{"incident-names-of-the-host-gone", "surge", []string{"acquirer"}, nil, 1, "acquirer", ""},
	{"incident-national-carrier-down", "silence", []string{"carrier"}, nil, 1, "", ""},
	{"incident-network-switch-half-dead", "surge", nil, map[string]string{"card_scheme": "visa"}, 0.5, "", ""},
	{"incident-new-year-meters", "surge", []string{"application"}, nil, 1, "", ""},
	{"incident-terminal-certificate-ended", "surge", []string{"model"}, nil, 1, "", "board.certificates"},
	{"incident-update-breaks-most", "surge", []string{"application"}, nil, 0.8, "", ""},
	{"host-cert-expired", "surge", []string{"acquirer"}, nil, 1, "", "net.tls"},
	{"tls-large-hello", "surge", []string{"carrier", "bearer"}, nil, 1, "", ""},
}

// Published incidents are played on simulated terminals, each of which makes its own diagnosis of what it sees:
// dimension and actor are right, within a minute of the third terminal; what a date foretells was foretold.
// POSDX_SIMULATE=2000 plays them on so many.
func TestPublishedIncidents(t *testing.T) {
	n := 700
	if s := os.Getenv("POSDX_SIMULATE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	k := codes.Builtin()
	w := New(n, 5, begin)
	shelf := NewShelf(w)
	watch := shelf.Watcher()
	live := func(d, every time.Duration) {
		t.Helper()
		if err := shelf.Live(t.Context(), watch, d, every); err != nil {
			t.Fatal(err)
		}
	}
	live(33*time.Hour+30*time.Minute, 10*time.Minute)
	placed, acted, soon, foretold, foretell := 0, 0, 0, 0, 0
	for _, p := range publishedIncidents {
		var c struct {
			Why      string            `json:"why"`
			Event    report.Event      `json:"event"`
			Evidence []report.Evidence `json:"evidence"`
			Expect   struct {
				ActBy []string `json:"act_by"`
			} `json:"expect"`
		}
		b, err := os.ReadFile(filepath.Join("..", "..", "agent", "diagnose", "testdata", "cases", p.file+".json"))
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if err != nil {
			t.Fatal(err)
		}
		// The first terminals cannot know what the fleet will say.
		own := slices.DeleteFunc(slices.Clone(c.Evidence), func(e report.Evidence) bool { return e.Check == "fleet.advisory" })
		first := diagnose.Explain(c.Event, own, k, diagnose.Options{Final: true}).Causes[0]
		place := w.pick(20, p.dims...)
		if _, ok := place["bearer"]; ok {
			place["bearer"] = "4g"
		}
		truth := w.Add(Truth{Name: p.file, Kind: p.kind, Code: c.Event.Code, Cause: first.ID, Segment: first.Segment,
			Place: place, Only: p.only, Told: p.kind == "silence", Share: p.share, From: w.Now, To: w.Now.Add(20 * time.Minute)})
		live(6*time.Minute, 0)
		live(36*time.Minute, 6*time.Minute) // what waited is told
		var hit *store.Incident
		list := shelf.All()
		for i := range list {
			x := &list[i]
			if !x.Opened.Before(truth.From) && x.MergedIn == 0 && w.about(x, truth) && (hit == nil || named(x, truth)) {
				hit = x
			}
		}
		if hit == nil {
			t.Errorf("%s: not found: %s", p.file, c.Why)
			continue
		}
		right := named(hit, truth)
		if right {
			placed++
		}
		cause, _ := k.Cause(hit.Cause)
		act := incident.Acts(cause, hit.Place)
		actor := slices.Contains(append(c.Expect.ActBy, p.act), act)
		if actor {
			acted++
		}
		after := hit.Opened.Sub(truth.Third)
		if after <= time.Minute {
			soon++
		}
		t.Logf("%-38s %s, %s; named %s: %v; %s, by %s: %v; %s after the third terminal, %d of %d", p.file, p.kind,
			whole(truth.Place, truth.Only), whole(hit.Place, hit.Only), right, hit.Cause, act, actor, after, hit.Peak,
			hit.Of)
		if p.ends == "" {
			continue
		}
		foretell++
		if foretoldBy(k, p.ends, own) {
			foretold++
		} else {
			t.Logf("%s: not foretold", p.file)
		}
	}
	all := len(publishedIncidents)
	t.Logf("of %d: %d at the right place, %d with the right actor, %d within a minute of the third terminal; %d of %d foretold",
		all, placed, acted, soon, foretold, foretell)
	if placed < all-1 || acted < all || soon < all-2 || foretold < foretell {
		t.Errorf("worse than it was")
	}
}

// foretoldBy tells whether a health document of a hundred days before says that something ends on the day.
func foretoldBy(k *codes.Knowledge, check string, evidence []report.Evidence) bool {
	const before = 100
	h := report.Health{ClockTrusted: true}
	day := time.Date(2022, 2, 22, 0, 0, 0, 0, time.UTC) // of the switch-off; certificates count days
	for _, e := range evidence {
		if e.Check != check {
			continue
		}
		e.Status, e.Facts = report.OK, maps.Clone(e.Facts)
		if left, ok := e.Facts.Num("days_left"); ok {
			e.Facts["days_left"] = left + before
		}
		h.Evidence = append(h.Evidence, e)
	}
	for _, d := range digest.Dues(k, h, day.AddDate(0, 0, -before), nil, nil) {
		if left := day.Sub(d.At); left > -3*24*time.Hour && left < 3*24*time.Hour {
			return true
		}
	}
	return false
}
