package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/outbox"
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
	m, content, err := readBundle(b)
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
	os.WriteFile(file, packed(t, m, content), 0o600)
	if code, out, _ := cli(t, "replay", "--lang", "en", file); code != exitBad || !strings.Contains(out, "another verdict") {
		t.Errorf("a changed verdict: exit %d, %s", code, out)
	}
}

// packed makes a bundle of what a test likes.
func packed(t testing.TB, m manifest, content map[string][]byte) []byte {
	t.Helper()
	m.Members, m.Scrubbed = nil, 0
	var parts []part
	for _, e := range []string{"state.json", "diagnoses.jsonl", "config.json"} {
		if body, ok := content[e]; ok {
			parts = append(parts, part{e, body})
		}
	}
	b, _, err := m.pack(parts, "en")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBundleWithoutDaemonAndConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out.zip")
	code, out, talk := cli(t, "bundle", "--config", filepath.Join(dir, "none.toml"), "--socket", filepath.Join(dir, "none"), "--json", file)
	var m manifest
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
	decided := `App.Certificates App.Expected App.Parameters App.Process Broker.AdvisoryKeys Broker.CA Broker.Cert Broker.Compress Broker.DailyBytes Broker.Delivery Broker.Key Broker.KeepAlive Broker.ServerName Broker.URL
		Broker.UserFile Capture.Dialect Capture.Interface Capture.Length Capture.On Console.Baud Console.Charset Console.Idle Console.Language Console.PIN Console.Plain Console.TTY Contacts.Acquirer Contacts.Carrier Contacts.Service ECR.Address ECR.Baud ECR.Bits ECR.Framing ECR.Name ECR.Parity ECR.Port ECR.RX ECR.Way Estate Hook.Group Hook.HTTP Hook.Socket Hook.TokenFile Knowledge.Keys Labels Language Log.Begin Log.Encoding Log.Origin Log.Path Log.Patterns Log.Scheme Log.Time Log.Step.Pattern Log.Step.Phase Log.Step.Result
		Modem.APN Modem.Baud Modem.Dedicated Modem.DialUp Modem.MayReset Modem.Name Modem.Port Modem.Protocol Modem.RX Network.DailyBytes Network.Interfaces Network.Metered
		Network.ResolvConf Network.Resolvers Network.SSID Outbox.MaxAge Outbox.MaxBytes Modem.Keys Reader.Keys PINPad.APN PINPad.Baud PINPad.Dedicated PINPad.DialUp PINPad.Keys PINPad.MayReset PINPad.Name PINPad.Port PINPad.Protocol PINPad.RX
		Printer.APN Printer.Baud Printer.Dedicated Printer.DialUp Printer.Keys Printer.MayReset Printer.Name Printer.Port Printer.Protocol Printer.RX Profile.Name Profile.Scheme Reader.APN Reader.Baud Reader.Dedicated
		Reader.DialUp Reader.MayReset Reader.Name Reader.Port Reader.Protocol Reader.RX StateDir Storage.Paths Target.CA Target.Host Target.Name Target.Port Target.PortalPath Target.ServerName Target.TLS Target.Via Terminal`
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
	if b, _ := json.Marshal(c.Public()); bytes.Contains(b, []byte("secret")) || c.Broker.URL[0] == "ssl://broker:8883" {
		t.Errorf("%s", b)
	}
}

