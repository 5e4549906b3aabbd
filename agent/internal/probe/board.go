package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/report"
	"posdx/drivers/board"
)

// BoardConfig says what the board checks look at. Root is the machine's root; nil functions are the kernel's own.
type BoardConfig struct {
	Root      fs.FS
	Paths     []string // filesystems that must have room and be writable
	Floor     time.Time
	Kmsg      string // the kernel's log; empty: /dev/kmsg
	Boots     board.Boots
	App       string                         // the payment application's executable, whose crashes the kernel's log tells of
	Reference func() (board.Reference, bool) // the true time as the acquirer's host told it last; nil: nobody did
	Statfs    func(path string) (board.Statfs, error)
	Timex     func() (board.Timex, error)
	Now       func() time.Time
}

// How long evidence of the board is fresh: as long as it takes to change in earnest.
const (
	loadFresh    = 2 * time.Minute
	powerFresh   = 2 * time.Minute
	thermalFresh = 5 * time.Minute
	storageFresh = 5 * time.Minute
	clockFresh   = 10 * time.Minute
	wearFresh    = time.Hour
	boardLimit   = 2 * time.Second // a gauge on a stuck I2C bus takes its time
)

// Thresholds.
const (
	// Below 3 % filesystems begin to fail writes for some and to fragment for all; the payment application's journal
	// needs some hundred kB at once.
	freeBadPct, freePoorPct = 3, 10
	freeBadBytes            = 512 << 10

	// Commercial parts are specified to 85 °C at the case; imx, mt67xx and sama5 throttle at 85 to 95.
	heatBad, heatPoor = 85, 75
	heatMargin        = 5 // below the board's own critical point

	// USB 2.0 (7.2.2) lets a port drop to 4.75 V, a weak hub to 4.40 V; readers and modems fail below 4.7.
	supplyLeast, supplyBad, supplyMost = 4000, 4700, 5500
	batteryBadPct, batteryPoorPct      = 10, 20
	dipsBad                            = 3
	dipsHurt                           = 2 // one may be chance: a plug pulled out makes sparks as well

	// Pressure: Facebook's oomd acts at 60 to 80 per cent of memory pressure, Android's lmkd at 7 to 10 per cent of full.
	memoryPressureBad, memoryPressurePoor = 25, 10
	cpuPressureBad, cpuPressurePoor       = 50, 20
	memoryBadPct, memoryPoorPct           = 3, 10
	memoryBadKB                           = 8 << 10
	loadBad                               = 4 // waiting tasks for each processor

	// Half a minute is past the window of time-stamped messages, minutes break certificates of a fresh renewal.
	clockBad, clockPoor = time.Minute, 5 * time.Second

	lifePoorPct, lifeBadPct = 90, 100
	ioBad                   = 3
	usbMany                 = 3
	rebootsBad              = 4
)

// Board holds the kernel log's counts. Make one, run its Run beside the probes.
type Board struct {
	c      BoardConfig
	log    *board.KernelLog
	reason func() string // why the machine started: it does not change, and the search walks through sysfs
}

