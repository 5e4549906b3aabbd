package firmware

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The processors of terminals, oldest first, each with what it must be able to run.
var processors = []struct{ goarm, cpu string }{{"5", "arm926"}, {"6", "arm1176"}, {"7", "cortex-a7"}}

// TestARM runs the real ARM builds on emulated processors: a build for a newer one than it says ends with an illegal
// instruction there.
func TestARM(t *testing.T) {
	qemu, err := exec.LookPath("qemu-arm-static")
	if err != nil {
		t.Skip("needs Debian's qemu-user-static")
	}
	if testing.Short() {
		t.Skip("builds posdx three times")
	}
	dir := t.TempDir()
	for _, p := range processors {
		t.Run("GOARM="+p.goarm, func(t *testing.T) {
			program := filepath.Join(dir, "posdx"+p.goarm)
			build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w -X main.version=test", "-o", program, "../agent")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM="+p.goarm)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := func(want int, args ...string) string {
				t.Helper()
				c := exec.Command(qemu, append([]string{"-cpu", p.cpu, program}, args...)...)
				var talk strings.Builder
				c.Stderr = &talk
				out, err := c.Output()
				if c.ProcessState == nil || c.ProcessState.ExitCode() != want {
					t.Fatalf("posdx %s: %v, want exit code %d\n%s%s", strings.Join(args, " "), err, want, out, talk.String())
				}
				return string(out)
			}
			if out := run(0, "version"); !strings.Contains(out, "posdx test") || !strings.Contains(out, "arm") {
				t.Errorf("version: %s", out)
			}
			if out := run(0, "code", "--lang", "en", "97"); !strings.Contains(out, "97") {
				t.Errorf("code 97: %s", out)
			}
			run(1, "config", "check", "posdx.toml")  // nobody has written a name into it yet
			run(4, "config", "check", everything(t)) // its certificates are not here
			cases, err := filepath.Glob("testdata/cases/*.json")
			if err != nil || len(cases) == 0 {
				t.Fatalf("no recorded cases: %v", err)
			}
			for _, path := range cases {
				var c caseFile
				b, err := os.ReadFile(path)
				if err == nil {
					err = json.Unmarshal(b, &c)
				}
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				want := 0
				if c.Expect.Abstain {
					want = 3
				}
				var d struct{ Causes []struct{ ID string } }
				if err := json.Unmarshal([]byte(run(want, "diagnose", "--replay", path, "--json")), &d); err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				if len(c.Expect.Top) > 0 && !slices.Contains(c.Expect.Top, d.Causes[0].ID) {
					t.Errorf("%s: %s, want %v", path, d.Causes[0].ID, c.Expect.Top)
				}
			}
		})
	}
}

// everything is the example configuration with all its examples switched on.
func everything(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("posdx.toml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.toml")
	b = bytes.ReplaceAll(b, []byte("change-me"), []byte("named"))
	b = regexp.MustCompile(`(?m)^#(\[\[|[a-z_]+ = )`).ReplaceAll(b, []byte("$1"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A caseFile is what the lab recorded; see the lab's README.
type caseFile struct {
	Expect struct {
		Top     []string
		Abstain bool
	}
}
