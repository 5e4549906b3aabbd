package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/sbom"
	"posdx/fleet/store"
)

// within are the horizons that the radar can be asked for, in days; 0 is what is over already.
var horizonDays = []int{0, 30, 60, 90}

func (s *Site) expiry(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "expiry")
	form, err := format(r)
	var from int
	if err == nil {
		from, err = skip(r)
	}
	v := struct {
		*page
		Counts  []store.DueCount
		Total   store.DueCount
		List    []store.Due
		Pager   pager
		Within  string
		Days    []int
		Places  []dim
		Kinds   []string
		Kind    string
		Moments []time.Time
	}{page: p, Within: cmp.Or(p.Param("within"), "90"), Days: horizonDays, Kind: p.Param("kind"), Moments: horizons(p.Now)}
	f := store.DueFilter{In: p.Viewer.Estates, Estate: p.Param("estate"), Kind: v.Kind, Place: placeOf(r.URL.Query()),
		Skip: from, Limit: pageRows}
	v.Places = p.Place(f.Place)
	switch days, bad := strconv.Atoi(v.Within); {
	case v.Within == "none":
		f.None = true
	case bad != nil || days < 0 || days > 3650:
		err = cmp.Or(err, refuse("within：须为天数，或不填", "within: want a number of days, or none"))
	default:
		f.Until = p.Now.AddDate(0, 0, days)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "expiry", form, []string{"due", "estate", "terminal", "site", "kind", "subject", "value", "seen"}, func(yield func(record, error) bool) {
			f.Limit = store.MaxRows
			for {
				list, err := s.Source.Dues(r.Context(), f)
				if err != nil {
					yield(record{}, err)
					return
				}
				for _, d := range list {
					if !yield(record{[]string{iso(d.At), d.Estate, d.Terminal, d.Site, d.Kind, d.Subject, num(d.Value), iso(d.Seen)},
						d}, nil) {
						return
					}
				}
				if len(list) < store.MaxRows {
					return
				}
				f.Skip += len(list)
			}
		})
		return
	}
	all := f
	all.Kind, all.Until, all.None = "", time.Time{}, false
	v.Counts, err = s.Source.CountDues(r.Context(), all, v.Moments)
	if err == nil {
		v.List, err = s.Source.Dues(r.Context(), f)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.Total.Within = make([]int, len(v.Moments))
	for _, c := range v.Counts {
		v.Kinds = append(v.Kinds, c.Kind)
		v.Total.None += c.None
		for i, n := range c.Within {
			v.Total.Within[i] += n
		}
	}
	next := ""
	if len(v.List) == f.Limit {
		next = strconv.Itoa(from + f.Limit)
	}
	v.Pager = p.pages("skip", next)
	s.render(w, r, http.StatusOK, "expiry", v)
}

// workPeriods are how far the list of visits can look back; a week if nothing is said: a fault that nobody saw for so
// long is another one when it comes.
var workPeriods = []period{{ID: "24h"}, {ID: "7d"}, {ID: "30d"}}

const workBack = "7d"

// workLeast is the least probability with which somebody is sent.
const workLeast = 0.5

// A visit is a site with what is to be done there.
type visit struct {
	Region, Estate, Site string
	Tasks                []store.Task
	Parts                []string // to bring
}

