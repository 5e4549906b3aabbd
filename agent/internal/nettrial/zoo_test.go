package nettrial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
	lab "posdx/firmware-build/lab/world"

	"golang.org/x/sys/unix"
	"posdx/firmware-build/housetest"
)

// A path is a way on which the payment application gets through. Each stands for a kind that was met in the field:
// hightouchio/passage#60 (a host that counts a connection without a word as an error), hessu/aprsc#9 (so many
// connections an address), firewalld/firewalld#1455 and nmap/nmap#595 (who says no), systemd/systemd#9196 (names that
// differ by network), shadowsocks/shadowsocks#315 (a proxy and nothing else), rustls/rustls-native-certs#54 (an issuer
// of the site's own).
type path struct {
	name   string
	six    bool
	shape  func(*world, *probe.NetworkConfig) error // before anything is asked
	sells  func(*world) (io.Closer, error)          // how the application connects; nil: as anybody does
	open   bool                                     // its connection stays open while the terminal is looked at
	learns bool                                     // the terminal was looked at before, and a sale went well after it
}

func (w *world) dial() (io.Closer, error) {
	return net.DialTimeout("tcp", net.JoinHostPort(w.at().host, strconv.Itoa(hostPort)), 5*time.Second)
}

func shaped(rules string) func(*world, *probe.NetworkConfig) error {
	return func(w *world, _ *probe.NetworkConfig) error { return nft("r", chain("forward", w.say(rules))) }
}

func paths() []path {
	return []path{
		{name: "nothing in the way"},
		{name: "echoes dropped", shape: shaped("ICMP type echo-request drop")},
		{name: "echoes forbidden aloud", shape: shaped("ICMP type echo-request reject with UNREACH type admin-prohibited")},
		{name: "echoes limited", shape: shaped("ICMP type echo-request limit rate over 4/second burst 5 packets drop")},
		{name: "large echoes dropped", shape: shaped("ICMP type echo-request meta length > 100 drop")},
		{name: "echoes dropped, IPv6", six: true, shape: shaped("ICMP type echo-request drop")},
		{name: "a network for the host alone", shape: func(w *world, c *probe.NetworkConfig) error {
			c.Targets[0].Host, c.Targets[0].ServerName = w.at().host, hostName
			return nft("r", chain("forward", w.say("ct state established accept\nFAM daddr HOST tcp dport 5000 accept\niifname r0 drop")))
		}},
		{name: "host route, no default", shape: func(w *world, c *probe.NetworkConfig) error {
			c.Targets[0].Host, c.Targets[0].ServerName = w.at().host, hostName
			return sh(w.say("ip route del default via GW\nip route add HOST via GW"))
		}},
		{name: "gateway outside the subnet, on the link", shape: func(w *world, _ *probe.NetworkConfig) error {
			return sh(w.say("ip addr flush dev eth0\nip addr add TERM/32 dev eth0\nip route add default via GW dev eth0 onlink"))
		}},
		{name: "a name that is in the hosts file alone", shape: func(w *world, c *probe.NetworkConfig) error {
			w.name(map[string]string{placeName: w.at().place})
			return os.WriteFile(c.HostsFile, []byte(w.at().host+" "+hostName+"\n"), 0o600)
		}},
		{name: "a name of a search domain", shape: func(w *world, c *probe.NetworkConfig) error {
			c.Targets[0].Host, c.Targets[0].ServerName = "pos", hostName
			return os.WriteFile(c.ResolvConf, []byte("search acquirer.example\nnameserver "+w.at().resolver+"\n"), 0o600)
		}},
		{name: "a proxy and nothing else", shape: func(w *world, c *probe.NetworkConfig) error {
			l, err := w.proxy()
			if err != nil {
				return err
			}
			c.Targets[0].Proxy, c.Targets[1].Proxy = l, l
			return nft("r", chain("forward", "ct state established accept\ntcp dport { 5000, 8883 } drop"))
		}, sells: func(w *world) (io.Closer, error) { return w.tunnel() }},
		{name: "a proxy that wants a password", shape: func(w *world, c *probe.NetworkConfig) error {
			l, err := w.refusing("407 Proxy Authentication Required")
			if err != nil {
				return err
			}
			c.Targets[0].Proxy, c.Targets[1].Proxy = l, l
			return nil
		}},
		{name: "the second place is gone", shape: func(w *world, _ *probe.NetworkConfig) error { return w.other.l.Close() }},
		{name: "one connection a client", open: true, shape: func(w *world, _ *probe.NetworkConfig) error {
			var one sync.Mutex
			serve := w.well(&w.host)
			w.host.does(func(c net.Conn) {
				if !one.TryLock() {
					_ = c.(*net.TCPConn).SetLinger(0)
					return
				}
				defer one.Unlock()
				_, _ = c.Write([]byte("hello"))
				serve(c)
			})
			return nil
		}},
		{name: "a source port that is allowed", learns: true, shape: func(w *world, _ *probe.NetworkConfig) error {
			return nft("x", chain("input", w.say("FAM daddr HOST tcp dport 5000 tcp sport != 40000 reject with tcp reset")))
		}, sells: func(w *world) (io.Closer, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{Port: 40000}, Timeout: 5 * time.Second}
			d.Control = func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
			}
			return d.Dial("tcp", w.host.addr)
		}},
		{name: "so many connections a minute", shape: func(w *world, _ *probe.NetworkConfig) error {
			return nft("x", chain("input", w.say("FAM daddr HOST tcp dport 5000 ct state new limit rate over 12/minute burst 10 packets drop")))
		}},
		{name: "resolvers of which the first is dead", shape: func(w *world, c *probe.NetworkConfig) error {
			return os.WriteFile(c.ResolvConf, []byte(w.say("nameserver ELSEWHERE\nnameserver SECOND\n")), 0o600)
		}},
	}
}

