package nettrial

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"posdx/firmware-build/housetest"
)

// A world is the terminal, which is this process, the site's router r, the carrier's i, and the internet x beyond, in
// one address family:
//
//	terminal eth0 ---- r0 router r1 ---- i0 carrier i1 ==== x0 outside: host, another place, two resolvers
//
// The link to the outside is carried by this process, which may hold each frame for a while.
type world struct {
	six bool
	tls bool
	dir string

	delay    atomic.Int64 // of each frame on the outer link, one way
	host     server
	other    server
	names    atomic.Pointer[map[string]string]
	resolver answering
	ca       *authority
}

// Addresses of each family.
type addresses struct {
	terminal, gateway, inner, outer string
	near, far                       string // the carrier's two sides are outer and near; far is the outside
	bits, link                      int
	host, place, resolver, second   string
	elsewhere                       string // nobody has it
}

var families = map[bool]addresses{
	false: {"192.168.1.23", "192.168.1.1", "100.64.0.2", "100.64.0.1", "100.65.0.1", "100.65.0.2", 24, 30, "203.0.113.10", "198.51.100.20", "203.0.113.53", "198.51.100.53", "203.0.113.99"},
	true:  {"fd77::23", "fd77::1", "fd64::2", "fd64::1", "fd65::1", "fd65::2", 64, 64, "2001:db8:1::10", "2001:db8:2::20", "2001:db8:1::53", "2001:db8:2::53", "2001:db8:1::99"},
}

// site is the terminal's network.
func (a addresses) site() string {
	return netip.PrefixFrom(netip.MustParseAddr(a.terminal), a.bits).Masked().String()
}

func (w *world) at() addresses { return families[w.six] }

// Names and ports.
const (
	hostName, placeName = "pos.acquirer.example", "broker.fleet.example"
	hostPort, placePort = 5000, 8883
)

// sh runs commands, one a line.
func sh(lines string) error {
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.TrimSpace(line), err, out)
		}
	}
	return nil
}

// nft replaces the rules of a namespace; empty for the terminal's own.
func nft(ns, rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	if ns != "" {
		cmd = exec.Command("ip", "netns", "exec", ns, "nft", "-f", "-")
	}
	cmd.Stdin = strings.NewReader("flush ruleset\n" + rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// chain is one chain of rules at a hook.
func chain(hook, rules string) string {
	return "table inet lab {\nchain c {\ntype filter hook " + hook + " priority 0\n" + rules + "\n}\n}\n"
}

func build(dir string, six, secure bool) (*world, error) {
	w := &world{six: six, tls: secure, dir: dir}
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
		os.MkdirAll("/run/netns", 0o755),
		unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, ""),
	} {
		if err != nil {
			return nil, err
		}
	}
	if err := sh("ip netns add r\nip netns add i\nip netns add x\nip link add eth0 type veth peer name r0 netns r\nip -n r link add r1 type veth peer name i0 netns i"); err != nil {
		return nil, err
	}
	if err := w.wire(); err != nil {
		return nil, err
	}
	for _, ns := range []string{"r", "i", "x"} {
		err := housetest.In(ns, func() error {
			for _, s := range []string{"all", "default", "r0", "r1", "i0", "i1", "x0"} { // addresses are ready at once
				_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s+"/accept_dad", []byte("0"), 0)
			}
			if ns == "x" {
				return nil
			}
			return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0), os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0))
		})
		if err != nil {
			return nil, err
		}
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_ra", []byte("0"), 0)
	if !six {
		for _, s := range []string{"all", "default", "eth0"} {
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s+"/disable_ipv6", []byte("1"), 0)
		}
	}
	nodad := ""
	one := 32
	if six {
		nodad, one = "nodad", 128
	}
	a := w.at()
	err := sh(strings.NewReplacer("DAD", nodad).Replace(fmt.Sprintf(`ip link set lo up
		ip -n r link set lo up
		ip -n i link set lo up
		ip -n x link set lo up
		ip link set eth0 up
		ip -n r link set r0 up
		ip -n r link set r1 up
		ip -n i link set i0 up
		ip -n i link set i1 up
		ip -n x link set x0 up
		ip addr add %s/%d dev eth0 DAD
		ip -n r addr add %s/%[2]d dev r0 DAD
		ip -n r addr add %[4]s/%[5]d dev r1 DAD
		ip -n i addr add %[6]s/%[5]d dev i0 DAD
		ip -n i addr add %[7]s/%[5]d dev i1 DAD
		ip -n x addr add %[8]s/%[5]d dev x0 DAD
		ip route add default via %[3]s
		ip -n r route add default via %[6]s
		ip -n i route add default via %[8]s
		ip -n i route add %[9]s via %[4]s
		ip -n x route add default via %[7]s`, a.terminal, a.bits, a.gateway, a.inner, a.link, a.outer, a.near, a.far, a.site())))
	if err != nil {
		return nil, err
	}
	for _, ip := range []string{a.host, a.place, a.resolver, a.second} {
		if err := sh(fmt.Sprintf("ip -n x addr add %s/%d dev lo %s", ip, one, nodad)); err != nil {
			return nil, err
		}
	}
	w.delay.Store(int64(5 * time.Millisecond))
	return w, w.open()
}