// work lists what a technician has to do, by site.
func (s *Site) work(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "work")
	form, err := format(r)
	want := cmp.Or(p.Param("visit"), "yes")
	when, bad := spanOf(p.query, p.Now)
	if err = cmp.Or(err, bad, known(p.query, "visit", "yes", "no", "all")); err != nil {
		s.fail(w, r, err)
		return
	}
	long := p.Param("range")
	if long == "" && when == (span{}) {
		long, when.From = workBack, p.Now.Add(-spans[workBack])
	}
	var causes []string
	for _, c := range s.Knowledge.Causes {
		if (c.Visit && want != "no" || !c.Visit && c.Act == "technician" && want != "yes") && c.ID != report.Unexplained {
			causes = append(causes, c.ID)
		}
	}
	f := placeOf(r.URL.Query())
	var list []store.Task
	if len(causes) > 0 {
		list, err = s.Source.Tasks(r.Context(), of(p.Viewer, p.Param("estate")), causes, f, when.From, when.To, workLeast)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" {
		s.export(w, r, "work", form, []string{"region", "estate", "site", "terminal", "cause", "probability", "visit", "bring", "first", "last", "diagnoses", "diagnosis"}, seq(list, func(t store.Task) []string {
			return []string{t.Region, t.Estate, t.Site, t.Terminal, t.Cause, num(t.P), fmt.Sprint(p.Visits(t.Cause)),
				parts[t.Cause].In(p.Lang), iso(t.First), iso(t.Last), fmt.Sprint(t.Times), t.ID}
		}))
		return
	}
	v := struct {
		*page
		List   []visit
		Pager  pager
		Places []dim
		Want   string
		N      int
		Sites  int
		Load   []fact // parts to bring, for all of them
		Capped bool

		Range   string
		Periods []period
	}{page: p, Want: want, N: len(list), Places: p.Place(f), Capped: len(list) == store.MaxTasks, Range: long,
		Periods: workPeriods}
	at := map[[3]string]int{}
	bring := map[string]int{}
	for _, t := range list {
		k := [3]string{t.Region, t.Estate, t.Site}
		if t.Site == "" {
			k[2] = "\x00" + t.Terminal // no site is no reason to go to several terminals at once
		}
		i, ok := at[k]
		if !ok {
			i = len(v.List)
			at[k] = i
			v.List = append(v.List, visit{Region: t.Region, Estate: t.Estate, Site: t.Site})
		}
		v.List[i].Tasks = append(v.List[i].Tasks, t)
		if part := parts[t.Cause].In(p.Lang); part != "" {
			bring[part]++
			if !slices.Contains(v.List[i].Parts, part) {
				v.List[i].Parts = append(v.List[i].Parts, part)
			}
		}
	}
	for part, n := range bring {
		v.Load = append(v.Load, fact{part, strconv.Itoa(n)})
	}
	slices.SortFunc(v.Load, func(a, b fact) int { return strings.Compare(a.Name, b.Name) })
	v.Sites = len(v.List)
	if v.List, v.Pager, err = cut(r, p, v.List); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "work", v)
}

// Bring is what to take along for a cause, empty if nothing.
func (p *page) Bring(cause string) string { return parts[cause].In(p.Lang) }

// parts are what a technician brings for a cause.
var parts = map[string]codes.Text{
	"terminal.keys":          {ZH: "密钥注入设备或母 POS", EN: "key loader"},
	"terminal.storage-fault": {ZH: "备用终端", EN: "spare terminal"},
	"terminal.power":         {ZH: "电源适配器、电池", EN: "power supply and battery"},
	"terminal.tamper":        {ZH: "备用终端（旧机封存带回）", EN: "spare terminal; bring the old one back sealed"},
	"reader.disconnected":    {ZH: "读卡器连接线、备用读卡器", EN: "reader cable and spare reader"},
	"reader.fault":           {ZH: "备用读卡器", EN: "spare reader"},
	"reader.line-noise":      {ZH: "屏蔽连接线", EN: "shielded cable"},
	"reader.dirty":           {ZH: "读卡器清洁卡", EN: "reader cleaning card"},
	"pinpad.fault":           {ZH: "备用密码键盘（已灌密钥）", EN: "spare PIN pad with keys"},
	"printer.fault":          {ZH: "打印纸、备用打印头", EN: "paper and a spare print head"},
	"modem.absent":           {ZH: "备用通信模块", EN: "spare modem"},
	"modem.sim":              {ZH: "备用 SIM 卡", EN: "spare SIM card"},
	"modem.signal-weak":      {ZH: "外置天线、另一家运营商的 SIM 卡", EN: "external antenna and another carrier's SIM card"},
	"modem.line":             {ZH: "电话线、线路测试仪", EN: "telephone cable and line tester"},
	"lan.noise":              {ZH: "网线、网线测试仪", EN: "network cable and cable tester"},
}

