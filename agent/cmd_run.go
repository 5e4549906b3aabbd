package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/stamp"
	"posdx/agent/report"

	"golang.org/x/sys/unix"
)

// exitConfig tells the supervisor that a restart cannot help (sysexits.h EX_CONFIG).
const exitConfig = 78

// A task is one long-running part of the daemon.
type task struct {
	name string
	run  func(context.Context) error
}

func runDaemon(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "run", "[--config FILE] [--verbose]",
		"运行守护进程，直到要求它停止。服务管理器若等它（sd_notify），就绪时会告知，之后定期告知各部分都在运转。\n"+
			"退出码：0 按要求停止；1 有一部分失败，2 崩溃：请重新启动；78 配置不对：重启没有用。十分钟内每多崩溃一次，下次启动就更晚，最多 30 秒；五次后降级启动，只查码表，不做检查，一刻钟不崩溃就恢复。",
		"Runs the daemon until it is told to stop. A service manager that waits for it (sd_notify) is told when it is ready, and then that every part of it still turns.\n"+
			"Exit codes: 0 told to stop; 1 a part failed, 2 it crashed: start it again; 78 the configuration is wrong: a restart cannot help. Each further crash within ten minutes makes the next start later, up to 30 s; after five it starts reduced, answering codes from the tables without checks, and whole again after a quarter of an hour without a crash.",
		"posdx run --config "+defaultConfig)
	path := f.String("config", defaultConfig, "配置 `FILE`\nthe configuration `FILE`")
	verbose := f.Bool("verbose", false, "每一步都写日志\nlog every step")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 {
		misuse(s, f, words, 0)
		return exitUsage
	}
	c, problems, err := readConfig(*path)
	if err != nil {
		sayProblems(s, problems.Of(conf.Error), s.lang())
		return exitConfig
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	gate := &report.Gate{}
	log := slog.New(slog.NewTextHandler(gate.Writer(s.err), &slog.HandlerOptions{Level: level}))
	for _, p := range problems {
		log.Warn("configuration", "problem", p)
	}
	settle(log)
	c.life = keeper.OpenLives(filepath.Dir(c.Hook.Socket), stamp.New(0).BootID, stamp.UptimeMS())
	err = c.life.Live(ctx, log, func() error {
		tasks, closing, err := build(c, log, gate)
		if err != nil {
			s.fail("run", err)
			code = exitConfig
			return nil
		}
		defer closing()
		return runAll(ctx, tasks)
	})
	if err != nil {
		log.Error("stopped", "err", err)
		return exitFailed
	}
	return code
}

// settle makes the process small and silent: no core with what it read in it, nobody looking in, one processor and a
// tight heap (measured: two thirds of the memory at three quarters of the CPU time). The environment still wins.
func settle(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("switch off core dumps", "err", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("forbid ptrace", "err", err)
	}
}

// stopping is how long the parts may take to end; then the process goes without them.
const stopping = 5 * time.Second

// runAll runs every task until ctx ends. The first that ends by itself ends all, with an error.
func runAll(parent context.Context, tasks []task) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, t := range tasks {
		wg.Go(func() {
			err := t.run(ctx)
			if ctx.Err() == nil {
				if err == nil {
					err = errEnded
				}
				cancel(fmt.Errorf("%s: %w", t.name, err))
			}
		})
	}
	<-ctx.Done()
	all := make(chan struct{})
	go func() { wg.Wait(); close(all) }()
	select {
	case <-all:
	case <-time.After(stopping):
		return errors.New("stop: a part did not end in time")
	}
	if parent.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}