// settle waits until the outside answers.
func (w *world) settle() error {
	if !housetest.Within(housetest.Patience, func() bool {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(w.at().place, strconv.Itoa(placePort)), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		return errors.New("the world never came up")
	}
	return nil
}

// wire is the outer link: two taps and a goroutine for each direction.
func (w *world) wire() error {
	open := func(ns, name string) (f *os.File, err error) {
		err = housetest.In(ns, func() (err error) {
			f, err = housetest.Tap(name)
			return err
		})
		return f, err
	}
	a, err := open("i", "i1")
	if err != nil {
		return err
	}
	b, err := open("x", "x0")
	if err != nil {
		return err
	}
	late := func() time.Duration { return time.Duration(w.delay.Load()) }
	go housetest.Carry(a, b, late)
	go housetest.Carry(b, a, late)
	return nil
}

// A server takes connections and treats them as its manner says.
type server struct {
	addr   string
	cert   atomic.Pointer[tls.Certificate]
	manner atomic.Pointer[func(net.Conn)]
	l      net.Listener
	got    atomic.Int64 // connections
}

func (s *server) open(addr string) error {
	s.addr = addr
	return housetest.In("x", func() (err error) {
		if s.l, err = net.Listen("tcp", addr); err != nil {
			return err
		}
		l := s.l
		go housetest.Accept(l, func(c net.Conn) {
			s.got.Add(1)
			(*s.manner.Load())(c)
		})
		return nil
	})
}

func (s *server) does(f func(net.Conn)) { s.manner.Store(&f) }

// hold keeps a connection until its other end closes it, or a minute has passed.
func hold(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.Copy(io.Discard, c)
}

// speak is a TLS server with the certificate of the moment.
func (s *server) speak(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t := tls.Server(c, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return s.cert.Load(), nil
	}})
	if t.Handshake() == nil {
		_, _ = io.Copy(io.Discard, t)
	}
}

// well is how a server is when nothing is wrong.
func (w *world) well(s *server) func(net.Conn) {
	if w.tls {
		return s.speak
	}
	return hold
}

// answering is how the resolvers answer.
type answering struct {
	code  atomic.Int32 // of every answer that is not zero
	after atomic.Int64 // how long each takes
}

