package firmware

import (
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesComeWithTheirBills packs this machine's program with a packager that fails: packing fails with it and
// names the format. What was made until then, the tar and both bills of materials, names every module that is linked,
// and the tar has the licence of each.
func TestPackagesComeWithTheirBills(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and packs")
	}
	dist := t.TempDir()
	program := filepath.Join(dist, "posdx-amd64")
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.3", "-o", program, "./agent")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pack := exec.Command("sh", "firmware-build/package.sh", "1.2.3", "amd64")
	pack.Dir = ".."
	pack.Env = append(os.Environ(), "DIST="+dist, "NFPM=false", "SOURCE_DATE_EPOCH=1700000000")
	out, err := pack.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "package: deb of amd64 failed") {
		t.Errorf("the packager failed, and packing: %v\n%s", err, out)
	}

	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 5 {
		t.Fatalf("only %d modules are linked", len(info.Deps))
	}
	read := func(name string, into any) string {
		b, err := os.ReadFile(filepath.Join(dist, "posdx-1.2.3-amd64"+name))
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var cyclone struct{ BOMFormat, SpecVersion string }
	var spdx struct{ SPDXVersion string }
	bills := []string{read(".cdx.json", &cyclone), read(".spdx.json", &spdx)}
	if cyclone.BOMFormat != "CycloneDX" || cyclone.SpecVersion != "1.5" || spdx.SPDXVersion != "SPDX-2.3" {
		t.Errorf("the bills say they are %+v and %+v", cyclone, spdx)
	}
	licences := fromTar(t, filepath.Join(dist, "posdx-1.2.3-amd64.tar.gz"), "licences.txt.gz")
	for _, m := range info.Deps {
		for i, bill := range bills {
			if !strings.Contains(bill, "pkg:golang/"+m.Path+"@"+m.Version) {
				t.Errorf("bill %d has no %s %s", i, m.Path, m.Version)
			}
		}
		if !strings.Contains(licences, m.Path) {
			t.Errorf("no licence of %s", m.Path)
		}
	}
}

// fromTar unpacks a packed text out of a packed tar.
func fromTar(t *testing.T, tar, name string) string {
	t.Helper()
	c := exec.Command("tar", "-xzOf", tar, "--wildcards", "*/"+name)
	r, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSignedSums signs packages and checks them as SECURITY.md says: a changed package, a changed list and another key
// are refused.
func TestSignedSums(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl")
	}
	dist := t.TempDir()
	sh := func(script string) error {
		c := exec.Command("sh", "-ec", script)
		c.Dir = dist
		out, err := c.CombinedOutput()
		t.Logf("%s: %v %s", script, err, out)
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.tar.gz", "a.deb", "a.ipk", "a.apk", "a.cdx.json"} {
		must(os.WriteFile(filepath.Join(dist, name), []byte(name), 0o644))
	}
	must(sh("openssl genpkey -algorithm ed25519 -out key.pem; openssl genpkey -algorithm ed25519 -out other.pem; openssl pkey -in other.pem -pubout -out other.pub"))
	script, err := filepath.Abs("sign.sh")
	must(err)
	must(sh("sh " + script + " . key.pem"))
	const signature = "openssl pkeyutl -verify -rawin -pubin -inkey posdx.pub -in SHA256SUMS -sigfile SHA256SUMS.sig"
	const check = signature + " && sha256sum -c SHA256SUMS"
	must(sh(check))
	must(sh("[ $(wc -l <SHA256SUMS) = 5 ]"))
	for _, change := range []string{"echo x >>a.apk", "echo >>SHA256SUMS", "cp other.pub posdx.pub"} {
		must(sh("mkdir -p keep && cp * keep 2>/dev/null || :"))
		must(sh(change))
		if sh(check) == nil {
			t.Errorf("%q is not noticed", change)
		}
		must(sh("cp keep/* ."))
	}
	must(sh(check))
	if sh("mkdir empty && sh "+script+" empty key.pem") == nil {
		t.Error("nothing was signed, and that is no error")
	}
	if b, _ := os.ReadFile("../SECURITY.md"); !strings.Contains(string(b), signature) {
		t.Error("SECURITY.md says to check it otherwise")
	}
}
