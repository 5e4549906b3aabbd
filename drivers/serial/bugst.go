//go:build !tarm

package serial

import (
	"errors"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Library is the library underneath this build.
const Library = "go.bug.st/serial"

// openLine sets 8N1; Open sets what else is wanted.
func openLine(c Config) (line, error) {
	mode := &bugst.Mode{BaudRate: c.Baud, DataBits: 8}
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
	// We read only bytes that are known to be there; if another reader took them first the library must not wait for more.
	if err := p.SetReadTimeout(0); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}
