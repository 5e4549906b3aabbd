package housetest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// TTY makes a pty, whose far end is the test's, and which nobody has open: whoever looks for its holder finds none.
func TTY(t testing.TB) (far *os.File, path string) {
	t.Helper()
	far, near := openPTY(t)
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	return far, near.Name()
}

// HeldTTY makes a pty whose near end this process has open too, so that it never hangs up. It serves code of this
// process
// alone: every other one finds the port held.
func HeldTTY(t testing.TB) (far *os.File, path string) {
	t.Helper()
	far, near := openPTY(t)
	t.Cleanup(func() { near.Close() })
	return far, near.Name()
}

func openPTY(t testing.TB) (far, near *os.File) {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Skipf("no pty here: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	return far, near
}

// Hear calls f with what comes out of the far end of a pty until that is closed, also while nobody has the near one
// open.
func Hear(far *os.File, f func([]byte)) {
	for b := make([]byte, 4096); ; {
		n, err := far.Read(b)
		if n > 0 {
			f(b[:n])
		}
		if errors.Is(err, unix.EIO) { // nobody has it open, and nothing tells of the next who has
			time.Sleep(time.Millisecond)
		} else if err != nil {
			return
		}
	}
}

// Hold lets another process have a port open until the test ends, as a payment application does.
func Hold(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("sleep", "600")
	cmd.Stdin = f
	if err := cmd.Start(); err != nil {
		t.Skipf("no sleep command: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}
