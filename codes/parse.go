package codes

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
)

// Bounds on what Parse reads, far above what the product ships.
const (
	maxFiles    = 128
	maxFileSize = 1 << 20
	maxTotal    = 4 << 20
	maxRows     = 20000 // of one file
	maxProblems = 200
)

// Parse reads the data files below the root of files. It is strict: whatever it does not understand is a problem with
// its file and line, and knowledge with problems must not be used.
func Parse(files fs.FS) (*Knowledge, []Problem) {
	p := &parser{k: &Knowledge{}}
	p.read(files)
	if len(p.problems) == 0 {
		p.parse()
	}
	sort.SliceStable(p.problems, func(i, j int) bool {
		a, b := p.problems[i], p.problems[j]
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) < 0
	})
	return p.k, p.problems
}

// A parser reads one set of data files.
type parser struct {
	k        *Knowledge
	files    map[string][]byte // canonical contents by name
	problems []Problem
}

func (p *parser) problem(file string, line int, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, Problem{file, line, fmt.Sprintf(format, args...)})
	}
}

// read takes in every file, in the form that is hashed: no byte order mark and lines ended by LF alone, because a
// spreadsheet adds both.
func (p *parser) read(files fs.FS) {
	p.files = map[string][]byte{}
	total := 0
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return nil
		}
		if len(p.files) == maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
		if err != nil {
			return err
		}
		if len(b) > maxFileSize {
			return fmt.Errorf("%q is larger than %d bytes", name, maxFileSize)
		}
		if total += len(b); total > maxTotal {
			return fmt.Errorf("more than %d bytes in all", maxTotal)
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		p.files[name] = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		return nil
	})
	if err != nil {
		p.problem(".", 0, "%v", err)
	}
}

// hash is over name, size and content of every file, in the order of their names.
func (p *parser) hash() string {
	h := sha256.New()
	for _, name := range p.names("") {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(p.files[name]))
		h.Write(p.files[name])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// names returns the files in a folder, sorted; folder "" is everything.
func (p *parser) names(folder string) []string {
	var names []string
	for name := range p.files {
		if folder == "" || path.Dir(name) == folder {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// parse fills the Knowledge; tables come before those that refer to them.
func (p *parser) parse() {
	for name, form := range map[string]string{"inference/signs.tsv": packForms[0], "inference/weights.tsv": packForms[1]} {
		if _, old := p.files[name]; old {
			p.problem(name, 0, "this is knowledge of the %s; this program reads the third: see findings.txt and causes.txt", form)
			return
		}
	}
	k := p.k
	k.Hash = p.hash()
	k.Version = p.version()
	p.sources()
	p.schemes()
	p.words()
	p.checks()
	p.causes()
	p.coverage()
	p.claims()
	p.forbidden()
	p.profiles()
	p.sunsets()
	p.inference()
	for _, name := range p.names("") {
		if !known(name) {
			p.problem(name, 0, "no such data file is known")
		}
	}
}

// known tells whether some part of Parse reads a file of this name.
func known(name string) bool {
	switch path.Dir(name) {
	case ".":
		switch name {
		case "VERSION", "sources.tsv", "schemes.tsv", "words.tsv", "checks.txt", "findings.txt", "causes.txt",
			"remedies.tsv", "coverage.tsv", "claims.tsv", "forbidden.tsv", "profiles.tsv", "rules.tsv",
			"sunsets.tsv":
			return true
		}
	case "codes", "overrides":
		return strings.HasSuffix(name, ".tsv")
	}
	return slices.ContainsFunc(inferenceTables[:], func(t string) bool { return name == inferenceFile(t) })
}

// maxVersion bounds the name of a version, so that it fits a line of the console and a topic's document.
const maxVersion = 32

func (p *parser) version() string {
	v := strings.TrimSpace(string(p.files["VERSION"]))
	if err := checkVersion(v); err != nil {
		p.problem("VERSION", 0, "%v", err)
	}
	return v
}

func checkVersion(v string) error {
	if v == "" || len(v) > maxVersion {
		return fmt.Errorf("version %q: want 1 to %d characters", v, maxVersion)
	}
	for _, r := range v {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_+", r)) {
			return fmt.Errorf("version %q: %q is not allowed", v, r)
		}
	}
	return nil
}

// sortMeanings sorts by scheme and code. Like every sort of tables here it is package sort's: slices.SortFunc is
// compiled anew for each type, ten kilobytes a time.
func sortMeanings(rows []Meaning) {
	sort.SliceStable(rows, func(i, j int) bool {
		return cmp.Or(strings.Compare(rows[i].Scheme, rows[j].Scheme), strings.Compare(rows[i].Code, rows[j].Code)) < 0
	})
}
