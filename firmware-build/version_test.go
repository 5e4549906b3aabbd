package firmware

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestVersionsSortAsTheyCame makes a history and holds the versions that version.sh gives along it against Debian's
// order (opkg has the same), and the forms that apk's become against what apk allows.
func TestVersionsSortAsTheyCame(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("needs dpkg")
	}
	script, err := filepath.Abs("version.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("git", "init", "-q")
	var list []string
	commit := func() {
		run("git", "commit", "-q", "--allow-empty", "-m", "x")
		list = append(list, run("sh", script))
	}
	tag := func(name string) {
		run("git", "tag", name)
		list = append(list, run("sh", script))
	}
	for range 11 {
		commit()
	}
	tag("v1.2.0-rc1")
	tag("v1.2.0")
	for range 11 {
		commit()
	}
	tag("v1.2.1")
	commit()
	tag("v1.10.0")

	// package.sh has the form for apk in one sed.
	b, err := os.ReadFile("package.sh")
	if err != nil {
		t.Fatal(err)
	}
	sed := regexp.MustCompile(`format != apk \] \|\| v=\$\(echo "\$version" \| sed '([^']+)'`).FindSubmatch(b)
	if sed == nil {
		t.Fatal("package.sh makes apk's versions otherwise")
	}
	// https://wiki.alpinelinux.org/wiki/Package_policies: digits with dots, then suffixes.
	apk := regexp.MustCompile(`^\d+(\.\d+)*(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*$`)
	for i, v := range list {
		if i > 0 && list[i-1] != v {
			run("dpkg", "--compare-versions", list[i-1], "lt", v)
		}
		if got := run("sh", "-c", `echo "$1" | sed '`+string(sed[1])+`'`, "sh", v); !apk.MatchString(got) {
			t.Errorf("%s is %s for apk", v, got)
		}
	}
	if n := len(slices.Compact(slices.Clone(list))); n != len(list) {
		t.Errorf("%d versions of %d moments: %v", n, len(list), list)
	}
}
