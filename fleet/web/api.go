package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

func (s *Site) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		s.Log.Debug("answer cut short", "error", err)
	}
}

func (s *Site) apiSummary(w http.ResponseWriter, r *http.Request) {
	sum, err := s.Source.Summary(r.Context(), viewer(r).Estates, time.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, sum)
}

func (s *Site) apiDiagnoses(w http.ResponseWriter, r *http.Request) {
	f, err := filter(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, next, err := s.Source.Diagnoses(r.Context(), f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := struct {
		Diagnoses []store.Row `json:"diagnoses"`
		Next      string      `json:"next,omitempty"`
	}{Diagnoses: list}
	if next != (store.Place{}) {
		out.Next = next.String()
	}
	s.json(w, out)
}

func (s *Site) apiDiagnosis(w http.ResponseWriter, r *http.Request) {
	row, err := s.Source.Diagnosis(r.Context(), viewer(r).Estates, address(r), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, row)
}

func (s *Site) apiTerminals(w http.ResponseWriter, r *http.Request) {
	f, err := terminalFilter(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.Terminals(r.Context(), f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Terminals []store.Terminal `json:"terminals"`
		Next      string           `json:"next,omitempty"`
	}{list, terminalNext(f, list)})
}

func (s *Site) apiTerminal(w http.ResponseWriter, r *http.Request) {
	t, err := s.Source.Terminal(r.Context(), viewer(r).Estates, address(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, t)
}

func (s *Site) apiIncidents(w http.ResponseWriter, r *http.Request) {
	n, err := limit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	q := r.URL.Query()
	if err := known(q, "state", "open", "over"); err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: viewer(r).Estates, Estate: q.Get("estate"),
		Cause: q.Get("cause"), State: q.Get("state"), Limit: n})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Incidents []store.Incident `json:"incidents"`
	}{list})
}

func (s *Site) apiRejected(w http.ResponseWriter, r *http.Request) {
	n, err := limit(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.Rejections(r.Context(), viewer(r).Estates, report.Address{Estate: r.URL.Query().Get("estate"),
		Terminal: r.URL.Query().Get("terminal")}, n)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Rejected []store.Rejection `json:"rejected"`
	}{list})
}

func (s *Site) rejected(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "rejected")
	form, err := format(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.Rejections(r.Context(), of(p.Viewer, p.Param("estate")), report.Address{}, store.MaxRows)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "rejected", form, []string{"received", "estate", "terminal", "kind", "seq", "size", "reason"}, seq(list, func(v store.Rejection) []string {
			return []string{iso(v.Received), v.Estate, v.Terminal, v.Kind, fmt.Sprint(v.Seq), fmt.Sprint(v.Size), v.Reason}
		}))
		return
	}
	v := struct {
		*page
		List  []store.Rejection
		Pager pager
	}{page: p}
	if v.List, v.Pager, err = cut(r, p, list); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "rejected", v)
}
