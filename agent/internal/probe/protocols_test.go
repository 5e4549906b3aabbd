package probe

import (
	"errors"
	"testing"
)

// What the configuration lets through is asked, and what is asked is let through.
func TestReaderProtocolsAreThoseThatAreAsked(t *testing.T) {
	for _, p := range append([]string{"crt310", "crt591", "crt591:3", "msr", "ccd", "CCID", "crt591:x", "crt3100"}, readerProtocols...) {
		c := ReaderConfig{Name: "r", Port: "/dev/ttyNONE", Protocol: p}
		_, err := askReader(t.Context(), c)
		if asked, known := !errors.Is(err, errors.ErrUnsupported), CheckReader(c, nil) == nil; asked != known {
			t.Errorf("protocol %q: asked %v (%v), let through %v", p, asked, err, known)
		}
	}
}
