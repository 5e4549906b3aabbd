package probe

import (
	"strings"

	"posdx/agent/internal/say"
	"posdx/drivers/reader"
)

// CheckReader says what keeps a reader from ever being asked, or being overheard on the given ports, whatever is
// connected.
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
		return say.New("no-reader-protocol", c.Protocol, strings.Join(reader.Protocols(), " "))
	}
	return nil
}
