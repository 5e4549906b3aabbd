package codes

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestAdditionsTouchOneFile adds a finding, a cause with its finding, a check and a table of codes to the shipped data,
// each in the files that CONTRIBUTING.md names and no other: nothing else may need to know of it.
func TestAdditionsTouchOneFile(t *testing.T) {
	insert := func(m fstest.MapFS, file, text string) {
		old := ""
		if m[file] != nil {
			old = string(m[file].Data)
		}
		m[file] = &fstest.MapFile{Data: []byte(old + text)}
	}
	for name, add := range map[string]func(fstest.MapFS){
		"finding": func(m fstest.MapFS) {
			insert(m, "findings.txt", "finding storage.small of board.storage family board.storage kind fault\n"+
				"zh 存储空间只剩{free_kb} kB\nen only {free_kb} kB of storage are left\n"+
				"poor by free_kb poor 4096 full 1024\nfor hint terminal.storage-full\n")
		},
		"cause": func(m fstest.MapFS) {
			insert(m, "causes.txt", "cause terminal.new number 200 segment terminal act technician visit yes\n"+
				"stages build\nwriters terminal\nzh 新原因\nen Something new\nstep S2\nzh 找服务商，报终端号。\nen Call service.\n")
			insert(m, "findings.txt", "finding terminal.new of app.keys family app.keys kind fault\n"+
				"zh 新发现\nen something new\nbad when !backup_cell_ok\nfor decisive terminal.new -- it says so [itself]\n")
		},
		"check": func(m fstest.MapFS) {
			insert(m, "checks.txt", "check board.new fresh 60 depth internal\nzh 新检查\nen Something new\ntouches /proc\n"+
				"fact used_pct type float unit pct low 0 high 100\n")
			insert(m, "findings.txt", "finding new.short of board.new family board.new kind fault\n"+
				"zh 用掉了{used_pct}%\nen {used_pct} % in use\nbad by used_pct poor 80 bad 95 full 99\nfor hint terminal.overloaded\n")
		},
		"table of codes": func(m fstest.MapFS) {
			insert(m, "codes/demo.tsv", "code\ten\tzh\tclass\tdomain\tretry\tmaps\tsent_by\tsources\tdisputed\tnote\n"+
				"AP1\tApproved\t批准\tA\tnone\tno\t-\tissuer\tDEMO\t-\t-\n")
			insert(m, "schemes.tsv", "demo\t40\t1\t演示码\tDemonstration codes\tissuer\n")
			insert(m, "sources.tsv", "DEMO\ta demonstration\n")
		},
	} {
		m := dataFiles(t)
		add(m)
		if _, problems := Parse(m); len(problems) > 0 {
			t.Errorf("a %s: %v", name, problems)
		}
		// And without its second part it is refused, with the file named.
		if name == "table of codes" {
			delete(m, "codes/demo.tsv")
			named := func(p Problem) bool { return strings.Contains(p.File, "demo.tsv") }
			if _, problems := Parse(m); !slices.ContainsFunc(problems, named) {
				t.Errorf("a table without its file: %v", problems)
			}
		}
	}
}
