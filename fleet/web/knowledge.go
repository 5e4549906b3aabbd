package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/diagnose/reliability"
	"posdx/codes"
	"posdx/fleet/store"
)

// A period is how far the pages of codes and causes look back; they compare it with one as long before.
type period struct {
	ID    string // of its text
	Hours int
	Each  int // hours of a step of a course
}

var (
	aDay  = period{"24h", 24, 1}
	aWeek = period{"7d", 7 * 24, 12}
	month = period{"28d", 28 * 24, 24}
)

// periodOf reads which of some periods a page is asked for, the first if none.
func periodOf(p *page, list ...period) (period, error) {
	var names []string
	for _, d := range list {
		if names = append(names, d.ID); d.ID == p.Param("range") {
			return d, nil
		}
	}
	return list[0], known(p.query, "range", names...)
}

// back is where so many hours begin of which the one under way is the last.
func back(now time.Time, hours int) time.Time {
	return now.Truncate(time.Hour).Add(time.Duration(1-hours) * time.Hour)
}

// A seen is a code or a cause with what there was of it.
type seen struct {
	Scheme   string  `json:"scheme,omitempty"`
	Code     string  `json:"code,omitempty"`
	Cause    string  `json:"cause,omitempty"`
	Count    float64 `json:"count"`  // in the period
	Was      float64 `json:"before"` // and in the one before
	Approved bool    `json:"approved,omitempty"`
}

// Delta is how much more or less it is than in the period before; 0 if there was nothing.
func (s seen) Delta() float64 { return change{Was: s.Was, Is: s.Count}.Delta() }

func (s *Site) codes(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "codes")
	form, err := format(r)
	long, bad := periodOf(p, aWeek, aDay)
	if err = cmp.Or(err, bad); err != nil {
		s.fail(w, r, err)
		return
	}
	points, err := s.Source.Codes(r.Context(), of(p.Viewer, p.Param("estate")), back(p.Now, 2*long.Hours), 2, long.Hours, "")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		List    []seen
		Sales   float64
		Pager   pager
		N       int
		Range   string
		Periods []period
	}{page: p, Range: long.ID, Periods: []period{aDay, aWeek}}
	by := map[[2]string]*seen{}
	for _, c := range points {
		k := [2]string{c.Scheme, c.Code}
		if by[k] == nil {
			by[k] = &seen{Scheme: c.Scheme, Code: c.Code, Approved: s.approved(c.Scheme, c.Code)}
		}
		if c.Step == 1 {
			by[k].Count += c.Count
			v.Sales += c.Count
		} else {
			by[k].Was += c.Count
		}
	}
	q := strings.ToLower(p.Param("q"))
	for _, c := range by {
		if q == "" || strings.Contains(strings.ToLower(c.Scheme+" "+c.Code+" "+p.Meaning(c.Scheme, c.Code)), q) {
			v.List = append(v.List, *c)
		}
	}
	slices.SortFunc(v.List, func(a, b seen) int {
		return cmp.Or(cmp.Compare(truth(a.Approved), truth(b.Approved)), cmp.Compare(b.Count, a.Count),
			strings.Compare(a.Scheme+a.Code, b.Scheme+b.Code))
	})
	if form != "" {
		s.export(w, r, "codes", form, []string{"scheme", "code", "count", "before", "approved"},
			seq(v.List, func(c seen) []string {
				return []string{c.Scheme, c.Code, num(c.Count), num(c.Was), strconv.FormatBool(c.Approved)}
			}))
		return
	}
	v.N = len(v.List)
	v.List, v.Pager, err = cut(r, p, v.List)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "codes", v)
}

// cut takes a page out of a list that is wholly there.
func cut[T any](r *http.Request, p *page, list []T) ([]T, pager, error) {
	from, err := skip(r)
	if err != nil {
		return nil, pager{}, err
	}
	next := ""
	if list = list[min(from, len(list)):]; len(list) > pageRows {
		list, next = list[:pageRows], strconv.Itoa(from+pageRows)
	}
	return list, p.pages("skip", next), nil
}

// A reading is what a table says of a code.
type reading struct {
	codes.Meaning
	From []codes.Source
}

