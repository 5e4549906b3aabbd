package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"posdx/drivers/sim"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// A lab is at most one running guest and what is at the far ends of its lines.
type lab struct {
	work, kernel string
	programs     string // to measure
	cuts, hours  int
	away         time.Duration

	s      string // folder of sockets
	qemu   *exec.Cmd
	nbd    *exec.Cmd
	nbd2   *exec.Cmd
	orders net.Conn
	lines  *bufio.Reader
	ends   []net.Conn
	broker *exec.Cmd
	reader mqtt.Client // of the fleet's side
	book   *ledger
	codes  int // so many were reported
	tail   *tail
}

// options of a boot.
type options struct {
	fresh  bool   // a new disk
	cache  string // of a volatile disk by nbdkit: writeback is honest, unsafe lies; empty for a plain file
	rtc    string
	append string
	alone  bool // no devices at the far ends
	warp   bool // while the guest waits its clock jumps to what it waits for, so that an idle day takes minutes
	sick   bool // a second disk, whose reads and writes fail once the file that sicken makes is there
}

// tail keeps the last lines of the guest's console.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		t.lines = append(t.lines, strings.TrimRight(line, "\r\n"))
	}
	t.lines = t.lines[max(0, len(t.lines)-12):]
	return len(p), nil
}

// child is a program that ends with this one, however this one ends. It must be started from the main thread: the
// system watches the thread.
func child(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// boot starts the guest and waits until it takes orders.
func (l *lab) boot(ctx context.Context, o options) error {
	disk := l.path("disk.img")
	if o.fresh {
		if err := shell(`cp --sparse=always "$1" "$2"`, l.path("root.img"), disk); err != nil {
			return err
		}
	}
	s, err := os.MkdirTemp("", "armlab-")
	if err != nil {
		return err
	}
	l.s = s
	drive := "file=" + disk
	if o.cache != "" {
		l.nbd = child("nbdkit", "-f", "-U", filepath.Join(s, "nbd"), "--filter=cache", "file", disk, "cache="+o.cache)
		if err := l.nbd.Start(); err != nil {
			return err
		}
		if err := until(ctx, 10*time.Second, func() error { _, err := os.Stat(filepath.Join(s, "nbd")); return err }); err != nil {
			return err
		}
		drive = "file.driver=nbd,file.server.type=unix,file.server.path=" + filepath.Join(s, "nbd") + ",cache=none"
	}
	sock := func(id string) []string {
		return []string{"-chardev", "socket,id=" + id + ",path=" + filepath.Join(s, id) + ",server=on,wait=off"}
	}
	args := []string{"-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "192", "-display", "none", "-no-reboot", "-monitor", "none", "-kernel", l.kernel,
		"-initrd", l.path("first.gz"), "-append", "console=ttyAMA0 quiet panic=1 " + o.append, "-serial", "stdio",
		"-qmp", "unix:" + filepath.Join(s, "qmp") + ",server=on,wait=off",
		"-device", "qemu-xhci,id=xhci", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=orders,name=lab.orders",
		"-device", "pci-serial,chardev=modem", "-device", "pci-serial,chardev=console",
		"-device", "pci-serial,chardev=near", "-device", "pci-serial,chardev=far", "-device", "usb-serial,chardev=reader,id=reader,bus=xhci.0",
		"-netdev", "user,id=net0,restrict=on,guestfwd=tcp:10.0.2.100:1883-cmd:sh '" + l.door() + "'",
		"-device", "virtio-net-pci,netdev=net0,id=nic0,romfile=", "-drive", drive + ",format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0"}
	for _, id := range []string{"orders", "modem", "console", "reader", "near", "far"} {
		args = append(args, sock(id)...)
	}
	if o.sick {
		second := l.path("second.img")
		if err := shell(`rm -f "$1" && truncate -s 16M "$1" && mkfs.ext4 -q "$1"`, second); err != nil {
			return err
		}
		l.nbd2 = child("nbdkit", "-f", "-U", filepath.Join(s, "nbd2"), "--filter=error", "file", second,
			"error=EIO", "error-rate=100%", "error-file="+filepath.Join(s, "sick"))
		if err := l.nbd2.Start(); err != nil {
			return err
		}
		if err := until(ctx, 10*time.Second, func() error { _, err := os.Stat(filepath.Join(s, "nbd2")); return err }); err != nil {
			return err
		}
		args = append(args, "-drive", "file.driver=nbd,file.server.type=unix,file.server.path="+filepath.Join(s, "nbd2")+
			",cache=none,format=raw,if=none,id=d1", "-device", "virtio-blk-pci,drive=d1")
	}
	if o.rtc != "" {
		args = append(args, "-rtc", "base="+o.rtc)
	}
	if o.warp {
		args = append(args, "-icount", "shift=3,sleep=off")
	}
	l.tail = &tail{}
	l.qemu = child("qemu-system-arm", args...)
	l.qemu.Stdout, l.qemu.Stderr = l.tail, l.tail
	if err := l.qemu.Start(); err != nil {
		return err
	}
	if !o.alone {
		if err := l.plug(ctx, "reader", sim.NewReader(sim.GemCorePOSPro(), 1)); err != nil {
			return err
		}
		if err := l.plug(ctx, "modem", sim.NewModem(sim.Quectel(), sim.GoodModem(), 1)); err != nil {
			return err
		}
	}
	err = until(ctx, 3*time.Minute, func() (err error) {
		l.orders, err = net.Dial("unix", filepath.Join(s, "orders"))
		return err
	})
	if err != nil {
		return err
	}
	l.lines = bufio.NewReader(l.orders)
	if _, err := l.order(3*time.Minute, "true"); err != nil {
		return fmt.Errorf("the guest takes no orders: %w: %s", err, strings.Join(l.tail.lines, " | "))
	}
	return nil
}

// plug connects a simulated device; connecting the reader's socket plugs it in.
func (l *lab) plug(ctx context.Context, id string, peer sim.Peer) error {
	return until(ctx, 20*time.Second, func() error {
		c, err := net.Dial("unix", filepath.Join(l.s, id))
		if err != nil {
			return err
		}
		l.ends = append(l.ends, c)
		go peer.Serve(ctx, c)
		return nil
	})
}

// wire connects the two free UARTs of the guest to each other, as a cable between two modems would.
func (l *lab) wire(ctx context.Context) error {
	var two [2]net.Conn
	for i, id := range []string{"near", "far"} {
		err := until(ctx, 20*time.Second, func() (err error) {
			two[i], err = net.Dial("unix", filepath.Join(l.s, id))
			return err
		})
		if err != nil {
			return err
		}
		l.ends = append(l.ends, two[i])
	}
	go io.Copy(two[0], two[1])
	go io.Copy(two[1], two[0])
	return nil
}

// sicken makes every read and write of the second disk fail from now on.
func (l *lab) sicken() error { return write(filepath.Join(l.s, "sick"), "", 0o600) }

// order runs a command in the guest and returns what it said; a non-zero exit is an error.
func (l *lab) order(limit time.Duration, command string) (string, error) {
	l.orders.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(l.orders, strings.ReplaceAll(command, "\n", "; ")+"\n"); err != nil {
		return "", err
	}
	var said strings.Builder
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return said.String(), fmt.Errorf("%q: %w", command, err)
		}
		if code, ok := strings.CutPrefix(line, "#rc "); ok {
			out := strings.TrimSpace(said.String())
			if code = strings.TrimSpace(code); code != "0" {
				return out, fmt.Errorf("%q: exit code %s: %s", command, code, out)
			}
			return out, nil
		}
		said.WriteString(line)
	}
}

