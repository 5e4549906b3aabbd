package board

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

type kernelLine struct {
	class        Complaint
	device, text string
}

func kernelLines(t testing.TB) (all []kernelLine) {
	t.Helper()
	b, err := os.ReadFile("testdata/kernel.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		class, rest, _ := strings.Cut(line, " ")
		device, text, ok := strings.Cut(rest, " ")
		if !ok {
			t.Fatalf("%q is no line", line)
		}
		all = append(all, kernelLine{Complaint(strings.Trim(class, "-")), strings.TrimPrefix(device, "-"), text})
	}
	return all
}

// The kernel's words by subsystem and version.
func TestKernelsWordings(t *testing.T) {
	needed := map[string]bool{}
	for _, l := range kernelLines(t) {
		r, ok := ParseRecord([]byte("3,1,5,-;"+l.text), "")
		if !ok || r.Class != l.class || r.Device != l.device {
			t.Errorf("%q: %q of %q, want %q of %q", l.text, r.Class, r.Device, l.class, l.device)
		}
		if w, ok := wordingOf(strings.ToLower(l.text)); ok {
			needed[w.head+"|"+strings.Join(w.all, "|")] = true
		}
	}
	for _, w := range wordings {
		if !needed[w.head+"|"+strings.Join(w.all, "|")] {
			t.Errorf("no line of testdata/kernel.txt has the wording %q %q", w.head, w.all)
		}
	}
	src, err := os.ReadFile("wordings.go")
	if err != nil {
		t.Fatal(err)
	}
	before, rows := "", 0
	for line := range strings.Lines(string(src)) {
		if strings.HasPrefix(line, "\t{") {
			if rows++; !strings.HasPrefix(before, "\t// ") {
				t.Errorf("where does this come from? %s", line)
			}
		}
		before = line
	}
	if rows != len(wordings) {
		t.Errorf("%d rows are looked at, of %d", rows, len(wordings))
	}
}

// sys makes a tree of files out of "path text" lines; a path that ends in a slash is an empty folder.
func sys(lines ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, l := range lines {
		name, text, _ := strings.Cut(l, " ")
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			m[dir+"/x"] = &fstest.MapFile{}
			continue
		}
		m[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return m
}

// A board with its root on an eMMC behind mmc0, an SD slot behind mmc1 and Wi-Fi on SDIO behind mmc2.
func emmcBoard() fstest.MapFS {
	m := sys(
		"sys/block/mmcblk0/dev 179:0", "sys/block/mmcblk0/mmcblk0p2/dev 179:2", "sys/block/mmcblk0/removable 0",
		"sys/block/mmcblk1/dev 179:96", "sys/block/mmcblk1/mmcblk1p1/dev 179:97",
		"sys/block/sda/dev 8:0", "sys/block/sda/sda1/dev 8:1", "sys/block/sda/removable 1",
		"sys/block/zram0/dev 254:0",
		"sys/class/mmc_host/mmc0/mmc0:0001/type MMC", "sys/class/mmc_host/mmc0/mmc0:0001/block/mmcblk0/dev 179:0",
		"sys/class/mmc_host/mmc1/mmc1:aaaa/type SD", "sys/class/mmc_host/mmc1/mmc1:aaaa/block/mmcblk1/dev 179:96",
		"sys/class/mmc_host/mmc2/mmc2:0001/type SDIO",
		"sys/class/mmc_host/mmc3/index 3",
		"sys/devices/platform/soc/1c11000.mmc/mmc_host/mmc4/mmc4:0001/block/mmcblk0/dev 179:0",
	)
	m["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte("20 1 179:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n" +
		"21 20 0:5 / /proc rw - proc proc rw\n" + "22 20 8:1 / /media/stick rw - vfat /dev/sda1 rw\n" + "23 20 254:0 / /tmp rw - ext4 /dev/zram0 rw\n")}
	return m
}

