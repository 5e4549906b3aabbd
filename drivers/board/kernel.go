package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Complaint is a class of kernel messages.
type Complaint string

// Classes of messages that matter to a payment.
const (
	USBDisconnect Complaint = "usb_disconnect"
	USBError      Complaint = "usb_error"     // a device that cannot be spoken to, or is never enumerated
	IOError       Complaint = "io_error"      // of a disk, eMMC, NAND or filesystem
	UnderVoltage  Complaint = "under_voltage" // or a USB port over its current
	HungTask      Complaint = "hung_task"
	OutOfMemory   Complaint = "oom"
	LinkDown      Complaint = "link_down"
	Segfault      Complaint = "segfault"
	ReadOnly      Complaint = "read_only" // a filesystem went read-only
	SerialOverrun Complaint = "serial_overrun"
	Overheat      Complaint = "overheat"
	AppCrash      Complaint = "app_crash" // a segfault of the payment application, or its end for want of memory
	// DeviceError is not the kernel's: a reader, PIN pad, printer or modem failed, as others found it. See Note.
	DeviceError Complaint = "device_error"
)

// A Record is one line of the kernel's log (Documentation/ABI/testing/dev-kmsg).
type Record struct {
	Seq   uint64
	Since time.Duration // since boot
	Class Complaint     // empty: the record is none of the complaints
	App   bool          // it is about the payment application
	// Device is what a complaint about storage means; see Disks.
	Device string
	// Announced: the kernel says it again in a line of its own, which is Told.
	Announced, Told bool
}

// ParseRecord reads "6,1234,5678901,-;text"; false for what is no record. Programs may write into the log too (facility
// not 0): those lines prove nothing and have no class. The text is classed and forgotten. app is the payment
// application's name as the kernel has it, empty for none.
func ParseRecord(b []byte, app string) (Record, bool) {
	head, text, ok := strings.Cut(string(b), ";")
	if !ok {
		return Record{}, false
	}
	f := strings.SplitN(head, ",", 4)
	if len(f) < 3 {
		return Record{}, false
	}
	prio, ok1 := count(f[0])
	seq, ok2 := count(f[1])
	usec, err := strconv.ParseInt(f[2], 10, 64)
	if !ok1 || !ok2 || err != nil || usec < 0 || usec > 1<<53 {
		return Record{}, false
	}
	r := Record{Seq: seq, Since: time.Duration(usec) * time.Microsecond}
	if prio>>3 == 0 {
		text, _, _ = strings.Cut(text, "\n")
		r.Class = classOf(text)
		switch r.Class {
		case IOError, ReadOnly:
			r.Device = storageOf(text)
		case OutOfMemory:
			r.Announced, r.Told = announced(text), told(text)
			if strings.HasPrefix(text, lowMemory) && !foreground(text) {
				r.Class = ""
			}
		}
		r.App = app != "" && names(text, app, r.Class)
	}
	return r, true
}

// names tells whether a message about a crash or a kill is about a program, whose name stands where the kernels of the
// various processors put it.
func names(text, app string, c Complaint) bool {
	var forms []string
	switch c {
	case Segfault:
		forms = []string{app + "[", app + ": unhandled ", app + " (", "sending SIGSEGV to " + app + " ", "sending SIGBUS to " + app + " ", "sending SIGILL to " + app + " "}
	case OutOfMemory:
		forms = []string{"(" + app + ")", "'" + app + "'"}
	}
	for _, f := range forms {
		if i := strings.Index(text, f); i == 0 || i > 0 && (text[i-1] == ' ' || text[i] < 'A') {
			return true
		}
	}
	return false
}

// lowMemory is how Android's low-memory killer begins its message when it ends a program. It ends idle background
// programs all day long, so only the loss of one in the foreground, or of one that a person uses, counts as a shortage
// of memory.
const (
	lowMemory  = "lowmemorykiller: Killing '"
	perceived  = 200 // PERCEPTIBLE_APP_ADJ
	adjustment = ", adj "
)

func foreground(text string) bool {
	_, rest, ok := strings.Cut(text, adjustment)
	number, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	return ok && err == nil && n <= perceived
}

// Bounds of the log's memory: a dozen classes of 256 moments are 70 kB.
const (
	maxMoments = 256
	logDay     = 24 * time.Hour
	logPause   = time.Second // the log is read at most this often, however fast it fills
	maxRecord  = 8192        // CONSOLE_EXT_LOG_MAX
	maxComm    = 15          // TASK_COMM_LEN
	killTold   = time.Second // the second line about a kill follows the first at once
	maxDevice  = 24
)

// A KernelLog counts the kernel's complaints of the last 24 hours in memory. Moments are since boot, so the wall clock
// may jump.
type KernelLog struct {
	app string

	draining sync.Mutex // held while lines are read and counted
	buf      []byte

	mu      sync.Mutex
	moments map[Complaint][]moment
	kill    time.Duration // when a kill was announced
	next    uint64        // sequence number expected
	lost    uint64
	reading bool
	why     error
	raw     syscall.RawConn // of the log that Run reads
}

type moment struct {
	at     time.Duration // since boot
	device string
}

// NewKernelLog returns a log that has read nothing yet. app is the executable's name of the payment application; the
// kernel knows 15 bytes of it.
func NewKernelLog(app string) *KernelLog {
	return &KernelLog{app: app[:min(len(app), maxComm)], moments: make(map[Complaint][]moment), why: ErrSilent}
}

