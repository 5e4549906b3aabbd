//go:build !tarm

package serial

import (
	"errors"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Library is the library underneath this build.
const Library = "go.bug.st/serial"

func openLine(c Config) (line, error) {
	bits, stop, err := c.framing()
	if err != nil {
		return nil, err
	}
	mode := &bugst.Mode{BaudRate: c.Baud, DataBits: bits, StopBits: bugst.OneStopBit}
	if stop == 2 {
		mode.StopBits = bugst.TwoStopBits
	}
	switch c.Parity {
	case OddParity:
		mode.Parity = bugst.OddParity
	case EvenParity:
		mode.Parity = bugst.EvenParity
	}
	p, err := bugst.Open(c.Path, mode)
	if e := (*bugst.PortError)(nil); errors.As(err, &e) {
		switch e.Code() {
		case bugst.PortBusy:
			return nil, unix.EBUSY
		case bugst.PermissionDenied:
			return nil, unix.EACCES
		}
	}
	if err != nil {
		return nil, err
	}
	// We read only what is known to be there; if somebody else was faster the library must not wait for more.
	if err := p.SetReadTimeout(0); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}
