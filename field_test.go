package posdx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inputsOfAKind is how many inputs that others have reported each kind of fault is tried with at least.
const inputsOfAKind = 3

// TestInputsOfTheField counts, by kind of fault, what is tried that people who do this job have reported, and that the
// tests which try it are there.
func TestInputsOfTheField(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "field.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	files, sources := map[string]string{}, map[string]map[string]bool{}
	var kinds []string
	for n, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if strings.HasPrefix(line, "#") || line == "kind\ttest\tsource" {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 3 {
			t.Fatalf("line %d: %d cells, want kind, test and source", n+1, len(cells))
		}
		file, test, ok := strings.Cut(cells[1], " ")
		if _, read := files[file]; !read {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
			files[file] = string(text)
		}
		if !ok || !strings.Contains(files[file], "func "+test+"(") {
			t.Errorf("line %d: no test %s in %s", n+1, test, file)
		}
		if sources[cells[0]] == nil {
			sources[cells[0]] = map[string]bool{}
			kinds = append(kinds, cells[0])
		}
		if sources[cells[0]][cells[2]] {
			t.Errorf("line %d: %s stands twice", n+1, cells[2])
		}
		sources[cells[0]][cells[2]] = true
	}
	for _, k := range kinds {
		t.Logf("%2d %s", len(sources[k]), k)
		if len(sources[k]) < inputsOfAKind {
			t.Errorf("%s: %d inputs, want %d", k, len(sources[k]), inputsOfAKind)
		}
	}
}
