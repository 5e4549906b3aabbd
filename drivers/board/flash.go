package board

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Flash is the wear of one flash memory.
type Flash struct {
	Name      string // mmcblk0, ubi0
	LifePct   int    // of its life that is used up, as its maker counts
	LifeKnown bool
	PreEOL    string // normal warning urgent: how far the spare blocks are used up; empty: not known
	BadBlocks int    // UBI only
	Failures  int    // reads since boot that no check bits could put right (NAND), and volumes found damaged
}

// Erase cycles that NAND is sold with: single level cells 100 000, multi level cells 3 000 (JESD47 and makers' sheets).
const (
	cyclesSLC = 100_000
	cyclesMLC = 3_000
)

// ReadFlash reads every flash memory that tells of its wear: eMMC (JESD84-B50, since Linux 4.11) and UBI.
func ReadFlash(root fs.FS) ([]Flash, error) {
	var all []Flash
	blocks, mmcErr := list(root, "sys/block")
	for _, d := range blocks {
		name := path.Base(d)
		if !strings.HasPrefix(name, "mmcblk") || strings.Contains(name, "boot") || strings.HasSuffix(name, "rpmb") {
			continue
		}
		if f, ok := emmc(root, name, d+"/device"); ok {
			all = append(all, f)
		}
	}
	volumes, ubiErr := list(root, "sys/class/ubi")
	for _, d := range volumes {
		name := path.Base(d)
		if _, err := strconv.Atoi(strings.TrimPrefix(name, "ubi")); err != nil {
			continue // ubi0_1 is a volume, ubi_ctrl the control device
		}
		if f, ok := ubi(root, name, d); ok {
			all = append(all, f)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	if mmcErr != nil && ubiErr != nil {
		return nil, mmcErr
	}
	return nil, fmt.Errorf("read flash wear: %w", fs.ErrNotExist)
}

// emmc reads life_time ("0x03 0x01": used up in steps of 10 % by cell type, 0x0b is past it) and pre_eol_info.
func emmc(root fs.FS, name, dir string) (Flash, bool) {
	f := Flash{Name: name}
	if s, err := read(root, dir+"/life_time"); err == nil {
		for _, w := range strings.Fields(s) {
			n, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 8)
			if err == nil && n >= 1 && n <= 11 {
				f.LifePct, f.LifeKnown = max(f.LifePct, int(n)*10), true
			}
		}
	}
	if s, err := read(root, dir+"/pre_eol_info"); err == nil {
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 8)
		if err == nil && n >= 1 && n <= 3 {
			f.PreEOL = [...]string{"normal", "warning", "urgent"}[n-1]
		}
	}
	return f, f.LifeKnown || f.PreEOL != ""
}

// failures sums up what UBI and the flash below it have given up on (ABI/stable/sysfs-class-ubi,
// testing/sysfs-class-mtd).
func failures(root fs.FS, name, dir string) int {
	n := 0
	if mtd, err := number(root, dir+"/mtd_num"); err == nil && mtd >= 0 {
		if ecc, err := number(root, fmt.Sprintf("sys/class/mtd/mtd%d/ecc_failures", mtd)); err == nil && ecc > 0 {
			n += int(min(ecc, 1<<30))
		}
	}
	volumes, err := list(root, "sys/class/ubi")
	if err != nil {
		return n
	}
	for _, v := range volumes {
		if !strings.HasPrefix(path.Base(v), name+"_") {
			continue
		}
		for _, mark := range []string{"/corrupted", "/upd_marker"} {
			if on, err := number(root, v+mark); err == nil && on == 1 {
				n++
			}
		}
	}
	return n
}

func ubi(root fs.FS, name, dir string) (Flash, bool) {
	f := Flash{Name: name}
	if n, err := number(root, dir+"/max_ec"); err == nil && n >= 0 {
		cycles := int64(cyclesSLC)
		if mtd, err := number(root, dir+"/mtd_num"); err == nil {
			if kind, err := read(root, fmt.Sprintf("sys/class/mtd/mtd%d/type", mtd)); err == nil && kind == "mlc-nand" {
				cycles = cyclesMLC
			}
		}
		f.LifePct, f.LifeKnown = int(min(110, n*100/cycles)), true
	}
	if n, err := number(root, dir+"/bad_peb_count"); err == nil && n >= 0 {
		f.BadBlocks = int(min(n, 1<<30))
	}
	if spare, err := number(root, dir+"/reserved_for_bad"); err == nil {
		switch {
		case spare <= 0:
			f.PreEOL = "urgent" // the next bad block makes the volume read-only
		case int64(f.BadBlocks) >= 4*spare: // 80 % of what was kept for bad blocks is used, as eMMC counts it
			f.PreEOL = "warning"
		default:
			f.PreEOL = "normal"
		}
	}
	f.Failures = failures(root, name, dir)
	return f, f.LifeKnown || f.PreEOL != "" || f.Failures > 0
}
