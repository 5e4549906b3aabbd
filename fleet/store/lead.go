package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	lockLead  = 0x706f7364_78_02 // the number under which one process leads
	leadEvery = 5 * time.Second  // between looks whether the leader is gone, and whether the lock is still ours
)

// Lead runs something in one process of all that have this store open, again and again until ctx ends: whoever holds a
// lock of the database leads, and when its connection ends another takes over. SQLite has one process by nature. follow
// is told why this process does not lead, once each time; run's context ends when the lock is lost.
func (s *Store) Lead(ctx context.Context, run func(context.Context) error, follow func(error)) error {
	if !s.pg {
		return run(ctx)
	}
	told := ""
	for ctx.Err() == nil {
		err := s.lead(ctx, func(ctx context.Context) error { told = ""; return run(ctx) })
		if err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			follow(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(leadEvery):
		}
	}
	return nil
}

var errFollows = errors.New("another process leads")

func (s *Store) lead(ctx context.Context, run func(context.Context) error) error {
	c, err := s.write.Conn(ctx) // the lock is this connection's
	if err != nil {
		return fmt.Errorf("ask to lead: %w", err)
	}
	defer c.Close()
	var ours bool
	if err := c.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", int64(lockLead)).Scan(&ours); err != nil {
		return fmt.Errorf("ask to lead: %w", err)
	}
	if !ours {
		return errFollows
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() {
		// Unlocked, or the connection would go back to the pool with the lock.
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadEvery)
		defer cancel()
		c.ExecContext(bound, "SELECT pg_advisory_unlock($1)", int64(lockLead))
	}()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(leadEvery):
			}
			bound, cancel := context.WithTimeout(ctx, leadEvery)
			err := c.PingContext(bound)
			cancel()
			if err != nil {
				stop(fmt.Errorf("lost the lead: %w", err))
				return
			}
		}
	}()
	if err := run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}
