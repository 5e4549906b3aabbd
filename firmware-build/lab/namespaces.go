package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"posdx/firmware-build/lab/world"
)

// ownNamespaces is what the process inside gets: an empty network, which becomes the outside world, and mounts that
// nobody else sees. An ordinary user becomes root in a user namespace for it.
func ownNamespaces() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// privateMounts keeps mounts made here from the rest of the machine.
func privateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// within returns a command that runs a program in the terminal's network, with the terminal's /sys and resolver.
func within(n *world.Net, resolvConf, program string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", append([]string{"enter", resolvConf, program}, args...)...)
	c.ExtraFiles = []*os.File{n.File()} // becomes descriptor 3
	return c
}

const netDescriptor = 3

// enter goes into the network namespace of descriptor 3 and becomes another program there. Args are the resolv.conf,
// the program and its arguments.
func enter(args []string) error {
	if len(args) < 2 {
		return errors.New("want a resolv.conf and a program")
	}
	runtime.LockOSThread()
	if err := unix.Setns(netDescriptor, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	unix.Close(netDescriptor)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := privateMounts(); err != nil {
		return err
	}
	// The old /sys shows the interfaces of the namespace it was mounted in.
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := coverSensors(); err != nil {
		return err
	}
	if err := unix.Mount(args[0], "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount /etc/resolv.conf: %w", err)
	}
	return fmt.Errorf("run %s: %w", args[1], unix.Exec(args[1], args[1:], os.Environ()))
}
