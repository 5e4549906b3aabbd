package incident

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"posdx/fleet/store"
)

// A daily fleet has a cause that is reported every day: nearly always with one code, of one scheme's cards, and read in
// one way.
type daily struct {
	*fleet
	usual []store.Sighting // reports of an ordinary quarter of an hour
}

func everyDay() daily {
	f := daily{fleet: fleetOf(400).learned(14, map[string]float64{"issuer.declined": 300})}
	for value, n := range map[string]float64{"chip": 38_000, "contactless": 2000, "unionpay": 38_000, "visa": 2000,
		"05": 38_000, "1A": 2000} {
		dim := map[string]string{"chip": "entry", "contactless": "entry", "unionpay": "card_scheme",
			"visa": "card_scheme", "05": "code", "1A": "code"}[value]
		f.Season.Add(store.SeasonRow{Estate: "shop", Cause: "issuer.declined", Dim: dim, Value: value,
			Hour: hourOf(f.Now) - 24, Terminals: n})
	}
	for i := 0; i < 400; i += 13 {
		f.usual = append(f.usual, f.report(i))
	}
	return f
}

func (f daily) report(n int) store.Sighting {
	return store.Sighting{At: at(n), Received: f.Now, Code: "05", Entry: "chip", CardScheme: "unionpay",
		Cause: "issuer.declined", Segment: "issuer"}
}

// rise adds reports of twelve terminals at bank-1.
func (f daily) rise(mark func(v *store.Sighting)) {
	for _, k := range []int{3, 7, 12, 17, 24, 31, 38, 46, 55, 63, 72, 88} {
		v := f.report(4*k + 1)
		mark(&v)
		f.Recent = append(f.Recent, v)
	}
}

// sellsAgain is what becomes of incidents half an hour later, on an ordinary day.
func (f daily) sellsAgain(list []store.Incident) []store.Incident {
	list[0].No = 1
	f.Now = f.Now.Add(2 * Window)
	f.Recent = nil
	for _, v := range f.usual {
		v.Received = f.Now
		f.Recent = append(f.Recent, v)
	}
	for i := range 400 {
		f.members[at(i).Terminal] = Member{Online: true, GoodAt: f.Now}
	}
	return Follow(f.Look, Detect(f.Look), list, f.members)
}

// One way of reading the card, the cards of one scheme, or one code fail at one acquirer, while nine times as many
// reports of the same cause come as every day: in all of them together it drowns.
func TestWhatRisesAmongReportsOfOneKindIsFound(t *testing.T) {
	kinds := map[string]func(v *store.Sighting){
		"entry":       func(v *store.Sighting) { v.Entry = "contactless" },
		"card_scheme": func(v *store.Sighting) { v.CardScheme = "visa" },
		"code":        func(v *store.Sighting) { v.Code = "1A" },
	}
	for name, mark := range kinds {
		t.Run(name, func(t *testing.T) {
			f := everyDay()
			f.Recent = append(f.Recent, f.usual...)
			if found := Detect(f.Look); len(found) != 0 {
				t.Fatalf("on an ordinary day: %+v", found)
			}
			f.rise(mark)
			found := Detect(f.Look)
			value := map[string]string{"entry": "contactless", "card_scheme": "visa", "code": "1A"}[name]
			if len(found) != 1 || !maps.Equal(found[0].Place, Place{"acquirer": "bank-1"}) ||
				!maps.Equal(found[0].Only, map[string]string{name: value}) {
				t.Fatalf("found %+v, want that %s %s rose at bank-1", found, name, value)
			}
			if name == "card_scheme" && found[0].Card != "visa" || name == "entry" && found[0].Entry != "contactless" {
				t.Errorf("what its reports have in common: %+v", found[0])
			}
			list := Follow(f.Look, found, nil, f.members)
			if len(list) != 1 || list[0].Terminals != 12 || list[0].Only[name] != value {
				t.Fatalf("%+v", list)
			}
			for _, a := range Advisories(list) {
				if a.Entry != list[0].Only["entry"] || a.CardScheme != list[0].Only["card_scheme"] {
					t.Errorf("terminals are told %+v", a)
				}
			}
			// It is over when these are, though the others go on.
			if list = f.sellsAgain(list); len(list) != 1 || list[0].Proof != "sales" {
				t.Errorf("it goes on: %+v", list)
			}
		})
	}
}

