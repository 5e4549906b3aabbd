package ecr

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestTagsKnowACardInEveryForm(t *testing.T) {
	for _, pan := range []string{"4761739001010010", "6228480402564890018", "378282246310005", "36259600000004", "6222988812345678"} {
		tags := NewTags()
		want := tags.card([]byte(pan), false)
		if want.Number == 0 || want.Issuer == 0 {
			t.Fatalf("%s is no card", pan)
		}
		digits := func(s string) []byte {
			b, err := hex.DecodeString(s + strings.Repeat("f", len(s)%2))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		odd := len(pan)%2 == 1
		forms := map[string]Card{
			"track 2": tags.card([]byte(pan+"=25122011758900000000"), false), "with sentinels": tags.card([]byte(";"+pan+"=25122011?"), false),
			"packed track": tags.card(digits(pan+"d251220117589"), true),
		}
		if odd {
			forms["0 before"], forms["0 behind"], forms["F behind"] = tags.card(digits("0"+pan), true),
				tags.card(digits(pan+"0"), true), tags.card(digits(pan), true)
		} else {
			forms["packed"] = tags.card(digits(pan), true)
		}
		for form, got := range forms {
			if got != want {
				t.Errorf("%s, %s: got %v, want %v", pan, form, got, want)
			}
		}
	}
}

// Where two networks share the first digits, whose card it is is not told.
func TestTagsTellTheScheme(t *testing.T) {
	tags := NewTags()
	for pan, want := range map[string]string{
		"4761739001010010": "visa", "6228480402564890018": "unionpay", "8171999900000000021": "unionpay", "378282246310005": "amex",
		"36259600000004": "diners", "5555555555554444": "mastercard", "2223003122003222": "mastercard", "3530111333300000": "jcb",
		"2200770239097761": "mir", "6011111111111117": "discover", "6763946698050008": "maestro",
		"6521111111111117": "", "5066991111111118": "", "9792030394440796": "", "2199999999999999": "", "2721000000000000": "",
	} {
		if got := tags.card([]byte(pan), false).Scheme; got != want {
			t.Errorf("%s is called %q, want %q", pan, got, want)
		}
	}
}

func TestTagsCount(t *testing.T) {
	now := time.Unix(1e9, 0)
	tags := NewTags()
	tags.now = func() time.Time { return now }
	rnd := rand.New(rand.NewPCG(1, 2))
	pan := func(bin string) []byte { return fmt.Appendf(nil, "%s%010d", bin, rnd.Int64N(1e10)) }
	cards, issuers := map[int]bool{}, map[int]bool{}
	for i := range 200 {
		c := tags.card(pan([]string{"622848", "476173"}[i%2]), false)
		cards[c.Number], issuers[c.Issuer] = true, true
	}
	if len(cards) < 199 || len(issuers) != 2 {
		t.Errorf("200 cards of 2 issuers count as %d of %d", len(cards), len(issuers))
	}
	again := tags.card([]byte("4761739001010010"), false)
	now = now.Add(tagsLast)
	if got := tags.card([]byte("4761739001010010"), false); got != again {
		t.Errorf("within the hour: got %v, want %v", got, again)
	}
	now = now.Add(tagsLast + time.Second)
	got := tags.card([]byte("4761739001010010"), false)
	if got.Number == again.Number || len(tags.cards) != 1 {
		t.Errorf("after an hour: got %v again, %d cards are kept", got, len(tags.cards))
	}
	for range 3 * maxTags {
		tags.card(pan("622848"), false)
	}
	if len(tags.cards) > maxTags {
		t.Errorf("%d cards are kept", len(tags.cards))
	}
	// Another process knows the card by nothing that this one does.
	if other := NewTags(); fmt.Sprint(keys(tags, "4761739001010010")) == fmt.Sprint(keys(other, "4761739001010010")) {
		t.Error("two processes make the same tag of a card")
	}
	for _, none := range []string{"", "12345678901", "476173******0010", "?", "=4761739001010010"} {
		if c := tags.card([]byte(none), false); c != (Card{}) {
			t.Errorf("%q is card %v", none, c)
		}
	}
	if c := (*Tags)(nil).card([]byte("4761739001010010"), false); c != (Card{}) {
		t.Errorf("no memory knows %v", c)
	}
}

func keys(t *Tags, pan string) (list []uint32) {
	t.cards = map[uint32]*tag{}
	t.card([]byte(pan), false)
	for k := range t.cards {
		list = append(list, k)
	}
	return list
}

// One card is one card on every link and on the wire, whatever names it there; the stand-in for it leads back to
// nothing.
func TestTagsAcrossDecoders(t *testing.T) {
	tags := NewTags()
	cards := map[int]int{}
	for _, l := range links(t) {
		d := NewCountingDecoder(l.framing, true, tags)
		d.Push(append([]byte(nil), l.frame...), func(f Found) {
			if f.Card != (Card{}) {
				cards[f.Card.Number]++
			}
		})
	}
	for _, d := range common {
		s := NewStream(Binary2, d)
		s.Tags = tags
		m := sale(t, d, heads[2])
		s.Push(append([]byte{byte(len(m) >> 8), byte(len(m))}, m...), func(m Message) { cards[m.Card.Number]++ })
	}
	if len(cards) != 1 || cards[1] < 9 {
		t.Errorf("the planted card counts as %v, want one, met at least nine times", cards)
	}
}
