package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
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

func address(r *http.Request) report.Address {
	return report.Address{Estate: r.PathValue("estate"), Terminal: r.PathValue("terminal")}
}

// filter reads what is asked for: estate, terminal, cause, segment, code, q (text), limit and before (the next of an
// earlier answer).
func filter(r *http.Request) (store.Filter, error) {
	q := r.URL.Query()
	f := store.Filter{In: viewer(r).Estates, Estate: q.Get("estate"), Terminal: q.Get("terminal"), Cause: q.Get("cause"), Segment: q.Get("segment"), Code: q.Get("code"), Text: q.Get("q")}
	var err error
	if f.Limit, err = limit(r); err != nil {
		return f, err
	}
	if f.Before, err = store.ParsePlace(q.Get("before")); err != nil {
		return f, badRequest(err.Error())
	}
	return f, nil
}

func limit(r *http.Request) (int, error) {
	v := r.URL.Query().Get("limit")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > store.MaxRows {
		return 0, badRequest("limit: want 1 to " + strconv.Itoa(store.MaxRows))
	}
	return n, nil
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

// terminalFilter reads estate, q (text), state, limit and after (the next of an earlier answer).
func terminalFilter(r *http.Request) (store.TerminalFilter, error) {
	q := r.URL.Query()
	f := store.TerminalFilter{In: viewer(r).Estates, Estate: q.Get("estate"), Text: q.Get("q"), State: q.Get("state")}
	var err error
	if f.Limit, err = limit(r); err != nil {
		return f, err
	}
	f.After.Estate, f.After.Terminal, _ = strings.Cut(q.Get("after"), "/")
	return f, nil
}

// terminalNext is where the list goes on, empty at its end.
func terminalNext(f store.TerminalFilter, list []store.Terminal) string {
	if len(list) == 0 || len(list) < f.Rows() {
		return ""
	}
	last := list[len(list)-1]
	return last.Estate + "/" + last.Terminal
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
	list, err := s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: viewer(r).Estates, Limit: n})
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
	list, err := s.Source.Rejections(r.Context(), viewer(r).Estates, report.Address{Estate: r.URL.Query().Get("estate"), Terminal: r.URL.Query().Get("terminal")}, n)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, struct {
		Rejected []store.Rejection `json:"rejected"`
	}{list})
}
