package paylog

import "time"

// Times of a log's clock.
const (
	clockSlack = 2 * time.Second  // a log writes whole seconds, and some round them
	zoneStep   = 15 * time.Minute // every time zone is a multiple of it
)

// A logClock relates the times that the writer of a log gives to the terminal's clock. The writer may be in another
// time zone or have a clock of its own. When a line came is known without it, to within one look at the file; its own
// time adds the exact moment.
type logClock struct {
	off time.Duration // the terminal's time less the log's
}

// when returns when a line was written that gives the time at. It came after from and not after to; from is zero if
// that is not known, because the log was not being read then. moved tells that the log's clock differs from the
// terminal's by another span than before.
func (c *logClock) when(at, from, to time.Time) (t time.Time, moved bool) {
	t = at.Add(c.off)
	if from.IsZero() {
		// An old line may be of any time but the future.
		if t.After(to) {
			t = to
		}
		return t, false
	}
	if t.Before(from.Add(-clockSlack)) || t.After(to.Add(clockSlack)) {
		c.off = to.Sub(at)
		if zone := c.off.Round(zoneStep); between(at.Add(zone), from.Add(-clockSlack), to.Add(clockSlack)) {
			c.off = zone
		}
		t, moved = at.Add(c.off), true
	}
	if t.Before(from) {
		t = from
	} else if t.After(to) {
		t = to
	}
	return t, moved
}

func between(t, from, to time.Time) bool { return !t.Before(from) && !t.After(to) }
