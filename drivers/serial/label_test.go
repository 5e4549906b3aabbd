package serial

import (
	"regexp"
	"strings"
	"testing"
)

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"GemTwin-V2.00-GC":       "GemTwin-V2.00-GC",
		"  EC25EFAR06A06M4G\r\n": "EC25EFAR06A06M4G",
		"a\x00\x1b[31mb":         "a 31mb",
		"860461024123456":        "", // an IMEI
		"4111 1111 1111 1111":    "",
		"fw 4111-1111-1111-1111": "",
		"V1.2.3 20211231":        "V1.2.3 20211231",
		"\xff\xfe":               "",
	} {
		if got := Label([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Label([]byte(strings.Repeat("x", 1000))); len(got) != labelMax {
		t.Errorf("%d characters", len(got))
	}
}

func FuzzLabel(f *testing.F) {
	f.Add([]byte("GemTwin-V2.00-GC"))
	f.Add([]byte("4111 1111-1111 1111"))
	card := regexp.MustCompile(`\d([ -]*\d){12}`)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := Label(b); len(s) > labelMax+1 || card.MatchString(s) {
			t.Errorf("%q gave %q", b, s)
		}
	})
}
