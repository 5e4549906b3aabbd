package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/bundle"
	conf "posdx/agent/internal/config"
	"posdx/agent/report"
	"posdx/codes"
)

// configured writes a configuration for a terminal in dir and returns its path.
func configured(t *testing.T, dir, more string) string {
	t.Helper()
	path := filepath.Join(dir, "posdx.toml")
	text := least + "language = \"en\"\nstate_dir = \"" + dir + "\"\n[hook]\nsocket = \"" + dir + "/s\"\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func cli(t *testing.T, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), stdio{in: strings.NewReader(""), out: &o, err: &e, speak: "en"}, args)
	return code, o.String(), e.String()
}

func TestBundleAndReplay(t *testing.T) {
	dir := t.TempDir()
	file0 := configured(t, dir, "[broker]\ncert = \"/etc/posdx/secret.pem\"\nkey = \"/etc/posdx/secret.key\"\nuser_file = \"/etc/posdx/secret.user\"\n[network]\nssid = \"secret-cafe\"\n")
	c, _, err := readConfig(file0)
	if err != nil {
		t.Fatal(err)
	}
	client, stop := startIn(t, c)
	for _, code := range []string{"96", "97", "ConnectError"} {
		ask(t, client, map[string]any{"type": "code", "code": code, "origin": "host", "wait": "final"})
	}
	file := filepath.Join(dir, "out.zip")
	code, out, talk := cli(t, "bundle", "--config", file0, "--lang", "en", file)
	if code != exitOK || !strings.Contains(out, "diagnoses.jsonl") {
		t.Fatalf("bundle: exit %d, %s%s", code, out, talk)
	}
	stop()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, content, err := bundle.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Scrubbed != 0 || m.Terminal != "shop/t1" || m.System == "" {
		t.Errorf("manifest %+v", m)
	}
	for name, body := range content {
		if bytes.Contains(body, []byte("secret")) {
			t.Errorf("%s holds a secret: %s", name, body)
		}
	}
	for _, name := range []string{"state.json", "diagnoses.jsonl", "config.json"} {
		if len(content[name]) == 0 {
			t.Errorf("no %s; missing %v", name, m.Missing)
		}
	}

	code, out, talk = cli(t, "replay", "--json", file)
	var list []replayed
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != 3 {
		t.Fatalf("replay: exit %d, %d diagnoses, %v: %s", code, len(list), err, talk)
	}
	for _, r := range list {
		if !r.Same {
			t.Errorf("%s: %s", r.Code, r.Say)
		}
	}

	// Another verdict is noticed: what was recorded is changed, and the manifest with it.
	content["diagnoses.jsonl"] = bytes.ReplaceAll(content["diagnoses.jsonl"], []byte(`"abstained":false`), []byte(`"abstained":true`))
	var parts []bundle.Part
	for name, body := range content {
		parts = append(parts, bundle.Part{Name: name, Body: body})
	}
	m.Members = nil
	changed, _, err := m.Pack(parts, "en")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, changed, 0o600)
	if code, out, _ := cli(t, "replay", "--lang", "en", file); code != exitBad || !strings.Contains(out, "another verdict") {
		t.Errorf("a changed verdict: exit %d, %s", code, out)
	}
}

func TestBundleWithoutDaemonAndConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out.zip")
	code, out, talk := cli(t, "bundle", "--config", filepath.Join(dir, "none.toml"), "--socket", filepath.Join(dir, "none"), "--json", file)
	var m bundle.Manifest
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s", code, err, talk)
	}
	missing := map[string]string{}
	for _, a := range m.Missing {
		missing[a.Name] = a.Why
	}
	if len(m.Members) != 0 || !strings.Contains(missing["state.json"], "no daemon") || missing["config.json"] == "" || missing["diagnoses.jsonl"] == "" {
		t.Errorf("members %v, missing %v", m.Members, missing)
	}
	if code, _, _ := cli(t, "replay", file); code != exitAbstain {
		t.Errorf("replay of an empty bundle: exit %d", code)
	}
	if code, _, _ := cli(t, "bundle", "--list", file); code != exitUsage {
		t.Errorf("--list with a file: exit %d", code)
	}
	if code, _, talk := cli(t, "bundle", "--config", file, filepath.Join(dir, "no/where.zip")); code != exitFailed || talk == "" {
		t.Errorf("a file that cannot be: exit %d, %s", code, talk)
	}
}

