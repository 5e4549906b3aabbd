// Package hook is the local socket: the payment application tells what happened and gets back what to show, and posdx's
// own commands ask the daemon. README.md has the protocol.
package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"posdx/agent/internal/notice"
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// Bounds of the hook. Every one of them that is reached is answered, logged or both.
const (
	maxLine     = 8 << 10 // bytes of a request; the longest sensible one has about 600
	maxSkip     = 1 << 20 // bytes of a longer line that are thrown away before the connection is
	maxConns    = 16
	maxPending  = 4               // requests of one connection that wait for an answer
	outLines    = 8               // answers that wait for a slow reader
	idleGive    = 2 * time.Second // since its last question, when others want in
	lineWait    = 5 * time.Second // from a line's first byte to its end: half a line may hold anything and stays in memory
	warnAgain   = time.Minute     // between two warnings of one kind
	writeWait   = 2 * time.Second
	firstWait   = 1 * time.Second  // revision 1 is due after 100 ms
	finalWait   = 15 * time.Second // the final one after 5 s; after that the client is told that it is still open
	checkWait   = 60 * time.Second
	listenAgain = 5 * time.Second
)

// A Hook is the local socket on which payment apps and the commands of posdx reach the daemon.
type Hook struct {
	Path  string      // of the socket
	Group string      // name or number of the group that may speak; empty leaves the daemon's own
	Mode  fs.FileMode // of the socket file; 0 means 0660
	To    source.Daemon
	Log   *slog.Logger
	Gate  *report.Gate // what every answer passes; may be nil

	now    func() time.Time // nil means time.Now
	line   time.Duration    // for tests: instead of lineWait
	mu     sync.Mutex
	conns  map[*conn]struct{}
	warned map[string]time.Time // when of each kind
	unsaid map[string]int       // warnings of each kind since
}

// warn logs what a client did, each kind once a minute: ten thousand clients must not fill the log.
func (h *Hook) warn(kind string, args ...any) {
	h.mu.Lock()
	now := h.time()
	said, ok := h.warned[kind]
	n := h.unsaid[kind]
	quiet := ok && now.Sub(said) < warnAgain
	if quiet {
		h.unsaid[kind]++
	} else {
		if h.warned == nil {
			h.warned, h.unsaid = map[string]time.Time{}, map[string]int{}
		}
		h.warned[kind], h.unsaid[kind] = now, 0
	}
	h.mu.Unlock()
	if quiet {
		return
	}
	if n > 0 {
		args = append(args, "unsaid", n)
	}
	h.Log.Warn(kind, args...)
}

// Run listens until ctx ends. If the socket cannot be made it says so once and tries again: a terminal without its hook
// still has its log, its console and its background checks.
func (h *Hook) Run(ctx context.Context) error {
	source.Keep(ctx, listenAgain, func(works func()) error {
		l, err := h.listen()
		if err != nil {
			return err
		}
		works()
		h.Log.Info("hook listens", "socket", h.Path)
		return h.accept(ctx, l)
	}, func(err error) { h.Log.Error("hook is closed", "err", err) })
	return nil
}

// listen makes the socket under another name and sets owner and mode before it renames it: no process outside the group
// can ever open it, whatever the umask.
func (h *Hook) listen() (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(h.Path), 0o755); err != nil {
		return nil, fmt.Errorf("listen %s: %w", h.Path, err)
	}
	if fi, err := os.Lstat(h.Path); err == nil {
		if fi.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("listen %s: there is something else of that name, remove it or choose another socket", h.Path)
		}
		if c, err := net.DialTimeout("unix", h.Path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("listen %s: another posdx answers there, stop it first", h.Path)
		}
	}
	fresh := h.Path + ".new"
	os.Remove(fresh)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", h.Path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := h.own(fresh); err != nil {
		l.Close()
		os.Remove(fresh)
		return nil, err
	}
	if err := os.Rename(fresh, h.Path); err != nil {
		l.Close()
		os.Remove(fresh)
		return nil, fmt.Errorf("listen %s: %w", h.Path, err)
	}
	return l, nil
}

func (h *Hook) own(path string) error {
	mode := h.Mode
	if mode == 0 {
		mode = 0o660
	}
	if h.Group != "" {
		gid, err := groupID(h.Group)
		if err != nil {
			return fmt.Errorf("listen %s: %w", h.Path, err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("listen %s: give it to group %q: %w; the daemon's user must be a member of it", h.Path, h.Group, err)
		}
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("listen %s: %w", h.Path, err)
	}
	return nil
}

func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil && id >= 0 {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q is not on this system: create it, or name the payment app's group", name)
	}
	return strconv.Atoi(g.Gid)
}

