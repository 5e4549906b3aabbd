package world

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"posdx/drivers/ecr"
	"posdx/drivers/sim"
)

// hook is the daemon's side of the local protocol: it keeps every request and says the last word on each at once.
func hook(t *testing.T) (path string, lines func() []map[string]any) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hook") // a socket's path is at most 108 bytes: t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var got []map[string]any
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					var m map[string]any
					if json.Unmarshal(s.Bytes(), &m) == nil {
						mu.Lock()
						got = append(got, m)
						mu.Unlock()
					}
					if m["type"] == "code" {
						c.Write([]byte(`{"v":1,"result":"first","more":true}` + "\n"))
					}
					c.Write([]byte(`{"v":1,"result":"final"}` + "\n"))
				}
			}()
		}
	}()
	return path, func() []map[string]any {
		mu.Lock()
		defer mu.Unlock()
		return append([]map[string]any(nil), got...)
	}
}

// shop is an application with everything around it in working order.
func shop(t *testing.T) (*App, *Host, *sim.Reader, func() []map[string]any) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := NewHost(ecr.UnionPay(), ecr.Binary2)
	wg.Go(func() { h.Serve(ctx, l) })
	dir := t.TempDir()
	r := sim.NewReader(sim.GemCorePOSPro(), 1)
	line := sim.NewLine(filepath.Join(dir, "ttyReader0"), r, 1)
	if err := line.Plug(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Unplug)
	path, lines := hook(t)
	a := &App{Terminal: "10077120", Merchant: "898330154110012", TPDU: "6000030000", Host: l.Addr().String(), Wallet: "127.0.0.1:9",
		Reader: line.Path(), Records: dir, LogFile: filepath.Join(dir, "pos.log"), GB18030: true, Hook: path,
		Version: "5.3.0", Timeout: 10 * time.Second}
	return a, h, r, lines
}

func TestAppSells(t *testing.T) {
	a, h, r, lines := shop(t)
	if o := a.SignIn(t.Context(), false); o.Code != "00" || o.Origin != "host" {
		t.Fatalf("sign-in: %+v", o)
	}
	r.Insert()
	o := a.Sell(t.Context(), false)
	if o.Code != "00" || !o.Sent || !o.Answer || o.HookError != "" {
		t.Fatalf("sale: %+v", o)
	}
	if h.Asked("0800") != 1 || h.Asked("0200") != 1 || h.Asked("0400") != 0 {
		t.Errorf("host was asked %d sign-ins, %d sales, %d reversals", h.Asked("0800"), h.Asked("0200"), h.Asked("0400"))
	}
	var phases []string
	for _, m := range lines() {
		if m["type"] == "code" {
			t.Errorf("an approved sale was reported as a code: %v", m)
		}
		if m["type"] == "txn" {
			phases = append(phases, m["phase"].(string))
		}
	}
	if got := strings.Join(phases, " "); got != "start read sent answered end" {
		t.Errorf("phases %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(a.Records, "reversal-*")); len(left) != 0 {
		t.Errorf("reversal records left: %v", left)
	}
}

func TestAppReportsEveryFailureAsItIs(t *testing.T) {
	for _, c := range []struct {
		name         string
		fault        func(a *App, h *Host, r *sim.Reader)
		code, origin string
		sent, answer bool
		reversal     bool
	}{
		{"host fault", func(_ *App, h *Host, _ *sim.Reader) { h.Change(func(s *HostState) { s.Sale = "96" }) }, "96", "host", true, true, false},
		{"silent host", func(a *App, h *Host, _ *sim.Reader) {
			a.Timeout = 300 * time.Millisecond
			h.Change(func(s *HostState) { s.Silent = true })
		}, "newpos:E7", "terminal", true, false, true},
		{"half an answer", func(_ *App, h *Host, _ *sim.Reader) { h.Change(func(s *HostState) { s.Half = true }) }, "newpos:E7", "terminal", true, false, true},
		{"reset", func(_ *App, h *Host, _ *sim.Reader) { h.Change(func(s *HostState) { s.Reset = true }) }, "newpos:E7", "terminal", true, false, true},
		{"nobody listens", func(a *App, _ *Host, _ *sim.Reader) { a.Host = "127.0.0.1:9" }, "newpos:E5", "terminal", false, false, false},
		{"no reader", func(a *App, _ *Host, _ *sim.Reader) { a.Reader += "-not-there" }, "mpt:drv-icc", "terminal", false, false, false},
		{"mute card", func(_ *App, _ *Host, r *sim.Reader) { r.Change(func(s *sim.ReaderState) { s.Mute = true }) },
			"newpos:E12", "terminal", false, false, false},
		{"no room for the reversal record", func(a *App, _ *Host, _ *sim.Reader) { a.Records += "/not-there" }, "newpos:E21", "terminal", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, h, r, lines := shop(t)
			r.Insert()
			c.fault(a, h, r)
			o := a.Sell(t.Context(), false)
			if o.Code != c.code || o.Origin != c.origin || o.Sent != c.sent || o.Answer != c.answer {
				t.Errorf("got %s from %s, sent %v, answered %v", o.Code, o.Origin, o.Sent, o.Answer)
			}
			if o.HookError != "" || len(o.Told) != 2 {
				t.Errorf("hook: %q, %d answers, want 2", o.HookError, len(o.Told))
			}
			if got := h.Asked("0400") > 0; got != c.reversal {
				t.Errorf("reversal sent: %v", got)
			}
			var reported bool
			for _, m := range lines() {
				if m["type"] == "code" {
					reported = true
					if m["code"] != c.code || m["origin"] != c.origin {
						t.Errorf("reported %v", m)
					}
				}
			}
			if !reported {
				t.Error("no code was reported")
			}
		})
	}
}

func TestAppTakesAnotherWayWhenTheChipIsNotRead(t *testing.T) {
	a, _, r, lines := shop(t)
	r.Insert()
	r.Change(func(s *sim.ReaderState) { s.Mute = true })
	if o := a.Sell(t.Context(), true); o.Code != "00" {
		t.Fatalf("sale: %+v", o)
	}
	for _, m := range lines() {
		switch m["phase"] {
		case "read":
			if m["ok"] != false || m["entry"] != "chip" {
				t.Errorf("read: %v", m)
			}
		case "end":
			if m["result"] != "approved" || m["entry"] != "contactless" {
				t.Errorf("end: %v", m)
			}
		}
	}
}

func TestAppLogIsGB18030AndHoldsNoCard(t *testing.T) {
	a, h, r, lines := shop(t)
	h.Change(func(s *HostState) { s.Sale = "97" })
	r.Insert()
	a.Sell(t.Context(), false)
	raw, err := os.ReadFile(a.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().String(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "应答码=97") {
		t.Errorf("log: %s", text)
	}
	all, _ := json.Marshal(lines())
	if strings.Contains(text+string(all), "6222") {
		t.Error("the test card's number is in log or hook")
	}
}
