package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"posdx/agent/report"
	"posdx/drivers/board"
	"posdx/firmware-build/housetest"
)

var boardNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// healthyBoard is a machine without a fault that shows all it has.
// A dip of the supply at the moment a reader fails is worth more than either alone.
func TestDipsThatHurtDevices(t *testing.T) {
	log := []string{"4,2,7199000000,-;Under-voltage detected!", "4,3,7200000000,-;Under-voltage detected!"} // the fixture's board is up for 7200.5 s
	power := func(failed ...report.Evidence) report.Evidence {
		b := NewBoard(BoardConfig{Root: healthyBoard(), Kmsg: kmsg(t, log...), Now: func() time.Time { return boardNow }})
		feed(t, b, log)
		r := NewRunner(b.Probes())
		r.Failed = b.DeviceFailed
		for _, e := range failed {
			r.Remember(e)
		}
		for _, p := range b.Probes() {
			if p.Checks[0] == "board.power" {
				return p.Run(t.Context())[0]
			}
		}
		panic("no board.power")
	}
	reader := report.Evidence{Check: "reader.port", Subject: "reader0", Status: report.Bad, Facts: report.Facts{"outcome": "silent"}}
	if e := power(reader, reader); e.Status != report.Bad || e.Facts["dips_with_errors_1h"] != 2.0 {
		t.Errorf("beside a reader that fell silent: %+v", e)
	}
	good := reader
	good.Status = report.OK
	network := report.Evidence{Check: "net.tcp", Subject: "host-primary", Status: report.Bad}
	if e := power(good, network); e.Status != report.OK || e.Facts["dips_with_errors_1h"] != nil {
		t.Errorf("beside a reader that is well: %+v", e)
	}
}

