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
	f := flags(s, "decode", "[--json] HANDOFF",
		"离线解读交接码：应答码、前两个原因、款项、五条关键事实、终端号末尾和时刻。空格、横线和大小写都不影响。\n退出码：0 读出；1 听错了；2 用法不对。",
		"Reads a hand-off code offline: the code, the first two causes, the money, five key facts, the end of the terminal id and the hour. Blanks, dashes and small letters do not matter.\nExit codes: 0 read, 1 misheard, 2 usage.",
		"posdx decode T6K3-MB3G-EE7J-FZZY-DKMP")
	config := f.String("config", defaultConfig, "本机配置 `FILE`，用其中的知识包\nthe configuration `FILE` of the terminal, for its knowledge pack")
	asJSON := f.Bool("json", false, jsonUsage)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) == 0 {
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
	fmt.Fprint(s.out, h.Text(k, s.lang()))
	return exitOK
}
