// The command armlab runs posdx on a real ARM kernel in qemu, with a disk, real UART and USB-serial drivers, an
// emulated network card, and simulated devices at the far ends: it installs it, breaks things around it, cuts its
// power, and measures it beside programs that do something near. Figures of memory are the kernel's own; those of time
// are an emulator's and only good for comparison.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A scenario is one thing that is tried; it fails with an error and says in a line what it saw.
type scenario struct {
	name string
	run  func(ctx context.Context, l *lab) (string, error)
}

func main() {
	runtime.LockOSThread() // see child
	l := &lab{}
	flag.StringVar(&l.work, "work", "", "`FOLDER` with kernel, packages and programs, made by lab-arm.sh")
	flag.DurationVar(&l.away, "away", 4*time.Minute, "how long the broker is away")
	flag.IntVar(&l.cuts, "cuts", 5, "how often the power is cut in each scenario of cuts")
	flag.IntVar(&l.hours, "hours", 24, "of the simulated day; fewer are scaled up")
	flag.StringVar(&l.programs, "programs", "", "the `NAMES` of those to measure, with commas; all unless told")
	only := flag.String("only", "", "the scenarios to run, by `NAMES` with commas")
	list := flag.Bool("list", false, "list the scenarios")
	try := flag.String("try", "", "instead of scenarios, a `FILE` with commands for the shell of a guest in which posdx runs")
	flag.Parse()
	if *list {
		for _, s := range scenarios() {
			fmt.Println(s.name)
		}
		return
	}
	ctx := context.Background()
	if err := l.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "armlab:", err)
		os.Exit(1)
	}
	if *try != "" {
		script, err := os.ReadFile(*try)
		if err == nil {
			err = l.ready(ctx, options{alone: true})
		}
		if err == nil {
			err = l.give("/tmp/try", string(script))
		}
		if err == nil {
			var said string
			said, err = l.order(30*minute, "sh /tmp/try")
			fmt.Println(said)
		}
		l.off()
		if err != nil {
			fmt.Fprintln(os.Stderr, "armlab:", err)
			os.Exit(1)
		}
		return
	}
	failed := 0
	for _, s := range scenarios() {
		if *only != "" && !strings.Contains(","+*only+",", ","+s.name+",") {
			continue
		}
		begun := time.Now()
		said, err := s.run(ctx, l)
		l.off()
		if err != nil {
			failed++
			fmt.Printf("FAIL  %-14s %v\n", s.name, err)
			continue
		}
		fmt.Printf("ok    %-14s %s (%.0f s)\n", s.name, said, time.Since(begun).Seconds())
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// modules are the kernel's parts that the guest needs, without those that they need themselves.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "ext4", "xhci-pci", "ftdi_sio"}

// onNeed are loaded by the scenarios that need them, by /lab/load.
var onNeed = []string{"ppp_async", "dummy_hcd", "usb_f_acm", "cdc-acm", "veth"}

// first is the guest's first process: it loads the modules and hands over to the root on the disk.
const first = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r m; do /bin/busybox insmod "/m$m"; done </modules
until [ -b /dev/vda ]; do /bin/busybox usleep 50000; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox sh
for d in proc sys dev; do /bin/busybox mount --move /$d /root/$d; done
exec /bin/busybox switch_root /root /sbin/init
`

// guestFiles are the root's own files: a terminal with busybox's init, and a port through which the lab gives orders.
var guestFiles = map[string]string{
	"etc/inittab": "::sysinit:/etc/init.d/rcS\n::respawn:/lab/orders\n",
	"etc/init.d/rcS": `#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mdev -s
mdev -d
hostname terminal
ifconfig lo up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0
route add default gw 10.0.2.2
grep -q lab.noposdx /proc/cmdline && exit
for i in /etc/init.d/S??*; do [ ! -x "$i" ] || "$i" start; done
`,
	"lab/orders": `#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
for p in /sys/class/virtio-ports/*; do
	[ "$(cat "$p/name")" = lab.orders ] && port=/dev/${p##*/}
done
exec 3<>"$port"
while IFS= read -r line <&3; do
	sh -c "$line" >/tmp/said 2>&1 </dev/null
	code=$?
	cat /tmp/said >&3
	printf '\n#rc %s\n' $code >&3
done
`,
	"lab/load": `#!/bin/sh
while read -r m; do insmod "/lab/m$m" 2>/dev/null; done </lab/modules
mdev -s
`,
	"etc/mdev.conf":   "tty(S|USB|ACM|GS)[0-9]* root:dialout 660\nnull root:root 666\nzero root:root 666\nu?random root:root 666\nptmx root:root 666\ntty root:root 666\n.* root:root 660\n",
	"etc/passwd":      "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group":       "root:x:0:\ndialout:x:20:\nnogroup:x:65534:\n",
	"etc/shadow":      "root:*:19000:0:99999:7:::\n",
	"etc/resolv.conf": "nameserver 10.0.2.3\n",
	"etc/posdx/posdx.toml": `language = "en"
