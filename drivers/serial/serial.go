// Package serial is a serial port on Linux: one type over two libraries, with deadlines, with a different error for
// each of four troubles, and with a look at who holds the port before it is opened.
//
// The default build uses go.bug.st/serial, the build tag tarm uses github.com/tarm/serial. Both do what they do best,
// setting the line up and moving bytes. Waiting is done here, on a descriptor of our own: go.bug.st reports an
// unplugged device exactly as our own Close and closes a number that a Read may still use, its Write can hang for ever;
// tarm's Close hangs while a Read waits and its time-out looks like an end of file.
package serial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The four troubles of a port, each with its own remedy. Test with errors.Is.
var (
	// ErrIdle says that nothing came before the deadline. It is an os.ErrDeadlineExceeded.
	ErrIdle = fmt.Errorf("serial line idle: %w", os.ErrDeadlineExceeded)
	// ErrGone says that the device is not there, or has been unplugged.
	ErrGone = errors.New("serial device gone")
	// ErrBusy is the error of a port that another process holds; a BusyError names it.
	ErrBusy = errors.New("serial port in use")
	// ErrGarbled says that bytes came and were not what a sound line carries: the UART counted framing or parity
	// errors, or the protocol above found its check sum wrong.
	ErrGarbled = errors.New("serial line garbled")
)

// A BusyError is ErrBusy with the holder's name.
type BusyError struct {
	Path  string
	Owner Owner
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("open %s: in use by %v", e.Path, e.Owner)
}

// Is makes a BusyError an ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// A Link is what drivers need of a port. A *Port, an *os.File of a tty and a net.Conn are one.
type Link interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Parity of a character.
type Parity byte

// The parities both ends may agree on.
const (
	NoParity Parity = iota
	OddParity
	EvenParity
)

// A Config says how to open a port. Zero members mean 8N1 and lines as the kernel leaves them: raised.
type Config struct {
	Path     string // device node, or usb:… as Resolve takes it
	Baud     int
	DataBits int // 5 to 8, 0 for 8
	Parity   Parity
	StopBits int  // 1 or 2, 0 for 1
	RTSLow   bool // drop RTS after opening, as the GemPC readers want; a tty without modem lines ignores it
	HoldDTR  bool // leave DTR up after Close: some readers forget their settings, and modems hang up, when it falls
	// MarkErrors has damaged characters and breaks marked among the bytes (PARMRK), counts them and takes the marks out:
	// LineErrors then knows them also where the driver counts nothing, as those of USB adapters do.
	MarkErrors bool

	// Shared leaves the port open to others: no owner is looked for, and no lock taken. Every byte we read is then lost
	// to them, so it is right for a dedicated tap line only. Otherwise the tty is exclusive (TIOCEXCL) and locked (flock).
	Shared bool
	// MustSee refuses, with fs.ErrPermission, a port that looks free while some process did not let us see whether it has
	// it open.
	MustSee bool
}

func (c Config) framing() (bits, stop int, err error) {
	bits, stop = c.DataBits, c.StopBits
	if bits == 0 {
		bits = 8
	}
	if stop == 0 {
		stop = 1
	}
	if bits < 5 || bits > 8 || stop < 1 || stop > 2 || c.Parity > EvenParity || c.Baud <= 0 {
		return 0, 0, fmt.Errorf("open %s: no such line setting: %d baud, %d data bits, parity %d, %d stop bits", c.Path, c.Baud, bits, c.Parity, stop)
	}
	return bits, stop, nil
}

// dress sets what the libraries do not, or not both of them, the same way for both: framing, and marks.
func (c Config) dress(fd int) error {
	bits, stop, err := c.framing()
	if err != nil {
		return err
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err == unix.ENOSYS { // an emulator; the other ioctl cannot write a rate of one's own
		t, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	}
	if err != nil {
		return err
	}
	was := *t
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB|unix.PARODD|unix.CSTOPB) | [...]uint32{unix.CS5, unix.CS6, unix.CS7,
		unix.CS8}[bits-5]
	if stop == 2 {
		t.Cflag |= unix.CSTOPB
	}
	switch c.Parity {
	case OddParity:
		t.Cflag |= unix.PARENB | unix.PARODD
	case EvenParity:
		t.Cflag |= unix.PARENB
	}
	if c.MarkErrors {
		t.Iflag = t.Iflag&^(unix.IGNPAR|unix.IGNBRK|unix.BRKINT|unix.ISTRIP) | unix.INPCK | unix.PARMRK
	}
	if *t == was {
		return nil
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != unix.ENOSYS {
		return err
	}
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// line is what a library gives: bytes in and out of a port that it has set up.
type line interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}
