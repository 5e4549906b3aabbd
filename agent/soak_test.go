package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// drainWait is how long everything may take to arrive once the faults are over: the fleet's ack is waited for a minute
// before a record is sent again.
const drainWait = 4 * time.Minute

// TestSoak runs a whole daemon with a real mosquitto and a fleet for POSDX_SOAK (make soak, make soak-short), while
// faults come at random: the broker is killed and comes back, the hook is flooded, the log is rotated, the reader's line
// is pulled, the disk is full for a while. At the end nothing is lost that was not reported, nothing is there twice, and
// the daemon holds no more than at the start.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("POSDX_SOAK"))
	if err != nil {
		t.Skip("only by make soak and make soak-short, which set POSDX_SOAK to a duration")
	}
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Skip("no mosquitto: install the Debian package mosquitto")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newSoak(t, rand.New(rand.NewPCG(seed, 1)))
	// Known and open: after a disk that was full many times the outbox can keep records that it does not hand out (seen
	// in ten minutes, never in one). The short form leaves the disk alone, so that it fails for new reasons only.
	s.disk = s.disk && length >= time.Minute
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
	fleet *soakFleet
	d     *daemon
	stop  func() error

	broker *exec.Cmd
	conf   string
	port   string

	base  map[string]int64 // usage when all was calm
	heap  uint64
	lines int // written to the log, each with a code
	busy  int
	done  map[string]int // faults

	mu       sync.Mutex
	awaited  sync.WaitGroup
	accepted []string // ids of the diagnoses that the daemon promised
	silent   int      // tickets that ended without a diagnosis
}

// logCode is written to the log alone, so that the tally counts the lines.
const logCode = "E5"

func newSoak(t *testing.T, rnd *rand.Rand) *soak {
	s := &soak{t: t, rnd: rnd, dir: filepath.Join(t.TempDir(), "state"), done: map[string]int{}}
	os.Mkdir(s.dir, 0o700)
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, "size=2m,mode=0700"); err == nil {
		s.disk = true
		t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	} else {
		t.Logf("the disk is never full: %v (needs root)", err)
	}
	run := t.TempDir()
	s.log = filepath.Join(run, "pos.log")
	os.WriteFile(s.log, nil, 0o600)
	s.line = &line{name: filepath.Join(run, "reader")}
	if err := s.line.plug(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.line.pull)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	s.conf = filepath.Join(run, "mosquitto.conf")
	os.WriteFile(s.conf, []byte("listener "+s.port+" 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\nmax_queued_messages 0\n"), 0o600)
	s.startBroker()
	t.Cleanup(s.killBroker)
	s.fleet = newSoakFleet(t, "tcp://127.0.0.1:"+s.port)

	c, err := parseConfig([]byte(least + fmt.Sprintf("language = \"en\"\nstate_dir = %q\n[hook]\nsocket = %q\n[outbox]\nmax_bytes = 1000000\n[broker]\nurl = [\"tcp://127.0.0.1:%s\"]\n"+
		"[[log]]\npath = %q\norigin = \"terminal\"\npatterns = ['RC=(?P<code>\\w+)']\n[[reader]]\nname = \"reader0\"\nport = %q\n", s.dir, filepath.Join(run, "s"), s.port, s.log, s.line.name)))
	if err != nil {
		t.Fatal(err)
	}
	var tasks []task
	var closing func()
	s.d, tasks, closing, err = assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	s.d.watch.stopRSS = 0 // of this whole test it says nothing
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runAll(ctx, tasks) }()
	s.stop = sync.OnceValue(func() error { cancel(); err := <-ended; closing(); return err })
	t.Cleanup(func() { s.stop() })
	for range 5 {
		s.code()
	}
	s.awaited.Wait()
	s.eventually("the first diagnoses arrive", func() bool { return s.d.box.Stats().Records == 0 && s.fleet.count() >= 2*len(s.accepted) })
	s.base = usage()
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
	for end := time.Now().Add(drainWait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Errorf("not within %v: %s; outbox %+v, uplink %+v", drainWait, what, s.d.box.Stats(), s.d.up.State())
}

func (s *soak) startBroker() {
	s.broker = exec.Command("mosquitto", "-c", s.conf)
	if err := s.broker.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *soak) killBroker() {
	if s.broker != nil {
		s.broker.Process.Kill()
		s.broker.Wait()
		s.broker = nil
	}
}

