package codes

import (
	"strings"
	"testing"
)

// TestFalseIsShown: that no source says a thing makes it unprovable; what is called false is contradicted by something.
func TestFalseIsShown(t *testing.T) {
	for _, c := range Builtin().Claims {
		if c.Verdict != "false" {
			continue
		}
		for _, bad := range []string{"No source", "No evidence", "没有来源", "没有依据"} {
			if strings.HasPrefix(c.Finding.EN, bad) || strings.HasPrefix(c.Finding.ZH, bad) {
				t.Errorf("%q is called false because %q", c.Claim.EN, c.Finding.EN)
			}
		}
	}
}
