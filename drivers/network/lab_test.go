package network

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"posdx/firmware-build/housetest"
)

// The lab: this test process runs in a network namespace of its own and is the terminal; a router and a host have
// theirs.
//
//	terminal eth0 10.77.0.2/24 --- r0 10.77.0.1 router r1 10.78.0.1 --- h0 10.78.0.2 host
//	         fd77::2/64            fd77::1             fd78::1            fd78::2
const (
	inLab     = "POSDX_NETWORK_LAB"
	routerIP  = "10.77.0.1"
	terminal  = "10.77.0.2"
	hostIP    = "10.78.0.2"
	hostIP6   = "fd78::2"
	routerIP6 = "fd77::1"
)

func TestMain(m *testing.M) {
	fuzzing := false
	for _, a := range os.Args {
		fuzzing = fuzzing || strings.HasPrefix(a, "-test.fuzz")
	}
	if os.Getuid() != 0 || fuzzing {
		os.Exit(m.Run())
	}
	if os.Getenv(inLab) == "" {
		code, err := inLabs(shares())
		if err != nil { // no namespaces here: the tests that need them say so
			fmt.Fprintln(os.Stderr, "network lab:", err)
			code = m.Run()
		}
		os.Exit(code)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "network lab: %v: %s\n", err, out)
	}
	os.Exit(m.Run())
}

// labs is how many stand at the same time when all tests are run: they wait for wires, and for what never comes.
const labs = 3

// testLog is the flag by which go test learns what a test read.
const testLog = "-test.testlogfile="

// shares are the arguments of each lab's tests: one lab has all of them if only some, or more than tests, are asked
// for.
func shares() [][]string {
	for _, a := range os.Args[1:] {
		for _, alone := range []string{"-test.run=", "-test.bench=", "-test.list=", "-test.coverprofile=", "-test.cpuprofile=", "-test.memprofile=", "-test.trace="} {
			if strings.HasPrefix(a, alone) {
				return [][]string{os.Args[1:]}
			}
		}
	}
	list := exec.Command("/proc/self/exe", "-test.list=^(Test|Fuzz)")
	list.Env = append(os.Environ(), inLab+"=1") // or it would ask likewise
	out, err := list.Output()
	if err != nil {
		return [][]string{os.Args[1:]}
	}
	names := strings.Fields(string(out))
	shares := make([][]string, labs)
	for i := range shares {
		var mine []string
		for k := i; k < len(names); k += labs {
			mine = append(mine, names[k])
		}
		shares[i] = append(slices.Clone(os.Args[1:]), "-test.run=^("+strings.Join(mine, "|")+")$")
	}
	return shares
}

// inLabs runs this program once for each list of arguments, each in namespaces of its own, and shows what they say one
// after the other. It fails where there can be none.
func inLabs(shares [][]string) (code int, err error) {
	dir, err := os.MkdirTemp("", "labs")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cmds, said := make([]*exec.Cmd, len(shares)), make([]bytes.Buffer, len(shares))
	whole := "" // where go test looks for what all of them read
	for i, args := range shares {
		if k := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, testLog) }); k >= 0 &&
			len(shares) > 1 {
			whole = strings.TrimPrefix(args[k], testLog)
			args[k] = testLog + fmt.Sprint(dir, "/", i)
		}
		cmds[i] = exec.Command("/proc/self/exe", args...)
		cmds[i].Env = append(os.Environ(), inLab+"=1")
		cmds[i].Stdout, cmds[i].Stderr = &said[i], &said[i]
		if i == 0 {
			cmds[i].Stdin, cmds[i].Stdout, cmds[i].Stderr = os.Stdin, os.Stdout, os.Stderr
		}
		cmds[i].SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			Pdeathsig: syscall.SIGKILL}
		if err := cmds[i].Start(); err != nil {
			if i == 0 {
				return 0, err
			}
			fmt.Fprintln(os.Stderr, "network lab:", err)
			code, cmds[i] = 1, nil
		}
	}
	log := []byte("# test log\n")
	for i, c := range cmds {
		if c == nil {
			continue
		}
		_ = c.Wait() // its exit code tells
		os.Stdout.Write(said[i].Bytes())
		if code == 0 {
			code = c.ProcessState.ExitCode()
		}
		if b, err := os.ReadFile(fmt.Sprint(dir, "/", i)); err == nil {
			log = append(log, bytes.TrimPrefix(b, []byte("# test log\n"))...)
		}
	}
	if whole != "" {
		if err := os.WriteFile(whole, log, 0o666); err != nil {
			fmt.Fprintln(os.Stderr, "network lab:", err)
		}
	}
	return code, nil
}

// must runs a command of several words, or several with newlines between.
func must(t testing.TB, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
}

