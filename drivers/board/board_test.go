package board

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"posdx/firmware-build/housetest"
)

func board(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata/boards", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	m := fstest.MapFS{}
	for _, f := range a.Files {
		m[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return m
}

func TestBoards(t *testing.T) {
	for _, c := range []struct {
		name              string
		power             Power
		powerErr          error
		thermal           Thermal
		thermalErr        error
		flash             []Flash
		memory            Memory
		cpu               CPU
		reason            string
		dataType, dataDev string
	}{
		{
			name: "imx6ull-emmc", powerErr: fs.ErrNotExist,
			thermal: Thermal{Zone: "imx_thermal_zone", Celsius: 58.231, Critical: 100},
			flash:   []Flash{{Name: "mmcblk1", LifePct: 30, LifeKnown: true, PreEOL: "normal"}},
			memory: Memory{TotalKB: 246532, AvailableKB: 120364, Pressure: 0.4, PressureKnown: true, OOMKills: 2,
				OOMKnown: true},
			cpu:    CPU{Load1: 0.61, Processors: 1, Pressure: 3.2, PressureKnown: true},
			reason: HardwareWatchdog, dataType: "ext4", dataDev: "/dev/mmcblk1p3",
		},
		{
			name: "at91-nand", power: Power{Source: "battery", Millivolts: 3712, BatteryPct: 38, BatteryKnown: true, Health: "Good"},
			thermalErr: fs.ErrNotExist,
			flash:      []Flash{{Name: "ubi0", LifePct: 61, LifeKnown: true, PreEOL: "warning", BadBlocks: 33}},
			memory:     Memory{TotalKB: 124288, AvailableKB: 52340},
			cpu:        CPU{Load1: 1.9},
			reason:     BrownOutReset, dataType: "ubifs", dataDev: "ubi0:rootfs",
		},
		{
			name: "mt6739-android", power: Power{Source: "mains", BatteryPct: 97, BatteryKnown: true, Health: "Overheat"},
			thermal: Thermal{Zone: "mtktscpu", Celsius: 88.4, Throttled: true},
			flash:   []Flash{{Name: "mmcblk0", LifePct: 110, LifeKnown: true, PreEOL: "urgent"}},
			memory:  Memory{TotalKB: 904532, AvailableKB: 42568},
			cpu:     CPU{Load1: 9.12, Processors: 3},
			reason:  UnknownReset, dataType: "f2fs", dataDev: "/dev/block/mmcblk0p35",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := board(t, c.name)
			power, err := ReadPower(root)
			if diff := cmp.Diff(c.power, power); diff != "" || !errors.Is(err, c.powerErr) {
				t.Errorf("power %v %s", err, diff)
			}
			thermal, err := ReadThermal(root)
			if diff := cmp.Diff(c.thermal, thermal); diff != "" || !errors.Is(err, c.thermalErr) {
				t.Errorf("thermal %v %s", err, diff)
			}
			flash, err := ReadFlash(root)
			if diff := cmp.Diff(c.flash, flash); diff != "" || err != nil {
				t.Errorf("flash %v %s", err, diff)
			}
			memory, err := ReadMemory(root)
			if diff := cmp.Diff(c.memory, memory); diff != "" || err != nil {
				t.Errorf("memory %v %s", err, diff)
			}
			cpu, err := ReadCPU(root)
			if diff := cmp.Diff(c.cpu, cpu); diff != "" || err != nil {
				t.Errorf("cpu %v %s", err, diff)
			}
			if got := ResetReason(root); got != c.reason {
				t.Errorf("reset reason %s, want %s", got, c.reason)
			}
			s, err := ReadStorage(root, func(string) (Statfs, error) {
				return Statfs{BlockSize: 4096, Blocks: 1000, Free: 150, Available: 100}, nil
			}, "/data/x")
			if err != nil || s.Type != c.dataType || s.Device != c.dataDev || s.InodesKnown {
				t.Errorf("storage %+v %v", s, err)
			}
			if id, err := BootID(root); err != nil || len(id) != 36 {
				t.Errorf("boot id %q %v", id, err)
			}
			if up, err := Uptime(root); err != nil || up < time.Minute {
				t.Errorf("uptime %v %v", up, err)
			}
		})
	}
}

// faults wraps a tree so that every file, or every read, goes wrong in one way.
type faults struct {
	fs.FS
	open, read error
	data       io.Reader
}

type faultyFile struct {
	fs.File
	f faults
}

func (f faults) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return file, err
	}
	if f.open != nil {
		file.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.open}
	}
	return faultyFile{file, f}, nil
}

func (f faultyFile) Read(b []byte) (int, error) {
	if f.f.read != nil {
		return 0, f.f.read
	}
	return f.f.data.Read(b)
}

// endless never ends, as a huge file would not.
type endless string

func (e endless) Read(b []byte) (int, error) {
	return copy(b, strings.Repeat(string(e), len(b)/len(e)+1)), nil
}

