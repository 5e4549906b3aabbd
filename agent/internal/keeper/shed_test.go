package keeper

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestStartingIsGivenBack: what is mapped of the program's file becomes less, and everything goes on working.
func TestStartingIsGivenBack(t *testing.T) {
	mapped := func() int {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(b), "RssFile:")
		if !ok {
			t.Skip("this kernel does not say how much of a process is its file (before Linux 4.5)")
		}
		kb, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return kb
	}
	before := mapped()
	if err := shed(); err != nil {
		t.Fatal(err)
	}
	if after := mapped(); after >= before {
		t.Errorf("%d kB of the program were mapped before, %d are now", before, after)
	}
}