// nft loads rules into a namespace, replacing what was there.
func nft(t testing.TB, ns, rules string) {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\n" + rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
}

// forward drops, rejects or counts what the router forwards.
func forward(rule string) string {
	return "table inet lab {\nchain f {\ntype filter hook forward priority 0\n" + rule + "\n}\n}\n"
}

// lab builds the network and removes it when the test ends. With delay, the far link holds every frame that long.
func lab(t testing.TB, delay time.Duration) {
	t.Helper()
	if os.Getenv(inLab) == "" {
		t.Skip("needs root, iproute2 and nftables: makes network namespaces")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs the Debian packages iproute2 and nftables: ", err)
		}
	}
	labOnce(t)
	must(t, "ip netns add r\nip netns add h")
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "eth0").Run()
		_ = exec.Command("ip", "link", "del", "eth1").Run()
		must(t, "ip netns del r\nip netns del h")
	})
	must(t, "ip link add eth0 type veth peer name r0 netns r")
	if delay == 0 {
		must(t, "ip -n r link add r1 type veth peer name h0 netns h")
	} else {
		wire(t, delay)
	}
	for _, ns := range []string{"r", "h"} {
		inNS(t, ns, func() error {
			for _, s := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
				if err := os.WriteFile("/proc/sys/net/"+s, []byte("1"), 0); err != nil {
					return err
				}
			}
			for _, s := range []string{"all", "default", "r0", "r1", "h0"} { // addresses are ready at once
				_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s+"/accept_dad", []byte("0"), 0)
			}
			return nil
		})
	}
	setDAD(t, "0")
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_ra", []byte("0"), 0)
	must(t, `ip link set lo up
		ip addr add 10.77.0.2/24 dev eth0
		ip addr add fd77::2/64 dev eth0 nodad
		ip link set eth0 up
		ip -n r addr add 10.77.0.1/24 dev r0
		ip -n r addr add fd77::1/64 dev r0 nodad
		ip -n r addr add 10.78.0.1/24 dev r1
		ip -n r addr add fd78::1/64 dev r1 nodad
		ip -n r link set lo up
		ip -n r link set r0 up
		ip -n r link set r1 up
		ip -n h addr add 10.78.0.2/24 dev h0
		ip -n h addr add fd78::2/64 dev h0 nodad
		ip -n h link set lo up
		ip -n h link set h0 up
		ip -n h route add default via 10.78.0.1
		ip -n h route add default via fd78::1
		ip route add default via 10.77.0.1
		ip route add default via fd77::1`)
}

// ready6 waits until IPv6 works end to end: the kernel takes up to a second to tell it that a link has come up.
func ready6(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		q, err := Echo(t.Context(), netip.MustParseAddr(hostIP6), "", 1, 0, 100*time.Millisecond)
		if err == nil && q.Received == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the lab's IPv6 never came up: ", err)
		}
	}
	must(t, "ip neigh flush dev eth0")
}

// setDAD switches the kernel's search for duplicates of the terminal's IPv6 addresses.
func setDAD(t testing.TB, to string) {
	t.Helper()
	for _, s := range []string{"all", "eth0"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+s+"/accept_dad", []byte(to), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// labOnce makes the mounts of this process its own.
func labOnce(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/run/netns/.lab"); err == nil {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/run/netns/.lab", nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inNS runs f on a thread that is in another namespace; the thread ends with it.
func inNS(t testing.TB, ns string, f func() error) {
	t.Helper()
	if err := housetest.In(ns, f); err != nil {
		t.Fatalf("in namespace %s: %v", ns, err)
	}
}

// listen opens a TCP server in a namespace and hands each connection to serve.
func listen(t testing.TB, ns, addr string, serve func(net.Conn)) {
	t.Helper()
	var l net.Listener
	inNS(t, ns, func() (err error) { l, err = net.Listen("tcp", addr); return err })
	t.Cleanup(func() { l.Close() })
	go housetest.Accept(l, serve)
}

// hold keeps a connection until the other end closes it, and reports the bytes that came.
func hold(got *bytes.Buffer) func(net.Conn) {
	return func(c net.Conn) {
		var b [256]byte
		for {
			n, err := c.Read(b[:])
			if got != nil {
				got.Write(b[:n])
			}
			if err != nil {
				return
			}
		}
	}
}

// wire is the far link with a delay: two taps and a goroutine for each direction.
func wire(t testing.TB, delay time.Duration) {
	t.Helper()
	open := func(ns, name string) (f *os.File) {
		inNS(t, ns, func() (err error) {
			f, err = housetest.Tap(name)
			return err
		})
		t.Cleanup(func() { f.Close() })
		return f
	}
	a, b := open("r", "r1"), open("h", "h0")
	late := func() time.Duration { return delay }
	go housetest.Carry(a, b, late)
	go housetest.Carry(b, a, late)
}
