package relay

import (
	"strconv"

	"golang.org/x/sys/unix"

	"posdx/agent/internal/say"
	"posdx/drivers/serial"
)

// A Line is the setting of a port. The zero value of all but Baud is 8N1 without flow control.
type Line struct {
	Baud   int
	Bits   int // 5 to 8; 0 for 8
	Parity serial.Parity
	Stop   int // 1 or 2; 0 for 1

	Hardware bool // RTS and CTS stop the flow

	flags line // what else an application has set
}

// line is that part of an application's settings which a pty keeps and a device needs: the baud rate as the kernel
// writes it, flow control, and the handling of breaks and damaged characters. A pty drops character size and parity
// (pty_set_termios).
type line struct {
	cflag, iflag  uint32
	start, stop   uint8
	ispeed, speed uint32
}

const (
	cflags = unix.CBAUD | unix.CIBAUD | unix.CSTOPB | unix.CRTSCTS
	iflags = unix.IXON | unix.IXOFF | unix.IXANY | unix.IGNBRK | unix.INPCK | unix.IGNPAR
)

// ParseLine reads "9600 7E1" as a baud rate and a framing.
func ParseLine(baud int, framing string) (Line, error) {
	l := Line{Baud: baud}
	if len(framing) == 3 {
		l.Bits, l.Stop = int(framing[0]-'0'), int(framing[2]-'0')
		switch framing[1] {
		case 'N', 'n':
			return l, l.check()
		case 'E', 'e':
			l.Parity = serial.EvenParity
			return l, l.check()
		case 'O', 'o':
			l.Parity = serial.OddParity
			return l, l.check()
		}
	}
	return l, say.New("line-form", framing)
}

func (l Line) check() error {
	if l.Baud <= 0 || l.bits() < 5 || l.bits() > 8 || l.Stop < 0 || l.Stop > 2 || l.Parity > serial.EvenParity {
		return say.New("line-setting", l)
	}
	return nil
}

func (l Line) bits() int {
	if l.Bits == 0 {
		return 8
	}
	return l.Bits
}

// String returns the setting as people write it: 9600 7E1.
func (l Line) String() string {
	stop := max(l.Stop, 1)
	baud := l.Baud
	if l.flags.speed > 0 {
		baud = int(l.flags.speed)
		stop = 1
		if l.flags.cflag&unix.CSTOPB != 0 {
			stop = 2
		}
	}
	return strconv.Itoa(baud) + " " + strconv.Itoa(l.bits()) + string("NOE"[l.Parity%3]) + strconv.Itoa(stop)
}

// termios is the setting as a device takes it: raw, with modem lines ignored. marks asks for breaks and damaged
// characters to be marked among the bytes.
func (l Line) termios(marks bool) unix.Termios {
	t := unix.Termios{Cflag: unix.CREAD | unix.CLOCAL | [...]uint32{unix.CS5, unix.CS6, unix.CS7, unix.CS8}[l.bits()-5]}
	f := l.flags
	if f == (line{}) {
		f = line{cflag: speedFlags(uint32(l.Baud)), ispeed: uint32(l.Baud), speed: uint32(l.Baud), start: 0x11, stop: 0x13}
		if l.Stop == 2 {
			f.cflag |= unix.CSTOPB
		}
		if l.Hardware {
			f.cflag |= unix.CRTSCTS
		}
	}
	t.Cflag |= f.cflag
	t.Iflag = f.iflag
	t.Ispeed, t.Ospeed = f.ispeed, f.speed
	switch l.Parity {
	case serial.OddParity:
		t.Cflag |= unix.PARENB | unix.PARODD
	case serial.EvenParity:
		t.Cflag |= unix.PARENB
	}
	if marks {
		t.Iflag |= unix.PARMRK | unix.INPCK
	}
	t.Cc[unix.VMIN] = 1 // with 0 a read finds nothing instead of EAGAIN, as at a port that was hung up
	t.Cc[unix.VSTART], t.Cc[unix.VSTOP] = f.start, f.stop
	return t
}

// follow is l as an application that set t wants it.
func (l Line) follow(t *unix.Termios) Line {
	l.flags = line{
		cflag: t.Cflag & cflags, iflag: t.Iflag & iflags, start: t.Cc[unix.VSTART], stop: t.Cc[unix.VSTOP], ispeed: t.Ispeed,
		speed: t.Ospeed,
	}
	return l
}

// speedFlags writes a rate as programs that know the standard ones only can read it.
func speedFlags(baud uint32) uint32 {
	switch baud {
	case 1200:
		return unix.B1200
	case 2400:
		return unix.B2400
	case 4800:
		return unix.B4800
	case 9600:
		return unix.B9600
	case 19200:
		return unix.B19200
	case 38400:
		return unix.B38400
	case 57600:
		return unix.B57600
	case 115200:
		return unix.B115200
	case 230400:
		return unix.B230400
	case 460800:
		return unix.B460800
	case 921600:
		return unix.B921600
	}
	return unix.BOTHER | unix.BOTHER<<unix.IBSHIFT
}
