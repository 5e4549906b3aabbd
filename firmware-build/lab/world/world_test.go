package world

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWorld runs again in namespaces of its own: NewWorld builds around the namespace it is in.
func TestWorld(t *testing.T) {
	if os.Getenv("SIM_WORLD") == "" {
		if os.Getuid() != 0 {
			t.Skip("needs root: network namespaces")
		}
		c := exec.Command(os.Args[0], "-test.run=^TestWorld$", "-test.v")
		c.Env = append(os.Environ(), "SIM_WORLD=1")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWorld") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	w, err := NewWorld("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, ip := range []string{HostIP, WalletIP} {
		l, err := net.Listen("tcp", ip+":5000")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	reach := func(ip string, wait time.Duration) error {
		return w.Terminal.Do(func() error {
			c, err := net.DialTimeout("tcp", ip+":5000", wait)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	fine := func(when string) {
		t.Helper()
		for _, ip := range []string{HostIP, WalletIP} {
			if err := reach(ip, 10*time.Second); err != nil {
				t.Fatalf("%s: %s: %v", when, ip, err)
			}
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	lost := func(when, ip string) {
		t.Helper()
		if err := reach(ip, 300*time.Millisecond); err == nil {
			t.Fatalf("%s: %s is reached", when, ip)
		}
	}
	fine("at first")
	do(w.LoseHost(HostIP, true))
	lost("host lost", HostIP)
	if err := reach(WalletIP, 10*time.Second); err != nil {
		t.Errorf("host lost: %v", err)
	}
	do(w.LoseHost(HostIP, false))
	fine("host back")
	do(w.LoseInternet(true))
	lost("no internet", WalletIP)
	do(w.LoseInternet(false))
	fine("internet back")
	do(w.KillGateway())
	lost("gateway dead", HostIP)
	do(w.ReviveGateway())
	do(w.Cut())
	if carrier(w, "eth0") {
		t.Error("cable out and yet a carrier")
	}
	lost("cable out", HostIP)
	do(w.Mend())
	do(w.DropBearer())
	if err := reach(HostIP, 300*time.Millisecond); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("no bearer: %v", err)
	}
	do(w.RaiseBearer())
	fine("bearer back")
}

func carrier(w *World, name string) (up bool) {
	w.Terminal.Do(func() error {
		i, err := net.InterfaceByName(name)
		up = err == nil && i.Flags&net.FlagRunning != 0
		return err
	})
	return up
}
