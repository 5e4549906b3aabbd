package board

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A kernel message about storage concerns the terminal's flash only if it names the device that holds a filesystem in
// use: SDIO carries Wi-Fi over the same hosts that carry an eMMC, and a USB stick that is pulled out produces the same
// messages.

// Names of what a line means when it names no device of its own.
const (
	rawFlash = "flash" // NAND, NOR, MTD, UBI and what lives on them, and what dm-verity holds: soldered, never anything else's
	noDevice = ""
)

// wordMax is how much of a line is looked at for a device: they stand in front.
const storageWords = 24

// storageOf finds the device that a line about storage means: a disk without its partition (mmcblk0, sda), a host
// (mmc1), a function of an SDIO card (mmc2:0001:1), a controller's place (1c0f000.mmc), rawFlash, or noDevice. A disk
// goes before the host that it sits on.
func storageOf(text string) string {
	best := noDevice
	for i, w := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t,;()[]<>'\"=", r) }) {
		if i == storageWords {
			break
		}
		w = strings.TrimPrefix(strings.TrimRight(w, ".:!"), "/dev/")
		switch kind, name := deviceIn(w); {
		case kind == isDisk, kind == isRaw:
			return name
		case kind == isHost && best == noDevice:
			best = name
		}
	}
	if best == noDevice {
		low := strings.ToLower(text)
		for _, w := range []string{"nand", "mtd", "jffs2", "ubi", "yaffs", "squashfs", "ecc unrecoverable", "ecc error", "uncorrectable e",
			"spi-nor", "m25p80", "verity"} {
			if strings.Contains(low, w) {
				return rawFlash
			}
		}
	}
	return best
}

const (
	isNothing = iota
	isDisk
	isHost
	isRaw
)

// deviceIn reads one word of a line.
func deviceIn(w string) (kind int, name string) {
	letters := strings.TrimRight(strings.SplitN(w, ":", 2)[0], "0123456789")
	switch {
	case strings.HasPrefix(w, "mmcblk"):
		return isDisk, numbered(w, "mmcblk")
	case strings.HasPrefix(w, "nvme") && strings.Contains(w, "n"):
		name, _, _ = strings.Cut(w, "p")
		return isDisk, name
	case letters == "mmc" && len(w) > 3:
		return isHost, w
	case strings.HasSuffix(w, ".mmc"), strings.HasSuffix(w, ".sdhci"), strings.HasSuffix(w, ".sdmmc"),
		strings.HasSuffix(w, ".mshc"), strings.HasSuffix(w, ".usdhc"):
		return isHost, w
	case strings.HasPrefix(w, "ubiblock"), letters == "ubi" && len(w) > 3, strings.HasPrefix(w, "ubi") &&
		strings.Contains(w, "_") && len(w) < 12 && w[3] >= '0' && w[3] <= '9',
		letters == "mtd" && len(w) > 3, letters == "mtdblock":
		return isRaw, rawFlash
	case letters == "dm-", letters == "loop", letters == "zram", letters == "ram", letters == "nbd", letters == "sr", letters == "fd", letters == "md":
		if w == letters {
			return isNothing, ""
		}
		return isDisk, w
	}
	// sda, sda1, vda, hdb2, xvda
	for _, p := range []string{"sd", "vd", "hd", "xvd"} {
		rest, ok := strings.CutPrefix(letters, p)
		one := len(rest) == 1 && rest[0] >= 'a' && (rest[0] <= 'c' || p == "sd" && rest[0] <= 'z') // vdd is a supply
		if ok && (one || p == "sd" && len(rest) == 2 && rest[0] == 'a') {
			return isDisk, letters
		}
	}
	return isNothing, ""
}

// numbered is a name with its number and without what follows: mmcblk0 of mmcblk0p2, mmcblk0boot0 and mmcblk0rpmb.
func numbered(w, prefix string) string {
	end := len(prefix)
	for end < len(w) && w[end] >= '0' && w[end] <= '9' {
		end++
	}
	return w[:end]
}

// Disks are the block devices of a machine, and which of them hold filesystems in use.
type Disks struct {
	blind  bool                // the list of mounts could not be read
	here   map[string]bool     // all of them
	inUse  map[string]bool     // those that hold a filesystem that is the terminal's own
	hosts  map[string][]string // disks by MMC host; an entry without any is a host that carries something else, or nothing
	places map[string]string   // MMC host by the place of its controller
}

// Bounds of the search.
const (
	disksMax  = 256
	slavesMax = 8 // a device of the mapper over another, and so on
)

