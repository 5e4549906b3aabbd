package source

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestTheSameReasonIsToldOnce: what is tried again and again fills no log, and what failed, worked and failed is news.
func TestTheSameReasonIsToldOnce(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ends := []string{"gone", "gone", "held", "held", "works gone", "", "gone", "works gone", "works gone"}
	var told []string
	Keep(ctx, 0, func(works func()) error {
		if len(ends) == 0 {
			stop()
			return errors.New("told to stop")
		}
		end := ends[0]
		ends = ends[1:]
		if end == "" {
			return nil
		}
		if end == "works gone" {
			works()
			end = "gone"
		}
		return errors.New(end)
	}, func(err error) { told = append(told, err.Error()) })
	if want := []string{"gone", "held", "gone", "gone", "gone"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
