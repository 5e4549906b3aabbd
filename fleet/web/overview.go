package web

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"posdx/fleet/store"
)

// A week is what there is of one week, to compare it with another.
type week struct {
	Sales, Approved, Failed float64
}

// Rate is the share of sales that were approved.
func (w week) Rate() float64 {
	if w.Sales == 0 {
		return 0
	}
	return w.Approved / w.Sales
}

// A change is one line of a comparison.
type change struct {
	Name, Link string
	Was, Is    float64
}

// Delta is how much more or less it is, in parts of what it was; 0 if that was nothing.
func (c change) Delta() float64 {
	if c.Was == 0 {
		return 0
	}
	return c.Is/c.Was - 1
}

// A burning incident, with what people did about it.
type burning struct {
	store.Incident
	Care store.Care `json:"care,omitzero"`
}

// Muted tells whether it shall not be looked at now.
func (b burning) Muted(now time.Time) bool { return b.Care.Muted.After(now) }

// overviewFor is how long what the overview counts is used again: many open pages ask for it at once after each commit.
const overviewFor = 5 * time.Second

// figures is what takes long to count.
type figures struct {
	Summary   store.Summary
	Quiet     store.Quiet
	Dues      []store.DueCount
	codes     []store.Point // of two weeks, in hours
	causes    []store.Point
	from      time.Time // of the codes
	causeFrom time.Time
}

// A shelf keeps what was counted for a moment.
type shelf[T any] struct {
	mu   sync.Mutex
	list map[string]*kept[T]
}

type kept[T any] struct {
	mu   sync.Mutex
	when time.Time
	what T
}

// maxKept bounds how many different sets of estates are kept.
const maxKept = 1000

// get returns what was made not longer ago than some time, or makes it; several that ask at once wait for one.
func (s *shelf[T]) get(key string, fresh time.Duration, make func() (T, error)) (T, error) {
	s.mu.Lock()
	if s.list == nil || len(s.list) >= maxKept {
		s.list = map[string]*kept[T]{}
	}
	k := s.list[key]
	if k == nil {
		k = new(kept[T])
		s.list[key] = k
	}
	s.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.when.IsZero() && time.Since(k.when) < fresh {
		return k.what, nil
	}
	what, err := make()
	if err == nil {
		k.what, k.when = what, time.Now()
	}
	return what, err
}

// of is the estates that a page looks at: the one chosen, of those that the viewer may see.
func of(v Viewer, estate string) store.Estates {
	if estate == "" {
		return v.Estates
	}
	if !v.Estates.Has(estate) {
		return store.Estates{}
	}
	return store.Estates{estate}
}

// hours of the courses on the overview.
const twoWeeks = 14 * 24

func (s *Site) figures(ctx context.Context, in store.Estates, now time.Time) (figures, error) {
	key := "all"
	if in != nil {
		key = fmt.Sprintf("%q", []string(in))
	}
	return s.counted.get(key, overviewFor, func() (f figures, err error) {
		ctx := context.WithoutCancel(ctx) // what one reader does not wait for another may
		f.from = now.Truncate(time.Hour).Add(-(twoWeeks - 1) * time.Hour)
		f.causeFrom = now.Truncate(time.Hour).Add(-7 * 24 * time.Hour)
		if f.Summary, err = s.Source.Summary(ctx, in, now); err != nil {
			return f, err
		}
		if f.Quiet, err = s.Source.CountQuiet(ctx, in, now); err != nil {
			return f, err
		}
		if f.Dues, err = s.Source.CountDues(ctx, store.DueFilter{In: in}, horizons(now)); err != nil {
			return f, err
		}
		if f.codes, err = s.Source.Codes(ctx, in, f.from, twoWeeks, 1, ""); err != nil {
			return f, err
		}
		f.causes, err = s.Source.Causes(ctx, in, f.causeFrom, 7*24+1, 1, "")
		return f, err
	})
}

