package incident

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(n int) report.Address { return report.Address{Estate: "shop", Terminal: fmt.Sprint("t", n)} }

// A fleet is n terminals that share acquirers, carriers, sites, models and applications in ways that cross.
type fleet struct {
	Look
	members map[string]Member
	list    []store.Incident
}

func fleetOf(n int) *fleet {
	f := &fleet{Look: Look{Now: t0, Estate: "shop", Places: map[string]Place{}, Season: new(Season)},
		members: map[string]Member{}}
	for i := range n {
		t := at(i).Terminal
		f.Places[t] = Place{
			"acquirer": fmt.Sprint("bank-", i%4), "carrier": []string{"中国移动", "中国联通", "中国电信"}[i/3%3], "site": fmt.Sprint("site-", i/6),
			"region": fmt.Sprint("region-", i/60), "model": fmt.Sprint("M", i/2%3), "application": fmt.Sprint("1.", i/5%3), "scheme": "unionpay",
		}
		f.members[t] = Member{Online: true}
	}
	return f
}

// learned is a base rate of so many days, each hour of which so many terminals in a thousand reported a cause.
func (f *fleet) learned(days int, rates map[string]float64) *fleet {
	h0 := hourOf(f.Now)
	for _, p := range f.Places {
		for d, v := range p {
			f.Season.Add(store.SeasonRow{Estate: "shop", Dim: d, Value: v, Hour: h0 - 24, Terminals: float64(24 * days)})
			for cause, per := range rates {
				f.Season.Add(store.SeasonRow{Estate: "shop", Cause: cause, Dim: d, Value: v, Hour: h0 - 24,
					Terminals: per * float64(24*days) / 1000})
			}
		}
	}
	for h := h0 - int64(24*days); h < h0; h++ {
		f.Season.Add(store.SeasonRow{Estate: "shop", Hour: h, Active: float64(len(f.Places))})
		for cause, per := range rates {
			f.Season.Add(store.SeasonRow{Estate: "shop", Cause: cause, Hour: h, Terminals: per * float64(len(f.Places)) / 1000})
		}
	}
	return f
}

// sees adds that the first part, in a hundred, of the terminals for which in holds report a code.
func (f *fleet) sees(part int, code, cause, segment string, in func(p Place) bool) *fleet {
	n := 0
	for i := range len(f.Places) {
		if in(f.Places[at(i).Terminal]) {
			if n*7%100 < part {
				f.Recent = append(f.Recent, store.Sighting{At: at(i), Received: f.Now, Scheme: "unionpay", Code: code, Cause: cause,
					Segment: segment})
			}
			n++
		}
	}
	return f
}

func has(want ...string) func(Place) bool {
	return func(p Place) bool {
		for _, w := range want {
			d, v, _ := strings.Cut(w, "=")
			if p[d] != v {
				return false
			}
		}
		return true
	}
}

func all(Place) bool { return true }

