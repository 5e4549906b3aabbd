package incident

import (
	"maps"
	"testing"

	"posdx/fleet/store"
)

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
			f := fleetOf(400).learned(14, map[string]float64{"issuer.declined": 300})
			for value, n := range map[string]float64{"chip": 38_000, "contactless": 2000, "unionpay": 38_000, "visa": 2000,
				"05": 38_000, "1A": 2000} {
				dim := map[string]string{"chip": "entry", "contactless": "entry", "unionpay": "card_scheme",
					"visa": "card_scheme", "05": "code", "1A": "code"}[value]
				f.Season.Add(store.SeasonRow{Estate: "shop", Cause: "issuer.declined", Dim: dim, Value: value,
					Hour: hourOf(f.Now) - 24, Terminals: n})
			}
			everyDay := func(n int) store.Sighting {
				return store.Sighting{At: at(n), Received: f.Now, Code: "05", Entry: "chip", CardScheme: "unionpay",
					Cause: "issuer.declined", Segment: "issuer"}
			}
			usual := func() {
				for i := 0; i < 400; i += 13 {
					f.Recent = append(f.Recent, everyDay(i))
				}
			}
			usual()
			if found := Detect(f.Look); len(found) != 0 {
				t.Fatalf("on an ordinary day: %+v", found)
			}
			for _, k := range []int{3, 7, 12, 17, 24, 31, 38, 46, 55, 63, 72, 88} {
				i := 4*k + 1 // at bank-1
				v := everyDay(i)
				mark(&v)
				f.Recent = append(f.Recent, v)
			}
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
			// It is over when these are, though the others go on.
			list[0].No = 1
			f.Now = f.Now.Add(2 * Window)
			f.Recent = nil
			usual()
			for i := range 400 {
				f.members[at(i).Terminal] = Member{Online: true, GoodAt: f.Now}
			}
			list = Follow(f.Look, Detect(f.Look), list, f.members)
			if len(list) != 1 || list[0].Proof != "sales" {
				t.Errorf("it goes on: %+v", list)
			}
		})
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
