package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"posdx/agent/internal/say"
)

// maxFile bounds a file of the configuration; a real one is under 4 kB.
const maxFile = 256 << 10

// maxFragments bounds the files of conf.d.
const maxFragments = 64

// Read reads a configuration: the file and then the fragments beside it, conf.d/*.toml in the order of their names. In
// a fragment a single value replaces an earlier one, and [[tables]] are added. Problems are returned with it; if one
// has the level Error, the configuration may only be used to report it.
func Read(path string) (Config, Problems) {
	b, err := bounded(path)
	if err != nil {
		c := Defaults()
		c.file = path
		return c, Problems{problem(Error, path, unreadable(err))}
	}
	files := []file{{path, b}}
	fragments, problems := fragmentsOf(path)
	return parse(append(files, fragments...), problems)
}

// Parse is Read for a configuration that lies in memory.
func Parse(name string, b []byte) (Config, Problems) { return parse([]file{{name, b}}, nil) }

type file struct {
	name string
	data []byte
}

func parse(files []file, problems Problems) (Config, Problems) {
	c := Defaults()
	c.places, c.file = map[string]place{}, files[0].name
	d := decoder{c: &c, problems: problems}
	for _, f := range files {
		d.read(f.name, f.data)
	}
	problems = d.problems
	if problems.Refused() == nil {
		problems = append(problems, c.check()...)
	} else if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == "" }) {
		problems = append(problems, c.checkNames()...)
	}
	problems.Sort()
	return c, problems
}

func fragmentsOf(path string) (list []file, problems Problems) {
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	names, err := filepath.Glob(filepath.Join(escape(dir), "*.toml"))
	if err != nil || len(names) == 0 {
		return nil, nil
	}
	sort.Strings(names)
	if len(names) > maxFragments {
		return nil, Problems{problem(Error, dir, say.New("too-many-fragments", len(names), maxFragments))}
	}
	for _, name := range names {
		b, err := bounded(name)
		if err != nil {
			problems = append(problems, problem(Error, name, unreadable(err)))
			continue
		}
		list = append(list, file{name, b})
	}
	return list, problems
}

// escape keeps a folder's name from being read as a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

var errTooLarge = say.New("config-too-large", maxFile)

func bounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, say.New("is-folder")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errTooLarge
	}
	return b, err
}

// unreadable says why a file cannot be read and what to do.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return say.New("config-missing")
	case errors.Is(err, fs.ErrPermission):
		return say.New("config-closed")
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return say.New("cannot-be-read", err)
}

// LanguageOf finds the language that a configuration asks for, whatever else may be wrong with it; "" where it names
// none or cannot be read.
func LanguageOf(path string) string {
	b, err := bounded(path)
	if err != nil {
		return ""
	}
	fragments, _ := fragmentsOf(path)
	c := Config{places: map[string]place{}}
	d := decoder{c: &c}
	for _, f := range append([]file{{path, b}}, fragments...) {
		d.read(f.name, f.data)
	}
	if c.Language != "zh" && c.Language != "en" {
		return ""
	}
	return c.Language
}

// SocketOf finds the daemon's socket for a client: the one that the configuration names, whatever else may be wrong
// with it. A client need not be allowed to read the configuration: where the default file is absent or may not be read
// the result is the default socket, and note is why.
func SocketOf(path string) (socket string, note, err error) {
	b, err := bounded(path)
	if err != nil {
		if path == Path && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
			return Socket, problem(Error, path, unreadable(err)), nil
		}
		return "", nil, problem(Error, path, unreadable(err))
	}
	fragments, _ := fragmentsOf(path)
	c := Defaults()
	c.places = map[string]place{}
	d := decoder{c: &c}
	for _, f := range append([]file{{path, b}}, fragments...) {
		d.read(f.name, f.data)
	}
	for _, p := range d.problems {
		// With broken TOML, or a socket that is no text, it cannot be known which one is meant.
		if p.Key == "" || p.Key == "hook" || p.Key == "hook.socket" {
			return "", nil, p
		}
	}
	return c.Hook.Socket, nil, nil
}
