// Package posdx holds the tests of the house as a whole: which rooms there are, and what each may know of the others.
package posdx

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "posdx/"

// A room is a folder and what of ours its packages may import. The first room whose name a package's path begins with
// is its own, so the order matters.
var rooms = []struct {
	name  string
	knows []string // prefixes; a room always knows itself
	pure  bool     // no system, network, or log: what it says depends on what it is given
	alone bool     // packages below it are rooms of their own, or none
}{
	{name: "firmware-build/housetest"},
	{name: "codes/gen", knows: []string{"codes"}},
	{name: "codes", pure: true},
	{name: "drivers/serial"},
	{name: "drivers/network"},
	{name: "drivers/board"},
	{name: "drivers/frame", knows: []string{"drivers/serial"}},
	{name: "drivers/reader", knows: []string{"drivers/serial", "drivers/frame"}},
	{name: "drivers/pinpad", knows: []string{"drivers/serial", "drivers/frame"}},
	{name: "drivers/printer", knows: []string{"drivers/serial", "drivers/frame"}},
	{name: "drivers/ecr", knows: []string{"drivers/serial", "drivers/frame"}},
	{name: "drivers/modem", knows: []string{"drivers/serial", "drivers/frame"}},
	{name: "drivers/modemmanager", knows: []string{"drivers/modem", "drivers/serial"}},
	{name: "drivers/sim", knows: []string{"drivers"}},
	{name: "agent/report", knows: []string{"agent/internal/say", "codes"}, pure: true},
	{name: "agent/diagnose/eval", knows: []string{"codes", "agent/report", "agent/evidence", "agent/diagnose"}},
	{name: "agent/evidence", knows: []string{"codes", "agent/report"}, pure: true},
	{name: "agent/diagnose", knows: []string{"codes", "agent/report", "agent/evidence", "agent/internal/say", "agent/internal/text"}, pure: true},
	{name: "agent/internal/atomicfile"},
	{name: "agent/translate"},
	{name: "agent/internal/say", knows: []string{"agent/translate"}},
	{name: "agent/internal/charset"},
	{name: "agent/internal/text", pure: true},
	{name: "agent/internal/agenttest"},
	{name: "agent/internal/notice", knows: []string{"codes", "agent/report", "agent/internal/text"}, pure: true},
	{name: "agent/internal/stamp", knows: []string{"agent/report"}},
	{name: "agent/internal/keeper", knows: []string{"agent/report", "agent/internal/atomicfile", "agent/internal/stamp", "agent/internal/triage"}},
	{name: "agent/internal/bundle", knows: []string{"agent/internal/say", "agent/report", "agent/internal/atomicfile", "agent/internal/config", "agent/internal/keeper", "agent/internal/outbox", "agent/internal/stamp"}},
	{name: "agent/internal/source/hook", knows: []string{"agent/internal/say", "agent/report", "agent/evidence", "agent/internal/notice", "agent/internal/source"}},
	{name: "agent/internal/source/paylog", knows: []string{"agent/internal/say", "agent/report", "agent/evidence", "agent/internal/source", "agent/internal/atomicfile", "agent/internal/charset", "drivers/ecr"}},
	{name: "agent/internal/source/registerlink", knows: []string{"agent/internal/say", "agent/report", "agent/evidence", "agent/internal/source", "drivers/ecr", "drivers/serial"}},
	{name: "agent/internal/source/capture", knows: []string{"agent/report", "agent/evidence", "agent/internal/source", "drivers/ecr"}},
	{name: "agent/internal/source", knows: []string{"agent/report", "agent/evidence", "drivers/ecr"}},
	{name: "agent/internal/probe", knows: []string{"agent/internal/say", "agent/report", "agent/evidence", "agent/internal/atomicfile", "drivers/serial", "drivers/frame", "drivers/reader", "drivers/pinpad", "drivers/printer", "drivers/ecr", "drivers/modem", "drivers/modemmanager", "drivers/network", "drivers/board"}},
	{name: "agent/internal/nettrial", knows: []string{"codes", "drivers/network", "agent/report", "agent/diagnose", "agent/evidence", "agent/internal/probe", "agent/internal/triage"}},
	{name: "agent/internal/triage", knows: []string{"codes", "agent/report", "agent/evidence", "agent/diagnose", "agent/internal/probe", "agent/internal/outbox"}},
	{name: "agent/internal/outbox", knows: []string{"agent/report"}},
	{name: "agent/internal/uplink", knows: []string{"agent/internal/say", "agent/enroll", "agent/report", "agent/internal/outbox", "agent/internal/atomicfile"}},
	{name: "agent/internal/relay", knows: []string{"agent/internal/say", "drivers/serial"}},
	{name: "agent/internal/library", knows: []string{"agent/internal/say", "codes", "agent/internal/atomicfile"}},
	{name: "agent/internal/config", knows: []string{"agent/internal/say", "agent/internal/sshsig", "codes", "agent/enroll", "agent/report"}},
	{name: "agent/internal/zmodem", knows: []string{"drivers/frame"}},
	{name: "agent/internal/sshsig"},
	{name: "agent/internal/console", knows: []string{"codes", "agent/report", "agent/diagnose", "agent/internal/say", "agent/internal/sshsig", "agent/internal/text", "agent/internal/zmodem", "agent/internal/charset"}},
	{name: "agent/enroll"},
	{name: "agent", alone: true, knows: []string{"codes", "agent", "drivers/serial", "drivers/frame", "drivers/reader", "drivers/pinpad", "drivers/printer", "drivers/ecr", "drivers/modem", "drivers/modemmanager", "drivers/network", "drivers/board"}},
	{name: "fleet", knows: []string{"codes", "agent/report", "agent/evidence", "agent/diagnose", "agent/enroll", "agent/translate"}},
	{name: "firmware-build/lab/world", knows: []string{"drivers"}},
	{name: "firmware-build", knows: []string{"codes", "drivers", "agent", "fleet"}},
}

