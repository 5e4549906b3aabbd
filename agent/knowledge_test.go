package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/library"
	"posdx/agent/report"
	"posdx/codes"
)

func signedPack(t *testing.T, version string, key ed25519.PrivateKey) []byte {
	t.Helper()
	b, err := codes.Pack(os.DirFS("../codes/data"), version, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKnowledgeIsReplacedAndFallsBack(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := config{Config: conf.Defaults()}
	c.StateDir = t.TempDir()
	c.Knowledge.Keys = []string{base64.StdEncoding.EncodeToString(public)}
	var talk bytes.Buffer
	log := slog.New(slog.NewTextHandler(&talk, nil))
	l, err := library.New(c.StateDir, c.Knowledge.Keys, log)
	if err != nil {
		t.Fatal(err)
	}
	good := signedPack(t, "2999.01.01", private)
	damaged := bytes.Clone(good)
	damaged[len(damaged)-9] ^= 1
	for name, p := range map[string]struct {
		pack []byte
		want string
	}{
		"a stranger's":            {signedPack(t, "2999.01.01", stranger), "no trusted key"},
		"a damaged one":           {damaged, "damaged"},
		"an old one":              {signedPack(t, "2001.01.01", private), "not newer"},
		"half of one":             {good[:len(good)/2], ""},
		"nothing":                 {nil, ""},
		"something else":          {[]byte("<html>captive portal</html>"), ""},
		"one of the same version": {signedPack(t, codes.Builtin().Version, private), "not newer"},
	} {
		if _, err := l.Install(p.pack); err == nil || !strings.Contains(err.Error(), p.want) {
			t.Errorf("%s: got %v, want a refusal with %q", name, err, p.want)
		}
		if l.Now.Load() != codes.Builtin() {
			t.Fatalf("%s replaced the knowledge", name)
		}
	}
	if _, err := l.Install(good); err != nil {
		t.Fatal(err)
	}
	if v := l.Now.Load().Version; v != "2999.01.01" {
		t.Errorf("in force: %s", v)
	}
	again, err := library.New(c.StateDir, c.Knowledge.Keys, log)
	if err != nil || again.Now.Load().Version != "2999.01.01" {
		t.Errorf("after a restart: %s, %v", again.Now.Load().Version, err)
	}
	if err := os.WriteFile(filepath.Join(c.StateDir, "knowledge.pack"), damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	talk.Reset()
	again, err = library.New(c.StateDir, c.Knowledge.Keys, log)
	if err != nil || again.Now.Load() != codes.Builtin() || !strings.Contains(talk.String(), "not used") {
		t.Errorf("a pack that went bad on flash: %v, said %q; want the built-in knowledge and a word about it", err, talk.String())
	}
	c.Knowledge.Keys = []string{"short"}
	if _, err := library.New(c.StateDir, c.Knowledge.Keys, log); err == nil || !strings.Contains(err.Error(), "knowledge.keys[0]") {
		t.Errorf("a bad key: %v", err)
	}
}

// TestCommandsUseThePackInForce: what posdx code says on a terminal is what its daemon says.
func TestCommandsUseThePackInForce(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	data, dir := t.TempDir(), t.TempDir()
	if err := os.CopyFS(data, os.DirFS("../codes/data")); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(data, "codes", "unionpay.tsv")
	b, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	const was, is = "Terminal not registered", "Terminal unknown since the pack"
	if err := os.WriteFile(table, bytes.ReplaceAll(b, []byte(was), []byte(is)), 0o600); err != nil {
		t.Fatal(err)
	}
	pack, err := codes.Pack(os.DirFS(data), "2999.01.01", private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "knowledge.pack"), pack, 0o600); err != nil {
		t.Fatal(err)
	}
	conf := configured(t, dir, "[knowledge]\nkeys = [\""+base64.StdEncoding.EncodeToString(public)+"\"]\n")
	replay := filepath.Join(dir, "case.json")
	if err := os.WriteFile(replay, []byte(`{"event":{"code":"97","scheme":"unionpay","origin":"host","channel":"hook"},"evidence":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"code", "--lang", "en", "--scheme", "unionpay", "97"},
		{"diagnose", "--lang", "en", "--replay", replay},
	} {
		if _, out, talk := cli(t, args...); !strings.Contains(out, was) || strings.Contains(out, is) {
			t.Errorf("%q without a configuration:\n%s%s", args, out, talk)
		}
		with := append([]string{args[0], "--config", conf}, args[1:]...)
		if _, out, talk := cli(t, with...); !strings.Contains(out, is) {
			t.Errorf("%q:\n%s%s", with, out, talk)
		}
	}
}

func TestFleetReplacesKnowledge(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, least+"state_dir = \""+t.TempDir()+"\"\n[knowledge]\nkeys = [\""+base64.StdEncoding.EncodeToString(public)+"\"]\n")
	d, _ := assembled(t, c)
	before := d.agent().Knowledge
	r := d.command(t.Context(), "knowledge", report.Command{ID: "1", Args: map[string]any{"pack": "bm90IGEgcGFjaw=="}})
	if r.Result != "refused" || r.Why == "" || d.agent().Knowledge != before {
		t.Errorf("no pack: %+v", r)
	}
	r = d.command(t.Context(), "knowledge",
		report.Command{ID: "2", Args: map[string]any{"pack": base64.StdEncoding.EncodeToString(signedPack(t, "2999.01.01", private))}})
	if r.Result != "done" || d.lib.Now.Load().Version != "2999.01.01" {
		t.Errorf("a good pack: %+v", r)
	}
	r = d.command(t.Context(), "format-disk", report.Command{ID: "3"})
	if r.Result != "refused" {
		t.Errorf("an unknown command: %+v", r)
	}
}
