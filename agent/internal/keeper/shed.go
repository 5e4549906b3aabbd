package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shed returns what gives back the pages of the program's own file that the process has touched: it is called when a
// piece of work is over, because what starting, a round of checks or a diagnosis needs is twice what waiting does. The
// pages stay in the kernel's page cache, where they are the first to go when memory is short; what is needed again is
// mapped again, without reading the flash. Pages that can be written are not touched.
func Shed() func() {
	spans, err := unwritable()
	return func() {
		for _, s := range spans {
			if err != nil {
				return // /proc is not there: costs memory, nothing else
			}
			_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, s[0], s[1]-s[0], unix.MADV_DONTNEED)
			if errno != 0 {
				err = errno
			}
		}
	}
}

// unwritable is where the program's file is mapped and cannot be written: its code and its tables.
func unwritable() (spans [][2]uintptr, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		span, rest, _ := strings.Cut(line, " ") // 00010000-00576000 r-xp 00000000 fe:00 1692 /usr/bin/posdx
		perms, _, _ := strings.Cut(rest, " ")
		if !strings.HasSuffix(strings.TrimSpace(rest), self) || strings.Contains(perms, "w") {
			continue
		}
		first, behind, _ := strings.Cut(span, "-")
		from, err := strconv.ParseUint(first, 16, 64)
		if err != nil {
			return nil, err
		}
		to, err := strconv.ParseUint(behind, 16, 64)
		if err != nil {
			return nil, err
		}
		spans = append(spans, [2]uintptr{uintptr(from), uintptr(to)})
	}
	return spans, nil
}
