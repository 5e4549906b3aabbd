package store

import (
	"bytes"
	"strings"
	"testing"

	"posdx/agent/report"
	terminals "posdx/fleet/sample"
)

// Whatever form a document came in, what is kept gives back its envelope.
func TestWhatIsKeptComesBack(t *testing.T) {
	a := terminals.New("shop", "t1")
	_, plain := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))
	var p report.Packer
	for name, payload := range map[string][]byte{
		"plain": plain, "packed by the terminal": p.Pack(plain), "tiny": []byte("{}"),
		"large": []byte(`{"a":"` + strings.Repeat("x0y", 60_000) + `"}`),
	} {
		came := bytes.Clone(payload)
		kept := Pack(payload)
		if len(kept) > len(payload) {
			t.Errorf("%s: %d bytes kept in %d", name, len(payload), len(kept))
		}
		want := plain
		if payload[0] == '{' {
			want = payload
		}
		if got, err := unpack(kept); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v %.60q", name, err, got)
		}
		if !bytes.Equal(payload, came) {
			t.Errorf("%s: the payload was changed", name)
		}
	}
	if kept := Pack(plain); len(kept) > len(plain)/2 {
		t.Errorf("%d bytes kept in %d", len(plain), len(kept))
	}
}

func FuzzUnpackKept(f *testing.F) {
	f.Add(Pack(bytes.Repeat([]byte(`{"check":"net.tcp"}`), 9)))
	f.Add([]byte{packedS2})
	f.Add([]byte{packedS2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := unpack(b); err == nil && len(got) > max(maxUnpacked, len(b)) {
			t.Errorf("%d bytes of %d", len(got), len(b))
		}
	})
}
