package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/store"
)

// A line is one diagnosis of a list.
type line struct {
	store.Row
	D     report.Diagnosis
	First report.Cause
}

func lines(rows []store.Row) ([]line, error) {
	out := make([]line, len(rows))
	for i, r := range rows {
		out[i].Row = r
		if err := json.Unmarshal(r.Body, &out[i].D); err != nil {
			return nil, fmt.Errorf("diagnosis %d: %w", r.Place, err)
		}
		out[i].First = store.First(&out[i].D)
		if len(out[i].D.Causes) == 0 {
			out[i].D.Causes = []report.Cause{out[i].First}
		}
	}
	return out, nil
}

// retell writes every text of a diagnosis in the reader's language, from the ids and facts that it carries. A text that
// cannot be made, because the terminal has other knowledge, is replaced by the name of its check; no text is shown as
// the terminal wrote it.
func retell(d report.Diagnosis, k *codes.Knowledge, p *page) report.Diagnosis {
	o := diagnose.Options{Lang: p.Lang}
	o.Profile, _ = k.Profile(d.Code.Scheme)
	again := diagnose.Explain(d.Event, d.Evidence, k, o)
	type key struct {
		cause, check string
		up           bool
	}
	said := map[key][]report.Reason{}
	for _, c := range again.Causes {
		for _, r := range slices.Concat(c.For, c.Against) {
			id := key{c.ID, r.Check, r.WeightDB > 0}
			said[id] = append(said[id], r)
		}
	}
	tell := func(cause string, list []report.Reason) []report.Reason {
		out := slices.Clone(list)
		for i, r := range out {
			id := key{cause, r.Check, r.WeightDB > 0}
			out[i].Say = p.CheckTitle(r.Check)
			best := -1
			for j, a := range said[id] {
				if best < 0 || near(a, r) < near(said[id][best], r) {
					best = j
				}
			}
			if best >= 0 && near(said[id][best], r) < 1 {
				out[i].Say = said[id][best].Say
			}
		}
		return out
	}
	d.Causes = slices.Clone(d.Causes)
	for i := range d.Causes {
		c := &d.Causes[i]
		c.Title, c.Act.Step = p.CauseTitle(c.ID), p.Steps(c.ID, p.Advice(*c, d.Money))
		c.For, c.Against = tell(c.ID, c.For), tell(c.ID, c.Against)
	}
	d.Also = slices.Clone(d.Also)
	for i := range d.Also {
		a := &d.Also[i]
		a.Finding.Say = p.CheckTitle(a.Finding.Check)
		if j := slices.IndexFunc(again.Also, func(b report.Also) bool { return b.ID == a.ID }); j >= 0 {
			a.Finding.Say = again.Also[j].Finding.Say
		}
	}
	if d.NextTest != nil {
		next := *d.NextTest
		next.How = ""
		if again.NextTest != nil && again.NextTest.Check == next.Check {
			next.How = again.NextTest.How
		}
		d.NextTest = &next
	}
	if m := again.Money; m.State != d.Money.State || m.Retry != d.Money.Retry {
		d.Money.Say = ""
	} else {
		d.Money.Say = m.Say
	}
	d.Code.Meaning = p.Meaning(d.Code.Scheme, d.Code.Code)
	if d.Code.Meaning == "" {
		d.Code.Meaning = p.Meaning(d.Code.Scheme, d.Event.Code)
	}
	return d
}

// Also heads what is broken besides, with what it has to do with the failure.
func (p *page) Also(d report.Diagnosis) string {
	return fmt.Sprintf(p.T("also"), diagnose.AlsoWord(&d).In(p.Lang))
}

// Advice tells with what the steps of a cause go: the advice for the money, or, where the terminal wrote those for a
// message that is no payment or for the cards of several customers, these.
func (p *page) Advice(c report.Cause, m report.Money) string {
	if cause, ok := p.knowledge.Cause(c.ID); ok {
		return cause.AdviceOf(c.Act.Step, m.Retry)
	}
	return m.Retry
}

// near is by how many decibans two reasons differ.
func near(a, b report.Reason) float64 { return max(a.WeightDB-b.WeightDB, b.WeightDB-a.WeightDB) }

// Money is what became of the customer's money and whether to try again, in whole sentences.
func (p *page) Money(m report.Money) string {
	return p.knowledge.Word("money", m.State).In(p.Lang)
}

