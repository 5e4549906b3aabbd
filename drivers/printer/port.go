package printer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"posdx/drivers/serial"
)

// lpGetStatus is LPGETSTATUS of linux/lp.h: it reads the port's status lines and sends nothing.
const lpGetStatus = 0x060B

// A Port is a printer's character device that is no tty, as /dev/usb/lp0. The kernel lets one process have it.
type Port struct{ *os.File }

// OpenPort opens a printer's port that nobody else holds. MustSee and errors are as those of serial.Open.
func OpenPort(path string, mustSee bool) (*Port, error) {
	use, err := serial.Look(path)
	if err != nil {
		return nil, err
	}
	if use.Held {
		return nil, &serial.BusyError{Path: path, Owner: use.Owner}
	}
	if use.Blind && mustSee {
		return nil, fmt.Errorf("open %s: cannot see who holds it: %w", path, fs.ErrPermission)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return &Port{os.NewFile(uintptr(fd), path)}, nil
	case unix.EBUSY:
		return nil, &serial.BusyError{Path: path, Owner: serial.Owner{By: "exclusive"}}
	case unix.ENOENT, unix.ENXIO, unix.ENODEV, unix.EIO:
		return nil, fmt.Errorf("open %s: %w", path, serial.ErrGone)
	}
	return nil, fmt.Errorf("open %s: %w", path, err)
}

// Read reads from the device file; for a printer that was unplugged the error is serial.ErrGone.
func (p *Port) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	return n, gone(err)
}

// Write writes to the device file; the error is as that of Read.
func (p *Port) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	return n, gone(err)
}

func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EIO) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", serial.ErrGone, err)
	}
	return err
}

// Status is the port's own status byte, as PortStatus reads it; errors.ErrUnsupported where the device has none.
func (p *Port) Status() (byte, error) {
	raw, err := p.SyscallConn()
	if err != nil {
		return 0, err
	}
	var status int
	var failed error
	if err := raw.Control(func(fd uintptr) { status, failed = unix.IoctlGetInt(int(fd), lpGetStatus) }); err != nil {
		return 0, err
	}
	switch failed {
	case nil:
		return byte(status), nil
	case unix.ENOTTY, unix.EINVAL:
		return 0, fmt.Errorf("status of %s: %w", p.Name(), errors.ErrUnsupported)
	}
	return 0, fmt.Errorf("status of %s: %w", p.Name(), gone(failed))
}
