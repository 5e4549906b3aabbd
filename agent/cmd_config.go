package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// defaultConfig is where a packaged terminal keeps its configuration.
const defaultConfig = "/etc/posdx/posdx.toml"

func runConfig(_ context.Context, s stdio, args []string) int {
	f := flags(s, "config", "check [--json] FILE", "Reads a configuration and says everything that is wrong with it, with line and column.\nExit codes: 0 good, 1 wrong or unreadable.", "posdx config check "+defaultConfig)
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) < 1 || words[0] != "check" || len(words) > 2 {
		f.Usage()
		return exitUsage
	}
	path := defaultConfig
	if len(words) == 2 {
		path = words[1]
	}
	c, err := readConfig(path)
	if *asJSON {
		out := struct {
			OK       bool   `json:"ok"`
			File     string `json:"file"`
			Terminal string `json:"terminal,omitempty"`
			Problem  string `json:"problem,omitempty"`
		}{OK: err == nil, File: path}
		if err != nil {
			out.Problem = err.Error()
		} else {
			out.Terminal = c.Estate + "/" + c.Terminal
		}
		json.NewEncoder(s.out).Encode(out)
	} else if err == nil {
		fmt.Fprintf(s.out, "%s: good, terminal %s of estate %s\n", path, c.Terminal, c.Estate)
	}
	if err != nil {
		fmt.Fprintf(s.err, "posdx: %v\n", err)
		return exitFailed
	}
	return exitOK
}
