package serial

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Counters are what a UART has counted since its driver was loaded, or since another Counters.
type Counters struct {
	RX, TX  uint64 // characters
	Frame   uint64 // no stop bit where one belongs: wrong speed, noise
	Parity  uint64
	Overrun uint64 // characters lost because they were not fetched in time, in the chip or the kernel
	Break   uint64 // the line held low: a cable pulled or cut, often
}

// Errors is the number of characters that were damaged or lost.
func (c Counters) Errors() uint64 { return c.Frame + c.Parity + c.Overrun }

// Since is what was added after an earlier reading. A counter that went back, as after its driver was loaded again,
// counts from zero.
func (c Counters) Since(earlier Counters) Counters {
	d := func(now, then uint64) uint64 {
		if now < then {
			return now
		}
		return now - then
	}
	return Counters{d(c.RX, earlier.RX), d(c.TX, earlier.TX), d(c.Frame, earlier.Frame),
		d(c.Parity, earlier.Parity), d(c.Overrun, earlier.Overrun), d(c.Break, earlier.Break)}
}

// icounter is struct serial_icounter_struct of linux/serial.h.
type icounter struct {
	cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, bufOverrun int32

	_ [9]int32
}

// CountersOf asks the UART behind an open descriptor (TIOCGICOUNT). One that counts nothing, as a pty, is an error.
func CountersOf(fd int) (Counters, error) {
	var c icounter
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&c))); e != 0 {
		return Counters{}, e
	}
	n := func(i int32) uint64 { return uint64(uint32(i)) }
	return Counters{n(c.rx), n(c.tx), n(c.frame), n(c.parity), n(c.overrun) + n(c.bufOverrun), n(c.brk)}, nil
}

// PortCounters reads the counts of a port without opening it, from /proc/tty/driver. It needs the right to read that
// folder. Not every driver counts there, those of USB ports do not: then the error is fs.ErrNotExist.
func PortCounters(path string) (Counters, error) { return portCounters("/proc", path) }

func portCounters(proc, path string) (Counters, error) {
	name := strings.TrimPrefix(real(path), "/dev/")
	driver, index, err := driverOf(proc, name)
	if err != nil {
		return Counters{}, err
	}
	f, err := os.Open(filepath.Join(proc, "tty/driver", driver))
	if err != nil {
		return Counters{}, fmt.Errorf("line errors of %s: %w", name, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if n, c, ok := parseCounters(lines.Text()); ok && n == index {
			return c, nil
		}
	}
	return Counters{}, fmt.Errorf("line errors of %s: not in tty/driver/%s: %w", name, driver, os.ErrNotExist)
}

// driverOf finds in /proc/tty/drivers which driver a tty belongs to, and its number there: "serial /dev/ttyS 4 64-95
// serial".
func driverOf(proc, name string) (driver string, index int, err error) {
	f, err := os.Open(filepath.Join(proc, "tty/drivers"))
	if err != nil {
		return "", 0, fmt.Errorf("line errors of %s: %w", name, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 5 {
			continue
		}
		digits, ok := strings.CutPrefix(name, strings.TrimPrefix(w[1], "/dev/"))
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 {
			return w[0], n, nil
		}
	}
	return "", 0, fmt.Errorf("line errors of %s: no driver: %w", name, os.ErrNotExist)
}

// parseCounters reads a line of /proc/tty/driver/*: "0: uart:16550A port:000003F8 irq:4 tx:11 rx:0 fe:2 RTS|DTR".
// Drivers print an error count only when it is not zero, and counts at all only to the privileged.
func parseCounters(s string) (index int, c Counters, ok bool) {
	head, rest, found := strings.Cut(s, ":")
	index, err := strconv.Atoi(strings.TrimSpace(head))
	if !found || err != nil || index < 0 {
		return 0, c, false
	}
	for _, w := range strings.Fields(rest) {
		key, value, _ := strings.Cut(w, ":")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "rx":
			c.RX, ok = n, true
		case "tx":
			c.TX, ok = n, true
		case "fe":
			c.Frame = n
		case "pe":
			c.Parity = n
		case "oe":
			c.Overrun = n
		case "brk":
			c.Break = n
		}
	}
	return index, c, ok
}