func TestBundleStopsCardNumbers(t *testing.T) {
	w := witness{lang: "en", confWhy: errors.New("none"), records: bundleRecords,
		state: func() (report.State, error) {
			return report.State{Terminal: "shop/t1", BootID: "4761739001010010"}, nil
		},
		scan: func(next func(outbox.Record) bool) error {
			next(outbox.Record{Kind: report.KindDiagnosis, Doc: []byte(`{"id":"1","say":"card 4761739001010010=2212"}`)})
			return nil
		}}
	b, m, err := w.bundle(time.Now(), report.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	_, content, err := readBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Scrubbed != 2 || bytes.Contains(content["state.json"], []byte("4761739001010010")) || bytes.Contains(content["diagnoses.jsonl"], []byte("4761739001010010")) {
		t.Errorf("scrubbed %d: %s %s", m.Scrubbed, content["state.json"], content["diagnoses.jsonl"])
	}
}

func TestBundleIsBounded(t *testing.T) {
	n := 0
	w := witness{lang: "en", confWhy: errors.New("none"), records: 10_000,
		state: func() (report.State, error) { return report.State{}, errors.New("none") },
		scan: func(next func(outbox.Record) bool) error {
			for n = range 1000 {
				if !next(outbox.Record{Kind: report.KindDiagnosis, Doc: []byte(`{"id":"` + strings.Repeat("x", n) + `"}`)}) {
					break
				}
			}
			return nil
		}}
	b, _, err := w.bundle(time.Now(), report.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	_, content, err := readBundle(b)
	lines := bytes.Split(bytes.TrimSpace(content["diagnoses.jsonl"]), []byte("\n"))
	if err != nil || len(content["diagnoses.jsonl"]) > 10_000 || len(lines) < 9 || len(lines[len(lines)-1]) != 999+9 {
		t.Errorf("%d bytes in %d lines, %v; want the newest in 10 kB", len(content["diagnoses.jsonl"]), len(lines), err)
	}
}

func TestFleetAsksForABundle(t *testing.T) {
	c, err := parseConfig([]byte(least + "state_dir = \"" + t.TempDir() + "\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, _, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
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
	if _, content, err := readBundle(b); err != nil || !bytes.Contains(content["diagnoses.jsonl"], []byte(last)) {
		t.Errorf("%v: the newest diagnosis is not in it", err)
	}
}

func zipped(t testing.TB, files ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range files {
		f, err := z.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(p.body)
	}
	z.Close()
	return b.Bytes()
}

func TestHostileBundles(t *testing.T) {
	head := []byte(`{"format":"` + bundleFormat + `","members":[]}`)
	many := []part{{manifestName, head}}
	for i := range maxMembers + 1 {
		many = append(many, part{"m" + string(rune('a'+i)) + ".json", nil})
	}
	good := packed(t, manifest{Format: bundleFormat}, map[string][]byte{"state.json": []byte(`{}`)})
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":          {nil, "not a bundle"},
		"no zip":           {[]byte("hello"), "not a bundle"},
		"too long":         {make([]byte, maxBundle+1), "more than"},
		"half":             {good[:len(good)/2], "not a bundle"},
		"no manifest":      {zipped(t, part{"state.json", nil}), "no manifest"},
		"broken manifest":  {zipped(t, part{manifestName, []byte("{")}), manifestName},
		"another format":   {zipped(t, part{manifestName, []byte(`{"format":"posdx-bundle/9"}`)}), "posdx-bundle/1"},
		"path upwards":     {zipped(t, part{manifestName, head}, part{"../../etc/passwd", nil}), "no name"},
		"path from root":   {zipped(t, part{manifestName, head}, part{"/etc/passwd", nil}), "no name"},
		"path of windows":  {zipped(t, part{manifestName, head}, part{`..\x.json`, nil}), "no name"},
		"folder":           {zipped(t, part{manifestName, head}, part{"x/", nil}), "no name"},
		"hidden file":      {zipped(t, part{manifestName, head}, part{".profile", nil}), "no name"},
		"twice":            {zipped(t, part{manifestName, head}, part{manifestName, head}), "twice"},
		"too many":         {zipped(t, many...), "members"},
		"bomb":             {zipped(t, part{manifestName, head}, part{"a.json", make([]byte, maxMember+1)}), "more than"},
		"bomb of three":    {zipped(t, part{manifestName, head}, part{"a.json", make([]byte, maxMember)}, part{"b.json", make([]byte, maxMember)}), "more than"},
		"unnamed":          {zipped(t, part{manifestName, head}, part{"a.json", nil}), "names 0"},
		"named, not there": {zipped(t, part{manifestName, []byte(`{"format":"` + bundleFormat + `","members":[{"name":"a.json"}]}`)}, part{"b.json", nil}), "not there"},
		"a lie about size": {zipped(t, part{manifestName, []byte(`{"format":"` + bundleFormat + `","members":[{"name":"a.json","size":9,"sha256":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`)}, part{"a.json", nil}), "not what"},
		"a lie about sum":  {zipped(t, part{manifestName, []byte(`{"format":"` + bundleFormat + `","members":[{"name":"a.json","size":1,"sha256":"sha256:00"}]}`)}, part{"a.json", []byte("x")}), "not what"},
	} {
		_, _, err := readBundle(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	if _, _, err := readBundle(good); err != nil {
		t.Errorf("a good one: %v", err)
	}
	// What the zip itself says of a length is no reason to believe it.
	lying := bytes.Clone(good)
	at := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	copy(lying[at+24:], []byte{0xff, 0xff, 0xff, 0x7f})
	if _, _, err := readBundle(lying); err == nil {
		t.Error("a member that claims 2 GB: no error")
	}
}

// FuzzReadBundle gives the reader broken files, and whole ones whose members hold anything.
func FuzzReadBundle(f *testing.F) {
	state, diagnoses, conf := []byte(`{"terminal":"shop/t1"}`), []byte(`{"id":"1","event":{"code":"96","origin":"host"},"causes":[{"id":"x"}]}`+"\n"), []byte(`{"Profile":{"Scheme":"unionpay"}}`)
	whole := packed(f, manifest{Format: bundleFormat}, map[string][]byte{"state.json": state, "diagnoses.jsonl": diagnoses, "config.json": conf})
	f.Add(whole, state, diagnoses, conf)
	f.Add(zipped(f, part{manifestName, []byte(`{"format":"` + bundleFormat + `","members":[]}`)}), []byte("{}"), []byte("\n\n"), []byte("null"))
	f.Fuzz(func(t *testing.T, raw, state, diagnoses, conf []byte) {
		if m, content, err := readBundle(raw); err == nil {
			total := 0
			for name, body := range content {
				total += len(body)
				if strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
					t.Fatalf("name %q", name)
				}
			}
			if total > maxContent || len(content) > maxMembers || len(m.Members) != len(content) {
				t.Fatalf("%d bytes, %d members", total, len(content))
			}
		}
		_, content, err := readBundle(packed(t, manifest{Format: bundleFormat}, map[string][]byte{"state.json": state, "diagnoses.jsonl": diagnoses, "config.json": conf}))
		if err != nil {
			t.Fatal(err)
		}
		if then, err := diagnosesIn(content); err == nil && len(then) < 5 {
			replayAll(codes.Builtin(), then, profileIn(codes.Builtin(), content), "en")
		}
	})
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
	if code := run(t.Context(), stdio{in: strings.NewReader(""), out: &o, err: &e, speak: "en"}, []string{"bundle", dir + "/a/b.zip", "--config", dir + "/none.toml", "--socket", dir + "/none"}); code != exitFailed {
		t.Errorf("into a folder that is not there: exit %d, %s", code, e.String())
	}
	if _, err := os.Stat(dir + "/a"); err == nil {
		t.Error("a folder was made")
	}
}