// approved tells whether a code is an approval.
func (s *Site) approved(scheme, code string) bool {
	if m, ok := s.Knowledge.Lookup(scheme, code); ok && m.Approves() {
		return true
	}
	return strings.Trim(code, "0") == ""
}

// ranges of the course on the overview, and its steps.
var courses = map[string]struct {
	back, each time.Duration
}{"24h": {24 * time.Hour, time.Hour}, "7d": {7 * 24 * time.Hour, 6 * time.Hour}, "14d": {14 * 24 * time.Hour, 12 * time.Hour}}

// Units of courses in files.
const (
	unitSales         = "sales"
	unitTerminalHours = "terminal_hours" // hours in which a terminal reported it
	unitTerminals     = "terminals"
)

func (s *Site) overview(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "")
	in := of(p.Viewer, p.Estate)
	now := p.Now
	v := struct {
		*page
		figures
		Burning     []burning
		Lost        float64
		Waiting     []burning // quiet, until good sales prove them over
		Muted       int
		More        int
		Course      *course
		Sold        *course
		By, Range   string
		Week, Last  week
		Weeks       []change
		Horizons    []time.Time
		Lines       []line
		Total       store.DueCount
		ShowPlace   bool
		Compare     bool
		OpenTotal   int
		UnownedOpen int
	}{page: p, By: cmp.Or(p.Param("by"), "code"), Range: cmp.Or(p.Param("range"), "24h"), Horizons: horizons(now), ShowPlace: true}
	form, err := format(r)
	err = cmp.Or(err, known(p.query, "range", "24h", "7d", "14d"), known(p.query, "by", "code", "cause"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if v.figures, err = s.figures(r.Context(), in, now); err != nil {
		s.fail(w, r, err)
		return
	}
	s.coursesOf(p, &v.figures, v.By, v.Range, &v.Course, &v.Sold)
	if form != "" {
		t := courseSheet()
		v.Sold.enter(t, unitSales)
		v.Course.enter(t, map[string]string{"code": unitSales, "cause": unitTerminalHours}[v.By])
		s.file(w, r, "course", form, t)
		return
	}
	list, err := s.Source.FindIncidents(r.Context(), store.IncidentFilter{In: in, State: "open", Limit: store.MaxRows})
	var cares map[int64]store.Care
	if err == nil {
		cares, err = s.Source.Cares(r.Context(), list)
	}
	var rows []store.Row
	if err == nil {
		rows, _, err = s.Source.Diagnoses(r.Context(), store.Filter{In: in, Limit: 8, Within: searchFor})
	}
	if err == nil {
		v.Lines, err = lines(rows)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.OpenTotal = len(list)
	for _, i := range list {
		b := burning{i, cares[i.No]}
		switch {
		case b.Muted(now):
			v.Muted++
		case !i.Quiet.IsZero():
			v.Waiting = append(v.Waiting, b)
		default:
			v.Burning = append(v.Burning, b)
			v.Lost += i.Lost
			if b.Care.Owner == "" {
				v.UnownedOpen++
			}
		}
	}
	slices.SortFunc(v.Burning, byImpact)
	const most = 8
	if v.More = len(v.Burning) - most; v.More > 0 {
		v.Burning = v.Burning[:most]
	}
	v.Waiting = v.Waiting[:min(len(v.Waiting), 5)]
	v.Total.Within = make([]int, len(v.Horizons))
	for _, d := range v.Dues {
		v.Total.None += d.None
		for i, n := range d.Within {
			v.Total.Within[i] += n
		}
	}
	v.Weeks, v.Week, v.Last = s.weeks(p, &v.figures)
	v.Compare = v.Last.Sales > 0
	s.render(w, r, http.StatusOK, "overview", v)
}

// byImpact orders incidents by the sales that they cost in an hour, then by how many terminals see them.
func byImpact(a, b burning) int {
	return cmp.Or(cmp.Compare(b.Lost, a.Lost), cmp.Compare(b.Terminals, a.Terminals), cmp.Compare(b.No, a.No))
}

// coursesOf makes the two pictures of the overview: what failed, by code or cause, and what was sold.
func (s *Site) coursesOf(p *page, f *figures, by, name string, failed, sold **course) {
	back, each := courses[name].back, courses[name].each
	if by == "cause" && back > 7*24*time.Hour {
		back = 7 * 24 * time.Hour
	}
	hours, steps := int(each/time.Hour), int(back/each)
	start := f.from.Add((twoWeeks - time.Duration(steps*hours)) * time.Hour)
	counts, ok := map[string][]float64{}, map[string][]float64{}
	enter := func(into map[string][]float64, id string, at time.Time, n float64) {
		k := int(at.Sub(start) / each)
		if at.Before(start) || k >= steps {
			return
		}
		if into[id] == nil {
			into[id] = make([]float64, steps)
		}
		into[id][k] += n
	}
	for _, c := range f.codes {
		at := f.from.Add(time.Duration(c.Step) * time.Hour)
		switch {
		case s.approved(c.Scheme, c.Code):
			enter(ok, "approved", at, c.Count)
		case by == "code":
			enter(counts, c.Scheme+" "+c.Code, at, c.Count)
		}
	}
	if by == "cause" {
		for _, c := range f.causes {
			enter(counts, c.Cause, f.causeFrom.Add(time.Duration(c.Step)*time.Hour), c.Count)
		}
	}
	title, unit := p.T("course.codes"), p.T("unit.sales")
	called := func(id string) string {
		scheme, code, _ := strings.Cut(id, " ")
		return strings.TrimSpace(code + " " + p.Meaning(scheme, code))
	}
	link := func(id string) string {
		scheme, code, _ := strings.Cut(id, " ")
		return p.Link("/code", "scheme", scheme, "code", code)
	}
	if by == "cause" {
		title, unit = p.T("course.causes"), p.T("unit.terminals")
		called, link = p.CauseTitle, func(id string) string { return p.Link("/cause/" + id) }
	}
	*failed = newCourse(p, title, start, steps, each, counts, called, link)
	(*failed).Unit = unit
	*sold = newCourse(p, p.T("course.sold"), start, steps, each, ok, func(string) string { return p.T("approved") },
		func(string) string { return "" })
	(*sold).Unit = p.T("unit.sales")
}

// weeks compares the last seven days with the seven before.
func (s *Site) weeks(p *page, f *figures) (list []change, is, was week) {
	codes := map[string]*change{}
	for _, c := range f.codes {
		this := c.Step >= twoWeeks/2
		w := &was
		if this {
			w = &is
		}
		w.Sales += c.Count
		if s.approved(c.Scheme, c.Code) {
			w.Approved += c.Count
			continue
		}
		w.Failed += c.Count
		id := c.Scheme + " " + c.Code
		if codes[id] == nil {
			codes[id] = &change{Name: strings.TrimSpace(c.Code + " " + p.Meaning(c.Scheme, c.Code)),
				Link: p.Link("/code", "scheme", c.Scheme, "code", c.Code)}
		}
		if this {
			codes[id].Is += c.Count
		} else {
			codes[id].Was += c.Count
		}
	}
	for _, c := range codes {
		list = append(list, *c)
	}
	// What moved most, in sales.
	slices.SortFunc(list, func(a, b change) int {
		x, y := a.Is-a.Was, b.Is-b.Was
		return cmp.Or(cmp.Compare(max(y, -y), max(x, -x)), strings.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), 6)], is, was
}

// horizons are the moments before which the radar counts what ends: now, and in 30, 60 and 90 days.
func horizons(now time.Time) []time.Time {
	list := []time.Time{now}
	for _, d := range []int{30, 60, 90} {
		list = append(list, now.AddDate(0, 0, d))
	}
	return list
}

// jsonOf decodes a document that is kept as text.
func jsonOf[T any](raw json.RawMessage) (*T, error) {
	if raw == nil {
		return nil, nil
	}
	v := new(T)
	return v, json.Unmarshal(raw, v)
}