func TestDetectNamesTheRightPlace(t *testing.T) {
	usual := map[string]float64{"host.malfunction": 1, "wan.outage": 1, "reader.dirty": 1, "terminal.config": 1, "account.funds": 300, SegmentSilence: 2}
	for _, c := range []struct {
		name string
		look *fleet
		want []string // kind cause place
	}{
		{"quiet", fleetOf(600).learned(14, usual), nil},
		{"a usual hour", fleetOf(600).learned(14, usual).sees(8, "51", "account.funds", "issuer", all), nil},
		{"two prove little", fleetOf(600).learned(14, usual).sees(8, "96", "host.malfunction", "acquirer", has("site=site-3")), nil},
		{"a storm at one acquirer", fleetOf(600).learned(14, usual).sees(40, "96", "host.malfunction", "acquirer", has("acquirer=bank-2")), []string{"surge host.malfunction acquirer=bank-2"}},
		{"one carrier of several, by its Chinese name", fleetOf(600).learned(14, usual).sees(30, "newpos:E5", "wan.outage", "wan", has("carrier=中国联通")), []string{"surge wan.outage carrier=中国联通"}},
		{"a bad application on one model, across all acquirers", fleetOf(600).learned(14, usual).sees(60, "97", "terminal.config", "terminal", has("model=M1", "application=1.2")), []string{"surge terminal.config application=1.2 model=M1"}},
		{"a site", fleetOf(600).learned(14, usual).sees(100, "E1", "reader.dirty", "reader", has("site=site-7")), []string{"surge reader.dirty site=site-7"}},
		{"everywhere: outside of what is recorded", fleetOf(600).learned(14, usual).sees(60, "E1", "reader.dirty", "reader", all), []string{"surge reader.dirty "}},
		{"everywhere: the code table that all share", fleetOf(600).learned(14, usual).sees(60, "96", "host.malfunction", "acquirer", all), []string{"surge host.malfunction scheme=unionpay"}},
		{"two at once", fleetOf(600).learned(14, usual).sees(50, "96", "host.malfunction", "acquirer", has("acquirer=bank-0")).sees(50, "newpos:E5", "wan.outage", "wan", has("carrier=中国移动")),
			[]string{"surge wan.outage carrier=中国移动", "surge host.malfunction acquirer=bank-0"}},
		{"one cause at two acquirers", fleetOf(600).learned(14, usual).sees(60, "96", "host.malfunction", "acquirer", has("acquirer=bank-0")).sees(60, "96", "host.malfunction", "acquirer", has("acquirer=bank-3")),
			[]string{"surge host.malfunction acquirer=bank-0", "surge host.malfunction acquirer=bank-3"}},
		{"a carrier falls silent", fleetOf(600).learned(14, usual).sees(100, "", SegmentSilence, SegmentSilence, has("carrier=中国电信")), []string{"silence unexplained carrier=中国电信"}},
		{"a site falls silent", fleetOf(600).learned(14, usual).sees(100, "", SegmentSilence, SegmentSilence, has("site=site-9")), []string{"silence unexplained site=site-9"}},
		{"a shop closes on the first day", fleetOf(600).learned(1, nil).sees(100, "", SegmentSilence, SegmentSilence, has("site=site-9")), nil},
		{"a carrier falls silent on the first day", fleetOf(600).learned(1, nil).sees(100, "", SegmentSilence, SegmentSilence, has("carrier=中国电信")), []string{"silence unexplained carrier=中国电信"}},
		{"empty accounts at lunch, before the season is known", fleetOf(600).learned(1, nil).sees(30, "51", "account.funds", "issuer", all), nil},
		{"empty accounts out of their season", fleetOf(600).learned(14, usual).sees(100, "51", "account.funds", "issuer", has("acquirer=bank-1")), []string{"surge account.funds acquirer=bank-1"}},
		{"no history yet, all of a small fleet", fleetOf(12).sees(100, "96", "host.malfunction", "acquirer", all), []string{"surge host.malfunction scheme=unionpay"}},
		{"no history yet, a few of a large one", fleetOf(600).sees(1, "96", "host.malfunction", "acquirer", all), nil},
		{"success is no incident", fleetOf(600).sees(80, "00", "none", "-", all), nil},
		{"one terminal a thousand times", func() *fleet {
			f := fleetOf(600).learned(14, usual)
			for range 1000 {
				f.Recent = append(f.Recent, store.Sighting{At: at(3), Received: t0, Code: "96", Cause: "host.malfunction", Segment: "acquirer"})
			}
			return f
		}(), nil},
		{"another estate's", func() *fleet {
			f := fleetOf(600).sees(80, "96", "host.malfunction", "acquirer", all)
			for i := range f.Recent {
				f.Recent[i].At.Estate = "other"
			}
			return f
		}(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range Detect(c.look.Look) {
				got = append(got, fmt.Sprintf("%s %s %s", f.Kind, f.Cause, f.Place))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// On its first day a large fleet has known quiet hours only, in which nobody sells and nothing fails: what a few of
// many report in the first busy one is no incident, and it is not learned as one for days.
func TestQuietHoursSayNothingOfOnesThatWereNeverSeen(t *testing.T) {
	first := func() *fleet {
		f := fleetOf(3000)
		for h := hourOf(f.Now) - 9; h < hourOf(f.Now); h++ {
			f.Season.Add(store.SeasonRow{Estate: "shop", Hour: h, Active: float64(len(f.Places))})
		}
		f.Now = f.Now.Add(30 * time.Minute)
		return f
	}
	everywhere := func(n int) *fleet {
		f := first()
		for i := range n {
			f.Recent = append(f.Recent, store.Sighting{At: at(i * 3000 / n), Received: f.Now, Code: "E5",
				Cause: "modem.signal-weak", Segment: "modem"})
		}
		return f
	}
	for _, n := range []int{3, 6, 12} {
		if got := Detect(everywhere(n).Look); len(got) != 0 {
			t.Errorf("%d of 3000: %+v", n, got)
		}
	}
	got := Detect(first().sees(30, "96", "host.malfunction", "acquirer", has("acquirer=bank-2")).Look)
	if len(got) != 1 || got[0].Place.String() != "acquirer=bank-2" {
		t.Errorf("a storm on the first day: %+v", got)
	}
}

// A shop that closes at its hour every day, or every week, is not silent; at another hour it is, and so is one that
// never closed.
func TestAShopThatClosesIsNotSilent(t *testing.T) {
	in := has("site=site-9")
	for _, c := range []struct {
		name string
		days []int // before today, on which the site fell silent at about this hour
		hour int   // after it
		want int
	}{
		{"never before", nil, 0, 1},
		{"every day at this hour", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, 0, 0},
		{"every day an hour before", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, 1, 0},
		{"every day at another hour", []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, 5, 1},
		{"every week", []int{7, 14}, 0, 0},
		{"an outage a week ago", []int{7}, 0, 1},
		{"two outages", []int{3, 5}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fleetOf(600).learned(14, map[string]float64{SegmentSilence: 2})
			for _, d := range c.days {
				then := f.Now.Add(-time.Duration(24*d) * time.Hour)
				var list []store.Sighting
				for i := range 600 {
					if in(f.Places[at(i).Terminal]) {
						list = append(list, store.Sighting{At: at(i), Received: then, Cause: SegmentSilence,
							Segment: SegmentSilence})
					}
				}
				for _, r := range f.Season.Close("shop", hourOf(then), list, f.Places, func(string) bool { return false }) {
					if r.Dim == dimEnds {
						f.Season.Add(r)
					}
				}
			}
			f.Now = f.Now.Add(time.Duration(c.hour) * time.Hour)
			if got := Detect(f.sees(100, "", SegmentSilence, SegmentSilence, in).Look); len(got) != c.want {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}

// An incident's hour adds little to the base rate, and all of it to the course: what is kept from the one is in rows of
// its own, which the base rate does not read.
func TestAnIncidentIsWholeInTheCourse(t *testing.T) {
	const cause = "host.malfunction"
	f := fleetOf(600).learned(14, map[string]float64{cause: 2})
	var list []store.Sighting
	for i := range 412 {
		list = append(list, store.Sighting{At: at(i), Received: t0, Cause: cause, Segment: "acquirer"})
	}
	hour := hourOf(t0)
	rows := f.Season.Close("shop", hour, list, f.Places, func(c string) bool { return c == cause })
	by := map[string]float64{}
	with, without := new(Season), new(Season)
	for _, r := range rows {
		if r.Cause == cause {
			by[r.Dim] += r.Terminals
		}
		if with.Add(r); r.Dim != store.DimBeyond {
			without.Add(r)
		}
	}
	if by[""] > 20 || math.Abs(by[""]+by[store.DimBeyond]-412) > 1e-9 {
		t.Errorf("the base rate gets %v, the course %v besides, of 412", by[""], by[store.DimBeyond])
	}
	if a, b := with.Rate("shop", cause, hour), without.Rate("shop", cause, hour); a != b || !reflect.DeepEqual(with, without) {
		t.Errorf("the rows of the course move the base rate: %v, without them %v", a, b)
	}
}

// What closes by habit is not learned as an outage: the site that goes dark at noon is as strange as any other.
func TestClosingIsNotLearnedAsSilence(t *testing.T) {
	f := fleetOf(600).learned(4, nil)
	var list []store.Sighting
	for i := range 600 {
		if f.Places[at(i).Terminal]["site"] == "site-9" {
			list = append(list, store.Sighting{At: at(i), Received: t0, Cause: SegmentSilence, Segment: SegmentSilence})
		}
	}
	silences := func() (n float64) {
		for _, r := range f.Season.Close("shop", hourOf(t0), list, f.Places, func(string) bool { return false }) {
			if r.Cause == SegmentSilence && r.Dim == "" {
				n += r.Terminals
			}
		}
		return n
	}
	if n := silences(); n != 6 {
		t.Errorf("%v silences of a site of 6 before a habit is known", n)
	}
	for d := range 4 {
		f.Season.Add(store.SeasonRow{Estate: "shop", Cause: SegmentSilence, Dim: dimEnds, Value: "site-9",
			Hour: hourOf(t0) - int64(24*(d+1)), Terminals: 6})
	}
	if n := silences(); n != 0 {
		t.Errorf("%v silences of a site that closes", n)
	}
}

// A slow rise is seen over days, though no quarter of an hour stands out.
func TestSlowRise(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"reader.dirty": 0.3})
	for i := range 6 {
		f.Slow = append(f.Slow, store.Sighting{At: at(6*7 + i), Received: t0.Add(-time.Duration(5*i) * time.Hour), Code: "E1",
			Cause: "reader.dirty", Segment: "reader"})
	}
	got := Detect(f.Look)
	if len(got) != 1 || got[0].Kind != KindSlow || got[0].Place.String() != "site=site-7" {
		t.Fatalf("%+v", got)
	}
}

// What comes at the same hours of several days says so; what comes all day, or on one day only, does not.
func TestTheHoursOfASlowRise(t *testing.T) {
	for _, c := range []struct {
		name string
		ago  []time.Duration // of the reports of each terminal
		want []int
	}{
		{"two nights", []time.Duration{10 * time.Hour, 34 * time.Hour}, []int{2}},
		{"around the hour", []time.Duration{10 * time.Hour, 33*time.Hour + 50*time.Minute}, []int{2}},
		{"two hours of two nights", []time.Duration{10 * time.Hour, 35 * time.Hour}, []int{1, 2}},
		{"one night", []time.Duration{10 * time.Hour}, nil},
		{"all day", []time.Duration{4 * time.Hour, 10 * time.Hour, 16 * time.Hour, 34 * time.Hour}, nil},
	} {
		f := fleetOf(600).learned(14, map[string]float64{"host.malfunction": 0.3})
		for i := range 6 {
			for _, ago := range c.ago {
				f.Slow = append(f.Slow, store.Sighting{At: at(6*7 + i), Received: t0.Add(-ago), Code: "96",
					Cause: "host.malfunction", Segment: "acquirer"})
			}
		}
		if got := Detect(f.Look); len(got) != 1 || !slices.Equal(got[0].Hours, c.want) {
			t.Errorf("%s: %+v, want the hours %v", c.name, got, c.want)
		}
	}
}

// What a place always reports is its season, not an incident.
func TestAPlacesOwnSeason(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"modem.signal-weak": 2})
	f.sees(22, "E5", "modem.signal-weak", "modem", has("site=site-7"))
	if got := Detect(f.Look); len(got) != 1 || got[0].Place.String() != "site=site-7" {
		t.Errorf("four of six that never were so: %+v", got)
	}
	for range 14 * 24 {
		f.Season.Add(store.SeasonRow{Estate: "shop", Cause: "modem.signal-weak", Dim: "site", Value: "site-7", Hour: hourOf(t0), Terminals: 4.8})
	}
	if got := Detect(f.Look); len(got) != 0 {
		t.Errorf("four of six that always are so: %+v", got)
	}
}

func (f *fleet) follow(after time.Duration, sees ...func(*fleet)) *fleet {
	f.Now = f.Now.Add(after)
	f.Recent = nil
	for _, s := range sees {
		s(f)
	}
	for _, i := range Follow(f.Look, Detect(f.Look), f.list, f.members) {
		if i.No == 0 {
			i.No = int64(len(f.list) + 1)
			f.list = append(f.list, i)
			continue
		}
		for k := range f.list {
			if f.list[k].No == i.No {
				f.list[k] = i
			}
		}
	}
	return f
}

func sees(part int, code, cause, segment string, in func(Place) bool) func(*fleet) {
	return func(f *fleet) { f.sees(part, code, cause, segment, in) }
}

func TestIncidentsLastEndWithProofAndComeBack(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"host.malfunction": 1})
	storm := sees(40, "96", "host.malfunction", "acquirer", has("acquirer=bank-2"))
	f.follow(0, storm).follow(time.Minute, sees(20, "96", "host.malfunction", "acquirer", has("acquirer=bank-2")))
	if i := f.list[0]; len(f.list) != 1 || i.No != 1 || i.Terminals >= i.Peak || !i.Opened.Equal(t0) ||
		!i.Closed.IsZero() || i.Code != "96" || i.Scope != "acquirer" || i.Key != "bank-2" || i.Of != 150 {
		t.Fatalf("goes on: %+v", f.list)
	}
	f.follow(20 * time.Minute)
	if i := f.list[0]; !i.Closed.IsZero() || i.Quiet.IsZero() {
		t.Fatalf("quiet is not over: %+v", i)
	}
	if a := Advisories(f.list); len(a) != 0 {
		t.Errorf("a quiet incident still advises: %v", a)
	}
	for i := range 600 {
		if f.Places[at(i).Terminal]["acquirer"] == "bank-1" {
			f.members[at(i).Terminal] = Member{Online: true, GoodAt: f.Now}
		}
	}
	if f.follow(time.Minute); !f.list[0].Closed.IsZero() {
		t.Fatal("good sales elsewhere prove nothing")
	}
	for i := range 600 {
		f.members[at(i).Terminal] = Member{Online: true, GoodAt: f.Now}
	}
	if f.follow(time.Minute); f.list[0].Closed.IsZero() || f.list[0].Proof != "sales" {
		t.Fatalf("good sales prove it: %+v", f.list[0])
	}
	if f.follow(time.Hour, storm); len(f.list) != 1 || !f.list[0].Closed.IsZero() || f.list[0].Reopened != 1 {
		t.Fatalf("comes back: %+v", f.list)
	}
	f.follow(20 * time.Minute)
	if f.follow(unproven + time.Minute); f.list[0].Closed.IsZero() || f.list[0].Proof != "none" {
		t.Fatalf("ends without proof: %+v", f.list[0])
	}
	if f.follow(2*reopens, storm); len(f.list) != 2 {
		t.Fatalf("days later it is another: %+v", f.list)
	}
}

func TestFourAcquirersAreOneApplication(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"terminal.config": 1})
	bad := has("model=M1", "application=1.2")
	f.follow(0, sees(60, "97", "terminal.config", "terminal", func(p Place) bool { return bad(p) && p["acquirer"] == "bank-1" }))
	if len(f.list) != 1 {
		t.Fatalf("%+v", f.list)
	}
	f.follow(time.Minute, sees(60, "97", "terminal.config", "terminal", bad))
	open := slices.DeleteFunc(slices.Clone(f.list), func(i store.Incident) bool { return !i.Closed.IsZero() })
	if len(open) != 1 || Place(open[0].Place).String() != "application=1.2 model=M1" || !open[0].Opened.Equal(t0) {
		t.Errorf("%+v", f.list)
	}
}

