package paylog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestAPieceOfACardIsNoTraceNumber: a pattern that takes some digits of a longer number takes no code, trace number
// or terminal number of it, however the card is written. Forms of writing: dionach/PANhunt #13 (six and four shown),
// zendesk/credit_card_sanitizer #53 (groups), samyk/magspoof #31 (both tracks in a line), adelosa/mciutil #42 (the
// front).
func TestAPieceOfACardIsNoTraceNumber(t *testing.T) {
	const card = "4761739001010010"
	for name, c := range map[string]struct {
		pattern, line, stan, code string
	}{
		"the front of a card":         {`c=(?P<stan>\d{12})\d* rc=(?P<code>\w+)`, "c=" + card + " rc=96", "", "96"},
		"the middle":                  {`c=\d{4}(?P<stan>\d{6})\d+ rc=(?P<code>\w+)`, "c=" + card + " rc=96", "", "96"},
		"the end":                     {`(?P<stan>\d{6}) rc=(?P<code>\w+)`, "card " + card + " rc=96", "", "96"},
		"a group":                     {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761 7390 0101 0010 rc=96", "", "96"},
		"a group between dashes":      {`-(?P<stan>\d{4})-\d+ rc=(?P<code>\w+)`, "card 4761-7390-0101-0010 rc=96", "", "96"},
		"the last four of a masked":   {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 476173******0010 rc=96", "", "96"},
		"behind the number":           {`=(?P<stan>\d{6})\d*\? rc=(?P<code>\w+)`, ";" + card + "=30122011758? rc=96", "", "96"},
		"a code of a card's digits":   {`card (?P<code>\d{6})`, "card " + card, "", ""},
		"the last four as a code":     {`(?P<code>\d{4})$`, "card " + card, "", ""},
		"nineteen digits":             {`c=(?P<stan>\d{12})\d* rc=(?P<code>\w+)`, "c=6228480402564890018 rc=96", "", "96"},
		"a trace number beside it":    {`(?P<stan>\d{6}) \d+ rc=(?P<code>\w+)`, "sale 000123, " + card + " rc=96", "", ""},
		"a trace number before it":    {`stan=(?P<stan>\d{6}).* rc=(?P<code>\w+)`, "stan=000123 card " + card + " rc=96", "000123", "96"},
		"the end of a reference":      {`ref=\d{6}(?P<stan>\d{6}) rc=(?P<code>\w+)`, "ref=633213000123 rc=96", "000123", "96"},
		"a reference of twelve":       {`ref=(?P<stan>\d{12}) rc=(?P<code>\w+)`, "ref=112113000123 rc=96", "000123", "96"},
		"a time in front, no divider": {`^\d{14}(?P<stan>\d{6}) rc=(?P<code>\w+)`, "20261128140311 000123 rc=96", "", ""},
		"a date behind":               {`(?P<stan>\d{6}) 2026-11-28 rc=(?P<code>\w+)`, "000123 2026-11-28 rc=96", "000123", "96"},
	} {
		p, err := CompilePattern(c.pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, ok, _ := p.read([]byte(c.line), time.Now())
		stan, code := "", ""
		if ok && f.seen != nil {
			code = f.seen.Code
			if f.seen.Txn != nil {
				stan = f.seen.Txn.STAN
			}
		}
		if stan != c.stan || code != c.code {
			t.Errorf("%s: stan %q, code %q; want %q, %q", name, stan, code, c.stan, c.code)
		}
	}
	// Wherever six digits are taken from a line that is a card, none of them comes out.
	line := []byte("x " + card + " y")
	for i := range len(card) - 5 {
		p, err := CompilePattern(fmt.Sprintf(`^x \d{%d}(?P<stan>\d{6})(?P<code>\d*)`, i), Options{})
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(line)
		f, _, _ := p.read(line, time.Now())
		if said := fmt.Sprintf("%+v", f.seen); strings.Contains(said, card[i:i+6]) || !bytes.Equal(before, line) {
			t.Errorf("from %d: %s", i, said)
		}
	}
}

// TestAPieceOfACardHoweverItIsWritten: groups apart by dots, bars, blanks and dashes that are none of ASCII's, numbers
// masked by other characters than stars, and numbers whose characters were dumped.
func TestAPieceOfACardHoweverItIsWritten(t *testing.T) {
	hexed := func(s string) string { return fmt.Sprintf("%X", s) }
	for _, c := range []struct{ pattern, line string }{
		{`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761.7390.0101.0010 rc=96"}, {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761/7390/0101/0010 rc=96"},
		{`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761_7390_0101_0010 rc=96"}, {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761\u00a07390\u00a00101\u00a00010 rc=96"},
		{`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761\u20137390\u20130101\u20130010 rc=96"}, {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 476173######0010 rc=96"},
		{`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 476173\u2022\u2022\u2022\u2022\u2022\u20220010 rc=96"}, {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 476173......0010 rc=96"},
		{`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 4761 73** **** 0010 rc=96"}, {`(?P<stan>\d{4}) rc=(?P<code>\w+)`, "card 476173______0010 rc=96"},
		{`(?P<code>\d{4})$`, "card 4761.7390.0101.0010"}, {`(?P<code>\d{4})$`, "card 476173\u25cf\u25cf\u25cf\u25cf\u25cf\u25cf0010"},
		{`pan (?P<code_hex>\w{8})`, "pan " + hexed("4761739001010010")}, {`(?P<code_hex>\w{8})$`, "pan " + hexed("4761739001010010")},
		{`(?P<code_hex>\w\w)$`, "pan 34 37 36 31 37 33 39 30 30 31 30 31 30 30 31 30"}, {`pan (?P<code_hex>\w{12})`, "pan F4F7F6F1F7F3F9F0F0F1F0F1F0F0F1F0"},
	} {
		p, err := CompilePattern(c.pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, ok, _ := p.read([]byte(c.line), time.Now())
		if !ok || f.seen != nil && (f.seen.Code != "96" || f.seen.Txn != nil) {
			t.Errorf("%s in %q: %v %+v", c.pattern, c.line, ok, f.seen)
		}
	}
	for _, line := range []string{"28.11.2026 000123 rc=96", "amount 1234.56 000123 rc=96", "a/b/2026/1128 000123 rc=96"} {
		p, err := CompilePattern(`(?P<stan>\d{6}) rc=(?P<code>\w+)`, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f, ok, _ := p.read([]byte(line), time.Now())
		if !ok || f.seen == nil || f.seen.Txn == nil || f.seen.Txn.STAN != "000123" {
			t.Errorf("%q: %v %+v", line, ok, f.seen)
		}
	}
}
