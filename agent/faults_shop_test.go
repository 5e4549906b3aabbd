package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/drivers/serial"
	"posdx/drivers/sim"
	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// A fault is tried in a shop of its own, made of three processes of this test's program:
//
//	test ── shop (namespaces of its own: the world outside, the router, peers on ptys)
//	          └── terminal (the terminal's network, /sys and half of /proc are a board's files) ── becomes posdx run
//
// So the daemon is the real one, from its command line on, and knows nothing of being tested.
const (
	roleVar = "POSDX_FAULT_ROLE" // shop, terminal, daemon, payapp
	nameVar = "POSDX_FAULT_NAME"
	dirVar  = "POSDX_FAULT_DIR"
)

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVar); role {
	case "":
		housetest.OwnMounts() // the soak's disk is one
		os.Exit(m.Run())
	case "shop":
		// Children that die with the thread that started them must not die with one that entered a namespace.
		runtime.LockOSThread()
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		ctx, cancel := context.WithTimeout(ctx, shopLimit+resting().idle)
		defer cancel()
		got := runShop(ctx, os.Getenv(nameVar), os.Getenv(dirVar))
		json.NewEncoder(os.Stdout).Encode(got)
	case "terminal":
		fmt.Fprintln(os.Stderr, enterTerminal(os.Getenv(dirVar)))
		os.Exit(1)
	case "daemon":
		os.Unsetenv(roleVar)
		wallClock = aheadClock(os.Getenv(dirVar))
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, speak: "en"},
			[]string{"run", "--config", filepath.Join(os.Getenv(dirVar), "posdx.toml")})
		stop()
		os.Exit(code)
	case "payapp":
		os.Stdin.Read(make([]byte, 1)) // until its parent ends
	}
}

// shopLimit bounds one fault; the longest watches an interface for a minute.
const shopLimit = 3 * time.Minute

// A result is what a shop says on its output.
type result struct {
	Error      string           `json:"error,omitempty"`
	Skip       string           `json:"skip,omitempty"` // this machine cannot make the fault
	FirstMS    float64          `json:"first_ms"`
	FinalMS    float64          `json:"final_ms"`
	Diagnosis  report.Diagnosis `json:"diagnosis"`
	Idle       idleCost         `json:"idle"`
	DaemonSaid string           `json:"daemon_said,omitempty"`
}

// errCannot says that a kernel or a program is missing that makes the fault.
type errCannot string

func (e errCannot) Error() string { return string(e) }

// A shop is the terminal with all that stands around it.
type shop struct {
	walled atomic.Bool // the page that should be empty is a sign-in page
	ctx    context.Context
	f      fault
	dir    string
	iface  string
	w      *world.World
	client hook.Client

	reader     *sim.Reader
	neo        *sim.NEOReader
	readerLine *sim.Line
	modem      *sim.Modem
	modemLine  *sim.Line

	host, other atomic.Pointer[tls.Certificate]
	names       map[string]string
	resolver    *dns.Server
	hostDoor    net.Listener
	told        chan struct{} // closed when the terminal has acknowledged the fleet's advisory
	ca          housetest.Authority

	kernelLog *world.KernelLog
	daemon    *exec.Cmd
	said      bytes.Buffer
	payapp    *exec.Cmd
	wire      *wire
	stan      int
}

const (
	shopHost, shopOther         = "pos.acquirer.example", "status.example"
	shopHostPort, shopOtherPort = 5000, 443
	shopBrokerPort              = 1883
	shopCarrier                 = "carrier-a"
	shopFS                      = 4 << 20 // bytes of the terminal's data partition
)