func (w *world) open() error {
	a := w.at()
	var err error
	if w.ca, err = newAuthority("Test CA"); err != nil {
		return err
	}
	if err := os.WriteFile(w.file("ca.pem"), w.ca.pem, 0o600); err != nil {
		return err
	}
	if err := w.certify(w.ca, time.Now().AddDate(0, -1, 0), time.Now().AddDate(1, 0, 0), hostName); err != nil {
		return err
	}
	w.host.does(w.well(&w.host))
	w.other.does(w.well(&w.other))
	err = w.host.open(net.JoinHostPort(a.host, strconv.Itoa(hostPort)))
	if err := errors.Join(err, w.other.open(net.JoinHostPort(a.place, strconv.Itoa(placePort)))); err != nil {
		return err
	}
	w.name(map[string]string{hostName: a.host, placeName: a.place})
	for _, ip := range []string{a.resolver, a.second} {
		err := housetest.In("x", func() error {
			p, err := net.ListenPacket("udp", net.JoinHostPort(ip, "53"))
			if err != nil {
				return err
			}
			s := &dns.Server{PacketConn: p, Handler: dns.HandlerFunc(w.answer)}
			go func() { _ = s.ActivateAndServe() }()
			return nil
		})
		if err != nil {
			return err
		}
	}
	return os.WriteFile(w.file("resolv.conf"), []byte("nameserver "+a.resolver+"\n"), 0o600)
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) name(names map[string]string) { w.names.Store(&names) }

// answer is what a resolver says.
func (w *world) answer(to dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg)
	a.SetReply(q)
	name := strings.TrimSuffix(q.Question[0].Name, ".")
	text, known := (*w.names.Load())[name]
	ip, err := netip.ParseAddr(text)
	head := dns.RR_Header{Name: name + ".", Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 5}
	switch {
	case w.resolver.code.Load() != 0:
		a.Rcode = int(w.resolver.code.Load())
	case !known:
		a.Rcode = dns.RcodeNameError
	case err != nil:
	case q.Question[0].Qtype == dns.TypeA && ip.Is4():
		a.Answer = []dns.RR{&dns.A{Hdr: head, A: ip.AsSlice()}}
	case q.Question[0].Qtype == dns.TypeAAAA && ip.Is6():
		a.Answer = []dns.RR{&dns.AAAA{Hdr: head, AAAA: ip.AsSlice()}}
	}
	time.AfterFunc(time.Duration(w.resolver.after.Load()), func() { _ = to.WriteMsg(a) })
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().AddDate(-9, 0, 0),
		NotAfter:  time.Now().AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

func (a *authority) leaf(name string, from, to time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// certify gives the host a certificate for a name, and the other place its own.
func (w *world) certify(a *authority, from, to time.Time, name string) error {
	h, err := a.leaf(name, from, to)
	if err != nil {
		return err
	}
	w.host.cert.Store(h)
	if w.other.cert.Load() != nil {
		return nil
	}
	return w.certifyOther(a)
}

func (w *world) certifyOther(a *authority) error {
	o, err := a.leaf(placeName, time.Now().AddDate(0, -1, 0), time.Now().AddDate(1, 0, 0))
	if err == nil {
		w.other.cert.Store(o)
	}
	return err
}

// full opens a listener that takes nothing in, and fills its queue.
func (w *world) full() (func(), error) {
	w.host.l.Close()
	var fd int
	err := housetest.In("x", func() (err error) {
		family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: hostPort, Addr: netip.MustParseAddr("0.0.0.0").As4()})
		if w.six {
			family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: hostPort}
		}
		if fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		return errors.Join(unix.Bind(fd, sa), unix.Listen(fd, 0))
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	for range 4 { // one or two are taken into the queue, the others wait
		_ = housetest.In("x", func() error {
			d := net.Dialer{}
			go func() {
				runtime.LockOSThread()
				n, err := unix.Open("/run/netns/x", unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil || unix.Setns(n, unix.CLONE_NEWNET) != nil {
					return
				}
				if c, err := d.DialContext(ctx, "tcp", w.host.addr); err == nil {
					<-ctx.Done()
					c.Close()
				}
			}()
			return nil
		})
	}
	time.Sleep(300 * time.Millisecond) // until the queue is full; nothing tells of it
	return func() { stop(); unix.Close(fd) }, nil
}