// proxy is an HTTP proxy on the site's router that opens tunnels.
func (w *world) proxy() (string, error) {
	return w.refusing("")
}

// refusing is a proxy that answers every request with a status; empty: it opens the tunnel.
func (w *world) refusing(status string) (addr string, err error) {
	addr = net.JoinHostPort(w.at().gateway, "3128")
	return addr, housetest.In("r", func() error {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					r, err := http.ReadRequest(bufio.NewReader(c))
					if err != nil || r.Method != http.MethodConnect || status != "" {
						fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
						return
					}
					var b net.Conn
					_, port, _ := net.SplitHostPort(r.Host)
					to := map[string]string{strconv.Itoa(hostPort): w.host.addr, strconv.Itoa(placePort): w.other.addr}[port]
					err = housetest.In("r", func() (err error) { b, err = net.DialTimeout("tcp", to, 5*time.Second); return err })
					if err != nil {
						fmt.Fprint(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
						return
					}
					defer b.Close()
					fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n")
					go func() { _, _ = io.Copy(b, c); b.Close() }()
					_, _ = io.Copy(c, b)
				}()
			}
		}()
		return nil
	})
}

// tunnel is how an application connects through the proxy.
func (w *world) tunnel() (io.Closer, error) {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(w.at().gateway, "3128"), 5*time.Second)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %s:%d HTTP/1.1\r\nHost: %[1]s:%[2]d\r\n\r\n", hostName, hostPort)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil && answer.StatusCode != 200 {
		err = errors.New(answer.Status)
	}
	return c, err
}

