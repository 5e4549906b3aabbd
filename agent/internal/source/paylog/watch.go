package paylog

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A watcher tells that something happened to the logs, not what; the reader then looks at the files. Its methods may be
// called on nil, for systems without inotify.
type watcher struct {
	f    *os.File // in the netpoller: waiting costs nothing
	fd   int
	wake chan struct{}
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return &watcher{f: os.NewFile(uintptr(fd), "inotify"), fd: fd, wake: make(chan struct{}, 1)}, nil
}

// run passes changes on until the watcher is closed. Events are not read one by one: that any came is all we need.
func (w *watcher) run() {
	b := make([]byte, 4096)
	for {
		if _, err := w.f.Read(b); err != nil {
			return
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) close() { w.f.Close() }

// changed returns the channel that tells of changes, none while they could not be acted upon.
func (w *watcher) changed(not bool) <-chan struct{} {
	if w == nil || not {
		return nil
	}
	return w.wake
}

// dir watches a folder for new names. Watching it again is free, and finds it again if it was replaced.
func (w *watcher) dir(path string) error {
	if w == nil {
		return nil
	}
	_, err := unix.InotifyAddWatch(w.fd, path, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	return err
}

// replace stops watching old and watches an open file, if there is one, for writes. It watches the descriptor, since
// the name may belong to another file by now.
func (w *watcher) replace(old int, f *os.File) int {
	if w == nil {
		return -1
	}
	if old >= 0 {
		unix.InotifyRmWatch(w.fd, uint32(old))
	}
	if f == nil {
		return -1
	}
	wd, err := unix.InotifyAddWatch(w.fd, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.IN_MODIFY)
	if err != nil {
		return -1
	}
	return wd
}