func (h *Hook) accept(ctx context.Context, l *net.UnixListener) error {
	defer os.Remove(h.Path)
	return h.welcome(ctx, l, "hook takes nobody in", func(someone net.Conn) func() {
		c := someone.(*net.UnixConn)
		uid, err := h.admit(c)
		if err != nil {
			h.warn("hook refuses", "uid", uid, "err", err)
			h.dismiss(c, Answer{V: protocol, Result: Refused, Why: err.Error()})
			return nil
		}
		k, ok := h.room(c)
		if !ok {
			h.warn("hook is full", "uid", uid, "connections", maxConns)
			h.dismiss(c, Answer{V: protocol, Result: Busy,
				Why: "16 connections are open: close those that are not needed"})
			return nil
		}
		h.Log.Debug("hook speaks", "uid", uid)
		return func() {
			k.serve(ctx)
			h.mu.Lock()
			delete(h.conns, k)
			h.mu.Unlock()
		}
	})
}

// welcome accepts connections until ctx ends or the listener is closed, which is an error, and then waits until those
// that it took are served. take decides on each connection: the function that it returns is run in a goroutine of its
// own; nil means that it refused the connection. When the kernel gives no connection, for want of descriptors perhaps,
// the text closed goes to the log, and connections that are open go on.
func (h *Hook) welcome(ctx context.Context, l net.Listener, closed string, take func(net.Conn) func()) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept %s: %w", l.Addr(), err)
			}
			h.warn(closed, "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
			continue
		}
		if serve := take(c); serve != nil {
			all.Go(serve)
		}
	}
}

// dismiss says why and hangs up. A fresh socket's buffer takes one line, so this does not wait.
func (h *Hook) dismiss(c *net.UnixConn, a Answer) {
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := json.Marshal(a); err == nil {
		c.Write(append(b, '\n'))
	}
	c.Close()
}

// admit asks the kernel which user and group the peer has. The mode of the socket file already decides who may connect;
// this second check holds where the folder or the mode was changed.
func (h *Hook) admit(c *net.UnixConn) (uid uint32, err error) {
	p, err := peerOf(c)
	if err != nil {
		return 0, fmt.Errorf("peer of %s: %w", h.Path, err)
	}
	if p.uid == 0 || int(p.uid) == os.Getuid() || h.Group == "" {
		return p.uid, nil
	}
	gid, err := groupID(h.Group)
	if err != nil {
		return p.uid, err
	}
	if !p.in(gid) {
		return p.uid, fmt.Errorf("not a member of group %q", h.Group)
	}
	return p.uid, nil
}

// room finds a place for a connection. If all are taken one is closed: of those that have not asked anything yet the
// oldest, since a client asks as soon as it is connected; else the one that asked longest ago, unless that was a moment
// ago or it waits for an answer. So neither a client that forgets to close nor one that never ends a line keeps the
// others out.
func (h *Hook) room(c *net.UnixConn) (*conn, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns == nil {
		h.conns = make(map[*conn]struct{})
	}
	if len(h.conns) >= maxConns {
		var oldest *conn
		last := h.time().Add(-idleGive).UnixNano()
		for k := range h.conns {
			at, mute := k.spoke.Load(), !k.asked.Load()
			other := oldest != nil && !oldest.asked.Load() // a mute one that was found already
			switch {
			case k.pending.Load() > 0, other && !mute:
			case mute && !other, at < last:
				oldest, last = k, at
			}
		}
		if oldest == nil {
			return nil, false
		}
		delete(h.conns, oldest)
		oldest.hangUp()
	}
	k := &conn{h: h, c: c, out: make(chan []byte, outLines)}
	k.spoke.Store(h.time().UnixNano())
	h.conns[k] = struct{}{}
	return k, true
}

func (h *Hook) time() time.Time {
	if h.now != nil {
		return h.now()
	}
	return time.Now()
}

// A conn is one client. serve reads, and answers at once what needs no waiting; what has to wait gets a goroutine of
// its own; one goroutine writes.
type conn struct {
	h       *Hook
	c       *net.UnixConn
	out     chan []byte
	stop    context.CancelFunc // set by serve
	once    sync.Once
	spoke   atomic.Int64 // when it last asked, or came, in Unix nanoseconds
	asked   atomic.Bool  // anything at all
	pending atomic.Int32
}

