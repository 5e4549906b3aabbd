package registerlink

import (
	"strings"
	"testing"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/drivers/ecr"
)

// TestWhatEndsASaleOnALink tells the story of a link message by message: "sale" and "other" are commands of the
// register, "ok" an approval, "end" an end without a word, "no" a refusal, anything else a code.
func TestWhatEndsASaleOnALink(t *testing.T) {
	for _, c := range []struct{ name, told, want string }{
		{"a sale that goes well", "sale ok end", "start approved"},
		{"a sale that fails, its abort and its end", "sale 51 51 end", "start 51"},
		{"a refusal at once is a result", "sale no", "start no"},
		{"two sales refused alike are two", "sale no sale no", "start no start no"},
		{"a sale that ends without a word", "sale end", "start end"},
		{"a settlement is no sale", "other ok end", ""},
		{"a settlement that fails is a failure", "other 77", "77"},
		{"a poll that is refused is nothing", "other no", ""},
		{"a poll within a sale", "sale other end ok end", "start approved"},
		{"a poll that is refused within a sale", "sale other no 51", "start 51"},
		{"a sale within a poll that was not answered", "other sale no", "start no"},
		{"nobody was heard to ask", "no", ""},
		{"only the terminal is heard", "51 ok", "51 approved"},
		{"the end of nothing", "end", ""},
	} {
		d := sourcetest.NewDaemon()
		l := (&Link{Name: "ecr0", Framing: ecr.ZVT}).ear(0, d)
		var got []string
		for w := range strings.FieldsSeq(c.told) {
			f := ecr.Found{Kind: ecr.Result, Code: w, Origin: ecr.FromTerminal}
			switch w {
			case "sale":
				f = ecr.Found{Kind: ecr.Start}
			case "other":
				f = ecr.Found{Kind: ecr.Other}
			case "ok":
				f = ecr.Found{Kind: ecr.Result, Approved: true}
			case "end":
				f = ecr.Found{Kind: ecr.End}
			case "no":
				f.Kind = ecr.Refusal
			}
			marks, codes := len(d.Marks), len(d.All())
			l.found(f)
			l.offer()
			for _, m := range d.Marks[marks:] {
				switch {
				case m.Phase == source.PhaseStart:
					got = append(got, "start")
				case m.Result == source.ResultApproved:
					got = append(got, "approved")
				default:
					got = append(got, "end")
				}
			}
			for _, s := range d.All()[codes:] {
				got = append(got, s.Code)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s: got %q, want %q", c.name, c.told, s, c.want)
		}
	}
}
