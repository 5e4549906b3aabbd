//go:build tarm

package serial

import (
	"fmt"
	"time"

	tarm "github.com/tarm/serial"
)

// Library is the library underneath this build.
const Library = "github.com/tarm/serial"

// tarm reads with VTIME, whose smallest step this is. We read only what is known to be there, so it passes only if
// somebody else on a shared port was faster.
const tarmTimeout = 100 * time.Millisecond

// openLine uses the three members that every release of the library has, the one in Debian included.
func openLine(c Config) (line, error) {
	bits, stop, err := c.framing()
	if err != nil {
		return nil, err
	}
	if bits != 8 || stop != 1 || c.Parity != NoParity {
		return nil, fmt.Errorf("open %s: %w with %s", c.Path, ErrNot8N1, Library)
	}
	p, err := tarm.OpenPort(&tarm.Config{Name: c.Path, Baud: c.Baud, ReadTimeout: tarmTimeout})
	if err != nil {
		return nil, err
	}
	if p == nil { // how releases before 2017 refuse a rate
		return nil, fmt.Errorf("open %s: baud rate %d: not in the table of %s", c.Path, c.Baud, Library)
	}
	return p, nil
}
