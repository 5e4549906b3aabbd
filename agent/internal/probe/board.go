package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"posdx/agent/internal/atomicfile"

	"posdx/agent/evidence"
	"posdx/agent/report"
	"posdx/drivers/board"
)

// BoardConfig is what the board checks look at. Root is the machine's root directory; functions that are nil are the
// kernel's own.
type BoardConfig struct {
	Root  fs.FS
	Paths []string // filesystems that must have room and be writable
	Floor time.Time
	Kmsg  string // the kernel's log; empty: /dev/kmsg
	Boots board.Boots
	// the payment application's executable, whose crashes the kernel's log tells of
	App       string
	Reference func() (board.Reference, bool) // the time as the acquirer's host gave it last; nil: none is known
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

// Board holds the counts of the kernel's log. Make one, and run its Run beside the probes.
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
	return &Board{c: c, log: board.NewKernelLog(c.App),
		reason: sync.OnceValue(func() string { return board.ResetReason(c.Root) })}
}

// Run reads the kernel's log until ctx ends; without it each check that needs the log reads it once. When it ends
// earlier, its error is why the log cannot be read: that is a finding, which board.kernel reports, and no reason to
// stop the agent.
func (b *Board) Run(ctx context.Context) error {
	if err := b.log.Run(ctx, b.c.Kmsg); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	return b.log.Err()
}

// Probes are the checks board.*. Each counts as a device of its own, so that a driver that hangs delays only its own
// check.
func (b *Board) Probes() []Probe {
	one := func(check evidence.Check, subject string, fresh time.Duration, f func() []report.Evidence) Probe {
		return Probe{Checks: []evidence.Check{check}, Subject: subject, Device: string(check), Depth: report.Internal,
			Timeout: boardLimit,
			Fresh:   fresh, Idle: true, Run: func(ctx context.Context) []report.Evidence { b.read(ctx); return f() }}
	}
	list := []Probe{
		one(evidence.BoardPower, "supply", powerFresh, b.power),
		one(evidence.BoardThermal, "soc", thermalFresh, b.thermal),
		one(evidence.BoardFlash, "flash", wearFresh, b.flash),
		one(evidence.BoardMemory, "system", loadFresh, b.memory),
		one(evidence.BoardCPU, "system", loadFresh, b.cpu),
		one(evidence.BoardClock, "system", clockFresh, b.clock),
		one(evidence.BoardReboots, "system", wearFresh, b.reboots),
		one(evidence.BoardKernel, "system", loadFresh, b.kernel),
	}
	for _, p := range b.c.Paths {
		s := one(evidence.BoardStorage, p, storageFresh, func() []report.Evidence { return b.storage(p) })
		s.Device += " " + p
		list = append(list, s)
	}
	if len(b.c.Paths) == 0 {
		list = append(list, Absent("storage", evidence.BoardStorage))
	}
	return list
}

// read takes what the kernel has logged until now, also where Run does not run, as in a command without the daemon.
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

// storageErrors counts, over a day, the failures of the storage that holds the terminal's filesystems, and those of
// other storage or of storage that is not known; false if the log cannot be read.
func (b *Board) storageErrors() (own, other int, counted bool) {
	up, err := board.Uptime(b.c.Root)
	if err != nil || b.log.Err() != nil {
		return 0, 0, false
	}
	own, other = b.log.Storage(board.ReadDisks(b.c.Root, b.c.Paths...), up, day)
	return own, other, true
}

// AppCrashes is how often, in the last 24 hours, the kernel has logged that the payment application was ended, for a
// fault of its own or for want of memory; false if the log is not read.
func (b *Board) AppCrashes() (int, bool) {
	b.read(context.Background())
	return b.complaints(board.AppCrash, day)
}

// DeviceFailed records that a reader, PIN pad, printer or modem failed just now: if the supply dipped at the same time,
// that may be the reason.
func (b *Board) DeviceFailed() {
	if up, err := board.Uptime(b.c.Root); err == nil {
		b.log.Note(board.DeviceError, up)
	}
}

const day = 24 * time.Hour

// one is the evidence of a check that asks about one thing.
func one(e report.Evidence) []report.Evidence { return []report.Evidence{e} }

// count is a fact that counts.
func count(f evidence.Fact[float64], n int) evidence.Value { return f.Is(float64(n)) }

