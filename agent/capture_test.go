package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/drivers/ecr"
	"posdx/firmware-build/housetest"
	"posdx/firmware-build/lab/world"
)

// TestWireIsDiagnosed sells over plain TCP with a card in every field: the host's code is diagnosed with the wire's
// times, a sale without an answer is known to be one, and the card is nowhere.
func TestWireIsDiagnosed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for CAP_NET_RAW")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	host := world.NewHost(ecr.UnionPay(), ecr.Binary2)
	host.Change(func(s *world.HostState) { s.Sale = "96" })
	served := make(chan error, 1)
	go func() { served <- host.Serve(ctx, l) }()

	dir := t.TempDir()
	text := least + fmt.Sprintf("state_dir = %q\n[hook]\nsocket = %q\n[capture]\non = true\n[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = %d\n",
		dir+"/state", dir+"/s", l.Addr().(*net.TCPAddr).Port)
	c, err := parseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	said := &housetest.Buffer{}
	gate := &report.Gate{}
	tasks, closing, err := build(c, slog.New(slog.NewTextHandler(gate.Writer(said), nil)), gate)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := serve(t, c, tasks, closing)
	wait := func(what string, ok func() bool) {
		t.Helper()
		if !housetest.Within(housetest.Patience, ok) {
			t.Fatalf("never: %s\n%s", what, said)
		}
	}
	wait("packets are watched", func() bool {
		return strings.Contains(said.String(), "are watched") || strings.Contains(said.String(), "CAP_NET_RAW")
	})
	if strings.Contains(said.String(), "CAP_NET_RAW") {
		t.Skip("root may open no packet socket here")
	}

	const pan, track = "6222020000000003", "6222020000000003D30122011758928889"
	sell := func(stan string) (hangUp func()) {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := ecr.Build(ecr.UnionPay(), ecr.Head{TPDU: "6000030000", Header: "602200000000"}, "0200", map[int]string{
			2: pan, 3: "000000", 11: stan, 14: "3012", 35: track, 41: "10077120", 52: "\xe3\x19\xc5\x70\x8a\xf2\x46\xbd", 62: pan, 63: track})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(ecr.Binary2.Append(nil, b)); err != nil {
			t.Fatal(err)
		}
		return func() { conn.Close() }
	}
	state := ""
	look := func(text string) func() bool {
		return func() bool {
			s, err := client.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			state = mustJSON(t, s)
			return strings.Contains(state, text)
		}
	}
	hangUp := sell("000123")
	wait("the code of the wire", look(`"code":"96"`))
	hangUp()
	for _, want := range []string{`"channel":"capture"`, `"origin":"host"`, `"stan":"000123"`, `"response_ms":`, `"connect_ms":`, `"terminal_id":"10077120"`} {
		if !strings.Contains(state, want) {
			t.Errorf("the state lacks %s", want)
		}
	}
	// The application gives up, and says so without a word of what it sent.
	host.Change(func(s *world.HostState) { s.Silent = true })
	asked := host.Asked("0200")
	hangUp = sell("000124")
	wait("the host has the request", func() bool { return host.Asked("0200") > asked })
	time.Sleep(1200 * time.Millisecond) // no application gives up sooner, and none is believed to
	hangUp()
	ask(t, client, map[string]any{"type": "code", "code": "DataTransferError", "origin": "terminal", "wait": "first"})
	wait("the code of the application", look(`"code":"DataTransferError"`))
	if !strings.Contains(state, `"sent":true,"host_answer_seen":false`) || !strings.Contains(state, `"state":"sent-no-answer"`) {
		t.Errorf("a sale that was sent and not answered is not known to be one: %s", state)
	}
	stop()
	end()
	if err := <-served; err != nil {
		t.Error(err)
	}

	packed, err := hex.DecodeString(pan)
	if err != nil {
		t.Fatal(err)
	}
	search := func(where string, b []byte) {
		for _, secret := range [][]byte{[]byte(pan), []byte(pan[:8]), packed, []byte(track[17:])} {
			if bytes.Contains(b, secret) {
				t.Errorf("%s holds %q of the card", where, secret)
			}
		}
	}
	search("state", []byte(state))
	search("log", []byte(said.String()))
	kept := 0
	err = filepath.WalkDir(c.StateDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		search(path, b)
		kept += bytes.Count(b, []byte(`"channel":"capture"`))
		return err
	})
	if err != nil || kept == 0 || gate.Stopped() != 0 {
		t.Errorf("%d diagnoses of the wire kept, the gate stopped %d, %v", kept, gate.Stopped(), err)
	}
}
