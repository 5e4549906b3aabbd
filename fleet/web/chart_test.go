package web

import (
	"regexp"
	"strconv"
	"testing"
	"time"
)

// The times under a picture lie within it, also as large as a telephone shows them: none is cut off at the right, none
// lies over the figures at the left.
func TestTimesUnderAChartAreWhole(t *testing.T) {
	const half = 5 * 0.6 * 17 / 2 // of 15:04 in the largest .tick of style.css
	tick := regexp.MustCompile(`x="([0-9.]+)" y="\d+" text-anchor="middle"`)
	for steps := 1; steps <= 90; steps++ {
		c := newCourse(&page{Lang: "en"}, "x", time.Unix(1e9, 0), steps, time.Minute, map[string][]float64{"a": make([]float64, steps)},
			func(s string) string { return s }, func(string) string { return "" })
		all := tick.FindAllStringSubmatch(string(c.SVG()), -1)
		if len(all) == 0 {
			t.Fatalf("%d steps: no time is told", steps)
		}
		before := 0.0
		for _, m := range all {
			x, err := strconv.ParseFloat(m[1], 64)
			if err != nil || x-half < chartLeft-2 || x+half > chartW || before > 0 && x-before < 2*half {
				t.Errorf("%d steps: a time at %s of %d to %d, the one before at %.1f", steps, m[1], chartLeft, chartW, before)
			}
			before = x
		}
	}
}