func TestSourcesThatFail(t *testing.T) {
	gone := errors.New("no such device")
	for name, c := range map[string]struct {
		f    func(fs.FS) fs.FS
		want error
	}{
		"missing":    {func(fs.FS) fs.FS { return fstest.MapFS{} }, fs.ErrNotExist},
		"forbidden":  {func(f fs.FS) fs.FS { return faults{FS: f, open: fs.ErrPermission} }, fs.ErrPermission},
		"vanished":   {func(f fs.FS) fs.FS { return faults{FS: f, read: gone} }, ErrSilent},
		"unreadable": {func(f fs.FS) fs.FS { return faults{FS: f, read: fs.ErrPermission} }, fs.ErrPermission},
		"empty":      {func(f fs.FS) fs.FS { return faults{FS: f, data: strings.NewReader("")} }, ErrSilent},
		"huge":       {func(f fs.FS) fs.FS { return faults{FS: f, data: endless("9")} }, ErrSilent},
		"rubbish":    {func(f fs.FS) fs.FS { return faults{FS: f, data: endless("\x00\xff: \n")} }, ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			root := c.f(board(t, "imx6ull-emmc"))
			for what, read := range map[string]func() error{
				"memory": func() error { _, err := ReadMemory(root); return err },
				"cpu":    func() error { _, err := ReadCPU(root); return err },
				"uptime": func() error { _, err := Uptime(root); return err },
			} {
				if err := read(); !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", what, err, c.want)
				}
			}
			if p, err := ReadPower(root); err == nil {
				t.Errorf("power %+v", p)
			}
			if h, err := ReadThermal(root); err == nil {
				t.Errorf("heat %+v", h)
			}
			if f, err := ReadFlash(root); err == nil {
				t.Errorf("flash %+v", f)
			}
			if r := ResetReason(root); r != UnknownReset {
				t.Errorf("reset reason %s", r)
			}
		})
	}
}

