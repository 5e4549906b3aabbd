package main

import (
	"os"
	"slices"
	"strings"
	"syscall"
)

// noPreemption is the setting without which a signal may save registers, and card data in them, on a stack where nobody
// can zero them.
const noPreemption = "asyncpreemptoff=1"

// handlesCards are the commands through which card data may pass.
var handlesCards = []string{"run", "relay", "console"}

// unpreempted starts the program anew, once and in the same process, if a command may meet card data and the runtime
// would stop it by signals in the middle: whoever starts it by hand has not read the unit. What goes wrong is no reason
// not to run.
func unpreempted(args, env []string, exec func(path string, args, env []string) error) {
	if len(args) < 2 || !slices.Contains(handlesCards, args[1]) {
		return
	}
	setting, had := "", -1
	for i, e := range env {
		if v, ok := strings.CutPrefix(e, "GODEBUG="); ok {
			setting, had = v, i
		}
	}
	if slices.Contains(strings.Split(setting, ","), noPreemption) {
		return
	}
	if setting != "" {
		setting += ","
	}
	setting = "GODEBUG=" + setting + noPreemption
	env = slices.Clone(env)
	if had < 0 {
		env = append(env, setting)
	} else {
		env[had] = setting
	}
	if path, err := os.Executable(); err == nil {
		_ = exec(path, args, env)
	}
}

func startUnpreempted() { unpreempted(os.Args, os.Environ(), syscall.Exec) }
