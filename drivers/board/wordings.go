package board

import "strings"

// A wording is how the kernel words one complaint. Head begins the line, all parts stand in it in any order, and none
// of not does; all are in lower case. The comment above it names the sources that it was taken from, in Linux 6.1
// unless a version is given; there it costs the terminal nothing. Old and new wordings of the same complaint stand
// side by side, because terminals run kernels of fifteen years.
type wording struct {
	class Complaint
	head  string // the line begins with it; "" for anywhere
	all   words
	not   *words // a pointer, so that the table is the linker's
}

// words is short in a table, and a literal of the linker's where a function would fill the table at every start.
type words = []string

// wordings are tried in order; the first that fits decides. For lines about storage the device is found as well: see
// storageOf.
var wordings = [...]wording{
	// Filesystems that went read-only.
	// fs/ext4/super.c, fs/ext3/super.c (2.6), fs/ext2/super.c
	{ReadOnly, "", words{"remounting filesystem read-only"}, nil},
	// fs/fat/misc.c
	{ReadOnly, "", words{"filesystem has been set read-only"}, nil},
	// fs/ubifs/io.c: ubifs_ro_mode
	{ReadOnly, "", words{"switched to read-only mode"}, nil},
	// drivers/mtd/ubi/ubi.h: ubi_ro_mode
	{ReadOnly, "", words{"ubi", "warning", "switch to read-only mode"}, &words{"minimal i/o unit"}},
	// fs/btrfs/messages.c
	{ReadOnly, "", words{"btrfs", "forced readonly"}, nil},
	// fs/f2fs/super.c, since 6.3
	{ReadOnly, "", words{"f2fs-fs", "stopped filesystem due to reason"}, nil},
	// fs/xfs/xfs_fsops.c
	{ReadOnly, "", words{"xfs (", "shutting down filesystem"}, nil},

	// The supply.
	// drivers/hwmon/raspberrypi-hwmon.c (4.20 to 5.x), drivers/firmware/raspberrypi.c
	{UnderVoltage, "", words{"under-voltage detected"}, nil},
	// drivers/hwmon/raspberrypi-hwmon.c
	{UnderVoltage, "", words{"undervoltage detected"}, nil},
	// drivers/regulator/ltc3676.c, ltc3589.c
	{UnderVoltage, "", words{"undervoltage", "warning"}, nil},
	// drivers/power/supply/max77650-charger.c
	{UnderVoltage, "", words{"undervoltage lockout"}, nil},
	// drivers/power/supply/wm831x_power.c, da9150-charger.c
	{UnderVoltage, "", words{"under voltage"}, &words{"limit", "protection", "unsupported"}},
	// drivers/usb/core/hub.c
	{UnderVoltage, "", words{"over-current change"}, nil},
	// drivers/usb/core/hub.c
	{UnderVoltage, "", words{"over-current condition"}, nil},
	// drivers/usb/core/hub.c (2.6 to 3.8)
	{UnderVoltage, "", words{"over current condition"}, nil},
	// makers' kernels
	{UnderVoltage, "", words{"low voltage", "detect"}, nil},

	// USB devices.
	// drivers/usb/core/hub.c
	{USBDisconnect, "", words{"usb disconnect"}, nil},
	// drivers/usb/core/hub.c; since 3.16 with the port's name in front
	{USBError, "", words{"unable to enumerate usb device"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"device descriptor read/", "error"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"device not accepting address"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"device not responding to setup address"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"can't read configurations, error"}, nil},
	// drivers/usb/core/config.c
	{USBError, "", words{"unable to read config index"}, nil},
	// drivers/usb/core/hub.c, generic.c
	{USBError, "", words{"can't set config #", "error"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"maybe the usb cable is bad"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"disabled by hub (emi?)"}, nil},
	// drivers/usb/core/hub.c
	{USBError, "", words{"connect-debounce failed"}, nil},
	// drivers/usb/core/hcd.c: usb_hc_died
	{USBError, "", words{"hc died; cleaning up"}, nil},
	// drivers/usb/core/hub.c (2.6 to 3.x)
	{USBError, "", words{"hub_port_status failed"}, nil},
	// drivers/usb/core/hub.c, since 4.7
	{USBError, "", words{"hub_ext_port_status failed"}, nil},
	// drivers/usb/core/message.c
	{USBError, "", words{"string descriptor 0 read error"}, nil},
	// drivers/usb/core/hub.c: hub_tt_work
	{USBError, "", words{"clear tt", "error -"}, nil},
	// drivers/usb/class/cdc-wdm.c: EPROTO; others are told when one is unplugged
	{USBError, "", words{"nonzero urb status received: -71"}, nil},
	// drivers/usb/host/xhci.c: setup device, setup context
	{USBError, "", words{"timeout while waiting for setup"}, nil},
	// drivers/usb/core/hub.c: hub_port_reset
	{USBError, "", words{"cannot reset", "(err = -"}, nil},
	// drivers/usb/serial/ftdi_sio.c; others are told when one is unplugged
	{USBError, "", words{"failed to get modem status: -"}, &words{"-19"}},
	// drivers/usb/serial/cp210x.c
	{USBError, "", words{"cp210x", "failed", "status: -"}, &words{"-19"}},
	// drivers/usb/serial/pl2303.c
	{USBError, "", words{"pl2303", " - failed: -"}, &words{"-19"}},
	// drivers/usb/class/cdc-acm.c, not when one is unplugged
	{USBError, "", words{"failed to set dtr/rts"}, nil},
	// drivers/usb/musb/musb_core.c
	{USBError, "", words{"musb", "babble"}, nil},

	// Tasks and processors that stand still.
	// kernel/hung_task.c
	{HungTask, "", words{"blocked for more than", "seconds"}, nil},
	// kernel/watchdog.c, kernel/softlockup.c (2.6)
	{HungTask, "", words{"soft lockup"}, nil},
	// kernel/watchdog_hld.c
	{HungTask, "", words{"hard lockup"}, nil},
	// kernel/workqueue.c, since 4.6
	{HungTask, "", words{"workqueue lockup"}, nil},
	// kernel/rcu/tree_stall.h
	{HungTask, "", words{"self-detected stall"}, nil},
	// kernel/rcu/tree_stall.h, kernel/rcutree.c (2.6)
	{HungTask, "", words{"rcu", "detected stalls on"}, nil},
	// kernel/rcu/tree_exp.h
	{HungTask, "", words{"rcu", "detected expedited stalls"}, nil},

	// Memory. Linux 2.6.36 to 5.2 announce a kill and tell of it in a second line: see announced.
	// mm/oom_kill.c
	{OutOfMemory, "", words{"killed process"}, nil},
	// mm/oom_kill.c (2.6.36 to 5.2)
	{OutOfMemory, "", words{"out of memory", "kill process"}, nil},
	// drivers/staging/android/lowmemorykiller.c (to 4.11), makers' kernels
	{OutOfMemory, "", words{"lowmemorykiller: killing '"}, nil},

	// Programs that crash.
	// arch/x86/mm/fault.c, arch/sparc/mm/fault_32.c, arch/um/kernel/trap.c
	{Segfault, "", words{"segfault at"}, nil},
	// arch/x86/kernel/traps.c: show_signal
	{Segfault, "", words{"trap", "ip:", "sp:", "error:"}, nil},
	// arch/x86/kernel/traps.c
	{Segfault, "", words{"general protection", "ip:"}, nil},
	// arch/arm/mm/fault.c, arch/arm64/mm/fault.c
	{Segfault, "", words{"unhandled", "fault", "at 0x"}, &words{"iommu", "smmu"}},
	// arch/arm64/kernel/traps.c, since 4.17
	{Segfault, "", words{"unhandled exception:"}, nil},
	// arch/arm/kernel/traps.c, arch/arm64/kernel/traps.c (to 4.16)
	{Segfault, "", words{"undefined instruction", "pc="}, nil},
	// arch/arm/kernel/traps.c
	{Segfault, "", words{"undefined instruction: pc"}, nil},
	// arch/riscv/kernel/traps.c, arch/powerpc/kernel/traps.c
	{Segfault, "", words{"unhandled signal", "code"}, nil},
	// arch/mips/mm/fault.c
	{Segfault, "", words{"sending sigsegv to"}, nil},
	// arch/mips/mm/fault.c
	{Segfault, "", words{"sending sigbus to"}, nil},
	// arch/mips/kernel/traps.c
	{Segfault, "", words{"sending sigill to"}, nil},
	// arch/arm64/kernel/signal.c, arch/riscv/kernel/signal.c
	{Segfault, "", words{"bad frame in", "sigreturn"}, nil},

	// arch/*/kernel/traps.c, mm/fault.c: a fault in the kernel, which ends the program that ran
	{Segfault, "", words{"oops", "[#"}, nil},

	// Links. What names a bus or an optical module's own trouble is not a cable of the shop.
	// drivers/net/phy/phy.c, phylink.c and most of drivers/net/ethernet
	{LinkDown, "", words{"link is down"}, &notLink},
	// drivers/net/mii.c, dm9000.c, macb, sh_eth, mv643xx_eth.c, 8139cp.c
	{LinkDown, "", words{"link down"}, &notLink},
	// drivers/net/ethernet/natsemi/ns83820.c
	{LinkDown, "", words{"link now down"}, &notLink},
	// drivers/net/ethernet/sun/sungem.c
	{LinkDown, "", words{"link is now down"}, &notLink},
	// drivers/net/usb/r8152.c
	{LinkDown, "", words{"carrier off"}, &notLink},
	// drivers/net/ethernet/amd
	{LinkDown, "", words{"carrier lost"}, &notLink},
	// drivers/net/usb/ax88179_178a.c
	{LinkDown, "", words{"link status is: 0"}, nil},
	// drivers/net/usb/rtl8150.c
	{LinkDown, "", words{"link lost"}, &notLink},
	// makers' kernels
	{LinkDown, "", words{"link becomes not ready"}, nil},
	// makers' drivers
	{LinkDown, "", words{"link_is_down"}, &notLink},

	// Serial lines that lost characters.
	// drivers/tty/n_tty.c, drivers/char/n_tty.c (2.6)
	{SerialOverrun, "", words{"input overrun"}, nil},
	// drivers/tty/serial/max310x.c, sc16is7xx.c
	{SerialOverrun, "", words{"fifo overrun"}, &notTTY},
	// drivers/tty/serial/pch_uart.c, jsm/jsm_neo.c, 8250_bcm7271.c
	{SerialOverrun, "", words{"rx overrun"}, &notTTY},
	// drivers/tty/serial/8250/8250_bcm7271.c
	{SerialOverrun, "", words{"flip buffer overrun"}, nil},
	// makers' drivers: ttyS1: overrun
	{SerialOverrun, "", words{"overrun", "tty"}, nil},
	// makers' drivers: 2028000.serial: uart overrun
	{SerialOverrun, "", words{"overrun", "uart"}, nil},
	// drivers/tty/serial/8250/8250_core.c (to 4.x)
	{SerialOverrun, "", words{"too much work for irq", "tty"}, nil},
	// drivers/tty/serial/8250/8250_core.c (to 4.x)
	{SerialOverrun, "", words{"too much work for irq", "serial"}, nil},

	// Heat.
	// drivers/thermal/thermal_core.c
	{Overheat, "", words{"critical temperature", "reached"}, nil},
	// arch/x86/kernel/cpu/mcheck/therm_throt.c (to 5.5)
	{Overheat, "", words{"temperature above threshold"}, nil},
	// drivers/thermal/intel/therm_throt.c
	{Overheat, "", words{"temperature is above threshold"}, nil},
	// makers' kernels
	{Overheat, "", words{"critical temperature trip"}, nil},
	// drivers/power/supply/rt9455_charger.c, drivers/mfd
	{Overheat, "", words{"thermal shutdown"}, &words{"enabl", "support"}},
	// drivers/regulator/ltc3676.c, ltc3589.c
	{Overheat, "", words{"over-temperature warning"}, nil},
	// drivers/mxc/gpu-viv of i.MX makers' kernels: the graphics are slowed down
	{Overheat, "", words{"system is too hot"}, nil},
	// drivers/power/supply/da9150-charger.c
	{Overheat, "", words{"tjunc over temperature"}, nil},

	// Storage: what never is one.
	// drivers/base/firmware_loader: a file that is not there
	{"", "", words{"firmware", "failed"}, nil},
	// drivers/mmc/core/sdio.c: no storage
	{"", "", words{"whilst initialising sdio card"}, nil},
	// drivers/mtd/ubi/io.c: put right
	{"", "", words{"fixable bit-flip"}, nil},

	// Storage: block layer.
	// block/blk-core.c, fs/buffer.c, fs/ext4, fs/jbd2
	{IOError, "", words{"i/o error"}, nil},
	// block/blk-mq.c, block/blk-core.c
	{IOError, "", words{"medium error", "dev"}, nil},
	// block/blk-mq.c, block/blk-core.c
	{IOError, "", words{"target error", "dev"}, nil},
	// block/blk-mq.c
	{IOError, "", words{"timeout error", "dev"}, nil},
	// fs/jbd2/commit.c
	{IOError, "", words{"detected io errors while flushing file data on"}, nil},
	// fs/jbd2/journal.c, fs/jbd (2.6)
	{IOError, "", words{"aborting journal on device"}, nil},
	// fs/jbd2/journal.c
	{IOError, "", words{"jbd2: error -", "updating journal superblock"}, nil},
	// drivers/md/dm-verity-target.c
	{IOError, "", words{"device-mapper: verity", "is corrupted"}, nil},
	// Filesystems.
	// fs/ext2/super.c
	{IOError, "", words{"ext2-fs", "error"}, &notCount},
	// fs/ext3/super.c (2.6)
	{IOError, "", words{"ext3-fs error"}, nil},
	// fs/ext4/super.c
	{IOError, "", words{"ext4-fs error"}, nil},
	// fs/ext4/extents.c: but for a full disk
	{IOError, "", words{"ext4-fs", "potential data loss"}, &words{"error -28"}},
	// fs/ubifs/misc.c, fs/ubifs/debug.h (2.6)
	{IOError, "", words{"ubifs error"}, nil},
	// fs/f2fs
	{IOError, "", words{"f2fs-fs", "error"}, &notCount},
	// fs/f2fs
	{IOError, "", words{"f2fs-fs", "inconsisten"}, nil},
	// fs/f2fs/checkpoint.c
	{IOError, "", words{"f2fs-fs", "access invalid blkaddr"}, nil},
	// fs/fat/misc.c
	{IOError, "", words{"fat-fs", "error,"}, nil},
	// fs/fat/dir.c, inode.c
	{IOError, "", words{"fat-fs", "directory bread(", "failed"}, nil},
	// fs/squashfs/squashfs.h
	{IOError, "", words{"squashfs error"}, nil},
	// fs/erofs/decompressor.c
	{IOError, "", words{"erofs", "failed to decompress"}, nil},
	// fs/btrfs/messages.c
	{IOError, "", words{"btrfs", "error"}, &notCount},
	// fs/jffs2/debug.h (to 3.3)
	{IOError, "", words{"jffs2 error"}, nil},
	// fs/jffs2/debug.h
	{IOError, "", words{"jffs2: error:"}, nil},
	// fs/jffs2/scan.c, readinode.c
	{IOError, "", words{"jffs2", "crc failed on node"}, nil},
	// fs/jffs2/wbuf.c, read.c
	{IOError, "", words{"returned ecc error"}, nil},
	// fs/jffs2/write.c
	{IOError, "", words{"jffs2", "write of", "failed. returned"}, nil},
	// yaffs2, makers' kernels
	{IOError, "", words{"yaffs", "uncorrect"}, nil},
	// UBI and NAND.
	// drivers/mtd/ubi/ubi.h (to 3.19)
	{IOError, "", words{"ubi error"}, nil},
	// drivers/mtd/ubi/misc.c, since 4.0: ubi0 error
	{IOError, "", words{"ubi", " error: "}, nil},
	// drivers/mtd/nand/ecc-sw-hamming.c, nand_ecc.c (to 5.9)
	{IOError, "", words{"uncorrectable ecc"}, nil},
	// drivers/mtd/nand/ecc-sw-bch.c
	{IOError, "", words{"ecc unrecoverable error"}, nil},
	// drivers/mtd/nand/raw, makers' drivers
	{IOError, "", words{"nand", "uncorrectable"}, nil},
	// drivers/mtd/nand/raw: gpmi-nand, sunxi_nand, marvell_nand, brcmnand, stm32_fmc2, nand_base.c
	{IOError, "", words{"nand", "timeout"}, nil},
	// drivers/mtd/nand/raw/sunxi_nand.c, pxa3xx_nand.c (to 4.15)
	{IOError, "", words{"nand", "wait", "timedout"}, nil},
	// drivers/mtd/nand/raw/omap2.c: the line says no more
	{IOError, "uncorrectable error", nil, nil},
	// NOR flash on SPI: the line names the bus and the chip's place on it.
	// drivers/mtd/spi-nor/core.c
	{IOError, "", words{"spi-nor", "flash operation timed out"}, nil},
	// drivers/mtd/spi-nor/core.c: erase, program
	{IOError, "", words{"spi-nor", "operation failed"}, nil},
	// drivers/mtd/spi-nor/core.c: registers
	{IOError, "", words{"spi-nor", "error -", "reading"}, nil},
	// drivers/mtd/devices/m25p80.c (to 4.x)
	{IOError, "", words{"m25p80", "error -", "reading"}, nil},
	// SD cards and eMMC: the block driver names the disk, the core and the hosts what it sits on.
	// drivers/mmc/core/block.c, drivers/mmc/card/block.c (to 4.9)
	{IOError, "mmcblk", words{"error"}, &notCount},
	// drivers/mmc/card/block.c (to 4.14)
	{IOError, "mmcblk", words{"timed out"}, nil},
	// drivers/mmc/core/block.c
	{IOError, "mmcblk", words{"recovery failed"}, nil},
	// drivers/mmc/card/block.c (to 4.14)
	{IOError, "mmcblk", words{"retrying"}, &words{"re-tune"}},
	// drivers/mmc/card/block.c (to 3.x)
	{IOError, "mmcblk", words{"unable to set block size"}, nil},
	// drivers/mmc/core, drivers/mmc/host
	{IOError, "mmc", words{"error"}, &notHost},
	// drivers/mmc/host/sdhci.c, dw_mmc.c, cqhci-core.c
	{IOError, "mmc", words{"timeout"}, &notHost},
	// drivers/mmc/core/mmc.c
	{IOError, "mmc", words{"timed out"}, &notHost},
	// drivers/mmc/core/mmc_ops.c, block.c
	{IOError, "mmc", words{"card stuck"}, nil},
	// drivers/mmc/core/core.c (to 5.x)
	{IOError, "mmc", words{"never left busy"}, nil},
	// drivers/mmc/core/core.c
	{IOError, "mmc", words{"running cqe recovery"}, nil},
	// drivers/mmc/host/sunxi-mmc.c, bcm2835.c, mtk-sd.c
	{IOError, "", words{".mmc:", "error"}, nil},
	// drivers/mmc/host/bcm2835.c, mtk-sd.c
	{IOError, "", words{".mmc:", "timeout"}, nil},
	// drivers/mmc/host/mtk-sd.c
	{IOError, "mtk-msdc", words{"err"}, nil},
}