// Retry is whether to try again, in a whole sentence.
func (p *page) Retry(m report.Money) string { return p.knowledge.Word("retry", m.Retry).In(p.Lang) }

// searchFor is how long a page looks for what no index finds, before it says that the next looks further.
const searchFor = 100 * time.Millisecond

func (s *Site) diagnoses(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "diagnoses")
	f, err := filter(r)
	var form string
	if err == nil {
		form, err = format(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "diagnoses", form, diagnosisHead, s.allDiagnoses(r, f))
		return
	}
	f.Within = searchFor
	if f.Limit == 0 {
		f.Limit = pageRows
	}
	v := struct {
		*page
		Filter    store.Filter
		Filtered  bool
		Segments  []string
		Causes    []codes.Cause
		Lines     []line
		Pager     pager
		Searching bool // there is more to look through
		ShowPlace bool
		Places    []dim
	}{page: p, Filter: f, Segments: segments, Causes: s.Knowledge.Causes, ShowPlace: true,
		Places: append(p.Place(f.Place), p.Only(map[string]string{"entry": f.Entry, "card_scheme": f.Card})...)}
	v.Filtered = f.Estate+f.Terminal+f.Cause+f.Segment+f.Code+f.Scheme+f.Text+f.Entry+f.Card != "" || f.Place != nil ||
		!f.Since.IsZero() || !f.Until.IsZero()
	rows, next, err := s.Source.Diagnoses(r.Context(), f)
	if err == nil {
		v.Lines, err = lines(rows)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if next != (store.Place{}) {
		v.Pager = p.pages("before", next.String())
		v.Searching = len(rows) < f.Limit
	} else {
		v.Pager = p.pages("before", "")
	}
	s.render(w, r, http.StatusOK, "diagnoses", v)
}

var diagnosisHead = []string{"received", "estate", "terminal", "id", "scheme", "code", "cause", "segment", "probability", "verdict", "abstained", "act_by", "visit", "money", "retry", "repeats", "historical"}

// maxLooks bounds how often an export reads on through rows that do not fit.
const maxLooks = 500

// allDiagnoses reads a list to its end, in pieces, so that ingest goes on between them.
func (s *Site) allDiagnoses(r *http.Request, f store.Filter) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		f.Limit = store.MaxRows
		for range maxLooks {
			rows, next, err := s.Source.Diagnoses(r.Context(), f)
			var list []line
			if err == nil {
				list, err = lines(rows)
			}
			if err != nil {
				yield(record{}, err)
				return
			}
			for _, l := range list {
				c := l.First
				if !yield(record{[]string{iso(l.Received), l.Estate, l.Terminal, l.D.ID, l.D.Code.Scheme, l.D.Event.Code, c.ID,
					c.Segment, num(c.Probability), c.Verdict, fmt.Sprint(l.D.Abstained),
					c.Act.By, fmt.Sprint(c.Act.Visit), l.D.Money.State, l.D.Money.Retry, fmt.Sprint(l.D.Repeats),
					fmt.Sprint(l.Historical)}, l.Row}, nil) {
					return
				}
			}
			if next == (store.Place{}) {
				return
			}
			f.Before = next
		}
	}
}

