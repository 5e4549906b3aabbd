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

// Parse reads the data files below the root of files. Anything that it does not understand is a problem, with file and
// line; knowledge with problems must not be used.
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
	clashes  []clash
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
			p.problem(".", 0, "more than %d files", maxFiles)
			return fs.SkipAll
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
			p.problem(name, 0, "larger than %d bytes", maxFileSize)
			return fs.SkipAll
		}
		if total += len(b); total > maxTotal {
			p.problem(".", 0, "more than %d bytes in all", maxTotal)
			return fs.SkipAll
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		p.files[name] = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		return nil
	})
	if err != nil {
		p.problem(".", 0, "cannot be read: %v", err)
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
	const first, second = "inference/signs.tsv", "inference/weights.tsv"
	if _, old := p.files[first]; old {
		p.problem(first, 0, "this is knowledge of the first form, with weights in numbers; this program reads the third: see findings.txt and causes.txt")
		return
	}
	if _, old := p.files[second]; old {
		p.problem(second, 0, "this is knowledge of the second form, with a finding in three tables; this program reads the third: see findings.txt and causes.txt")
		return
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
	p.sayClashes()
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
	if v == "" || len(v) > maxVersion {
		p.problem("VERSION", 0, "version %.64q: want 1 to %d characters", v, maxVersion)
		return v
	}
	for _, r := range v {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_+", r)) {
			p.problem("VERSION", 0, "version %q: %q is not allowed", v, r)
			break
		}
	}
	return v
}

// sortMeanings sorts by scheme and code. Like every sort of tables here it is package sort's: slices.SortFunc is
// compiled anew for each type, ten kilobytes a time.
func sortMeanings(rows []Meaning) {
	sort.SliceStable(rows, func(i, j int) bool {
		return cmp.Or(strings.Compare(rows[i].Scheme, rows[j].Scheme), strings.Compare(rows[i].Code, rows[j].Code)) < 0
	})
}