// What the terminals of one outage call it differs; it is one incident.
func TestOneOutageHasOneIncident(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"wan.outage": 1, "modem.denied": 1, SegmentSilence: 2})
	in := has("carrier=中国联通")
	f.follow(0, sees(100, "", SegmentSilence, SegmentSilence, in))
	if len(f.list) != 1 || f.list[0].Cause != report.Unexplained || f.list[0].Kind != KindSilence {
		t.Fatalf("%+v", f.list)
	}
	for i := range 600 {
		f.members[at(i).Terminal] = Member{Online: !in(f.Places[at(i).Terminal])}
	}
	f.follow(time.Minute, sees(30, "E5", "wan.outage", "wan", in), sees(20, "E6", "modem.denied", "modem", in))
	if len(f.list) != 1 || f.list[0].Cause != "wan.outage" || !slices.Equal(f.list[0].Also, []string{"modem.denied"}) {
		t.Fatalf("%+v", f.list)
	}
	for i := range 600 {
		f.members[at(i).Terminal] = Member{Online: true}
	}
	if f.follow(20 * time.Minute); f.list[0].Closed.IsZero() || f.list[0].Proof != "sessions" {
		t.Errorf("all are back: %+v", f.list[0])
	}
}

func TestAdvisories(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"wan.outage": 1, "terminal.config": 1})
	f.follow(0, sees(60, "E5", "wan.outage", "wan", has("carrier=中国移动")), sees(60, "E5", "wan.outage", "wan", has("carrier=中国联通")), sees(60, "97", "terminal.config", "terminal", has("model=M1", "application=1.2")))
	a := Advisories(f.list)
	for topic, place := range map[string]string{
		"pos/v1/shop/advisory/carrier/%E4%B8%AD%E5%9B%BD%E7%A7%BB%E5%8A%A8": "carrier=中国移动",
		"pos/v1/shop/advisory/carrier/%E4%B8%AD%E5%9B%BD%E8%81%94%E9%80%9A": "carrier=中国联通",
		"pos/v1/shop/advisory/model/application%3D1.2%26model%3DM1":         "application=1.2 model=M1",
	} {
		got, ok := a[topic]
		if !ok || Place(got.Place).String() != place || got.Terminals == 0 || got.SharePct == 0 || !got.Since.Equal(t0) {
			t.Errorf("%s: %+v", topic, got)
		}
	}
	if len(a) != 3 {
		t.Errorf("%v", a)
	}
	// Terminals that sell nothing explain no code, until one of them can still name a cause.
	idle := store.Incident{Estate: "shop", Cause: report.Unexplained, Terminals: 6, Of: 6,
		Detail: store.Detail{Kind: KindIdle, Place: Place{"site": "site-1"}}}
	if a := Advisories([]store.Incident{idle}); len(a) != 0 {
		t.Errorf("%v", a)
	}
	idle.Cause, idle.Segment, idle.Code = "host.malfunction", "acquirer", "96"
	if a := Advisories([]store.Incident{idle}); len(a) != 1 {
		t.Errorf("a cause is known: %v", a)
	}
}

// As an outage ends, the few that still tell of it must not rename it; and what it left behind is no slow rise.
func TestThePlaceIsThatOfMostWitnesses(t *testing.T) {
	f := fleetOf(600).learned(14, map[string]float64{"wan.outage": 0.3})
	f.follow(0, sees(60, "E5", "wan.outage", "wan", has("carrier=中国联通")))
	f.follow(time.Minute, sees(100, "E5", "wan.outage", "wan", has("carrier=中国联通", "model=M1", "application=1.2")))
	if len(f.list) != 1 || Place(f.list[0].Place).String() != "carrier=中国联通" {
		t.Fatalf("%+v", f.list)
	}
	for i := range 600 {
		f.members[at(i).Terminal] = Member{Online: true, GoodAt: f.Now.Add(time.Hour)}
	}
	f.follow(time.Hour)
	if f.list[0].Closed.IsZero() {
		t.Fatalf("%+v", f.list)
	}
	f.sees(60, "E5", "wan.outage", "wan", has("carrier=中国联通"))
	f.Slow = f.Recent
	if f.follow(time.Hour); len(f.list) != 1 {
		t.Errorf("a slow rise of what was an outage: %+v", f.list)
	}
}