// code hands in a code of its own kind and notes what the daemon promised.
func (s *soak) code() {
	seen := source.Seen{Code: fmt.Sprintf("%02d", 1+s.rnd.IntN(98)), Origin: report.OriginHost, Channel: report.ChannelHook, Time: time.Now()}
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

// faults goes on for a while: work at every turn, and every now and then something breaks.
func (s *soak) faults(length time.Duration) {
	end := time.Now().Add(length)
	var repair []func()
	for time.Now().Before(end) {
		s.code()
		s.logLine()
		time.Sleep(time.Duration(100+s.rnd.IntN(400)) * time.Millisecond)
		if s.rnd.IntN(4) > 0 {
			continue
		}
		if len(repair) > 0 && s.rnd.IntN(2) == 0 {
			repair[0]()
			repair = repair[1:]
			continue
		}
		switch s.rnd.IntN(5) {
		case 0:
			if s.broker == nil {
				continue
			}
			s.done["broker killed"]++
			s.killBroker()
			repair = append(repair, func() {
				s.startBroker()
				s.d.up.(fleetSession).Kick()
			})
		case 1:
			s.done["hook flooded"]++
			s.flood()
		case 2:
			s.done["log rotated"]++
			os.Rename(s.log, fmt.Sprintf("%s.%d", s.log, s.done["log rotated"]))
			s.logLine()
		case 3:
			s.done["reader pulled"]++
			s.line.pull()
			repair = append(repair, func() {
				if err := s.line.plug(); err != nil {
					s.t.Error(err)
				}
			})
		case 4:
			fill := filepath.Join(s.dir, "fill")
			if _, err := os.Stat(fill); !s.disk || err == nil {
				continue
			}
			s.done["disk full"]++
			if err := os.WriteFile(fill, make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
				s.t.Errorf("fill the disk: %v", err)
			}
			repair = append(repair, func() { os.Remove(fill) })
		}
	}
	for _, f := range repair {
		f()
	}
}

// check waits until all has arrived and holds the invariants against it.
func (s *soak) check() {
	t := s.t
	s.awaited.Wait()
	// What the broker took while the fleet was away is sent again in a new session.
	s.killBroker()
	s.startBroker()
	s.eventually("the fleet is back", s.fleet.client.IsConnectionOpen)
	s.d.up.(fleetSession).Kick()
	s.eventually("all has arrived", func() bool {
		if !s.d.up.State().Connected {
			s.d.up.(fleetSession).Kick()
		}
		return s.d.box.Stats().Records == 0 && len(s.logged()) == 0
	})
	var now map[string]int64
	s.eventually("goroutines and descriptors are those of the start", func() bool {
		now = usage()
		return now["goroutines"] <= s.base["goroutines"]+10 && now["descriptors"] <= s.base["descriptors"]+5
	})
	if grown := int64(heap()) - int64(s.heap); grown > 8<<20 {
		t.Errorf("the heap has grown by %d kB", grown>>10)
	}
	stats := s.d.box.Stats()
	last := s.d.self()
	if err := s.stop(); err != nil {
		t.Errorf("the daemon: %v", err)
	}
	if err := scanFiles(filepath.Join(s.dir, "outbox"))(func(r outbox.Record) bool { s.fleet.take(r); return true }); err != nil {
		t.Error(err)
	}

	f := s.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.problems {
		t.Error(p)
	}
	lost := 0
	for _, id := range s.accepted {
		if !f.finals[id] {
			lost++
		}
	}
	if lost > f.dropped[report.KindDiagnosis] {
		t.Errorf("%d of %d diagnoses did not arrive, %d were reported as dropped", lost, len(s.accepted), f.dropped[report.KindDiagnosis])
	}
	gaps := 0
	for epoch, have := range f.have {
		for seq := uint64(1); seq <= slices.Max(keys(have)); seq++ {
			if !have[seq] {
				gaps++
				t.Errorf("epoch %.8s: %d neither arrived nor was reported as dropped", epoch, seq)
			}
		}
	}
	if f.lines != s.lines && f.dropped[report.KindTally] == 0 {
		t.Errorf("%d lines were written to the log, %d counted", s.lines, f.lines)
	}
	if last["scrubbed"] != 0 {
		t.Errorf("%d places looked like card numbers", last["scrubbed"])
	}
	t.Logf("faults: %v", s.done)
	t.Logf("%d diagnoses promised, %d lost, %d reported as dropped; %d codes refused as busy; %d documents in %d epochs, %d came twice on the wire, %d gaps; %d log lines, %d counted",
		len(s.accepted), lost, f.dropped[report.KindDiagnosis], s.busy, f.docs(), len(f.have), f.again, gaps, s.lines, f.lines)
	t.Logf("goroutines %d, then %d; descriptors %d, then %d; heap %d kB at the start; flash written %d kB; %d sessions", s.base["goroutines"], now["goroutines"],
		s.base["descriptors"], now["descriptors"], s.heap>>10, stats.Written>>10, last["sessions"])
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

func keys(m map[uint64]bool) []uint64 {
	list := []uint64{0}
	for k := range m {
		list = append(list, k)
	}
	return list
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

// A soakFleet stores what arrives, once, and acknowledges as far as there is no gap.
type soakFleet struct {
	client mqtt.Client

	mu       sync.Mutex
	sums     map[string][32]byte // of documents, by epoch and sequence
	have     map[string]map[uint64]bool
	upTo     map[string]uint64
	places   map[string]string // of revisions
	finals   map[string]bool
	dropped  map[string]int
	lines    int
	again    int
	problems []string
}

func newSoakFleet(t *testing.T, url string) *soakFleet {
	f := &soakFleet{sums: map[string][32]byte{}, have: map[string]map[uint64]bool{}, upTo: map[string]uint64{}, places: map[string]string{}, finals: map[string]bool{}, dropped: map[string]int{}}
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID("fleet").SetCleanSession(false).SetOrderMatters(true).
		SetMaxReconnectInterval(100 * time.Millisecond).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
	at := report.Address{Estate: "shop", Terminal: "t1"}
	o.SetDefaultPublishHandler(func(c mqtt.Client, m mqtt.Message) {
		var e report.Envelope
		if _, kind, err := report.ParseTopic(m.Topic()); err != nil || kind == "ack" || json.Unmarshal(m.Payload(), &e) != nil || e.Seq == 0 {
			return
		}
		upTo := f.take(outbox.Record{Epoch: e.Epoch, Boot: e.Boot, Seq: e.Seq, Kind: e.Kind(), Doc: e.Data})
		b, _ := json.Marshal(report.Ack{Epoch: e.Epoch, Boot: e.Boot, Seq: upTo})
		go c.Publish(at.Topic("ack"), 1, false, b)
	})
	o.SetOnConnectHandler(func(c mqtt.Client) { go c.Subscribe("pos/v1/shop/+/+", 1, nil) })
	f.client = mqtt.NewClient(o)
	if tok := f.client.Connect(); !tok.WaitTimeout(drainWait) || tok.Error() != nil {
		t.Fatalf("the fleet cannot connect: %v", tok.Error())
	}
	t.Cleanup(func() { f.client.Disconnect(100) })
	return f
}

func (f *soakFleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.docs()
}

func (f *soakFleet) docs() int { return len(f.sums) }

// take stores a document and returns up to where nothing is missing.
func (f *soakFleet) take(r outbox.Record) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	place, sum := fmt.Sprintf("%s/%d", r.Epoch, r.Seq), sha256.Sum256(r.Doc)
	have := f.have[r.Epoch]
	if have == nil {
		have = map[uint64]bool{}
		f.have[r.Epoch] = have
	}
	if old, twice := f.sums[place]; twice {
		f.again++
		if old != sum {
			f.problems = append(f.problems, place+": two documents under one number")
		}
		return f.upTo[r.Epoch]
	}
	f.sums[place], have[r.Seq] = sum, true
	switch r.Kind {
	case report.KindDiagnosis:
		var d report.Diagnosis
		if err := json.Unmarshal(r.Doc, &d); err != nil {
			f.problems = append(f.problems, place+": "+err.Error())
		}
		rev := fmt.Sprintf("%s revision %d", d.ID, d.Revision)
		if before, twice := f.places[rev]; twice {
			f.problems = append(f.problems, rev+": twice, as "+before+" and "+place)
		}
		f.places[rev] = place
		f.finals[d.ID] = f.finals[d.ID] || d.Final
	case report.KindDropped:
		var d report.Dropped
		json.Unmarshal(r.Doc, &d)
		for kind, n := range d.Counts {
			f.dropped[kind] += n
		}
		if len(d.Ranges) == 0 {
			d.Ranges = [][2]uint64{{d.First, d.Last}}
		}
		for _, span := range d.Ranges {
			for seq := span[0]; seq <= span[1]; seq++ {
				have[seq] = true
			}
		}
	case report.KindTally:
		var y report.Tally
		json.Unmarshal(r.Doc, &y)
		for _, c := range y.Counts {
			if c.Code == logCode {
				f.lines += c.Count
			}
		}
	}
	for have[f.upTo[r.Epoch]+1] {
		f.upTo[r.Epoch]++
	}
	return f.upTo[r.Epoch]
}
