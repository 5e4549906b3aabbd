package source

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"posdx/agent/report"
)

// Lengths of what is let in.
const (
	MaxCode     = report.MaxCode
	MaxScheme   = 32
	MaxSTAN     = 12 // field 11 has 6 digits, reference numbers of some hosts 12
	MaxTerminal = 16 // field 41 has 8, some gateways' names 16
	MaxWord     = 64 // of a version
	MaxMS       = 24 * 3600 * 1000
	hexBlock    = 16 // hex digits of a PIN block
	CardDigits  = 12 // the shortest card number: a code with so many digits is taken for one
)

// CodeProblem returns what is wrong with a response code, "" if it is good. The text never repeats the code.
func CodeProblem(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "missing: give the response code as the payment app shows it"
	case n > MaxCode:
		return "want 1 to 64 printable characters"
	case !utf8.ValidString(s):
		return "not UTF-8"
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError: // what decoders put in the place of what is no character: the code itself is lost
			return "holds a character that could not be read; send it as UTF-8"
		case !unicode.IsPrint(r):
			return "want 1 to 64 printable characters"
		}
	}
	if Digits(s) >= CardDigits || CardLike(s) {
		return "looks like a card number and was thrown away: give the response code only"
	}
	if wordy(s) {
		return "has words in it, which may be a name, and was thrown away: give the response code only"
	}
	return ""
}

// nameLetters are the letters in a row from which on a part of a text is taken for a word.
const nameLetters = 3

// wordy reports whether text is more than one word, as a name, a sentence or a card's security code with its label are.
// No table has such a code.
func wordy(s string) bool {
	apart := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" /^,;&", r) })
	return len(apart) > 1 && slices.ContainsFunc(apart, func(part string) bool {
		row := 0
		for _, r := range part {
			if row++; !unicode.IsLetter(r) {
				row = 0
			}
			if row == nameLetters {
				return true
			}
		}
		return false
	})
}

// plausibleCode bounds a code that no table has and that a person or the fleet asks about. Codes of payment
// applications and hosts are not bounded so.
const plausibleCode = 8

// Plausible tells whether a typed text looks like a response code at all.
func Plausible(s string) bool { return len(s) <= plausibleCode && Word(s, plausibleCode) }

// CardLike reports whether text holds a card number, whole or masked, a track, or so many hex digits in a row that they
// could be a PIN block, a hash or a key.
func CardLike(s string) bool {
	run := 0
	for i := range len(s) {
		c := s[i]
		if run++; !(IsDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			run = 0
		}
		if run == hexBlock {
			return true
		}
	}
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	return report.Suspect(b) || PartOfCard(b, 0, len(b))
}

// Digits counts the digits of a text, in whatever script.
func Digits(s string) (n int) {
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}

// Numeric reports whether s is min to max decimal digits.
func Numeric(s string, min, max int) bool {
	if len(s) < min || len(s) > max {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Trace returns what is kept of a trace number of up to MaxSTAN digits: its last six. Twelve digits may be a host's
// reference, which ends with the trace number, or the beginning of a card number; six identify a sale and no card.
func Trace(v []byte) []byte { return v[max(0, len(v)-report.TraceDigits):] }

// PartOfCard reports whether text[from:to] lies within a card number, whole or masked, or a track. Six or twelve
// digits that a pattern takes out of one are no trace number. Groups may stand apart by blanks of any kind, dashes,
// dots, bars and underscores, and what is masked may be stars, points, crosses and the like.
func PartOfCard(text []byte, from, to int) bool {
	if to-from > MaxCode {
		return false
	}
	var around [2*cardAround + MaxCode]byte
	defer clear(around[:])
	// In the middle stands the part, before and behind it what its number may go on with.
	begin, end := cardAround, cardAround
	for at := from; begin > 0; begin-- {
		r, size := utf8.DecodeLastRune(text[:at])
		if around[begin-1] = cardForm(r); around[begin-1] == 0 {
			break
		}
		at -= size
	}
	for at := from; at < len(text) && end < len(around)-1; end++ {
		r, size := utf8.DecodeRune(text[at:])
		c := cardForm(r)
		if at < to && c == 0 {
			c = '!' // of the part itself
		}
		if around[end] = c; c == 0 || at >= to && end-cardAround >= to-from+cardAround {
			break
		}
		at += size
	}
	for i := begin; i < end; i++ { // one point parts, several mask
		if around[i] == '.' && (i > begin && around[i-1] == '*' || i+1 < end && around[i+1] == '.') {
			around[i] = '*'
		} else if around[i] == '.' {
			around[i] = ' '
		}
	}
	if !report.Suspect(around[begin:end]) {
		return false
	}
	if bytes.ContainsAny(around[begin:cardAround], "=^D") {
		return true // the rest of a track
	}
	for i := cardAround; i < min(end, cardAround+to-from); i++ {
		around[i] = '.' // what is left without it is a card of its own
	}
	return !report.Suspect(around[begin:end])
}

// cardForm is what a character of a card number stands for: a digit, what parts groups, what masks digits or begins the
// rest of a track; 0 for any other.
func cardForm(r rune) byte {
	switch {
	case r >= '0' && r <= '9', r == '*', r == 'x', r == 'X', r == '=', r == '^', r == 'D', r == ' ', r == '-', r == '.':
		return byte(r)
	case r == '_':
		return '.'
	case r == '/', r == '|', unicode.Is(unicode.Zs, r), unicode.Is(unicode.Pd, r):
		return ' '
	case strings.ContainsRune("#•●·‧∙█■＊×", r):
		return '*'
	}
	return 0
}

// cardAround is how far on either side of a value a card is looked for: the longest number, its separators and the
// date.
const cardAround = 28

// Word reports whether s is 1 to max of the characters of names: letters, digits and . _ - + : and no card number.
func Word(s string, max int) bool {
	if s == "" || len(s) > max || Digits(s) >= CardDigits || CardLike(s) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("._-+:", c) >= 0) {
			return false
		}
	}
	return true
}

// OneOf tells whether s is one of words.
func OneOf(s string, words []string) bool {
	for _, w := range words {
		if s == w {
			return true
		}
	}
	return false
}

// The words of the contract's members.
var (
	Origins = []string{string(report.OriginHost), string(report.OriginTerminal), string(report.OriginCashier),
		string(report.OriginUnknown)}
	Entries = []string{"chip", "stripe", "contactless", "manual", "code", "unknown"}
	Phases  = []string{string(PhaseStart), string(PhaseRead), string(PhaseSent), string(PhaseAnswered), string(PhaseEnd)}
	Results = []string{ResultApproved, ResultDeclined, ResultFailed, ResultCancelled}
)

// IsDigit tells whether c is 0 to 9.
func IsDigit(c byte) bool { return c >= '0' && c <= '9' }
