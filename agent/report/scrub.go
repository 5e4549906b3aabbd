package report

import (
	"bytes"
	"io"
	"sync/atomic"
)

// Scrub is the last line of defence before bytes leave the agent: it overwrites what could be a card number and returns
// how many such places it found. In correct operation it finds none, because no type outside the decoders can hold one;
// a count above zero is a defect to be reported.
//
// Stopped are: 13 to 19 digits with a right Luhn digit (ISO/IEC 7812-1 annex B), alone, inside a longer run of digits
// or of hex, or in groups with single spaces or dashes; tracks 1 and 2 (ISO/IEC 7813: digits^NAME, digits=YYMM, in hex
// digitsDYYMM), Luhn or not; masked numbers (476173******0010). Left alone are forms of our own that may hold such
// digits by chance: UUIDs, sha256:…, ids of events and documents, hand-off codes, times, and the fraction of a number.
//
// If b is JSON it stays JSON of the same length: in text what is stopped becomes '#', a bare number becomes 0.
func Scrub(b []byte) (out []byte, stopped int) {
	out = b
	for at, end := next(b, 0); end > 0; at, end = next(b, at) {
		if stopped == 0 {
			out = bytes.Clone(b)
		}
		stopped++
		at = blank(out, at, end)
	}
	return out, stopped
}

// Suspect reports whether b holds what Scrub would stop. It copies nothing: for bytes that may be card data.
func Suspect(b []byte) bool {
	_, end := next(b, 0)
	return end > 0
}

// next finds the first place from at on that must not leave. Its end is 0 if there is none.
func next(b []byte, at int) (start, end int) {
	for at < len(b) {
		if !digit(b[at]) {
			at++
			continue
		}
		// A form of our own is looked for last: few digits are like a card's, and a form holds for all its digits.
		end := cardLike(b, at)
		if end == 0 {
			at = pastDigits(b, at)
		} else if n := ownForm(b, at); n > 0 {
			at += n
		} else {
			return at, end
		}
	}
	return at, 0
}

// Lengths of a card number (ISO/IEC 7812-1). Tracks may carry 12 digits.
const (
	minCard  = 13
	maxCard  = 19
	minTrack = 12
)

// cardLike returns the end of what must not leave, beginning at at, where a run of digits begins; 0 if there is
// nothing.
func cardLike(b []byte, at int) int {
	run := pastDigits(b, at)
	n := run - at
	switch {
	case n >= minTrack && run < len(b) && trackGoesOn(b[run:]):
		return pastTrack(b, run)
	case n >= minCard:
		if n == 14 && compactTime(b[at:run]) {
			break
		}
		for i := at; i+minCard <= run; i++ {
			for k := minCard; k <= maxCard && i+k <= run; k++ {
				if number(b[i : i+k]) {
					return run
				}
			}
		}
	case n >= 4 && n <= 8:
		if end := masked(b, run); end > 0 {
			return end
		}
	}
	return groups(b, at)
}

// number reports whether digits can be a card number: no issuer's numbers begin with 0 or 7, those of air travel, which
// begin with 1, have 15 digits.
func number(b []byte) bool {
	switch b[0] {
	case '0', '7':
		return false
	case '1':
		return len(b) == 15 && luhn(b)
	}
	return luhn(b)
}

// compactTime reports whether 14 digits are a time: 20261121120000.
func compactTime(b []byte) bool {
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	return two(0) == 20 && two(4) >= 1 && two(4) <= 12 && two(6) >= 1 && two(6) <= 31 && two(8) < 24 && two(10) < 60 &&
		two(12) < 60
}

// groups looks for digits in groups, as cards print them (4 or 6 first) or as dumps do (1 or 2 each).
func groups(b []byte, at int) int {
	n, found, first := 0, 0, pastDigits(b, at)-at
	if first != 1 && first != 2 && first != 4 && first != 6 {
		return 0
	}
	var card [maxCard]byte
	defer clear(card[:]) // a stack that rests keeps what lay on it
	for i := at; ; {
		end := pastDigits(b, i)
		if n+end-i > maxCard || first <= 2 && end-i > first {
			return found
		}
		n += copy(card[n:], b[i:end])
		if n >= minCard && i > at && number(card[:n]) {
			found = end
		}
		if end+1 >= len(b) || !separator(b[end]) || !digit(b[end+1]) || first <= 2 && end-i < first {
			return found
		}
		i = end + 1
	}
}

// trackGoesOn reports whether b, after a card number, goes on as a track does: '=' or 'D' and at least year and month,
// or '^' and a name.
func trackGoesOn(b []byte) bool {
	switch b[0] {
	case '^':
		return true
	case '=', 'D', 'd':
		return len(b) > 4 && digit(b[1]) && digit(b[2]) && digit(b[3]) && digit(b[4])
	}
	return false
}

// pastTrack returns the end of a track: what follows the number is as secret as itself.
func pastTrack(b []byte, at int) int {
	for n := 0; at < len(b) && n < 80; n++ {
		switch c := b[at]; {
		case c == '?':
			return at + 1
		case c < ' ' || c == '"' || c == '\\' || c >= 0x7f:
			return at
		}
		at++
	}
	return at
}

// masked returns the end of a masked card number whose first digits end at at, or two digits later where they stand in
// groups of four: at least four stars or the like, then four digits.
func masked(b []byte, at int) int {
	if at+3 < len(b) && separator(b[at]) && pastDigits(b, at+1) == at+3 {
		at += 3
	}
	i, stars := at, 0
	for i < len(b) && (b[i] == '*' || b[i] == 'x' || b[i] == 'X' || separator(b[i])) {
		if !separator(b[i]) {
			stars++
		}
		i++
	}
	if stars < 4 || pastDigits(b, i)-i != 4 {
		return 0
	}
	return i + 4
}

