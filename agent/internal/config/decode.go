package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"posdx/agent/internal/say"
)

// A decoder reads files into a Config, one after the other. The library reads TOML. What a value means, where it stands
// and what is wrong with it is decided here, for all mistakes of a file at once and with messages of our own instead of
// those of Go.
type decoder struct {
	c        *Config
	problems Problems
	file     string
	data     []byte
	parser   unstable.Parser
	began    map[string]int // how many elements a list had before this file
}

var durationType = reflect.TypeFor[Duration]()

// read takes in one file.
func (d *decoder) read(file string, data []byte) {
	d.file, d.data, d.began = file, data, map[string]int{}
	if !d.readable() {
		return
	}
	// Syntax, and keys and tables that stand twice.
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		var bad *toml.DecodeError
		if errors.As(err, &bad) {
			line, column := bad.Position()
			d.at(place{file, line, column}, "", syntax(bad))
			return
		}
		d.at(place{file: file}, "", syntax(err))
		return
	}
	d.parser.Reset(data)
	root := reflect.ValueOf(d.c).Elem()
	table, path := root, ""
	for d.parser.NextExpression() {
		switch e := d.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, path = d.header(root, e)
		case unstable.KeyValue:
			if table.IsValid() {
				d.keyValue(table, path, e)
			}
		}
	}
}

// readable says what keeps a file from being read as text.
func (d *decoder) readable() bool {
	bad := func(offset int, id string, args ...any) bool {
		line, column := d.position(offset)
		d.at(place{d.file, line, column}, "", say.New(id, args...))
		return false
	}
	switch {
	case bytes.HasPrefix(d.data, []byte("\xef\xbb\xbf")):
		return bad(0, "byte-order-mark", d.file)
	case bytes.HasPrefix(d.data, []byte("\xff\xfe")), bytes.HasPrefix(d.data, []byte("\xfe\xff")):
		return bad(0, "utf-16", d.file)
	}
	if i := bytes.IndexByte(d.data, 0); i >= 0 {
		return bad(i, "zero-byte")
	}
	for i := 0; i < len(d.data); {
		r, n := utf8.DecodeRune(d.data[i:])
		if r == utf8.RuneError && n == 1 {
			return bad(i, "not-utf-8", d.file)
		}
		i += n
	}
	return true
}

// syntax puts the library's words for broken TOML beside what usually is the reason.
func syntax(err error) error {
	return say.New("not-toml", strings.TrimPrefix(err.Error(), "toml: "))
}

