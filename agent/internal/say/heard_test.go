package say

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"posdx/firmware-build/housetest"
)

// speak are the rooms whose errors can end a command or stand in its answer. What drivers of other devices, probes and
// the engine meet goes to the log, and into evidence as a word of the vocabulary.
var speak = []string{
	"agent", "agent/enroll", "agent/report", "agent/internal/atomicfile", "agent/internal/bundle", "agent/internal/config", "agent/internal/console",
	"agent/internal/keeper", "agent/internal/library", "agent/internal/outbox", "agent/internal/relay", "agent/internal/source", "agent/internal/source/hook",
	"agent/internal/source/capture", "agent/internal/source/paylog", "agent/internal/source/registerlink", "agent/internal/sshsig", "agent/internal/triage",
	"agent/internal/uplink", "agent/internal/zmodem", "codes", "drivers/serial", "drivers/printer",
}

// TestErrorsMadeInEnglishAreHeard walks the rooms: what any of them makes an error of is said in Chinese, with what is
// in it; and nothing is left over in the list.
func TestErrorsMadeInEnglishAreHeard(t *testing.T) {
	var folders []string
	for _, room := range speak {
		folders = append(folders, "../../../"+room)
	}
	made := housetest.TextsMade(t, housetest.ErrorMakers, folders...)
	if len(made) < 150 {
		t.Fatalf("the walk finds %d errors only", len(made))
	}
	inner := errors.New("silent")
	for text, path := range made {
		if !housetest.HasWords(text) {
			continue
		}
		said := Error(housetest.SampleOf(text, inner), "zh")
		if !housetest.HasHan(said) || strings.Contains(said, "系统报告") || housetest.English(said) != "" {
			t.Errorf("%s: %q is said as %q: it needs a row in texts.tsv", path, text, said)
		}
		if strings.Contains(text, "%w") && !strings.Contains(said, "没有回音") {
			t.Errorf("%s: %q loses what it is around in %q", path, text, said)
		}
	}
	verb := regexp.MustCompile(`%#?(?:\.\d+)?[a-z]`)
	same := func(text string) string { return verb.ReplaceAllString(text, "%") }
	var written []string
	for _, text := range housetest.Literals(t, folders...) {
		if text = strings.TrimLeft(same(text), ";: "); len(text) > 5 || text == "key" {
			written = append(written, text)
		}
	}
	for _, h := range told().forms[:told().heard] {
		row := same(h.EN)
		if !slices.ContainsFunc(written, func(text string) bool { return strings.Contains(row, text) }) {
			t.Errorf("nothing says %q", h.EN)
		}
	}
}
