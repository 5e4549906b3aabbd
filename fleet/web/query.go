package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"posdx/agent/report"
	"posdx/fleet/store"
)

// pageRows is how many rows a page shows; on a telephone they are cards, so few.
const pageRows = 25

// spans are the times that can be chosen by one click.
var spans = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

// known refuses a value of the address that a page does not know: a list that silently ignored it would be taken for
// the one that was asked for.
func known(q url.Values, name string, values ...string) error {
	v := q.Get(name)
	if v == "" || slices.Contains(values, v) {
		return nil
	}
	return refuse("%s：%q 不是可选的值，可选：%s", "%s: %q is not one of the values there are: %s", name, cutText(v, 40),
		strings.Join(values, " "))
}

// cutText bounds what an error repeats of what somebody sent.
func cutText(s string, most int) string {
	r := []rune(strings.ToValidUTF8(s, "?"))
	if len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(r)
}

// A span is the time that a page looks at. Zero times do not restrict.
type span struct{ From, To time.Time }

// spanOf reads range (1h 24h 7d 30d), or from and to: a moment with its zone, or in the fleet's.
func spanOf(q url.Values, now time.Time) (span, error) {
	var s span
	if name := q.Get("range"); name != "" && name != "all" {
		if err := known(q, "range", "1h", "24h", "7d", "30d", "all"); err != nil {
			return s, err
		}
		s.From = now.Add(-spans[name])
		return s, nil
	}
	for name, into := range map[string]*time.Time{"from": &s.From, "to": &s.To} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		var err error
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly} {
			if *into, err = time.ParseInLocation(layout, v, time.Local); err == nil {
				break
			}
		}
		if err != nil {
			return s, refuse("%s：须如 2026-11-21T08:00，或带时区 2026-11-21T08:00:00Z",
				"%s: want 2026-11-21T08:00, or with a zone 2026-11-21T08:00:00Z", name)
		}
	}
	return s, nil
}

// placeOf reads the dimensions of a place: site=…, carrier=…
func placeOf(q url.Values, but ...string) map[string]string {
	var place map[string]string
	for _, d := range report.Dimensions {
		if v := q.Get(d); v != "" && !slices.Contains(but, d) {
			if place == nil {
				place = map[string]string{}
			}
			place[d] = v
		}
	}
	return place
}

// filter reads what is asked for: estate, terminal, cause, segment, code, scheme (of the code), entry, card_scheme, q
// (text), a place by its dimensions, a time, limit and before (the next of an earlier answer).
func filter(r *http.Request) (store.Filter, error) {
	q := r.URL.Query()
	f := store.Filter{In: viewer(r).Estates, Estate: q.Get("estate"), Terminal: q.Get("terminal"), Cause: q.Get("cause"), Segment: q.Get("segment"),
		Code: q.Get("code"), Scheme: q.Get("scheme"), Entry: q.Get("entry"), Card: q.Get("card_scheme"), Text: q.Get("q"),
		Place: placeOf(q, "scheme")}
	if err := known(q, "segment", segments...); err != nil {
		return f, err
	}
	s, err := spanOf(q, time.Now())
	if err != nil {
		return f, err
	}
	f.Since, f.Until = s.From, s.To
	if f.Limit, err = limit(r); err != nil {
		return f, err
	}
	if f.Before, err = store.ParsePlace(q.Get("before")); err != nil {
		return f, refuse("before：须为前一答复中的 next", "before: want the next of an earlier answer")
	}
	return f, nil
}

func limit(r *http.Request) (int, error) {
	v := r.URL.Query().Get("limit")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > store.MaxRows {
		return 0, refuse("limit：须为 1 至 %d", "limit: want 1 to %d", store.MaxRows)
	}
	return n, nil
}

// maxSkip bounds how far a list is paged by counting.
const maxSkip = 1_000_000

func skip(r *http.Request) (int, error) {
	v := r.URL.Query().Get("skip")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > maxSkip {
		return 0, refuse("skip：须为 0 至 %d", "skip: want 0 to %d", maxSkip)
	}
	return n, nil
}

// A pager leads through a list.
type pager struct {
	Newest, Older string // addresses; empty: there is none
}

// pages leads on by a parameter of the address: next is its value for the rest, empty at the end.
func (p *page) pages(param, next string) pager {
	var g pager
	if p.query.Get(param) != "" {
		g.Newest = p.With()
	}
	if next != "" {
		g.Older = p.With(param, next)
	}
	return g
}

func address(r *http.Request) report.Address {
	return report.Address{Estate: r.PathValue("estate"), Terminal: r.PathValue("terminal")}
}
