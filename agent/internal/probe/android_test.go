package probe

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"posdx/agent/report"
)

// A process that may not ask the kernel for its tables, as an Android application may not (SELinux refuses netlink
// sockets since Android 11), says so: permission, and neither that nothing is there nor that the kernel cannot do it.
func TestTablesThatMayNotBeRead(t *testing.T) {
	const child = "POSDX_TEST_NO_NETLINK"
	if os.Getenv(child) == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestTablesThatMayNotBeRead$", "-test.v")
		c.Env = append(os.Environ(), child+"=1")
		out, err := c.CombinedOutput()
		switch {
		case strings.Contains(string(out), "no seccomp"):
			t.Skip("this kernel has no seccomp")
		case err != nil || strings.Count(string(out), "said permission") != 7:
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	runtime.LockOSThread()
	rule := func(code uint16, jt, jf uint8, k uint32) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k}
	}
	filter := []unix.SockFilter{ // socket(AF_NETLINK, …) is EACCES, all else is allowed
		rule(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0),
		rule(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 3, unix.SYS_SOCKET),
		rule(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 16),
		rule(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, unix.AF_NETLINK),
		rule(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(unix.EACCES)),
		rule(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))); e != 0 {
		fmt.Println("no seccomp:", e)
		return
	}
	n := NewNetwork(NetworkConfig{})
	for _, e := range append(n.local(context.Background()), n.lan(context.Background())...) {
		reason, _ := e.Facts.Str("reason")
		if e.Status == report.CannotTell {
			fmt.Println(e.Check, "said", reason)
		} else {
			t.Errorf("%s is %s", e.Check, e.Status)
		}
	}
}
