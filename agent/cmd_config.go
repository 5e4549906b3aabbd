package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/say"
)

// defaultConfig is where a packaged terminal keeps its configuration.
const defaultConfig = conf.Path

// unwritten tells whether there is no configuration yet where one is looked for unless another is named: then a command
// that does not need one goes on with the defaults.
func unwritten(path string) bool {
	_, err := os.Stat(path)
	return path == defaultConfig && errors.Is(err, fs.ErrNotExist)
}

func runConfig(_ context.Context, s stdio, args []string) int {
	f := flags(s, "config", "check [--config FILE | FILE] [--strict] [--json]",
		"读取配置和旁边的片段（conf.d/*.toml），照着把各部分都建一遍但不启动，并指出所有错误，带文件、行和列。\n"+
			"“错误”使守护进程不能启动。“故障”不影响启动，但在处理之前这一项不起作用，例如缺用户组或证书。“警告”是以后可能会有的：还没写出来的日志、还没插上的设备。\n"+
			"退出码：0 没有问题（可有警告）；1 守护进程不能以此启动；4 能启动但有故障，用 --strict 时警告也算；2 用法不对。",
		"Reads a configuration and the fragments beside it (conf.d/*.toml), builds everything of it without starting anything, and says everything that is wrong, with file, line and column.\n"+
			"An error keeps the daemon from starting. A fault does not, but what the key is for will not work until it is seen to: a group or a certificate that is missing. A warning is about what may come later: a log not yet written, a device not plugged in.\n"+
			"Exit codes: 0 good, warnings apart; 1 the daemon does not start with it; 4 it starts, but there are faults, or with --strict warnings; 2 wrong usage.",
		"posdx config check "+defaultConfig+"\nposdx config check --strict --json "+defaultConfig)
	asJSON := f.Bool("json", false, jsonUsage)
	config := f.String("config", defaultConfig, "要检查的配置 `FILE`；只写 FILE 也行\nthe configuration `FILE` to check; FILE alone is the same")
	strict := f.Bool("strict", false, "警告也算错误\nwarnings count as errors")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	path := *config
	if len(words) == 2 && path == defaultConfig {
		path = words[1]
	}
	if len(words) < 1 || words[0] != "check" || len(words) > 2 || len(words) == 2 && words[1] != path {
		misuse(s, f, words, 2)
		return exitUsage
	}
	lang := s.langOf(path)
	c, problems, err := readConfig(path)
	against := problems.Of(conf.Error, conf.Fault)
	if *strict {
		against = problems
	}
	good := len(against) == 0
	if *asJSON {
		out := struct {
			OK       bool          `json:"ok"`
			File     string        `json:"file"`
			Terminal string        `json:"terminal,omitempty"`
			Problem  string        `json:"problem,omitempty"` // all that count, a line each
			Problems conf.Problems `json:"problems"`
		}{OK: good, File: path, Problems: problems.Told(lang)}
		if good {
			out.Terminal = c.Estate + "/" + c.Terminal
		} else {
			out.Problem = against.In(lang)
		}
		json.NewEncoder(s.out).Encode(out)
	} else if good {
		said := say.New("config-good", path, c.Terminal, c.Estate)
		if n := len(problems); n > 0 {
			said = say.New("config-good-warned", path, c.Terminal, c.Estate, n)
		}
		fmt.Fprintln(s.out, said.In(lang))
	}
	sayProblems(s, problems, lang)
	switch {
	case err != nil:
		return exitFailed
	case !good:
		return exitBad
	}
	return exitOK
}

// sayProblems tells what is wrong with a configuration, a line each.
func sayProblems(s stdio, problems conf.Problems, lang string) {
	for _, p := range problems {
		fmt.Fprintf(s.err, "posdx: %s\n", strings.ReplaceAll(p.In(lang), "\n", " "))
	}
}
