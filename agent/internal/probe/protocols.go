package probe

import (
	"fmt"
	"slices"
)

// readerProtocols are those by which a card reader is asked, beside those of motor readers, which have numbers. What
// askReader knows and this list does not, or the other way round, a test finds.
var readerProtocols = []string{"", "ccid", "gempc-twin", "gemcore", "sec1210", "gemcore-simpro2", "neo", "itp"}

// CheckReader says what keeps a reader from ever being asked, or being overheard on the given ports, whatever is connected.
func CheckReader(c ReaderConfig, rx []string) error {
	if len(rx) > 0 {
		if _, err := NewReaderTap(c, rx); err != nil {
			return err
		}
		if c.Port == "" {
			return nil
		}
	}
	if _, _, crt := motorReader(c.Protocol); !crt && !slices.Contains(readerProtocols, c.Protocol) {
		return fmt.Errorf("no reader is asked by protocol %q; there are ccid neo itp crt310 crt591 gempc-twin gemcore gemcore-simpro2 sec1210, and msr with rx", c.Protocol)
	}
	return nil
}
