package board

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
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

// maxBoots bounds the list: a machine that restarts every ten minutes fills it in eight hours, and is judged long
// before.
const maxBoots = 48

// ParseBoots reads what Encode wrote. From a text that cannot be read it returns an empty list and an error, so that
// the caller can go on with the list.
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

// Within counts the starts of the last d before now. A start with a time in the future was recorded while the clock was
// wrong and does not count; the present start always does.
func (l Boots) Within(now time.Time, d time.Duration) int {
	n := 0
	for i, b := range l {
		if i == len(l)-1 || !b.At.After(now) && now.Sub(b.At) <= d {
			n++
		}
	}
	return n
}

// Since counts the starts after a moment. A start with a time in the future was recorded while the clock was wrong and
// does not count.
func (l Boots) Since(t, now time.Time) int {
	n := 0
	for _, b := range l {
		if b.At.After(t) && !b.At.After(now) {
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

// ResetReason finds out why the machine started: from the kernel's own crash record, the reset controller, what the
// boot loader passed on, the watchdog. Only what is surely about this start is believed.
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
	// Android 12 and later pass them in the boot configuration, which replaces those of the command line.
	for _, file := range [...]string{"proc/bootconfig", "proc/cmdline"} {
		if s, err := read(root, file); err == nil {
			if r := passedOn(s); r != UnknownReset {
				return r
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
// (subsystem, driver, supplier) lead round in circles and are not followed: an ARM board has fifty thousand ways to
// come four folders deep with them, and some hundred without.
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

// reasonKeys are how boot loaders pass the reason on: Android's (androidboot.bootreason), Qualcomm's and Motorola's
// (powerup_reason), Unisoc's (bootcause, pwroffcause), Amlogic's (reboot_mode), U-Boot's (reset_cause), Rockchip's and
// others'.
var reasonKeys = [...]string{"androidboot.bootreason", "bootreason", "boot_reason", "androidboot.bootcause", "bootcause", "boot_cause", "androidboot.powerup_reason",
	"powerup_reason", "androidboot.reboot_mode", "reboot_mode", "resetcause", "reset_cause", "reset_reason", "androidboot.reset_reason"}

// passedOn finds the reason among parameters: key=value in a line, with quotes around blanks, or key = "value" a line
// (Documentation/admin-guide/bootconfig.rst).
func passedOn(text string) string {
	for i := 0; i < len(text); {
		end := i
		for quoted := byte(0); end < len(text) && (quoted != 0 || text[end] != '\n' && !blankBetween(text, end)); end++ {
			switch c := text[end]; {
			case quoted == 0 && (c == '"' || c == '\''):
				quoted = c
			case c == quoted, c == '\n':
				quoted = 0
			}
		}
		key, value, ok := strings.Cut(text[i:end], "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		if n, err := strconv.Atoi(value); err == nil && key == "boot_reason" && n >= 0 && n < len(mediatek) {
			value = mediatek[n]
		}
		if ok && slices.Contains(reasonKeys[:], strings.ToLower(key)) {
			if r := reasonOf(value); r != UnknownReset {
				return r
			}
		}
		i = end + 1
	}
	return UnknownReset
}

// blankBetween reports whether a blank parts two parameters, rather than standing beside an equals sign.
func blankBetween(text string, i int) bool {
	if text[i] != ' ' && text[i] != '\t' {
		return false
	}
	after := strings.TrimLeft(text[i:], " \t")
	before := strings.TrimRight(text[:i], " \t")
	return !strings.HasPrefix(after, "=") && !strings.HasSuffix(before, "=")
}

// mediatek are the words for MediaTek's numbers (boot_reason_t of its little kernel).
var mediatek = [...]string{"power_key", "usb", "rtc", "wdt", "wdt_by_pass_pwk", "tool_by_pass_pwk", "2sec_reboot", "unknown", "kernel_panic", "reboot", "watchdog"}

// reasonOf understands the words of reset controllers, U-Boot and Android boot loaders: canonical ones (reason, a comma
// and
// details: source.android.com, boot reason) and makers' own.
func reasonOf(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.Contains(s, "wdt_by_pass_pwk") {
		return UnknownReset // MediaTek's watchdog restarts the machine also when it is told to: the kernel calls it "reboot"
	}
	for _, r := range [...]struct{ word, reason string }{
		{"panic", KernelPanic}, {"oops", KernelPanic}, {"kernel_crash", KernelPanic},
		{"brown", BrownOutReset}, {"bod", BrownOutReset}, {"undervolt", BrownOutReset}, {"uvlo", BrownOutReset}, {"low_volt", BrownOutReset},
		{"low volt", BrownOutReset}, {"power fail", BrownOutReset}, {"power_fail", BrownOutReset}, {"pwr_fail", BrownOutReset},
		{"smpl", BrownOutReset}, {"2sec_reboot", BrownOutReset}, {"power_loss", BrownOutReset}, {"power loss", BrownOutReset}, // sudden momentary power loss
		{"sw_wdt", SoftwareWatchdog}, {"soft_wdt", SoftwareWatchdog}, {"software watchdog", SoftwareWatchdog}, {"swdt", SoftwareWatchdog}, {"wdt_sw", SoftwareWatchdog},
		{"watchdog", HardwareWatchdog}, {"wdt", HardwareWatchdog}, {"wdog", HardwareWatchdog}, {"wdg", HardwareWatchdog}, {"lockup", HardwareWatchdog},
		{"shutdown", PowerOnReset}, // it had been switched off in order
		{"reboot", UserReset}, {"software reset", UserReset}, {"sw_reset", UserReset}, {"soft rst", UserReset},
		{"soft_rst", UserReset}, {"user", UserReset}, {"reset button", UserReset}, {"srst", UserReset}, {"tool_by_pass", UserReset},
		{"long_power_key", UserReset}, {"long_pwrkey", UserReset}, {"recovery", UserReset}, {"bootloader", UserReset}, {"factory_reset", UserReset}, {"warm_boot", UserReset},
		{"power-up", PowerOnReset}, {"power_on", PowerOnReset}, {"power-on", PowerOnReset}, {"poweron", PowerOnReset}, {"power on", PowerOnReset}, {"power_key", PowerOnReset},
		{"powerkey", PowerOnReset}, {"power key", PowerOnReset}, {"power button", PowerOnReset}, {"pwrkey", PowerOnReset},
		{"pbint", PowerOnReset}, {"rtc wakeup", PowerOnReset}, {"rtc alarm", PowerOnReset}, {"keypad", PowerOnReset},
		{"cold", PowerOnReset}, {"charger", PowerOnReset}, {"charging", PowerOnReset}, {"usb_chg", PowerOnReset},
		{"dc_chg", PowerOnReset}, {"cable", PowerOnReset}, {"hard_reset", PowerOnReset},
	} {
		if strings.Contains(s, r.word) {
			return r.reason
		}
	}
	switch s {
	case "por", "usb", "rtc", "alarm", "pon1", "kpdpwr", "kpd":
		return PowerOnReset
	}
	// Short names of bits: TF-A's rst_por of STM32MP, LPC's and Kinetis' registers, MediaTek's power-off charging.
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		switch w {
		case "por", "porrst", "kpoc", "cblpwr":
			return PowerOnReset
		case "bor", "borrst", "lvd", "pvd":
			return BrownOutReset
		case "swrst", "softrst":
			return UserReset
		}
	}
	return UnknownReset
}