func (b *Board) power() []report.Evidence {
	var facts []evidence.Value
	dips, counted := b.complaints(board.UnderVoltage, time.Hour)
	if counted {
		facts = append(facts, count(evidence.Dips1h, dips))
	}
	// A dip beside which a device dropped off its bus or failed has done harm already: what shows as a fault of that
	// device is one of its supply.
	if up, err := board.Uptime(b.c.Root); err == nil && dips > 0 {
		if hurt := b.log.Together(board.UnderVoltage, up, time.Hour, board.USBDisconnect, board.DeviceError); hurt > 0 {
			facts = append(facts, count(evidence.DipsWithErrors1h, hurt))
		}
	}
	p, err := board.ReadPower(b.c.Root)
	if err != nil && dips == 0 && !p.UnderVoltage {
		return one(evidence.CannotTell(evidence.BoardPower, "supply", reasonFor(err), facts...))
	}
	if p.Source != "" {
		facts = append(facts, evidence.Source.Is(p.Source))
	}
	if p.Millivolts > 0 {
		facts = append(facts, count(evidence.Millivolts, p.Millivolts))
	}
	if p.BatteryKnown {
		facts = append(facts, count(evidence.BatteryPct, p.BatteryPct))
	}
	if p.Health != "" {
		facts = append(facts, evidence.BatteryHealth.Is(health(p.Health)))
	}
	if p.UnderVoltage {
		facts = append(facts, evidence.UnderVoltage.Is(true))
	}
	return one(evidence.New(evidence.BoardPower, "supply", facts...))
}

// health is the kernel's word for the state of a battery as the documents write it.
func health(word string) string {
	word = strings.ToLower(strings.ReplaceAll(word, " ", "-"))
	if slices.Contains([]string{"good", "overheat", "dead", "over-voltage", "cold", "warm", "cool"}, word) {
		return word
	}
	return "other"
}

func (b *Board) thermal() []report.Evidence {
	t, err := board.ReadThermal(b.c.Root)
	if err != nil {
		return one(evidence.CannotTell(evidence.BoardThermal, "soc", reasonFor(err)))
	}
	facts := []evidence.Value{evidence.Celsius.Is(round(t.Celsius)), evidence.Throttled.Is(t.Throttled)}
	if t.Critical > 0 {
		facts = append(facts, evidence.CriticalCelsius.Is(round(t.Critical)))
	}
	return one(evidence.New(evidence.BoardThermal, "soc", facts...))
}

func (b *Board) storage(path string) []report.Evidence {
	s, err := board.ReadStorage(b.c.Root, b.c.Statfs, path)
	if err != nil {
		return one(evidence.CannotTell(evidence.BoardStorage, path, reasonFor(err)))
	}
	facts := []evidence.Value{evidence.Path.Is(path), evidence.FreePct.Is(round(s.FreePct)),
		evidence.FreeKB.Is(float64(s.FreeBytes >> 10)),
		evidence.ReadOnly.Is(s.ReadOnly)}
	if s.InodesKnown {
		facts = append(facts, evidence.InodesFreePct.Is(round(s.InodesFreePct)))
	}
	return one(evidence.New(evidence.BoardStorage, path, facts...))
}

func (b *Board) flash() []report.Evidence {
	errors24, _, counted := b.storageErrors()
	list, err := board.ReadFlash(b.c.Root)
	if err != nil {
		var facts []evidence.Value
		if counted {
			facts = append(facts, count(evidence.IOErrors24h, errors24))
		}
		if errors24 > 0 { // no word of wear, but it fails
			return one(evidence.New(evidence.BoardFlash, "flash", facts...))
		}
		return one(evidence.CannotTell(evidence.BoardFlash, "flash", reasonFor(err), facts...))
	}
	var all []report.Evidence
	for _, l := range list {
		var facts []evidence.Value
		if l.LifeKnown {
			facts = append(facts, count(evidence.LifeUsedPct, l.LifePct))
		}
		if l.PreEOL != "" {
			facts = append(facts, evidence.PreEOL.Is(l.PreEOL))
		}
		if l.Failures > 0 {
			facts = append(facts, count(evidence.Failures, l.Failures))
		}
		if counted {
			facts = append(facts, count(evidence.IOErrors24h, errors24))
		}
		all = append(all, evidence.New(evidence.BoardFlash, l.Name, facts...))
	}
	return all
}

