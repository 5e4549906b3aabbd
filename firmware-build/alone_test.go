package firmware

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
)

// leaveVar names the folder on which the tests that will be killed mount something.
const leaveVar = "POSDX_TEST_LEAVES"

// TestKilledTestsLeaveNothing: tests that are killed in the middle leave neither a mount nor a daemon behind.
func TestKilledTestsLeaveNothing(t *testing.T) {
	if dir := os.Getenv(leaveVar); dir != "" {
		leave(t, dir)
	}
	if os.Getuid() != 0 || exec.Command("unshare", "--mount", "--pid", "--fork", "true").Run() != nil {
		t.Skip("needs root, and the right to make namespaces")
	}
	dir := t.TempDir()
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	c.Env = append(housetest.NotAlone(), leaveVar+"="+dir)
	c.Stdout, c.Stderr = in, in // which the daemon holds open, too
	err = c.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	out.SetReadDeadline(time.Now().Add(housetest.Patience))
	lines := bufio.NewReader(out)
	for line := ""; line != "left\n"; {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("the rest of the machine sees what tests mount: %v", err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("a daemon of tests that were killed still runs: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Error(err)
	}
}

// leave mounts, starts a daemon and waits for its end.
func leave(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("sleep", "100")
	daemon.Stdout = os.Stdout
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("left")
	select {}
}
