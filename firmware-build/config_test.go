package firmware

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestExampleConfigHasEveryKey reads the keys out of the daemon's own source.
func TestExampleConfigHasEveryKey(t *testing.T) {
	source, err := os.ReadFile("../agent/internal/config/config.go")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("posdx.toml")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile("`toml:\"([a-z_]+)\"`").FindAllSubmatch(source, -1)
	if len(keys) < 30 {
		t.Fatalf("found %d keys in the source", len(keys))
	}
	for _, k := range keys {
		name := string(k[1])
		if !regexp.MustCompile(`(?m)^#?(` + name + ` = |\[\[?([a-z]+\.)?` + name + `\]\]?)`).Match(example) {
			t.Errorf("posdx.toml does not show %s", name)
		}
	}
	if strings.Contains(string(example), "\t") {
		t.Error("posdx.toml has tabs: they look ragged on a serial console")
	}
}
