package main

import (
	"context"
	"flag"
	"fmt"

	"posdx/agent/diagnose"
)

// liveFlags are the flags of a diagnosis made now.
type liveFlags struct{}

func addLiveFlags(*flag.FlagSet) *liveFlags { return &liveFlags{} }

// diagnoseLive examines the terminal now.
func diagnoseLive(_ context.Context, s stdio, f *flag.FlagSet, _ *liveFlags, _ diagnose.Options, _, _ bool) int {
	fmt.Fprintln(s.err, "posdx diagnose: --replay FILE is missing; examining this terminal is not built in")
	return exitUsage
}