// What rose is named by all that it has in common beyond the everyday, and stays that when another report comes.
func TestARiseStaysTheSameWhateverNamesIt(t *testing.T) {
	f := everyDay()
	f.Recent = append(f.Recent, f.usual...)
	f.rise(func(v *store.Sighting) { v.Entry, v.CardScheme, v.Code = "contactless", "visa", "1A" })
	list := Follow(f.Look, Detect(f.Look), nil, f.members)
	want := map[string]string{"card_scheme": "visa", "entry": "contactless"}
	if len(list) != 1 || !maps.Equal(list[0].Only, want) || list[0].Code != "1A" {
		t.Fatalf("%+v", list)
	}
	list[0].No = 1
	one := f.report(4*90 + 1)
	one.Entry = "contactless"
	f.Recent = append(f.Recent, one)
	list = Follow(f.Look, Detect(f.Look), list, f.members)
	if len(list) != 1 || !maps.Equal(list[0].Only, want) || list[0].Terminals != 12 {
		t.Fatalf("one more, of another scheme: %+v", list)
	}
	if list = f.sellsAgain(list); len(list) != 1 || list[0].Proof != "sales" {
		t.Errorf("it goes on: %+v", list)
	}
}

// An incident that was seen in some reports is of all of them once all of them rise, then or in what had waited.
func TestARiseOfAllIsMoreThanThatOfSome(t *testing.T) {
	f := everyDay()
	some := func() []store.Incident {
		return []store.Incident{{No: 1, Estate: "shop", Cause: "issuer.declined", Segment: "issuer", Opened: f.Now,
			Detail: store.Detail{Kind: KindSurge, Place: Place{"acquirer": "bank-1"}, Only: map[string]string{"code": "1A"}}}}
	}
	f.sees(60, "05", "issuer.declined", "issuer", has("acquirer=bank-1"))
	found := Detect(f.Look)
	if len(found) != 1 || len(found[0].Only) > 0 {
		t.Fatalf("%+v", found)
	}
	if list := Follow(f.Look, found, some(), f.members); len(list) != 1 || list[0].No != 1 || list[0].Only != nil {
		t.Errorf("now: %+v", list)
	}
	if list := Past(f.Look, found, some()); len(list) != 1 || list[0].No != 1 || list[0].Only != nil {
		t.Errorf("of the past: %+v", list)
	}
}

// An hour teaches the base rate what part of a cause's reports had which code, entry and card scheme, and no more
// values than can be kept.
func TestBaseRateLearnsAspects(t *testing.T) {
	f := fleetOf(200)
	var list []store.Sighting
	for i := range 200 {
		v := store.Sighting{At: at(i), Received: f.Now, Code: "91", Entry: "chip", CardScheme: "unionpay", Cause: "c", Segment: "issuer"}
		if i%10 == 0 {
			v.CardScheme = "visa"
		}
		if i >= 100 {
			v.Code = at(i).Terminal // as many codes as terminals
		}
		list = append(list, v)
	}
	codes := 0
	for _, r := range f.Season.Close("shop", hourOf(f.Now), list, f.Places, func(string) bool { return false }) {
		f.Season.Add(r)
		if r.Dim == "code" {
			codes++
		}
	}
	if p := f.Season.Part("shop", "c", "card_scheme", "visa"); p < 0.09 || p > 0.13 {
		t.Errorf("visa has a part of %.3f, want about 0.1", p)
	}
	if p := f.Season.Part("shop", "c", "entry", "contactless"); p > 0.03 {
		t.Errorf("what was never seen has a part of %.3f", p)
	}
	if p := f.Season.Part("shop", "another", "entry", "chip"); p != 1 {
		t.Errorf("of a cause that is not known a part of %.3f is expected, want all", p)
	}
	if codes > maxKinds {
		t.Errorf("%d codes are kept, want at most %d", codes, maxKinds)
	}
}

