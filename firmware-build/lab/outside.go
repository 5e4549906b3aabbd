package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"posdx/agent/translate"
)

const (
	fleetReady = 20 * time.Second
	stopWait   = 5 * time.Second // between the request to end and the kill
	httpWait   = 5 * time.Second
)

// Sockets over which the simulated world reaches what runs on the host, beside the fleet.
const (
	brokerSocket = "broker.sock"
	webSocket    = "web.sock"
)

// run is the half of the lab that stays on the host's network: the fleet runs here, so that its page can be opened. The
// other half, inside, has the simulated world and reaches the fleet over two Unix sockets.
func run(ctx context.Context, args []string, out, talk io.Writer) int {
	var o options
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	lang := translate.Language(args)
	o.flags(f, lang)
	help(f, lang, "用法：posdx-lab run --scenario NAME [选项]\n\n建立一台模拟终端和它周围的一切，真的弄坏其中一样，并显示诊断。\n\n例：\n  posdx-lab run --scenario modem-no-sim --once\n\n选项：",
		"usage: posdx-lab run --scenario NAME [OPTIONS]\n\nBuilds a simulated terminal with everything around it, really breaks something and shows the diagnosis.\n\nexample:\n  posdx-lab run --scenario modem-no-sim --once\n\noptions:")
	if code, ok := parse(f, lang, args, out, talk); !ok {
		return code
	}
	s, ok := find(o.scenario)
	if !ok {
		complain(talk, lang, "：没有场景 %q；有：", ": no scenario %q; there are:", o.scenario)
		for _, s := range scenarios() {
			fmt.Fprintf(talk, "  %-22s %s\n", s.name, s.in(o.lang))
		}
		return 2
	}
	for _, name := range []string{"posdx", "posdx-fleet"} {
		if _, err := os.Stat(filepath.Join(o.bin, name)); err != nil {
			complain(talk, lang, "：%v；请先运行 make build", ": %v; run make build first", err)
			return 1
		}
	}
	// A new world each time: nothing of an old terminal's memory may explain the new one's trouble.
	for _, old := range []string{"posdx.log", "payapp.log", "fleet.log"} {
		os.Remove(filepath.Join(o.dir, old))
	}
	for _, old := range []string{"terminal", "fleet", "sock"} {
		os.RemoveAll(filepath.Join(o.dir, old))
		if err := os.MkdirAll(filepath.Join(o.dir, old), 0o755); err != nil {
			complain(talk, lang, "：%v", ": %v", err)
			return 1
		}
	}
	o.listen, o.mqtt = free(o.listen), free(o.mqtt)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fleet, err := startFleet(ctx, o)
	if err != nil {
		complain(talk, lang, "：%v", ": %v", err)
		return 1
	}
	defer fleet.stop()
	for socket, place := range map[string]string{brokerSocket: o.mqtt, webSocket: o.listen} {
		l, err := net.Listen("unix", filepath.Join(o.dir, "sock", socket))
		if err != nil {
			complain(talk, lang, "：%v", ": %v", err)
			return 1
		}
		defer l.Close()
		go relay(l, func() (net.Conn, error) { return net.Dial("tcp", place) })
	}
	c := exec.Command("/proc/self/exe", append([]string{"inside"}, o.args()...)...)
	c.Stdout, c.Stderr = out, talk
	c.SysProcAttr = ownNamespaces()
	if err := c.Start(); err != nil {
		complain(talk, lang, "：为场景 %s 建立命名空间：%v\n  请用 root 运行，或允许普通用户建立用户命名空间：sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000",
			": make namespaces for scenario %s: %v\n  Run as root, or let ordinary users make user namespaces: sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000",
			s.name, err)
		return 1
	}
	// Ctrl-C reaches both of us; what ends only this process must end that one too.
	defer context.AfterFunc(ctx, func() { c.Process.Signal(syscall.SIGTERM) })()
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		complain(talk, lang, "：%v", ": %v", err)
		return 1
	}
	return 0
}

// free returns an address that can be listened on: the wished one, or one with another port.
func free(wish string) string {
	host, _, err := net.SplitHostPort(wish)
	if err != nil {
		return wish // the fleet says what is wrong with it
	}
	for _, a := range []string{wish, net.JoinHostPort(host, "0")} {
		if l, err := net.Listen("tcp", a); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return wish
}

// A process is a program of ours that writes to a log file.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// start starts a program that ends when this one does.
func start(name, log string, c *exec.Cmd) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if c.Stdout == nil {
		c.Stdout = f
	}
	c.Stderr = f
	// A group of its own: Ctrl-C shall end the lab, and the lab its programs, in order.
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Setpgid, c.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, log: log, cmd: c, done: make(chan struct{})}
	go func() { p.err = c.Wait(); close(p.done) }()
	return p, nil
}

// stop asks a program to end and kills it if it does not.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWait):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// until waits for ready to be true and fails if the program ends before.
func (p *process) until(ctx context.Context, wait time.Duration, ready func() bool) error {
	end := time.NewTimer(wait)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %v%s", p.name, p.err, tail(p.log))
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return fmt.Errorf("%s is not ready after %v%s", p.name, wait, tail(p.log))
		case <-tick.C:
			if ready() {
				return nil
			}
		}
	}
}

// tail returns the last lines of a log, indented.
func tail(log string) string {
	b, err := os.ReadFile(log)
	if err != nil || len(b) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return "\n  " + strings.Join(lines, "\n  ") + "\n  (" + log + ")"
}

func startFleet(ctx context.Context, o options) (*process, error) {
	c := exec.Command(filepath.Join(o.bin, "posdx-fleet"), "serve", "--open", "admin", "--listen", o.listen, "--mqtt-listen", o.mqtt, "--data", filepath.Join(o.dir, "fleet"))
	p, err := start("posdx-fleet", filepath.Join(o.dir, "fleet.log"), c)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: httpWait}
	err = p.until(ctx, fleetReady, func() bool {
		r, err := client.Get("http://" + o.listen + "/healthz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// relay passes every connection to a listener on to where dial leads. It returns when the listener is closed.
func relay(l net.Listener, dial func() (net.Conn, error)) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer near.Close()
			far, err := dial()
			if err != nil {
				return
			}
			defer far.Close()
			var wg sync.WaitGroup
			pass := func(to, from net.Conn) {
				io.Copy(to, from)
				if c, ok := to.(interface{ CloseWrite() error }); ok {
					c.CloseWrite()
				}
			}
			wg.Go(func() { pass(near, far) })
			wg.Go(func() { pass(far, near) })
			wg.Wait()
		}()
	}
}