func runShop(ctx context.Context, name, dir string) (got result) {
	s := &shop{ctx: ctx, dir: dir, client: hook.Client{Path: filepath.Join(dir, "hook.sock")},
		names: map[string]string{shopHost: world.HostIP, shopOther: world.BrokerIP}}
	for _, f := range append(faults(), resting(), putBack(), tryCard()) {
		if f.name == name {
			s.f = f
		}
	}
	s.iface = "eth0"
	if s.f.iface != "" {
		s.iface = s.f.iface
	}
	defer func() {
		s.close()
		if got.Error != "" {
			got.DaemonSaid = s.said.String()
		}
	}()
	fail := func(err error) result {
		var cannot errCannot
		if errors.As(err, &cannot) {
			return result{Skip: string(cannot)}
		}
		return result{Error: err.Error()}
	}
	if err := s.build(); err != nil {
		return fail(fmt.Errorf("build the shop: %w", err))
	}
	if err := s.start(); err != nil {
		return fail(err)
	}
	if !s.f.never {
		if err := s.good(3); err != nil {
			return fail(fmt.Errorf("sell: %w", err))
		}
	}
	if s.f.idle > 0 {
		return s.rest(s.f.idle)
	}
	if s.f.breaks != nil {
		if err := s.f.breaks(s); err != nil {
			return fail(fmt.Errorf("break: %w", err))
		}
	}
	got, err := s.code(s.f.event)
	if err == nil && s.f.then != nil {
		err = s.f.then(s)
	}
	if err != nil {
		return fail(err)
	}
	return got
}

func (s *shop) path(name string) string { return filepath.Join(s.dir, name) }

// put writes a file of the terminal's /sys or /proc; an existing one keeps its inode, which may be mounted somewhere.
func (s *shop) put(name, text string) error {
	p := s.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, []byte(text), 0o644)
}

// build makes everything but the daemon.
func (s *shop) build() (err error) {
	if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if s.w, err = world.NewWorld(s.iface); err != nil {
		return err
	}
	for name, text := range healthyBoard {
		if err = s.put(name, text); err != nil {
			return err
		}
	}
	if err = s.put("sys/class/rtc/rtc0/since_epoch", strconv.FormatInt(time.Now().Unix(), 10)); err != nil {
		return err
	}
	if s.kernelLog, err = world.OpenKernelLog(s.path("kmsg")); err != nil {
		return err
	}
	for _, d := range []string{"data", "state"} {
		if err = os.MkdirAll(s.path(d), 0o755); err != nil {
			return err
		}
	}
	if err = unix.Mount("tmpfs", s.path("data"), "tmpfs", 0, fmt.Sprintf("size=%d", shopFS)); err != nil {
		return err
	}
	if err = s.openWorld(); err != nil {
		return err
	}
	s.reader = sim.NewReader(sim.GemCorePOSPro(), 1)
	s.neo = sim.NewNEOReader()
	var peer sim.Peer = s.reader
	if s.f.neo {
		peer = s.neo
	}
	s.readerLine = sim.NewLine(s.path("ttyReader"), peer, 1)
	if err = s.readerLine.Plug(); err != nil {
		return err
	}
	if s.f.modem {
		state := sim.GoodModem()
		state.Address = world.TerminalIP
		s.modem = sim.NewModem(sim.Quectel(), state, 1)
		s.modemLine = sim.NewLine(s.path("ttyModem"), s.modem, 1)
		if err = s.modemLine.Plug(); err != nil {
			return err
		}
	}
	if s.f.prepare != nil {
		if err = s.f.prepare(s); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path("posdx.toml"), []byte(s.config()), 0o644)
}

func (s *shop) config() string {
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	w("language = \"en\"\nestate = \"test\"\nterminal = \"t1\"\nstate_dir = %q", s.path("state"))
	w("[hook]\nsocket = %q", s.client.Path)
	protocol := "ccid"
	if s.f.neo {
		protocol = "neo"
	}
	w("[[reader]]\nname = \"reader0\"\nport = %q\nbaud = 115200\nprotocol = %q", s.path("ttyReader"), protocol)
	// A reader's holder is looked for, as with one that a payment application shares; who cannot see all processes, as an
	// ordinary user, says that it is his alone.
	if use, err := serial.Look(s.path("ttyReader")); err == nil && use.Blind {
		w("dedicated = true")
	}
	if s.f.modem {
		w("[[modem]]\nname = \"modem0\"\nport = %q\nbaud = 115200\napn = \"cmiot\"\ndedicated = true\ndial_up = %v", s.path("ttyModem"), s.f.dialUp)
	}
	w("[network]\nresolvers = [%q]", world.ResolverIP)
	if !s.f.dialUp {
		w("interfaces = [%q]", s.iface)
	}
	w("[[target]]\nname = \"host-primary\"\nhost = %q\nport = %d\ntls = true\nca = %q", s.hostName(), shopHostPort, s.path("ca.pem"))
	other := world.BrokerIP // by address: a dead resolver is no dead line
	if s.f.byName {
		other = shopOther
	}
	if s.f.portal {
		w("[[target]]\nname = \"internet\"\nhost = %q\nport = 80\nportal_path = \"/generate_204\"", other)
	} else {
		w("[[target]]\nname = \"internet\"\nhost = %q\nport = %d\ntls = true\nserver_name = %q\nca = %q", other, shopOtherPort, shopOther, s.path("ca.pem"))
	}
	w("[storage]\npaths = [%q]", s.path("data"))
	w("[app]\nprocess = %q\nexpected_version = \"5.3.0\"", s.processName())
	if _, err := os.Stat(s.path("client.pem")); err == nil {
		w("certificates = [%q]", s.path("client.pem"))
	}
	w("[profile]\nscheme = \"unionpay\"")
	if s.f.advised != nil {
		w("[labels]\ncarrier = %q\n[broker]\nurl = [\"tcp://%s:%d\"]", shopCarrier, world.BrokerIP, shopBrokerPort)
	}
	return b.String()
}

