package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/codes"
)

func runSelfcheck(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "selfcheck", "[--config FILE] [--live SECONDS]",
		"检查本程序能否在这里接班，不碰任何东西：读取配置和上一个程序留在存储里的内容，并试着解释一个应答码。--live 在这么多秒内等待，直到运行中的守护进程就是本程序、能在套接字上回答、待发数据已打开。\n退出码：0 能（已接班）；1 不能，并说明原因；2 用法不对。",
		"Tells whether this program could take over here, touching nothing: it reads the configuration, what the program before it left on flash, and explains a code. With --live it waits that long until the running daemon is this very program, answers on its socket and has its outbox open.\nExit codes: 0 it can (it does); 1 it cannot, and why; 2 usage.",
		"posdx selfcheck --config "+defaultConfig+"\nposdx selfcheck --live 60")
	path := f.String("config", defaultConfig, "配置 `FILE`\nthe configuration `FILE`")
	live := f.Int("live", 0, "最多等 `SECONDS` 秒，直到守护进程正常\nwait so many `SECONDS` for the running daemon to be well")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || *live < 0 || *live > 3600 {
		misuse(s, f, words, 0)
		return exitUsage
	}
	c, _, err := readConfig(*path)
	if err == nil && *live > 0 {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(*live)*time.Second)
		defer cancel()
		err = untilWell(ctx, c)
	} else if err == nil {
		err = couldRun(c)
	}
	if err != nil {
		s.fail("selfcheck", err)
		return exitFailed
	}
	fmt.Fprintf(s.out, s.say("posdx %s：正常，终端 %s，机构 %s\n", "posdx %s: well, terminal %s of estate %s\n"), version, c.Terminal, c.Estate)
	return exitOK
}

// couldRun tells whether this program could do its work with a configuration and the state that lies there.
func couldRun(c config) error {
	k := codes.Builtin()
	if _, err := chooseProfile(k, c.Profile); err != nil {
		return err
	}
	if err := outbox.Readable(filepath.Join(c.StateDir, "outbox")); err != nil {
		return err
	}
	d := diagnose.Explain(report.Event{Code: "96", Scheme: "unionpay", Origin: report.OriginHost}, nil, k,
		diagnose.Options{Lang: c.Language})
	if len(d.Causes) == 0 {
		return say.New("explain-nothing")
	}
	return nil
}

// wellPause is how long a daemon that is not well yet is left alone.
const wellPause = 500 * time.Millisecond

// untilWell waits until the running daemon is this program, answers, and has its outbox open.
func untilWell(ctx context.Context, c config) error {
	for {
		err := well(ctx, c)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return say.New("not-well", err)
		case <-time.After(wellPause):
		}
	}
}

func well(ctx context.Context, c config) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	st, err := hook.Client{Path: c.Hook.Socket}.State(ctx)
	if err != nil {
		return err
	}
	if st.Agent.Version != version {
		return say.New("other-version", st.Agent.Version, version)
	}
	dir := filepath.Join(c.StateDir, "outbox")
	if held, err := outbox.Held(dir); err != nil {
		return err
	} else if !held {
		return say.New("outbox-in-memory", dir)
	}
	return nil
}
