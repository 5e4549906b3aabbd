package board

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Timex is the kernel's own view of its clock (adjtimex(2)).
type Timex struct {
	Synchronised bool          // something disciplines it: NTP, PTP, GNSS
	Offset       time.Duration // still to be corrected
}

// ReadTimex asks the kernel. Reading needs no right.
func ReadTimex() (Timex, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Timex{}, err
	}
	offset := time.Duration(t.Offset) * time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		offset = time.Duration(t.Offset)
	}
	return Timex{
		Synchronised: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		Offset:       offset,
	}, nil
}

// Clock is whether the terminal's time can be believed.
type Clock struct {
	Trusted     bool
	Source      string // ntp host rtc none
	Offset      time.Duration
	OffsetKnown bool // only against something that knows the true time
	BeforeBuild bool // it claims a time before this program was made
	FlatCell    bool // the clock chip has forgotten the time
}

// A Reference is the time as another system gave it: the acquirer's host, in fields 12 and 13 of an answer.
type Reference struct {
	Offset time.Duration // terminal minus true time
	Age    time.Duration
}

// Limits of belief.
const (
	rtcAgrees    = 2 * time.Minute // the clock chip drifts by a few seconds a day and is written rarely
	referenceOld = 24 * time.Hour  // a cheap crystal drifts by 4 s in a day: still good for a judgement in minutes
)

// JudgeClock decides whether the clock can be believed, by the best witness there is: a clock that is kept in step
// (NTP), else the host's time, else a clock chip that agrees. floor is a time that is certainly past, that of the
// program's build. ref is nil if no host has given a time.
func JudgeClock(root fs.FS, now, floor time.Time, tx Timex, ref *Reference) Clock {
	c := Clock{Source: "none", BeforeBuild: now.Before(floor)}
	rtc, rtcErr := number(root, "sys/class/rtc/rtc0/since_epoch")
	chip := time.Unix(rtc, 0)
	c.FlatCell = rtcErr == nil && chip.Before(floor)
	if ref != nil && ref.Age < referenceOld {
		c.Source, c.Offset, c.OffsetKnown = "host", ref.Offset, true
		c.Trusted = ref.Offset.Abs() < rtcAgrees
	}
	switch {
	case c.BeforeBuild:
		c.Trusted = false
		if !c.OffsetKnown {
			c.Source = "none"
		}
	case tx.Synchronised:
		c.Trusted, c.Source = true, "ntp"
		if !c.OffsetKnown || ref.Age > time.Hour {
			c.Offset, c.OffsetKnown = -tx.Offset, true
		}
		// A host that says otherwise by minutes has the better claim: an attacker or a wrong server can feed NTP.
		if c.Offset.Abs() >= rtcAgrees {
			c.Trusted = false
		}
	case c.Source == "host":
	case rtcErr == nil && !c.FlatCell && now.Sub(chip).Abs() < rtcAgrees:
		c.Trusted, c.Source = true, "rtc"
	}
	return c
}