// NewBoard returns the board checks for a configuration.
func NewBoard(c BoardConfig) *Board {
	if c.Root == nil {
		c.Root = os.DirFS("/")
	}
	if c.Kmsg == "" {
		c.Kmsg = "/dev/kmsg"
	}
	if c.Statfs == nil {
		c.Statfs = board.KernelStatfs
	}
	if c.Timex == nil {
		c.Timex = board.ReadTimex
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Board{c: c, log: board.NewKernelLog(c.App), reason: sync.OnceValue(func() string { return board.ResetReason(c.Root) })}
}

// Run reads the kernel's log until ctx ends; without it each check that needs the log reads it once. When it ends earlier, its error says why the log cannot be read: a finding,
// which board.kernel reports, and no reason to stop the agent.
func (b *Board) Run(ctx context.Context) error {
	if err := b.log.Run(ctx, b.c.Kmsg); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	return b.log.Err()
}

// Probes are the checks board.*. Each is a device of its own: a driver that hangs delays only itself.
func (b *Board) Probes() []Probe {
	one := func(check, subject string, fresh time.Duration, f func() []report.Evidence) Probe {
		return Probe{Checks: []string{check}, Subject: subject, Device: check, Depth: report.Internal, Timeout: boardLimit,
			Fresh: fresh, Idle: true, Run: func(ctx context.Context) []report.Evidence { b.read(ctx); return f() }}
	}
	list := []Probe{
		one("board.power", "supply", powerFresh, b.power),
		one("board.thermal", "soc", thermalFresh, b.thermal),
		one("board.flash", "flash", wearFresh, b.flash),
		one("board.memory", "system", loadFresh, b.memory),
		one("board.cpu", "system", loadFresh, b.cpu),
		one("board.clock", "system", clockFresh, b.clock),
		one("board.reboots", "system", wearFresh, b.reboots),
		one("board.kernel", "system", loadFresh, b.kernel),
	}
	for _, p := range b.c.Paths {
		s := one("board.storage", p, storageFresh, func() []report.Evidence { return b.storage(p) })
		s.Device += " " + p
		list = append(list, s)
	}
	if len(b.c.Paths) == 0 {
		list = append(list, Absent("storage", "board.storage"))
	}
	return list
}

// read takes in what the kernel has said until now, also if nobody reads its log along, as in a command without the daemon.
func (b *Board) read(ctx context.Context) {
	if errors.Is(b.log.Err(), board.ErrSilent) {
		b.log.Load(ctx, b.c.Kmsg)
		return
	}
	b.log.Refresh(ctx)
}

// complaints counts kernel messages of one class over d; false if the log cannot be read.
func (b *Board) complaints(c board.Complaint, d time.Duration) (int, bool) {
	up, err := board.Uptime(b.c.Root)
	if err != nil || b.log.Err() != nil {
		return 0, false
	}
	return b.log.Count(c, up, d), true
}

// storageErrors counts, over a day, the failures of what holds the terminal's filesystems, and of other storage or what
// cannot be told; false if the log cannot be read.
func (b *Board) storageErrors() (own, other int, counted bool) {
	up, err := board.Uptime(b.c.Root)
	if err != nil || b.log.Err() != nil {
		return 0, 0, false
	}
	own, other = b.log.Storage(board.ReadDisks(b.c.Root, b.c.Paths...), up, day)
	return own, other, true
}

// AppCrashes is how often the kernel has told of the payment application's end in the last 24 hours, for a fault of its own
// or for want of memory; false if its log is not read.
func (b *Board) AppCrashes() (int, bool) {
	b.read(context.Background())
	return b.complaints(board.AppCrash, day)
}

// DeviceFailed takes in that a reader, PIN pad, printer or modem failed just now: a dip of the supply beside it may be why.
func (b *Board) DeviceFailed() {
	if up, err := board.Uptime(b.c.Root); err == nil {
		b.log.Note(board.DeviceError, up)
	}
}

const day = 24 * time.Hour

func (b *Board) power() []report.Evidence {
	f := report.Facts{}
	dips, counted := b.complaints(board.UnderVoltage, time.Hour)
	if counted {
		f["dips_1h"] = dips
	}
	// A dip beside which a device dropped off its bus or failed has done harm already: what shows as a fault of that
	// device is one of its supply.
	hurt := 0
	if up, err := board.Uptime(b.c.Root); err == nil && dips > 0 {
		if hurt = b.log.Together(board.UnderVoltage, up, time.Hour, board.USBDisconnect, board.DeviceError); hurt > 0 {
			f["dips_with_errors_1h"] = hurt
		}
	}
	p, err := board.ReadPower(b.c.Root)
	if err != nil && dips == 0 && !p.UnderVoltage {
		f["reason"] = reasonFor(err)
		return []report.Evidence{fact("board.power", "supply", report.CannotTell, f)}
	}
	if p.Source != "" {
		f["source"] = p.Source
	}
	if p.Millivolts > 0 {
		f["millivolts"] = p.Millivolts
	}
	if p.BatteryKnown {
		f["battery_pct"] = p.BatteryPct
	}
	status := report.OK
	sick := p.Health != "" && p.Health != "Good" && p.Health != "Cool" && p.Health != "Warm"
	switch {
	case p.UnderVoltage, dips >= dipsBad, hurt >= dipsHurt, sick,
		p.Source == "mains" && p.Millivolts >= supplyLeast && p.Millivolts < supplyBad,
		p.Source == "battery" && p.BatteryKnown && p.BatteryPct <= batteryBadPct:
		status, f["level"] = report.Bad, "bad"
	case dips > 0, p.Source == "battery" && p.BatteryKnown && p.BatteryPct <= batteryPoorPct:
		f["level"] = "poor"
	default:
		f["level"] = "good"
	}
	return []report.Evidence{fact("board.power", "supply", status, f)}
}

func (b *Board) thermal() []report.Evidence {
	t, err := board.ReadThermal(b.c.Root)
	if err != nil {
		return []report.Evidence{doubtful("board.thermal", "soc", report.CannotTell, reasonFor(err))}
	}
	f := report.Facts{"celsius": round(t.Celsius), "throttled": t.Throttled}
	status := report.OK
	switch {
	case t.Throttled, t.Celsius >= heatBad, t.Critical > 0 && t.Celsius >= t.Critical-heatMargin:
		status, f["level"] = report.Bad, "bad"
	case t.Celsius >= heatPoor:
		f["level"] = "poor"
	default:
		f["level"] = "good"
	}
	return []report.Evidence{fact("board.thermal", "soc", status, f)}
}

func (b *Board) storage(path string) []report.Evidence {
	s, err := board.ReadStorage(b.c.Root, b.c.Statfs, path)
	if err != nil {
		return []report.Evidence{doubtful("board.storage", path, report.CannotTell, reasonFor(err))}
	}
	f := report.Facts{"path": path, "free_pct": round(s.FreePct), "read_only": s.ReadOnly}
	if s.InodesKnown {
		f["inodes_free_pct"] = round(s.InodesFreePct)
	}
	status := report.OK
	switch {
	case s.ReadOnly, s.FreePct < freeBadPct, s.FreeBytes < freeBadBytes, s.InodesKnown && s.InodesFreePct < freeBadPct:
		status, f["level"] = report.Bad, "bad"
	case s.FreePct < freePoorPct, s.InodesKnown && s.InodesFreePct < freePoorPct:
		f["level"] = "poor"
	default:
		f["level"] = "good"
	}
	return []report.Evidence{fact("board.storage", path, status, f)}
}

func (b *Board) flash() []report.Evidence {
	errors24, _, counted := b.storageErrors()
	list, err := board.ReadFlash(b.c.Root)
	if err != nil {
		f := report.Facts{}
		if counted {
			f["io_errors_24h"] = errors24
		}
		if errors24 > 0 { // no word of wear, but it fails
			return []report.Evidence{graded("board.flash", "flash", f, errors24 >= ioBad, true)}
		}
		f["reason"] = reasonFor(err)
		return []report.Evidence{fact("board.flash", "flash", report.CannotTell, f)}
	}
	var all []report.Evidence
	for _, l := range list {
		f := report.Facts{}
		if l.LifeKnown {
			f["life_used_pct"] = l.LifePct
		}
		if l.PreEOL != "" {
			f["pre_eol"] = l.PreEOL
		}
		if l.Failures > 0 {
			f["failures"] = l.Failures
		}
		if counted {
			f["io_errors_24h"] = errors24
		}
		all = append(all, graded("board.flash", l.Name, f,
			l.PreEOL == "urgent" || l.LifeKnown && l.LifePct >= lifeBadPct || errors24 >= ioBad || l.Failures >= ioBad,
			l.PreEOL == "warning" || l.LifeKnown && l.LifePct >= lifePoorPct || errors24 > 0 || l.Failures > 0))
	}
	return all
}

// graded sets the level and status from two judgements.
func graded(check, subject string, f report.Facts, bad, poor bool) report.Evidence {
	status := report.OK
	switch {
	case bad:
		status, f["level"] = report.Bad, "bad"
	case poor:
		f["level"] = "poor"
	default:
		f["level"] = "good"
	}
	return fact(check, subject, status, f)
}

func (b *Board) memory() []report.Evidence {
	m, err := board.ReadMemory(b.c.Root)
	if err != nil {
		return []report.Evidence{doubtful("board.memory", "system", report.CannotTell, reasonFor(err))}
	}
	f := report.Facts{"available_mb": int(m.AvailableKB >> 10)}
	if m.PressureKnown {
		f["pressure_avg10"] = m.Pressure
	}
	kills, counted := b.complaints(board.OutOfMemory, day)
	if up, err := board.Uptime(b.c.Root); err == nil && m.OOMKnown && up < day {
		kills, counted = max(kills, int(min(m.OOMKills, 1<<30))), true
	}
	if counted {
		f["oom_kills_24h"] = kills
	}
	pct := 100 * float64(m.AvailableKB) / float64(m.TotalKB)
	bad := pct < memoryBadPct || m.AvailableKB < memoryBadKB || m.Pressure >= memoryPressureBad || kills >= 2
	poor := pct < memoryPoorPct || m.Pressure >= memoryPressurePoor || kills == 1
	if !bad && poor && !m.PressureKnown && kills == 0 {
		// Little is left, and whether anything waits for it the kernel does not say.
		f["reason"] = report.ReasonUnsupported
		return []report.Evidence{fact("board.memory", "system", report.CannotTell, f)}
	}
	return []report.Evidence{graded("board.memory", "system", f, bad, poor)}
}

func (b *Board) cpu() []report.Evidence {
	c, err := board.ReadCPU(b.c.Root)
	if err != nil {
		return []report.Evidence{doubtful("board.cpu", "system", report.CannotTell, reasonFor(err))}
	}
	f := report.Facts{"load1": c.Load1}
	overloaded := c.Load1 >= float64(loadBad*max(c.Processors, 1)) && c.Processors > 0
	if !c.PressureKnown {
		if overloaded {
			return []report.Evidence{graded("board.cpu", "system", f, true, true)}
		}
		// A load says nothing of who waits: tasks stuck on a disk count as well.
		f["reason"] = report.ReasonUnsupported
		return []report.Evidence{fact("board.cpu", "system", report.CannotTell, f)}
	}
	f["pressure_avg10"] = c.Pressure
	return []report.Evidence{graded("board.cpu", "system", f, c.Pressure >= cpuPressureBad, c.Pressure >= cpuPressurePoor || overloaded)}
}

func (b *Board) clock() []report.Evidence {
	tx, err := b.c.Timex()
	if err != nil {
		tx = board.Timex{} // not disciplined, as far as anybody can tell
	}
	var ref *board.Reference
	if b.c.Reference != nil {
		if r, ok := b.c.Reference(); ok {
			ref = &r
		}
	}
	c := board.JudgeClock(b.c.Root, b.c.Now(), b.c.Floor, tx, ref)
	f := report.Facts{"trusted": c.Trusted, "source": c.Source}
	if c.OffsetKnown {
		f["offset_s"] = float64(c.Offset.Round(time.Millisecond)) / float64(time.Second)
	}
	if c.FlatCell {
		f["rtc_cell_flat"] = true
	}
	off := c.Offset.Abs()
	switch {
	case c.BeforeBuild, c.OffsetKnown && off >= clockBad, !c.Trusted && c.FlatCell:
		return []report.Evidence{graded("board.clock", "system", f, true, true)}
	case !c.Trusted:
		f["reason"] = report.ReasonUnsupported // nothing here or outside vouches for it
		return []report.Evidence{fact("board.clock", "system", report.CannotTell, f)}
	}
	return []report.Evidence{graded("board.clock", "system", f, false, off >= clockPoor || c.FlatCell)}
}

func (b *Board) reboots() []report.Evidence {
	reason := b.reason()
	f := report.Facts{"last_reason": reason}
	n := len(b.c.Boots)
	if n == 0 {
		if reason == board.UnknownReset {
			f["reason"] = report.ReasonTooFew
			return []report.Evidence{fact("board.reboots", "system", report.CannotTell, f)}
		}
	} else {
		n = b.c.Boots.Within(b.c.Now(), day)
		f["count_24h"] = n
	}
	fault := reason == board.BrownOutReset || reason == board.HardwareWatchdog || reason == board.SoftwareWatchdog || reason == board.KernelPanic
	// One watchdog reset proves little: some boards restart by their watchdog when they are told to.
	bad := fault && (n >= 2 || reason == board.BrownOutReset || reason == board.KernelPanic) || n >= rebootsBad && reason != board.UserReset
	return []report.Evidence{graded("board.reboots", "system", f, bad, fault || n >= rebootsBad)}
}

func (b *Board) kernel() []report.Evidence {
	if err := b.log.Err(); err != nil {
		return []report.Evidence{doubtful("board.kernel", "system", report.CannotTell, reasonFor(err))}
	}
	up, err := board.Uptime(b.c.Root)
	if err != nil {
		return []report.Evidence{doubtful("board.kernel", "system", report.CannotTell, reasonFor(err))}
	}
	n := func(c board.Complaint) int { return b.log.Count(c, up, day) }
	ioErrors, ioOther, _ := b.storageErrors()
	f := report.Facts{
		"usb_disconnects_24h": n(board.USBDisconnect), "usb_errors_24h": n(board.USBError), "io_errors_24h": ioErrors,
		"under_voltage_24h": n(board.UnderVoltage), "hung_tasks_24h": n(board.HungTask), "oom_24h": n(board.OutOfMemory),
		"link_down_24h": n(board.LinkDown), "segfaults_24h": n(board.Segfault), "serial_overruns_24h": n(board.SerialOverrun),
		"overheat_24h": n(board.Overheat),
	}
	if lost := b.log.Lost(); lost > 0 {
		f["lost_lines"] = lost
	}
	if ioOther > 0 {
		f["io_errors_other_24h"] = ioOther
	}
	grave := ioErrors + n(board.UnderVoltage) + n(board.HungTask) + n(board.OutOfMemory) + n(board.Overheat)
	small := n(board.USBDisconnect) + n(board.USBError) + n(board.LinkDown) + n(board.Segfault) + n(board.SerialOverrun)
	return []report.Evidence{graded("board.kernel", "system", f, grave > 0 || n(board.USBDisconnect)+n(board.USBError) >= usbMany, small > 0)}
}

// maxBootsFile bounds the list of starts on disk.
const maxBootsFile = 16 << 10

// NoteBoot adds this start of the machine to the list kept at path and returns it. The file is written once per start.
// A list that cannot be read is begun anew, and one that cannot be written still counts for now; the error says so.
func NoteBoot(root fs.FS, path string, now time.Time) (board.Boots, error) {
	id, err := board.BootID(root)
	if err != nil {
		return nil, fmt.Errorf("note start: %w", err)
	}
	var list board.Boots
	if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() && info.Size() <= maxBootsFile {
		b, readErr := os.ReadFile(path)
		if readErr == nil {
			list, readErr = board.ParseBoots(b)
		}
		err = readErr
	} else if statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
		err = statErr
	}
	list, isNew := list.Note(id, now)
	if !isNew {
		return list, nil
	}
	if err != nil {
		err = fmt.Errorf("note start: begun anew: %w", err)
	}
	if werr := atomicfile.Replace(path, list.Encode()); werr != nil {
		return list, errors.Join(err, fmt.Errorf("note start: %w", werr))
	}
	return list, err
}
