package board

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// Reasons of the last restart, in the contract's words.
const (
	PowerOnReset     = "PowerOnReset"
	BrownOutReset    = "BrownOutReset"
	HardwareWatchdog = "HardwareWatchdog"
	SoftwareWatchdog = "SoftwareWatchdog"
	KernelPanic      = "KernelPanic"
	UserReset        = "UserReset"
	UnknownReset     = "unknown"
)

// BootID is the kernel's name for this start of the machine.
func BootID(root fs.FS) (string, error) { return read(root, "proc/sys/kernel/random/boot_id") }

// Uptime is the time since the machine started.
func Uptime(root fs.FS) (time.Duration, error) {
	s, err := read(root, "proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(s, " ")
	f, ok := decimal(first)
	if !ok || f < 0 || f > 1e9 {
		return 0, fmt.Errorf("read proc/uptime: %w", ErrSilent)
	}
	return time.Duration(f * float64(time.Second)), nil
}

// A Boot is one start of the machine.
type Boot struct {
	ID string    `json:"id"`
	At time.Time `json:"at"` // as the terminal's clock had it when the start was noted
}

// Boots are the last starts, oldest first.
type Boots []Boot

// maxBoots bounds the list: a machine that restarts every ten minutes fills it in eight hours, and is judged long before.
const maxBoots = 48

// ParseBoots reads what Encode wrote. What cannot be read is an empty list and an error, so that the caller can go on.
func ParseBoots(b []byte) (Boots, error) {
	var l Boots
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("read list of starts: %w", err)
	}
	if len(l) > maxBoots {
		l = l[len(l)-maxBoots:]
	}
	return l, nil
}

// Encode is the list for a file: about 3 kB at most.
func (l Boots) Encode() []byte {
	b, err := json.Marshal(l)
	if err != nil {
		return nil // strings and times always encode
	}
	return b
}

// Note adds this start if it is new; only then is there anything to write.
func (l Boots) Note(id string, at time.Time) (Boots, bool) {
	for _, b := range l {
		if b.ID == id {
			return l, false
		}
	}
	l = append(l[:len(l):len(l)], Boot{id, at.UTC().Truncate(time.Second)})
	if len(l) > maxBoots {
		l = l[len(l)-maxBoots:]
	}
	return l, true
}

// Within counts the starts of the last d before now. A start that claims the future was noted by a wrong clock and does
// not count; this one always does.
func (l Boots) Within(now time.Time, d time.Duration) int {
	n := 0
	for i, b := range l {
		if i == len(l)-1 || !b.At.After(now) && now.Sub(b.At) <= d {
			n++
		}
	}
	return n
}

// Watchdog status bits (include/uapi/linux/watchdog.h).
const (
	wdPowerUnder = 0x10
	wdCardReset  = 0x20
)

// ResetReason finds out why the machine started: from the kernel's own crash record, the reset controller, what the boot
// loader passed on, the watchdog. Only what is surely about this start is believed.
func ResetReason(root fs.FS) string {
	if files, err := list(root, "sys/fs/pstore"); err == nil {
		for _, f := range files {
			if strings.HasPrefix(path.Base(f), "dmesg-") {
				return KernelPanic
			}
		}
	}
	// at91, and others since Linux 6.9: include/linux/power/power_on_reason.h
	looks := maxLooks
	if r := powerOn(root, "sys/devices/platform", platformDepth, &looks); r != UnknownReset {
		return r
	}
	if s, err := read(root, "proc/cmdline"); err == nil {
		for _, w := range strings.Fields(s) {
			key, value, ok := strings.Cut(w, "=")
			switch key {
			case "androidboot.bootreason", "bootreason", "boot_reason", "resetcause", "reset_cause", "powerup_reason", "boot_cause":
				if r := reasonOf(value); ok && r != UnknownReset {
					return r
				}
			}
		}
	}
	dogs, err := list(root, "sys/class/watchdog")
	if err != nil {
		return UnknownReset
	}
	for _, d := range dogs {
		s, err := read(root, d+"/bootstatus")
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(s, 0, 32)
		if err != nil {
			continue
		}
		switch {
		case n&wdPowerUnder != 0:
			return BrownOutReset
		case n&wdCardReset != 0:
			return HardwareWatchdog
		}
	}
	return UnknownReset
}

// Bounds of the search for a reset controller: the folders below platform are the buses of the device tree. Their links
// (subsystem, driver, supplier) lead round in circles and are not followed: an ARM board has fifty thousand ways to come
// four folders deep with them, and some hundred without.
const (
	platformDepth = 4
	maxLooks      = 1024
)

// powerOn looks for a reset controller's reason in the folders below dir.
func powerOn(root fs.FS, dir string, depth int, looks *int) string {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return UnknownReset
	}
	for _, e := range entries {
		if !e.IsDir() || *looks == 0 {
			continue
		}
		*looks--
		name := path.Join(dir, e.Name())
		if s, err := read(root, name+"/power_on_reason"); err == nil {
			if r := reasonOf(s); r != UnknownReset {
				return r
			}
		}
		if depth > 1 {
			if r := powerOn(root, name, depth-1, looks); r != UnknownReset {
				return r
			}
		}
	}
	return UnknownReset
}

// reasonOf understands the words of reset controllers, U-Boot and Android boot loaders.
func reasonOf(s string) string {
	s = strings.ToLower(s)
	for _, r := range []struct{ word, reason string }{
		{"panic", KernelPanic}, {"oops", KernelPanic},
		{"brown", BrownOutReset}, {"bod", BrownOutReset}, {"undervolt", BrownOutReset}, {"uvlo", BrownOutReset}, {"low_volt", BrownOutReset},
		{"sw_wdt", SoftwareWatchdog}, {"soft_wdt", SoftwareWatchdog}, {"software watchdog", SoftwareWatchdog}, {"swdt", SoftwareWatchdog},
		{"watchdog", HardwareWatchdog}, {"wdt", HardwareWatchdog}, {"wdog", HardwareWatchdog}, {"wdg", HardwareWatchdog},
		{"reboot", UserReset}, {"software reset", UserReset}, {"user", UserReset}, {"reset button", UserReset}, {"srst", UserReset},
		{"power-up", PowerOnReset}, {"power_on", PowerOnReset}, {"poweron", PowerOnReset}, {"power_key", PowerOnReset}, {"pwrkey", PowerOnReset}, {"cold", PowerOnReset}, {"charger", PowerOnReset}, {"usb_chg", PowerOnReset}, {"hard_reset", PowerOnReset},
	} {
		if strings.Contains(s, r.word) {
			return r.reason
		}
	}
	if s == "por" {
		return PowerOnReset
	}
	return UnknownReset
}