// aheadClock is the machine's clock, as far ahead as a file in the folder says.
func aheadClock(dir string) func() time.Time {
	return func() time.Time {
		now := time.Now()
		if b, err := os.ReadFile(filepath.Join(dir, "ahead")); err == nil {
			if d, err := time.ParseDuration(string(b)); err == nil {
				return now.Add(d)
			}
		}
		return now
	}
}

// hostName is where the configuration sends sales.
func (s *shop) hostName() string {
	if s.f.byAddress {
		return world.HostIP
	}
	if b, err := os.ReadFile(s.path("host")); err == nil {
		return string(b)
	}
	return shopHost
}

// processName is the payment application's, other than in the shops beside this one.
func (s *shop) processName() string {
	return "pay" + strconv.Itoa(os.Getpid())
}

// start starts the payment application and the daemon and waits until it answers.
func (s *shop) start() error {
	if err := s.startApp(); err != nil {
		return err
	}
	s.daemon = exec.Command("/proc/self/exe")
	s.daemon.Env = append(os.Environ(), roleVar+"=terminal", dirVar+"="+s.dir, "GOMAXPROCS=1", "GOGC=25")
	s.daemon.ExtraFiles = []*os.File{s.w.Terminal.File()}
	s.daemon.Stdout, s.daemon.Stderr = &s.said, &s.said
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.daemon.Start(); err != nil {
		return err
	}
	var err error
	answers := func() bool { _, err = s.client.State(s.ctx); return err == nil || s.ctx.Err() != nil }
	if !housetest.Within(30*time.Second, answers) || err != nil {
		return fmt.Errorf("the daemon never answered: %w", err)
	}
	return nil
}

// restart stops the daemon and starts it again with what its configuration is by then.
func (s *shop) restart() error {
	s.daemon.Process.Signal(syscall.SIGTERM)
	s.daemon.Wait()
	if err := os.WriteFile(s.path("posdx.toml"), []byte(s.config()), 0o644); err != nil {
		return err
	}
	s.stopApp()
	return s.start()
}

func (s *shop) startApp() error {
	program := s.path(s.processName())
	if err := os.Symlink("/proc/"+strconv.Itoa(os.Getpid())+"/exe", program); err != nil && !os.IsExist(err) {
		return err
	}
	s.payapp = exec.Command(program)
	s.payapp.Env = append(os.Environ(), roleVar+"=payapp")
	s.payapp.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := s.payapp.StdinPipe(); err != nil {
		return err
	}
	return s.payapp.Start()
}

// stopApp kills the payment application, as a crash does.
func (s *shop) stopApp() {
	s.payapp.Process.Kill()
	s.payapp.Wait()
}

func (s *shop) close() {
	for _, c := range []*exec.Cmd{s.daemon, s.payapp} {
		if c != nil && c.Process != nil {
			c.Process.Signal(syscall.SIGTERM)
			c.Wait()
		}
	}
	for _, l := range []*sim.Line{s.readerLine, s.modemLine} {
		if l != nil {
			l.Close()
		}
	}
	unix.Unmount(s.path("data"), unix.MNT_DETACH)
	if s.w != nil {
		s.w.Close()
	}
}

