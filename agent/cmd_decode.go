package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"posdx/agent/diagnose"
)

func runDecode(_ context.Context, s stdio, args []string) int {
	f := flags(s, "decode", "[--lang zh|en] [--json] HANDOFF",
		"Reads a hand-off code offline: the code, the first two causes, the money, five key facts, the end of the terminal id and the\n"+
			"hour. Blanks, dashes and small letters do not matter. Exit 0 read, 1 misheard, 2 usage.",
		"posdx decode T6K3-MB3G-EE7J-FZZY-DKMP")
	lang := f.String("lang", "zh", "zh or en")
	config := f.String("config", defaultConfig, "the configuration `FILE` of the terminal, for its knowledge pack")
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) == 0 || *lang != "zh" && *lang != "en" {
		f.Usage()
		return exitUsage
	}
	k := inForce(*config)
	h, err := diagnose.DecodeHandoff(strings.Join(words, " "), time.Now(), k)
	if err != nil {
		s.fail("decode", err)
		return exitFailed
	}
	if *asJSON {
		b, err := json.MarshalIndent(h, "", " ")
		if err != nil {
			s.fail("decode", err)
			return exitFailed
		}
		fmt.Fprintln(s.out, string(b))
		return exitOK
	}
	fmt.Fprint(s.out, h.Text(k, *lang))
	return exitOK
}