// A bundle shows the configuration; every key of it is listed here, so that a new one makes somebody decide.
func TestBundleShowsNoNewKeyUnseen(t *testing.T) {
	decided := `App.Certificates App.Expected App.Parameters App.Process Broker.AdvisoryKeys Broker.CA Broker.Cert Broker.Compress Broker.DailyBytes Broker.Delivery Broker.Key Broker.KeepAlive Broker.Renew Broker.ServerName Broker.SiteWords Broker.URL
		Broker.UserFile Capture.Dialect Capture.Interface Capture.Length Capture.On Console.Baud Console.Charset Console.Idle Console.Keys Console.Language Console.Locked Console.PIN Console.Plain Console.TTY Contacts.Acquirer Contacts.Carrier Contacts.Service ECR.Address ECR.Baud ECR.Bits ECR.Framing ECR.Name ECR.Parity ECR.Port ECR.RX ECR.Way Estate Hook.Group Hook.HTTP Hook.Socket Hook.TokenFile Knowledge.Keys Labels Language Log.Begin Log.Encoding Log.Origin Log.Path Log.Patterns Log.Scheme Log.Time Log.Step.Pattern Log.Step.Phase Log.Step.Result
		Modem.APN Modem.Baud Modem.Dedicated Modem.DialUp Modem.MayReset Modem.Name Modem.Port Modem.Protocol Modem.RX Network.DailyBytes Network.HostsFile Network.Interfaces Network.Metered
		Network.ResolvConf Network.Resolvers Network.SSID Outbox.MaxAge Outbox.MaxBytes Modem.Keys Reader.Keys PINPad.APN PINPad.Baud PINPad.Dedicated PINPad.DialUp PINPad.Keys PINPad.MayReset PINPad.Name PINPad.Port PINPad.Protocol PINPad.RX
		Printer.APN Printer.Baud Printer.Dedicated Printer.DialUp Printer.Keys Printer.MayReset Printer.Name Printer.Port Printer.Protocol Printer.RX Profile.Name Profile.Scheme Reader.APN Reader.Baud Reader.Dedicated
		Reader.DialUp Reader.MayReset Reader.Name Reader.Port Reader.Protocol Reader.RX StateDir Storage.Paths Target.CA Target.Host Target.Name Target.Port Target.PortalPath Target.Proxy Target.ServerName Target.TLS Target.Via Terminal`
	known := map[string]bool{}
	for _, k := range strings.Fields(decided) {
		known[k] = true
	}
	var walk func(typ reflect.Type, prefix string)
	walk = func(typ reflect.Type, prefix string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			inner := f.Type
			if inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				walk(inner, prefix+f.Name+".")
			} else if !known[prefix+f.Name] {
				t.Errorf("%s is new: may a support bundle show it? Hide it in Config.Public, or not, and add it here", prefix+f.Name)
			}
		}
	}
	walk(reflect.TypeFor[conf.Config](), "")
	c := conf.Defaults()
	c.Broker.URL = []string{"ssl://user:secret@broker:8883/x?secret=1"}
	c.Broker.Renew = "https://user:secret@fleet:8443/x?secret=1"
	if b, _ := json.Marshal(c.Public()); bytes.Contains(b, []byte("secret")) || c.Broker.URL[0] == "ssl://broker:8883" {
		t.Errorf("%s", b)
	}
}

func TestFleetAsksForABundle(t *testing.T) {
	c := mustParse(t, least+"state_dir = \""+t.TempDir()+"\"\n")
	d, _ := assembled(t, c)
	// More than travels, of what packs badly: the newest must remain.
	last := ""
	for i := range 200 {
		last = strings.Repeat(time.Unix(int64(i)*7919, 0).Format(time.RFC3339Nano)+string(rune('a'+i%26)), 60)
		if _, err := d.box.Append(report.KindDiagnosis, true, time.Now(), []byte(`{"id":"`+last+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	preview := d.command(context.Background(), "bundle", report.Command{ID: "1"})
	if data, ok := preview.Data.(map[string]any); !ok || preview.Result != "done" || data["bundle"] != nil || data["manifest"] == nil {
		t.Errorf("preview: %+v", preview)
	}
	r := d.command(context.Background(), "bundle", report.Command{ID: "2", Args: map[string]any{"send": true}})
	doc, err := json.Marshal(r)
	if err != nil || r.Result != "done" || len(doc) > 64<<10 {
		t.Fatalf("%s, %d bytes, %v %s", r.Result, len(doc), err, r.Why)
	}
	b, err := base64.StdEncoding.DecodeString(r.Data.(map[string]any)["bundle"].(string))
	if err != nil {
		t.Fatal(err)
	}
	if _, content, err := bundle.Read(b); err != nil || !bytes.Contains(content["diagnoses.jsonl"], []byte(last)) {
		t.Errorf("%v: the newest diagnosis is not in it", err)
	}
}

// A bundle goes onto the medium that is named, or nowhere, and no folder is made for it.
func TestABundleGoesOntoTheMediumNamed(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		file, mount string
		ok          bool
	}{
		{"/proc/t1.zip", "/proc", true},
		{"/proc/t1.zip", "/", false},
		{dir + "/t1.zip", "/proc", false},
		{dir + "/t1.zip", dir, false},              // nothing is mounted there
		{"/proc/none-such/t1.zip", "/proc", false}, // no folder
		{dir + "/t1.zip", dir + "/none", false},
	} {
		if err := onMount(c.file, c.mount); (err == nil) != c.ok {
			t.Errorf("%s on %s: %v, want it taken: %v", c.file, c.mount, err, c.ok)
		}
	}
	var o, e bytes.Buffer
	if code := run(t.Context(), stdio{in: strings.NewReader(""), out: &o, err: &e, speak: "en"},
		[]string{"bundle", dir + "/a/b.zip", "--config", dir + "/none.toml", "--socket", dir + "/none"}); code != exitFailed {
		t.Errorf("into a folder that is not there: exit %d, %s", code, e.String())
	}
	if _, err := os.Stat(dir + "/a"); err == nil {
		t.Error("a folder was made")
	}
}

// FuzzReplay gives whoever explains a bundle again members that hold anything.
func FuzzReplay(f *testing.F) {
	f.Add([]byte(`{"terminal":"shop/t1"}`), []byte(`{"id":"1","event":{"code":"96","origin":"host"},"causes":[{"id":"x"}]}`+"\n"), []byte(`{"Profile":{"Scheme":"unionpay"}}`))
	f.Add([]byte("{}"), []byte("\n\n"), []byte("null"))
	f.Fuzz(func(t *testing.T, state, diagnoses, conf []byte) {
		content := map[string][]byte{"state.json": state, "diagnoses.jsonl": diagnoses, "config.json": conf}
		if then, err := diagnosesIn(content); err == nil && len(then) < 5 {
			replayAll(codes.Builtin(), then, profileIn(codes.Builtin(), content), "en")
		}
	})
}
