package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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
