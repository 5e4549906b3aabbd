package console

import (
	"strings"
	"testing"
	"time"
)

// Where a person reads a time it is the terminal's own, and its zone is on the screen.
func TestTimesThatPeopleReadHaveTheirZone(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	time.Local = time.FixedZone("CST", 8*3600)
	for _, lang := range []string{"zh", "en"} {
		m := newModel(lang)
		withPast(m)
		for _, keys := range []string{"1", "d", "7", "7\r", "2\r", "8", "g"} {
			typeText(m, keys)
			page := strings.Join(m.view(), "\n")
			if !strings.HasPrefix(page, "posdx  shop/t1  20:00 CST") || strings.Contains(page, "12:00") || strings.Contains(page, "UTC") {
				t.Errorf("%s, %q:\n%s", lang, keys, page)
			}
		}
	}
}