estate = "lab"
terminal = "arm"
state_dir = "/var/lib/posdx"
[hook]
socket = "/run/posdx/hook.sock"
[[reader]]
name = "reader0"
port = "usb:0403:6001"
protocol = "ccid"
baud = 115200
dedicated = true
[[modem]]
name = "modem0"
port = "/dev/ttyS0"
dedicated = true
[network]
interfaces = ["eth0"]
resolvers = ["10.0.2.3"]
[storage]
paths = ["/"]
[broker]
url = ["tcp://10.0.2.100:1883"]
delivery = "broker"
[console]
tty = "/dev/ttyS1"
baud = 115200
`,
}

// prepare makes the guest's first file system and a disk that later ones are copied from.
func (l *lab) prepare() error {
	found, err := filepath.Glob(filepath.Join(l.work, "kernel/boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("kernels in %s: %v, want one", l.work, found)
	}
	l.kernel = found[0]
	version := strings.TrimPrefix(filepath.Base(l.kernel), "vmlinuz-")
	busybox := filepath.Join(l.work, "others/bin/busybox")

	dir := filepath.Join(l.work, "first")
	root := filepath.Join(l.work, "root")
	for _, d := range []string{dir, root} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(dir, "init"), first, 0o755); err != nil {
		return err
	}
	// take copies modules and what they need, in the order in which they are loaded.
	take := func(to, list string, names []string) error {
		var loaded strings.Builder
		for _, m := range names {
			out, err := exec.Command("modprobe", "-d", filepath.Join(l.work, "kernel"), "-S", version, "--show-depends", m).Output()
			if err != nil {
				return fmt.Errorf("modprobe %s: %w", m, err)
			}
			for line := range strings.Lines(string(out)) {
				path, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod ")
				if !ok || strings.Contains(loaded.String(), "/"+filepath.Base(path)+"\n") {
					continue
				}
				if err := copyFile(path, filepath.Join(to, filepath.Base(path)), 0o644); err != nil {
					return err
				}
				loaded.WriteString("/" + filepath.Base(path) + "\n")
			}
		}
		return write(list, loaded.String(), 0o644)
	}
	if err := take(filepath.Join(dir, "m"), filepath.Join(dir, "modules"), modules); err != nil {
		return err
	}
	if err := take(filepath.Join(root, "lab/m"), filepath.Join(root, "lab/modules"), onNeed); err != nil {
		return err
	}
	if err := copyFile(busybox, filepath.Join(dir, "bin/busybox"), 0o755); err != nil {
		return err
	}
	if err := shell(`cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >"$2"`, dir, l.path("first.gz")); err != nil {
		return err
	}

	if err := shell(`mkdir -p "$2" && cp -a "$1/." "$2" && cd "$2" && mkdir -p bin sbin usr/bin usr/sbin usr/lib proc sys dev run tmp var/lib etc/init.d lab root mnt &&
		rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info etc/rc?.d etc/init.d/* usr/sbin/update-rc.d lib/systemd && for p in $(qemu-arm-static bin/busybox --list-full 2>/dev/null || true); do [ -e "$p" ] || ln -s /bin/busybox "$p"; done`,
		filepath.Join(l.work, "others"), root); err != nil {
		return err
	}
	for _, p := range []string{"sbin/init", "bin/sh", "bin/mount", "sbin/ifconfig"} {
		if _, err := os.Lstat(filepath.Join(root, p)); err != nil {
			if err := os.Symlink("/bin/busybox", filepath.Join(root, p)); err != nil {
				return err
			}
		}
	}
	for name, text := range guestFiles {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := write(filepath.Join(root, name), text, mode); err != nil {
			return err
		}
	}
	for _, v := range []string{"1.0.0", "2.0.0"} {
		if err := shell(`mkdir -p "$2" && tar -C "$2" --strip-components=1 -xzf "$1"`, filepath.Join(l.work, v, "posdx-"+v+"-armv7.tar.gz"), filepath.Join(root, "pkg", v)); err != nil {
			return err
		}
	}
	if err := credentials(filepath.Join(root, "pkg/keys")); err != nil {
		return err
	}
	if err := copyFile(l.path("posdx-fleet"), filepath.Join(root, "pkg/posdx-fleet"), 0o755); err != nil {
		return err
	}
	return shell(`rm -f "$2" && truncate -s 512M "$2" && mkfs.ext4 -q -d "$1" "$2"`, root, l.path("root.img"))
}

func (l *lab) path(name string) string { return filepath.Join(l.work, name) }

func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

func copyFile(from, to string, mode os.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return write(to, string(b), mode)
}

func shell(script string, args ...string) error {
	out, err := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
