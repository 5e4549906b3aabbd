// Package firmware holds the tests of what is shipped.
package firmware

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"posdx/firmware-build/housetest"
)

// What the packages' managers and the tar do on a terminal is tried in roots with nothing but busybox, for every first
// process: `make install-test` takes every fault point and real Debians besides.

// A kit is what is installed: the program in two versions, one for another processor, packed in every form.
type kit struct{ dir string }

// kitDir is where builtKit built, for TestMain to remove.
var kitDir string

func TestMain(m *testing.M) {
	housetest.NoFlush()
	housetest.OwnProcesses()
	code := m.Run()
	if kitDir != "" {
		os.RemoveAll(kitDir)
	}
	os.Exit(code)
}

var builtKit = sync.OnceValues(func() (*kit, error) {
	dir, err := os.MkdirTemp("", "posdx-kit-*")
	if err != nil {
		return nil, err
	}
	kitDir = dir
	for _, version := range []string{"1.0.0", "2.0.0"} {
		build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", filepath.Join(dir, version, "posdx-amd64"), "../agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err := forElsewhere(filepath.Join(dir, "2.0.0/posdx-amd64"), filepath.Join(dir, "3.0.0/posdx-amd64")); err != nil {
		return nil, err
	}
	nfpm := filepath.Join(dir, "nfpm")
	install := exec.Command("go", "install", "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4")
	install.Env = append(os.Environ(), "GOBIN="+dir)
	packager := install.Run() == nil
	for _, version := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		c := exec.Command("sh", filepath.Join("firmware-build", "package.sh"), version, "amd64")
		c.Dir = ".."
		c.Env = append(os.Environ(), "DIST="+filepath.Join(dir, version), "NFPM="+nfpm)
		if !packager {
			return nil, fs.ErrNotExist
		}
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
	}
	return &kit{dir: dir}, nil
})

