package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"posdx/agent/internal/atomicfile"
	conf "posdx/agent/internal/config"
	"posdx/agent/internal/library"
	"posdx/codes"
)

func runKnowledge(_ context.Context, s stdio, args []string) int {
	f := flags(s, "knowledge", "[--config FILE] [--json] [PACK]",
		"显示正在使用的知识包。给出 PACK 时检查其签名和版本并换上；运行中的守护进程十分钟内采用，收到 SIGHUP 则立即采用。\n退出码：0 完成；1 知识包被拒绝；2 用法不对。",
		"Prints which knowledge is in force. With a PACK it checks the signature and the version and puts it in place; the running daemon takes it up within ten minutes, or at once on SIGHUP.\nExit codes: 0 done, 1 the pack was refused, 2 usage.",
		"posdx knowledge /tmp/knowledge-2027.01.15.pack")
	path := f.String("config", defaultConfig, "配置 `FILE`\nthe configuration `FILE`")
	asJSON := f.Bool("json", false, jsonUsage)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 1 {
		misuse(s, f, words, 1)
		return exitUsage
	}
	c, _, err := readConfig(*path)
	if unwritten(*path) && len(words) == 0 {
		c, err = config{Config: conf.Defaults()}, nil
	}
	var l *library.Library
	if err == nil {
		l, err = library.New(c.StateDir, c.Knowledge.Keys, slog.New(slog.NewTextHandler(s.err, nil)))
	}
	if err == nil && len(words) == 1 {
		var b []byte
		if b, err = atomicfile.Read(words[0], codes.MaxPack); err == nil {
			_, err = l.Install(b)
		}
	}
	if err != nil {
		s.fail("knowledge", err)
		return exitFailed
	}
	k := l.Now.Load()
	if *asJSON {
		json.NewEncoder(s.out).Encode(map[string]any{"version": k.Version, "hash": k.Hash, "builtin": k.Hash == codes.Builtin().Hash})
		return exitOK
	}
	fmt.Fprintf(s.out, "%s %s  %s\n", s.say("知识包", "knowledge"), k.Version, k.Hash)
	return exitOK
}
