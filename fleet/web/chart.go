package web

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A series is one row of a course: what it is called, where it leads, and its count in each step.
type series struct {
	Name, Link string
	Class      string // colour: s0 to s5
	Counts     []float64
	Total      float64
}

// A course is how something went over time, as a picture and as a table.
type course struct {
	Title  string
	Unit   string
	Steps  []time.Time // beginnings
	Each   time.Duration
	Series []series
	Apart  bool                 // the steps count the same ones again, so that no sum over them means anything
	counts map[string][]float64 // of every series, by what it is of
	*page
}

// enter writes a course into a sheet of what is counted, in which unit, when, for how many seconds, and how many: every
// series, by its id.
func (c *course) enter(t *sheet, unit string) {
	for _, id := range slices.Sorted(maps.Keys(c.counts)) {
		for i, n := range c.counts[id] {
			t.add(id, unit, c.Steps[i], int(c.Each/time.Second), n)
		}
	}
}

func courseSheet() *sheet { return newSheet("series", "unit", "from", "seconds", "count") }

// colours is how many series have one of their own; the rest are one.
const colours = 5

// newCourse makes a course of counts by name: the largest have a row of their own, the rest are "other".
func newCourse(p *page, title string, from time.Time, steps int, each time.Duration, counts map[string][]float64,
	name func(string) string, link func(string) string) *course {
	c := &course{Title: title, Each: each, counts: counts, page: p}
	for i := range steps {
		c.Steps = append(c.Steps, from.Add(time.Duration(i)*each))
	}
	var all []series

	for id, list := range counts {
		s := series{Name: name(id), Link: link(id), Counts: list}
		for _, n := range list {
			s.Total += n
		}
		if s.Total > 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b series) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total),
			strings.Compare(a.Name, b.Name))
	})
	rest := series{Name: p.T("other"), Class: fmt.Sprint("s", colours), Counts: make([]float64, steps)}
	for i, s := range all {
		if i < colours {
			s.Class = fmt.Sprint("s", i)
			c.Series = append(c.Series, s)
			continue
		}
		for k, n := range s.Counts {
			rest.Counts[k] += n
		}
		rest.Total += s.Total
	}
	if rest.Total > 0 {
		c.Series = append(c.Series, rest)
	}
	return c
}

// Size of a picture in its own units; it is as wide as its place.
const (
	chartW, chartH     = 640, 170
	chartLeft, chartUp = 62, 14 // room for the figures at the size that they have on a telephone
	chartRight, chartD = 6, 22
	chartTick          = 26 // half of a time at that size
)

// Empty tells whether there is nothing to draw.
func (c *course) Empty() bool { return len(c.Series) == 0 }

// SVG draws the course as stacked columns.
func (c *course) SVG() template.HTML {
	var b strings.Builder
	top := 0.0
	for i := range c.Steps {
		sum := 0.0
		for _, s := range c.Series {
			sum += s.Counts[i]
		}
		top = max(top, sum)
	}
	top = round(top)
	w, h := float64(chartW-chartLeft-chartRight), float64(chartH-chartUp-chartD)
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartW, chartH, html.EscapeString(c.Title))
	for _, part := range []float64{0, 0.5, 1} {
		y := chartUp + h*(1-part)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			chartLeft, chartW-chartRight, y, y, chartLeft-5, y+4, html.EscapeString(c.Num(top*part)))
	}
	wide := w / float64(len(c.Steps))
	for i, t := range c.Steps {
		x := chartLeft + wide*float64(i)
		sum, says := 0.0, ""
		y := chartUp + h
		var columns strings.Builder
		for _, s := range c.Series {
			n := s.Counts[i]
			if n <= 0 {
				continue
			}
			high := n / top * h
			y -= high
			fmt.Fprintf(&columns, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, s.Class, x+0.5, y, max(0.5, wide-1), high)
			sum += n
			says += "\n" + s.Name + ": " + c.Num(n)
		}
		if sum > 0 {
			fmt.Fprintf(&b, `<g><title>%s: %s%s</title>%s</g>`, c.Minute(t), html.EscapeString(c.Num(sum)), html.EscapeString(says), columns.String())
		}
	}
	for _, i := range c.ticks() {
		t := c.Steps[i].Local()
		text := t.Format("15:04")
		if c.Each >= 24*time.Hour || t.Hour() == 0 && t.Minute() == 0 || len(c.Steps)*int(c.Each/time.Hour) > 48 {
			text = t.Format("01-02")
		}
		x := min(max(chartLeft+wide*(float64(i)+0.5), chartLeft+chartTick), chartW-chartTick)
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, chartH-6, text)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}

// ticks are the steps that are named: about seven.
func (c *course) ticks() []int {
	every := max(1, int(math.Ceil(float64(len(c.Steps))/7)))
	var list []int
	for i := range c.Steps {
		if i%every == 0 {
			list = append(list, i)
		}
	}
	return list
}

// round is the next number that is easily read.
func round(x float64) float64 {
	if x <= 2 {
		return 2
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 4, 6, 8, 10} {
		if x <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

// Head names the steps of the table.
func (c *course) Head(i int) string { return c.Minute(c.Steps[i]) }
