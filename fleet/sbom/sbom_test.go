package sbom

import (
	"os"
	"path/filepath"
	"testing"
)

const doc = `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"name":"posdx","version":"1.2.3"}},
 "components":[{"bom-ref":"a","name":"github.com/x/y","version":"v1.0.0","purl":"pkg:golang/github.com/x/y@v1.0.0"}],
 "vulnerabilities":[{"id":"CVE-2026-0001","affects":[{"ref":"a"}]},{"id":"CVE-2026-0002","analysis":{"state":"not_affected"},"affects":[{"ref":"a"}]}]}`

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	for what, affects := range map[string]bool{"cve-2026-0001": true, " CVE-2026-0002 ": false} {
		hits := Find(list, what)
		if len(hits) != 1 || hits[0].Weakness == nil || hits[0].Weakness.Affects() != affects ||
			hits[0].Bill.Version != "1.2.3" || hits[0].Weakness.Parts[0] != "github.com/x/y v1.0.0" {
			t.Errorf("%s: %+v", what, hits)
		}
	}
	for what, n := range map[string]int{"github.com/x/y": 1, "github.com/x/y@v1.0.0": 1, "github.com/x/y@v2": 0, "pkg:golang/github.com/x/y@v1.0.0": 1, "": 0, "CVE-1": 0} {
		if hits := Find(list, what); len(hits) != n {
			t.Errorf("%q: %d hits", what, len(hits))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(doc))
	f.Add([]byte(`{"bomFormat":"SPDX"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bill, err := Read("x", b); err == nil {
			Find([]*Bill{bill}, "CVE-2026-0001")
		}
	})
}
