package posdx

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mountsByCall    = regexp.MustCompile(`\b(?:unix|syscall)\.Mount\(`)
	mountsByCommand = regexp.MustCompile(`(?m)(?:^|[\s;&|"'` + "`" + `])mount (?:-t|-o|-B|--bind|--move|--rbind) `)
	ownNamespace    = regexp.MustCompile(`CLONE_NEWNS|housetest\.Own(?:Mounts|Processes)\(\)`)
	ownByCommand    = regexp.MustCompile(`unshare["',\s]+--mount\b`)
)

// inGuests mount in an emulated machine of their own.
var inGuests = []string{"firmware-build/armlab", "firmware-build/lab/guest"}

// TestMountsAreTheirMakersOwn: whatever mounts something has a mount namespace for it, so that the mount is gone when
// the process ends, however it ends. A script or text of a script makes one itself; of Go, the package does.
func TestMountsAreTheirMakersOwn(t *testing.T) {
	calls, own, commands := map[string]bool{}, map[string]bool{}, 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		ext, dir := filepath.Ext(path), filepath.Dir(path)
		if err != nil || d.IsDir() || path == "mounts_test.go" || ext != ".go" && ext != ".sh" && filepath.Base(path) != "Makefile" {
			return err
		}
		for _, g := range inGuests {
			if dir == g {
				return nil
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if mountsByCall.Match(b) {
			calls[dir] = true
		}
		if ownNamespace.Match(b) {
			own[dir] = true
		}
		if !mountsByCommand.Match(b) {
			return nil
		}
		commands++
		if !ownByCommand.Match(b) && !(strings.HasSuffix(path, "_test.go") && strings.Contains(string(b), "housetest.Alone()")) {
			t.Errorf("%s mounts where everybody sees it: unshare --mount before", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range calls {
		if !own[dir] {
			t.Errorf("%s mounts where everybody sees it: CLONE_NEWNS, or housetest.OwnMounts in its TestMain", dir)
		}
	}
	if len(calls) < 5 || commands < 3 {
		t.Errorf("found %d packages and %d files that mount: more is known of", len(calls), commands)
	}
}