// hangUp ends the connection, from any goroutine.
func (k *conn) hangUp() { k.once.Do(func() { k.c.Close() }) }

func (k *conn) serve(ctx context.Context) {
	ctx, k.stop = context.WithCancel(ctx)
	defer k.stop()
	defer context.AfterFunc(ctx, k.hangUp)()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for b := range k.out {
			k.c.SetWriteDeadline(time.Now().Add(writeWait))
			if _, err := k.c.Write(b); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					k.h.warn("hook client does not read, dropped")
				}
				k.stop()
			}
		}
	}()
	var waiting sync.WaitGroup
	k.read(func(line []byte) { k.answer(ctx, line, &waiting) })
	// A client may send its request, close its half and read: nc and socat do.
	waiting.Wait()
	close(k.out)
	<-written
	k.hangUp()
}

// read gives each line to f until the client closes or breaks a rule of the protocol. What a payment app sends by
// mistake must not stay in memory: there is one buffer, and each line is zeroed after it was read.
func (k *conn) read(f func(line []byte)) {
	buf := make([]byte, maxLine)
	defer clear(buf)
	n, skipped := 0, 0 // bytes held; bytes thrown away of a line that was too long
	for begun := false; ; {
		if open := n > 0 || skipped > 0; open != begun {
			begun = open
			end := time.Time{}
			if begun {
				end = time.Now().Add(cmp.Or(k.h.line, lineWait))
			}
			k.c.SetReadDeadline(end)
		}
		got, err := k.c.Read(buf[n:])
		n += got
		for {
			i := bytes.IndexByte(buf[:n], '\n')
			if i < 0 && err == io.EOF && n > 0 {
				i = n - 1 // the last line may lack its end
			}
			if i < 0 {
				break
			}
			begun = false // what follows is another line, with its own time
			if skipped > 0 {
				skipped = 0
			} else {
				k.spoke.Store(k.h.time().UnixNano())
				k.asked.Store(true)
				f(buf[:i+1])
			}
			left := copy(buf, buf[i+1:n])
			clear(buf[left:n])
			n = left
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			k.say(Answer{V: protocol, Result: Refused, Why: "a line has to end within 5 s: nothing of it was kept"})
			return
		case err != nil || skipped > maxSkip:
			return
		case skipped > 0 || n == len(buf):
			if skipped == 0 {
				k.say(Answer{V: protocol, Result: Refused, Why: fmt.Sprintf("line longer than %d bytes: nothing of it was kept", maxLine)})
			}
			skipped += n
			clear(buf[:n])
			n = 0
		}
	}
}

// say queues an answer. Where the queue is full only this client waits: the writer takes each answer off within
// writeWait, or closes the connection of a client that does not read.
func (k *conn) say(a Answer) {
	b, err := json.Marshal(a)
	if err != nil {
		k.h.Log.Error("hook answer", "err", err)
		k.stop()
		return
	}
	k.out <- append(k.h.Gate.Out(b), '\n')
}

// answer does what a request asks. It waits for nothing.
func (k *conn) answer(ctx context.Context, line []byte, waiting *sync.WaitGroup) {
	rest := k.h.begin(ctx, line, func() bool { return int(k.pending.Load()) < maxPending }, k.say)
	if rest == nil {
		return
	}
	k.pending.Add(1)
	waiting.Go(func() {
		defer k.pending.Add(-1)
		rest()
	})
}

