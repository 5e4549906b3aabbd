package serial

import (
	"context"
	"errors"
	"os"
	"time"
)

// Bind sets a link's deadlines to end, or to the context's if that is earlier, and brings them forward when the context
// is cancelled. The caller must call stop before it binds the link again.
func Bind(ctx context.Context, link Link, end time.Time) (stop func(), err error) {
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	if err := link.SetWriteDeadline(end); err != nil {
		return nil, err
	}
	if err := link.SetReadDeadline(end); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		past := time.Unix(1, 0)
		link.SetReadDeadline(past)
		link.SetWriteDeadline(past)
		close(done)
	})
	return func() {
		if !release() {
			<-done
		}
	}, nil
}

// Why is the reason for the end of a bound operation: the context's if that has ended, err otherwise.
func Why(ctx context.Context, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		return context.DeadlineExceeded // the link's clock was a little faster than the context's
	}
	if errors.Is(err, ErrIdle) {
		return err
	}
	return ErrIdle
}