func (d *decoder) position(offset int) (line, column int) {
	before := d.data[:min(offset, len(d.data))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

// mark notes where a key stands and returns the place.
func (d *decoder) mark(key string, raw unstable.Range) place {
	line, column := d.position(int(raw.Offset))
	at := place{d.file, line, column}
	d.c.places[key] = at
	return at
}

func (d *decoder) at(at place, key string, why error) {
	p := problem(Error, at.file, why)
	p.Line, p.Column, p.Key = at.line, at.column, key
	d.problems = append(d.problems, p)
}

func (d *decoder) bad(at place, key, id string, args ...any) { d.at(at, key, say.New(id, args...)) }

// header finds what [a.b] or [[a.b]] names; an invalid value after a problem, so that its keys are passed over.
func (d *decoder) header(root reflect.Value, e *unstable.Node) (table reflect.Value, path string) {
	v := root
	for it := e.Key(); it.Next(); {
		part, last := it.Node(), it.IsLast()
		name := string(part.Data)
		key := join(path, name)
		f, ok := d.field(v, path, part)
		if !ok {
			return reflect.Value{}, ""
		}
		line, column := d.position(int(part.Raw.Offset))
		at := place{d.file, line, column}
		many := f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct
		switch {
		case f.Kind() == reflect.Struct || f.Kind() == reflect.Map:
			if last && e.Kind == unstable.ArrayTable {
				d.bad(at, key, "one-table", key)
				return reflect.Value{}, ""
			}
			v, path = f, key
		case many && last && e.Kind == unstable.ArrayTable:
			if _, ok := d.began[key]; !ok {
				d.began[key] = f.Len()
			}
			f.Set(reflect.Append(f, reflect.Zero(f.Type().Elem())))
			v, path = f.Index(f.Len()-1), fmt.Sprintf("%s[%d]", key, f.Len()-1)
		case many && last:
			d.bad(at, key, "many-tables", key)
			return reflect.Value{}, ""
		case many:
			if begin, ok := d.began[key]; !ok || f.Len() == begin {
				d.bad(at, key, "below-table", name)
				return reflect.Value{}, ""
			}
			v, path = f.Index(f.Len()-1), fmt.Sprintf("%s[%d]", key, f.Len()-1)
		default:
			d.bad(at, key, "single-value", name)
			return reflect.Value{}, ""
		}
		d.c.places[path] = at
	}
	return v, path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// field finds the member of a table that a part of a key names.
func (d *decoder) field(table reflect.Value, path string, part *unstable.Node) (reflect.Value, bool) {
	name := string(part.Data)
	line, column := d.position(int(part.Raw.Offset))
	at := place{d.file, line, column}
	if table.Kind() == reflect.Map {
		d.bad(at, join(path, name), "nothing-below")
		return reflect.Value{}, false
	}
	if table.Kind() != reflect.Struct {
		d.bad(at, join(path, name), "below-value", path)
		return reflect.Value{}, false
	}
	var names []string
	for i := range table.NumField() {
		tag := table.Type().Field(i).Tag.Get("toml")
		if tag == name {
			return table.Field(i), true
		}
		if tag != "" {
			names = append(names, tag)
		}
	}
	d.bad(at, join(path, name), "unknown-key", suggest(name, names))
	return reflect.Value{}, false
}

// suggest names the key that was likely meant, or all there are.
func suggest(name string, names []string) say.Message {
	best, least := "", 3
	for _, n := range names {
		if d := distance(strings.ToLower(name), n); d < least {
			best, least = n, d
		}
	}
	if best != "" {
		return say.New("did-you-mean", best)
	}
	slices.Sort(names)
	return say.New("here-there-are", strings.Join(names, " "))
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// keyValue takes in one line, or one member of an inline table.
func (d *decoder) keyValue(table reflect.Value, path string, e *unstable.Node) {
	v := table
	for it := e.Key(); it.Next(); {
		part := it.Node()
		name := string(part.Data)
		if v.Kind() == reflect.Map && it.IsLast() {
			key := join(path, name)
			var text string
			holder := reflect.ValueOf(&text).Elem()
			if d.set(holder, key, d.mark(key, part.Raw), e.Value()) {
				if v.IsNil() {
					v.Set(reflect.MakeMap(v.Type()))
				}
				v.SetMapIndex(reflect.ValueOf(name), holder)
			}
			return
		}
		f, ok := d.field(v, path, part)
		if !ok {
			return
		}
		path = join(path, name)
		at := d.mark(path, part.Raw)
		if it.IsLast() {
			d.set(f, path, at, e.Value())
			return
		}
		v = f
	}
}

// found describes a value as it stands in the file.
func found(n *unstable.Node) say.Message {
	text := string(n.Data)
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "…"
	}
	switch n.Kind {
	case unstable.String:
		return say.New("found-text", text)
	case unstable.Bool:
		return say.New("found-bool", text)
	case unstable.Integer, unstable.Float:
		return say.New("found-number", text)
	case unstable.Array:
		return say.New("found-list")
	case unstable.InlineTable:
		return say.New("found-table")
	}
	return say.New("found-date", text)
}

// set puts a value where it belongs; false after a problem.
func (d *decoder) set(v reflect.Value, key string, at place, n *unstable.Node) bool {
	if n.Raw.Length > 0 {
		at = d.mark(key, n.Raw)
	}
	wrong := func(id string, args ...any) bool {
		d.bad(at, key, "found-want", found(n), say.New(id, args...))
		return false
	}
	if v.Type() == durationType {
		return d.duration(v, key, at, n)
	}
	switch v.Kind() {
	case reflect.String:
		if n.Kind != unstable.String {
			return wrong("text-in-quotes")
		}
		v.SetString(string(n.Data))
	case reflect.Bool:
		if n.Kind != unstable.Bool {
			return wrong("true-or-false")
		}
		v.SetBool(string(n.Data) == "true")
	case reflect.Int, reflect.Int64:
		if n.Kind != unstable.Integer {
			return wrong("whole-number")
		}
		i, err := strconv.ParseInt(strings.ReplaceAll(string(n.Data), "_", ""), 0, 64)
		if err != nil || v.OverflowInt(i) {
			return wrong("smaller-number")
		}
		v.SetInt(i)
	case reflect.Slice:
		return d.list(v, key, at, n)
	case reflect.Struct, reflect.Map:
		if n.Kind != unstable.InlineTable {
			return wrong("a-table", key)
		}
		for it := n.Children(); it.Next(); {
			d.keyValue(v, key, it.Node())
		}
	}
	return true
}

func (d *decoder) duration(v reflect.Value, key string, at place, n *unstable.Node) bool {
	switch n.Kind {
	case unstable.Integer, unstable.Float:
		d.bad(at, key, "span-without-unit", n.Data, n.Data)
		return false
	case unstable.String:
		span, err := time.ParseDuration(string(n.Data))
		if err == nil {
			v.SetInt(int64(span))
			return true
		}
		fallthrough
	default:
		d.bad(at, key, "no-time-span", found(n))
		return false
	}
}

func (d *decoder) list(v reflect.Value, key string, at place, n *unstable.Node) bool {
	ofTables := v.Type().Elem().Kind() == reflect.Struct
	if n.Kind != unstable.Array {
		if ofTables {
			d.bad(at, key, "want-tables", found(n), key)
		} else {
			d.bad(at, key, "want-list", found(n))
		}
		return false
	}
	if !ofTables {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	ok := true
	for it := n.Children(); it.Next(); {
		e := it.Node()
		if e.Kind == unstable.Comment {
			continue
		}
		if ofTables && e.Kind != unstable.InlineTable {
			d.bad(at, key, "want-tables-in-list", found(e))
			return false
		}
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		i := v.Len() - 1
		name := fmt.Sprintf("%s[%d]", key, i)
		d.c.places[name] = at
		ok = d.set(v.Index(i), name, at, e) && ok
	}
	return ok
}
