// Package stamp gives documents their times and ids.
package stamp

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"posdx/agent/report"

	"golang.org/x/sys/unix"
)

// Floor is a moment that has certainly passed: a clock before it is wrong, even if the kernel calls it synchronised.
var Floor = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// A Stamper gives documents their times: wall time, time since boot, boot id and whether the clock is believed.
type Stamper struct {
	BootID string
	boot   uint64 // starts of the agent
	next   atomic.Uint64
}

// New makes a stamper for one start of the agent, whose number is part of every id.
func New(boot uint64) *Stamper {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		b = []byte("unknown")
	}
	return &Stamper{BootID: strings.TrimSpace(string(b)), boot: boot}
}

// Event gives an event its id and its times.
func (s *Stamper) Event(e *report.Event) {
	now := time.Now()
	e.ID = fmt.Sprintf("%06x-%010x", s.boot, s.next.Add(1))
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.UptimeMS, e.BootID, e.ClockTrusted = UptimeMS(), s.BootID, ClockTrusted(now)
}

// UptimeMS is the time since boot in milliseconds, sleep included (CLOCK_BOOTTIME).
func UptimeMS() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return t.Nano() / int64(time.Millisecond)
}

// ClockTrusted reports whether the kernel calls its clock synchronised and the time is past the floor (adjtimex(2)).
func ClockTrusted(now time.Time) bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 && now.After(Floor)
}