func (b *Board) memory() []report.Evidence {
	m, err := board.ReadMemory(b.c.Root)
	if err != nil {
		return one(evidence.CannotTell(evidence.BoardMemory, "system", reasonFor(err)))
	}
	facts := []evidence.Value{evidence.AvailableMB.Is(round(float64(m.AvailableKB) / 1024)),
		evidence.TotalMB.Is(round(float64(m.TotalKB) / 1024))}
	if m.PressureKnown {
		facts = append(facts, evidence.PressureAvg10.Is(m.Pressure))
	}
	kills, counted := b.complaints(board.OutOfMemory, day)
	if up, err := board.Uptime(b.c.Root); err == nil && m.OOMKnown && up < day {
		kills, counted = max(kills, int(min(m.OOMKills, 1<<30))), true
	}
	if counted {
		facts = append(facts, count(evidence.OOMKills24h, kills))
	}
	return one(evidence.New(evidence.BoardMemory, "system", facts...))
}

func (b *Board) cpu() []report.Evidence {
	c, err := board.ReadCPU(b.c.Root)
	if err != nil {
		return one(evidence.CannotTell(evidence.BoardCPU, "system", reasonFor(err)))
	}
	facts := []evidence.Value{evidence.Load1.Is(c.Load1)}
	if c.Processors > 0 {
		facts = append(facts, count(evidence.Processors, c.Processors))
	}
	if c.PressureKnown {
		facts = append(facts, evidence.PressureAvg10.Is(c.Pressure))
	}
	return one(evidence.New(evidence.BoardCPU, "system", facts...))
}

func (b *Board) clock() []report.Evidence {
	tx, err := b.c.Timex()
	if err != nil {
		tx = board.Timex{} // not kept in step, as far as can be told
	}
	var ref *board.Reference
	if b.c.Reference != nil {
		if r, ok := b.c.Reference(); ok {
			ref = &r
		}
	}
	c := board.JudgeClock(b.c.Root, b.c.Now(), b.c.Floor, tx, ref)
	facts := []evidence.Value{evidence.Trusted.Is(c.Trusted), evidence.Source.Is(c.Source)}
	if c.OffsetKnown {
		facts = append(facts, evidence.OffsetS.Is(float64(c.Offset.Round(time.Millisecond))/float64(time.Second)))
	}
	if c.FlatCell {
		facts = append(facts, evidence.RTCCellFlat.Is(true))
	}
	if c.BeforeBuild {
		facts = append(facts, evidence.BeforeBuild.Is(true))
	}
	if t, ok := board.LastTurn(b.c.Now()); ok && !c.BeforeBuild {
		facts = append(facts, evidence.Turn.Is(t.Name), evidence.TurnAgeS.Is(round(t.Age.Seconds())))
	}
	return one(evidence.New(evidence.BoardClock, "system", facts...))
}

func (b *Board) reboots() []report.Evidence {
	facts := []evidence.Value{evidence.LastReason.Is(b.reason())}
	if len(b.c.Boots) > 0 {
		facts = append(facts, count(evidence.Count24h, b.c.Boots.Within(b.c.Now(), day)))
	}
	return one(evidence.New(evidence.BoardReboots, "system", facts...))
}

func (b *Board) kernel() []report.Evidence {
	if err := b.log.Err(); err != nil {
		return one(evidence.CannotTell(evidence.BoardKernel, "system", reasonFor(err)))
	}
	up, err := board.Uptime(b.c.Root)
	if err != nil {
		return one(evidence.CannotTell(evidence.BoardKernel, "system", reasonFor(err)))
	}
	ioErrors, ioOther, _ := b.storageErrors()
	facts := []evidence.Value{count(evidence.IOErrors24h, ioErrors)}
	for _, c := range [...]struct {
		fact evidence.Fact[float64]
		of   board.Complaint
	}{
		{evidence.USBDisconnects24h, board.USBDisconnect}, {evidence.USBErrors24h, board.USBError},
		{evidence.UnderVoltage24h, board.UnderVoltage},
		{evidence.HungTasks24h, board.HungTask}, {evidence.OOM24h, board.OutOfMemory}, {evidence.LinkDown24h, board.LinkDown},
		{evidence.Segfaults24h, board.Segfault}, {evidence.SerialOverruns24h, board.SerialOverrun},
		{evidence.Overheat24h, board.Overheat},
	} {
		facts = append(facts, count(c.fact, b.log.Count(c.of, up, day)))
	}
	if lost := b.log.Lost(); lost > 0 {
		facts = append(facts, evidence.LostLines.Is(float64(lost)))
	}
	if ioOther > 0 {
		facts = append(facts, count(evidence.IOErrorsOther24h, ioOther))
	}
	return one(evidence.New(evidence.BoardKernel, "system", facts...))
}

// maxBootsFile bounds the list of starts on disk.
const maxBootsFile = 16 << 10

// NoteBoot adds this start of the machine to the list kept at path and returns it. The file is written once per start.
// A list that cannot be read is begun anew; one that cannot be written still counts for now. The error tells of both.
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
