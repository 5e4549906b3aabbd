package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"posdx/agent/internal/bundle"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// drainWait is how long everything may take to arrive once the faults are over: the fleet's ack is waited for a minute
// before a record is sent again.
const drainWait = 4 * time.Minute

// TestSoak runs a whole daemon with a real mosquitto and a fleet for POSDX_SOAK (make soak, make soak-short), while
// faults come at random: the broker is killed and comes back, the hook is flooded, the log is rotated, the reader's
// line is pulled, the disk is full for a while. At the end nothing is lost that was not reported, nothing is there
// twice, and the daemon holds no more than at the start.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("POSDX_SOAK"))
	if err != nil {
		t.Skip("only by make soak and make soak-short, which set POSDX_SOAK to a duration")
	}
	seed := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("POSDX_SOAK_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("seed %d (POSDX_SOAK_SEED); an odd one has a small outbox", seed)
	s := newSoak(t, rand.New(rand.NewPCG(seed, 1)), seed%2 == 1)
	s.faults(length)
	s.check()
}

type soak struct {
	t     *testing.T
	rnd   *rand.Rand
	dir   string // of the daemon's state
	log   string
	line  *line
	disk  bool // dir is a small file system of its own
	small bool
	fleet *soakFleet
	d     *daemon
	stop  func() error

	broker *housetest.Mosquitto
	way    *way // of the daemon to the broker

	base          map[string]int64 // usage when all was calm
	heap          uint64
	heapEnd       uint64
	lines         int // written to the log, each with a code
	busy          int
	done          map[string]int // faults
	took, longest map[string]time.Duration

	mu       sync.Mutex
	awaited  sync.WaitGroup
	accepted []string // ids of the diagnoses that the daemon promised
	silent   int      // tickets that ended without a diagnosis
}

// ringLasts is how long the disk may be full before the outbox's memory is: it packs about 170 documents of 12 kB, and
// a large soak makes two in a second.
const ringLasts = time.Minute

// logCode is written to the log alone, so that the tally counts the lines.
const logCode = "E5"

// newSoak starts everything. In a small one an outage of half a minute fills the outbox: it has to drop, and to say so.
func newSoak(t *testing.T, rnd *rand.Rand, small bool) *soak {
	s := &soak{t: t, rnd: rnd, small: small, dir: filepath.Join(t.TempDir(), "state"), done: map[string]int{},
		took: map[string]time.Duration{}, longest: map[string]time.Duration{}}
	os.Mkdir(s.dir, 0o700)
	size := "size=48m,mode=0700"
	if small {
		size = "size=2m,mode=0700"
	}
	if !housetest.Alone() {
		t.Log("the disk is never full: needs root and a mount namespace")
	} else if err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, size); err != nil {
		t.Fatal(err)
	} else {
		s.disk = true
		t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	}
	run := t.TempDir()
	s.log = filepath.Join(run, "pos.log")
	os.WriteFile(s.log, nil, 0o600)
	s.line = &line{name: filepath.Join(run, "reader")}
	if err := s.line.plug(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.line.pull)
	s.broker = housetest.NewMosquitto(t, "allow_anonymous true\npersistence false\nmax_queued_messages 0\n")
	s.way = newWay(t, "127.0.0.1:"+s.broker.Port)
	s.fleet = newSoakFleet(t, s.broker.URL())

	bytes := 32 << 20
	if small {
		bytes = outbox.MinBytes
	}
	c := mustParse(t, least+fmt.Sprintf("language = \"en\"\nstate_dir = %q\n[hook]\nsocket = %q\n[outbox]\nmax_bytes = %d\n[broker]\nurl = [\"tcp://%s\"]\n"+
		"[[log]]\npath = %q\norigin = \"terminal\"\npatterns = ['RC=(?P<code>\\w+)']\n[[reader]]\nname = \"reader0\"\nport = %q\n", s.dir, filepath.Join(run, "s"), bytes, s.way.address, s.log, s.line.name))
	d, tasks, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	s.d = d
	s.d.watch.StopRSS = 0 // of this whole test it says nothing
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runAll(ctx, tasks) }()
	s.stop = sync.OnceValue(func() error { cancel(); err := <-ended; closing(); return err })
	t.Cleanup(func() { s.stop() })
	for range 5 {
		s.code()
	}
	s.awaited.Wait()
	s.eventually("the first diagnoses arrive", func() bool { return s.d.box.Stats().Records == 0 && s.fleet.missing(s.accepted) == 0 })
	s.base = keeper.Usage()
	s.heap = heap()
	return s
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (s *soak) eventually(what string, ok func() bool) {
	s.t.Helper()
	if housetest.Within(drainWait, ok) {
		return
	}
	s.t.Errorf("not within %v: %s; outbox %+v, uplink %+v, %d bytes of the log unread", drainWait, what, s.d.box.Stats(), s.d.up.State(), len(s.logged()))
	kept := 0
	s.d.box.Scan(func(r outbox.Record) bool {
		if kept++; kept <= 20 {
			s.t.Logf("kept: %.8s %d boot %d %s, %d bytes", r.Epoch, r.Seq, r.Boot, r.Kind, len(r.Doc))
		}
		return true
	})
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	s.t.Logf("%d kept; the fleet is at %v; uplink %+v", kept, s.fleet.upTo, s.d.up.(fleetSession).Counters())
}

