package firmware

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAPanicIsStartedAgain: a unit that leaves a wrong option or configuration alone must not leave a crash alone, and
// Go's own exit code of a panic is 2. Each unit's environment is put around a program that panics.
func TestAPanicIsStartedAgain(t *testing.T) {
	if os.Getenv("POSDX_TEST_PANIC") != "" {
		done := make(chan bool)
		go func() { panic("on purpose") }()
		<-done
	}
	for _, unit := range []string{"posdx.service", "posdx-fleet.service", "posdx-relay@.service"} {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		run := exec.Command(os.Args[0], "-test.run=^TestAPanicIsStartedAgain$")
		run.Env = append(os.Environ(), "POSDX_TEST_PANIC=1")
		for _, m := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllSubmatch(b, -1) {
			run.Env = append(run.Env, strings.Fields(string(m[1]))...)
		}
		var exit *exec.ExitError
		if err := run.Run(); !errors.As(err, &exit) {
			t.Fatalf("%s: a panic ended with %v", unit, err)
		}
		code := exit.ProcessState.String() // "exit status 2", "signal: aborted"
		for _, m := range regexp.MustCompile(`(?m)^RestartPreventExitStatus=(.*)$`).FindAllSubmatch(b, -1) {
			if slices.Contains(strings.Fields(string(m[1])), strings.TrimPrefix(code, "exit status ")) {
				t.Errorf("%s: a panic ends with %s, and is not started again", unit, code)
			}
		}
	}
}
