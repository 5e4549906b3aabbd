package probe

import (
	"errors"
	"os"
	"strings"
	"testing"

	"posdx/drivers/reader"
)

// What the configuration lets through is asked, and what is asked is let through.
func TestReaderProtocolsAreThoseThatAreAsked(t *testing.T) {
	for _, p := range append([]string{"", "crt591:3", "msr", "ccd", "CCID", "crt591:x", "crt3100"}, reader.Protocols()...) {
		c := ReaderConfig{Name: "r", Port: "/dev/ttyNONE", Protocol: p}
		_, err := askReader(t.Context(), c)
		if asked, known := !errors.Is(err, errors.ErrUnsupported), CheckReader(c, nil) == nil; asked != known {
			t.Errorf("protocol %q: asked %v (%v), let through %v", p, asked, err, known)
		}
	}
}

// The configuration that is shipped names every protocol.
func TestShippedConfigurationNamesTheProtocols(t *testing.T) {
	b, err := os.ReadFile("../../../firmware-build/posdx.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range reader.Protocols() {
		if !strings.Contains(string(b), p) {
			t.Errorf("posdx.toml does not name %s", p)
		}
	}
}
