package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"posdx/agent/report"

	"golang.org/x/sys/unix"
)

// floor is a moment that has certainly passed: a clock before it is wrong, whatever the kernel believes of it.
var floor = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// A stamper dates documents: wall time, time since boot, boot id and whether the clock is believed.
type stamper struct {
	bootID string
	boot   uint64 // starts of the agent
	next   atomic.Uint64
}

func newStamper(boot uint64) *stamper {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		b = []byte("unknown")
	}
	return &stamper{bootID: strings.TrimSpace(string(b)), boot: boot}
}

// event gives an event its id and its times.
func (s *stamper) event(e *report.Event) {
	now := time.Now()
	e.ID = fmt.Sprintf("%06x-%010x", s.boot, s.next.Add(1))
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.UptimeMS, e.BootID, e.ClockTrusted = uptimeMS(), s.bootID, clockTrusted(now)
}

// uptimeMS is the time since boot in milliseconds, sleep included (CLOCK_BOOTTIME).
func uptimeMS() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return t.Nano() / int64(time.Millisecond)
}

// clockTrusted says whether the kernel calls its clock synchronised and the time is past the floor (adjtimex(2)).
func clockTrusted(now time.Time) bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 && now.After(floor)
}
