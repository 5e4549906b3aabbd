package board

import (
	"testing"
	"time"
)

// TestDaysThatSoftwareStumblesOver. The days are those of public incidents: 1 January 2010 (German cards, "Y2K+10"), 1
// January 2020 (New York parking meters' card payment), 31 December 2008 (Zune, day 366), 29 February 2024 (fuel pumps
// of New Zealand), 7 April 2019 (GPS week).
func TestDaysThatSoftwareStumblesOver(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	for _, c := range []struct {
		now  time.Time
		name string
		age  time.Duration
	}{
		{time.Date(2010, 1, 1, 0, 5, 0, 0, time.UTC), "year-change", 5 * time.Minute},
		{time.Date(2020, 1, 3, 12, 0, 0, 0, time.UTC), "year-change", 60 * time.Hour},
		{time.Date(2020, 1, 9, 0, 0, 0, 0, time.UTC), "", 0},
		{time.Date(2008, 12, 31, 8, 0, 0, 0, time.UTC), "day-366", 8 * time.Hour},
		{time.Date(2009, 12, 31, 8, 0, 0, 0, time.UTC), "", 0},
		{time.Date(2024, 2, 29, 6, 30, 0, 0, shanghai), "leap-day", 6*time.Hour + 30*time.Minute},
		{time.Date(2024, 3, 1, 6, 0, 0, 0, shanghai), "leap-day", 30 * time.Hour},
		{time.Date(2023, 3, 1, 6, 0, 0, 0, shanghai), "", 0},
		{time.Date(2019, 4, 7, 9, 0, 0, 0, shanghai), "gps-week", time.Hour},
		{time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), "year-change", 0}, // a day after day 366: the newer one
		{time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC), "time-2038", 0},
		{time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), "", 0},
	} {
		got, ok := LastTurn(c.now)
		if ok != (c.name != "") || got.Name != c.name || got.Age != c.age {
			t.Errorf("%v: %+v %v, want %q %v", c.now, got, ok, c.name, c.age)
		}
	}
}
