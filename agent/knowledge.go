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
		"Prints which knowledge is in force. With a PACK it checks the signature and the version and puts it in place; the\nrunning daemon takes it up within ten minutes, or at once on SIGHUP.\nExit codes: 0 done, 1 the pack was refused.",
		"posdx knowledge /tmp/knowledge-2027.01.15.pack")
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 1 {
		f.Usage()
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
		s.fail("", err)
		return exitFailed
	}
	k := l.Now.Load()
	if *asJSON {
		json.NewEncoder(s.out).Encode(map[string]any{"version": k.Version, "hash": k.Hash, "builtin": k.Hash == codes.Builtin().Hash})
		return exitOK
	}
	fmt.Fprintf(s.out, "knowledge %s  %s\n", k.Version, k.Hash)
	return exitOK
}