// enterTerminal moves into the terminal's network, covers what is this machine's, and becomes the daemon.
func enterTerminal(dir string) error {
	runtime.LockOSThread()
	if err := unix.Setns(3, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	unix.Close(3)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	cover := map[string]string{filepath.Join(dir, "sys"): "/sys", filepath.Join(dir, "kmsg"): "/dev/kmsg"}
	for name := range healthyBoard {
		if rest, ok := strings.CutPrefix(name, "proc/"); ok {
			cover[filepath.Join(dir, name)] = "/proc/" + rest
		}
	}
	for from, to := range cover {
		if _, err := os.Stat(to); err != nil {
			continue // this kernel does not have it, so the daemon does not either
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("cover %s: %w", to, err)
		}
	}
	os.Setenv(roleVar, "daemon")
	return unix.Exec("/proc/self/exe", os.Args[:1], os.Environ())
}

// at runs a command of several words in a namespace of the world.
func (s *shop) at(n *world.Net, words string) error { return s.atWith(n, words, "") }

func (s *shop) atWith(n *world.Net, words, input string) error {
	w := strings.Fields(words)
	if _, err := exec.LookPath(w[0]); err != nil {
		return errCannot(w[0] + " is not installed (Debian packages iproute2 and nftables)")
	}
	return n.Do(func() error {
		c := exec.CommandContext(s.ctx, w[0], w[1:]...)
		c.Stdin = strings.NewReader(input)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", words, err, out)
		}
		return nil
	})
}

// forward puts one rule on what the router passes on.
func (s *shop) forward(rule string) error {
	return s.atWith(s.w.Router, "nft -f -", "table inet fault {\nchain f {\ntype filter hook forward priority 0\n"+rule+"\n}\n}\n")
}

// ask sends one line to the hook.
func (s *shop) ask(request any) error {
	return s.client.Do(s.ctx, request, func(hook.Answer) {})
}

func (s *shop) fact(check string, facts map[string]any) error {
	return s.ask(map[string]any{"type": "fact", "check": check, "facts": facts})
}

// read tells of attempts to read distinct cards, one word each: chip stripe contactless, with ! for one that failed.
func (s *shop) read(words string) error {
	for _, w := range strings.Fields(words) {
		entry, failed := strings.CutPrefix(w, "!")
		if err := s.ask(map[string]any{"type": "txn", "phase": "start"}); err != nil {
			return err
		}
		if err := s.ask(map[string]any{"type": "txn", "phase": "read", "entry": entry, "ok": !failed}); err != nil {
			return err
		}
		if err := s.ask(map[string]any{"type": "txn", "phase": "end", "result": "cancelled"}); err != nil {
			return err
		}
	}
	return nil
}

// answered is what a sale that the host answered tells of itself.
func answeredTxn(more map[string]any) map[string]any {
	t := map[string]any{"mti": "0210", "entry": "chip", "sent": true, "host_answer_seen": true, "connect_ms": 40, "response_ms": 700}
	for k, v := range more {
		t[k] = v
	}
	return t
}

// good sells n times.
func (s *shop) good(n int) error {
	for range n {
		if err := s.sell(answeredTxn(nil)); err != nil {
			return err
		}
	}
	return nil
}

// sell has a sale approved.
func (s *shop) sell(txn map[string]any) error {
	s.stan++
	txn["stan"] = fmt.Sprintf("%06d", s.stan)
	if err := s.ask(map[string]any{"type": "txn", "phase": "start"}); err != nil {
		return err
	}
	return s.ask(map[string]any{"type": "code", "code": "00", "origin": "host", "txn": txn})
}

// code reports the code that the fault made and takes both revisions with their times.
func (s *shop) code(e event) (got result, err error) {
	s.stan++
	txn := map[string]any{}
	for k, v := range e.txn {
		txn[k] = v
	}
	txn["stan"] = fmt.Sprintf("%06d", s.stan)
	begun := time.Now()
	q := hook.CodeRequest{Type: "code", Code: e.code, Scheme: e.scheme, Origin: e.origin, Txn: txn, Wait: "final", Full: true}
	err = s.client.Do(s.ctx, q, func(a hook.Answer) {
		ms := float64(time.Since(begun).Microseconds()) / 1000
		if a.Result == hook.First {
			got.FirstMS = ms
		}
		if a.Diagnosis != nil {
			got.FinalMS, got.Diagnosis = ms, *a.Diagnosis
		}
	})
	if err == nil && !got.Diagnosis.Final {
		err = errors.New("no final diagnosis")
	}
	return got, err
}