// versionDims are the dimensions of the page of versions, programs first.
var versionDims = []string{"agent", "application", "firmware", "model", "knowledge", "acquirer", "carrier", "bearer", "region", "site", "scheme"}

// versionPeriods are the times over which the page of versions says which terminals failed. What they run is of now.
var versionPeriods = []period{{ID: "1h"}, {ID: "24h"}, {ID: "7d"}, {ID: "30d"}}

// An affected is a version in which something was looked for and found.
type affected struct {
	sbom.Hit
	Values []store.Value // the terminals that run it
	Count  int
}

// affectedSheet lists the programs that something was found in, with the terminals that run them.
func affectedSheet(list []affected) *sheet {
	t := newSheet("program", "version", "weakness", "affects", "state", "part", "estate", "dimension", "terminals", "online")
	for _, a := range list {
		var id, affects, state, part any
		if a.Weakness != nil {
			id, affects, state = a.Weakness.ID, a.Weakness.Affects(), a.Weakness.State
			part = strings.Join(a.Weakness.Parts, ", ")
		}
		if a.Part != nil {
			part = a.Part.Name + " " + a.Part.Version
		}
		row := []any{a.Bill.Name, a.Bill.Version, id, affects, state, part}
		if len(a.Values) == 0 {
			t.add(append(row, nil, nil, 0, 0)...)
		}
		for _, v := range a.Values {
			t.add(append(row[:len(row):len(row)], v.Estate, v.Dim, v.Terminals, v.Online)...)
		}
	}
	return t
}

func (s *Site) versions(w http.ResponseWriter, r *http.Request) {
	p := s.page(r, "versions")
	form, err := format(r)
	v := struct {
		*page
		Dim   string
		Dims  []string
		List  []store.Value
		Pager pager
		N     int
		Bills int
		What  string
		Found []affected

		Capped  bool
		Range   string
		Periods []period
	}{page: p, Dim: cmp.Or(p.Param("dim"), "agent"), Dims: versionDims, Bills: len(s.Bills), What: strings.TrimSpace(p.Param("has"))}
	long, bad := periodOf(p, append([]period{{ID: "24h"}}, versionPeriods...)...)
	if err = cmp.Or(err, bad, known(p.query, "dim", versionDims...)); err != nil {
		s.fail(w, r, err)
		return
	}
	v.Range, v.Periods = long.ID, versionPeriods
	in, since := of(p.Viewer, p.Param("estate")), p.Now.Add(-spans[long.ID])
	v.List, err = s.Source.Values(r.Context(), in, v.Dim, p.Param("q"), since, 0)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if form != "" && v.What == "" {
		s.export(w, r, "versions", form, []string{"estate", "dimension", "value", "terminals", "online", "reporting_" + long.ID}, seq(v.List, func(x store.Value) []string {
			return []string{x.Estate, x.Dim, x.Value, fmt.Sprint(x.Terminals), fmt.Sprint(x.Online), fmt.Sprint(x.Reporting)}
		}))
		return
	}
	for _, h := range sbom.Find(s.Bills, v.What) {
		a := affected{Hit: h}
		for _, d := range []string{"agent", "application", "firmware"} {
			if (d == "agent") != (strings.EqualFold(h.Bill.Name, "posdx")) {
				continue
			}
			values, err := s.Source.Values(r.Context(), in, d, h.Bill.Version, since, 0)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			for _, x := range values {
				if x.Value == h.Bill.Version {
					a.Values, a.Count = append(a.Values, x), a.Count+x.Terminals
				}
			}
		}
		v.Found = append(v.Found, a)
	}
	if form != "" {
		s.file(w, r, "affected", form, affectedSheet(v.Found))
		return
	}
	v.N = len(v.List)
	v.Capped = v.N == store.MaxValues
	if v.List, v.Pager, err = cut(r, p, v.List); err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "versions", v)
}
