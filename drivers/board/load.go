package board

import (
	"fmt"
	"io/fs"
	"strings"
)

// Memory is how much is left.
type Memory struct {
	TotalKB, AvailableKB uint64  // available: on kernels before 3.14, which do not say, what is free, buffers and cache
	Pressure             float64 // per cent of the last 10 s in which something waited for memory
	PressureKnown        bool
	OOMKills             uint64 // since boot
	OOMKnown             bool   // since Linux 4.13
}

// ReadMemory reads /proc/meminfo, /proc/pressure/memory and /proc/vmstat. Only the first must be there.
func ReadMemory(root fs.FS) (Memory, error) {
	text, err := read(root, "proc/meminfo")
	if err != nil {
		return Memory{}, err
	}
	m, ok := parseMeminfo(text)
	if !ok {
		return Memory{}, fmt.Errorf("read proc/meminfo: %w", ErrSilent)
	}
	m.Pressure, m.PressureKnown = pressure(root, "memory")
	if s, err := read(root, "proc/vmstat"); err == nil {
		for line := range strings.Lines(s) {
			if v, ok := strings.CutPrefix(line, "oom_kill "); ok {
				m.OOMKills, m.OOMKnown = count(strings.TrimSpace(v))
			}
		}
	}
	return m, nil
}

func parseMeminfo(text string) (Memory, bool) {
	var m Memory
	var rest uint64
	known := false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		n, ok := count(f[0])
		if !ok || n > 1<<50 {
			continue
		}
		switch name {
		case "MemTotal":
			m.TotalKB = n
		case "MemAvailable":
			m.AvailableKB, known = n, true
		case "MemFree", "Buffers", "Cached":
			rest += n
		}
	}
	if !known {
		m.AvailableKB = rest
	}
	return m, m.TotalKB > 0 && m.AvailableKB <= m.TotalKB
}

// pressure reads the first average of a line of /proc/pressure (accounting/psi.rst, since Linux 4.20; may be off).
func pressure(root fs.FS, what string) (float64, bool) {
	s, err := read(root, "proc/pressure/"+what)
	if err != nil {
		return 0, false
	}
	return parsePressure(s)
}

func parsePressure(text string) (float64, bool) {
	line, ok := strings.CutPrefix(text, "some ")
	if !ok {
		return 0, false
	}
	line, _, _ = strings.Cut(line, "\n")
	v, ok := field(line, "avg10=")
	if !ok {
		return 0, false
	}
	f, ok := decimal(v)
	return f, ok && f >= 0 && f <= 100
}

// CPU is how busy the processors are.
type CPU struct {
	Load1         float64 // runnable and waiting tasks, the average of a minute
	Processors    int     // 0: not known
	Pressure      float64 // per cent of the last 10 s in which something waited for a processor
	PressureKnown bool
}

// ReadCPU reads /proc/loadavg, /proc/pressure/cpu and the list of processors that are on.
func ReadCPU(root fs.FS) (CPU, error) {
	s, err := read(root, "proc/loadavg")
	if err != nil {
		return CPU{}, err
	}
	var c CPU
	ok := false
	if f := strings.Fields(s); len(f) > 0 {
		c.Load1, ok = decimal(f[0])
	}
	if !ok || c.Load1 < 0 {
		return CPU{}, fmt.Errorf("read proc/loadavg: %w", ErrSilent)
	}
	c.Pressure, c.PressureKnown = pressure(root, "cpu")
	if s, err := read(root, "sys/devices/system/cpu/online"); err == nil {
		c.Processors = parseCPUList(s)
	}
	return c, nil
}

// parseCPUList counts the processors of "0-3,6".
func parseCPUList(s string) int {
	n := 0
	for part := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		a, ok := count(from)
		if !ok {
			return 0
		}
		b := a
		if ranged {
			if b, ok = count(to); !ok {
				return 0
			}
		}
		if b < a || b > 4096 {
			return 0
		}
		n += int(b - a + 1)
	}
	return n
}