// asked shows a diagnosis that somebody asked for: no sale failed.
func (s *Site) asked(w http.ResponseWriter, r *http.Request) {
	row, err := s.Source.AskedOne(r.Context(), viewer(r).Estates, address(r), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.showDiagnosis(w, r, row, true)
}

func (s *Site) diagnosis(w http.ResponseWriter, r *http.Request) {
	row, err := s.Source.Diagnosis(r.Context(), viewer(r).Estates, address(r), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.showDiagnosis(w, r, row, false)
}

// diagnosisSheet lists what a diagnosis says and what it rests on.
func diagnosisSheet(d report.Diagnosis) *sheet {
	t := newSheet("part", "id", "segment", "probability", "verdict", "act_by", "visit", "status", "subject", "age_ms", "facts")
	for _, c := range d.Causes {
		t.add("cause", c.ID, c.Segment, c.Probability, c.Verdict, c.Act.By, c.Act.Visit, nil, nil, nil, nil)
	}
	for _, e := range d.Evidence {
		var facts any
		if len(e.Facts) > 0 {
			facts = e.Facts
		}
		t.add("evidence", e.Check, nil, nil, nil, nil, nil, string(e.Status), e.Subject, e.AgeMS, facts)
	}
	return t
}

func (s *Site) showDiagnosis(w http.ResponseWriter, r *http.Request, row store.Row, asked bool) {
	list, err := lines([]store.Row{row})
	var form string
	if err == nil {
		form, err = format(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	l := list[0]
	slices.SortStableFunc(l.D.Evidence, func(a, b report.Evidence) int { return severity(a.Status) - severity(b.Status) })
	if form != "" {
		s.file(w, r, "diagnosis", form, diagnosisSheet(l.D))
		return
	}
	p := s.page(r, "diagnosis")
	v := struct {
		*page
		line
		Txn       []measured
		Outcome   *report.Outcome // what became of it; nil as long as nothing is known
		Find      *store.Find
		Causes    []codes.Cause
		Asked     bool
		Incidents []store.Incident // that it may belong to
		Place     []dim
		Raw       string
	}{page: p, line: l, Txn: p.txn(l.D.Event.Txn), Asked: asked}
	v.Causes = slices.DeleteFunc(slices.Clone(s.Knowledge.Causes), func(c codes.Cause) bool {
		return c.ID == store.FoundNothing // the form's own first choice
	})
	ctx, in := r.Context(), p.Viewer.Estates
	v.Raw = "/api/v1/diagnoses/" + l.Estate + "/" + l.Terminal + "/" + l.D.ID
	if !asked {
		switch o, err := s.Source.Outcome(ctx, in, address(r), l.D.ID); {
		case err == nil:
			v.Outcome = &o
		case !errors.Is(err, store.ErrNone):
			s.fail(w, r, err)
			return
		}
		switch f, err := s.Source.Find(ctx, in, address(r), l.D.ID); {
		case err == nil:
			v.Find = &f
		case !errors.Is(err, store.ErrNone):
			s.fail(w, r, err)
			return
		}
		place, err := s.Source.PlaceOf(ctx, in, address(r))
		if err == nil {
			v.Incidents, err = s.incidentsOf(ctx, in, l, place)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		v.Place = p.Place(place)
	}
	p.Title = l.D.Event.Code + " " + l.Terminal + " - " + p.T("title")
	v.line.D = retell(l.D, s.Knowledge, p)
	s.render(w, r, http.StatusOK, "diagnosis", v)
}

// incidentsOf are the incidents that a diagnosis of a terminal in this place may belong to.
func (s *Site) incidentsOf(ctx context.Context, in store.Estates, l line, place map[string]string) ([]store.Incident,
	error) {
	list, err := s.Source.FindIncidents(ctx, store.IncidentFilter{In: in, Estate: l.Estate,
		Since: l.Received.Add(-time.Hour), Until: l.Received.Add(time.Hour), Limit: 50})
	return slices.DeleteFunc(list, func(i store.Incident) bool {
		if i.MergedIn != 0 || i.Cause != l.First.ID && !slices.Contains(i.Also, l.First.ID) {
			return true
		}
		for d, value := range i.Place {
			if place[d] != value {
				return true
			}
		}
		return false
	}), err
}

// txn lists what is known of a sale.
func (p *page) txn(t *report.Txn) []measured {
	if t == nil {
		return nil
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil
	}
	var f report.Facts
	if json.Unmarshal(b, &f) != nil {
		return nil
	}
	return p.Facts("txn.answer", f) // which it measures of the same sale
}

// found is the form by which people say what they found.
func (s *Site) found(r *http.Request, v Viewer) (Deed, string, error) {
	at, id := address(r), r.PathValue("id")
	d := Deed{At: at, Subject: id}
	row, err := s.Source.Diagnosis(r.Context(), v.Estates, at, id)
	if err != nil {
		return d, "", err
	}
	list, err := lines([]store.Row{row})
	if err != nil {
		return d, "", err
	}
	f := store.Find{Diagnosis: id, Cause: list[0].First.ID, Found: r.PostFormValue("found"), Who: v.Name, At: time.Now()}
	if _, ok := s.Knowledge.Cause(f.Found); !ok && f.Found != store.FoundNothing {
		return d, "", refuse("found：须为原因的标识，或 none", "found: want the id of a cause, or none")
	}
	if f.Said, err = said(r, "said", maxSaid); err != nil {
		return d, "", err
	}
	d.Detail = strings.TrimSpace(f.Found + " " + f.Said)
	if err := s.Source.SaveFind(r.Context(), at, f); err != nil {
		return d, "", err
	}
	s.Hub.Changed()
	return d, "/diagnosis/" + at.Estate + "/" + at.Terminal + "/" + id + "#found", nil
}