// As a rise of some cards ends, the few reports that are left are too few to say of which cards they are: the incident
// keeps what most witnesses said.
func TestTheLastReportsDoNotWidenAnIncident(t *testing.T) {
	f := everyDay()
	mark := func(v *store.Sighting) { v.Cause, v.Code, v.CardScheme = "issuer.unavailable", "91", "visa" }
	f.rise(mark)
	list := Follow(f.Look, Detect(f.Look), nil, f.members)
	if len(list) != 1 || list[0].Only["card_scheme"] != "visa" {
		t.Fatalf("%+v", list)
	}
	list[0].No = 1
	f.Now, f.Recent = f.Now.Add(Window), nil
	f.rise(mark)
	f.Recent = f.Recent[:5]
	found := Detect(f.Look)
	if len(found) != 1 || len(found[0].Only) != 0 {
		t.Fatalf("five reports are named %+v: the test shows nothing", found)
	}
	if list = Follow(f.Look, found, list, f.members); len(list) != 1 || list[0].Only["card_scheme"] != "visa" {
		t.Errorf("%+v", list)
	}
}

// Two schemes' cards that fail at one place are two incidents, one after the other and at once; one scheme's under two
// causes is one.
func TestOtherCardsAreAnotherIncident(t *testing.T) {
	f := everyDay()
	of := func(card, cause string, shift int) func(v *store.Sighting) {
		return func(v *store.Sighting) {
			v.CardScheme, v.Cause = card, cause
			n := 0
			fmt.Sscanf(v.At.Terminal, "t%d", &n)
			v.At = at((n + shift) % 400)
		}
	}
	see := func(list []store.Incident, marks ...func(v *store.Sighting)) []store.Incident {
		f.Recent = nil
		for _, m := range marks {
			f.rise(m)
		}
		changed := Follow(f.Look, Detect(f.Look), list, f.members)
		for _, i := range changed {
			if i.No == 0 {
				i.No = int64(len(list) + 1)
				list = append(list, i)
			} else {
				list[i.No-1] = i
			}
		}
		return list
	}
	list := see(nil, of("visa", "issuer.declined", 0))
	if len(list) != 1 || list[0].Only["card_scheme"] != "visa" {
		t.Fatalf("%+v", list)
	}
	f.Now = f.Now.Add(Window)
	if list = see(list, of("unionpay", "issuer.unavailable", 8)); len(list) != 2 {
		t.Errorf("all cards, under another cause: %+v", list)
	}
	f.Now = f.Now.Add(Window)
	if list = see(list, of("visa", "issuer.declined", 0), of("visa", "issuer.unavailable", 0)); len(list) != 2 ||
		!list[0].Closed.IsZero() || len(list[0].Also) != 1 {
		t.Errorf("the same cards under two causes: %+v", list)
	}
}

// Where every sale fails, a terminal that sells much reports most kinds of cards: that nearly all terminals report one
// kind does not make it a rise of that kind.
func TestManyReportsOfATerminalAreNoKind(t *testing.T) {
	f := everyDay()
	n := 0
	for i := 1; i < 400; i += 4 { // bank-1
		for range 6 {
			v := f.report(i)
			v.Cause, v.Code = "terminal.config", "97"
			if n++; n%20 == 0 {
				v.CardScheme = "visa"
			}
			if n%13 == 0 {
				v.Entry = "contactless"
			}
			f.Recent = append(f.Recent, v)
		}
	}
	// What is usual of cards: three in four are unionpay's.
	f.Season.Add(store.SeasonRow{Estate: "shop", Cause: "issuer.declined", Dim: "card_scheme", Value: "visa",
		Hour: hourOf(f.Now) - 24, Terminals: 10_000})
	found := Detect(f.Look)
	if len(found) != 1 || found[0].Place.String() != "acquirer=bank-1" || len(found[0].Only) > 0 {
		t.Errorf("all sales of bank-1's terminals fail; found %+v", found)
	}
}