// What is no flash, or not the terminal's, is not counted as if it were.
func TestStorageIsWhatHoldsTheFilesystems(t *testing.T) {
	emmc := emmcBoard()
	mapper := sys("sys/block/dm-0/dev 253:0", "sys/block/dm-0/slaves/mmcblk0p35/dev 179:35", "sys/block/mmcblk0/dev 179:0",
		"proc/self/mountinfo 30 1 253:0 / / ro - ext4 /dev/block/dm-0 ro")
	stickBoot := sys("sys/block/sda/dev 8:0", "sys/block/sda/sda1/dev 8:1", "sys/block/sda/removable 1", "proc/self/mountinfo 30 1 8:1 / / rw - ext4 /dev/sda1 rw")
	gone := sys("sys/block/loop0/dev 7:0", "sys/class/mmc_host/mmc0/index 0", "proc/self/mountinfo 30 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw")
	for _, c := range []struct {
		name string
		root fstest.MapFS
		text string
		own  bool
	}{
		{"the eMMC", emmc, "blk_update_request: I/O error, dev mmcblk0, sector 77", true},
		{"its filesystem", emmc, "EXT4-fs error (device mmcblk0p2): ext4_find_entry:1455: inode #2", true},
		{"its host", emmc, "mmc0: cache flush error -110", true},
		{"a card that nothing is mounted of", emmc, "mmcblk1: error -110 sending status command, retrying", false},
		{"its host", emmc, "mmc1: Timeout waiting for hardware interrupt.", false},
		{"Wi-Fi's host", emmc, "mmc2: Timeout waiting for hardware interrupt.", false},
		{"Wi-Fi's function", emmc, "mmc2:0001:1: error -110 claiming function", false},
		{"an empty slot", emmc, "mmc3: error -110 whilst initialising SD card", false},
		{"a host that is not known", emmc, "mmc9: Timeout waiting for hardware interrupt.", false},
		{"a stick", emmc, "blk_update_request: I/O error, dev sda, sector 77", false},
		{"a stick that is gone", emmc, "blk_update_request: I/O error, dev sdb, sector 77", false},
		{"compressed memory", emmc, "Buffer I/O error on dev zram0, logical block 9, async page read", false},
		{"a floppy drive", emmc, "blk_update_request: I/O error, dev fd0, sector 0", false},
		{"NAND", emmc, "ubi0 error: ubi_io_read: error -74 (ECC error) while reading 2048 bytes from PEB 7:4096", true},
		{"below a mapper", mapper, "blk_update_request: I/O error, dev mmcblk0, sector 77", true},
		{"the mapper", mapper, "EXT4-fs error (device dm-0): ext4_find_entry:1455: inode #2", true},
		{"a stick that it starts from", stickBoot, "blk_update_request: I/O error, dev sda, sector 77", true},
		{"an eMMC that is gone", gone, "blk_update_request: I/O error, dev mmcblk0, sector 77", true},
		{"its host", gone, "mmc0: cache flush error -110", true},
		{"nobody says what is mounted", fstest.MapFS{}, "blk_update_request: I/O error, dev mmcblk0, sector 77", true},
	} {
		r, ok := ParseRecord([]byte("3,1,5000000,-;"+c.text), "")
		if !ok || r.Class != IOError {
			t.Errorf("%s: %q is %q", c.name, c.text, r.Class)
		}
		k := NewKernelLog("")
		k.Add(r)
		own, other := k.Storage(ReadDisks(c.root), time.Minute, time.Hour)
		if own+other != 1 || (own == 1) != c.own {
			t.Errorf("%s: %q of %q: %d the terminal's own, %d other", c.name, c.text, r.Device, own, other)
		}
	}
	// A stick that the configuration names is the terminal's.
	r, _ := ParseRecord([]byte("3,1,5,-;blk_update_request: I/O error, dev sda, sector 77"), "")
	if !ReadDisks(emmc, "/media/stick/journal").holds(r.Device) || ReadDisks(emmc, "/media/sticker").holds(r.Device) {
		t.Error("a disk that can be taken out is the terminal's own where its files lie, and only there")
	}
}

// A controller may be named by its place on the bus; the link of its host leads there.
func TestStorageByTheControllersPlace(t *testing.T) {
	dir := t.TempDir()
	place := dir + "/sys/devices/platform/soc/1c11000.mmc/mmc_host/mmc0"
	for _, err := range []error{
		os.MkdirAll(place+"/mmc0:0001/block/mmcblk0", 0o755), os.MkdirAll(dir+"/sys/class/mmc_host", 0o755), os.MkdirAll(dir+"/proc/self", 0o755),
		os.MkdirAll(dir+"/sys/block/mmcblk0", 0o755), os.WriteFile(dir+"/sys/block/mmcblk0/dev", []byte("179:0\n"), 0o600),
		os.WriteFile(dir+"/proc/self/mountinfo", []byte("20 1 179:0 / / rw - ext4 /dev/root rw\n"), 0o600),
		os.Symlink("../../devices/platform/soc/1c11000.mmc/mmc_host/mmc0", dir+"/sys/class/mmc_host/mmc0"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d := ReadDisks(os.DirFS(dir))
	if !d.holds("1c11000.mmc") || d.holds("1c10000.mmc") {
		t.Errorf("%+v", d)
	}
}

// Kernels of 2.6.36 to 5.2 tell of one kill in two lines.
func TestOneKillIsCountedOnce(t *testing.T) {
	k := NewKernelLog("payd")
	for i, text := range []string{
		"Out of memory: Kill process 411 (payd) score 900 or sacrifice child", "Killed process 411 (payd) total-vm:1kB",
		"Killed process 412 (payd) total-vm:1kB", "Out of memory: Killed process 413 (payd) total-vm:1kB",
	} {
		r, _ := ParseRecord([]byte("3,1,5000000,-;"+text), k.app)
		r.Seq = uint64(i)
		k.Add(r)
	}
	if n, app := k.Count(OutOfMemory, time.Minute, time.Hour), k.Count(AppCrash, time.Minute, time.Hour); n != 3 ||
		app != 3 {
		t.Errorf("%d kills, %d of the application, want 3", n, app)
	}
}
