package serial

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An Owner is who holds a port and how that was seen.
type Owner struct {
	PID     int    // 0 if not known
	Command string // its name as the kernel has it, "" if not known
	By      string // lock-file, flock, descriptor, terminal (it is that process's controlling terminal), exclusive
}

func (o Owner) String() string {
	if o.PID == 0 {
		return "another process (" + o.By + ")"
	}
	return fmt.Sprintf("process %d %q (%s)", o.PID, o.Command, o.By)
}

// Use is what a look at a port found.
type Use struct {
	Held  bool
	Owner Owner
	// Blind says that some process did not let us see its descriptors, so that a port that looks free need not be.
	// Root and CAP_SYS_PTRACE see all.
	Blind bool
}

// Look finds out who holds a port, without opening it: by its UUCP lock file, by its advisory locks, by the open
// descriptors of every process. Our own process does not count. A port that does not exist is ErrGone.
func Look(path string) (Use, error) {
	return look(roots{proc: "/proc", locks: []string{"/var/lock", "/run/lock", "/var/spool/lock"}}, path)
}

// roots are the folders of the system; tests have their own.
type roots struct {
	proc  string
	locks []string
}

func look(r roots, path string) (Use, error) {
	path = real(path)
	var node unix.Stat_t
	if err := unix.Stat(path, &node); err != nil {
		return Use{}, openError(path, err)
	}
	if o, ok := lockFile(r, path); ok {
		return Use{Held: true, Owner: o}, nil
	}
	if o, ok := flockHolder(r, node); ok {
		return Use{Held: true, Owner: o}, nil
	}
	return holders(r, path, node)
}

// real follows symbolic links, as by-id names are, as far as they lead.
func real(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return path
}

// lockFile reads LCK..ttyX, whose holder must be alive: ten digits, or four bytes of a PID as old UUCP wrote it
// (Filesystem Hierarchy Standard 3.0, 5.9).
func lockFile(r roots, path string) (Owner, bool) {
	name := strings.TrimPrefix(path, "/dev/")
	for _, dir := range r.locks {
		for _, n := range []string{strings.ReplaceAll(name, "/", "_"), filepath.Base(name)} {
			b, err := os.ReadFile(filepath.Join(dir, "LCK.."+n))
			if err != nil {
				continue
			}
			pid := lockPID(b)
			if pid > 0 && pid != os.Getpid() && alive(r, pid) {
				return Owner{PID: pid, Command: command(r, pid), By: "lock-file"}, true
			}
		}
	}
	return Owner{}, false
}

func lockPID(b []byte) int {
	if w := bytes.Fields(b); len(w) > 0 {
		if pid, err := strconv.Atoi(string(w[0])); err == nil {
			return pid
		}
	}
	if len(b) == 4 {
		return int(int32(binary.NativeEndian.Uint32(b)))
	}
	return 0
}

func alive(r roots, pid int) bool {
	_, err := os.Stat(filepath.Join(r.proc, strconv.Itoa(pid)))
	return err == nil
}

func command(r roots, pid int) string {
	b, _ := os.ReadFile(filepath.Join(r.proc, strconv.Itoa(pid), "comm"))
	return strings.TrimSpace(string(b))
}

// flockHolder looks through /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 00:05:1039 0 EOF".
func flockHolder(r roots, node unix.Stat_t) (Owner, bool) {
	b, err := os.ReadFile(filepath.Join(r.proc, "locks"))
	if err != nil {
		return Owner{}, false
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(node.Dev)), unix.Minor(uint64(node.Dev)), node.Ino)
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		if len(w) < 6 || w[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(w[4]); err == nil && pid != os.Getpid() {
			return Owner{PID: max(pid, 0), Command: command(r, pid), By: "flock"}, true
		}
	}
	return Owner{}, false
}

// holders looks at every descriptor of every process for one on the same device, whatever name it was opened by.
func holders(r roots, path string, node unix.Stat_t) (Use, error) {
	procs, err := os.ReadDir(r.proc)
	if err != nil {
		return Use{}, fmt.Errorf("owner of %s: %w", path, err)
	}
	// Where /proc is mounted with hidepid, others' processes are not even listed. The first one is never ours.
	use := Use{Blind: !alive(r, 1)}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join(r.proc, p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			use.Blind = true
			if controls(r, pid, node) { // all that a hidden process shows of its descriptors
				return Use{Held: true, Owner: Owner{PID: pid, Command: command(r, pid), By: "terminal"}}, nil
			}
		}
		for _, fd := range fds {
			link := filepath.Join(dir, fd.Name())
			to, err := os.Readlink(link)
			if err != nil || !strings.HasPrefix(to, "/") {
				continue
			}
			// Only names that may be devices are asked further: a stat of a dead network file system hangs.
			if !strings.HasPrefix(to, "/dev/") && filepath.Base(to) != filepath.Base(path) {
				continue
			}
			var st unix.Stat_t
			if unix.Stat(link, &st) != nil {
				continue
			}
			if same(st, node) {
				return Use{Held: true, Owner: Owner{PID: pid, Command: command(r, pid), By: "descriptor"}}, nil
			}
			if another(st) && controls(r, pid, node) {
				return Use{Held: true, Owner: Owner{PID: pid, Command: command(r, pid), By: "terminal"}}, nil
			}
		}
	}
	return use, nil
}

// same tells whether two descriptors are of one device. The numbers of a pty's tty are its own within one mount of
// devpts
// only: a container has another mount, with the same numbers.
func same(a, b unix.Stat_t) bool {
	if b.Mode&unix.S_IFMT == unix.S_IFCHR && !isPTY(b) {
		return a.Mode&unix.S_IFMT == unix.S_IFCHR && a.Rdev == b.Rdev
	}
	return a.Dev == b.Dev && a.Ino == b.Ino
}

// isPTY tells whether a device is a tty of devpts (linux/major.h, UNIX98_PTY_SLAVE_MAJOR and the seven after it).
func isPTY(st unix.Stat_t) bool {
	major := unix.Major(uint64(st.Rdev))
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && major >= 136 && major <= 143
}

// another tells whether a device is another name of some tty: /dev/tty, or /dev/console, which may be a serial port.
func another(st unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR &&
		(uint64(st.Rdev) == unix.Mkdev(5, 0) || uint64(st.Rdev) == unix.Mkdev(5, 1))
}

// controls tells whether a device is a process's controlling terminal, as /proc/PID/stat shows it to every user
// (proc_pid_stat(5), field 7). For a pty's tty the number there does not tell which mount of devpts it is of.
func controls(r roots, pid int, node unix.Stat_t) bool {
	if node.Mode&unix.S_IFMT != unix.S_IFCHR || isPTY(node) {
		return false
	}
	b, err := os.ReadFile(filepath.Join(r.proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte(" ")) // a name may hold spaces and brackets
	w := bytes.Fields(rest)                                                 // state ppid pgrp session tty_nr
	if len(w) < 5 {
		return false
	}
	n, err := strconv.ParseInt(string(w[4]), 10, 32)
	major, minor := uint32(n)>>8&0xfff, uint32(n)&0xff|uint32(n)>>12&0xfff00
	return err == nil && unix.Mkdev(major, minor) == uint64(node.Rdev)
}
