package serial

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
