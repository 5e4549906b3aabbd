package diagnose

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// readStories reads a file of cases, one a line.
func readStories(t testing.TB, file string) []testCase {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []testCase
	for s := bufio.NewScanner(f); s.Scan(); {
		var c testCase
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatalf("%s, line %d: %v", file, len(list)+1, err)
		}
		list = append(list, c)
	}
	return list
}

// A tallyOf is what came of a set of cases.
type tallyOf struct {
	n, first, three, wrong, sure, sureWrong int
	ece                                     float64
}

func scoreStories(t *testing.T, list []testCase, say func(string, ...any)) tallyOf {
	k := knowledge(t)
	var s tallyOf
	var said, right [10]float64
	for _, c := range list {
		d := Explain(c.Event, c.Evidence, k, Options{Lang: "en"})
		wrong := c.judge(&d)
		if len(wrong) > 0 {
			s.wrong++
			say("%s: %s", c.Name, strings.Join(wrong, ", "))
		}
		if c.Expect.Top == nil {
			continue
		}
		s.n++
		hit := !slices.Contains(wrong, "first is "+d.Causes[0].ID)
		p := d.Causes[0].Probability
		s.first += pickInt(hit, 1, 0)
		s.three += pickInt(slices.Contains(wrong, "not among the first three"), 0, 1)
		s.sure += pickInt(p >= 0.95, 1, 0)
		s.sureWrong += pickInt(p >= 0.95 && !hit, 1, 0)
		bin := min(9, int(p*10))
		said[bin] += p
		right[bin] += float64(pickInt(hit, 1, 0))
	}
	for b := range said {
		s.ece += math.Abs(said[b] - right[b])
	}
	s.ece /= float64(s.n)
	return s
}

// TestUnseen scores stories from public incidents, shops and forums that were written before anybody looked at how they
// are answered. The open half may be worked on; of the frozen half only the sums are printed, so that nobody tunes on
// it.
func TestUnseen(t *testing.T) {
	for _, half := range []string{"open", "frozen"} {
		say := func(string, ...any) {}
		if half == "open" || os.Getenv("POSDX_OPEN_FROZEN") != "" {
			say = t.Logf
		}
		s := scoreStories(t, readStories(t, "testdata/unseen/"+half+".jsonl"), say)
		t.Logf("%s: first %d of %d, among three %d, something wrong in %d, calibration error %.3f, wrong of those said at 95 %%: %d of %d",
			half, s.first, s.n, s.three, s.wrong, s.ece, s.sureWrong, s.sure)
	}
}