func (s *Site) code(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "code")
	code, scheme := p.Param("code"), p.Param("scheme")
	form, err := format(r)
	long, bad := periodOf(p, aWeek, aDay)
	if err = cmp.Or(err, bad); err != nil {
		s.fail(w, r, err)
		return
	}
	if code == "" || len(code) > maxCode {
		s.fail(w, r, store.ErrNone)
		return
	}
	v := struct {
		*page
		Code, Scheme string
		Main         string // the scheme in which it is meant most
		Cut          bool   // only the newest diagnoses were counted
		Readings     []reading
		Course       *course
		Week, Was    float64
		Causes       []store.Tallied
		Total        int
		Lines        []line
		All          string
		ShowPlace    bool

		Range   string
		Periods []period

		ShowTerminal, Searching bool
	}{page: p, Code: code, Scheme: scheme, ShowPlace: true, ShowTerminal: true, Range: long.ID,
		Periods: []period{aDay, aWeek}}
	p.Title = code + " - " + p.T("title")
	// An error of the terminal's own is counted under the host's table, which does not have it: then all are asked.
	one := scheme != "" && len(s.Knowledge.Readings(scheme, code)) > 0
	for _, sc := range s.Knowledge.Schemes {
		if one && sc.Name != scheme {
			continue
		}
		for _, m := range s.Knowledge.Readings(sc.Name, code) {
			rd := reading{Meaning: m}
			for _, key := range m.Sources {
				if src, ok := s.Knowledge.Source(key); ok {
					rd.From = append(rd.From, src)
				}
			}
			v.Readings = append(v.Readings, rd)
		}
	}
	in := of(p.Viewer, p.Param("estate"))
	steps, start := 2*long.Hours/long.Each, back(p.Now, 2*long.Hours)
	points, err := s.Source.Codes(r.Context(), in, start, steps, long.Each, code)
	if err == nil {
		v.Causes, err = s.Source.CausesOf(r.Context(), in, code, "", back(p.Now, long.Hours))
	}
	var rows []store.Row
	if err == nil {
		rows, _, err = s.Source.Diagnoses(r.Context(), store.Filter{In: in, Code: code, Scheme: scheme, Limit: 10})
	}
	if err == nil {
		v.Lines, err = lines(rows)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	counts := map[string][]float64{}
	for _, c := range points {
		if scheme != "" && c.Scheme != scheme || c.Step >= steps {
			continue
		}
		if counts[c.Scheme] == nil {
			counts[c.Scheme] = make([]float64, steps)
		}
		counts[c.Scheme][c.Step] += c.Count
		if c.Step >= steps/2 {
			v.Week += c.Count
		} else {
			v.Was += c.Count
		}
	}
	v.Main = scheme
	most := 0.0
	for sc, list := range counts {
		sum := 0.0
		for _, n := range list {
			sum += n
		}
		if scheme == "" && (sum > most || sum == most && sc < v.Main) {
			v.Main, most = sc, sum
		}
	}
	v.Course = newCourse(p, p.T("course.code"), start, steps, time.Duration(long.Each)*time.Hour, counts, p.SchemeTitle,
		func(sc string) string { return p.With("scheme", sc) })
	v.Course.Unit = p.T("unit.sales")
	for _, c := range v.Causes {
		v.Total += c.Diagnoses
	}
	v.Cut = v.Total >= store.Sample
	v.All = p.Link("/diagnoses", "code", code, "scheme", scheme)
	if len(v.Readings) == 0 && len(v.Lines) == 0 && v.Week+v.Was == 0 {
		s.fail(w, r, store.ErrNone)
		return
	}
	if form != "" {
		t := courseSheet()
		v.Course.enter(t, unitSales)
		s.file(w, r, "code", form, t)
		return
	}
	s.render(w, r, http.StatusOK, "code", v)
}