// give writes a file of the guest.
func (l *lab) give(name, text string) error {
	_, err := l.order(minute, "echo "+base64.StdEncoding.EncodeToString([]byte(text))+" | base64 -d >"+name)
	return err
}

// eventually repeats an order until it succeeds.
func (l *lab) eventually(ctx context.Context, limit time.Duration, command string) (out string, err error) {
	return out, until(ctx, limit, func() error { out, err = l.order(limit, command); return err })
}

// machine gives qemu an order (QMP).
func (l *lab) machine(order string) error {
	c, err := net.Dial("unix", filepath.Join(l.s, "qmp"))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	d := json.NewDecoder(c)
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return err
	}
	for _, o := range []string{`{"execute":"qmp_capabilities"}`, order} {
		if _, err := io.WriteString(c, o+"\n"); err != nil {
			return err
		}
		for {
			m = nil
			if err := d.Decode(&m); err != nil {
				return err
			}
			if m["error"] != nil {
				return fmt.Errorf("%s: %v", o, m["error"])
			}
			if _, ok := m["return"]; ok {
				break
			}
		}
	}
	return nil
}

// dark ends the machine and its disk's cache at one moment.
func (l *lab) dark() {
	for _, p := range []*exec.Cmd{l.nbd, l.nbd2, l.qemu} {
		if p != nil && p.Process != nil {
			p.Process.Kill()
		}
	}
}

// cut takes the power away: what the disk's cache had not written is lost with it.
func (l *lab) cut() {
	l.dark()
	for _, p := range []**exec.Cmd{&l.qemu, &l.nbd, &l.nbd2} {
		if *p != nil && (*p).Process != nil {
			(*p).Wait()
			*p = nil
		}
	}
	for _, c := range l.ends {
		c.Close()
	}
	if l.orders != nil {
		l.orders.Close()
	}
	l.ends, l.orders = nil, nil
	if l.s != "" {
		os.RemoveAll(l.s)
		l.s = ""
	}
}

// off ends everything.
func (l *lab) off() {
	if l.orders != nil {
		l.order(10*time.Second, "sync")
	}
	l.cut()
	l.brokerOff()
}

// door is the script by which the guest reaches the broker; it is there while the broker is. The guest reaches nothing
// else.
func (l *lab) door() string { return l.path("door.sh") }

func (l *lab) brokerOff() {
	os.Remove(l.door())
	if l.reader != nil {
		l.reader.Disconnect(0)
		l.reader = nil
	}
	if l.broker != nil {
		l.broker.Process.Kill()
		l.broker.Wait()
		l.broker = nil
	}
}

// brokerOn starts an MQTT broker on this machine's loopback, and opens the guest's way to it once a reader of the
// fleet's side books everything that will arrive.
func (l *lab) brokerOn(ctx context.Context) error {
	n, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := n.Addr().(*net.TCPAddr).Port
	n.Close()
	conf := l.path("mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n", port)
	if err := write(conf, text, 0o644); err != nil {
		return err
	}
	l.broker = child("mosquitto", "-c", conf)
	if err := l.broker.Start(); err != nil {
		return err
	}
	o := mqtt.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", port)).SetClientID("lab").SetAutoReconnect(false)
	o.SetOrderMatters(true)
	l.reader = mqtt.NewClient(o)
	err = until(ctx, minute, func() error { t := l.reader.Connect(); t.Wait(); return t.Error() })
	if err != nil {
		return err
	}
	book := l.book
	t := l.reader.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) { book.arrive(m.Payload()) })
	if t.Wait(); t.Error() != nil {
		return t.Error()
	}
	return write(l.door(), fmt.Sprintf("exec socat STDIO TCP:127.0.0.1:%d\n", port), 0o644)
}

// until repeats f until it returns nil, the limit is over, or ctx ends.
func until(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
