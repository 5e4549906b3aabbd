package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// startHook runs a hook until the test ends and returns its socket once it answers.
func startHook(t *testing.T, d source.Daemon, change func(*Hook)) string {
	t.Helper()
	h := &Hook{Path: filepath.Join(t.TempDir(), "hook.sock"), To: d, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(h)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-over:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
		if _, err := os.Lstat(h.Path); err == nil {
			t.Error("the socket outlives Run")
		}
	})
	housetest.Until(t, "the hook listens", func() bool {
		c, err := net.Dial("unix", h.Path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return h.Path
}

type line struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, path string) *line {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &line{t, c, bufio.NewReader(c)}
}

func (l *line) send(s string) {
	l.t.Helper()
	if _, err := io.WriteString(l.c, s+"\n"); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) answer() (a Answer) {
	l.t.Helper()
	b, err := l.r.ReadBytes('\n')
	if err != nil {
		l.t.Fatalf("read answer: %v", err)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		l.t.Fatalf("answer %q: %v", b, err)
	}
	return a
}

func (l *line) ask(s string) Answer { l.t.Helper(); l.send(s); return l.answer() }

func TestHookAnswers(t *testing.T) {
	d := sourcetest.NewDaemon()
	l := dial(t, startHook(t, d, nil))
	for _, c := range []struct{ ask, result, field, has string }{
		{`{"type":"code","code":"96","wait":"none"}`, Accepted, "", ""},
		{`{"type":"code","code":"96"}`, First, "", "later"},
		{`{"v":1,"ref":"a-1","type":"code","code":"96","origin":"host","txn":{"mti":"0210","stan":"000123"},"wait":"first"}`, First, "", "a-1"},
		{`{"type":"code"}`, Refused, "code", "missing"},
		{`{"type":"code","code":96}`, Refused, "code", "lose its zeros"},
		{`{"type":"code","code":[1]}`, Refused, "code", "want text in quotes"},
		{`{"type":"code","code":null}`, Refused, "code", "missing"},
		{`{"type":"code","code":"JOHN SMITH"}`, Refused, "code", "may be a name"},
		{`{"type":"code","code":"SMITH/JOHN MR"}`, Refused, "code", "may be a name"},
		{`{"type":"code","code":"cvv 123"}`, Refused, "code", "may be a name"},
		{`{"type":"code","code":"RC 05"}`, First, "", ""},
		{`{"type":"code","code":"4761739001010010"}`, Refused, "code", "card number"},
		{`{"type":"code","code":"4761 7390 0101 0010"}`, Refused, "code", "card number"},
		{`{"type":"code","code":"a\u0007"}`, Refused, "code", "printable"},
		{`{"type":"sing"}`, Refused, "type", "code diagnose"},
		{`{"v":2,"type":"status"}`, Refused, "v", "version 1"},
		{`[1]`, Refused, "", "not a JSON object"},
		{`rubbish`, Refused, "", "not a JSON object"},
		{``, Refused, "", "not a JSON object"},
		{`null`, Refused, "", "not a JSON object"},
		{`{"type":"txn","phase":"start"}`, Accepted, "", ""},
		{`{"type":"txn","phase":"dance"}`, Refused, "phase", "start read"},
		{`{"type":"txn","phase":"read"}`, Refused, "ok", "missing"},
		{`{"type":"fact","check":"app.session","facts":{"signed_in":false}}`, Accepted, "", ""},
		{`{"type":"fact","check":"net.tcp","facts":{"outcome":"ok"}}`, Refused, "check", "app.session"},
		{`{"type":"fact","check":"app.keys","facts":{"key":"0123456789ABCDEF"}}`, Refused, "facts", "no fact"},
		{`{"type":"status"}`, Done, "", "shop/t1"},
		{`{"type":"check","names":["net.tcp"]}`, Done, "", "timeout"},
		{`{"type":"check","names":["no.such"]}`, Refused, "names", "no.such"},
		{`{"type":"diagnose","code":"96","full":true}`, First, "", "revision"},
		{`{"type":"verdict","id":"000001-0000000001"}`, First, "", "later"},
		{`{"type":"verdict","id":"000001-0000000001","wait":"none","display":20}`, First, "", "retry later"},
		{`{"type":"verdict","id":"000001-0000000002"}`, Refused, "id", "not any more"},
		{`{"type":"verdict"}`, Refused, "id", "00007c-"},
		{`{"type":"verdict","id":"4761739001010010"}`, Refused, "id", "want the id"},
		{`{"type":"verdict","id":"476173-9001010010"}`, Refused, "id", "want the id"},
	} {
		a := l.ask(c.ask)
		b, _ := json.Marshal(a)
		if a.Result != c.result || a.Field != c.field || !strings.Contains(string(b), c.has) {
			t.Errorf("%s\n got %s\nwant result %q field %q with %q", c.ask, b, c.result, c.field, c.has)
		}
	}
	if n := len(d.All()); n != 5 {
		t.Errorf("got %d events, want 5", n)
	}
}

func TestHookFinalFollowsFirst(t *testing.T) {
	d := sourcetest.NewDaemon()
	d.Finish = make(chan struct{})
	l := dial(t, startHook(t, d, nil))
	first := l.ask(`{"type":"code","code":"96","wait":"final","ref":"w"}`)
	if first.Result != First || !first.More || first.Verdict.Cause != "host.malfunction" {
		t.Errorf("got %+v, want a first verdict with more to come", first)
	}
	// While one request waits, the next ones are served: the app tells of its next sale.
	if a := l.ask(`{"type":"txn","phase":"start"}`); a.Result != Accepted {
		t.Errorf("got %+v beside a waiting request, want accepted", a)
	}
	close(d.Finish)
	if a := l.answer(); a.Result != Final || a.More || a.Ref != "w" || a.ID == "" {
		t.Errorf("got %+v, want the final verdict", a)
	}
}

func TestHookBusyAtOnce(t *testing.T) {
	d := sourcetest.NewDaemon()
	d.Room = 0
	l := dial(t, startHook(t, d, nil))
	if a := l.ask(`{"type":"code","code":"96","wait":"final"}`); a.Result != Busy || a.Why == "" {
		t.Errorf("got %+v, want busy", a)
	}
}

func TestHookBoundsWaiters(t *testing.T) {
	d := sourcetest.NewDaemon()
	d.Finish = make(chan struct{})
	l := dial(t, startHook(t, d, nil))
	for range maxPending {
		if a := l.ask(`{"type":"code","code":"96","wait":"final"}`); a.Result != First {
			t.Fatalf("got %+v, want first", a)
		}
	}
	if a := l.ask(`{"type":"code","code":"96","wait":"final"}`); a.Result != Busy {
		t.Errorf("got %+v with %d waiting, want busy", a, maxPending)
	}
	if n := len(d.All()); n != maxPending {
		t.Errorf("got %d events, want %d: a busy answer must keep nothing", n, maxPending)
	}
	close(d.Finish)
	for range maxPending {
		if a := l.answer(); a.Result != Final {
			t.Errorf("got %+v, want final", a)
		}
	}
}

// socat and nc send, close their half and read.
func TestHookAnswersAfterHalfClose(t *testing.T) {
	d := sourcetest.NewDaemon()
	d.Finish = make(chan struct{})
	l := dial(t, startHook(t, d, nil))
	io.WriteString(l.c, `{"type":"code","code":"96","wait":"final"}`) // and no newline
	l.c.(*net.UnixConn).CloseWrite()
	if a := l.answer(); a.Result != First {
		t.Errorf("got %+v, want first", a)
	}
	close(d.Finish)
	if a := l.answer(); a.Result != Final {
		t.Errorf("got %+v, want final", a)
	}
}

func TestHookLongLine(t *testing.T) {
	d := sourcetest.NewDaemon()
	l := dial(t, startHook(t, d, nil))
	if a := l.ask(`{"type":"code","code":"` + strings.Repeat("9", 200<<10) + `"}`); a.Result != Refused || !strings.Contains(a.Why, "longer than 8192") {
		t.Errorf("got %+v, want a refusal", a)
	}
	if a := l.ask(`{"type":"status"}`); a.Result != Done {
		t.Errorf("after a long line: got %+v, want done", a)
	}
}

func TestHookDropsEndlessLine(t *testing.T) {
	l := dial(t, startHook(t, sourcetest.NewDaemon(), nil))
	b := []byte(strings.Repeat("x", 64<<10))
	for range 64 {
		if _, err := l.c.Write(b); err != nil {
			return
		}
	}
	t.Error("4 MB without a line end were taken")
}

func TestHookDropsSlowReader(t *testing.T) {
	l := dial(t, startHook(t, sourcetest.NewDaemon(), nil))
	l.c.SetDeadline(time.Now().Add(60 * time.Second))
	for range 1 << 20 {
		if _, err := io.WriteString(l.c, `{"type":"status"}`+"\n"); err != nil {
			return
		}
	}
	t.Error("a client that never reads is served for ever")
}

func TestHookConnectionLimit(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	path := startHook(t, sourcetest.NewDaemon(), func(h *Hook) {
		h.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	var open []*line
	for i := range maxConns {
		l := dial(t, path)
		// The connection of startHook's look may not be gone yet.
		for end := time.Now().Add(10 * time.Second); ; l = dial(t, path) {
			if a := l.ask(`{"type":"status"}`); a.Result == Done {
				break
			} else if time.Now().After(end) {
				t.Fatalf("connection %d: got %+v", i, a)
			}
		}
		open = append(open, l)
	}
	if a := dial(t, path).answer(); a.Result != Busy {
		t.Errorf("connection %d: got %+v, want busy", maxConns+1, a)
	}
	mu.Lock()
	now = now.Add(idleGive + time.Second)
	mu.Unlock()
	if a := dial(t, path).ask(`{"type":"status"}`); a.Result != Done {
		t.Errorf("with idle connections: got %+v, want room", a)
	}
	_ = open
}

func TestHookFileMode(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := startHook(t, sourcetest.NewDaemon(), nil)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("got mode %v, %v, want 0660", fi.Mode(), err)
	}
}

// Another user may speak if, and only if, he is in the group.
func TestHookGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to speak as another user")
	}
	dir, err := os.MkdirTemp("", "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o755)
	path := filepath.Join(dir, "s")
	startHook(t, sourcetest.NewDaemon(), func(h *Hook) { h.Path, h.Group = path, "4242" })
	say := func(groups ...uint32) string { return asUser(4000, groups, path) }
	if out := say(4242); !strings.Contains(out, "shop/t1") {
		t.Errorf("a member: got %s, want an answer", out)
	}
	if out := say(); !strings.Contains(out, "permission denied") {
		t.Errorf("a stranger: got %s, want to be kept out by the file's mode", out)
	}
	os.Chmod(path, 0o666)
	if out := say(); !strings.Contains(out, "not a member") {
		t.Errorf("a stranger, mode opened by mistake: got %s, want to be refused", out)
	}
}

// asUser asks for the state as another user and returns the answer or the error. Raw calls change the calling thread
// only; it is thrown away with its goroutine.
func asUser(id uintptr, groups []uint32, path string) string {
	out := make(chan string)
	go func() {
		runtime.LockOSThread()
		p := unsafe.Pointer(unsafe.SliceData(groups))
		for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(p)},
			{unix.SYS_SETRESGID, id, id, id}, {unix.SYS_SETRESUID, id, id, id}} {
			if _, _, e := unix.RawSyscall(call[0], call[1], call[2], call[3]); e != 0 {
				out <- e.Error()
				return
			}
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			out <- err.Error()
			return
		}
		f := os.NewFile(uintptr(fd), path)
		defer f.Close()
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			out <- err.Error()
			return
		}
		io.WriteString(f, `{"type":"status"}`+"\n")
		answer, err := bufio.NewReader(f).ReadString('\n')
		out <- fmt.Sprint(answer, err)
	}()
	return <-out
}

func TestHookKeepsForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	os.WriteFile(path, []byte("x"), 0o600)
	h := &Hook{Path: path, To: sourcetest.NewDaemon(), Log: slog.New(slog.DiscardHandler)}
	if _, err := h.listen(); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("got %v, want a refusal to replace a file", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "x" {
		t.Error("a foreign file was touched")
	}
}

func TestHookReplacesStaleSocketNotALiveOne(t *testing.T) {
	path := startHook(t, sourcetest.NewDaemon(), nil)
	h := &Hook{Path: path, To: sourcetest.NewDaemon(), Log: slog.New(slog.DiscardHandler)}
	if _, err := h.listen(); err == nil || !strings.Contains(err.Error(), "another posdx") {
		t.Errorf("got %v, want another posdx", err)
	}
	stale := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	h.Path = stale
	l, err = h.listen()
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	l.Close()
}

func TestClient(t *testing.T) {
	path := startHook(t, sourcetest.NewDaemon(), nil)
	ctx := context.Background()
	c := Client{Path: path}
	if s, err := c.State(ctx); err != nil || s.Terminal != "shop/t1" {
		t.Errorf("State: got %+v, %v", s, err)
	}
	if ev, err := c.Check(ctx, nil); err != nil || len(ev) != 1 {
		t.Errorf("Check: got %+v, %v", ev, err)
	}
	var revisions []int
	next := func(d report.Diagnosis) { revisions = append(revisions, d.Revision) }
	if err := c.Diagnose(ctx, "en", "96", "", report.OriginHost, next); err != nil || fmt.Sprint(revisions) != "[1 2]" {
		t.Errorf("Diagnose: got %v, %v", revisions, err)
	}
	if err := c.Diagnose(ctx, "en", "4761739001010010", "", "", next); err == nil || strings.Contains(err.Error(), "4761") {
		t.Errorf("Diagnose of a card number: got %v", err)
	}
	if err := (Local{Daemon: sourcetest.NewDaemon()}).Diagnose(ctx, "en", "4761739001010010", "", "", next); err == nil {
		t.Error("Local.Diagnose took a card number")
	}
	if _, err := (Client{Path: path + "x"}).State(ctx); !errors.Is(err, ErrNoDaemon) || !strings.Contains(err.Error(), "posdx run") {
		t.Errorf("no socket: got %v", err)
	}
	silent := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone, stop := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := (Client{Path: silent}).State(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("silent daemon: got %v, want canceled", err)
	}
}
