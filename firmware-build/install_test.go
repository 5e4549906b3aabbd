// Package firmware holds the tests of what is shipped.
package firmware

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A bare is a terminal's root file system with nothing but busybox.
type bare struct {
	t   *testing.T
	dir string
}

// newBare makes one with the package unpacked at /pkg.
func newBare(t *testing.T) *bare {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: chroot")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs Debian's busybox-static")
	}
	if testing.Short() {
		t.Skip("builds posdx")
	}
	b := &bare{t, t.TempDir()}
	for _, d := range []string{"bin", "etc", "dev", "proc", "pkg", "tmp", "usr/bin", "var"} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.copy(busybox, "bin/busybox", 0o755)
	b.run("/bin/busybox", "--install", "-s", "/bin")
	b.write("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
	b.write("etc/group", "root:x:0:\ndialout:x:20:\n")
	null := filepath.Join(b.dir, "dev/null")
	if err := syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(null, 0o666); err != nil { // the umask took part of it
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=1.0.0", "-o", filepath.Join(b.dir, "pkg/posdx"), "../agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{"install.sh", "uninstall.sh", "posdx.init", "posdx.service", "posdx-relay@.service", "posdx.toml"} {
		b.copy(f, "pkg/"+f, 0o755)
	}
	b.sh("cd /pkg && sha256sum posdx install.sh uninstall.sh posdx.init posdx.service posdx-relay@.service posdx.toml >SHA256SUMS")
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
	if err := os.WriteFile(filepath.Join(b.dir, path), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bare) command(args ...string) *exec.Cmd {
	c := exec.Command(args[0], args[1:]...)
	c.Dir = "/"
	c.Env = []string{"PATH=/bin:/usr/bin"}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: b.dir}
	return c
}

func (b *bare) run(args ...string) string {
	b.t.Helper()
	c := b.command(args...)
	// A file, not a pipe: what a script leaves in the background would hold a pipe open.
	f, err := os.Create(filepath.Join(b.dir, "tmp/out"))
	if err != nil {
		b.t.Fatal(err)
	}
	c.Stdout, c.Stderr = f, f
	err = c.Run()
	f.Close()
	out, _ := os.ReadFile(f.Name())
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (b *bare) sh(script string) string { b.t.Helper(); return b.run("/bin/sh", "-c", script) }

// modes describes files as owner, group and mode.
func (b *bare) modes(paths ...string) (list []string) {
	for _, p := range paths {
		info, err := os.Lstat(filepath.Join(b.dir, p))
		if err != nil {
			list = append(list, p+": "+err.Error())
			continue
		}
		s := info.Sys().(*syscall.Stat_t)
		list = append(list, fmt.Sprintf("%s %d:%d %v", p, s.Uid, s.Gid, info.Mode().Perm()))
	}
	return list
}

func TestInstallWithNothingButBusybox(t *testing.T) {
	b := newBare(t)
	out := b.sh("/pkg/install.sh")
	if !strings.Contains(out, "installed: posdx 1.0.0") || !strings.Contains(out, "next: edit") {
		t.Errorf("install said:\n%s", out)
	}
	want := "usr/bin/posdx 0:0 -rwxr-xr-x|etc/posdx/posdx.toml 0:900 -rw-r-----|var/lib/posdx 900:900 -rwx------|etc/init.d/posdx 0:0 -rwxr-xr-x"
	if got := strings.Join(b.modes("usr/bin/posdx", "etc/posdx/posdx.toml", "var/lib/posdx", "etc/init.d/posdx"), "|"); got != want {
		t.Errorf("modes\n got %s\nwant %s", got, want)
	}
	if g := b.sh("id posdx"); !strings.Contains(g, "uid=900(posdx) gid=900(posdx)") || !strings.Contains(g, "dialout") {
		t.Errorf("user: %s", g)
	}

	// An upgrade keeps what people wrote, and the old program.
	config := "# mine\nestate = \"shop\"\nterminal = \"t1\"\nstate_dir = \"/var/lib/posdx\"\n[hook]\nsocket = \"/var/run/posdx/hook.sock\"\n"
	b.sh("cat >/etc/posdx/posdx.toml <<'E'\n" + config + "E")
	out = b.sh("/pkg/install.sh")
	if !strings.Contains(out, "posdx.old") || b.sh("cat /etc/posdx/posdx.toml") != config {
		t.Errorf("upgrade said:\n%sconfiguration now:\n%s", out, b.sh("cat /etc/posdx/posdx.toml"))
	}
	if n := strings.Count(b.sh("cat /etc/passwd"), "posdx:x:"); n != 1 {
		t.Errorf("%d users after an upgrade", n)
	}

	// The daemon runs as its own user under the init script, is started again when it dies, and stops.
	b.sh("mount -t proc proc /proc")
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			b.command("/etc/init.d/posdx", "stop").Run()
		}
		syscall.Unmount(filepath.Join(b.dir, "proc"), syscall.MNT_DETACH)
	})
	b.sh("/etc/init.d/posdx start")
	b.sh("n=0; until [ -S /var/run/posdx/hook.sock ]; do n=$((n+1)); [ $n -lt 100 ] || { ls -lR /var/run; exit 1; }; sleep 0.2; done")
	b.sh("/etc/init.d/posdx status")
	const find = "for p in /proc/[0-9]*; do [ \"$(readlink $p/root)\" = / ] && [ \"$(cat $p/comm)\" = posdx ] && echo ${p#/proc/}; done; true"
	first := strings.TrimSpace(b.sh(find))
	if first == "" || strings.Contains(first, "\n") {
		t.Fatalf("processes called posdx: %q", first)
	}
	if s := b.sh("grep ^Uid: /proc/" + first + "/status"); !strings.Contains(s, "900") {
		t.Errorf("runs as %s", s)
	}
	b.sh("kill -9 " + first)
	b.sh("n=0; until p=$(" + find + "); [ -n \"$p\" ] && [ \"$p\" != " + first + " ]; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.2; done")
	b.sh("/etc/init.d/posdx stop")
	stopped = true
	if left := strings.TrimSpace(b.sh(find)); left != "" {
		t.Errorf("processes left after stop: %s", left)
	}

	b.sh("/pkg/uninstall.sh")
	if got := b.modes("usr/bin/posdx", "etc/init.d/posdx"); !strings.Contains(got[0], "no such file") || !strings.Contains(got[1], "no such file") {
		t.Errorf("left after uninstall: %v", got)
	}
	if b.sh("cat /etc/posdx/posdx.toml") != config {
		t.Error("uninstall took the configuration")
	}
	b.sh("/pkg/uninstall.sh --purge")
	if left := b.sh("cat /etc/passwd /etc/group; ls /etc/posdx /var/lib/posdx 2>/dev/null; true"); strings.Contains(left, "posdx") {
		t.Errorf("left after purge:\n%s", left)
	}
}

func TestInstallRefusesADamagedPackage(t *testing.T) {
	b := newBare(t)
	b.sh("echo x >>/pkg/posdx")
	c := b.command("/bin/sh", "/pkg/install.sh")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "damaged") {
		t.Errorf("%v\n%s", err, out)
	}
	if got := b.modes("usr/bin/posdx"); !strings.Contains(got[0], "no such file") {
		t.Errorf("installed all the same: %v", got)
	}
}
