package keeper

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// shedAfter is when starting is over, also where the first connection takes its time.
const shedAfter = time.Minute

// Shed gives back, once, the pages of the program's own file that starting needed and running does not: half of what
// the process holds otherwise. They stay in the kernel's page cache, where they are the first to go when memory is
// short; what is needed again is mapped again, without reading the flash. Pages that can be written are not touched.
func Shed(ctx context.Context) error {
	t := time.NewTimer(shedAfter)
	defer t.Stop()
	select {
	case <-t.C:
		_ = shed() // a kernel that refuses costs memory, nothing else
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

func shed() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
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
			return err
		}
		to, err := strconv.ParseUint(behind, 16, 64)
		if err != nil {
			return err
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED); errno != 0 {
			return errno
		}
	}
	return nil
}
