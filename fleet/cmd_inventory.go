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
		"终端之间的共同点：estate、terminal，以及 acquirer carrier bearer site region model firmware application 中的任意几列。import 导入清单（UTF-8、UTF-16 或 GB 18030；逗号、分号或制表符；列名用英文或中文）。已有的终端只改 FILE 里有的列：空格子清除原来的值，FILE 里没有的列保持不变；其他终端不动。不认识的列会被拒绝；备注列和没有名字的列跳过。运行中的管理平台会自己读取，除非它另有 --inventory。check 只读清单，不改动。FILE 写 - 表示标准输入。",
		"What terminals share with others: estate, terminal, and any of acquirer carrier bearer site region model firmware application. import takes a list in (UTF-8, UTF-16 or GB 18030; comma, semicolon or tab; names of columns in English or Chinese). Of terminals that are there already only the columns change that FILE has: an empty cell takes away what was said, a column that is not in FILE keeps it; other terminals stay. An unknown column is refused; remark, note and columns without a name are passed over. A running fleet reads it by itself, unless it has an --inventory of its own. check only reads the list. FILE may be - for stdin.",
		"posdx-fleet inventory import terminals.csv --data /var/lib/posdx-fleet")
	data := f.String("data", defaultData, "管理平台的数据目录 `DIR`\n`DIR` of the fleet")
	replace := f.Bool("replace", false, "import：清单里没有的就忘掉\nimport: what is not in the list is forgotten")
	yesEmpty := f.Bool("yes-empty", false, "配合 --replace：接受没有终端的清单，即全部忘掉\nwith --replace: take a list without terminals, which forgets all")
	words, code, ok := parseWords(s, f, args, 1, 2)
	if !ok {
		return code
	}
	if verb := words[0]; verb != "import" && verb != "check" && verb != "export" ||
		(verb == "export") != (len(words) == 1) {
		return s.wrong("inventory", "%q：应为 import FILE、check FILE 或 export", "%q: want import FILE, check FILE, or export", words)
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
		s.print("%d 台终端", "%d terminals", len(list.Terminals))
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
	s.print("新增 %d，改动 %d，共 %d", "%d new, %d changed, %d in all", fresh, changed, len(inv))
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
