package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Who may not look into other processes must know that he is blind.
func TestBlind(t *testing.T) {
	if os.Getenv("POSDX_BLIND") != "" {
		use, err := Look(os.Getenv("POSDX_BLIND"))
		fmt.Printf("held %v, blind %v, %v\n", use.Held, use.Blind, err)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to become nobody")
	}
	device, path := plug(t)
	_ = device
	if use, err := Look(path); err != nil || use.Blind || use.Held {
		t.Errorf("root: %+v, %v", use, err)
	}
	starts(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBlind$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "POSDX_BLIND="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("an emulated program cannot start itself as nobody")
	}
	if err != nil || !strings.Contains(string(out), "held false, blind true, <nil>") {
		t.Errorf("nobody: %v\n%s", err, out)
	}
}

// starts skips a test that starts a process where the processor is emulated: qemu now and then stops for ever between
// fork and exec of a program that has threads.
func starts(t *testing.T) {
	t.Helper()
	if os.Getenv("POSDX_EMULATED") != "" {
		t.Skip("an emulated program that starts another may hang")
	}
}

// inode names a file as /proc/locks does.
func inode(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
}

// The kernel itself must spell a lock as inode does, or flockHolder finds nothing.
func TestKernelSpellsLocksSo(t *testing.T) {
	_, path := plug(t)
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Skip(err)
	}
	if !strings.Contains(string(b), inode(t, path)) {
		t.Errorf("no %s in\n%s", inode(t, path), b)
	}
}

// A lock is found although the process that took it, the flock command, has ended and its caller keeps it.
func TestOwnerByRealFlock(t *testing.T) {
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("no flock command (util-linux)")
	}
	device, path := plug(t)
	_ = device
	starts(t)
	cmd := exec.Command("sh", "-c", `exec 9<>"$0" && flock 9 && echo held && exec sleep 600`, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	use, err := Look(path)
	if err != nil || !use.Held || use.Owner.By != "flock" {
		t.Errorf("%+v, %v", use, err)
	}
}

// A pty's number is its own within one mount of devpts; every other device's number says all.
func TestOneNumberInTwoMountsIsTwoTTYs(t *testing.T) {
	stat := func(dev, ino uint64, major, minor uint32) (st unix.Stat_t) {
		st.Mode = unix.S_IFCHR
		st.Ino = ino
		(*(*uint64)(&st.Dev)), (*(*uint64)(&st.Rdev)) = dev, unix.Mkdev(major, minor)
		return st
	}
	for _, c := range []struct {
		name string
		a, b unix.Stat_t
		want bool
	}{
		{"one pty", stat(20, 6, 136, 3), stat(20, 6, 136, 3), true},
		{"of two mounts", stat(20, 6, 136, 3), stat(44, 6, 136, 3), false},
		{"of the last major", stat(20, 6, 143, 3), stat(44, 6, 143, 3), false},
		{"a UART's two nodes", stat(5, 91, 4, 64), stat(44, 12, 4, 64), true},
		{"two UARTs", stat(5, 91, 4, 64), stat(5, 92, 4, 65), false},
	} {
		if got := same(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// What a process has as its terminal it holds, though it hides its descriptors or has the port by its name of
// /dev/console.
func TestOwnerByTerminal(t *testing.T) {
	const port = "/dev/null" // any device with a number that is no pty's
	stat := func(tty int) string { return fmt.Sprintf("7 (ge) (tty) S 1 7 7 %d 7 4194304 0 0", tty) }
	null, zero := 1<<8|3, 1<<8|5
	for name, c := range map[string]struct {
		tty    int
		hidden bool
		fd     string
		want   Use
	}{
		"hidden":            {null, true, "", Use{Held: true, Owner: Owner{PID: 7, Command: "ge) (tty", By: "terminal"}}},
		"hidden, another's": {zero, true, "", Use{Blind: true}},
		"by console":        {null, false, "/dev/console", Use{Held: true, Owner: Owner{PID: 7, Command: "ge) (tty", By: "terminal"}}},
		"another's console": {zero, false, "/dev/console", Use{}},
		"by its other name": {null, false, "/dev/tty", Use{Held: true, Owner: Owner{PID: 7, Command: "ge) (tty", By: "terminal"}}},
		"by nothing":        {null, false, "/dev/zero", Use{}},
	} {
		t.Run(name, func(t *testing.T) {
			proc := tree(t, map[string]string{"1/comm": "init\n", "7/comm": "ge) (tty\n", "7/stat": stat(c.tty), "7/fd/.keep": ""})
			if c.fd != "" {
				if _, err := os.Stat(c.fd); err != nil {
					t.Skipf("no %s here", c.fd)
				}
				if err := os.Symlink(c.fd, filepath.Join(proc, "7/fd/3")); err != nil {
					t.Fatal(err)
				}
			}
			var use Use
			var err error
			ask := func() { use, err = look(roots{proc: proc}, port) }
			if c.hidden {
				asStranger(t, filepath.Join(proc, "7/fd"), ask)
			} else {
				ask()
			}
			if err != nil || use != c.want {
				t.Errorf("%+v, %v, want %+v", use, err, c.want)
			}
		})
	}
}

// Where /proc does not even list the processes of others, nobody can be said to be absent.
func TestBlindWhereProcessesAreHidden(t *testing.T) {
	for ours, want := range map[string]bool{"4711": true, "1": false} {
		use, err := look(roots{proc: tree(t, map[string]string{ours + "/comm": "app\n"})}, "/dev/null")
		if err != nil || use.Held || use.Blind != want {
			t.Errorf("only process %s is listed: %+v, %v", ours, use, err)
		}
	}
}

// asStranger calls f as somebody who may not look into a folder, though the test be root's.
func asStranger(t *testing.T, dir string, f func()) {
	t.Helper()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if os.Getuid() != 0 {
		f()
		return
	}
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine, and its user with it
		err := unix.Setfsuid(65534)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skip(err)
	}
}
