package probe

import (
	"fmt"
	"strings"

	"posdx/drivers/reader"
)

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
	if _, _, ok := reader.FindProtocol(c.Protocol); !ok {
		return fmt.Errorf("no reader is asked by protocol %q; there are %s, and msr with rx", c.Protocol, strings.Join(reader.Protocols(), " "))
	}
	return nil
}
