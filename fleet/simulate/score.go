package simulate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/incident"
	"posdx/fleet/store"
)

// A Shelf is a store in memory, with as much as is needed to look for incidents.
type Shelf struct {
	w         *World
	sightings []store.Sighting // ascending
	late      []lately
	good      []time.Time
	failed    []time.Time
	rows      []store.SeasonRow // of the base rate
	sales     map[int64]float64
	incidents []store.Incident
}

// lately is a report that waited at its terminal.
type lately struct {
	store.Sighting
	came time.Time
}

// NewShelf makes the store of a fleet.
func NewShelf(w *World) *Shelf {
	return &Shelf{w: w, good: make([]time.Time, len(w.Terminals)),
		failed: make([]time.Time, len(w.Terminals)), sales: map[int64]float64{}}
}

// Step simulates a minute and keeps what was reported in it.
func (s *Shelf) Step() {
	from := len(s.sightings)
	s.w.Step(func(e Event) {
		switch {
		case e.Cause != "":
			v := store.Sighting{At: report.Address{Estate: Estate, Terminal: s.w.Terminals[e.Terminal].Name}, Received: e.At,
				Scheme: "unionpay", Code: e.Code, Entry: e.Entry, CardScheme: e.CardScheme, Cause: e.Cause, Segment: e.Segment}
			if e.Late {
				s.late = append(s.late, lately{v, s.w.Now})
			} else {
				s.sightings = append(s.sightings, v)
				s.failed[e.Terminal] = e.At
			}
		case e.Tally:
			s.sales[e.At.Unix()/3600-1] += float64(e.Approved + e.Failed)
			if e.Approved > 0 {
				s.good[e.Terminal] = e.At
			}
		}
	})
	slices.SortFunc(s.sightings[from:], func(a, b store.Sighting) int { return a.Received.Compare(b.Received) })
	if old := s.since(s.w.Now.Add(-2 * incident.SlowWindow)); old > 1<<16 {
		s.sightings = slices.Clone(s.sightings[old:])
	}
}

func (s *Shelf) since(when time.Time) int {
	i, _ := slices.BinarySearchFunc(s.sightings, when,
		func(v store.Sighting, t time.Time) int { return v.Received.Compare(t) })
	return i
}

// Sightings is the store's.
func (s *Shelf) Sightings(_ context.Context, since time.Time) ([]store.Sighting, error) {
	return slices.Clone(s.sightings[s.since(since):]), nil
}

// Backlog is the store's.
func (s *Shelf) Backlog(_ context.Context, after int64, _, until time.Time, limit int) ([]store.Sighting, int64,
	error) {
	var list []store.Sighting
	for after = max(after, 0); int(after) < len(s.late) && !s.late[after].came.After(until) && len(list) < limit; after++ {
		list = append(list, s.late[after].Sighting)
	}
	return list, after, nil
}

// Standings is the store's.
func (s *Shelf) Standings(context.Context, time.Time) ([]store.Standing, error) {
	list := make([]store.Standing, len(s.w.Terminals))
	for i := range list {
		list[i] = s.w.Standing(i)
		list[i].GoodAt, list[i].FailedAt = s.good[i], s.failed[i]
	}
	return list, nil
}

// Births is the store's.
func (s *Shelf) Births(_ context.Context, since time.Time, each func(report.Address, time.Time, report.Birth)) error {
	if since.IsZero() {
		for _, t := range s.w.Terminals {
			each(report.Address{Estate: Estate, Terminal: t.Name}, s.w.Now,
				report.Birth{Labels: t.Labels, Agent: report.Agent{Version: "1.0"}})
		}
	}
	return nil
}

// Seasons is the store's.
func (s *Shelf) Seasons(_ context.Context, _ time.Time, each func(store.SeasonRow)) error {
	for _, r := range s.rows {
		each(r)
	}
	return nil
}

// AddSeason is the store's.
func (s *Shelf) AddSeason(_ context.Context, rows []store.SeasonRow) error {
	s.rows = append(s.rows, rows...)
	return nil
}

// Sales is the store's.
func (s *Shelf) Sales(context.Context, time.Time) (map[string]map[int64]float64, error) {
	return map[string]map[int64]float64{Estate: s.sales}, nil
}

// Incidents is the store's.
func (s *Shelf) Incidents(context.Context, int) ([]store.Incident, error) {
	return slices.Clone(s.incidents), nil
}