// walk makes a trial of a path: the application gets through before and after, and what is found in between is
// explained.
func (s spec) walk() (r result, err error) {
	i := slices.IndexFunc(paths(), func(p path) bool { return p.name == s.Path })
	p := paths()[i]
	w, err := build(s.Dir, p.six, s.TLS)
	if err != nil {
		return r, err
	}
	if err := w.settle(); err != nil {
		return r, err
	}
	c := w.configuration()
	if p.shape != nil {
		if err := p.shape(w, &c); err != nil {
			return r, err
		}
	}
	sells := p.sells
	if sells == nil {
		sells = (*world).dial
	}
	sale, err := sells(w)
	if err != nil {
		return r, fmt.Errorf("no client gets through, so this proves nothing: %w", err)
	}
	n := probe.NewNetwork(c)
	d := w.doctor(n)
	if p.open {
		_, _ = io.ReadFull(sale.(net.Conn), make([]byte, 5)) // that is what the host says at once
	} else {
		sale.Close()
	}
	d.loop.Approved(triage.Approval{Channel: report.ChannelHook})
	if p.learns {
		d.runner.Run(context.Background(), d.runner.Probes(), nil)
		n.Answered(time.Now())
	}
	if r.Broken, err = d.ask(connectError); err != nil {
		return r, err
	}
	if p.open {
		return r, nil
	}
	sale, err = sells(w)
	if err != nil {
		return r, fmt.Errorf("what was asked has cost the application its connection: %w", err)
	}
	return r, sale.Close()
}

// visit makes a trial of a host of the zoo.
func (s spec) visit() (r result, err error) {
	ctx := context.Background()
	i := slices.IndexFunc(lab.Animals(), func(a lab.Animal) bool { return a.Name == s.Animal })
	a := lab.Animals()[i]
	w, err := build(s.Dir, s.Six, true)
	if err != nil {
		return r, err
	}
	if err := errors.Join(w.settle(), os.Mkdir(s.Dir+"/zoo", 0o700), a.Certificates(ctx, s.Dir+"/zoo")); err != nil {
		return r, err
	}
	serve, stop, err := a.Open(ctx, s.Dir+"/zoo")
	if err != nil {
		return r, err
	}
	defer stop()
	w.host.does(serve)
	if err := a.Prove(ctx, s.Dir+"/zoo", w.host.addr); err != nil {
		return r, err
	}
	c := w.configuration()
	c.Targets[0].Host, c.Targets[0].CAFile = w.at().host, s.Dir+"/zoo/ca.pem"
	if a.Trust != "" {
		c.Targets[0].Host = a.Trust
		w.name(map[string]string{a.Trust: w.at().host, placeName: w.at().place})
	}
	if a.Serve != nil {
		c.Targets[0].CAFile = ""
	}
	n := probe.NewNetwork(c)
	if a.Box != nil { // which tells hellos apart: that of the application was seen on the wire
		version, name := uint16(0x0304), a.Trust
		if strings.Contains(a.Client, "-tls1_2") {
			version = 0x0303
		}
		if strings.Contains(a.Client, "-noservername") {
			name = ""
		}
		n.Opens("host-primary", probe.FormOf(317, version, name)) // openssl's
	}
	d := w.doctor(n)
	d.loop.Approved(triage.Approval{Channel: report.ChannelHook})
	r.Broken, err = d.ask(connectError)
	return r, err
}

// TestNobodyIsBlamed: on every path on which an ordinary client gets through, nothing about the host is called bad, and
// nobody is sent for.
func TestNobodyIsBlamed(t *testing.T) {
	var list []spec
	for i, p := range paths() {
		for _, tls := range []bool{false, true} {
			if tls && p.open || !long() && tls != (i%4 == 0) {
				continue
			}
			list = append(list, spec{Path: p.name, TLS: tls})
		}
	}
	if _, err := exec.LookPath("openssl"); err == nil {
		for i, a := range lab.Animals() {
			if long() || i%6 == 2 {
				list = append(list, spec{Animal: a.Name, TLS: true})
			}
		}
	}
	for _, s := range begin(t, list) {
		t.Run(s.String(), func(t *testing.T) {
			d := s.got(t).Broken
			for _, e := range d.Evidence {
				other := e.Check == string(evidence.NetInternet) || e.Subject == "broker"
				if e.Status == report.Bad && strings.HasPrefix(e.Check, "net.") && !other {
					t.Errorf("%s of %s is called bad: %v", e.Check, e.Subject, e.Facts)
				}
			}
			first := d.Causes[0]
			if v := first.Verdict; first.ID != report.Unexplained && !d.Abstained && (v == "confirmed" || v == "likely") {
				t.Errorf("%s is blamed: %s%s", first.ID, ranked(d), evidenceOf(d))
			}
		})
	}
}
