package probe

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/serial"
)

// doubtful is the evidence of a check that was not answered.
func doubtful(check evidence.Check, subject string, status report.Status, reason string) report.Evidence {
	if status == report.NotRun {
		return evidence.NotRun(check, subject, reason)
	}
	return evidence.CannotTell(check, subject, reason)
}

// Absent is the probe of a device that is not fitted, not configured or not supported: each of the checks answers
// not-run (absent).
func Absent(subject string, checks ...evidence.Check) Probe {
	return Probe{
		Checks: checks, Subject: subject, Depth: report.Internal, Timeout: quickLimit, Fresh: longFresh,
		Run: func(context.Context) []report.Evidence {
			list := make([]report.Evidence, len(checks))
			for i, c := range checks {
				list[i] = doubtful(c, subject, report.NotRun, report.ReasonAbsent)
			}
			return list
		},
	}
}

// outcome is what an error of the serial port tells about the device: a value of the fact "outcome", or the reason why
// nothing can be told. Both are empty for nil.
func outcome(err error) (outcome, reason string) {
	switch {
	case err == nil:
		return "", ""
	case errors.Is(err, serial.ErrGone):
		return "gone", ""
	case errors.Is(err, serial.ErrBusy):
		return "", report.ReasonInUse
	case errors.Is(err, serial.ErrGarbled):
		return "garbled", ""
	case errors.Is(err, serial.ErrIdle):
		return "silent", ""
	case errors.Is(err, fs.ErrPermission):
		return "", report.ReasonPermission
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "", report.ReasonTimeout
	}
	return "", report.ReasonUnsupported
}

// askOurs opens a port as openOurs does, asks the device on it and closes the port again. baud is the speed where the
// configuration names none.
func askOurs[R any](ctx context.Context, c serial.Config, baud int, dedicated bool,
	ask func(context.Context, serial.Link) (R, error)) (r R, err error) {
	c.Baud, c.HoldDTR = cmp.Or(c.Baud, baud), true
	p, err := openOurs(c, dedicated)
	if err != nil {
		return r, err
	}
	defer p.Close()
	return ask(ctx, p)
}

// openOurs opens a port that no other process holds. A port whose other holders we may not see counts as held, unless
// it is dedicated to posdx: in doubt nothing is touched.
func openOurs(c serial.Config, dedicated bool) (*serial.Port, error) {
	c.MustSee = !dedicated
	return serial.Open(c)
}
