//go:build tarm

package serial

import (
	"fmt"
	"time"

	tarm "github.com/tarm/serial"
)

// Library is the library underneath this build.
const Library = "github.com/tarm/serial"

// tarm reads with VTIME, whose smallest step this is. We read only bytes that are known to be there, so this time
// passes only if another reader of a shared port took them first.
const tarmTimeout = 100 * time.Millisecond

// openLine uses the three members that every release of the library has, the one in Debian included. It sets 8N1; Open
// sets what else is wanted.
func openLine(c Config) (line, error) {
	p, err := tarm.OpenPort(&tarm.Config{Name: c.Path, Baud: c.Baud, ReadTimeout: tarmTimeout})
	if err != nil {
		return nil, err
	}
	if p == nil { // how releases before 2017 refuse a rate
		return nil, fmt.Errorf("open %s: baud rate %d: not in the table of %s", c.Path, c.Baud, Library)
	}
	return p, nil
}
