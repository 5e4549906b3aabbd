package main

import (
	"context"
	"fmt"
	"log/slog"
	"text/tabwriter"

	"posdx/codes"
	"posdx/fleet/notify"
)

func runNotify(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"notify",
		"check | test WAY --config FILE",
		"check 检查 serve --notify 所用的文件，说出哪里有错，或列出其中的通知渠道。test 用其中一个渠道试发一条通知。",
		"check reads the file that serve --notify takes and says what is wrong with it, or lists the ways in it. test tells a test notice by one of them.",
		"posdx-fleet notify check --config /etc/posdx-fleet/notify.toml\nposdx-fleet notify test ops --config /etc/posdx-fleet/notify.toml",
	)
	file := f.String("config", "/etc/posdx-fleet/notify.toml", "TOML `FILE`，即通知设置\nTOML `FILE`")
	words, code, ok := parseWords(s, f, args, 1, 2)
	if !ok {
		return code
	}
	if (words[0] == "check") == (len(words) == 2) || words[0] != "check" && words[0] != "test" {
		return s.wrong("notify", "%q：应为 check 或 test WAY", "%q: want check, or test WAY", words)
	}
	c, err := notify.Read(*file)
	if err != nil {
		return failed(s, "notify", mistake{err})
	}
	if words[0] == "check" {
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, one := range c.Way {
			fmt.Fprintf(w, "%s\t%s\t%s\n", one.Name, one.Kind, estateText(one.Estates))
		}
		w.Flush()
		return exitOK
	}
	t, err := notify.New(c, nil, codes.Builtin(), nil, slog.New(slog.DiscardHandler))
	if err == nil {
		err = t.Try(ctx, c, words[1])
	}
	if err != nil {
		return failed(s, "notify", err)
	}
	s.print("%s：已通知", "%s: told", words[1])
	return exitOK
}