func TestStorage(t *testing.T) {
	for _, c := range []struct {
		st    Statfs
		free  float64
		inode float64
		known bool
		bytes uint64
		ok    bool
	}{
		{Statfs{BlockSize: 4096, Blocks: 1000, Free: 100, Available: 100, Inodes: 200, InodesFree: 4}, 10, 2, true, 409600,
			true},
		// all that is left is root's
		{Statfs{BlockSize: 4096, Blocks: 1000, Free: 50, Available: 0, Inodes: 0}, 0, 0, false, 0, true},
		{Statfs{BlockSize: 4096, Blocks: 1000, Free: 1000, Available: 0}, 0, 0, false, 0, true},
		// root's share is neither used nor free
		{Statfs{BlockSize: 1, Blocks: 1000, Free: 600, Available: 400}, 50, 0, false, 400, true},
		{Statfs{}, 0, 0, false, 0, false},
		{Statfs{Blocks: 10, Free: 11}, 0, 0, false, 0, false},
	} {
		s, err := ReadStorage(fstest.MapFS{}, func(string) (Statfs, error) { return c.st, nil }, "/data")
		if (err == nil) != c.ok || s.FreePct != c.free || s.InodesFreePct != c.inode || s.InodesKnown != c.known ||
			s.FreeBytes != c.bytes {
			t.Errorf("%+v: %+v %v", c.st, s, err)
		}
	}
	if _, err := ReadStorage(fstest.MapFS{}, KernelStatfs, "/nowhere/at/all"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if s, err := ReadStorage(os.DirFS("/"), KernelStatfs, "/"); err != nil || s.FreePct < 0 || s.FreePct > 100 {
		t.Errorf("%+v %v", s, err)
	}
	all := parseMounts(string(board(t, "imx6ull-emmc")["proc/mounts"].Data))
	for name, want := range map[string]string{"/data": "/dev/mmcblk1p3", "/database": "/dev/mmcblk1p2", "/data/run/x": "tmpfs", "/media/usb stick/f": "/dev/sda1"} {
		if m, ok := mountOf(all, name); !ok || m.device != want {
			t.Errorf("%s is on %+v, want %s", name, m, want)
		}
	}
}

func TestClock(t *testing.T) {
	floor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := floor.AddDate(0, 6, 0)
	chip := func(at time.Time) fs.FS {
		return fstest.MapFS{"sys/class/rtc/rtc0/since_epoch": {Data: strconv.AppendInt(nil, at.Unix(), 10)}}
	}
	none := fstest.MapFS{}
	ntp := Timex{Synchronised: true, Offset: -3 * time.Millisecond}
	for _, c := range []struct {
		name string
		root fs.FS
		now  time.Time
		tx   Timex
		ref  *Reference
		want Clock
	}{
		{"disciplined", none, now, ntp, nil, Clock{Trusted: true, Source: "ntp", Offset: 3 * time.Millisecond, OffsetKnown: true}},
		{"chip agrees", chip(now.Add(-time.Second)), now, Timex{}, nil, Clock{Trusted: true, Source: "rtc"}},
		{"chip differs", chip(now.Add(-time.Hour)), now, Timex{}, nil, Clock{Source: "none"}},
		{"chip forgot", chip(time.Unix(12, 0)), now, Timex{}, nil, Clock{Source: "none", FlatCell: true}},
		{"nothing", none, now, Timex{}, nil, Clock{Source: "none"}},
		{"1970", chip(time.Unix(12, 0)), time.Unix(15, 0), Timex{}, nil, Clock{Source: "none", BeforeBuild: true, FlatCell: true}},
		{"1970, called disciplined", none, time.Unix(15, 0), ntp, nil, Clock{Source: "none", BeforeBuild: true}},
		{"1970, and the host as well", none, time.Unix(15, 0), Timex{}, &Reference{}, Clock{Source: "host", OffsetKnown: true, BeforeBuild: true}},
		{"host agrees", none, now, Timex{}, &Reference{Offset: 2 * time.Second},
			Clock{Trusted: true, Source: "host", Offset: 2 * time.Second, OffsetKnown: true}},
		{"host differs", chip(now), now, Timex{}, &Reference{Offset: -time.Hour}, Clock{Source: "host", Offset: -time.Hour, OffsetKnown: true}},
		{"host differs from NTP", none, now, ntp, &Reference{Offset: -time.Hour}, Clock{Source: "ntp", Offset: -time.Hour, OffsetKnown: true}},
		{"host spoke long ago", chip(now), now, Timex{}, &Reference{Offset: -time.Hour, Age: 48 * time.Hour}, Clock{Trusted: true, Source: "rtc"}},
	} {
		if got := JudgeClock(c.root, c.now, floor, c.tx, c.ref); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if tx, err := ReadTimex(); err != nil {
		t.Errorf("this kernel's clock: %+v %v", tx, err)
	}
}

func TestBootList(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	var l Boots
	for i := range 100 {
		l, _ = l.Note(strings.Repeat("x", i+1), now.Add(time.Duration(i-100)*time.Hour))
	}
	if len(l) != maxBoots {
		t.Errorf("%d starts kept", len(l))
	}
	if n := l.Within(now, 24*time.Hour); n != 24 {
		t.Errorf("%d starts in a day, want 24", n)
	}
	again, isNew := l.Note(l[3].ID, now)
	if isNew || len(again) != len(l) {
		t.Error("a start was counted twice")
	}
	back, err := ParseBoots(l.Encode())
	if diff := cmp.Diff(l, back); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if len(l.Encode()) > 6000 {
		t.Errorf("%d bytes", len(l.Encode()))
	}
	future := Boots{{"a", now.AddDate(10, 0, 0)}, {"b", now.AddDate(10, 0, 0)}, {"c", now.AddDate(10, 0, 0)}}
	if n := future.Within(now, 24*time.Hour); n != 1 {
		t.Errorf("%d starts from the future, want this one only", n)
	}
	if _, err := ParseBoots([]byte("{")); err == nil {
		t.Error("rubbish was a list")
	}
}

func TestResetReasons(t *testing.T) {
	for words, want := range map[string]string{
		"POR": PowerOnReset, "regular power-up": PowerOnReset, "power_key": PowerOnReset, "usb_chg": PowerOnReset,
		"brown-out reset": BrownOutReset, "watchdog timeout": HardwareWatchdog, "WDOG": HardwareWatchdog, "sw_wdt": SoftwareWatchdog,
		"kernel_panic": KernelPanic, "software reset": UserReset,
		// include/linux/power/power_on_reason.h (6.9); U-Boot's get_reset_cause of i.MX; source.android.com, boot reason;
		// makers' boot loaders.
		"RTC wakeup": PowerOnReset, "reset button action": UserReset, "CPU clock failure": UnknownReset, "IPP USER": UserReset, "TEMPSENSE": UnknownReset,
		"reboot,undervoltage": BrownOutReset, "cold,charger": PowerOnReset, "shutdown,battery": PowerOnReset, "kernel_panic,bug": KernelPanic, "warm,rtc": UnknownReset,
		"WDT RST": HardwareWatchdog, "SOFT RST": UserReset, "SW_Reset": UserReset, "uvlo": BrownOutReset,
		"Power-on Reset (rst_por)": PowerOnReset, "rst_bor": BrownOutReset, "BOR": BrownOutReset, "LVD": BrownOutReset, "PWR_FAIL": BrownOutReset,
		"low voltage detect": BrownOutReset, "core lockup": HardwareWatchdog, "SWRST": UserReset, "kpoc": PowerOnReset, "border": UnknownReset,
		"power loss": BrownOutReset, "reboot": UserReset, "": UnknownReset, "0": UnknownReset,
	} {
		if got := reasonOf(words); got != want {
			t.Errorf("%q: %s, want %s", words, got, want)
		}
	}
	// As boot loaders pass them on.
	for _, c := range []struct{ file, text, want string }{
		{"proc/bootconfig", "androidboot.hardware = \"rk3568\"\nandroidboot.bootreason = \"kernel_panic,hung\"\nandroidboot.slot = \"_a\"\n", KernelPanic},
		{"proc/bootconfig", "androidboot.bootreason = \"watchdog\"\n", HardwareWatchdog},
		{"proc/bootconfig", "androidboot.bootreason=reboot,userrequested\n", UserReset},
		{"proc/bootconfig", "androidboot.bootreason = \"shutdown,thermal\"\n", PowerOnReset},
		{"proc/bootconfig", "androidboot.serialno = \"watchdog\"\n", UnknownReset},
		{"proc/cmdline", "console=ttyS1 bootcause=\"Reboot into panic\" pwroffcause=\"device power down\"", KernelPanic},
		{"proc/cmdline", "console=ttyS1 bootcause=\"Reboot into normal\" pwroffcause=\"device power down\"", UserReset},
		{"proc/cmdline", "bootcause=\"Pbint triggered\" x=\"a b\"", PowerOnReset},
		{"proc/cmdline", "root=/dev/ram boot_reason=4 androidboot.bootreason=wdt_by_pass_pwk powerup_reason=reboot", UserReset},
		{"proc/cmdline", "boot_reason=4 androidboot.bootreason=wdt_by_pass_pwk", UnknownReset},
		{"proc/cmdline", "boot_reason=3", HardwareWatchdog},
		{"proc/cmdline", "boot_reason=6", BrownOutReset},
		{"proc/cmdline", "androidboot.bootreason=PowerKey gpt=1", PowerOnReset},
		{"proc/cmdline", "reboot_mode=cold_boot", PowerOnReset},
		{"proc/cmdline", "reboot_mode=watchdog_reboot", HardwareWatchdog},
		{"proc/cmdline", "androidboot.powerup_reason=0x00004000 androidboot.bootreason=reboot", UserReset},
		{"proc/cmdline", "androidboot.bootreason=hard", UnknownReset}, // the canonical word for whatever took the state away
		{"proc/cmdline", "x=\"reset_cause=WDOG\" reset_cause=POR", PowerOnReset},
	} {
		if got := ResetReason(fstest.MapFS{c.file: {Data: []byte(c.text)}}); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.file, c.text, got, c.want)
		}
	}
	both := fstest.MapFS{"proc/bootconfig": {Data: []byte("androidboot.bootreason = \"watchdog\"\n")}, "proc/cmdline": {Data: []byte("bootreason=por")}}
	if got := ResetReason(both); got != HardwareWatchdog {
		t.Errorf("%s: the boot configuration goes before the command line", got)
	}
	if got := ResetReason(fstest.MapFS{"sys/fs/pstore/dmesg-ramoops-0": {}, "proc/cmdline": {Data: []byte("bootreason=reboot")}}); got != KernelPanic {
		t.Errorf("%s", got)
	}
	if got := ResetReason(fstest.MapFS{"sys/class/watchdog/watchdog0/bootstatus": {Data: []byte("16\n")}}); got != BrownOutReset {
		t.Errorf("%s", got)
	}
	if got := ResetReason(fstest.MapFS{"sys/class/watchdog/watchdog0/bootstatus": {Data: []byte("0\n")}}); got != UnknownReset {
		t.Errorf("%s", got)
	}
}