// notLink: no network's link, or a line that tells of a setting. "ata1: SATA link down" is said of every empty socket.
var notLink = words{"pcie", "pci ", "pci:", "sata", "ata1", "while link", "failed", "cannot", "detection", "transmit", "phy link"}

// notTTY: other things that have a FIFO.
var notTTY = words{"i2s", "spdif", "audio", "pcm", "can0", "can1", "flexcan", "camera", "csi", "eth", "xrun"}

// notCount: what a filesystem remembers of old, or was told to do.
var notCount = words{"error count since", "initial error at", "last error at", "errors=", "mounting fs with errors"}

// notHost: a controller's rows of registers, what it can do, and a card that is no storage.
var notHost = words{"timeout:", "sdhci: timeout", "specify timeout", "sdio"}

// classOf finds which complaint a line of the kernel's log is; "" if it is none.
func classOf(text string) Complaint {
	w, _ := wordingOf(strings.ToLower(text))
	return w.class
}

// wordingOf finds the wording of a line in lower case.
func wordingOf(text string) (wording, bool) {
	for _, w := range wordings {
		if w.fits(text) {
			return w, true
		}
	}
	return wording{}, false
}

func (w wording) fits(text string) bool {
	if !strings.HasPrefix(text, w.head) {
		return false
	}
	for _, part := range w.all {
		if !strings.Contains(text, part) {
			return false
		}
	}
	if w.not != nil {
		for _, part := range *w.not {
			if strings.Contains(text, part) {
				return false
			}
		}
	}
	return true
}

// announced reports whether a line announces a kill that the kernel tells of again when it has done it.
func announced(text string) bool { return strings.Contains(text, "or sacrifice child") }

// told reports whether a line is the second of two: later kernels say in front why they kill, and say it once.
func told(text string) bool { return strings.HasPrefix(text, "Killed process") }
