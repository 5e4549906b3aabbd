package incident

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"posdx/agent/report"
)

// An Inventory says what each terminal shares with others: acquirer, carrier, site and model. What it does not say is
// not known; the acquirer is then the name of the terminal's code table.
type Inventory map[report.Address]map[string]string

// inventoryColumns head the file; further columns are ignored.
var inventoryColumns = []string{"estate", "terminal", ScopeAcquirer, ScopeCarrier, ScopeSite, ScopeModel}

// ReadInventory reads a CSV file whose first line names its columns, estate and terminal among them.
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
	for _, name := range inventoryColumns[:2] {
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
			if value := strings.TrimSpace(line[i]); value != "" && slices.Contains(inventoryColumns[2:], name) {
				shared[name] = value
			}
		}
		inv[at] = shared
	}
}

// place returns the scope and key a terminal belongs to: the wished scope, or the estate if it is not known.
func (inv Inventory) place(at report.Address, scope, scheme string) (string, string) {
	key := inv[at][scope]
	if key == "" && scope == ScopeAcquirer {
		key = scheme
	}
	if key == "" {
		return ScopeEstate, at.Estate
	}
	return scope, key
}