// blank overwrites b[at:end], keeps what makes JSON of it, and returns where to go on.
func blank(b []byte, at, end int) int {
	if bare(b, at) {
		for end < len(b) && (digit(b[end]) || bytes.IndexByte([]byte(".eE+-"), b[end]) >= 0) {
			end++
		}
		b[at] = '0'
		for i := at + 1; i < end; i++ {
			b[i] = ' '
		}
		return end
	}
	for i := at; i < end; i++ {
		if !separator(b[i]) {
			b[i] = '#'
		}
	}
	return end
}

// bare reports whether b is JSON and at lies outside of its quotes.
func bare(b []byte, at int) bool {
	t := bytes.TrimLeft(b, " \t\r\n")
	if len(t) == 0 || t[0] != '{' && t[0] != '[' {
		return false
	}
	in := false
	for i := 0; i < at; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			in = !in
		}
	}
	return !in
}

// maxForm is the length of the longest form of our own.
const maxForm = 80

// ownForm returns the length of what is left, from at on, of a form of our own that holds at; 0 if there is none.
func ownForm(b []byte, at int) int {
	start, end := at, at
	for start > 0 && idChar(b[start-1]) && at-start < maxForm {
		start--
	}
	for end < len(b) && idChar(b[end]) && end-at < maxForm {
		end++
	}
	word := b[start:end]
	if isUUID(word) || isHandoff(word) || isID(word, 8) || follows(b, start, `"id":"`) && isID(word, 32) ||
		follows(b, start, `"epoch":"`) && len(word) <= 32 && allHex(word) ||
		follows(b, start, "sha256:") && len(word) == 64 && allHex(word) {
		return end - at
	}
	// The fraction of a number: 0.8612345678901234.
	if at > 1 && b[at-1] == '.' && digit(b[at-2]) {
		whole := at - 1
		for whole > 0 && digit(b[whole-1]) && at-whole < 8 {
			whole--
		}
		run := pastDigits(b, at)
		if at-1-whole <= 6 &&
			(whole == 0 || !letter(b[whole-1]) && b[whole-1] != '.') && run-at <= 24 &&
			(run == len(b) || bytes.IndexByte([]byte(",}]eE"), b[run]) >= 0) {
			return run - at
		}
	}
	return 0
}

// isUUID reports whether b is a UUID (RFC 9562) in text. One without any letter is as rare as it is suspect.
func isUUID(b []byte) bool {
	return len(b) == 36 && b[8] == '-' && b[13] == '-' && b[18] == '-' && b[23] == '-' &&
		allHex(b[:8]) && allHex(b[9:13]) && allHex(b[14:18]) && allHex(b[19:23]) && allHex(b[24:]) && letters(b) > 0
}

// isID reports whether b is an id: up to boot hex digits (8 for a boot count, 32 for the name of an outbox), a dash,
// and a sequence of ten hex digits below 2^24.
func isID(b []byte, boot int) bool {
	i := bytes.LastIndexByte(b, '-')
	return i > 0 && i <= boot && len(b)-i == 11 && string(b[i+1:i+5]) == "0000" && allHex(b[:i]) && allHex(b[i+1:])
}

func follows(b []byte, at int, what string) bool {
	return at >= len(what) && string(b[at-len(what):at]) == what
}

// isHandoff reports whether b is a hand-off code: groups of four capitals and digits, joined by dashes.
func isHandoff(b []byte) bool {
	if len(b) < 9 || len(b) > 29 || letters(b) < 2 {
		return false
	}
	for i, c := range b {
		if (i%5 == 4) != (c == '-') || c == '_' || c >= 'a' && c <= 'z' {
			return false
		}
	}
	return true
}

func letters(b []byte) (n int) {
	for _, c := range b {
		if letter(c) {
			n++
		}
	}
	return n
}

func allHex(b []byte) bool {
	for _, c := range b {
		if !digit(c) && !(c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return len(b) > 0
}

// luhn reports whether the last digit checks the others.
func luhn(b []byte) bool {
	sum := 0
	for i := range b {
		d := int(b[len(b)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func pastDigits(b []byte, at int) int {
	for at < len(b) && digit(b[at]) {
		at++
	}
	return at
}

func digit(c byte) bool     { return c >= '0' && c <= '9' }
func separator(c byte) bool { return c == ' ' || c == '-' }
func letter(c byte) bool    { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func idChar(c byte) bool    { return digit(c) || letter(c) || c == '-' }

// A Gate is what all bytes pass on their way out of the agent: it scrubs them and counts what Scrub stopped, which is
// zero in correct operation. The zero value is ready; a nil Gate scrubs and counts nothing.
type Gate struct{ stopped atomic.Int64 }

// Out returns b scrubbed.
func (g *Gate) Out(b []byte) []byte {
	out, n := Scrub(b)
	if g != nil && n > 0 {
		g.stopped.Add(int64(n))
	}
	return out
}

// Stopped is how many places were overwritten so far.
func (g *Gate) Stopped() int64 { return g.stopped.Load() }

// Writer returns a writer that scrubs what is written to w. Each Write is scrubbed by itself, so a card number split
// over two would pass: write whole lines.
func (g *Gate) Writer(w io.Writer) io.Writer { return gateWriter{g, w} }

type gateWriter struct {
	g *Gate
	w io.Writer
}

func (w gateWriter) Write(b []byte) (int, error) {
	if _, err := w.w.Write(w.g.Out(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