// begin does what a request asks, as far as that needs no waiting, and sends the answers that there are. The rest is
// returned as a function, which the caller runs where it may take time; room is called first and tells whether there is
// a place for that.
func (h *Hook) begin(ctx context.Context, line []byte, room func() bool, say func(Answer)) (rest func()) {
	q, a := parse(line, h.time())
	if a.Result == Refused {
		say(a)
		return nil
	}
	switch q.kind {
	case "txn":
		h.To.Txn(*q.mark)
	case "fact":
		h.To.Fact(*q.fact)
	case "version":
		about := h.about()
		a.Result, a.About = Done, &about
	case "status":
		s := h.To.State()
		a.Result, a.State = Done, &s
	case "check":
		if !room() {
			busy(&a)
			break
		}
		return func() {
			ctx, stop := context.WithTimeout(ctx, checkWait)
			defer stop()
			a.InSale = h.To.State().InSale
			ev, err := h.To.Check(ctx, q.names)
			a.Result, a.Evidence, a.InSale = Done, ev, a.InSale || h.To.State().InSale
			if err != nil {
				a.Result, a.Field, a.Why = Refused, "names", err.Error()
			}
			say(a)
		}
	case "verdict":
		if !room() {
			busy(&a)
			break
		}
		return func() {
			in, stop := context.WithTimeout(ctx, firstWait)
			t, err := h.To.Again(in, q.id, q.lang)
			stop()
			switch a.ID = t.ID; {
			case errors.Is(err, source.ErrBusy):
				busy(&a)
			case errors.Is(err, source.ErrUnknown):
				a.Result, a.Field, a.Why = Refused, "id", err.Error()
			case err != nil:
				a.Result, a.Why = Refused, err.Error()
			default:
				h.follow(ctx, q, a, t, say)
				return
			}
			say(a)
		}
	case "code", "diagnose":
		if q.wait != "none" && !room() {
			busy(&a)
			break
		}
		a.InSale = q.kind == "diagnose" && h.To.State().InSale
		t, err := h.To.Event(ctx, *q.seen)
		if t.Warning != "" {
			a.Warnings = append(a.Warnings, t.Warning)
		}
		switch {
		case errors.Is(err, source.ErrBusy):
			busy(&a)
		case err != nil:
			a.Result, a.Why = Refused, err.Error()
		case q.wait == "none":
			a.ID, a.MemoryOnly = t.ID, h.memoryOnly()
		default:
			a.ID = t.ID
			return func() { h.follow(ctx, q, a, t, say) }
		}
	}
	say(a)
	return nil
}

// memoryOnly tells whether what is kept now is kept in memory alone.
func (h *Hook) memoryOnly() bool { return h.To.State().Self["outbox_ram"] > 0 }

func busy(a *Answer) { a.Result, a.Why = Busy, "try again a second later" }

// about is what this daemon is and can, for programs that are older or newer than it.
func (h *Hook) about() About {
	agent := h.To.State().Agent
	return About{
		Version: agent.Version, Knowledge: agent.Knowledge, Requests: kinds, Languages: []string{"zh", "en"}, MaxBytes: maxLine,
		TimeoutMS: Timeouts{First: patience(firstWait), Final: patience(finalWait), Check: patience(checkWait)},
		Display:   Range{notice.MinDisplay, notice.MaxDisplay}, Receipt: Range{notice.MinReceipt, notice.MaxReceipt},
	}
}

// patience is how long a client should wait for what takes the daemon at most d.
func patience(d time.Duration) int64 { return (d + 500*time.Millisecond).Milliseconds() }

// follow answers with the first revision, and with the last one if that was asked for.
func (h *Hook) follow(ctx context.Context, q request, a Answer, t source.Ticket, say func(Answer)) {
	ctx, stop := context.WithTimeout(ctx, finalWait)
	defer stop()
	stages := []struct {
		result string
		ch     <-chan report.Diagnosis
		wait   time.Duration
	}{{First, t.First, firstWait}, {Final, t.Final, finalWait}}
	if q.wait != "final" {
		stages = stages[:1]
	}
	for i, s := range stages {
		if q.wait == "none" {
			s.wait = 0
		}
		due := time.NewTimer(s.wait)
		var d report.Diagnosis
		ok := false
		select {
		case d, ok = <-s.ch:
		case <-due.C:
			select { // it may be there though no time is left
			case d, ok = <-s.ch:
			default:
			}
		case <-ctx.Done():
		}
		due.Stop()
		a.Result, a.More, a.Why = s.result, i+1 < len(stages), ""
		a.Verdict, a.Diagnosis, a.MemoryOnly = nil, nil, h.memoryOnly()
		if !ok {
			// The event is kept and will be explained; only this client's patience, or ours, is over.
			a.Result, a.Why = Accepted, "not explained yet: ask for the verdict by its id a second later"
		} else {
			if q.kind == "verdict" && d.Final {
				a.Result, a.More = Final, false
			}
			v := Brief(d)
			if q.display > 0 {
				v.Display = notice.Display(d, q.display)
			}
			if q.receipt > 0 {
				v.Receipt = notice.Receipt(d, q.receipt)
			}
			a.Verdict = &v
			if q.full {
				a.Diagnosis = &d
			}
		}
		say(a)
		a.Warnings, a.Ignored = nil, nil
		if !a.More {
			return
		}
	}
}
