package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"posdx/drivers/board"
)

// lookVar makes the test's program one of the lab's own processes: what it sees of the machine it prints.
const lookVar = "POSDX_LAB_LOOK"

// The simulated terminal sees a kernel's log, a load and sensors of its own, and nothing of the machine it runs on: an
// I/O error of that machine's disk made a typed 97 a storage fault.
func TestTheTerminalSeesAMachineOfItsOwn(t *testing.T) {
	if dir := os.Getenv(lookVar); dir != "" {
		if err := look(t, dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "terminal"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe", "-test.run=^TestTheTerminalSeesAMachineOfItsOwn$", "-test.v")
	c.Env = append(os.Environ(), lookVar+"="+dir)
	c.SysProcAttr = ownNamespaces()
	out, err := c.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("needs root, or user namespaces: ", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: ") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// look is the lab inside its namespaces: first the covers, then what posdx would read.
func look(t *testing.T, dir string) error {
	if err := privateMounts(); err != nil {
		return err
	}
	l := &lab{p: paths{dir}}
	defer l.close()
	if err := l.calm(); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	if err := coverSensors(); err != nil {
		return err
	}
	for path, want := range still {
		if b, err := os.ReadFile(path); err == nil && string(b) != want {
			t.Errorf("%s: %q", path, b)
		}
	}
	for sensor, files := range sensors {
		if _, err := os.Stat(sensor); err != nil {
			continue
		}
		seen := map[string]bool{}
		for name := range files {
			seen[filepath.Dir(name)] = true
		}
		entries, err := os.ReadDir(sensor)
		if err != nil || len(entries) != len(seen) {
			t.Errorf("%s: %d entries, %v; want %d", sensor, len(entries), err, len(seen))
		}
	}
	if _, err := os.Stat(kmsg); err != nil {
		return nil // nor has the terminal one
	}
	if err := l.kernelLog.Say("Buffer I/O error on dev mmcblk0, logical block 7, async page read"); err != nil {
		return err
	}
	// Read as posdx reads it: exactly the two records that were written here.
	fd, err := unix.Open(kmsg, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var classes []board.Complaint
	for b := make([]byte, 8192); ; {
		n, err := unix.Read(fd, b)
		if err == unix.EAGAIN {
			break
		}
		if err != nil || n == 0 {
			return fmt.Errorf("read %s: %d bytes, %w", kmsg, n, err)
		}
		r, ok := board.ParseRecord(b[:n], "")
		if !ok {
			t.Errorf("no record: %q", b[:n])
		}
		classes = append(classes, r.Class)
	}
	if len(classes) != 2 || classes[0] != "" || classes[1] != board.IOError {
		t.Errorf("%d records, want the two that were written, the second a complaint of the disk", len(classes))
	}
	return nil
}
