package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/report"
)

func replay(t *testing.T, in string, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	s := stdio{in: strings.NewReader(in), out: &o, err: &e, speak: "en"}
	code = run(context.Background(), s, append([]string{"diagnose"}, args...))
	return code, o.String(), e.String()
}

func TestReplay(t *testing.T) {
	dir := filepath.Join("diagnose", "testdata", "cases")
	code, out, talk := replay(t, "", "--replay", filepath.Join(dir, "wifi-key.json"), "--lang", "en")
	if code != exitOK || !strings.Contains(out, "lan.wifi") || talk != "" {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}
	code, out, _ = replay(t, "", "--replay", filepath.Join(dir, "cannot-tell-failed.json"), "--lang", "zh")
	if code != exitAbstain || !strings.Contains(out, "分不清") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := replay(t, "", "--replay", filepath.Join(dir, "wifi-key.json"), "--explain"); code != exitOK || !strings.Contains(out, "wifi.auth") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for in, want := range map[string]string{
		"": "empty", "{}": "no event", `{"event":{"code":""}}`: "no event", "[1]": "want an object, found a list", "\x00\xff": "not JSON",
		`{"event":{"code":"96","code":"00"}}`:                    `"code": stands in one object twice`,
		`{"event":{"code":"96","origin":"evil"}}`:                "want one of host terminal cashier unknown",
		`{"event":{"code":"96","scheme":"\u001b[2J"}}`:           "control character",
		`{"event":{"code":"96"},"event":{"code":"00"}}`:          `"event": stands in one object twice`,
		`{"event":{"code":"\ud83d"}}`:                            "surrogate",
		`{"event":{"code":"` + "\uFFFD" + `"}}`:                  "could not be read",
		`{"event":{"code":"4761739001010010"}}`:                  "looks like a card number",
		`{"event":{"code":96}}`:                                  `"event.code": want text in quotes, found a number`,
		`{"event":{"code":"96"},"evidence":{"check":"net.tcp"}}`: `"evidence": want a list, found an object`,
		`{"event":{"code":"96","txn":{"sent":"yes"}}}`:           "want true or false, found string",
		`{"event":{"code":"96","time":"noon"},"evidence":[]}`:    "2026-11-21T12:00:00Z",
	} {
		if code, _, talk := replay(t, in, "--replay", "-"); code != exitFailed || !strings.Contains(talk, want) {
			t.Errorf("%q: exit %d, %q, want %q", in, code, talk, want)
		}
	}
	whole := `{"event":{"code":"96"},"evidence":[]}`
	wide := []byte("\xff\xfe")
	for _, c := range []byte(whole) {
		wide = append(wide, c, 0)
	}
	for _, in := range []string{"\ufeff" + whole, string(wide)} {
		if code, out, talk := replay(t, in, "--replay", "-"); code == exitFailed || !strings.Contains(out, "96") {
			t.Errorf("%q: exit %d, %s", in, code, talk)
		}
	}
	if code, _, talk := replay(t, "", "--replay", "no-such-file"); code != exitFailed || !strings.Contains(talk, "no-such-file") {
		t.Errorf("exit %d %q", code, talk)
	}
	for _, args := range [][]string{{"--lang", "fr", "--replay", "-"}, {"--json", "--explain", "--replay", "-"}, {"--profile", "nobody", "--replay", "-"}} {
		if code, _, _ := replay(t, "{}", args...); code != exitUsage {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}

// TestReplayRecorded replays what a replay wrote: the verdict is the same, and a changed one says what changed.
func TestReplayRecorded(t *testing.T) {
	file := filepath.Join("diagnose", "testdata", "cases", "wan-mtu.json")
	_, first, _ := replay(t, "", "--replay", file, "--json", "--lang", "zh")
	code, again, talk := replay(t, first, "--replay", "-", "--json", "--lang", "zh")
	if code != exitOK || again != first || !strings.Contains(talk, "知识相同，结论相同") {
		t.Errorf("exit %d, %q, equal %v", code, talk, again == first)
	}
	var d report.Diagnosis
	if err := json.Unmarshal([]byte(first), &d); err != nil {
		t.Fatal(err)
	}
	d.Agent.Knowledge, d.Causes[0].ID = "sha256:0", "host.tls"
	b, _ := json.Marshal(d)
	if _, _, talk := replay(t, string(b), "--replay", "-", "--lang", "en"); !strings.Contains(talk, "another verdict") || !strings.Contains(talk, "sha256:0") {
		t.Errorf("%q", talk)
	}
	old := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(old, bytes.Repeat([]byte(" "), maxReplay+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := replay(t, "", "--replay", old); code != exitFailed || !strings.Contains(talk, "more than") {
		t.Errorf("exit %d %q", code, talk)
	}
}

func TestDecode(t *testing.T) {
	_, first, _ := replay(t, "", "--replay", filepath.Join("diagnose", "testdata", "cases", "wan-mtu.json"), "--json")
	var d report.Diagnosis
	if err := json.Unmarshal([]byte(first), &d); err != nil {
		t.Fatal(err)
	}
	decode := func(args ...string) (int, string, string) {
		var o, e bytes.Buffer
		code := runDecode(context.Background(), stdio{in: nil, out: &o, err: &e, speak: "en"}, args)
		return code, o.String(), e.String()
	}
	if code, out, _ := decode("--lang", "en", strings.ToLower(d.Handoff)); code != exitOK ||
		!strings.Contains(out, "wan.mtu") || !strings.Contains(out, "newpos:E6") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, out, _ := decode("--json", d.Handoff); code != exitOK || !strings.Contains(out, `"wan.mtu"`) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, talk := decode("AAAA-AAAA-AAAA-AAAA-AAAA"); code != exitFailed || !strings.Contains(talk, "misheard") {
		t.Errorf("exit %d %q", code, talk)
	}
	if code, _, talk := decode(strings.Repeat("K", 5000)); code != exitFailed || len(talk) > 400 {
		t.Errorf("exit %d, %d bytes", code, len(talk))
	}
	if code, _, _ := decode(); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}
