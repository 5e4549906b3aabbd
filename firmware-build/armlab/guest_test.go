package main

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// TestNothingRunsOnWhenTheLabIsKilled: of a lab that is killed no machine, disk or broker stays behind. The child's
// output is a pipe, which ends when nobody holds it any more.
func TestNothingRunsOnWhenTheLabIsKilled(t *testing.T) {
	if os.Getenv("ARMLAB_PARENT") != "" {
		runtime.LockOSThread()
		c := child("sleep", "1000000")
		c.Stdout = os.Stdout
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("started\n")
		c.Wait()
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestNothingRunsOnWhenTheLabIsKilled$")
	parent.Env = append(os.Environ(), "ARMLAB_PARENT=1")
	parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-parent.Process.Pid, syscall.SIGKILL) })
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("%q %v", line, err)
	}
	parent.Process.Kill()
	parent.Process.Wait()
	if _, err := lines.ReadString('\n'); err == nil {
		t.Error("it said more")
	}
}