func (s *Site) causes(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "causes.page")
	form, err := format(r)
	long, bad := periodOf(p, aWeek, aDay)
	if err = cmp.Or(err, bad, known(p.query, "segment", segments...)); err != nil {
		s.fail(w, r, err)
		return
	}
	points, err := s.Source.Causes(r.Context(), of(p.Viewer, p.Param("estate")), back(p.Now, 2*long.Hours), 2, long.Hours, "")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		List     []seen
		Pager    pager
		N        int
		All      bool
		Segments []string
		Range    string
		Periods  []period
	}{page: p, All: p.Param("all") != "", Segments: segments, Range: long.ID, Periods: []period{aDay, aWeek}}
	by := map[string]*seen{}
	for _, c := range points {
		if by[c.Cause] == nil {
			by[c.Cause] = &seen{Cause: c.Cause}
		}
		if c.Step == 1 {
			by[c.Cause].Count += c.Count
		} else {
			by[c.Cause].Was += c.Count
		}
	}
	if v.All {
		for _, c := range s.Knowledge.Causes {
			if by[c.ID] == nil {
				by[c.ID] = &seen{Cause: c.ID}
			}
		}
	}
	q, segment := strings.ToLower(p.Param("q")), p.Param("segment")
	for _, c := range by {
		known, _ := s.Knowledge.Cause(c.Cause)
		if segment != "" && known.Segment != segment {
			continue
		}
		if q == "" || strings.Contains(strings.ToLower(c.Cause+" "+p.CauseTitle(c.Cause)), q) {
			v.List = append(v.List, *c)
		}
	}
	slices.SortFunc(v.List, func(a, b seen) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Was, a.Was), strings.Compare(a.Cause, b.Cause))
	})
	if form != "" {
		s.export(w, r, "causes", form, []string{"cause", "terminal_hours", "terminal_hours_before"},
			seq(v.List, func(c seen) []string { return []string{c.Cause, num(c.Count), num(c.Was)} }))
		return
	}
	v.N = len(v.List)
	if v.List, v.Pager, err = cut(r, p, v.List); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "causes", v)
}

func (s *Site) cause(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "cause.page")
	id := r.PathValue("id")
	form, err := format(r)
	long, bad := periodOf(p, month, aWeek, aDay)
	if err = cmp.Or(err, bad); err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		*page
		ID        string
		C         codes.Cause
		Known     bool
		Rate      store.Rate
		Course    *course
		Codes     []store.Tallied
		Total     int
		Cut       bool // only the newest diagnoses were counted
		Bins      []reliability.Bin
		Sum       reliability.Sum
		Incidents []store.Incident
		Lines     []line
		All       string
		ShowPlace bool

		Range   string
		Periods []period

		ShowTerminal, Searching bool
	}{page: p, ID: id, ShowPlace: true, ShowTerminal: true, Range: long.ID, Periods: []period{aDay, aWeek, month}}
	v.C, v.Known = s.Knowledge.Cause(id)
	p.Title = p.CauseTitle(id) + " - " + p.T("title")
	in, ctx := of(p.Viewer, p.Param("estate")), r.Context()
	steps, start := long.Hours/long.Each, back(p.Now, long.Hours)
	points, err := s.Source.Causes(ctx, in, start, steps, long.Each, id)
	var rows []store.Row
	var became []store.Became
	read := func(what func() error) {
		if err == nil {
			err = what()
		}
	}
	read(func() (err error) { v.Rate, err = s.Source.BaseRate(ctx, in, id, start); return })
	read(func() (err error) { v.Codes, err = s.Source.CausesOf(ctx, in, "", id, start); return })
	read(func() (err error) {
		became, err = s.Source.Became(ctx, in, id, p.Now.Add(-reliabilityBack), time.Time{}, maxBecame)
		return
	})
	read(func() (err error) {
		v.Incidents, err = s.Source.FindIncidents(ctx, store.IncidentFilter{In: in, Cause: id, Limit: 10})
		return
	})
	read(func() (err error) {
		rows, _, err = s.Source.Diagnoses(ctx, store.Filter{In: in, Cause: id, Limit: 10})
		return
	})
	read(func() (err error) { v.Lines, err = lines(rows); return })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !v.Known && len(rows) == 0 && len(points) == 0 {
		s.fail(w, r, store.ErrNone)
		return
	}
	counts := map[string][]float64{}
	for _, c := range points {
		if counts[id] == nil {
			counts[id] = make([]float64, steps)
		}
		if c.Step < steps {
			counts[id][c.Step] += c.Count
		}
	}
	v.Course = newCourse(p, p.T("course.causes"), start, steps, time.Duration(long.Each)*time.Hour, counts, p.CauseTitle,
		func(string) string { return "" })
	v.Course.Unit = p.T("unit.terminals")
	for _, c := range v.Codes {
		v.Total += c.Diagnoses
	}
	v.Cut = v.Total >= store.Sample
	if form != "" {
		t := courseSheet()
		v.Course.enter(t, unitTerminals)
		s.file(w, r, "cause", form, t)
		return
	}
	v.Bins, v.Sum = reliability.Of(became)
	v.All = p.Link("/diagnoses", "cause", id)
	s.render(w, r, http.StatusOK, "cause", v)
}