// Add counts a record. Records that the kernel overwrote before they were read are counted as lost.
func (k *KernelLog) Add(r Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Seq < k.next {
		return // read before
	}
	if k.next > 0 {
		k.lost += r.Seq - k.next
	}
	k.next = r.Seq + 1
	if r.Told && k.kill > 0 && r.Since-k.kill <= killTold {
		k.kill = 0
		return // it was counted when it was announced
	}
	if r.Announced {
		k.kill = r.Since
	}
	if r.Class != "" {
		k.keep(r.Class, moment{r.Since, r.Device})
	}
	if r.App {
		k.keep(AppCrash, moment{at: r.Since})
	}
}

// Note records what another part of the program saw at a moment since boot, so that it can be compared with the
// kernel's messages.
func (k *KernelLog) Note(c Complaint, at time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep(c, moment{at: at})
}

// keep is called with the lock held.
func (k *KernelLog) keep(c Complaint, m moment) {
	m.device = strings.Clone(m.device[:min(len(m.device), maxDevice)])
	list := k.moments[c]
	if len(list) == maxMoments {
		list = append(list[:0], list[1:]...)
	}
	k.moments[c] = append(list, m)
}

// Count is how often a complaint came in the last d, at most 24 hours, before the moment since boot. 256 stands for
// more.
func (k *KernelLog) Count(c Complaint, uptime, d time.Duration) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, m := range k.moments[c] {
		if uptime-m.at <= min(d, logDay) {
			n++
		}
	}
	return n
}

// Storage is how often, in the last d before the moment since boot, storage failed or became read-only: that of the
// terminal, which holds its filesystems, and other storage, including that which cannot be told apart.
func (k *KernelLog) Storage(disks Disks, uptime, d time.Duration) (own, other int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range [...]Complaint{IOError, ReadOnly} {
		for _, m := range k.moments[c] {
			switch {
			case uptime-m.at > min(d, logDay):
			case disks.holds(m.device):
				own++
			default:
				other++
			}
		}
	}
	return own, other
}

// near is how close in time two complaints must be to be taken as one event: when a device loses its supply its bus
// reports it missing within a second or two.
const near = 3 * time.Second

// Together counts the complaints of class a in the last d before the moment since boot that have a complaint of one of
// the classes b close to them in time.
func (k *KernelLog) Together(a Complaint, uptime, d time.Duration, b ...Complaint) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, m := range k.moments[a] {
		if uptime-m.at > min(d, logDay) {
			continue
		}
		if slices.ContainsFunc(b, func(c Complaint) bool {
			return slices.ContainsFunc(k.moments[c], func(other moment) bool { return (other.at - m.at).Abs() <= near })
		}) {
			n++
		}
	}
	return n
}

// Lost is how many records were overwritten before they could be read.
func (k *KernelLog) Lost() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// Err tells why there is nothing to count: fs.ErrPermission, fs.ErrNotExist, or ErrSilent before the first read. Nil
// while the log is being read.
func (k *KernelLog) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reading {
		return nil
	}
	return k.why
}

func (k *KernelLog) state(reading bool, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reading, k.why = reading, why
}

// Run reads the kernel's log at path, /dev/kmsg, from the oldest line kept and then as lines come, until ctx ends. A
// log that may not be read ends it without an error: that is a finding, told by Err, and no reason to stop.
func (k *KernelLog) Run(ctx context.Context, path string) error {
	f, err := k.open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	k.follow(raw)
	defer k.follow(nil)
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	for ctx.Err() == nil {
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, err := k.drain(ctx, fd)
			failed = err
			return n > 0 || err != nil
		})
		if err = errors.Join(err, failed); err != nil && ctx.Err() == nil {
			k.state(false, fmt.Errorf("read %s: %w", path, err))
			return nil
		}
		k.state(true, nil)
		pause(ctx, logPause)
	}
	return nil
}

// Refresh reads what has come since Run looked last, which may be a second ago.
func (k *KernelLog) Refresh(ctx context.Context) {
	k.mu.Lock()
	raw := k.raw
	k.mu.Unlock()
	if raw != nil {
		_ = raw.Control(func(fd uintptr) { _, _ = k.drain(ctx, fd) }) // Run meets the same error and reports it
	}
}

func (k *KernelLog) follow(raw syscall.RawConn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.raw = raw
}

// Load reads what the log holds now, without waiting for more: for a program that looks once. What Run has read already
// is not counted twice. Err tells what became of it.
func (k *KernelLog) Load(ctx context.Context, path string) {
	f, err := k.open(path)
	if err != nil {
		return
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) { _, failed = k.drain(ctx, fd) })
		if !errors.Is(failed, io.EOF) {
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		err = fmt.Errorf("read %s: %w", path, err)
	}
	k.state(err == nil, err)
}

func (k *KernelLog) open(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		err = fmt.Errorf("open %s: %w", path, err)
		k.state(false, err)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// drain reads all lines that are there and returns how many. Only one goroutine drains at a time, because lines must be
// counted in order: one that is counted late would be taken for one that was counted already.
func (k *KernelLog) drain(ctx context.Context, fd uintptr) (n int, err error) {
	k.draining.Lock()
	defer k.draining.Unlock()
	if k.buf == nil {
		k.buf = make([]byte, maxRecord)
	}
	for ctx.Err() == nil {
		size, err := unix.Read(int(fd), k.buf)
		switch {
		case err == unix.EAGAIN:
			return n, nil
		case err == unix.EPIPE || err == unix.EINTR: // overwritten: the next read goes on with the oldest that is left
			continue
		case err != nil:
			return n, err
		case size == 0:
			return n, io.EOF
		}
		n++
		if r, ok := ParseRecord(k.buf[:size], k.app); ok {
			k.Add(r)
		}
	}
	return n, nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
