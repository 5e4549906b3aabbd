package keeper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Shed returns a function that gives back to the kernel the pages of the program's own file that the process has
// touched. It is called when a round of background checks is over: starting up, such a round or a diagnosis needs
// twice the memory that waiting does. The pages stay in the kernel's page cache, from which they are the first to go
// when memory is short; a page that is needed again is mapped again, and read from flash only if it has gone. Pages
// that can be written are not touched. Goroutines may run meanwhile; the function itself must not be called twice at
// once.
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
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return spansOf(string(maps), self)
}

// spansOf reads them from smaps (proc_pid_smaps(5)). What cannot be written now may have been, when a loader put
// addresses into it (RELRO of a program that is linked dynamically or as PIE): such pages are the process's own, are
// counted as anonymous, and to give them back would lose what was written.
func spansOf(maps, self string) (spans [][2]uintptr, err error) {
	ours := false
	for line := range strings.Lines(maps) {
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name, isField := strings.CutSuffix(first, ":"); isField {
			if ours && name == "Anonymous" && strings.TrimSpace(rest) != "0 kB" {
				spans = spans[:len(spans)-1]
				ours = false
			}
			continue
		}
		// 00010000-00576000 r-xp 00000000 fe:00 1692 /usr/bin/posdx
		perms, _, _ := strings.Cut(rest, " ")
		if ours = strings.HasSuffix(rest, " "+self) && !strings.Contains(perms, "w"); !ours {
			continue
		}
		from, to, _ := strings.Cut(first, "-")
		var span [2]uintptr
		for i, s := range [...]string{from, to} {
			n, err := strconv.ParseUint(s, 16, 64)
			if err != nil {
				return nil, err
			}
			span[i] = uintptr(n)
		}
		spans = append(spans, span)
	}
	return spans, nil
}
