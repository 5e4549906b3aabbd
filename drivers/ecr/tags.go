package ecr

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// Bounds of the memory of cards.
const (
	tagsLast = time.Hour // after a card was seen last
	maxTags  = 256       // the oldest give way
	minPAN   = 12
	maxPAN   = 19
	binSize  = 6 // digits that name the issuer (ISO/IEC 7812-1 before 2017: what older cards share)
)

// tagBits is how much is kept of a keyed hash: so few bits that even with the key, which never leaves the process, a
// tag fits some sixty card numbers of each issuer, and enough that two cards that a shop sees in one hour seldom share
// one.
const tagBits = 24

// A Card tells that two messages are of one card, or of cards of one issuer, whose scheme is a word of a closed list,
// and nothing else: both numbers count up in the order of appearance. Zero and the empty word mean not known.
type Card struct {
	Number, Issuer int
	Scheme         string
}

// schemes are the first digits of cards by their scheme (ISO/IEC 7812-1; the networks' published ranges), as far as no
// two networks share them.
var schemes = []struct{ first, last, scheme string }{
	{"2200", "2204", "mir"},
	{"2221", "2720", "mastercard"},
	{"300", "305", "diners"}, {"36", "36", "diners"}, {"38", "39", "diners"},
	{"34", "34", "amex"}, {"37", "37", "amex"},
	{"3528", "3589", "jcb"},
	{"4", "4", "visa"},
	{"5018", "5018", "maestro"}, {"5020", "5020", "maestro"}, {"5038", "5038", "maestro"}, {"5893", "5893", "maestro"},
	{"51", "55", "mastercard"},
	{"6011", "6011", "discover"}, {"644", "649", "discover"},
	{"6304", "6304", "maestro"}, {"6759", "6759", "maestro"}, {"6761", "6763", "maestro"},
	{"62", "62", "unionpay"}, {"810", "817", "unionpay"},
}

// CardSchemes are the words that a Card's Scheme may be.
func CardSchemes() (list []string) {
	for _, s := range schemes {
		list = append(list, s.scheme)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// schemeOf is the scheme of a card number, empty if its first digits do not tell.
func schemeOf(pan []byte) string {
	for _, s := range schemes {
		n := len(s.first)
		if string(pan[:n]) >= s.first && string(pan[:n]) <= s.last {
			return s.scheme
		}
	}
	return ""
}

// Tags tell cards apart without knowing them, so that distinct cards can be counted and nothing else. What is kept is
// lost with the process, and dropped an hour after the card was seen. A nil Tags tells no cards apart. Methods may be
// called from any goroutine.
type Tags struct {
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex
	cards   map[uint32]*tag
	issuers map[uint32]*tag
	next    int
}

type tag struct {
	number int
	at     time.Time
}

// NewTags returns an empty memory with a key of its own.
func NewTags() *Tags {
	return &Tags{seed: maphash.MakeSeed(), now: time.Now, cards: map[uint32]*tag{}, issuers: map[uint32]*tag{}}
}

// card finds which card a field is of: a card number, or a track that begins with one, in characters or packed two
// digits to a byte. The zero Card is for a field that holds none, or a masked one.
func (t *Tags) card(field []byte, packed bool) Card {
	if t == nil {
		return Card{}
	}
	var pan [maxPAN]byte
	defer clear(pan[:])
	n := 0
	for i := 0; n < maxPAN; i++ {
		var c byte
		switch {
		case packed && i/2 < len(field):
			c = '0' + field[i/2]>>(4*(1-i%2))&15
		case !packed && i < len(field):
			c = field[i]
		}
		if n == 0 && (c == ';' || packed && c == '0') {
			continue // a sentinel, or the padding of an odd number of digits: no card number begins with 0
		}
		if c < '0' || c > '9' {
			break
		}
		pan[n] = c
		n++
	}
	if n < minPAN {
		return Card{}
	}
	// A last 0 may be padding, or the check digit of a number that is given packed and not: without it the forms are one.
	// Two cards of one number but for zeros at its end do not exist: an issuer's numbers are of one length.
	number := bytes.TrimRight(pan[:n], "0")
	t.mu.Lock()
	defer t.mu.Unlock()
	return Card{t.number(t.cards, number), t.number(t.issuers, pan[:binSize]), schemeOf(pan[:n])}
}

// number finds the tag of some digits, or begins a new one.
func (t *Tags) number(tags map[uint32]*tag, digits []byte) int {
	now := t.now()
	var oldest uint32
	for k, g := range tags {
		if now.Sub(g.at) > tagsLast {
			delete(tags, k)
		} else if o := tags[oldest]; o == nil || g.at.Before(o.at) {
			oldest = k
		}
	}
	key := uint32(maphash.Bytes(t.seed, digits)) >> (32 - tagBits)
	g := tags[key]
	if g == nil {
		if len(tags) >= maxTags {
			delete(tags, oldest)
		}
		t.next++
		g = &tag{number: t.next}
		tags[key] = g
	}
	g.at = now
	return g.number
}
