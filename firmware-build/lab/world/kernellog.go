package world

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A KernelLog stands in for /dev/kmsg, over which it is to be mounted: what the kernel of this machine complains of
// says nothing about a simulated terminal.
type KernelLog struct {
	file *os.File
	seq  int
}

// OpenKernelLog makes a kernel's log at path, a FIFO in packet mode: one read, one record, as /dev/kmsg has it.
func OpenKernelLog(path string) (*KernelLog, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	k := &KernelLog{file: os.NewFile(uintptr(fd), path)}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT|unix.O_NONBLOCK); err != nil {
		k.Close()
		return nil, fmt.Errorf("set packet mode of %s: %w", path, err)
	}
	return k, k.Say("Booting Linux on physical CPU 0x0")
}

// Say has the kernel complain now, of an error each.
func (k *KernelLog) Say(texts ...string) error {
	for _, text := range texts {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			return err
		}
		k.seq++
		if _, err := fmt.Fprintf(k.file, "3,%d,%d,-;%s\n", k.seq, t.Nano()/int64(time.Microsecond), text); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the log.
func (k *KernelLog) Close() error { return k.file.Close() }
