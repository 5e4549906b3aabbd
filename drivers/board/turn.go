package board

import "time"

// A Turn is a day over which software is known to stumble: a year that changes, 29 February, day 366, the ten bits of
// GPS weeks, the end of 32-bit seconds. Name is a word of the documents; Age says how long ago it began.
type Turn struct {
	Name string
	Age  time.Duration
}

// turnLasts is how long after its beginning a turn may still cause trouble: a terminal that was off over the holidays
// meets it when it is switched on.
const turnLasts = 4 * 24 * time.Hour

// Turns of the GPS week (IS-GPS-200 3.3.4: ten bits, from 6 January 1980) and the end of seconds in 32 bits since 1970.
var fixedTurns = []struct {
	name string
	at   time.Time
}{
	{"gps-week", time.Date(2019, 4, 7, 0, 0, 0, 0, time.UTC)},
	{"gps-week", time.Date(2038, 11, 21, 0, 0, 0, 0, time.UTC)},
	{"time-2038", time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC)},
}

// LastTurn returns the newest turn that may still cause trouble, by the clock and time zone of now; ok is false if
// there is none.
func LastTurn(now time.Time) (t Turn, ok bool) {
	take := func(name string, at time.Time) {
		if age := now.Sub(at); age >= 0 && age < turnLasts && (!ok || age < t.Age) {
			t, ok = Turn{name, age}, true
		}
	}
	y := now.Year()
	leap := time.Date(y, 2, 29, 0, 0, 0, 0, now.Location())
	if leap.Day() == 29 {
		take("leap-day", leap)
		take("day-366", time.Date(y, 12, 31, 0, 0, 0, 0, now.Location()))
	}
	take("year-change", time.Date(y, 1, 1, 0, 0, 0, 0, now.Location()))
	for _, f := range fixedTurns {
		take(f.name, f.at)
	}
	return t, ok
}
