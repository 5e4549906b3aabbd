package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"posdx/agent/diagnose/reliability"
	"posdx/agent/report"
	"posdx/fleet/store"
)

const (
	reliabilityBack = 90 * 24 * time.Hour // how far the reliability table looks back
	maxBecame       = 20_000              // outcomes that one page reads
)

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
		Bins    []reliability.Bin
		Sum     reliability.Sum
		ByCause []reliability.Sum
		List    []store.Became
		Pager   pager
		Newest  []store.Became
		Capped  bool
	}{page: p, Capped: len(list) == maxBecame}
	v.Bins, v.Sum = reliability.Of(list)
	v.ByCause = reliability.ByCause(list)
	if v.List, v.Pager, err = cut(r, p, list); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "outcomes", v)
}

// apiOutcomes answers JSON lines, one a diagnosis of which it is known what became, with its event and evidence.
func (s *Site) apiOutcomes(w http.ResponseWriter, r *http.Request) {
	at, err := spanOf(r.URL.Query(), time.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := viewer(r)
	end, err := s.buckets.begin(s.Rate, s.reader(r, v.user), s.Rate.Files, filesOf)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer end()
	paced := steadily(w)
	defer paced.over()
	w = paced
	list, err := s.Source.Became(r.Context(), of(v, r.URL.Query().Get("estate")), r.URL.Query().Get("cause"), at.From, at.To, maxExport)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(w)
	for _, b := range list {
		if _, told := b.Right(); !told {
			continue
		}
		row, err := s.Source.Diagnosis(r.Context(), v.Estates, report.Address{Estate: b.Estate, Terminal: b.Terminal},
			b.Diagnosis)
		if err != nil {
			continue // it is no longer kept
		}
		l := report.Lesson{Became: b}
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
