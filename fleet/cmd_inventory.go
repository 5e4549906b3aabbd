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
			"Chinese). Of terminals that are there already only the columns change that FILE has: an empty cell takes away what was\n"+
			"said, a column that is not in FILE keeps it; other terminals stay. An unknown column is refused; remark, note and\n"+
			"columns without a name are passed over. A running fleet reads it by itself, unless it has an --inventory of its own.\n"+
			"check only reads the list. FILE may be - for stdin.",
		"posdx-fleet inventory import terminals.csv --data /var/lib/posdx-fleet")
	data := f.String("data", defaultData, "`DIR` of the fleet")
	replace := f.Bool("replace", false, "import: what is not in the list is forgotten")
	yesEmpty := f.Bool("yes-empty", false, "with --replace: take a list without terminals, which forgets all")
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
		fmt.Fprintf(s.out, "%d terminals\n", len(list.Terminals))
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
	if *replace && len(list.Terminals) == 0 && !*yesEmpty {
		return failed(s, "inventory", fmt.Errorf("%s names no terminal: --replace would forget all that are there; "+
			"give --yes-empty if that is meant", words[1]))
	}
	fresh, changed := list.Merge(inv)
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

func readList(name string) (inventory.List, error) {
	var r io.Reader = stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return inventory.List{}, err
		}
		defer f.Close()
		r = f
	}
	list, err := inventory.Read(r)
	if err != nil {
		return inventory.List{}, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// note writes what was done at this machine's command line to the audit log.
func note(ctx context.Context, db *store.Store, what, object, detail string) error {
	return (&access.Keeper{Store: db}).Note(ctx, here(), what, "", object, detail)
}