// When a scheme's cards become more common everywhere, or are accepted anew, more of all that fails is of them: that is
// no incident of any one cause. One cause that has more of them is.
func TestMoreCardsOfAKindAreNoIncident(t *testing.T) {
	for _, c := range []struct {
		name   string
		card   string
		others int // in a hundred of other causes' reports that are of it now
		want   int
	}{
		{"as ever", "visa", 5, 1}, {"many more of them everywhere", "visa", 60, 0}, {"accepted since today", "jcb", 60, 0},
		{"seen five times, and nothing else of it fails", "jcb", 0, 0},
	} {
		f := everyDay()
		f.rise(func(v *store.Sighting) { v.CardScheme = c.card })
		f.Recent = append(f.Recent, f.usual...)
		f.Season.Add(store.SeasonRow{Estate: "shop", Cause: "issuer.declined", Dim: "card_scheme", Value: "jcb",
			Hour: hourOf(f.Now) - 24, Terminals: 5})
		for _, other := range []string{"account.funds", "account.limit", "account.state"} {
			for i := range 100 {
				v := f.report(4 * i)
				v.Cause, v.Code = other, "51"
				if i < c.others {
					v.CardScheme = c.card
				}
				f.Recent = append(f.Recent, v)
			}
			f.Season.Add(store.SeasonRow{Estate: "shop", Cause: other, Hour: hourOf(f.Now) - 24, Terminals: 100_000})
		}
		got := 0
		for _, v := range Detect(f.Look) {
			if v.Cause == "issuer.declined" && v.Only["card_scheme"] == c.card {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%s: %d incidents of %s cards, want %d", c.name, got, c.card, c.want)
		}
	}
}

// Where travellers pay, their cards are what fails, whatever the cause: that is no rise of those cards there.
func TestAPlaceHasItsOwnCards(t *testing.T) {
	for _, usual := range []bool{false, true} {
		f := everyDay()
		f.Recent = append(f.Recent, f.usual...)
		f.rise(func(v *store.Sighting) { v.CardScheme = "visa" })
		for i := range 300 {
			v := f.report(4*(i%100) + 1) // bank-1
			v.Cause, v.Received = "account.funds", f.Now.Add(-time.Duration(2+i%40)*time.Hour)
			if usual && i%10 != 0 {
				v.CardScheme = "visa"
			}
			f.Before = append(f.Before, v)
		}
		if found := Detect(f.Look); (len(found) == 0) != usual {
			t.Errorf("nine in ten there always are visa: %v; found %+v", usual, found)
		}
	}
}

// What is over comes back as itself: the same cards, and no other ones, nor all of them.
func TestSomeCardsComeBackAsThemselves(t *testing.T) {
	of := func(card string) func(v *store.Sighting) { return func(v *store.Sighting) { v.CardScheme = card } }
	for _, c := range []struct {
		name string
		then func(f daily)
		want int64 // the incident that is open then
	}{
		{"the same cards", func(f daily) { f.rise(of("visa")) }, 1},
		{"a part of them", func(f daily) {
			f.rise(func(v *store.Sighting) { v.CardScheme, v.Entry = "visa", "contactless" })
		}, 1},
		{"other cards", func(f daily) { f.rise(func(v *store.Sighting) { v.Entry = "contactless" }) }, 0},
		{"all", func(f daily) { f.sees(60, "05", "issuer.declined", "issuer", has("acquirer=bank-1")) }, 0},
	} {
		f := everyDay()
		f.rise(of("visa"))
		list := Follow(f.Look, Detect(f.Look), nil, f.members)
		if list = f.sellsAgain(list); len(list) != 1 || list[0].Proof != "sales" {
			t.Fatalf("%+v", list)
		}
		f.Now, f.Recent = f.Now.Add(Window), nil
		c.then(f)
		list = Follow(f.Look, Detect(f.Look), list, f.members)
		if len(list) != 1 || list[0].No != c.want || list[0].Reopened != int(min(1, c.want)) {
			t.Errorf("%s: %+v", c.name, list)
		}
	}
}