func TestVoltageMonitor(t *testing.T) {
	root := fstest.MapFS{"sys/class/hwmon/hwmon1/name": {Data: []byte("rpi_volt")}, "sys/class/hwmon/hwmon1/in0_lcrit_alarm": {Data: []byte("1\n")},
		"sys/class/power_supply/x/type": {Data: []byte("Mains")}, "sys/class/power_supply/x/online": {Data: []byte("1")}}
	if p, err := ReadPower(root); err != nil || !p.UnderVoltage || p.Source != "mains" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestRecords(t *testing.T) {
	if r, ok := ParseRecord([]byte("3,77,5000000,-;ttyS1: 3 input overrun(s)\n SUBSYSTEM=usb\n"), "payd"); !ok || r.Class != SerialOverrun || r.Seq != 77 || r.Since != 5*time.Second {
		t.Errorf("%+v %v", r, ok)
	}
	if r, ok := ParseRecord([]byte("12,1,5,-;usb 1-1: USB disconnect\n"), "payd"); !ok || r.Class != "" {
		t.Errorf("a program's line was believed: %+v", r)
	}
	if r, ok := ParseRecord([]byte("6,1,5,-;fine\n NOTE=USB disconnect\n"), "payd"); !ok || r.Class != "" {
		t.Errorf("a dictionary was read as text: %+v", r)
	}
	for _, s := range []string{"", ";", "6;x", "a,1,2,-;x", "6,1,-5,-;x", "6,1,99999999999999999999,-;x"} {
		if r, ok := ParseRecord([]byte(s), "payd"); ok {
			t.Errorf("%q: %+v", s, r)
		}
	}
}

func TestCrashesOfTheApplication(t *testing.T) {
	for text, want := range map[string]bool{
		"payd[412]: segfault at 0 ip 00010a4c sp be9f6c20 error 4":                    true,
		"payd: unhandled page fault (11) at 0x00000004, code 0x017":                   true,
		"Out of memory: Killed process 412 (payd) total-vm:80124kB":                   true,
		"payd2[412]: segfault at 0 ip 00010a4c sp be9f6c20 error 4":                   false,
		"Out of memory: Killed process 412 (other) total-vm:80124kB, anon-rss:1 payd": false,
		"usb 1-1: USB disconnect, device number 4 payd[1]":                            false,
	} {
		if r, ok := ParseRecord([]byte("3,1,5,-;"+text), "payd"); !ok || r.App != want {
			t.Errorf("%q: %+v", text, r)
		}
		if r, _ := ParseRecord([]byte("3,1,5,-;"+text), ""); r.App {
			t.Errorf("%q: no application is known, and it crashed", text)
		}
	}
	for _, text := range []string{
		"traps: payd[412] trap divide error ip:55d sp:7ffd error:0 in payd", "payd[412]: unhandled exception: DABT (lower EL), ESR 0x92000006",
		"payd (412): undefined instruction: pc=0001234c", "do_page_fault(): sending SIGSEGV to payd for invalid read access from 00000000",
		"payd[412]: unhandled signal 11 code 0x1 at 0x0000000000000000", "lowmemorykiller: Killing 'payd' (412), adj 0,",
	} {
		if r, ok := ParseRecord([]byte("3,1,5,-;"+text), "payd"); !ok || !r.App {
			t.Errorf("%q: %+v", text, r)
		}
	}
	k := NewKernelLog("a-name-longer-than-fifteen")
	r, _ := ParseRecord([]byte("3,1,5,-;a-name-longer-t[4]: segfault at 0"), k.app)
	k.Add(r)
	if n := k.Count(AppCrash, time.Minute, time.Hour); n != 1 || k.Count(Segfault, time.Minute, time.Hour) != 1 {
		t.Errorf("%d crashes, want 1", n)
	}
}

// glitches is a tree in which a file says something else at each look.
type glitches struct {
	fs.FS
	name  string
	texts []string
	n     int
}

func (g *glitches) Open(name string) (fs.File, error) {
	if name == g.name {
		text := g.texts[min(g.n, len(g.texts)-1)]
		g.n++
		return fstest.MapFS{name: {Data: []byte(text)}}.Open(name)
	}
	return g.FS.Open(name)
}

// A reading that no working terminal can have is none, whatever it is called and whatever unit it is in.
func TestReadingsThatCannotBe(t *testing.T) {
	const a, b, c = "sys/class/thermal/thermal_zone0/", "sys/class/thermal/thermal_zone1/", "sys/class/thermal/thermal_zone2/"
	for name, x := range map[string]struct {
		tree []string
		want float64 // 0: nothing can be told
	}{
		"a board sensor that is not wired":    {[]string{a + "type mtktscpu", a + "temp 41200", b + "type mtkts_bts1", b + "temp 125000"}, 41.2},
		"the processor's is not wired":        {[]string{a + "type cpu-thermal", a + "temp 125000"}, 0},
		"one at the other end":                {[]string{a + "type cpu-thermal", a + "temp -40000"}, 0},
		"past the point of switching off":     {[]string{a + "type cpu-thermal", a + "temp 112000", a + "trip_point_0_type critical", a + "trip_point_0_temp 105000"}, 0},
		"hot, and it can be":                  {[]string{a + "type cpu-thermal", a + "temp 98000"}, 98},
		"a hot board beside a cool processor": {[]string{a + "type soc-thermal", a + "temp 52000", b + "type xo-therm", b + "temp 96000"}, 52},
		"a battery's zone in whole degrees":   {[]string{a + "type cpu_thermal", a + "temp 44", b + "type battery", b + "temp 31"}, 44},
		"tenths of a degree":                  {[]string{a + "type tsens_tz_sensor0", a + "temp 413"}, 41.3},
		"tenths, or just above freezing":      {[]string{a + "type tsens_tz_sensor0", a + "temp 905"}, 0},
		"one of three of a chip":              {[]string{a + "type cpu0-thermal", a + "temp 45000", b + "type cpu1-thermal", b + "temp 46000", c + "type gpu-core", c + "temp 110000"}, 46},
		"Wi-Fi's is asleep":                   {[]string{a + "type soc-thermal", a + "temp 48123", b + "type wlan-thermal", b + "temp -274000"}, 48.123},
		"the largest of numbers":              {[]string{a + "type imx_thermal_zone", a + "temp 2147483647"}, 0},
		"a gauge in tenths of a Kelvin":       {[]string{a + "type bq27500-0", a + "temp 2981", b + "type cpu0-thermal", b + "temp 47000"}, 47},
		"a radio's zone tells nothing":        {[]string{a + "type x86_pkg_temp", a + "temp 61000", b + "type iwlwifi_1", b + "temp "}, 61},
		"one of two of a chip":                {[]string{a + "type cpu0-thermal", a + "temp 25000", b + "type cpu1-thermal", b + "temp 88000"}, 0},
		"a battery that would have burnt":     {[]string{a + "type battery", a + "temp 127000"}, 0},
		"a monitoring chip says it is faulty": {[]string{"sys/class/hwmon/hwmon0/name cpu_thermal", "sys/class/hwmon/hwmon0/temp1_input 84000", "sys/class/hwmon/hwmon0/temp1_fault 1"}, 0},
		"a monitoring chip's input stands":    {[]string{"sys/class/hwmon/hwmon0/name lm75", "sys/class/hwmon/hwmon0/temp1_input 127500", "sys/class/hwmon/hwmon0/temp2_input 33000"}, 33},
		"zones that tell nothing, and a chip": {[]string{a + "type cpu-thermal", a + "temp 125000", "sys/class/hwmon/hwmon0/name coretemp", "sys/class/hwmon/hwmon0/temp1_input 47000"}, 47},
	} {
		got, err := ReadThermal(sys(x.tree...))
		if (err == nil) != (x.want != 0) || got.Celsius != x.want {
			t.Errorf("%s: %+v %v, want %v", name, got, err, x.want)
		}
	}
	// One sample of many.
	zone := sys(a+"type cpu-thermal", a+"temp 0")
	for _, x := range []struct {
		texts []string
		want  float64
	}{{[]string{"0", "41200"}, 41.2}, {[]string{"85000", "45000", "45100"}, 45.1}, {[]string{"-650788984", "45000"}, 45}, {[]string{"103000", "45000", "45100"}, 45.1}, {[]string{"91000", "91200", "91100"}, 91.1}} {
		if h, err := ReadThermal(&glitches{FS: zone, name: a + "temp", texts: x.texts}); err != nil || h.Celsius != x.want {
			t.Errorf("%v: %+v %v", x.texts, h, err)
		}
	}
	// One that moves is alive, though it stands alone.
	two := sys(a+"type cpu0-thermal", a+"temp 0", b+"type cpu1-thermal", b+"temp 41000")
	if h, err := ReadThermal(&glitches{FS: two, name: a + "temp", texts: []string{"91000", "91200", "91100"}}); err != nil || h.Celsius != 91.1 {
		t.Errorf("%+v %v", h, err)
	}
}

// The unit of a voltage is that in which it can feed a machine; a dip in one sample is none.
func TestVoltagesThatCannotBe(t *testing.T) {
	const d = "sys/class/power_supply/usb/"
	for text, want := range map[string]int{"5012000": 5012, "5012": 5012, "24": 0, "1795262300": 0, "0": 0, "4610000": 4610} {
		if p, err := ReadPower(sys(d+"type USB", d+"online 1", d+"voltage_now "+text)); err != nil || p.Millivolts != want {
			t.Errorf("%s: %+v %v", text, p, err)
		}
	}
	for _, c := range []struct {
		texts []string
		want  int
	}{{[]string{"4310000", "5000000", "5010000"}, 5000}, {[]string{"4310000", "4320000", "5010000"}, 4320}, {[]string{"4310000", "12", "13"}, 0}} {
		p, err := ReadPower(&glitches{FS: sys(d+"type USB", d+"online 1", d+"voltage_now 0"), name: d + "voltage_now", texts: c.texts})
		if err != nil || p.Millivolts != c.want {
			t.Errorf("%v: %+v %v", c.texts, p, err)
		}
	}
}

// A gauge that contradicts the cell's voltage, and a health that follows from a sensor which is not wired, are not
// believed; those that can be are.
func TestBatteriesThatCannotBe(t *testing.T) {
	const d = "sys/class/power_supply/battery/"
	for name, c := range map[string]struct {
		tree []string
		want Power
	}{
		"empty, and charged":        {[]string{"capacity 0", "voltage_now 4123000", "status Discharging", "health Good"}, Power{Source: "battery", Millivolts: 4123, Health: "Good"}},
		"empty":                     {[]string{"capacity 0", "voltage_now 3310000", "status Discharging"}, Power{Source: "battery", Millivolts: 3310, BatteryKnown: true}},
		"nearly empty, no voltage":  {[]string{"capacity 3", "status Discharging"}, Power{Source: "battery", BatteryPct: 3, BatteryKnown: true}},
		"full":                      {[]string{"capacity 100", "voltage_now 4350000", "status Full"}, Power{Source: "mains", BatteryPct: 100, BatteryKnown: true}},
		"cold at the absolute zero": {[]string{"capacity 80", "status Charging", "health Cold", "temp -2731"}, Power{Source: "mains", BatteryPct: 80, BatteryKnown: true}},
		"hot by a converter's end":  {[]string{"capacity 80", "status Charging", "health Overheat", "temp 1250"}, Power{Source: "mains", BatteryPct: 80, BatteryKnown: true}},
		"cold":                      {[]string{"capacity 80", "status Charging", "health Cold", "temp -62"}, Power{Source: "mains", BatteryPct: 80, BatteryKnown: true, Health: "Cold"}},
		"hot":                       {[]string{"capacity 80", "status Charging", "health Overheat", "temp 651"}, Power{Source: "mains", BatteryPct: 80, BatteryKnown: true, Health: "Overheat"}},
		"hot, and no temperature":   {[]string{"capacity 80", "status Charging", "health Overheat"}, Power{Source: "mains", BatteryPct: 80, BatteryKnown: true, Health: "Overheat"}},
	} {
		tree := []string{d + "type Battery"}
		for _, l := range c.tree {
			tree = append(tree, d+l)
		}
		if got, err := ReadPower(sys(tree...)); err != nil || got != c.want {
			t.Errorf("%s: %+v %v, want %+v", name, got, err, c.want)
		}
	}
}

// A board with a monitoring chip and no thermal zones, and raw NAND that begins to lose data.
func TestSensorsAndLostData(t *testing.T) {
	root := board(t, "at91-nand")
	if _, err := ReadThermal(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("heat %v", err)
	}
	put := func(name, text string) { root[name] = &fstest.MapFile{Data: []byte(text)} }
	put("sys/class/hwmon/hwmon0/name", "lm75\n")
	put("sys/class/hwmon/hwmon0/temp1_input", "41500\n")
	put("sys/class/hwmon/hwmon0/temp2_input", "63500\n")
	put("sys/class/hwmon/hwmon0/temp2_crit", "80000\n")
	put("sys/class/hwmon/hwmon0/temp3_input", "-128000\n") // nothing is connected
	if h, err := ReadThermal(root); err != nil || h != (Thermal{Zone: "lm75", Celsius: 63.5, Critical: 80}) {
		t.Errorf("%+v %v", h, err)
	}
	mtd := strings.TrimSpace(string(root["sys/class/ubi/ubi0/mtd_num"].Data))
	put("sys/class/mtd/mtd"+mtd+"/ecc_failures", "2\n")
	put("sys/class/ubi/ubi0_1/corrupted", "1\n")
	put("sys/class/ubi/ubi1_1/corrupted", "1\n") // of another
	f, err := ReadFlash(root)
	if err != nil || len(f) != 1 || f[0].Failures != 3 {
		t.Errorf("%+v %v", f, err)
	}
}

func TestComplaintsTogether(t *testing.T) {
	k := NewKernelLog("")
	for i, r := range []Record{{Since: 10 * time.Second, Class: UnderVoltage},
		{Since: 12 * time.Second, Class: USBDisconnect}, {Since: 60 * time.Second, Class: UnderVoltage},
		{Since: 64 * time.Second, Class: USBDisconnect}, {Since: 90 * time.Second, Class: USBDisconnect},
		{Since: 91 * time.Second, Class: UnderVoltage}} {
		r.Seq = uint64(i)
		k.Add(r)
	}
	if n := k.Together(UnderVoltage, 100*time.Second, time.Hour, USBDisconnect); n != 2 {
		t.Errorf("%d dips with a disconnect, want 2", n)
	}
	if n := k.Together(UnderVoltage, 100*time.Second, 30*time.Second, USBDisconnect); n != 1 {
		t.Errorf("%d in half a minute, want 1", n)
	}
	k.Note(DeviceError, 61*time.Second)
	k.Note(DeviceError, 62*time.Second)
	if n := k.Together(UnderVoltage, 100*time.Second, time.Hour, USBDisconnect, DeviceError); n != 3 {
		t.Errorf("%d dips with a disconnect or a failed device, want 3", n)
	}
}

// Folders of sysfs that link to each other in circles are not walked round.
func TestResetReasonDoesNotWalkInCircles(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		device := filepath.Join(dir, "sys/devices/platform", "soc", strconv.Itoa(i))
		if err := os.MkdirAll(device, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{"subsystem", "driver", "supplier"} {
			if err := os.Symlink("../..", filepath.Join(device, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	root := &counted{FS: os.DirFS(dir)}
	if r := ResetReason(root); r != UnknownReset || root.opened > 200 {
		t.Errorf("%s after %d files", r, root.opened)
	}
	last := filepath.Join(dir, "sys/devices/platform/soc/39/rstc")
	if err := os.MkdirAll(last, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(last, "power_on_reason"), []byte("brown-out reset\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ResetReason(os.DirFS(dir)); r != BrownOutReset {
		t.Errorf("%s, want %s", r, BrownOutReset)
	}
}

// counted counts what is opened.
type counted struct {
	fs.FS
	opened int
}

func (c *counted) Open(name string) (fs.File, error) { c.opened++; return c.FS.Open(name) }

func TestLogCounts(t *testing.T) {
	k := NewKernelLog("")
	if !errors.Is(k.Err(), ErrSilent) {
		t.Error("an unread log is no clean one")
	}
	for i := range 1000 {
		k.Add(Record{Seq: uint64(i), Since: time.Duration(i) * time.Minute, Class: USBDisconnect})
	}
	k.Add(Record{Seq: 5, Since: 999 * time.Minute, Class: IOError}) // read before
	k.Add(Record{Seq: 1010, Since: 999 * time.Minute, Class: IOError})
	now := 999 * time.Minute
	if n := k.Count(USBDisconnect, now, time.Hour); n != 61 {
		t.Errorf("%d in an hour, want 61", n)
	}
	if n := k.Count(USBDisconnect, now, 48*time.Hour); n != maxMoments {
		t.Errorf("%d, want the bound", n)
	}
	if n := k.Count(USBDisconnect, now+48*time.Hour, 48*time.Hour); n != 0 {
		t.Errorf("%d after two days", n)
	}
	if k.Count(IOError, now, time.Hour) != 1 || k.Lost() != 10 {
		t.Errorf("%d errors, %d lost", k.Count(IOError, now, time.Hour), k.Lost())
	}
}

func TestKernelsOwnLog(t *testing.T) {
	k := NewKernelLog("")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx, "/dev/kmsg") }()
	housetest.Until(t, "the log is read", func() bool { return !errors.Is(k.Err(), ErrSilent) })
	err := k.Err()
	cancel()
	if e := <-done; e != nil {
		t.Error(e)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs the right to read /dev/kmsg: ", err)
	}
	if err != nil || k.next == 0 {
		t.Errorf("%v after %d records", err, k.next)
	}
}

func TestLogReadOnce(t *testing.T) {
	k := NewKernelLog("")
	k.Load(t.Context(), "/dev/kmsg")
	if err := k.Err(); errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs the right to read /dev/kmsg: ", err)
	} else if err != nil || k.next == 0 {
		t.Errorf("%v after %d records", err, k.next)
	}
	before := k.next
	k.Load(t.Context(), "/dev/kmsg")
	if k.next < before || k.Lost() != 0 {
		t.Errorf("%d records, then %d, %d lost", before, k.next, k.Lost())
	}
}

func TestLogThatMayNotBeRead(t *testing.T) {
	k := NewKernelLog("")
	if err := k.Run(t.Context(), filepath.Join(t.TempDir(), "kmsg")); err != nil || !errors.Is(k.Err(), fs.ErrNotExist) {
		t.Errorf("%v %v", err, k.Err())
	}
}

func FuzzFiles(f *testing.F) {
	for _, s := range []string{"0x03 0x01", "some avg10=0.40 avg60=0.22", "MemTotal: 5 kB\nMemFree: 2 kB\n", "0-3,6", "/dev/a /data\\040x ext4 rw 0 0\n", "1.5 2.0", "-1", "1795262400"} {
		f.Add(s)
	}
	names := []string{"proc/bootconfig", "proc/self/mountinfo", "sys/block/mmcblk0/dev", "sys/block/mmcblk0/removable", "sys/class/mmc_host/mmc0/mmc0:0001/block/mmcblk0/dev",
		"sys/class/hwmon/hwmon0/name", "sys/class/hwmon/hwmon0/temp1_input", "sys/class/power_supply/usb/voltage_now", "sys/class/power_supply/usb/type"}
	for name := range board(f, "imx6ull-emmc") {
		names = append(names, name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		root := fstest.MapFS{}
		for _, n := range names {
			root[n] = &fstest.MapFile{Data: []byte(s)}
		}
		if m, err := ReadMemory(root); err == nil && (m.AvailableKB > m.TotalKB || m.Pressure > 100) {
			t.Errorf("%+v", m)
		}
		if c, err := ReadCPU(root); err == nil && (c.Load1 < 0 || c.Processors < 0) {
			t.Errorf("%+v", c)
		}
		if p, err := ReadPower(root); err == nil && (p.BatteryPct < 0 || p.BatteryPct > 100 || p.Millivolts < 0) {
			t.Errorf("%+v", p)
		}
		if h, err := ReadThermal(root); err == nil && (h.Celsius < -35 || h.Celsius > 118) {
			t.Errorf("%+v", h)
		}
		if l, err := ReadFlash(root); err == nil {
			for _, x := range l {
				if x.LifePct < 0 || x.LifePct > 110 {
					t.Errorf("%+v", x)
				}
			}
		}
		ResetReason(root)
		passedOn(s)
		for device := range ReadDisks(root, "/data/x").inUse {
			if device == "" {
				t.Error("a disk without a name")
			}
		}
		if device := storageOf(s); len(device) > len(s)+len(rawFlash) {
			t.Errorf("%q of %q", device, s)
		}
		_, _ = Uptime(root)
		JudgeClock(root, time.Unix(1, 0), time.Unix(2, 0), Timex{}, nil)
		mountOf(parseMounts(s), "/data/x")
		_, _ = ParseBoots([]byte(s))
	})
}

func FuzzRecord(f *testing.F) {
	for _, l := range kernelLines(f) {
		f.Add([]byte("3,77,5000000,-;" + l.text + "\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := NewKernelLog("")
		if r, ok := ParseRecord(b, "payd"); ok {
			if r.Since < 0 {
				t.Errorf("%+v", r)
			}
			k.Add(r)
			Disks{}.holds(r.Device)
		}
	})
}

// A pipe in packet mode gives one record a read, as the kernel's log does, and lets the test say when lines come.
func TestLogAsLinesCome(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if _, err := w.WriteString(s + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	k := NewKernelLog("")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx, path) }()
	wait := func(c Complaint, n int) {
		t.Helper()
		if !housetest.Within(housetest.Patience, func() bool { return k.Count(c, time.Minute, time.Hour) == n }) {
			t.Fatalf("%d times %s, want %d", k.Count(c, time.Minute, time.Hour), c, n)
		}
	}
	write("6,1,1,-;Booting Linux")
	write("6,2,2000000,-;usb 1-1: USB disconnect, device number 4")
	wait(USBDisconnect, 1)
	write("what is this")
	write("3,7,3000000,-;INFO: task mmcqd/0:85 blocked for more than 120 seconds.")
	wait(HungTask, 1)
	if k.Lost() != 4 {
		t.Errorf("%d lines lost, want 4", k.Lost())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