// ReadDisks finds out which block devices hold the filesystems in use (proc(5): mountinfo; /sys/block). A disk that can
// be taken out, such as a stick, is the terminal's own only if it holds the root or one of paths.
func ReadDisks(root fs.FS, paths ...string) Disks {
	d := Disks{here: map[string]bool{}, inUse: map[string]bool{}, hosts: map[string][]string{},
		places: map[string]string{}}
	numbers := map[string]string{} // disk by device number
	disks, _ := fs.ReadDir(root, "sys/block")
	for _, e := range disks[:min(len(disks), disksMax)] {
		name := e.Name()
		d.here[name] = true
		dir := path.Join("sys/block", name)
		if s, err := read(root, dir+"/dev"); err == nil {
			numbers[s] = name
		}
		parts, _ := fs.ReadDir(root, dir)
		for _, p := range parts[:min(len(parts), disksMax)] {
			if strings.HasPrefix(p.Name(), name) {
				if s, err := read(root, path.Join(dir, p.Name(), "dev")); err == nil {
					numbers[s] = name
				}
			}
		}
	}
	mounts, err := read(root, "proc/self/mountinfo")
	d.blind = err != nil
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if len(f) < 6 || dash < 0 || dash+2 >= len(f) {
			continue
		}
		source := unescape(f[dash+2])
		name, ok := numbers[f[2]]
		if !ok {
			// The disk has gone from sysfs, or sysfs cannot be read: the mount still says what it was.
			var kind int
			if kind, name = deviceIn(strings.TrimPrefix(source, "/dev/")); kind != isDisk {
				continue
			}
		}
		dir := unescape(f[4])
		own := dir == "/" || slices.ContainsFunc(paths, func(p string) bool {
			return p == dir || dir != "/" &&
				strings.HasPrefix(p, dir+"/")
		})
		d.use(root, name, own, slavesMax)
	}
	d.readHosts(root)
	return d
}

// use notes that a disk, and what it is made of, holds a filesystem.
func (d *Disks) use(root fs.FS, name string, own bool, depth int) {
	if s, err := read(root, "sys/block/"+name+"/removable"); err == nil && s != "0" && !own {
		return
	}
	d.inUse[name] = true
	below, err := fs.ReadDir(root, "sys/block/"+name+"/slaves")
	if err != nil || depth == 0 {
		return
	}
	for _, e := range below {
		if kind, disk := deviceIn(e.Name()); kind == isDisk {
			d.use(root, disk, own, depth-1)
		}
	}
}

// readHosts finds what sits on each MMC host: /sys/class/mmc_host/mmc0/mmc0:0001/block/mmcblk0. SDIO cards have no
// block.
func (d *Disks) readHosts(root fs.FS) {
	const dir = "sys/class/mmc_host"
	hosts, err := fs.ReadDir(root, dir)
	if err != nil {
		return
	}
	for _, h := range hosts[:min(len(hosts), disksMax)] {
		host := h.Name()
		d.hosts[host] = nil
		if target, err := fs.ReadLink(root, path.Join(dir, host)); err == nil {
			for _, place := range strings.Split(target, "/") {
				if kind, _ := deviceIn(place); kind == isHost && strings.Contains(place, ".") {
					d.places[place] = host
				}
			}
		}
		cards, _ := fs.ReadDir(root, path.Join(dir, host))
		for _, c := range cards[:min(len(cards), disksMax)] {
			if !strings.HasPrefix(c.Name(), host+":") {
				continue
			}
			disks, _ := fs.ReadDir(root, path.Join(dir, host, c.Name(), "block"))
			for _, b := range disks {
				d.hosts[host] = append(d.hosts[host], b.Name())
			}
		}
	}
}

// holds reports whether a device, as storageOf names it, holds a filesystem of the terminal's.
func (d Disks) holds(device string) bool {
	switch kind, name := deviceIn(device); {
	case device == rawFlash:
		return true
	case kind == isDisk && strings.HasPrefix(name, "mmcblk"):
		// One that sysfs does not have any more has died, or nobody can tell: what fails in its name was storage.
		return d.inUse[name] || !d.here[name] || d.blind
	case kind == isDisk:
		return (d.inUse[name] || d.blind) && !memory(name)
	case kind == isHost:
		return d.host(device)
	}
	return false
}

// memory reports whether a disk is made of memory, of a file or of another machine.
func memory(name string) bool {
	for _, p := range []string{"zram", "ram", "loop", "nbd", "sr", "fd"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// host reports whether an MMC host carries a disk that holds a filesystem of the terminal's.
func (d Disks) host(device string) bool {
	if strings.Count(device, ":") == 2 {
		return false // a function of an SDIO card
	}
	host, _, _ := strings.Cut(device, ":")
	if h, ok := d.places[host]; ok {
		host = h
	}
	if disks, ok := d.hosts[host]; ok && len(disks) > 0 {
		return slices.ContainsFunc(disks, func(name string) bool { return d.inUse[name] })
	}
	// No card is there, or sysfs does not know the host. Disks are numbered as their hosts are (since Linux 4.6, and where
	// the device tree says so): one that is mounted and gone was there.
	n, err := strconv.Atoi(strings.TrimPrefix(host, "mmc"))
	return err == nil && d.inUse["mmcblk"+strconv.Itoa(n)]
}
