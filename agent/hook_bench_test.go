package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

// BenchmarkHookFirst measures, in a whole daemon, from a code's last byte to its first verdict, while a payment
// application tells of its sales, another program asks for the state without end, and a debug log grows.
func BenchmarkHookFirst(b *testing.B) {
	dir := b.TempDir()
	log := filepath.Join(dir, "pay.log")
	os.WriteFile(log, nil, 0o600)
	c := mustParse(b, least+fmt.Sprintf("state_dir = %q\n[hook]\nsocket = %q\n[[log]]\npath = %q\npatterns = ['RC=(?P<code>\\w+)']\n", dir+"/state", dir+"/s", log))
	tasks, closing, err := build(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runAll(ctx, tasks) }()
	defer func() { cancel(); <-ended; closing() }()
	client := hook.Client{Path: c.Hook.Socket}
	housetest.Until(b, "the hook answers", func() bool { _, err := client.State(ctx); return err == nil })
	var over atomic.Bool
	defer over.Store(true)
	busy := func(pause time.Duration, line string) {
		conn, err := net.Dial("unix", client.Path)
		if err != nil {
			return
		}
		defer conn.Close()
		for r := bufio.NewReader(conn); !over.Load(); time.Sleep(pause) { // the load's pace
			fmt.Fprintln(conn, line)
			if _, err := r.ReadSlice('\n'); err != nil && err != bufio.ErrBufferFull {
				return
			}
		}
	}
	go busy(5*time.Millisecond, `{"type":"txn","phase":"end","result":"approved","stan":"000001","response_ms":812}`)
	go busy(20*time.Millisecond, `{"type":"status"}`)
	go func() {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
		for ; err == nil && !over.Load(); time.Sleep(time.Millisecond) { // the load's pace
			fmt.Fprintln(f, "2026-11-22 10:00:00 debug 4761739001010010 nothing that matters")
		}
	}()
	conn, err := net.Dial("unix", client.Path)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	answers := json.NewDecoder(conn)
	var took []time.Duration
	n := 0
	for b.Loop() {
		n++
		fmt.Fprintf(conn, `{"type":"code","code":"T-%d","origin":"terminal","wait":"first"}`+"\n", n)
		start := time.Now()
		var a hook.Answer
		if err := answers.Decode(&a); err != nil {
			b.Fatal(err)
		}
		if a.Result == hook.First {
			took = append(took, time.Since(start))
		}
		time.Sleep(10 * time.Millisecond) // faster than any till
	}
	slices.Sort(took)
	for name, at := range map[string]int{"p50-ms": len(took) / 2, "p99-ms": len(took) * 99 / 100, "max-ms": len(took) - 1} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, name)
	}
	b.ReportMetric(float64(n-len(took)), "not-first")
}