// impure is what a pure room does without, tests apart.
var impure = []string{"os", "net", "syscall", "log", "log/slog", "golang.org/x/sys", "os/exec"}

// namesOnly lie below net but speak to nobody: they read and write addresses.
var namesOnly = []string{"net/netip", "net/url"}

func TestRoomsKnowOnlyTheirOwn(t *testing.T) {
	for path, files := range packages(t) {
		if path == "." {
			continue // this file
		}
		i := roomOf(path)
		if i < 0 {
			t.Errorf("package %s lies in no room: give it a row in the table of this file", path)
			continue
		}
		room := rooms[i]
		for name, f := range files {
			test := strings.HasSuffix(name, "_test.go")
			for _, spec := range f.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				ours, isOurs := strings.CutPrefix(imported, module)
				switch {
				case isOurs && !test && isKit(ours) && !isKit(path):
					t.Errorf("%s imports %s, which is for tests", name, ours)
				case isOurs && test && (within(ours, "drivers/sim") || ours == "firmware-build/lab/world" || within(ours, "codes") || isKit(ours)):
					// Tests ask simulated peers, know the codes, and share what they are made with.
				case isOurs && !within(ours, room.name) &&
					!slices.ContainsFunc(room.knows, func(k string) bool { return within(ours, k) }):
					t.Errorf("%s imports %s: %s may not know it", name, ours, room.name)
				case room.pure && !test && slices.ContainsFunc(impure, func(k string) bool { return within(imported, k) }) &&
					!slices.Contains(namesOnly, imported):
					t.Errorf("%s imports %s: %s does without", name, imported, room.name)
				}
			}
			for _, spec := range f.Imports {
				if spec.Path.Value == `"net/http"` && !test && within(path, "agent") || spec.Path.Value == `"C"` {
					t.Errorf("%s imports %s", name, spec.Path.Value)
				}
			}
		}
	}
}

// roomOf is the place in the table of a package's room, -1 if it lies in none.
func roomOf(path string) int {
	for i, r := range rooms {
		if path == r.name || !r.alone && within(path, r.name) {
			return i
		}
	}
	return -1
}

func TestAPackageThatIsNotListedLiesInNoRoom(t *testing.T) {
	for path, room := range map[string]string{
		"agent": "agent", "agent/internal/outbox/crashfs": "agent/internal/outbox", "codes/gen": "codes/gen", "codes": "codes", "fleet/web": "fleet",
		"agent/new": "", "agent/internal/new": "", "drivers/new": "", "new": "",
	} {
		got := ""
		if i := roomOf(path); i >= 0 {
			got = rooms[i].name
		}
		if got != room {
			t.Errorf("%s lies in %q, want %q", path, got, room)
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	for path, files := range packages(t) {
		var with []string
		shipped := 0
		for name, f := range files {
			if strings.HasSuffix(f.Name.Name, "_test") || strings.HasSuffix(name, "_test.go") && path != "firmware-build" && path != "." {
				continue
			}
			shipped++
			if f.Doc != nil && len(strings.TrimSpace(f.Doc.Text())) > 0 {
				with = append(with, name)
			}
		}
		if shipped > 0 && len(with) != 1 {
			t.Errorf("package %s: %d package comments, want one %v", path, len(with), with)
		}
	}
}

// Names of a build machine, and of package registries, have no place in what others build.
var foreign = []string{"/wo" + "rk/", "/tmp/br" + "ief", "proxy.gol" + "ang.org", "registry.n" + "pmjs"}

func TestTreeNamesNoMachine(t *testing.T) {
	walk(t, func(path string, d fs.DirEntry) {
		if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		for _, f := range foreign {
			if bytes.Contains(b, []byte(f)) {
				t.Errorf("%s names %s", path, f)
			}
		}
	})
}

// isKit tells whether a package is what tests share, and nothing that is shipped may have: its name ends as theirs do.
func isKit(path string) bool { return strings.HasSuffix(path, "test") }

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// walk visits every file of the tree but those that git ignores.
func walk(t *testing.T, visit func(path string, d fs.DirEntry)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "run"}, path) {
			return fs.SkipDir
		}
		if !d.IsDir() && path != ".git" && !strings.HasSuffix(path, ".test") {
			visit(path, d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// packages parses the imports and package comments of the tree: files by name, by folder.
func packages(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	list := map[string]map[string]*ast.File{}
	set := token.NewFileSet()
	walk(t, func(path string, _ fs.DirEntry) {
		if !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata/") {
			return
		}
		f, err := parser.ParseFile(set, path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		dir := filepath.Dir(path)
		if list[dir] == nil {
			list[dir] = map[string]*ast.File{}
		}
		list[dir][path] = f
	})
	if len(list) < 10 {
		t.Fatalf("found %d packages only", len(list))
	}
	return list
}
