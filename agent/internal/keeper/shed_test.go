package keeper

import (
	"os"
	"slices"
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

// What a loader wrote before it was made read-only is not given back: it would read as the file has it, and the program
// would jump to nowhere.
func TestWhatALoaderWroteIsKept(t *testing.T) {
	const smaps = `556a000-5576000 r--p 00000000 fe:00 1692 /usr/bin/posdx
Size:                 10 kB
Anonymous:             0 kB
5576000-5676000 r-xp 0001c000 fe:00 1692                   /usr/bin/posdx
Size:               1024 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
5676000-567e000 r--p 0011c000 fe:00 1692                   /usr/bin/posdx
Anonymous:            32 kB
567e000-5680000 rw-p 00124000 fe:00 1692                   /usr/bin/posdx
Anonymous:             8 kB
7f00000-7f10000 r-xp 00000000 fe:00 12                     /lib/other/usr/bin/posdx
Anonymous:             0 kB
7f20000-7f30000 r-xp 00000000 00:00 0
Anonymous:             0 kB
`
	got, err := spansOf(smaps, "/usr/bin/posdx")
	if want := [][2]uintptr{{0x556a000, 0x5576000}, {0x5576000, 0x5676000}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
}
