// Package inventory reads lists of terminals as people have them, CSV files of spreadsheets in any encoding and with
// any separator, and keeps them in one file, which the fleet reads.
package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"posdx/agent/report"
	"posdx/fleet/durable"
	"posdx/fleet/incident"
)

// maxFile bounds an inventory: two million terminals with all that is said of them. How many terminals a fleet has room
// for its store says (--max-terminals).
var maxFile = 256 << 20

// aliases are what spreadsheets call the columns.
var aliases = map[string]string{
	"机构": "estate", "机构号": "estate", "商户": "estate", "终端": "terminal", "终端号": "terminal", "设备号": "terminal",
	"收单机构": "acquirer", "收单": "acquirer", "运营商": "carrier", "接入方式": "bearer", "网点": "site", "门店": "site", "地区": "region", "区域": "region",
	"型号": "model", "机型": "model", "固件": "firmware", "固件版本": "firmware", "应用": "application", "应用版本": "application",
	"store": "site", "shop": "site", "tid": "terminal", "terminal_id": "terminal", "app": "application", "app_version": "application",
}

// ignored are columns of a spreadsheet that are known to say nothing of a place.
var ignored = map[string]bool{"": true, "remark": true, "remarks": true, "note": true, "notes": true, "备注": true}

// A List is the content of a file: every cell of the columns that it has, so also the empty ones.
type List struct {
	Columns   []string // dimensions that the file has a column for
	Terminals incident.Inventory
}

// Merge adds a list to an inventory. Of a terminal that is in the inventory only those dimensions change for which the
// list has a column; an empty cell removes the value. It returns how many terminals are new, and of how many something
// changed.
func (l List) Merge(inv incident.Inventory) (fresh, changed int) {
	for at, words := range l.Terminals {
		before, ok := inv[at]
		after := map[string]string{}
		for dim, value := range before {
			if !slices.Contains(l.Columns, dim) {
				after[dim] = value
			}
		}
		maps.Copy(after, words)
		switch {
		case !ok:
			fresh++
		case !maps.Equal(before, after):
			changed++
		}
		inv[at] = after
	}
	return fresh, changed
}

// Read reads a list: UTF-8, UTF-16 with a byte order mark, or GB 18030; separated by comma, semicolon or tab. If a
// terminal occurs twice with different values the error names both lines. A column with an unknown name is an error
// too, since the values of a misspelt one would be lost without notice.
func Read(r io.Reader) (List, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(maxFile)+1))
	if err != nil {
		return List{}, fmt.Errorf("read inventory: %w", err)
	}
	if len(b) > maxFile {
		return List{}, fmt.Errorf("read inventory: more than %d bytes", maxFile)
	}
	text, err := decode(b)
	if err != nil {
		return List{}, err
	}
	head, _, _ := strings.Cut(text, "\n")
	comma := ','
	for _, c := range ";\t" {
		if strings.Count(head, string(c)) > strings.Count(head, string(comma)) {
			comma = c
		}
	}
	in := csv.NewReader(strings.NewReader(text))
	in.Comma, in.Comment = comma, '#'
	names, err := in.Read()
	if errors.Is(err, io.EOF) {
		return List{}, errors.New("read inventory: the file is empty")
	}
	if err != nil {
		return List{}, fmt.Errorf("read inventory: %w", err)
	}
	// Brought into the form that the fleet itself reads, so that what is a good row is judged in one place.
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for i, n := range names {
		n = strings.ToLower(strings.TrimSpace(n))
		if a, ok := aliases[n]; ok {
			n = a
		}
		names[i] = n
	}
	for i, n := range names {
		if n != "" && slices.Contains(names[:i], n) {
			return List{}, fmt.Errorf("read inventory: two columns %s", n)
		}
	}
	at := [2]int{slices.Index(names, "estate"), slices.Index(names, "terminal")}
	if at[0] < 0 || at[1] < 0 {
		return List{}, fmt.Errorf(
			"read inventory: the first line is %q: want columns estate and terminal, and any of %s",
			head,
			strings.Join(report.Dimensions, " "),
		)
	}
	var columns []string
	for _, n := range names {
		switch {
		case slices.Contains(report.Dimensions, n):
			columns = append(columns, n)
		case n != "estate" && n != "terminal" && !ignored[n]:
			return List{}, fmt.Errorf(
				"read inventory: column %q is not known: want estate terminal, any of %s, or a remark",
				n,
				strings.Join(report.Dimensions, " "),
			)
		}
	}
	w.Write(names)
	lines := map[report.Address]int{}
	rows := map[report.Address][]string{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return List{}, fmt.Errorf("read inventory: %w", err)
		}
		n, _ := in.FieldPos(0)
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if strings.Join(row, "") == "" {
			continue // spreadsheets leave them at the end
		}
		a := report.Address{Estate: row[at[0]], Terminal: row[at[1]]}
		if err := a.Check(); err != nil {
			return List{}, fmt.Errorf("read inventory: line %d: %w", n, err)
		}
		if before, ok := rows[a]; ok {
			if !slices.Equal(before, row) {
				return List{}, fmt.Errorf(
					"read inventory: %s/%s stands in line %d and in line %d with different words",
					a.Estate,
					a.Terminal,
					lines[a],
					n,
				)
			}
			continue
		}
		lines[a], rows[a] = n, row
		w.Write(row)
	}
	w.Flush()
	inv, err := incident.ReadInventory(&out)
	return List{columns, inv}, err
}

func decode(b []byte) (string, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")):
		out, err := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Bytes(b)
		if err != nil {
			return "", fmt.Errorf("read inventory: UTF-16: %w", err)
		}
		b = out
	case !utf8.Valid(b):
		out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(b)
		if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
			return "", errors.New("read inventory: neither UTF-8 nor UTF-16 nor GB 18030; save it as CSV UTF-8")
		}
		b = out
	}
	return strings.TrimPrefix(string(b), "\ufeff"), nil
}

// Write writes an inventory in the fleet's own form: one line a terminal, by name.
func Write(w io.Writer, inv incident.Inventory) error {
	c := csv.NewWriter(w)
	c.Write(append([]string{"estate", "terminal"}, report.Dimensions...))
	list := slices.SortedFunc(maps.Keys(inv), func(a, b report.Address) int {
		return strings.Compare(a.Estate+"\x00"+a.Terminal, b.Estate+"\x00"+b.Terminal)
	})
	for _, at := range list {
		row := []string{at.Estate, at.Terminal}
		for _, d := range report.Dimensions {
			row = append(row, inv[at][d])
		}
		c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// File is the inventory in a data directory.
func File(data string) string { return filepath.Join(data, "inventory.csv") }

// Ensure makes an empty one where there is none.
func Ensure(file string) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Save(file, nil)
}

// Load reads a file that Save wrote; one that is not there is empty.
func Load(file string) (incident.Inventory, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return incident.Inventory{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	defer f.Close()
	list, err := Read(f)
	return list.Terminals, err
}

// Save replaces the file as a whole; a running fleet reads it within a look.
func Save(file string, inv incident.Inventory) error {
	var b bytes.Buffer
	err := Write(&b, inv)
	if err == nil && b.Len() > maxFile {
		err = fmt.Errorf("%d terminals are more than %d bytes", len(inv), maxFile)
	}
	if err == nil {
		err = durable.Replace(file, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("keep inventory: %w", err)
	}
	return nil
}