// forElsewhere writes a program as for another processor: the system refuses to run it.
func forElsewhere(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	b[18], b[19] = byte(elf.EM_PARISC), byte(elf.EM_PARISC>>8) // e_machine
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

func (k *kit) path(version, format string) string {
	return filepath.Join(k.dir, version, "posdx-"+version+"-amd64."+format)
}

// long tells whether the whole matrix was asked for; make test takes every format and every first process, but not each
// with each.
var long = os.Getenv("POSDX_INSTALL") != ""

// A bare is a terminal's root file system with nothing but busybox and a first process.
type bare struct {
	t    *testing.T
	kit  *kit
	dir  string
	init string
	spot bool // what is installed has a damaged byte in its middle
}

// inits are the first processes, each with what shows it and what it finds at the next boot.
var inits = map[string]struct {
	files   map[string]string // of the root
	starts  string            // the link or file that starts posdx at every boot
	says    string            // or the line that is said
	service string            // which of our scripts it runs
}{
	"inittab":   {map[string]string{"etc/inittab": "::sysinit:/etc/init.d/rcS\n"}, "", "::once:/etc/init.d/posdx start", "posdx.init"},
	"buildroot": {map[string]string{"etc/init.d/rcS": "for i in /etc/init.d/S??* ;do $i start; done\n"}, "etc/init.d/S95posdx", "", "posdx.init"},
	"rcS.d":     {map[string]string{"etc/rcS.d/": ""}, "etc/rcS.d/S95posdx", "", "posdx.init"},
	"sysv":      {map[string]string{"etc/rc2.d/": "", "etc/rc6.d/": ""}, "etc/rc2.d/S95posdx", "", "posdx.init"},
	"systemd":   {map[string]string{"lib/systemd/system/": "", "etc/udev/rules.d/": ""}, "etc/systemd/system/multi-user.target.wants/posdx.service", "", "posdx.init"},
	"procd":     {map[string]string{"sbin/procd": "", "etc/rc.common": rcCommon}, "etc/rc.d/S95posdx", "", "posdx.procd"},
	"openrc":    {map[string]string{"sbin/openrc-run": openrcRun}, "etc/runlevels/default/posdx", "", "posdx.openrc"},
}

// rcCommon and openrcRun stand for procd's and OpenRC's own, which this machine has not: they run the functions of a
// script that they are given and nothing more. They prove its syntax and what it calls, not the first process.
const rcCommon = `#!/bin/sh
script=$1 action=$2
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { echo "procd: $*" >>/tmp/procd; }
. "$script"
case $action in
start) start_service && service_started ;;
restart) start_service && service_started ;;
running) [ -f /tmp/runs ] ;;
esac
`

const openrcRun = `#!/bin/sh
script=$1 action=$2
checkpath() { :; }
. "$script"
case $action in
start | restart) start_pre && start_post ;;
status) exit 3 ;;
esac
`

func newBare(t *testing.T, init string) *bare {
	t.Helper()
	if !housetest.Alone() {
		t.Skip("needs root: chroot, and namespaces for what is mounted there")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs Debian's busybox-static")
	}
	if testing.Short() {
		t.Skip("builds posdx and its packages")
	}
	k, err := builtKit()
	if err == fs.ErrNotExist {
		t.Skip("needs nfpm, by the module proxy")
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &bare{t: t, kit: k, dir: t.TempDir(), init: init}
	for _, d := range []string{"bin", "etc/init.d", "dev", "proc", "pkg", "tmp", "usr/bin", "usr/lib", "var", "run", "sbin"} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.copy(busybox, "bin/busybox", 0o755)
	b.run("/bin/busybox", "--install", "-s", "/bin")
	b.sh("rm -f /bin/addgroup /bin/adduser") // some terminals have neither
	b.write("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
	b.write("etc/group", "root:x:0:\ndialout:x:20:\nlp:x:7:other\n")
	b.write("etc/shadow", "root:*:19000:0:99999:7:::\n")
	for name, text := range inits[init].files {
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(filepath.Join(b.dir, name), 0o755)
		} else {
			b.write(name, text)
			err = os.Chmod(filepath.Join(b.dir, name), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	null := filepath.Join(b.dir, "dev/null")
	if err := syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(null, 0o666); err != nil { // the umask took part of it
		t.Fatal(err)
	}
	b.sh("mount -t proc proc /proc")
	t.Cleanup(func() { // the folder is removed next
		b.command("/bin/sh", "-c", "[ ! -x /etc/init.d/posdx ] || /etc/init.d/posdx stop").Run()
		syscall.Unmount(filepath.Join(b.dir, "proc"), syscall.MNT_DETACH)
	})
	return b
}

func (b *bare) copy(from, to string, mode os.FileMode) {
	b.t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, to), raw, mode)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bare) write(path, text string) {
	b.t.Helper()
	path = filepath.Join(b.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bare) command(args ...string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Dir = "/"
	c.Env = []string{"PATH=/bin:/usr/bin:/sbin", "LC_ALL=en_US.UTF-8"}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: b.dir}
	return c
}

// try runs a command in the root and returns what it said.
func (b *bare) try(c *exec.Cmd) (string, error) {
	b.t.Helper()
	// A file, not a pipe: what a script leaves in the background would hold a pipe open.
	f, err := os.CreateTemp("", "said-*")
	if err != nil {
		b.t.Fatal(err)
	}
	defer os.Remove(f.Name())
	c.Stdout, c.Stderr = f, f
	err = c.Run()
	f.Close()
	out, _ := os.ReadFile(f.Name())
	return string(out), err
}

func (b *bare) run(args ...string) string {
	b.t.Helper()
	out, err := b.try(b.command(args...))
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (b *bare) sh(script string) string { b.t.Helper(); return b.run("/bin/sh", "-c", script) }

// install brings a version in as its manager does. Debian's is the real one, working on this root from outside; opkg
// and apk are played: the scripts before, the files, the scripts after, in their order.
func (b *bare) install(format, version string, env ...string) (string, error) {
	b.t.Helper()
	path := b.kit.path(version, format)
	script := func(names ...string) (string, error) {
		for _, n := range names {
			words := strings.Fields(n)
			if _, err := os.Stat(filepath.Join(b.dir, "tmp/pkg", words[0])); err != nil {
				continue
			}
			c := b.command(append([]string{"/bin/sh", "/tmp/pkg/" + words[0]}, words[1:]...)...)
			c.Env = append(c.Env, env...)
			if out, err := b.try(c); err != nil || n == names[len(names)-1] {
				return out, err
			}
		}
		return "", nil
	}
	_, there := os.Stat(filepath.Join(b.dir, "usr/lib/posdx/posdx"))
	upgrade := there == nil
	pkg := filepath.Join(b.dir, "tmp/pkg")
	os.RemoveAll(pkg)
	if err := os.MkdirAll(pkg, 0o755); err != nil {
		b.t.Fatal(err)
	}
	outside := func(args ...string) {
		b.t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	spoil := func(path string) { // what was unpacked
		if b.spot {
			b.damage(path)
		}
	}
	switch format {
	case "tar":
		outside("tar", "-C", pkg, "--strip-components=1", "-xzf", b.kit.path(version, "tar.gz"))
		spoil(filepath.Join(pkg, "posdx"))
		c := b.command("/bin/sh", "/tmp/pkg/install.sh")
		c.Env = append(c.Env, env...)
		return b.try(c)
	case "deb":
		if b.spot {
			b.copy(path, "damaged.deb", 0o644)
			path = filepath.Join(b.dir, "damaged.deb")
			b.damage(path)
		}
		c := exec.Command("dpkg", "--root="+b.dir, "-i", path)
		c.Env = append(append(os.Environ(), "LC_ALL=en_US.UTF-8"), env...)
		for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
			os.MkdirAll(filepath.Join(b.dir, d), 0o755)
		}
		if _, err := os.Stat(filepath.Join(b.dir, "var/lib/dpkg/status")); err != nil {
			b.write("var/lib/dpkg/status", "")
		}
		return b.try(c)
	case "ipk":
		outside("tar", "-C", pkg, "-xzf", path)
		outside("tar", "-C", pkg, "-xzf", filepath.Join(pkg, "control.tar.gz"))
		if out, err := script("preinst install"); err != nil {
			return out, err
		}
		outside("tar", "-C", b.dir, "-xzf", filepath.Join(pkg, "data.tar.gz"))
		spoil(filepath.Join(b.dir, "usr/lib/posdx/posdx"))
		return script("postinst configure")
	case "apk":
		outside("sh", "-c", "tar -C "+pkg+" -xzf "+path+" 2>/dev/null")
		before, after := ".pre-install", ".post-install"
		if upgrade {
			before, after = ".pre-upgrade", ".post-upgrade"
		}
		if out, err := script(before + " " + version); err != nil {
			return out, err
		}
		outside("sh", "-c", "cd "+pkg+" && tar -cf - usr | tar -C "+b.dir+" -xf -")
		spoil(filepath.Join(b.dir, "usr/lib/posdx/posdx"))
		return script(after + " " + version)
	}
	b.t.Fatalf("no format %q", format)
	return "", nil
}

// damage changes a byte in the middle of a file.
func (b *bare) damage(path string) {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		raw[len(raw)/2] ^= 1
		err = os.WriteFile(path, raw, 0o755)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// remove takes a package away as its manager does.
func (b *bare) remove(format string, purge bool) string {
	b.t.Helper()
	switch format {
	case "tar":
		if purge {
			return b.sh("/usr/lib/posdx/setup remove --purge")
		}
		return b.sh("/usr/lib/posdx/setup remove")
	case "deb":
		how := "--remove"
		if purge {
			how = "--purge"
		}
		out, err := b.try(exec.Command("dpkg", "--root="+b.dir, how, "posdx"))
		if err != nil {
			b.t.Fatalf("%v\n%s", err, out)
		}
		return out
	case "ipk":
		out := b.sh("/bin/sh /tmp/pkg/prerm remove && rm -rf /usr/lib/posdx && /bin/sh /tmp/pkg/postrm remove")
		if purge {
			b.t.Fatal("opkg knows no purge")
		}
		return out
	}
	out := b.sh("/bin/sh /tmp/pkg/.pre-deinstall 1 && rm -rf /usr/lib/posdx && /bin/sh /tmp/pkg/.post-deinstall 1")
	return out
}

// version is what the program in place says of itself.
func (b *bare) version() string {
	out, err := b.try(b.command("/usr/bin/posdx", "version"))
	if err != nil {
		return "none"
	}
	return strings.Fields(out)[1]
}

// modes describes files as owner, group and mode.
func (b *bare) modes(paths ...string) string {
	var list []string
	for _, p := range paths {
		info, err := os.Lstat(filepath.Join(b.dir, p))
		if err != nil {
			list = append(list, p+": none")
			continue
		}
		s := info.Sys().(*syscall.Stat_t)
		list = append(list, fmt.Sprintf("%s %d:%d %v", p, s.Uid, s.Gid, info.Mode().Perm()))
	}
	return strings.Join(list, "|")
}

func (b *bare) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(b.dir, path))
	return err == nil
}

func (b *bare) read(path string) string {
	raw, err := os.ReadFile(filepath.Join(b.dir, path))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// edited is a configuration that a person wrote.
const edited = "# mine\nestate = \"shop\"\nterminal = \"t1\"\nstate_dir = \"/var/lib/posdx\"\n[hook]\nsocket = \"/run/posdx/hook.sock\"\n"

const find = "for p in /proc/[0-9]*; do [ $p/root -ef / ] && [ \"$(cat $p/comm)\" = posdx ] && echo ${p#/proc/}; done; true"

var formats = []string{"tar", "deb", "ipk", "apk"}

// TestInstallEveryFormatEveryInit: fresh, upgraded with an edited file, removed; purged where the manager knows that.
func TestInstallEveryFormatEveryInit(t *testing.T) {
	for init, want := range inits {
		for _, format := range formats {
			if !long && format != "tar" && init != "inittab" && init != "procd" {
				continue
			}
			t.Run(format+"/"+init, func(t *testing.T) {
				b := newBare(t, init)
				out, err := b.install(format, "1.0.0")
				if err != nil {
					t.Fatalf("fresh: %v\n%s", err, out)
				}
				if !strings.Contains(out, "installed posdx 1.0.0") || !strings.Contains(out, "next: write estate and terminal") || b.version() != "1.0.0" {
					t.Errorf("fresh said:\n%s", out)
				}
				if ids := strings.TrimSpace(b.sh(find)); ids != "" {
					t.Errorf("it runs without a name: %s", ids)
				}
				got := b.modes("usr/bin/posdx", "etc/posdx/posdx.toml", "etc/posdx/conf.d", "var/lib/posdx", "etc/init.d/posdx")
				if got != "usr/bin/posdx 0:0 -rwxr-xr-x|etc/posdx/posdx.toml 0:900 -rw-r-----|etc/posdx/conf.d 0:900 -rwxr-x---|var/lib/posdx 900:900 -rwx------|etc/init.d/posdx 0:0 -rwxr-xr-x" {
					t.Errorf("modes: %s", got)
				}
				if g := b.sh("id posdx"); !strings.Contains(g, "uid=900(posdx) gid=900(posdx)") || !strings.Contains(g, "dialout") || !strings.Contains(g, "lp") {
					t.Errorf("user: %s", g)
				}
				if ours, err := os.ReadFile(want.service); err != nil || b.read("etc/init.d/posdx") != string(ours) {
					t.Errorf("the start script is not %s", want.service)
				}
				if want.starts != "" && !b.exists(want.starts) || want.says != "" && !strings.Contains(out, want.says) {
					t.Errorf("nothing starts it at the next boot, want %s%s; said:\n%s", want.starts, want.says, out)
				}
				if init == "systemd" && (!b.exists("lib/systemd/system/posdx.service") || !b.exists("etc/udev/rules.d/01-posdx.rules")) {
					t.Error("no unit or no udev rule")
				}

				b.write("etc/posdx/posdx.toml", edited)
				old := "etc/udev/rules.d/60-posdx.rules"
				if init == "systemd" {
					b.write(old, "# of an earlier version, which overruled others\n")
				}
				out, err = b.install(format, "2.0.0")
				if b.exists(old) {
					t.Error("the old udev rule is still there")
				}
				if err != nil || b.version() != "2.0.0" {
					t.Fatalf("upgrade to %s: %v\n%s", b.version(), err, out)
				}
				if b.read("etc/posdx/posdx.toml") != edited {
					t.Errorf("configuration now:\n%s", b.read("etc/posdx/posdx.toml"))
				}
				if n := strings.Count(b.read("etc/passwd"), "posdx:x:"); n != 1 {
					t.Errorf("%d users after an upgrade", n)
				}
				if n := strings.Count(b.read("etc/group"), ",posdx"); n != 1 { // lp had a member already
					t.Errorf("groups after an upgrade:\n%s", b.read("etc/group"))
				}

				b.remove(format, false)
				for _, f := range []string{"usr/bin/posdx", "usr/lib/posdx", "etc/init.d/posdx", "lib/systemd/system/posdx.service",
					"etc/udev/rules.d/01-posdx.rules", want.starts} {
					if f != "" && b.exists(f) {
						t.Errorf("left after removing: %s", f)
					}
				}
				if b.read("etc/posdx/posdx.toml") != edited || !b.exists("var/lib/posdx") {
					t.Error("removing took the configuration or the queue")
				}
				if format == "ipk" || format == "apk" {
					return
				}
				if format == "tar" {
					b.sh("rm /etc/posdx/posdx.toml") // or it would start, and not every first process is here
					if out, err := b.install(format, "2.0.0"); err != nil {
						t.Fatalf("again: %v\n%s", err, out)
					}
				}
				b.remove(format, true)
				if left := b.sh("cat /etc/passwd /etc/group /etc/shadow; ls /etc/posdx /var/lib/posdx 2>/dev/null; true"); strings.Contains(left, "posdx") {
					t.Errorf("left after purge:\n%s", left)
				}
				if !strings.Contains(b.read("etc/group"), "lp:x:7:other\n") {
					t.Errorf("other members are gone:\n%s", b.read("etc/group"))
				}
			})
		}
	}
}

// TestInstallRestartsAndProves: the daemon runs as its own user under the start script, an upgrade replaces the running
// program once the new one is well, and one that is not well is taken back.
func TestInstallRestartsAndProves(t *testing.T) {
	for _, format := range formats {
		if !long && format != "tar" && format != "deb" {
			continue
		}
		t.Run(format, func(t *testing.T) {
			b := newBare(t, "inittab")
			b.write("etc/posdx/posdx.toml", edited) // brought along by whoever made the image
			out, err := b.install(format, "1.0.0")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			first := strings.TrimSpace(b.sh(find))
			if first == "" || strings.Contains(first, "\n") {
				t.Fatalf("a fresh installation that is configured starts at once; processes: %q\n%s", first, out)
			}
			if s := b.sh("grep ^Uid: /proc/" + first + "/status"); !strings.Contains(s, "900") {
				t.Errorf("runs as %s", s)
			}
			b.sh("n=0; until posdx selfcheck --live 1 >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 60 ] || exit 1; done")
			b.sh("kill -9 " + first)
			b.sh("n=0; until p=$(" + find + "); [ -n \"$p\" ] && [ \"$p\" != " + first + " ]; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.2; done")

			out, err = b.install(format, "2.0.0")
			if err != nil || !strings.Contains(out, "installed posdx 2.0.0, it runs") {
				t.Fatalf("upgrade: %v\n%s", err, out)
			}
			b.sh("posdx selfcheck --live 1") // what runs is 2.0.0
			for _, f := range []string{"pending", "posdx.before", "taken-back"} {
				if b.exists("usr/lib/posdx/" + f) {
					t.Errorf("%s is left of a proven upgrade", f)
				}
			}

			// The way back is an upgrade like any other.
			if out, err = b.install(format, "1.0.0"); err != nil {
				t.Fatalf("back: %v\n%s", err, out)
			}
			b.sh("posdx selfcheck --live 1")

			// The socket cannot be made any more: no program could become well. The old one is there again.
			b.write("etc/posdx/posdx.toml", strings.Replace(edited, "/run/posdx/hook.sock", "/proc/none/hook.sock", 1))
			out, err = b.install(format, "2.0.0", "POSDX_BOUND=3")
			if err == nil || !strings.Contains(out, "taken back") || b.version() != "1.0.0" {
				t.Errorf("an upgrade that is not well: %s in place, %v\n%s", b.version(), err, out)
			}
			if strings.Contains(out, "installed posdx 2.0.0") {
				t.Errorf("one that was taken back is called installed:\n%s", out)
			}
			b.sh("/etc/init.d/posdx stop")
			if left := strings.TrimSpace(b.sh(find)); left != "" {
				t.Errorf("processes left after stop: %s", left)
			}
		})
	}
}

// TestInstallChecksBeforeItReplaces: whatever makes the new program unfit is said in one clear line, and the old one
// stays.
func TestInstallChecksBeforeItReplaces(t *testing.T) {
	cases := map[string]struct {
		version string
		prepare func(b *bare)
		says    string
		formats []string
	}{
		"wrong processor":                  {"3.0.0", func(*bare) {}, "does not run here", formats},
		"configuration of a newer version": {"2.0.0", func(b *bare) { b.write("etc/posdx/posdx.toml", "from_the_future = 1\n"+edited) }, "from_the_future", formats},
		"queue of a newer version": {"2.0.0", func(b *bare) {
			b.write("etc/posdx/posdx.toml", edited)
			b.write("var/lib/posdx/outbox/p1.seg", "posdxsg9 and more")
		}, "a newer one wrote it", formats},
		"damaged": {"2.0.0", func(b *bare) { b.spot = true }, "damaged", []string{"tar", "ipk", "apk"}},
		// dpkg itself sees it while it unpacks.
		"damaged for dpkg": {"2.0.0", func(b *bare) { b.spot = true }, "corrupt", []string{"deb"}},
	}
	for name, c := range cases {
		for _, format := range c.formats {
			if !long && format != "tar" && !(format == "deb" && c.version == "3.0.0") && c.says != "corrupt" {
				continue
			}
			t.Run(name+"/"+format, func(t *testing.T) {
				b := newBare(t, "inittab")
				if out, err := b.install(format, "1.0.0"); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				c.prepare(b)
				out, err := b.install(format, c.version)
				if err == nil || !strings.Contains(out, c.says) || b.version() != "1.0.0" {
					t.Errorf("%s in place, %v, want %q\n%s", b.version(), err, c.says, out)
				}
			})
		}
	}
}

// TestSetupHasBothLanguages: no line of setup says something in English alone, and what it says is in the language that
// posdx itself would choose.
func TestSetupHasBothLanguages(t *testing.T) {
	script, err := os.ReadFile("setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	speaks, english, texts := regexp.MustCompile(`\b(die|say|note|said|take_back) "`), regexp.MustCompile(`" "[$a-z]`), 0
	for line := range strings.Lines(string(script)) {
		if !speaks.MatchString(line) || strings.Contains(line, `$@`) || strings.Contains(line, `take_back "$why"`) {
			continue
		}
		if texts++; !housetest.HasHan(line) || !english.MatchString(line) {
			t.Errorf("in one language alone: %s", strings.TrimSpace(line))
		}
	}
	if texts < 30 {
		t.Errorf("%d texts are looked at", texts)
	}

	for _, shell := range [][]string{{"dash"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("no %s here", shell[0])
			continue
		}
		image := t.TempDir()
		config := filepath.Join(image, "etc/posdx/posdx.toml")
		if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ config, env, says string }{
			{"", "LANG=", "用法"}, {"", "LANG=en_GB.UTF-8", "usage"}, {"", "LANG=C", "用法"}, {"", "LANG=english", "用法"},
			{"language = \"en\" # ours\n", "LANG=C.UTF-8", "usage"}, {"language = \"en\"\n", "LC_ALL=zh_CN.UTF-8", "用法"},
			{"# language = \"en\"\nlanguage=\"zh\"\n", "LANG=", "用法"}, {"language = \"zh\"\n", "LC_MESSAGES=en", "usage"},
		} {
			if err := os.WriteFile(config, []byte(c.config), 0o644); err != nil {
				t.Fatal(err)
			}
			run := exec.Command(shell[0], append(shell[1:], "setup.sh")...)
			run.Env = []string{"PATH=" + os.Getenv("PATH"), "DESTDIR=" + image, c.env}
			if out, err := run.CombinedOutput(); err == nil || !strings.HasPrefix(string(out), c.says) {
				t.Errorf("%s, %s, %q: %v\n%s", shell[0], c.env, c.config, err, out)
			}
		}
	}
}

// TestInstallSpeaksChinese: where the environment names no language the configuration does.
func TestInstallSpeaksChinese(t *testing.T) {
	b := newBare(t, "inittab")
	for _, c := range []struct{ version, says string }{{"1.0.0", "已安装 posdx 1.0.0"}, {"2.0.0", "下一步"}, {"3.0.0", "不能在这里运行"}} {
		out, err := b.install("tar", c.version, "LC_ALL=")
		refused := c.version == "3.0.0" // there the shell says something of its own as well
		english := housetest.English(strings.ReplaceAll(out, "posdx config check", ""))
		if (err != nil) != refused || !strings.Contains(out, c.says) || !refused && english != "" {
			t.Errorf("%s: %v\n%s\nEnglish: %q", c.version, err, out, english)
		}
	}
}

func TestInstallUpgradesWhatNobodyConfiguredYet(t *testing.T) {
	for _, format := range []string{"tar", "deb"} {
		b := newBare(t, "inittab")
		for _, v := range []string{"1.0.0", "2.0.0"} {
			if out, err := b.install(format, v); err != nil || b.version() != v || !strings.Contains(out, "next: write estate") {
				t.Errorf("%s: %s in place, %v\n%s", format, b.version(), err, out)
			}
		}
	}
}

// TestInstallCountsEveryCopy: a flash too small for both programs takes the new one in place of the old, one too small
// for that refuses, and the old one works.
func TestInstallCountsEveryCopy(t *testing.T) {
	sized := func(t *testing.T, extra int64) *bare {
		b := newBare(t, "inittab")
		size := int64(0)
		if info, err := os.Stat(b.kit.path("1.0.0", "tar.gz")); err == nil {
			size = info.Size() // packed
		}
		program, err := os.Stat(filepath.Join(b.kit.dir, "1.0.0/posdx-amd64"))
		if err != nil {
			t.Fatal(err)
		}
		usr := filepath.Join(b.dir, "usr")
		if err := syscall.Mount("tmpfs", usr, "tmpfs", 0, fmt.Sprintf("size=%d", program.Size()+size+extra)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Unmount(usr, syscall.MNT_DETACH) })
		b.sh("mkdir -p /usr/bin /usr/lib")
		b.write("etc/posdx/posdx.toml", edited)
		if out, err := b.install("tar", "1.0.0"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return b
	}
	t.Run("in place", func(t *testing.T) {
		b := sized(t, 1<<20)
		out, err := b.install("tar", "2.0.0")
		if err != nil || b.version() != "2.0.0" {
			t.Fatalf("%s in place, %v\n%s", b.version(), err, out)
		}
		b.sh("posdx selfcheck --live 1")
		if b.exists("usr/lib/posdx/posdx.before.gz") {
			t.Error("the packed program before is left")
		}
	})
	t.Run("in place and taken back", func(t *testing.T) {
		b := sized(t, 1<<20)
		b.write("etc/posdx/posdx.toml", strings.Replace(edited, "/run/posdx/hook.sock", "/proc/none/hook.sock", 1))
		out, err := b.install("tar", "2.0.0", "POSDX_BOUND=3")
		if err == nil || !strings.Contains(out, "taken back") || b.version() != "1.0.0" {
			t.Errorf("%s in place, %v\n%s", b.version(), err, out)
		}
	})
	t.Run("refused", func(t *testing.T) {
		b := sized(t, -1<<20)
		out, err := b.install("tar", "2.0.0")
		if err == nil || !strings.Contains(out, "kB free") || !strings.Contains(out, "runs on") || b.version() != "1.0.0" {
			t.Errorf("%s in place, %v\n%s", b.version(), err, out)
		}
		b.sh("posdx selfcheck --live 1")
	})
	t.Run("full for the first time", func(t *testing.T) {
		for _, format := range []string{"deb", "ipk", "apk"} {
			b := newBare(t, "inittab")
			usr := filepath.Join(b.dir, "usr")
			if err := syscall.Mount("tmpfs", usr, "tmpfs", 0, "size=4m"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { syscall.Unmount(usr, syscall.MNT_DETACH) })
			b.sh("mkdir -p /usr/bin /usr/lib")
			if out, err := b.install(format, "1.0.0"); err == nil || !strings.Contains(out, "kB free") {
				t.Errorf("%s: %v\n%s", format, err, out)
			}
		}
	})
}

// faulty makes every command that changes a file count, and the n-th end everything, as a power cut does: a copy is
// half done then. Text that is put into the script behind its head.
const faulty = `
_cut() {
	_n=$(($(command cat /fault/count) + 1))
	echo $_n >/fault/count
	[ $_n -eq "$(command cat /fault/at)" ] || return 0
	[ "$1" != cp ] || { shift; for _last in "$@"; do :; done; [ -d "$_last" ] || command head -c 1000 /fault/junk >"$_last"; }
	kill -9 $$
	exit 1 # of a subshell: the plug takes it with the rest
}
for _c in cp mv ln rm chmod chown mkdir sync gzip gunzip awk sed gunzip; do eval "$_c() { _cut $_c \"\$@\"; command $_c \"\$@\"; }"; done
`

// TestInstallCutAtEveryStep pulls the plug at the steps of an upgrade: what the start script calls at the next boot
// leaves the old or the new program, working, with the configuration as it was; and installing again succeeds.
func TestInstallCutAtEveryStep(t *testing.T) {
	for _, mode := range []string{"beside", "in place"} {
		t.Run(mode, func(t *testing.T) {
			b := newBare(t, "buildroot")
			b.write("etc/posdx/posdx.toml", edited)
			if out, err := b.install("tar", "1.0.0"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			b.sh("/etc/init.d/posdx stop")
			pkg := filepath.Join(b.dir, "pkg")
			if out, err := exec.Command("tar", "-C", pkg, "--strip-components=1", "-xzf", b.kit.path("2.0.0", "tar.gz")).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			script, err := os.ReadFile("setup.sh")
			if err != nil {
				t.Fatal(err)
			}
			head, rest, _ := strings.Cut(string(script), "set -eu\n")
			if mode == "in place" {
				rest = strings.Replace(rest, `free() { df`, "free() { echo 8000; }\n_free() { df", 1)
				size, err := os.Stat(filepath.Join(b.kit.dir, "1.0.0/posdx-amd64"))
				if err != nil || size.Size() < 9<<20 {
					t.Fatalf("the program has shrunk, 8000 kB are enough for it: %v", err)
				}
			}
			b.write("pkg/faulty", head+"set -eu\n"+faulty+rest)
			b.write("fault/junk", strings.Repeat("junk", 1000))
			b.sh("cp -a /usr /usr.was && cp -a /etc /etc.was && cp -a /var /var.was")
			cut := func(at int) (string, error) {
				b.sh("rm -rf /usr /etc /var && cp -a /usr.was /usr && cp -a /etc.was /etc && cp -a /var.was /var")
				b.write("fault/count", "0\n")
				b.write("fault/at", fmt.Sprintf("%d\n", at))
				return b.try(b.command("/bin/sh", "/pkg/faulty", "install", "--no-start"))
			}
			if out, err := cut(0); err != nil {
				t.Fatalf("not cut: %v\n%s", err, out)
			}
			var steps int
			if _, err := fmt.Sscan(b.read("fault/count"), &steps); err != nil || steps < 30 {
				t.Fatalf("%d steps, %v", steps, err)
			}
			cuts, whole := 0, map[string]int{}
			for at := 1; at <= steps; at++ {
				// The program itself changes hands in the last steps; the others are copies of small files.
				if !long && at < steps-14 && at%25 != 0 {
					continue
				}
				if out, err := cut(at); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("step %d of %d: %v\n%s", at, steps, err, out)
				}
				cuts++
				boot, err := b.try(b.command("/bin/sh", "-c", "[ ! -x /usr/lib/posdx/setup ] || /usr/lib/posdx/setup boot"))
				v := b.version()
				whole[v]++
				if err != nil || v != "1.0.0" && v != "2.0.0" {
					t.Fatalf("cut at step %d: %s in place: %v\n%s%s", at, v, err, boot, b.sh("ls -la /usr/bin /usr/lib/posdx"))
				}
				if b.read("etc/posdx/posdx.toml") != edited || strings.Count(b.read("etc/passwd"), "posdx:x:900:900:") != 1 || !strings.Contains(b.read("etc/passwd"), "root:") {
					t.Fatalf("cut at step %d: users or configuration are damaged", at)
				}
				b.sh("posdx selfcheck")
				if out := b.sh("/pkg/install.sh --no-start"); b.version() != "2.0.0" {
					t.Fatalf("cut at step %d, installed again: %s\n%s", at, b.version(), out)
				}
			}
			t.Logf("%d cuts: %v", cuts, whole)
			if whole["1.0.0"] == 0 {
				t.Error("no cut left the old program")
			}
		})
	}
}

// TestANewProgramThatNeverBecomesWellIsTakenBackAtBoot: the installer is gone, the start script judges.
func TestANewProgramThatNeverBecomesWellIsTakenBackAtBoot(t *testing.T) {
	b := newBare(t, "inittab")
	b.write("etc/posdx/posdx.toml", edited)
	for _, v := range []string{"1.0.0", "2.0.0"} {
		if v == "2.0.0" {
			b.sh("/etc/init.d/posdx stop")
		}
		if out, err := b.install("tar", v); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if b.version() != "2.0.0" || !b.exists("usr/lib/posdx/pending") {
		t.Fatalf("not running, it stays unproven: %s, pending %v", b.version(), b.exists("usr/lib/posdx/pending"))
	}
	// What was never proven is nothing to go back to.
	if out, err := b.install("tar", "1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if v := strings.Fields(b.sh("/usr/lib/posdx/posdx.before version"))[1]; v != "1.0.0" {
		t.Errorf("kept to go back to: %s, which was never proven", v)
	}
	if out, err := b.install("tar", "2.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.sh("for n in 1 2 3; do /usr/lib/posdx/setup boot; done")
	if b.version() != "2.0.0" {
		t.Error("taken back too early")
	}
	out := b.sh("/usr/lib/posdx/setup boot")
	if b.version() != "1.0.0" || !strings.Contains(out, "never became well") {
		t.Errorf("%s in place: %s", b.version(), out)
	}
	b.sh("/usr/lib/posdx/setup boot")
	if b.version() != "1.0.0" {
		t.Error("the old one was taken back as well")
	}
}

func TestInstallPackagesAreReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("packs twice")
	}
	b := newBare(t, "inittab") // for its conditions
	sums := func(source, dist string) string {
		t.Helper()
		if err := os.MkdirAll(dist, 0o755); err != nil {
			t.Fatal(err)
		}
		build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.3", "-o", filepath.Join(dist, "posdx-armv7"), "./agent")
		build.Dir = source
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=arm", "GOARM=7")
		pack := exec.Command("sh", "firmware-build/package.sh", "1.2.3", "armv7")
		pack.Dir = source
		pack.Env = append(os.Environ(), "DIST="+dist, "NFPM="+filepath.Join(b.kit.dir, "nfpm"), "SOURCE_DATE_EPOCH=1700000000")
		for _, c := range []*exec.Cmd{build, pack} {
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		files, err := filepath.Glob(filepath.Join(dist, "*"))
		if err != nil || len(files) != 7 {
			t.Fatalf("made %v, %v", files, err)
		}
		var list bytes.Buffer
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			h := sha256.Sum256(raw)
			fmt.Fprintln(&list, hex.EncodeToString(h[:]), filepath.Base(f))
		}
		return list.String()
	}
	other := filepath.Join(t.TempDir(), "a longer name", "of the source")
	copied := exec.Command("sh", "-c", `mkdir -p "$1" && cd .. && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$1" -xmf -`, "sh", other)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	one, two := sums("..", filepath.Join(t.TempDir(), "one")), sums(other, filepath.Join(t.TempDir(), "two"))
	if one != two {
		t.Errorf("the same source in another folder packs otherwise:\n%s\n%s", one, two)
	}
}
