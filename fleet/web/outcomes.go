package web

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

const (
	reliabilityBack = 90 * 24 * time.Hour // how far the reliability table looks back
	maxBecame       = 20_000              // outcomes that one page reads
)

// edges part the stated probabilities.
var edges = []float64{0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0000001}

// A bin is what was stated with about the same probability, and what became of it.
type bin struct {
	Low, High    float64
	N, BorneOut  int
	stated       float64
	Stated, True float64 // mean of what was said, and the share borne out
	Lo, Hi       float64 // Wilson's interval of that share at 95 %
}

// A sum is what became of diagnoses in all.
type sum struct {
	Cause                               string
	BorneOut, Refuted, Mended, Untested int
	FoundSame, FoundOther, FoundNothing int
	Judged                              int
	Stated, True, Gap                   float64 // gap: mean distance of stated and true over the bins, by their size
	stated                              float64
}

// verdict tells whether a diagnosis proved right, by people's word before the terminal's; false where nothing tells.
func verdict(b store.Became) (right, told bool) {
	switch {
	case b.Found != "":
		return b.Found == b.Cause, true
	case b.Outcome == report.OutcomeBorneOut:
		return true, true
	case b.Outcome == report.OutcomeRefuted:
		return false, true
	}
	return false, false
}

// reliability holds what was stated against what came of it.
func reliability(list []store.Became) ([]bin, sum) {
	bins := make([]bin, len(edges)-1)
	for i := range bins {
		bins[i].Low, bins[i].High = edges[i], min(edges[i+1], 1)
	}
	var all sum
	right := 0
	for _, b := range list {
		all.count(b)
		ok, told := verdict(b)
		if !told || b.P <= 0 {
			continue
		}
		all.Judged++
		all.stated += b.P
		right += truth(ok)
		for i := range bins {
			if b.P >= edges[i] && b.P < edges[i+1] {
				bins[i].N++
				bins[i].BorneOut += truth(ok)
				bins[i].stated += b.P
			}
		}
	}
	for i := range bins {
		if n := float64(bins[i].N); n > 0 {
			bins[i].Stated, bins[i].True = bins[i].stated/n, float64(bins[i].BorneOut)/n
			bins[i].Lo, bins[i].Hi = wilson(bins[i].BorneOut, bins[i].N)
			all.Gap += n / float64(all.Judged) * max(bins[i].Stated-bins[i].True, bins[i].True-bins[i].Stated)
		}
	}
	if all.Judged > 0 {
		all.Stated, all.True = all.stated/float64(all.Judged), float64(right)/float64(all.Judged)
	}
	return bins, all
}

func (s *sum) count(b store.Became) {
	switch b.Outcome {
	case report.OutcomeBorneOut:
		s.BorneOut++
	case report.OutcomeRefuted:
		s.Refuted++
	case report.OutcomeMended:
		s.Mended++
	case report.OutcomeUntested:
		s.Untested++
	}
	switch {
	case b.Found == store.FoundNothing:
		s.FoundNothing++
	case b.Found == b.Cause && b.Found != "":
		s.FoundSame++
	case b.Found != "":
		s.FoundOther++
	}
}

// wilson is the interval of a share of k in n at 95 % (Wilson 1927).
func wilson(k, n int) (lo, hi float64) {
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}

func (s *Site) outcomes(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "outcomes")
	form, err := format(r)
	var at span
	if err == nil {
		at, err = spanOf(r.URL.Query(), p.Now)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if at.From.IsZero() {
		at.From = p.Now.Add(-reliabilityBack)
	}
	list, err := s.Source.Became(r.Context(), of(p.Viewer, p.Param("estate")), p.Param("cause"), at.From, at.To, maxBecame)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "outcomes", form, []string{"at", "estate", "terminal", "diagnosis", "code", "cause", "probability", "outcome", "found"}, seq(list, func(b store.Became) []string {
			return []string{iso(b.At), b.Estate, b.Terminal, b.Diagnosis, b.Code, b.Cause, num(b.P), b.Outcome, b.Found}
		}))
		return
	}
	v := struct {
		*page
		Bins    []bin
		Sum     sum
		ByCause []sum
		List    []store.Became
		Pager   pager
		Newest  []store.Became
		Capped  bool
	}{page: p, Capped: len(list) == maxBecame}
	v.Bins, v.Sum = reliability(list)
	causes := map[string][]store.Became{}
	for _, b := range list {
		causes[b.Cause] = append(causes[b.Cause], b)
	}
	for id, of := range causes {
		_, one := reliability(of)
		one.Cause = id
		v.ByCause = append(v.ByCause, one)
	}
	slices.SortFunc(v.ByCause, func(a, b sum) int {
		return cmp.Or(cmp.Compare(b.FoundNothing, a.FoundNothing), cmp.Compare(b.Judged, a.Judged),
			strings.Compare(a.Cause, b.Cause))
	})
	if v.List, v.Pager, err = cut(r, p, list); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "outcomes", v)
}

// A lesson is what the engine's fitting reads: a diagnosis that proved right or wrong, with what it was made of.
type lesson struct {
	store.Became
	Event    report.Event      `json:"event"`
	Evidence []report.Evidence `json:"evidence"`
}

// apiOutcomes answers JSON lines, one a diagnosis of which it is known what became, with its event and evidence.
func (s *Site) apiOutcomes(w http.ResponseWriter, r *http.Request) {
	at, err := spanOf(r.URL.Query(), time.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := viewer(r)
	list, err := s.Source.Became(r.Context(), of(v, r.URL.Query().Get("estate")), r.URL.Query().Get("cause"), at.From, at.To, maxExport)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(w)
	for _, b := range list {
		if _, told := verdict(b); !told {
			continue
		}
		row, err := s.Source.Diagnosis(r.Context(), v.Estates, report.Address{Estate: b.Estate, Terminal: b.Terminal},
			b.Diagnosis)
		if err != nil {
			continue // it is no longer kept
		}
		l := lesson{Became: b}
		var d report.Diagnosis
		if json.Unmarshal(row.Body, &d) != nil {
			continue
		}
		l.Event, l.Evidence = d.Event, d.Evidence
		if e.Encode(l) != nil {
			return
		}
	}
}

// Share shows a share, or that there is nothing to share.
func (p *page) Share(k, n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(k) + " / " + strconv.Itoa(n)
}
