package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

// mutes are for how long an incident can be muted by one choice.
var mutes = []struct {
	ID   string
	Long time.Duration
}{{"1h", time.Hour}, {"8h", 8 * time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

func (s *Site) incidents(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "incidents")
	form, err := format(r)
	var at span
	if err == nil {
		at, err = spanOf(r.URL.Query(), p.Now)
	}
	var from int
	if err == nil {
		from, err = skip(r)
	}
	v := struct {
		*page
		List        []burning
		Pager       pager
		State, Sort string
		Mine        bool
		N           int
	}{page: p, State: cmp.Or(p.Param("state"), "open"), Sort: cmp.Or(p.Param("sort"), "impact")}
	err = cmp.Or(err, known(p.query, "state", "open", "muted", "mine", "over", "all"),
		known(p.query, "sort", "impact", "opened", "terminals"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f := store.IncidentFilter{In: p.Viewer.Estates, Estate: p.Param("estate"), Cause: p.Param("cause"), Since: at.From,
		Until: at.To, Limit: store.MaxRows}
	switch v.State {
	case "open", "muted", "mine":
		f.State = "open"
	case "over":
		f.State = "over"
	}
	list, err := s.Source.FindIncidents(r.Context(), f)
	var cares map[int64]store.Care
	if err == nil {
		cares, err = s.Source.Cares(r.Context(), list)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, i := range list {
		b := burning{i, cares[i.No]}
		muted := b.Muted(p.Now)
		if v.State == "open" && muted || v.State == "muted" && !muted || v.State == "mine" && b.Care.Owner != p.Viewer.Name {
			continue
		}
		if q := strings.ToLower(p.Param("q")); q != "" && !strings.Contains(strings.ToLower(strings.Join([]string{
			p.IncidentTitle(i), i.Cause, i.Key, incident.Place(i.Place).String(), incident.Place(i.Only).String(),
			i.Code}, " ")), q) {
			continue
		}
		v.List = append(v.List, b)
	}
	switch v.Sort {
	case "impact":
		slices.SortStableFunc(v.List, func(a, b burning) int {
			return cmp.Or(cmp.Compare(truth(!a.Closed.IsZero()), truth(!b.Closed.IsZero())), byImpact(a, b))
		})
	case "opened":
		slices.SortStableFunc(v.List, func(a, b burning) int { return b.Opened.Compare(a.Opened) })
	case "terminals":
		slices.SortStableFunc(v.List, func(a, b burning) int { return cmp.Compare(b.Terminals, a.Terminals) })
	}
	if form != "" {
		s.export(w, r, "incidents", form, []string{"no", "estate", "cause", "segment", "code", "kind", "place", "opened", "seen", "closed", "terminals", "of_terminals", "peak", "lost_per_hour", "owner", "only"},
			seq(v.List, func(b burning) []string {
				return []string{fmt.Sprint(b.No), b.Estate, b.Cause, b.Segment, b.Code, b.Kind, incident.Place(b.Place).String(),
					iso(b.Opened), iso(b.Seen), iso(b.Closed),
					fmt.Sprint(b.Terminals), fmt.Sprint(b.Of), fmt.Sprint(b.Peak), num(b.Lost), b.Care.Owner,
					incident.Place(b.Only).String()}
			}))
		return
	}
	v.N = len(v.List)
	next := ""
	if v.List = v.List[min(from, len(v.List)):]; len(v.List) > pageRows {
		v.List, next = v.List[:pageRows], strconv.Itoa(from+pageRows)
	}
	v.Pager = p.pages("skip", next)
	s.render(w, r, http.StatusOK, "incidents", v)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A lift is a value that more of the terminals with it report than of the others.
type lift struct {
	store.Share
	Rest  store.Share // the estate's other terminals
	Named bool        // the incident is said to be there
}

// Rate is the share of the terminals with the value that report.
func (l lift) Rate() float64 { return shareOf(l.Share) }

// RestRate is that of the others.
func (l lift) RestRate() float64 { return shareOf(l.Rest) }

func shareOf(s store.Share) float64 {
	if s.Of == 0 {
		return 0
	}
	return float64(s.Reporting) / float64(s.Of)
}

// shared is who shares an incident, as it was counted.
type shared struct {
	in, out lift
	lifts   []lift
	course  []float64 // terminals that report, step by step
	from    time.Time
	each    time.Duration
}

// sharedFor is how long what was counted of an incident is used again.
const sharedFor = 15 * time.Second

// changeBack is how long before an incident a change may have brought it on.
const changeBack = 48 * time.Hour

// An example is a diagnosis with what speaks for its first cause.
type example struct {
	line
	For []report.Reason
}

func (s *Site) incident(w http.ResponseWriter, r *http.Request) {
	no, err := strconv.ParseInt(r.PathValue("no"), 10, 64)
	if err != nil {
		s.fail(w, r, store.ErrNone)
		return
	}
	form, err := format(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := s.page(r, "incident")
	ctx, in := r.Context(), p.Viewer.Estates
	i, err := s.Source.Incident(ctx, in, no)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Title = p.IncidentTitle(i) + " - " + p.T("title")
	v := struct {
		*page
		I           store.Incident
		Care        store.Care
		Log         []store.LogEntry
		End         time.Time
		In, Out     lift
		Lifts       []lift
		Course      *course
		First, Last *line
		Examples    []example
		Changes     []store.ChangeCount
		Others      []store.Incident // that it can be merged with
		Owners      []string         // that it can be given to
		Free        bool             // people do not sign in, so any name is accepted
		Muted       bool
		All         string // address of its diagnoses, with scope and time
		Mutes       any
		Silent      bool
		Retry       string
		ShowPlace   bool
	}{page: p, I: i, End: i.Seen, Mutes: mutes, Silent: p.Silent(i.Kind),
		Free: s.Access == nil}
	if i.Closed.IsZero() {
		v.End = p.Now
	} else if i.Closed.After(v.End) {
		v.End = i.Closed
	}
	causes := append([]string{i.Cause}, i.Also...)
	back := incident.Window
	if i.Kind == incident.KindSlow {
		back = incident.SlowWindow
	}
	from := i.Opened.Add(-back) // what made it be found came before
	pairs := []string{"estate", i.Estate, "from", iso(from), "to", iso(v.End)}
	if !v.Silent {
		pairs = append(pairs, "cause", i.Cause)
	}
	for d, value := range i.Place {
		if d != "scheme" {
			pairs = append(pairs, d, value)
		}
	}
	for name, value := range i.Only {
		pairs = append(pairs, name, value)
	}
	v.All = p.Link("/diagnoses", pairs...)
	if v.Silent {
		v.All = p.Link("/terminals", append(pairs, "from", "", "to", "", "state", "offline")...)
	}
	cares, err := s.Source.Cares(ctx, []store.Incident{i})
	if err == nil {
		v.Care = cares[no]
		v.Muted = v.Care.Muted.After(p.Now)
		v.Log, err = s.Source.Log(ctx, in, no)
	}
	if err == nil {
		v.Changes, err = s.Source.ChangesIn(ctx, i.Estate, i.Place, i.Opened.Add(-changeBack), i.Opened)
	}
	if err == nil && p.Viewer.MayOperate() && i.Closed.IsZero() {
		v.Others, err = s.Source.FindIncidents(ctx, store.IncidentFilter{In: in, Estate: i.Estate, State: "open", Limit: 100})
		v.Others = slices.DeleteFunc(v.Others, func(o store.Incident) bool { return o.No == no })
	}
	if err == nil && p.Viewer.MayOperate() && !v.Free {
		v.Owners, err = s.owners(ctx, p.Viewer, i)
	}
	if err == nil && !v.Silent {
		var sh shared
		sh, err = s.shared.get(fmt.Sprint(no, i.Seen.Unix(), i.Closed.Unix()), sharedFor, func() (shared, error) {
			ctx := context.WithoutCancel(ctx) // what one reader does not wait for another may
			told, err := s.Source.Told(ctx, i.Estate, causes, i.Only, from, v.End)
			if err != nil {
				return shared{}, err
			}
			in, out, err := s.Source.InAndOut(ctx, told, i.Place)
			if err != nil {
				return shared{}, err
			}
			lifts, err := s.lifts(ctx, i, told, in, out)
			sh := shared{in: lift{Share: in}, out: lift{Share: out}, lifts: lifts}
			if err != nil {
				return sh, err
			}
			var steps int
			sh.from, steps, sh.each = stepsOf(from, v.End)
			sh.course, err = s.Source.Reporting(ctx, told, i.Place, sh.from, steps, sh.each)
			return sh, err
		})
		v.In, v.Out, v.Lifts = sh.in, sh.out, sh.lifts
		if err == nil {
			v.Course = newCourse(p, p.T("course.incident"), sh.from, len(sh.course), sh.each,
				map[string][]float64{"": sh.course}, func(string) string { return p.T("reporting.each") + " " + p.Length(sh.each) },
				func(string) string { return "" })
			v.Course.Apart = true
		}
	}
	if err == nil && !v.Silent {
		err = s.examples(r, p, i, from, v.End, &v.First, &v.Last, &v.Examples)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(v.Examples) > 0 {
		v.Retry = v.Examples[0].D.Money.Retry
	}
	if form != "" {
		t := newSheet("part", "at", "who", "what", "was", "is", "terminals", "of")
		t.add("opened", i.Opened, nil, nil, nil, nil, nil, nil)
		if !v.Silent {
			t.add("inside", nil, nil, nil, nil, incident.Place(i.Place).String(), v.In.Reporting, v.In.Of)
			t.add("outside", nil, nil, nil, nil, nil, v.Out.Reporting, v.Out.Of)
		}
		for _, l := range v.Lifts {
			t.add("with", nil, nil, l.Dim, nil, l.Value, l.Reporting, l.Of)
			t.add("without", nil, nil, l.Dim, nil, l.Value, l.Rest.Reporting, l.Rest.Of)
		}
		diagnosis := func(part string, l *line) {
			t.add(part, l.Received, nil, l.D.Event.Code, nil, l.Estate+"/"+l.Terminal+"/"+l.D.ID, nil, nil)
		}
		if v.First != nil {
			diagnosis("first", v.First)
		}
		if v.Last != nil {
			diagnosis("last", v.Last)
		}
		for _, e := range v.Examples {
			diagnosis("example", &e.line)
		}
		for _, c := range v.Changes {
			t.add("change", c.Last, nil, c.Dim, c.Was, c.Now, c.Terminals, nil)
		}
		if v.Course != nil {
			for k, n := range v.Course.counts[""] {
				t.add("course", v.Course.Steps[k], nil, nil, nil, nil, int(n), nil)
			}
		}
		for _, e := range v.Log {
			t.add("log", e.At, e.Who, e.Deed, nil, e.Said, nil, nil)
		}
		if !i.Closed.IsZero() {
			t.add("closed", i.Closed, nil, nil, nil, i.Proof, nil, nil)
		}
		s.file(w, r, "incident", form, t)
		return
	}
	s.render(w, r, http.StatusOK, "incident", v)
}

// stepsOf cuts the time of an incident into at most 48 steps of a length that is easily read, and lets some quiet show
// before it.
func stepsOf(from, to time.Time) (begin time.Time, steps int, each time.Duration) {
	long := to.Sub(from)
	from = from.Add(-long / 4)
	for _, each = range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour,
		24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		begin = from.Truncate(each)
		if steps = int(to.Sub(begin)/each) + 1; steps <= 48 {
			return begin, steps, each
		}
	}
	return begin, min(steps, 400), each
}

// lifts are the values that the terminals which report share most against the others, those of the incident's place
// first.
func (s *Site) lifts(ctx context.Context, i store.Incident, told store.Told, in, out store.Share) ([]lift, error) {
	shares, err := s.Source.Shares(ctx, told)
	if err != nil {
		return nil, err
	}
	all := store.Share{Of: in.Of + out.Of, Reporting: in.Reporting + out.Reporting}
	var list []lift
	for _, v := range shares {
		if v.Of == 0 || v.Reporting == 0 {
			continue
		}
		l := lift{Share: v, Rest: store.Share{Of: max(0, all.Of-v.Of), Reporting: max(0, all.Reporting-v.Reporting)},
			Named: i.Place[v.Dim] == v.Value}
		// Of what is not named only what the place does not explain: a site of an acquirer that fails fails too.
		if l.Named || v.Reporting >= incident.MinTerminals && l.Rate() > 2*l.RestRate() &&
			(len(i.Place) == 0 || l.Rate() > 1.3*shareOf(in)) {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b lift) int {
		return cmp.Or(cmp.Compare(truth(b.Named), truth(a.Named)), cmp.Compare(b.Reporting, a.Reporting),
			strings.Compare(a.Dim+a.Value, b.Dim+b.Value))
	})
	return list[:min(len(list), 10)], nil
}

// examples finds the first and the last terminal that reported an incident, and three recent ones with the proofs of
// the cause.
func (s *Site) examples(r *http.Request, p *page, i store.Incident, from, to time.Time, first, last **line,
	list *[]example) error {
	f := store.Filter{In: p.Viewer.Estates, Estate: i.Estate, Cause: i.Cause, Place: i.Place, Since: from, Until: to,
		Limit: 1, Oldest: true, Code: i.Only["code"], Entry: i.Only["entry"], Card: i.Only["card_scheme"]}
	rows, _, err := s.Source.Diagnoses(r.Context(), f)
	if err != nil {
		return err
	}
	f.Limit, f.Oldest = 40, false
	newest, _, err := s.Source.Diagnoses(r.Context(), f)
	if err != nil {
		return err
	}
	all, err := lines(append(rows, newest...))
	if err == nil && len(all) == 0 { // it was found in what had waited at terminals
		rows, all, err = s.waited(r.Context(), f)
	}
	if err != nil || len(all) == 0 {
		return err
	}
	if len(rows) > 0 {
		*first = &all[0]
	}
	all = all[len(rows):]
	if len(all) > 0 {
		*last = &all[0]
	}
	seen := map[string]bool{}
	for _, l := range all {
		if seen[l.Terminal] || len(*list) == 3 {
			continue
		}
		seen[l.Terminal] = true
		l.D = retell(l.D, s.Knowledge, p)
		e := example{line: l, For: l.D.Causes[0].For}
		e.For = e.For[:min(len(e.For), 3)]
		*list = append(*list, e)
	}
	return nil
}

// waited lists diagnoses that came after a time and tell of it, the first that happened before the newest.
func (s *Site) waited(ctx context.Context, f store.Filter) (first []store.Row, list []line, err error) {
	from, to := f.Since, f.Until
	f.Until, f.Limit = to.Add(store.LateWithin), 200
	rows, _, err := s.Source.Diagnoses(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	list, err = lines(rows)
	list = slices.DeleteFunc(list, func(l line) bool {
		at := l.D.Event.Time
		return !l.Historical || !l.D.Event.ClockTrusted || at.Before(from) || at.After(to)
	})
	slices.SortStableFunc(list, func(a, b line) int { return b.D.Event.Time.Compare(a.D.Event.Time) })
	if n := len(list); n > 0 {
		return []store.Row{list[n-1].Row}, append([]line{list[n-1]}, list...), err
	}
	return nil, nil, err
}

// Bounds of what people write.
const (
	maxSaid = 2000 // characters
	maxName = 64
)

// said reads what somebody wrote in a field of a form.
func said(r *http.Request, field string, most int) (string, error) {
	text := strings.TrimSpace(r.PostFormValue(field))
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > most {
		return "", refuse("%s：最多 %d 个字符", "%s: at most %d characters", field, most)
	}
	if report.Suspect([]byte(text)) {
		return "", refuse("%s：其中的数字像卡号，请去掉", "%s: these digits look like a card number; leave them out", field)
	}
	return string(visible([]byte(text))), nil
}

// owners are the accounts that a viewer may give an incident to: of those it knows of, the ones that may sign in, see
// the estate and do more than look.
func (s *Site) owners(ctx context.Context, v Viewer, i store.Incident) ([]string, error) {
	list, err := s.Source.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range list {
		role, err := access.ParseRole(a.Role)
		if err == nil && role >= access.Technician && !a.Disabled && a.Estates.Has(i.Estate) &&
			(a.Name == v.Name || v.covers(a.Estates)) {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// owner reads whom an incident is given to; empty: nobody. Where people sign in it is somebody who can: an incident
// that is with a name that nobody has is with nobody, and looks as if it were not.
func (s *Site) owner(r *http.Request, v Viewer, i store.Incident) (string, error) {
	name, err := said(r, "owner", maxName)
	if err != nil || name == "" {
		return "", err
	}
	if s.Access == nil { // there are no accounts
		if access.CheckName(name) != nil {
			return "", refuse("owner：%q 不是姓名", "owner: %q is not a name", name)
		}
		return name, nil
	}
	names, err := s.owners(r.Context(), v, i)
	if err == nil && !slices.Contains(names, name) {
		err = refuse("owner：%q 不是可以负责此事件的账号，可选：%s", "owner: %q is no account that can see to this incident; there are: %s",
			name, strings.Join(names, ", "))
	}
	return name, err
}

// tend is a form of an incident's page.
func (s *Site) tend(deed string) form {
	return func(r *http.Request, v Viewer) (Deed, string, error) {
		no, err := strconv.ParseInt(r.PathValue("no"), 10, 64)
		if err != nil {
			return Deed{}, "", store.ErrNone
		}
		i, err := s.Source.Incident(r.Context(), v.Estates, no)
		if err != nil {
			return Deed{Subject: fmt.Sprint(no)}, "", err
		}
		d := Deed{At: report.Address{Estate: i.Estate}, Subject: fmt.Sprint(no)}
		now := time.Now()
		e := store.LogEntry{Incident: no, At: now, Who: v.Name, Deed: deed}
		var care store.Care
		var into int64
		if e.Said, err = said(r, "said", maxSaid); err != nil {
			return d, "", err
		}
		switch deed {
		case store.DeedAcknowledge:
			care = store.Care{Owner: v.Name, Acknowledged: now}
		case store.DeedAssign:
			if care.Owner, err = s.owner(r, v, i); err != nil {
				return d, "", err
			}
			e.Said = care.Owner
		case store.DeedMute:
			k := slices.IndexFunc(mutes, func(m struct {
				ID   string
				Long time.Duration
			}) bool {
				return m.ID == r.PostFormValue("long")
			})
			if k < 0 {
				return d, "", refuse("long：须为 1h、8h、24h 或 7d", "long: want 1h 8h 24h or 7d")
			}
			care.Muted = now.Add(mutes[k].Long)
			e.Said = strings.TrimSpace(mutes[k].ID + " " + e.Said)
		case store.DeedMerge:
			if into, err = strconv.ParseInt(r.PostFormValue("into"), 10, 64); err != nil {
				return d, "", refuse("into：须为同一机构另一未结束事件的编号",
					"into: want the number of another open incident of the same estate")
			}
			e.Said = fmt.Sprint(into)
		case store.DeedNote:
			if e.Said == "" {
				return d, "", refuse("said：请先填写备注", "said: write the note first")
			}
		}
		d.Detail = e.Said
		if err := s.Source.Tend(r.Context(), v.Estates, e, care, into); err != nil {
			return d, "", err
		}
		s.Hub.Changed()
		return d, "/incident/" + fmt.Sprint(no) + "#log", nil
	}
}