func healthyBoard() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range map[string]string{
		"sys/class/power_supply/dc/type": "Mains", "sys/class/power_supply/dc/online": "1", "sys/class/power_supply/dc/voltage_now": "5040000",
		"sys/class/thermal/thermal_zone0/type": "cpu", "sys/class/thermal/thermal_zone0/temp": "58200",
		"sys/block/mmcblk0/device/life_time": "0x03 0x01", "sys/block/mmcblk0/device/pre_eol_info": "0x01",
		"proc/meminfo": "MemTotal: 246532 kB\nMemAvailable: 120364 kB\n", "proc/pressure/memory": "some avg10=0.40 avg60=0 avg300=0 total=1",
		"proc/vmstat": "oom_kill 0", "proc/loadavg": "0.60 0.5 0.4 1/90 100", "proc/pressure/cpu": "some avg10=3.20 avg60=0 avg300=0 total=1",
		"sys/devices/system/cpu/online": "0", "proc/uptime": "7200.5 100", "proc/sys/kernel/random/boot_id": "aaaa",
		"proc/cmdline": "bootreason=por", "proc/mounts": "/dev/mmcblk0p3 /data ext4 rw 0 0",
	} {
		m[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return m
}

// with changes some files; an empty text removes one.
func with(m fstest.MapFS, changes ...string) fstest.MapFS {
	for i := 0; i < len(changes); i += 2 {
		delete(m, changes[i])
		if changes[i+1] != "" {
			m[changes[i]] = &fstest.MapFile{Data: []byte(changes[i+1] + "\n")}
		}
	}
	return m
}

// kmsg is a log with one harmless line and those given: a pipe in packet mode, which like the kernel's log gives one
// record a read.
func kmsg(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
		t.Fatal(err)
	}
	for _, l := range append([]string{"6,1,1,-;Booting Linux"}, lines...) {
		if _, err := f.WriteString(l + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestBoard(t *testing.T) {
	room := board.Statfs{BlockSize: 4096, Blocks: 100_000, Free: 50_000, Available: 44_000, Inodes: 1000, InodesFree: 880}
	ntp := board.Timex{Synchronised: true, Offset: -200 * time.Millisecond}
	once := board.Boots{{ID: "aaaa", At: boardNow}}
	type F = report.Facts
	for _, c := range []struct {
		name    string
		root    fstest.MapFS
		statfs  board.Statfs
		statErr error
		timex   board.Timex
		ref     *board.Reference
		boots   board.Boots
		now     time.Time
		log     []string
		check   string
		status  report.Status
		facts   F
	}{
		{name: "healthy", check: "board.power", status: report.OK, facts: F{"source": "mains", "millivolts": 5040, "dips_1h": 0, "level": "good"}},
		{name: "healthy", check: "board.thermal", status: report.OK, facts: F{"celsius": 58.2, "throttled": false, "level": "good"}},
		{name: "healthy", check: "board.storage", status: report.OK, facts: F{"path": "/data", "free_pct": 46.8, "inodes_free_pct": 88.0, "read_only": false, "level": "good"}},
		{name: "healthy", check: "board.flash", status: report.OK, facts: F{"life_used_pct": 30, "pre_eol": "normal", "io_errors_24h": 0, "level": "good"}},
		{name: "healthy", check: "board.memory", status: report.OK, facts: F{"available_mb": 117, "pressure_avg10": 0.4, "oom_kills_24h": 0, "level": "good"}},
		{name: "healthy", check: "board.cpu", status: report.OK, facts: F{"pressure_avg10": 3.2, "load1": 0.6, "level": "good"}},
		{name: "healthy", check: "board.clock", status: report.OK, facts: F{"offset_s": 0.2, "trusted": true, "source": "ntp", "level": "good"}},
		{name: "healthy", check: "board.reboots", status: report.OK, facts: F{"count_24h": 1, "last_reason": "PowerOnReset", "level": "good"}},
		{name: "healthy", check: "board.kernel", status: report.OK, facts: F{"usb_disconnects_24h": 0, "usb_errors_24h": 0, "io_errors_24h": 0, "under_voltage_24h": 0, "hung_tasks_24h": 0, "oom_24h": 0,
			"link_down_24h": 0, "segfaults_24h": 0, "serial_overruns_24h": 0, "overheat_24h": 0, "level": "good"}},

		{name: "weak supply", check: "board.power", root: with(healthyBoard(), "sys/class/power_supply/dc/voltage_now", "4510000"), status: report.Bad, facts: F{"source": "mains", "millivolts": 4510, "dips_1h": 0, "level": "bad"}},
		{name: "twelve volts are no weak five", check: "board.power", root: with(healthyBoard(), "sys/class/power_supply/dc/voltage_now", "12000000"), status: report.OK, facts: F{"source": "mains", "millivolts": 12000, "dips_1h": 0, "level": "good"}},
		{name: "two dips alone", check: "board.power", log: []string{"4,2,7100000000,-;Under-voltage detected!", "4,3,7150000000,-;Under-voltage detected!", "6,4,7120000000,-;usb 1-1: USB disconnect"},
			status: report.OK, facts: F{"source": "mains", "millivolts": 5040, "dips_1h": 2, "level": "poor"}},
		{name: "two dips that take the reader along", check: "board.power", log: []string{"4,2,7100000000,-;Under-voltage detected!", "6,3,7100900000,-;usb 1-1: USB disconnect",
			"4,4,7150000000,-;Under-voltage detected!", "6,5,7151000000,-;usb 1-1: USB disconnect"},
			status: report.Bad, facts: F{"source": "mains", "millivolts": 5040, "dips_1h": 2, "dips_with_errors_1h": 2, "level": "bad"}},
		{name: "dips", check: "board.power", log: []string{"4,2,7100000000,-;Under-voltage detected!", "4,3,7100000001,-;Under-voltage detected!", "4,4,7100000002,-;Under-voltage detected!", "4,5,60000000,-;Under-voltage detected!"},
			status: report.Bad, facts: F{"source": "mains", "millivolts": 5040, "dips_1h": 3, "level": "bad"}},
		{name: "no word of power", check: "board.power", root: with(healthyBoard(), "sys/class/power_supply/dc/type", "", "sys/class/power_supply/dc/online", "", "sys/class/power_supply/dc/voltage_now", ""),
			status: report.CannotTell, facts: F{"dips_1h": 0, "reason": "absent"}},
		{name: "battery low", check: "board.power", root: with(healthyBoard(), "sys/class/power_supply/dc/online", "0", "sys/class/power_supply/bat/type", "Battery", "sys/class/power_supply/bat/status", "Discharging", "sys/class/power_supply/bat/capacity", "6"),
			status: report.Bad, facts: F{"source": "battery", "battery_pct": 6, "dips_1h": 0, "level": "bad"}},

		{name: "hot", check: "board.thermal", root: with(healthyBoard(), "sys/class/thermal/thermal_zone0/temp", "86000"), status: report.Bad, facts: F{"celsius": 86.0, "throttled": false, "level": "bad"}},
		{name: "no sensor", check: "board.thermal", root: with(healthyBoard(), "sys/class/thermal/thermal_zone0/temp", "", "sys/class/thermal/thermal_zone0/type", ""), status: report.CannotTell, facts: F{"reason": "absent"}},

		{name: "full", check: "board.storage", statfs: board.Statfs{BlockSize: 4096, Blocks: 100_000, Free: 2_000,
			Available: 2_000}, status: report.Bad, facts: F{"path": "/data", "free_pct": 2.0, "read_only": false, "level": "bad"}},
		{name: "few kB", check: "board.storage", statfs: board.Statfs{BlockSize: 1024, Blocks: 1000, Free: 300,
			Available: 300}, status: report.Bad, facts: F{"path": "/data", "free_pct": 30.0, "read_only": false, "level": "bad"}},
		{name: "inodes gone", check: "board.storage", statfs: board.Statfs{BlockSize: 4096, Blocks: 100_000, Free: 50_000,
			Available: 50_000, Inodes: 1000, InodesFree: 1}, status: report.Bad, facts: F{"path": "/data", "free_pct": 50.0, "inodes_free_pct": 0.1, "read_only": false, "level": "bad"}},
		{name: "read-only", check: "board.storage", statfs: board.Statfs{BlockSize: 4096, Blocks: 100_000, Free: 50_000,
			Available: 50_000, ReadOnly: true}, status: report.Bad, facts: F{"path": "/data", "free_pct": 50.0, "read_only": true, "level": "bad"}},
		{name: "tight", check: "board.storage", statfs: board.Statfs{BlockSize: 4096, Blocks: 100_000, Free: 7_000,
			Available: 7_000}, status: report.OK, facts: F{"path": "/data", "free_pct": 7.0, "read_only": false, "level": "poor"}},
		{name: "no such folder", check: "board.storage", statErr: fs.ErrNotExist, status: report.CannotTell, facts: F{"reason": "absent"}},
		{name: "disk gone", check: "board.storage", statErr: syscall.EIO, status: report.CannotTell, facts: F{"reason": "unsupported"}},

		{name: "worn", check: "board.flash", root: with(healthyBoard(), "sys/block/mmcblk0/device/pre_eol_info", "0x03"), status: report.Bad, facts: F{"life_used_pct": 30, "pre_eol": "urgent", "io_errors_24h": 0, "level": "bad"}},
		{name: "no wear told, but it fails", check: "board.flash", root: with(healthyBoard(), "sys/block/mmcblk0/device/life_time", "", "sys/block/mmcblk0/device/pre_eol_info", ""),
			log:    []string{"3,2,7000000000,-;blk_update_request: I/O error, dev mmcblk0, sector 7"},
			status: report.OK, facts: F{"io_errors_24h": 1, "level": "poor"}},
		{name: "no wear told", check: "board.flash", root: with(healthyBoard(), "sys/block/mmcblk0/device/life_time", "", "sys/block/mmcblk0/device/pre_eol_info", ""), status: report.CannotTell, facts: F{"io_errors_24h": 0, "reason": "absent"}},

		{name: "memory gone", check: "board.memory", root: with(healthyBoard(), "proc/meminfo", "MemTotal: 246532 kB\nMemAvailable: 5000 kB"), status: report.Bad, facts: F{"available_mb": 4, "pressure_avg10": 0.4, "oom_kills_24h": 0, "level": "bad"}},
		{name: "little left, old kernel", check: "board.memory", root: with(healthyBoard(), "proc/meminfo", "MemTotal: 246532 kB\nMemAvailable: 20000 kB", "proc/pressure/memory", ""), status: report.CannotTell, facts: F{"available_mb": 19, "oom_kills_24h": 0, "reason": "unsupported"}},
		{name: "killed since boot", check: "board.memory", root: with(healthyBoard(), "proc/vmstat", "oom_kill 2"), status: report.Bad, facts: F{"available_mb": 117, "pressure_avg10": 0.4, "oom_kills_24h": 2, "level": "bad"}},

		{name: "no pressure told", check: "board.cpu", root: with(healthyBoard(), "proc/pressure/cpu", ""), status: report.CannotTell, facts: F{"load1": 0.6, "reason": "unsupported"}},
		{name: "overloaded, old kernel", check: "board.cpu", root: with(healthyBoard(), "proc/pressure/cpu", "", "proc/loadavg", "9.1 9 9 1/1 1"), status: report.Bad, facts: F{"load1": 9.1, "level": "bad"}},
		{name: "starved", check: "board.cpu", root: with(healthyBoard(), "proc/pressure/cpu", "some avg10=80.00 avg60=1"), status: report.Bad, facts: F{"load1": 0.6, "pressure_avg10": 80.0, "level": "bad"}},

		{name: "1970", check: "board.clock", now: time.Unix(100, 0), timex: board.Timex{}, status: report.Bad,
			facts: F{"trusted": false, "source": "none", "before_build": true, "level": "bad"}},
		{name: "nobody vouches", check: "board.clock", timex: board.Timex{}, status: report.CannotTell, facts: F{"trusted": false, "source": "none", "reason": "unsupported"}},
		{name: "host says otherwise", check: "board.clock", timex: board.Timex{},
			ref: &board.Reference{Offset: -92 * time.Second}, status: report.Bad, facts: F{"trusted": true, "source": "host", "offset_s": -92.0, "level": "bad"}},
		{name: "flat cell", check: "board.clock", timex: board.Timex{},
			root: with(healthyBoard(), "sys/class/rtc/rtc0/since_epoch", "99"), status: report.Bad, facts: F{"trusted": false, "source": "none", "rtc_cell_flat": true, "level": "bad"}},

		{name: "brown-out", check: "board.reboots", root: with(healthyBoard(), "proc/cmdline", "bootreason=brownout"), status: report.Bad, facts: F{"count_24h": 1, "last_reason": "BrownOutReset", "level": "bad"}},
		{name: "one watchdog", check: "board.reboots", root: with(healthyBoard(), "proc/cmdline", "bootreason=wdt"), status: report.OK, facts: F{"count_24h": 1, "last_reason": "HardwareWatchdog", "level": "poor"}},
		{name: "told to, often", check: "board.reboots", root: with(healthyBoard(), "proc/cmdline", "bootreason=reboot"),
			boots: board.Boots{{ID: "a", At: boardNow}, {ID: "b", At: boardNow}, {ID: "c", At: boardNow},
				{ID: "d", At: boardNow}}, status: report.OK, facts: F{"count_24h": 4, "last_reason": "UserReset", "level": "poor"}},
		{name: "nothing known", check: "board.reboots", root: with(healthyBoard(), "proc/cmdline", "x"), boots: board.Boots{}, status: report.CannotTell, facts: F{"last_reason": "unknown", "reason": "too-few"}},

		{name: "usb", check: "board.kernel", log: []string{"6,2,7000000000,-;usb 1-1: USB disconnect, device number 4"}, status: report.OK},
		{name: "hung", check: "board.kernel", log: []string{"3,2,7000000000,-;INFO: task x:1 blocked for more than 120 seconds."}, status: report.Bad},
	} {
		t.Run(c.check+" "+c.name, func(t *testing.T) {
			if c.root == nil {
				c.root = healthyBoard()
			}
			if c.statfs.Blocks == 0 {
				c.statfs = room
			}
			if c.check == "board.clock" && c.name == "healthy" || c.check != "board.clock" {
				c.timex = ntp
			}
			if c.boots == nil {
				c.boots = once
			}
			if c.now.IsZero() {
				c.now = boardNow
			}
			b := NewBoard(BoardConfig{Root: c.root, Paths: []string{"/data"}, Floor: boardNow.AddDate(0, -1, 0),
				Kmsg: kmsg(t, c.log...), Boots: c.boots,
				Reference: func() (board.Reference, bool) {
					if c.ref == nil {
						return board.Reference{}, false
					}
					return *c.ref, true
				},
				Statfs: func(string) (board.Statfs, error) { return c.statfs, c.statErr },
				Timex:  func() (board.Timex, error) { return c.timex, nil },
				Now:    func() time.Time { return c.now },
			})
			feed(t, b, c.log)
			for _, p := range b.Probes() {
				if string(p.Checks[0]) != c.check {
					continue
				}
				e := p.Run(t.Context())[0]
				if e.Status != c.status {
					t.Errorf("%s %v, want %s", e.Status, e.Facts, c.status)
				}
				if diff := cmp.Diff(plain(c.facts), plain(e.Facts)); diff != "" && c.facts != nil {
					t.Error(diff)
				}
			}
		})
	}
}

// plain has every number as JSON has it, and leaves out what the machine is, which no case is about.
func plain(f report.Facts) report.Facts {
	p := report.Facts{}
	for name, v := range f {
		if n, ok := f.Num(name); ok {
			v = math.Floor(n*10) / 10
		}
		p[name] = v
	}
	for _, name := range []string{"free_kb", "total_mb", "available_mb", "processors", "critical_celsius"} {
		delete(p, name)
	}
	return p
}

// feed lets the board read its log to the end.
func feed(t *testing.T, b *Board, lines []string) {
	t.Helper()
	done := make(chan error, 1)
	ctx := t.Context()
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() { <-done })
	housetest.Until(t, "the log is read", func() bool {
		n := 0
		for _, c := range []board.Complaint{board.UnderVoltage, board.IOError, board.HungTask, board.USBDisconnect} {
			n += b.log.Count(c, 2*time.Hour, day)
		}
		return b.log.Err() == nil && n == len(lines)
	})
}

func TestBoardWithoutItsLog(t *testing.T) {
	b := NewBoard(BoardConfig{Root: healthyBoard(), Kmsg: "/nowhere/kmsg"})
	if err := b.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, p := range b.Probes() {
		for _, e := range p.Run(t.Context()) {
			for k := range e.Facts {
				if strings.HasSuffix(k, "_24h") && k != "count_24h" && k != "oom_kills_24h" || k == "dips_1h" {
					t.Errorf("%s: %s without a log", e.Check, k)
				}
			}
			if e.Check == "board.kernel" && (e.Status != report.CannotTell || e.Facts["reason"] != "absent") {
				t.Errorf("%+v", e)
			}
		}
	}
}

func TestNothingThereIsNeverHealthy(t *testing.T) {
	b := NewBoard(BoardConfig{Root: fstest.MapFS{}, Paths: []string{"/data"}, Kmsg: "/nowhere/kmsg", Now: func() time.Time { return boardNow },
		Statfs: func(string) (board.Statfs, error) { return board.Statfs{}, errors.New("no") },
		Timex:  func() (board.Timex, error) { return board.Timex{}, errors.New("no") }})
	for _, p := range b.Probes() {
		for _, e := range p.Run(t.Context()) {
			if e.Status != report.CannotTell || e.Facts["reason"] == nil {
				t.Errorf("%s %s %v", e.Check, e.Status, e.Facts)
			}
		}
	}
}

func TestNoteBoot(t *testing.T) {
	root, path := healthyBoard(), filepath.Join(t.TempDir(), "boots")
	for range 2 {
		l, err := NoteBoot(root, path, boardNow)
		if err != nil || len(l) != 1 {
			t.Fatalf("%v %v", l, err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NoteBoot(root, path, boardNow.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the same start was written twice: %v", err)
	}
	root["proc/sys/kernel/random/boot_id"] = &fstest.MapFile{Data: []byte("bbbb\n")}
	if l, err := NoteBoot(root, path, boardNow); err != nil || len(l) != 2 {
		t.Errorf("%v %v", l, err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := NoteBoot(root, path, boardNow); err == nil || len(l) != 1 {
		t.Errorf("%v %v", l, err)
	}
	if l, err := NoteBoot(root, path, boardNow); err != nil || len(l) != 1 {
		t.Errorf("the list begun anew was not kept: %v %v", l, err)
	}
	if l, err := NoteBoot(root, filepath.Join(t.TempDir(), "no/such/folder/boots"), boardNow); err == nil || len(l) != 1 {
		t.Errorf("%v %v", l, err)
	}
	if _, err := NoteBoot(fstest.MapFS{}, path, boardNow); err == nil {
		t.Error("no boot id, no error")
	}
}

func BenchmarkBoard(b *testing.B) {
	for _, p := range NewBoard(BoardConfig{Paths: []string{"/"}}).Probes() {
		b.Run(string(p.Checks[0]), func(b *testing.B) {
			for b.Loop() {
				p.Run(b.Context())
			}
		})
	}
}

// Kernel lines that people reported, from the log to the evidence. Board and filesystems are those of the healthy
// board: its data lies on mmcblk0.
func TestReportedKernelLines(t *testing.T) {
	for name, c := range map[string]struct {
		lines         []string
		kernel, flash string // level, io_errors_24h, io_errors_other_24h, link_down_24h, usb_errors_24h; level, io_errors_24h
	}{
		"UBI as Linux 4.0 and newer name it": {[]string{
			"ubi0 error: ubi_io_read: error -74 (ECC error) while reading 2048 bytes from PEB 7:4096, read 2048 bytes",
			"ubi0 error: ubi_io_read: error -74 (ECC error) while reading 2048 bytes from PEB 8:4096, read 2048 bytes",
			"ubi0 error: ubi_attach_mtd_dev: failed to attach mtd7, error -22",
		}, "bad bad 3 - 0 0", "bad bad 3"},
		"firmware of Wi-Fi on SDIO": {[]string{
			"brcmfmac: brcmf_fw_alloc_request: using brcm/brcmfmac43456-sdio for chip BCM4345/9",
			"brcmfmac mmc2:0001:1: Direct firmware load for brcm/brcmfmac43456-sdio.vendor,pos.bin failed with error -2",
			"brcmfmac mmc2:0001:1: Direct firmware load for brcm/brcmfmac43456-sdio.vendor,pos.txt failed with error -2",
			"brcmfmac mmc2:0001:1: Direct firmware load for brcm/brcmfmac43456-sdio.vendor,pos.clm_blob failed with error -2",
			"brcmfmac: brcmf_c_preinit_dcmds: Firmware: BCM4345/9 wl0",
		}, "ok good 0 - 0 0", "ok good 0"},
		"Wi-Fi on SDIO under load": {[]string{
			"brcmfmac: brcmf_sdio_txfail: sdio error, abort command and terminate frame", "brcmfmac: mmc_submit_one: CMD53 sg block write failed -110",
			"brcmfmac: brcmf_sdio_hdparse: HW header checksum error", "mmc1: Timeout waiting for hardware interrupt.",
		}, "ok good 0 1 0 0", "ok good 0"},
		"a slot without a card":           {[]string{"mmc3: Timeout waiting for hardware cmd interrupt.", "mmc3: error -110 whilst initialising SD card"}, "ok good 0 2 0 0", "ok good 0"},
		"the mount options of every boot": {[]string{"EXT4-fs (mmcblk0p3): re-mounted. Opts: errors=remount-ro"}, "ok good 0 - 0 0", "ok good 0"},
		"the eMMC": {[]string{"mmcblk0: error -110 transferring data, sector 77, nr 8, cmd response 0x900, card status 0xc00",
			"blk_update_request: I/O error, dev mmcblk0, sector 77", "EXT4-fs error (device mmcblk0p3): ext4_find_entry:1455: inode #2: comm posapp: reading directory lblock 0"},
			"bad bad 3 - 0 0", "bad bad 3"},
		"links of several drivers": {[]string{
			"dm9000 dm9000.0: eth0: link down", "dm9000 dm9000.0: eth0: link up, 100Mbps, full-duplex, lpa 0xCDE1", "dm9000 dm9000.0: eth0: link down",
			"dm9000 dm9000.0: eth0: link up, 100Mbps, full-duplex, lpa 0xCDE1", "dm9000 dm9000.0: eth0: link down", "macb f8020000.ethernet eth0: link down",
			"mtk_soc_eth 1e100000.ethernet eth0: port 2 link down", "r8152 1-1.2:1.0 eth0: carrier off",
		}, "ok poor 0 - 6 0", "ok good 0"},
		"a USB device that never enumerates": {[]string{
			"usb 1-1.3: device descriptor read/64, error -110", "usb 1-1.3: device descriptor read/64, error -110", "usb 1-1.3: device not accepting address 9, error -110",
			"usb 1-1.3: device not accepting address 10, error -110", "usb 1-1-port3: unable to enumerate USB device",
		}, "bad bad 0 - 0 5", "ok good 0"},
		"one that needed a second try": {[]string{"usb 1-1.3: device descriptor read/64, error -71"}, "ok poor 0 - 0 1", "ok good 0"},
	} {
		root := with(healthyBoard(), "proc/self/mountinfo", "20 1 179:3 / /data rw - ext4 /dev/mmcblk0p3 rw", "sys/block/mmcblk0/dev", "179:0", "sys/block/mmcblk0/mmcblk0p3/dev", "179:3",
			"sys/class/mmc_host/mmc1/mmc1:0001/type", "SDIO", "sys/class/mmc_host/mmc3/index", "3")
		records := make([]string, len(c.lines))
		for i, l := range c.lines {
			records[i] = fmt.Sprintf("4,%d,%d,-;%s", i+2, 7140000000+int64(i)*1000, l)
		}
		got := map[string]report.Evidence{}
		for _, p := range NewBoard(BoardConfig{Root: root, Kmsg: kmsg(t, records...)}).Probes() {
			for _, e := range p.Run(t.Context()) {
				got[e.Check] = e
			}
		}
		if k := show(got["board.kernel"], "level", "io_errors_24h", "io_errors_other_24h", "link_down_24h", "usb_errors_24h"); k != c.kernel {
			t.Errorf("%s: kernel %s, want %s", name, k, c.kernel)
		}
		if f := show(got["board.flash"], "level", "io_errors_24h"); f != c.flash {
			t.Errorf("%s: flash %s, want %s", name, f, c.flash)
		}
	}
}
