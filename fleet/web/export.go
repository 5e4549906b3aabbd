package web

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxExport bounds the rows of one file.
const maxExport = 10_000

// A record is one row of an export: for a table, and for a program.
type record struct {
	Cells []string
	Value any
}

// format is how a list is asked for: csv, json, or empty for a page.
func format(r *http.Request) (string, error) {
	q := r.URL.Query()
	return q.Get("format"), known(q, "format", "csv", "json")
}

// export writes a list as a file, row by row as it is read, so that ten thousand rows need no memory and hold nothing
// up. An error after the first row cuts the file short, and the connection with it, so that nobody takes it for the
// whole.
func (s *Site) export(w http.ResponseWriter, r *http.Request, name, format string, head []string,
	rows iter.Seq2[record, error]) {
	end, err := s.buckets.begin(s.Rate, s.reader(r, viewer(r).user), s.Rate.Files, filesOf)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer end()
	paced := steadily(w)
	defer paced.over()
	w = paced
	began := false
	begin := func() {
		kind := "text/csv; charset=utf-8"
		if format == "json" {
			kind = "application/json"
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+"-"+time.Now().UTC().Format("20060102T150405Z")+"."+format+`"`)
		began = true
	}
	var table *csv.Writer
	n := 0
	for rec, err := range rows {
		if err != nil {
			if !began {
				s.fail(w, r, err)
				return
			}
			s.Log.Error("export cut short", "list", name, "rows", n, "error", err)
			panic(http.ErrAbortHandler)
		}
		if !began {
			if begin(); format == "csv" {
				w.Write([]byte("\ufeff")) // or Excel takes it for another character set
				table = csv.NewWriter(w)
				table.Write(head)
			} else {
				w.Write([]byte("[\n"))
			}
		}
		if format == "csv" {
			for i, c := range rec.Cells {
				rec.Cells[i] = cell(c)
			}
			table.Write(rec.Cells)
			if table.Error() != nil {
				return // nobody listens any more
			}
		} else {
			b, err := json.Marshal(rec.Value)
			if err != nil {
				s.Log.Error("export cut short", "list", name, "rows", n, "error", err)
				panic(http.ErrAbortHandler)
			}
			if n > 0 {
				b = append([]byte(",\n"), b...)
			}
			if _, err := w.Write(b); err != nil {
				return
			}
		}
		if n++; n == maxExport {
			break
		}
	}
	switch {
	case format == "csv" && !began:
		begin()
		w.Write([]byte("\ufeff"))
		table = csv.NewWriter(w)
		table.Write(head)
		table.Flush()
	case format == "csv":
		table.Flush()
	case !began:
		begin()
		w.Write([]byte("[]\n"))
	default:
		w.Write([]byte("\n]\n"))
	}
}

// exportWrite is how long a reader of a file may take for a piece of it: one who stops reading does not keep its place.
var exportWrite = time.Minute

// A steady writer gives each piece its time. How long the store takes for the next one is not the reader's: over HTTP/2
// a deadline that passes ends the answer, though nobody writes.
type steady struct {
	http.ResponseWriter
	c *http.ResponseController
}

func steadily(w http.ResponseWriter) *steady {
	s := &steady{w, http.NewResponseController(w)}
	s.c.SetWriteDeadline(time.Time{})
	return s
}

func (s *steady) Write(b []byte) (int, error) {
	s.over()
	defer s.c.SetWriteDeadline(time.Time{})
	return s.ResponseWriter.Write(b)
}

// over gives what is still on its way its time, once all is written.
func (s *steady) over() { s.c.SetWriteDeadline(time.Now().Add(exportWrite)) }

// cell keeps a spreadsheet from taking a terminal's text for a formula.
func cell(s string) string {
	s = string(visible([]byte(s)))
	if s == "" {
		return s
	}
	switch first, _ := utf8.DecodeRuneInString(s); first { // full-width marks begin one too, where Excel is Chinese
	case '=', '+', '-', '@', '\t', '\n', '＝', '＋', '－', '＠':
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "'" + s
		}
	}
	return s
}

// seq makes an export of a list that is read at once.
func seq[T any](list []T, cells func(T) []string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for _, v := range list {
			if !yield(record{cells(v), v}, nil) {
				return
			}
		}
	}
}

func iso(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func num(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// A sheet is what a page shows, as the rows of a file. Cells are text, numbers, truths, moments, or nil for none.
type sheet struct {
	head []string
	rows [][]any
}

func newSheet(head ...string) *sheet { return &sheet{head: head} }

func (t *sheet) add(cells ...any) { t.rows = append(t.rows, cells) }

// file writes a sheet: programs get the columns by name, without those that are empty.
func (s *Site) file(w http.ResponseWriter, r *http.Request, name, format string, t *sheet) {
	s.export(w, r, name, format, t.head, func(yield func(record, error) bool) {
		for _, row := range t.rows {
			rec := record{Cells: make([]string, len(row))}
			value := map[string]any{}
			for i, c := range row {
				switch c := c.(type) {
				case nil:
					continue
				case time.Time:
					if c.IsZero() {
						continue
					}
					rec.Cells[i] = iso(c)
				case float64:
					rec.Cells[i] = num(c)
				case string:
					if c == "" {
						continue
					}
					rec.Cells[i] = c
				default:
					rec.Cells[i] = fmt.Sprint(c)
				}
				value[t.head[i]] = c
			}
			rec.Value = value
			if !yield(rec, nil) {
				return
			}
		}
	})
}
