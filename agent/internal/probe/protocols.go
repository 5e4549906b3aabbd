package probe

import (
	"strings"

	"posdx/agent/internal/say"
	"posdx/drivers/reader"
)

// CheckReader returns why a reader can never be asked, or never be listened to on the given ports, whatever is
// connected; nil if it can.
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