// SaveIncident is the store's.
func (s *Shelf) SaveIncident(_ context.Context, i *store.Incident) error {
	if i.No == 0 {
		i.No = int64(len(s.incidents) + 1)
		s.incidents = append(s.incidents, *i)
		return nil
	}
	s.incidents[i.No-1] = *i
	return nil
}

// All are the incidents found so far.
func (s *Shelf) All() []store.Incident { return slices.Clone(s.incidents) }

// Live simulates some time and looks for incidents again and again.
func (s *Shelf) Live(ctx context.Context, w *incident.Watch, d, every time.Duration) error {
	next := s.w.Now
	for end := s.w.Now.Add(d); s.w.Now.Before(end); {
		s.Step()
		if s.w.Now.Before(next) {
			continue
		}
		next = s.w.Now.Add(every)
		if err := w.Look(ctx, s.w.Now); err != nil {
			return err
		}
	}
	return nil
}

// Watcher looks at the shelf.
func (s *Shelf) Watcher() *incident.Watch {
	return &incident.Watch{Source: s, Publish: func(context.Context, string, []byte) error { return nil },
		Changed: func() {}, Log: slog.New(slog.DiscardHandler)}
}

// A Score is how many of the incidents that were made were found, and how well.
type Score struct {
	Truths, Found, Named int           // made to happen; found at all; named right, by place and by what failed there
	Late                 int           // found later than a minute after the third terminal told, and one look
	Slowest              time.Duration // from the third terminal to the incident, of the surges and silences
	False                int           // incidents that nothing was made for
	Lines                []codes.Text
}

// Judge compares the incidents that began since a moment with those that were made; every is the time between looks.
func (w *World) Judge(list []store.Incident, since time.Time, every time.Duration) Score {
	var s Score
	used := map[int64]bool{}
	for _, k := range w.Truths {
		s.Truths++
		var hit *store.Incident
		for i := range list {
			x := &list[i]
			if x.MergedIn != 0 || x.Opened.Before(k.From) || x.Opened.After(k.To.Add(incident.Window)) || !w.about(x, k) {
				continue
			}
			used[x.No] = true
			if hit == nil || named(x, k) && !named(hit, k) {
				hit = x
			}
		}
		name := NameOf(k.Name)
		line := codes.Text{ZH: fmt.Sprintf("%s %s %s", k.From.Format("01-02 15:04"), name.ZH, whole(k.Place, k.Only)),
			EN: fmt.Sprintf("%s %-40s %s", k.From.Format("Mon 15:04"), name.EN, whole(k.Place, k.Only))}
		if hit == nil {
			s.Lines = append(s.Lines, codes.Text{ZH: line.ZH + "：没有找到", EN: line.EN + ": not found"})
			continue
		}
		s.Found++
		after := hit.Opened.Sub(k.Third).Round(time.Second)
		if named(hit, k) {
			s.Named++
			line.ZH += "：找到"
			line.EN += ": found"
		} else {
			line.ZH += "：找到，却叫作 " + whole(hit.Place, hit.Only)
			line.EN += ": found as " + whole(hit.Place, hit.Only)
		}
		if k.Kind != "slow" && !k.Third.IsZero() {
			s.Slowest = max(s.Slowest, after)
			if after > every+time.Minute {
				s.Late++
			}
		}
		s.Lines = append(s.Lines, codes.Text{ZH: fmt.Sprintf("%s，第三台终端之后 %s，%[4]d 台中的 %[3]d 台", line.ZH, after, hit.Peak, hit.Of),
			EN: fmt.Sprintf("%s, %s after the third terminal, %d of %d terminals", line.EN, after, hit.Peak, hit.Of)})
	}
	for _, x := range list {
		if !used[x.No] && x.MergedIn == 0 && !x.Opened.Before(since) {
			s.False++
			place := whole(x.Place, x.Only)
			s.Lines = append(s.Lines, codes.Text{
				ZH: fmt.Sprintf("%s 误报：%s %s %s，%[6]d 台中的 %[5]d 台，预计 %.1[7]f 台",
					x.Opened.Format("01-02 15:04"), x.Kind, x.Cause, place, x.Peak, x.Of, x.Expected),
				EN: fmt.Sprintf("%s nothing: %s %s %s, %d of %d terminals, %.1f expected",
					x.Opened.Format("Mon 15:04"), x.Kind, x.Cause, place, x.Peak, x.Of, x.Expected)})
		}
	}
	return s
}

