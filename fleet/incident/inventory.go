package incident

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

// An Inventory is an operator's list of what terminals have in common with others. It goes before what they report
// themselves.
type Inventory map[report.Address]map[string]string

// ReadInventory reads a CSV file whose first line names its columns: estate, terminal, and dimensions. Further columns
// are ignored; an empty value leaves what the terminal says.
func ReadInventory(r io.Reader) (Inventory, error) {
	c := csv.NewReader(r)
	c.Comment = '#'
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	for _, name := range []string{"estate", "terminal"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("read inventory: no column %s in the first line", name)
		}
	}
	inv := Inventory{}
	for {
		line, err := c.Read()
		if errors.Is(err, io.EOF) {
			return inv, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read inventory: %w", err)
		}
		at := report.Address{Estate: line[column["estate"]], Terminal: line[column["terminal"]]}
		if err := at.Check(); err != nil {
			n, _ := c.FieldPos(0)
			return nil, fmt.Errorf("read inventory: line %d: %w", n, err)
		}
		shared := map[string]string{}
		for name, i := range column {
			if value := strings.TrimSpace(line[i]); value != "" && slices.Contains(report.Dimensions, name) {
				if len(value) > report.MaxLabel {
					n, _ := c.FieldPos(i)
					return nil, fmt.Errorf("read inventory: line %d: %s is longer than %d bytes", n, name, report.MaxLabel)
				}
				shared[name] = value
			}
		}
		inv[at] = shared
	}
}

// An InventoryFile is an inventory that is read again when its file changes. If it cannot be read, what was read
// before stays.
type InventoryFile struct {
	Path string

	inv  Inventory
	when time.Time
	size int64
}

// Load reads the file if it has changed since the last call, or if again is set, and tells whether its content has
// changed.
func (f *InventoryFile) Load(again bool) (news bool, err error) {
	if f == nil || f.Path == "" {
		return false, nil
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return false, fmt.Errorf("read inventory: %w", err)
	}
	if !again && info.ModTime().Equal(f.when) && info.Size() == f.size {
		return false, nil
	}
	f.when, f.size = info.ModTime(), info.Size() // a file that is wrong is complained of once, not at each look
	r, err := os.Open(f.Path)
	if err != nil {
		return false, fmt.Errorf("read inventory: %w", err)
	}
	defer r.Close()
	inv, err := ReadInventory(r)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.Path, err)
	}
	news = !maps.EqualFunc(inv, f.inv, maps.Equal)
	f.inv = inv
	return news, nil
}

// Of returns what the file says of one terminal.
func (f *InventoryFile) Of(at report.Address) map[string]string {
	if f == nil {
		return nil
	}
	return f.inv[at]
}
