package housetest

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Tap makes a network interface, in the namespace of the calling thread, whose frames are read and written here.
// It needs root there.
func Tap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// In runs f inside the network namespace that ip netns knows by a name. It needs root, and does not leave the thread
// behind to anybody else.
func In(namespace string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Carry passes the frames of one tap to another, each as late as delay says, until the first is closed.
func Carry(from, to *os.File, delay func() time.Duration) {
	for {
		frame := make([]byte, 2048)
		n, err := from.Read(frame)
		if err != nil {
			return
		}
		time.AfterFunc(delay(), func() { _, _ = to.Write(frame[:n]) })
	}
}