// named tells whether an incident says where a truth happens and what fails there: the code of what fails is the one
// that the incident shows, whether others than these reports rose or not.
func named(x *store.Incident, k *Truth) bool {
	said, meant := maps.Clone(x.Only), maps.Clone(k.Only)
	if code, ok := meant["code"]; ok && code != x.Code {
		return false
	}
	delete(said, "code")
	delete(meant, "code")
	return maps.Equal(x.Place, k.Place) && maps.Equal(said, meant)
}

// whole writes a place, and what fails there if it is not all.
func whole(place, only map[string]string) string {
	p := maps.Clone(only)
	if p == nil {
		p = map[string]string{}
	}
	maps.Copy(p, place)
	return incident.Place(p).String()
}

// about tells whether an incident is that of a truth: its cause, and at least half of its place's terminals in common.
func (w *World) about(x *store.Incident, k *Truth) bool {
	silent := incident.Mute(k.Kind)
	if x.Cause != k.Cause && !slices.Contains(x.Also, k.Cause) && (silent == "" || x.Kind != silent) {
		return false
	}
	both, all := 0, 0
	for i := range w.Terminals {
		if w.in(i, x.Place) {
			all++
			if k.members[i] {
				both++
			}
		}
	}
	return 2*both >= min(all, len(k.members))
}

// NameOf is what a truth is called, in both languages.
func NameOf(name string) codes.Text {
	for _, n := range names {
		if n.EN == name {
			return n
		}
	}
	return codes.Text{ZH: name, EN: name}
}

var names = []codes.Text{
	{ZH: "收单机构的故障潮", EN: "storm at an acquirer"},
	{ZH: "运营商部分中断", EN: "a carrier's partial outage"},
	{ZH: "运营商在一个地区部分中断", EN: "a carrier's partial outage in a region"},
	{ZH: "运营商在一个地区全部中断", EN: "a carrier's total outage in a region"},
	{ZH: "一种机型上的坏应用", EN: "a bad application on one model"},
	{ZH: "一个地区没了消息", EN: "a region falls silent"},
	{ZH: "一个门店全黑", EN: "a site goes dark"},
	{ZH: "一种固件失去承载", EN: "a firmware loses its bearer"},
	{ZH: "一个门店的读卡器变脏", EN: "readers at a site grow dirty"},
	{ZH: "一种卡在一家收单机构失败", EN: "one scheme's cards fail at an acquirer"},
	{ZH: "一种卡的非接触交易在一种固件上失败", EN: "contactless cards of one scheme fail on one firmware"},
	{ZH: "新应用的非接触交易失败", EN: "contactless fails with a new application"},
	{ZH: "芯片卡在一家收单机构失败", EN: "chip cards fail at an acquirer"},
	{ZH: "一种卡的非接触交易到处失败", EN: "one scheme's contactless cards fail everywhere"},
	{ZH: "刷磁条到处失败", EN: "swiped cards fail everywhere"},
	{ZH: "扫码在一家收单机构失败", EN: "codes fail at an acquirer"},
	{ZH: "一家收单机构的一种应答码", EN: "one code at an acquirer"},
	{ZH: "一种卡的芯片交易在一种应用上失败", EN: "one scheme's chip cards fail on one application"},
	{ZH: "一种卡在一个地区的一家收单机构失败", EN: "one scheme's cards fail at an acquirer in a region"},
	{ZH: "一种卡的非接触交易在一家收单机构的一种固件上失败", EN: "one scheme's contactless cards fail on one firmware at an acquirer"},
	{ZH: "一家收单机构的一种卡的一种应答码", EN: "one code of one scheme at an acquirer"},
}

// Print writes a score for people, in a language, "zh" or "en".
func (s Score) Print(w io.Writer, lang string) {
	for _, l := range s.Lines {
		fmt.Fprintln(w, l.In(lang))
	}
	format := codes.Text{ZH: "造了 %d 个，找到 %d 个，说对 %d 个，迟了 %d 个（最慢在第三台终端之后 %s），误报 %d 个\n",
		EN: "%d made, %d found, %d named right, %d late (slowest %s after the third terminal), %d false\n"}.In(lang)
	fmt.Fprintf(w, format, s.Truths, s.Found, s.Named, s.Late, s.Slowest, s.False)
}
