package keeper

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestWhatWorkNeededIsGivenBack: what is mapped of the program's file becomes less, and everything goes on working.
func TestWhatWorkNeededIsGivenBack(t *testing.T) {
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
	shed := Shed()
	before := mapped()
	shed()
	if after := mapped(); after >= before {
		t.Errorf("%d kB of the program were mapped before, %d are now", before, after)
	}
}
