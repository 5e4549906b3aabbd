package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

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
	at, err := spanOf(q, time.Now())
	if err = cmp.Or(err, known(q, "state", "open", "over")); err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: viewer(r).Estates, Estate: q.Get("estate"),
		Cause: q.Get("cause"), State: q.Get("state"), Since: at.From, Until: at.To, Limit: n})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Incidents []store.Incident `json:"incidents"`
	}{list})
}

// rejections reads which rejected documents are asked for: estate, terminal, a time, limit and skip.
func rejections(r *http.Request, now time.Time) (store.RejectionFilter, error) {
	q := r.URL.Query()
	f := store.RejectionFilter{In: viewer(r).Estates, Estate: q.Get("estate"), Terminal: q.Get("terminal")}
	at, err := spanOf(q, now)
	if err != nil {
		return f, err
	}
	f.Since, f.Until = at.From, at.To
	if f.Limit, err = limit(r); err != nil {
		return f, err
	}
	f.Skip, err = skip(r)
	return f, err
}

func (s *Site) apiRejected(w http.ResponseWriter, r *http.Request) {
	f, err := rejections(r, time.Now())
	var list []store.Rejection
	if err == nil {
		list, err = s.Source.Rejections(r.Context(), f)
	}
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
	f, bad := rejections(r, p.Now)
	if err = cmp.Or(err, bad); err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "rejected", form, []string{"received", "estate", "terminal", "kind", "seq", "size", "reason"},
			s.allRejections(r, f))
		return
	}
	f.Limit = pageRows + 1 // one more tells that the list goes on
	list, err := s.Source.Rejections(r.Context(), f)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		List  []store.Rejection
		Pager pager
	}{page: p, List: list}
	next := ""
	if len(list) > pageRows {
		v.List, next = list[:pageRows], strconv.Itoa(f.Skip+pageRows)
	}
	v.Pager = p.pages("skip", next)
	s.render(w, r, http.StatusOK, "rejected", v)
}

// allRejections reads a list to its end, in pieces. What comes in meanwhile pushes the rest on, so the time ends now.
func (s *Site) allRejections(r *http.Request, f store.RejectionFilter) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		f.Limit = store.MaxRows
		if now := time.Now(); f.Until.IsZero() || f.Until.After(now) {
			f.Until = now
		}
		for {
			list, err := s.Source.Rejections(r.Context(), f)
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, v := range list {
				if !yield(record{[]string{iso(v.Received), v.Estate, v.Terminal, v.Kind, fmt.Sprint(v.Seq), fmt.Sprint(v.Size),
					v.Reason}, v}, nil) {
					return
				}
			}
			if len(list) < store.MaxRows {
				return
			}
			f.Skip += len(list)
		}
	}
}