// code hands in a code of its own kind and notes what the daemon promised.
func (s *soak) code() {
	seen := source.Seen{Code: fmt.Sprintf("%02d", 1+s.rnd.IntN(98)), Origin: report.OriginHost,
		Channel: report.ChannelHook, Time: time.Now()}
	t, err := s.d.Event(context.Background(), seen)
	if err != nil {
		s.busy++
		return
	}
	s.awaited.Go(func() {
		d, ok := <-t.Final
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok {
			s.silent++
		} else if d.ID == t.ID && d.Code.Class != "A" { // a repeat has no diagnosis of its own, an approval is only counted
			s.accepted = append(s.accepted, d.ID)
		}
	})
}

// logLine writes a code to the log.
func (s *soak) logLine() {
	f, err := os.OpenFile(s.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s txn %d RC=%s\n", time.Now().Format(time.RFC3339Nano), s.lines, logCode); err != nil {
		s.t.Fatal(err)
	}
	s.lines++
}

// flood speaks to the hook as a broken till would: too many connections, too many codes, nonsense.
func (s *soak) flood() {
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			c, err := net.Dial("unix", s.d.conf.Hook.Socket)
			if err != nil {
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(2 * time.Second))
			go func() {
				for range 40 {
					fmt.Fprintf(c, "{\"type\":\"code\",\"code\":\"%02d\",\"origin\":\"host\"}\n", 1+i)
				}
				c.Write([]byte(strings.Repeat("x", 20_000) + "\n\x00\xff{\n"))
			}()
			b := make([]byte, 4096)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

// faults goes on for a while: work at every turn, and every now and then something breaks. Most turns are quiet.
func (s *soak) faults(length time.Duration) {
	end := time.Now().Add(length)
	var repair []func()
	later := func(name string, f func()) {
		s.done[name]++
		began := time.Now()
		repair = append(repair, func() {
			f()
			s.took[name] += time.Since(began)
			s.longest[name] = max(s.longest[name], time.Since(began))
		})
	}
	up := s.d.up.(fleetSession)
	for time.Now().Before(end) {
		if s.small || s.rnd.IntN(3) == 0 {
			s.code()
		}
		s.logLine()
		time.Sleep(time.Duration(100+s.rnd.IntN(400)) * time.Millisecond) // a busy shop's pace
		if s.rnd.IntN(4) > 0 {
			continue
		}
		if len(repair) > 0 && s.rnd.IntN(2) == 0 {
			repair[0]()
			repair = repair[1:]
			continue
		}
		switch s.rnd.IntN(9) {
		case 0:
			if !s.broker.Running() {
				continue
			}
			s.broker.Kill()
			later("broker killed", func() { s.broker.Start(); up.Kick() })
		case 1:
			s.done["hook flooded"]++
			s.flood()
		case 2:
			s.done["log rotated"]++
			os.Rename(s.log, fmt.Sprintf("%s.%d", s.log, s.done["log rotated"]))
			s.logLine()
		case 3:
			s.line.pull()
			later("reader pulled", func() {
				if err := s.line.plug(); err != nil {
					s.t.Error(err)
				}
			})
		case 4:
			fill := filepath.Join(s.dir, "fill")
			if _, err := os.Stat(fill); !s.disk || err == nil {
				continue
			}
			if err := fillUp(fill); !errors.Is(err, unix.ENOSPC) {
				s.t.Errorf("fill the disk: %v", err)
			}
			later("disk full", func() { os.Remove(fill) })
		case 5:
			s.way.set(wayDead)
			later("line dead, connection open", func() { s.way.set(wayGood); s.way.cut(); up.Kick() })
		case 6:
			s.way.set(waySlow)
			later("line slow, 4 kB/s", func() { s.way.set(wayGood) })
		case 7:
			s.way.set(wayShut)
			s.way.cut()
			later("connection refused", func() { s.way.set(wayGood); up.Kick() })
		case 8:
			if !s.fleet.client.IsConnectionOpen() {
				continue
			}
			s.fleet.deaf.Store(true)
			later("fleet deaf: the broker takes, nobody stores", func() { s.fleet.deaf.Store(false) })
		}
	}
	for _, f := range repair {
		f()
	}
}

// fillUp writes a file until it cannot.
func fillUp(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for b := make([]byte, 4096); err == nil; {
		_, err = f.Write(b)
	}
	return err
}

// check waits until all has arrived and holds the invariants against it.
func (s *soak) check() {
	t := s.t
	s.awaited.Wait()
	// What the broker took while the fleet was away is sent again in a new session, and that one finds the fleet there.
	s.way.set(wayShut)
	s.broker.Kill()
	s.broker.Start()
	s.eventually("the fleet is back", s.fleet.there)
	s.way.set(wayGood)
	s.logLine() // how far a log was read, which a full disk did not take, is written with the next line
	s.d.up.(fleetSession).Kick()
	s.eventually("all has arrived", func() bool {
		if !s.d.up.State().Connected {
			s.d.up.(fleetSession).Kick()
		}
		return s.d.box.Stats().Records == 0 && len(s.logged()) == 0
	})
	s.eventually("flash is used again", func() bool { return s.d.box.Stats().Degraded == "" })
	var now map[string]int64
	s.eventually("goroutines and descriptors are those of the start", func() bool {
		now = keeper.Usage()
		return now["goroutines"] <= s.base["goroutines"]+10 && now["descriptors"] <= s.base["descriptors"]+5
	})
	s.heapEnd = heap()
	s.fleet.mu.Lock()
	books := int64(s.fleet.docs()) << 10 // this test's own: what a fleet knows of a document
	s.fleet.mu.Unlock()
	if grown := int64(s.heapEnd) - int64(s.heap) - books; grown > 4<<20 {
		t.Errorf("the heap has grown by %d kB", grown>>10)
	}
	stats := s.d.box.Stats()
	last := s.d.self()
	if err := s.stop(); err != nil {
		t.Errorf("the daemon: %v", err)
	}
	if err := bundle.ScanFiles(filepath.Join(s.dir,
		"outbox"))(func(r outbox.Record) bool { s.fleet.take(r); return true }); err != nil {
		t.Error(err)
	}

	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.problems {
		t.Error(p)
	}
	sum := f.account()
	lost := f.lost(s.accepted)
	if lost > sum.dropped[report.KindDiagnosis] {
		t.Errorf("%d of %d diagnoses did not arrive, %d documents were reported as dropped", lost, len(s.accepted), sum.dropped[report.KindDiagnosis])
	}
	// The bound: what flash holds, and what memory holds while flash takes nothing. The large one never comes to it.
	if lost > 0 && !s.small && s.longest["disk full"] < ringLasts {
		t.Errorf("%d diagnoses are lost; flash or memory had room for all", lost)
	}
	for _, gap := range sum.gaps {
		t.Errorf("%s neither arrived nor was reported as dropped", gap)
	}
	if f.lines != s.lines {
		t.Errorf("%d lines were written to the log, %d counted", s.lines, f.lines)
	}
	if last["scrubbed"] != 0 {
		t.Errorf("%d places looked like card numbers", last["scrubbed"])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-45s %6s %10s %10s\n", "fault", "times", "in all", "longest")
	for _, name := range slices.Sorted(maps.Keys(s.done)) {
		fmt.Fprintf(&b, "%-45s %6d %10v %10v\n", name, s.done[name], s.took[name].Round(time.Second), s.longest[name].Round(time.Second))
	}
	docs := max(f.kinds[report.KindDiagnosis], 1)
	row := func(name string, value any) { fmt.Fprintf(&b, "%-45s %6v\n", name, value) }
	row("codes promised a diagnosis", len(s.accepted))
	row("codes refused as busy", s.busy)
	row("of the promised, no final revision arrived", lost)
	row("documents stored by the fleet", f.docs())
	row("  diagnoses (every revision)", f.kinds[report.KindDiagnosis])
	row("  reports of loss", f.kinds[report.KindDropped])
	row("documents reported as dropped", fmt.Sprint(sum.dropped))
	row("  of these arrived after all", sum.came)
	row("  by numbering: flash / memory", fmt.Sprintf("%d / %d", sum.byEpoch[stats.Epoch], sum.total()-sum.byEpoch[stats.Epoch]))
	row("neither arrived nor reported", len(sum.gaps))
	row("stored twice", len(f.problems))
	row("came twice on the wire", f.again)
	row("log lines written / counted", fmt.Sprintf("%d / %d", s.lines, f.lines))
	row("sessions", last["sessions"])
	row("flash bytes per diagnosis document", stats.Written/int64(docs))
	row("its size", f.bytes/int64(docs))
	row("bytes on the wire per diagnosis document", last["wire_out"]/int64(docs))
	row("goroutines, at first and at the end", fmt.Sprintf("%d / %d", s.base["goroutines"], now["goroutines"]))
	row("descriptors", fmt.Sprintf("%d / %d", s.base["descriptors"], now["descriptors"]))
	row("heap, kB", fmt.Sprintf("%d / %d", s.heap>>10, s.heapEnd>>10))
	t.Log(b.String())
}

// logged returns how many lines of the log nobody has read yet, as far as a test can see.
func (s *soak) logged() []byte {
	b, err := os.ReadFile(filepath.Join(s.dir, "logs.state"))
	if err != nil {
		return nil
	}
	var marks map[string]struct{ Offset int64 }
	if json.Unmarshal(b, &marks) != nil {
		return nil
	}
	all, err := os.ReadFile(s.log)
	if err != nil || int64(len(all)) < marks[s.log].Offset {
		return nil
	}
	return all[marks[s.log].Offset:]
}

// A line is a serial line with a reader that says anything but what it should.
type line struct {
	name   string
	master *os.File
}

func (l *line) plug() error {
	l.pull()
	master, tty, err := pty.Open()
	if err != nil {
		return err
	}
	os.Remove(l.name)
	err = os.Symlink(tty.Name(), l.name)
	tty.Close()
	l.master = master
	go func() {
		b := make([]byte, 256)
		for {
			n, err := master.Read(b)
			if errors.Is(err, unix.EIO) { // nobody has it open
				time.Sleep(50 * time.Millisecond)
				continue
			}
			if err != nil {
				return
			}
			master.Write(append([]byte{0x03, 0x15, 0xff}, b[:n]...))
		}
	}()
	return err
}

func (l *line) pull() {
	if l.master != nil {
		l.master.Close()
		l.master = nil
	}
}

// TestMountsOfTheseTestsAreTheirOwn: a soak that is killed leaves no disk mounted.
func TestMountsOfTheseTestsAreTheirOwn(t *testing.T) {
	if os.Getuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("needs root and the right to make mount namespaces")
	}
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", os.Getppid()))
	if err != nil {
		t.Skip(err)
	}
	if ours == theirs {
		t.Error("these tests mount where whoever started them sees it")
	}
}
