package paylog

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"posdx/agent/internal/say"
)

// maxMatches bounds the files of one pattern that are looked at.
const maxMatches = 4096

// order has the parts of a date in the name of a log, as strftime writes them, from the slowest to the fastest.
const order = "YyjmdHMS"

// digitsOf is how many digits a part has; false for what is no part.
func digitsOf(part byte) (n int, ok bool) {
	switch part {
	case 'Y':
		return 4, true
	case 'j':
		return 3, true
	}
	return 2, strings.IndexByte(order, part) >= 0
}

// A names finds the files of a log that has the date in its name, or of which only a part of the name is known. Of
// dated files the next one is that of the following date; of others the newest that has not been read.
type names struct {
	glob    string
	re      *regexp.Regexp
	dated   bool
	folder  string // without a pattern; empty where the folder has one
	seen    map[string]bool
	looked  time.Time // when the folder was looked at
	changed time.Time // when it had changed by then
}

// datedName finds a date in the name of a file, of this century: what opens a new file every day has one.
var datedName = regexp.MustCompile(`(20\d\d)([-_.]?)(0[1-9]|1[0-2])([-_.]?)(0[1-9]|[12]\d|3[01])`)

// pattern returns the pattern of a path: itself where it has one, or with a date in its file's name as parts of one. A
// path that is the name of one file only is returned with plain.
func pathPattern(path string) (pattern string, plain bool) {
	if strings.ContainsAny(path, "*?[%") {
		return path, false
	}
	dir, base := filepath.Split(path)
	at := datedName.FindAllStringSubmatchIndex(base, -1)
	if len(at) != 1 {
		return path, true
	}
	m := at[0]
	before, after := base[:m[0]], base[m[1]:]
	isDigit := func(s string, i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
	if base[m[4]:m[5]] != base[m[8]:m[9]] || isDigit(before, len(before)-1) || isDigit(after, 0) {
		return path, true
	}
	sep := base[m[4]:m[5]]
	return dir + before + "%Y" + sep + "%m" + sep + "%d" + after, false
}

// newNames reads a pattern. It is nil for a path that is a name.
func newNames(path string) (*names, error) {
	pattern, plain := pathPattern(path)
	if plain || strings.HasPrefix(path, JournalPrefix) {
		return nil, nil
	}
	n := &names{seen: map[string]bool{}}
	var glob, re strings.Builder
	had := ""
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '%':
			i++
			if i == len(pattern) {
				return nil, say.New("log-ends-with", path)
			}
			digits, ok := digitsOf(pattern[i])
			switch {
			case pattern[i] == '%':
				glob.WriteByte('%')
				re.WriteByte('%')
				continue
			case !ok:
				return nil, say.New("no-date-part", path, pattern[i])
			}
			group := pattern[i : i+1]
			glob.WriteString(strings.Repeat("[0-9]", digits))
			if strings.Contains(had, group) {
				fmt.Fprintf(&re, `\d{%d}`, digits)
			} else {
				fmt.Fprintf(&re, `(?P<%s>\d{%d})`, group, digits)
			}
			had += group
			n.dated = true
		case '*':
			glob.WriteByte(c)
			re.WriteString(`[^/]*`)
		case '?':
			glob.WriteByte(c)
			re.WriteString(`[^/]`)
		case '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 2 {
				return nil, say.New("bracket-open", path)
			}
			glob.WriteString(pattern[i : i+end+1])
			re.WriteString(pattern[i : i+end+1])
			i += end
		default:
			glob.WriteByte(c)
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	n.glob = glob.String()
	var err error
	if n.re, err = regexp.Compile("^" + re.String() + "$"); err == nil {
		_, err = filepath.Match(n.glob, "x")
	}
	if err != nil {
		return nil, say.New("log-path", path, err)
	}
	if dir := filepath.Dir(n.glob); !strings.ContainsAny(dir, "*?[") {
		n.folder = dir
	}
	return n, nil
}

// CheckPath returns what is wrong with the path of a log. It may be a pattern: * ? and [] as a shell has them, and
// parts of a date as strftime has them.
func CheckPath(path string) error {
	_, err := newNames(path)
	return err
}

// Is tells whether a file is one of the log's, by its name.
func (f LogFile) Is(path string) bool {
	n, err := newNames(f.Path)
	if err != nil || n == nil {
		return f.Path == path
	}
	return n.re.MatchString(path)
}

// folder is where the log's files appear.
func (t *tail) folder() string {
	if t.names != nil {
		return t.names.folder
	}
	return filepath.Dir(t.path)
}

// A match is a file of a pattern.
type match struct {
	path string
	key  string // its date, so that later ones sort behind
	at   time.Time
}

// list returns the files that there are, in the order of their dates, or of their last changes.
func (n *names) list() (list []match) {
	paths, _ := filepath.Glob(n.glob)
	for _, p := range paths[:min(len(paths), maxMatches)] {
		at := n.re.FindStringSubmatch(p)
		fi, err := os.Stat(p)
		if at == nil || err != nil || !fi.Mode().IsRegular() || packedName(p) {
			continue
		}
		m := match{path: p, at: fi.ModTime()}
		for _, part := range order {
			if i := n.re.SubexpIndex(string(part)); i >= 0 {
				m.key += at[i]
			}
		}
		list = append(list, m)
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if n.dated && a.key != b.key {
			return a.key < b.key
		}
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.path, b.path)) < 0
	})
	return list
}

func packedName(p string) bool {
	switch filepath.Ext(p) {
	case ".gz", ".xz", ".bz2", ".zip", ".zst":
		return true
	}
	return false
}

// start finds the file to begin with: that of a mark, if it exists, or the newest. Files that existed before and do not
// follow it are never read.
func (n *names) start(m *mark) (path string) {
	list := n.list()
	for _, f := range list {
		n.seen[f.path] = true
		path = f.path
	}
	if m == nil {
		return path
	}
	for i, f := range list {
		fi, err := os.Stat(f.path)
		if err != nil || !m.node(fi) {
			continue
		}
		for _, later := range list[i+1:] {
			if n.dated || later.path > f.path {
				delete(n.seen, later.path)
			}
		}
		return f.path
	}
	return path
}

// next finds the file that follows the one at hand; empty for none.
func (n *names) next(path string, now time.Time) string {
	if n.folder != "" {
		fi, err := os.Stat(n.folder)
		// A folder that changed a moment ago may have changed once more since it was looked at, at the same time.
		if err != nil || !n.looked.IsZero() && fi.ModTime().Equal(n.changed) && n.looked.Sub(n.changed) > 2*time.Second {
			return ""
		}
		n.changed = fi.ModTime()
	}
	n.looked = now
	list := n.list()
	i := slices.IndexFunc(list, func(m match) bool { return m.path == path })
	if n.dated {
		for _, m := range list[i+1:] {
			if i < 0 || m.key > list[i].key {
				if i >= 0 || !n.seen[m.path] {
					n.seen[m.path] = true
					return m.path
				}
			}
		}
		return ""
	}
	for _, m := range list {
		if !n.seen[m.path] {
			n.seen[m.path] = true
			return m.path
		}
	}
	return ""
}
