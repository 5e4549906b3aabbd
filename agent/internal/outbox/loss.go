package outbox

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"posdx/agent/report"
)

// A loss is what was dropped and is not yet reported.
type loss struct {
	spans  [][2]uint64 // ascending, apart from each other
	doubts [][2]uint64 // lost but for what the other stream holds there
	counts map[string]int
	fresh  map[string]int // of counts, what no report has told and Stats does not have yet
	reason string
}

func (l *loss) add(first, last uint64, reason string) {
	if l.counts == nil {
		l.counts, l.reason = map[string]int{}, reason
	}
	i, _ := slices.BinarySearchFunc(l.spans, first, func(s [2]uint64, seq uint64) int { return cmp.Compare(s[1]+1, seq) })
	j := i
	for j < len(l.spans) && l.spans[j][0] <= last+1 {
		first, last = min(first, l.spans[j][0]), max(last, l.spans[j][1])
		j++
	}
	l.spans = slices.Replace(l.spans, i, j, [2]uint64{first, last})
}

func (l *loss) doubt(first, last uint64) {
	if l.counts == nil {
		l.counts, l.reason = map[string]int{}, "corrupt"
	}
	l.doubts = append(l.doubts, [2]uint64{first, last})
}

func (l *loss) count(kind string, n int) {
	if n <= 0 {
		return
	}
	l.counts[kind] += n
	if l.fresh == nil {
		l.fresh = map[string]int{}
	}
	l.fresh[kind] += n
}

// below takes away the spans from a number on.
func (l *loss) below(end uint64) {
	spans := l.spans
	l.spans = nil
	for _, s := range spans {
		if s[0] < end {
			l.spans = append(l.spans, [2]uint64{s[0], min(s[1], end-1)})
		}
	}
}

func (l *loss) open() bool { return l.counts != nil }

// join adds another loss.
func (l *loss) join(m loss) {
	for _, s := range m.spans {
		l.add(s[0], s[1], m.reason)
	}
	for k, n := range m.counts {
		l.count(k, n)
		if l.fresh[k] -= n - m.fresh[k]; l.fresh[k] == 0 {
			delete(l.fresh, k)
		}
	}
}

// absorb takes over the content of an older report of loss: that record is removed before the fleet is known to have
// read it. Its number is in the ranges of the new report, which shows a reader who has both that one contains the
// other.
func (l *loss) absorb(doc []byte, reason string) {
	var r report.Dropped
	if json.Unmarshal(doc, &r) != nil {
		return
	}
	l.join(loss{spans: spans(r), counts: r.Counts, reason: reason})
}

// spans are the sequences that a report names.
func spans(r report.Dropped) [][2]uint64 {
	if len(r.Ranges) > 0 {
		return r.Ranges
	}
	if r.First > 0 && r.First <= r.Last {
		return [][2]uint64{{r.First, r.Last}}
	}
	return nil
}

// resolve turns doubts into certainties by looking at what is still held.
func (d *disk) resolve() {
	for len(d.loss.doubts) > 0 {
		span := d.loss.doubts[0]
		d.loss.doubts = d.loss.doubts[1:]
		for at := span[0]; at <= span[1]; {
			held := span[1] + 1
			for st := range d.segs {
				if _, p, ok := d.seek(st, at-1); ok {
					held = min(held, p.seq)
				}
			}
			if held > at {
				d.loss.add(at, held-1, "corrupt")
			}
			at = held + 1
		}
	}
	if len(d.loss.spans) == 0 {
		d.loss = loss{} // nothing is missing after all
	}
}

// maxSpans bounds the ranges in one report.
const maxSpans = 256

// maxReports bounds the reports written in one turn.
const maxReports = 8

// split takes off as much as fits into one report.
func (l *loss) split() (part, rest loss) {
	if len(l.spans) <= maxSpans {
		return *l, loss{}
	}
	part, rest = *l, loss{counts: map[string]int{}, reason: l.reason, spans: l.spans[maxSpans:]}
	part.spans = l.spans[:maxSpans:maxSpans]
	return part, rest
}

// frame is the report of a loss.
func (l *loss) frame(boot uint64) frame {
	now := time.Now()
	r := report.Dropped{Time: now.UTC(), Counts: l.counts, Reason: l.reason, Ranges: l.spans}
	if n := len(l.spans); n > 0 {
		r.First, r.Last = l.spans[0][0], l.spans[n-1][1]
	}
	doc, err := json.Marshal(r)
	if err != nil {
		panic("outbox: a report of loss is always JSON: " + err.Error())
	}
	return frame{boot: boot, time: nano(now), critical: true, kind: report.KindDropped, doc: doc}
}
