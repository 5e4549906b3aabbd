package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"posdx/fleet/access"
	"posdx/fleet/incident"
	"posdx/fleet/inventory"
	"posdx/fleet/store"
)

func runInventory(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "inventory", "import FILE.csv | check FILE.csv | export [OPTIONS]",
		"What terminals share with others: estate, terminal, and any of acquirer carrier bearer site region model firmware\n"+
			"application. import takes a list in (UTF-8, UTF-16 or GB 18030; comma, semicolon or tab; names of columns in English or\n"+
			"Chinese); terminals that are there already get the new words, others stay. A running fleet reads it by itself, unless it\n"+
			"has an --inventory of its own. check only reads the list. FILE may be - for stdin.",
		"posdx-fleet inventory import terminals.csv --data /var/lib/posdx-fleet")
	data := f.String("data", "fleet-data", "`DIR` of the fleet")
	replace := f.Bool("replace", false, "import: what is not in the list is forgotten")
	words, code, ok := parseWords(s, f, args, 1, 2)
	if !ok {
		return code
	}
	if verb := words[0]; verb != "import" && verb != "check" && verb != "export" ||
		(verb == "export") != (len(words) == 1) {
		fmt.Fprintf(s.err, "posdx-fleet inventory: %q: want import FILE, check FILE, or export\n", words)
		return exitUsage
	}
	if words[0] == "export" {
		inv, err := inventory.Load(inventory.File(*data))
		if err == nil {
			err = inventory.Write(s.out, inv)
		}
		if err != nil {
			return failed(s, "inventory", err)
		}
		return exitOK
	}
	list, err := readList(words[1])
	if err != nil {
		return failed(s, "inventory", err)
	}
	if words[0] == "check" {
		fmt.Fprintf(s.out, "%d terminals\n", len(list))
		return exitOK
	}
	if _, err := os.Stat(*data); err != nil { // a wrong --data must not become a new one
		return failed(s, "inventory", fmt.Errorf("%w; give --data", err))
	}
	inv := incident.Inventory{}
	if !*replace {
		if inv, err = inventory.Load(inventory.File(*data)); err != nil {
			return failed(s, "inventory", err)
		}
	}
	fresh, changed := 0, 0
	for at, words := range list {
		before, ok := inv[at]
		switch {
		case !ok:
			fresh++
		case fmt.Sprint(before) != fmt.Sprint(words):
			changed++
		}
		inv[at] = words
	}
	if len(inv) > inventory.MaxTerminals {
		return failed(
			s,
			"inventory",
			fmt.Errorf("%d terminals with those that are there, %d at most", len(inv), inventory.MaxTerminals),
		)
	}
	if err := inventory.Save(inventory.File(*data), inv); err != nil {
		return failed(s, "inventory", err)
	}
	if db, err := openData(ctx, *data); err == nil {
		err = note(
			ctx,
			db,
			"inventory.import",
			words[1],
			fmt.Sprintf("%d new, %d changed, %d in all", fresh, changed, len(inv)),
		)
		db.Close()
		if err != nil {
			return failed(s, "inventory", err)
		}
	}
	fmt.Fprintf(s.out, "%d new, %d changed, %d in all\n", fresh, changed, len(inv))
	return exitOK
}

func readList(name string) (incident.Inventory, error) {
	var r io.Reader = stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	list, err := inventory.Read(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// note writes what was done at this machine's command line to the audit log.
func note(ctx context.Context, db *store.Store, what, object, detail string) error {
	return (&access.Keeper{Store: db}).Note(ctx, here(), what, "", object, detail)
}
