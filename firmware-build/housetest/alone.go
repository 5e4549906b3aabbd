package housetest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aloneVar is set for tests that run in namespaces of their own already.
const aloneVar = "POSDX_TEST_ALONE"

// Alone tells whether these tests run in namespaces of their own. Only then may they mount.
func Alone() bool { return os.Getenv(aloneVar) != "" }

// NotAlone returns the environment for a program of tests that is to make its own namespaces again.
func NotAlone() []string {
	os.Unsetenv(aloneVar)
	defer os.Setenv(aloneVar, "1")
	return os.Environ()
}

// OwnMounts begins the program of these tests anew in a mount namespace of its own: what a test mounts is gone when
// the program ends, however it ends, and nobody else on the machine ever sees it. For TestMain. Where that is not
// allowed it does nothing, and the tests are not alone.
func OwnMounts() { again("--mount") }

// OwnProcesses is OwnMounts and a process namespace besides, for tests that start daemons in roots of their own: when
// the program ends, however it ends, they end with it.
func OwnProcesses() {
	// The shell is the first process there: it waits for the tests and for whatever they leave behind.
	again("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh")
}

func again(how ...string) {
	if Alone() || os.Getuid() != 0 {
		return
	}
	unshare, err := exec.LookPath("unshare") // of util-linux; it makes the mounts private as well
	if err != nil || exec.Command(unshare, append(how, "true")...).Run() != nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	args := append(append([]string{"unshare"}, how...), self)
	// It returns only if it fails, and then nothing has changed.
	_ = syscall.Exec(unshare, append(args, os.Args[1:]...), append(os.Environ(), aloneVar+"=1"))
}

// NoFlush lets sync and its kin do nothing and succeed, in the program that OwnProcesses begins and in all that it
// starts: tests whose power cuts are kills lose nothing by it, and flush the whole machine thousands of times
// otherwise.
func NoFlush() {
	if Alone() || os.Getuid() != 0 {
		return
	}
	flushing := []uint32{unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_FSYNC, unix.SYS_FDATASYNC}
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for i, call := range flushing {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt: uint8(len(flushing) - i), K: call})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // it is this thread that becomes the other program
	// Where the kernel has no filters it only takes longer.
	_ = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
