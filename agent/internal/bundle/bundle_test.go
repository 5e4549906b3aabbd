package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
)

func TestBundleStopsCardNumbers(t *testing.T) {
	w := Source{Lang: "en", ConfigWhy: errors.New("none"), Records: Records,
		State: func() (report.State, error) {
			return report.State{Terminal: "shop/t1", BootID: "4761739001010010"}, nil
		},
		Scan: func(next func(outbox.Record) bool) error {
			next(outbox.Record{Kind: report.KindDiagnosis, Doc: []byte(`{"id":"1","say":"card 4761739001010010=2212"}`)})
			return nil
		}}
	b, m, err := w.Make(time.Now(), report.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	_, content, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Scrubbed != 2 || bytes.Contains(content["state.json"], []byte("4761739001010010")) || bytes.Contains(content["diagnoses.jsonl"], []byte("4761739001010010")) {
		t.Errorf("scrubbed %d: %s %s", m.Scrubbed, content["state.json"], content["diagnoses.jsonl"])
	}
}

func TestBundleIsBounded(t *testing.T) {
	n := 0
	w := Source{Lang: "en", ConfigWhy: errors.New("none"), Records: 10_000,
		State: func() (report.State, error) { return report.State{}, errors.New("none") },
		Scan: func(next func(outbox.Record) bool) error {
			for n = range 1000 {
				if !next(outbox.Record{Kind: report.KindDiagnosis, Doc: []byte(`{"id":"` + strings.Repeat("x", n) + `"}`)}) {
					break
				}
			}
			return nil
		}}
	b, _, err := w.Make(time.Now(), report.Agent{})
	if err != nil {
		t.Fatal(err)
	}
	_, content, err := Read(b)
	lines := bytes.Split(bytes.TrimSpace(content["diagnoses.jsonl"]), []byte("\n"))
	if err != nil || len(content["diagnoses.jsonl"]) > 10_000 || len(lines) < 9 || len(lines[len(lines)-1]) != 999+9 {
		t.Errorf("%d bytes in %d lines, %v; want the newest in 10 kB", len(content["diagnoses.jsonl"]), len(lines), err)
	}
}

func zipped(t testing.TB, files ...Part) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range files {
		f, err := z.Create(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(p.Body)
	}
	z.Close()
	return b.Bytes()
}

func TestHostileBundles(t *testing.T) {
	head := []byte(`{"format":"` + Format + `","members":[]}`)
	many := []Part{{ManifestName, head}}
	for i := range maxMembers + 1 {
		many = append(many, Part{"m" + string(rune('a'+i)) + ".json", nil})
	}
	good := packed(t, Manifest{Format: Format}, map[string][]byte{"state.json": []byte(`{}`)})
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":          {nil, "not a bundle"},
		"no zip":           {[]byte("hello"), "not a bundle"},
		"too long":         {make([]byte, MaxSize+1), "more than"},
		"half":             {good[:len(good)/2], "not a bundle"},
		"no manifest":      {zipped(t, Part{"state.json", nil}), "no manifest"},
		"broken manifest":  {zipped(t, Part{ManifestName, []byte("{")}), ManifestName},
		"another format":   {zipped(t, Part{ManifestName, []byte(`{"format":"posdx-bundle/9"}`)}), "posdx-bundle/1"},
		"path upwards":     {zipped(t, Part{ManifestName, head}, Part{"../../etc/passwd", nil}), "no name"},
		"path from root":   {zipped(t, Part{ManifestName, head}, Part{"/etc/passwd", nil}), "no name"},
		"path of windows":  {zipped(t, Part{ManifestName, head}, Part{`..\x.json`, nil}), "no name"},
		"folder":           {zipped(t, Part{ManifestName, head}, Part{"x/", nil}), "no name"},
		"hidden file":      {zipped(t, Part{ManifestName, head}, Part{".profile", nil}), "no name"},
		"twice":            {zipped(t, Part{ManifestName, head}, Part{ManifestName, head}), "twice"},
		"too many":         {zipped(t, many...), "members"},
		"bomb":             {zipped(t, Part{ManifestName, head}, Part{"a.json", make([]byte, maxMember+1)}), "more than"},
		"bomb of three":    {zipped(t, Part{ManifestName, head}, Part{"a.json", make([]byte, maxMember)}, Part{"b.json", make([]byte, maxMember)}), "more than"},
		"unnamed":          {zipped(t, Part{ManifestName, head}, Part{"a.json", nil}), "names 0"},
		"named, not there": {zipped(t, Part{ManifestName, []byte(`{"format":"` + Format + `","members":[{"name":"a.json"}]}`)}, Part{"b.json", nil}), "not there"},
		"a lie about size": {zipped(t, Part{ManifestName, []byte(`{"format":"` + Format + `","members":[{"name":"a.json","size":9,"sha256":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`)}, Part{"a.json", nil}), "not what"},
		"a lie about sum":  {zipped(t, Part{ManifestName, []byte(`{"format":"` + Format + `","members":[{"name":"a.json","size":1,"sha256":"sha256:00"}]}`)}, Part{"a.json", []byte("x")}), "not what"},
	} {
		_, _, err := Read(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	if _, _, err := Read(good); err != nil {
		t.Errorf("a good one: %v", err)
	}
	// What the zip itself says of a length is no reason to believe it.
	lying := bytes.Clone(good)
	at := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	copy(lying[at+24:], []byte{0xff, 0xff, 0xff, 0x7f})
	if _, _, err := Read(lying); err == nil {
		t.Error("a member that claims 2 GB: no error")
	}
}

// packed makes a bundle of what a test likes.
func packed(t testing.TB, m Manifest, content map[string][]byte) []byte {
	t.Helper()
	m.Members, m.Scrubbed = nil, 0
	var parts []Part
	for _, e := range []string{"state.json", "diagnoses.jsonl", "config.json"} {
		if body, ok := content[e]; ok {
			parts = append(parts, Part{e, body})
		}
	}
	b, _, err := m.Pack(parts, "en")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzRead gives the reader broken files, and whole ones whose members hold anything.
func FuzzRead(f *testing.F) {
	state, diagnoses, conf := []byte(`{"terminal":"shop/t1"}`), []byte(`{"id":"1","event":{"code":"96","origin":"host"},"causes":[{"id":"x"}]}`+"\n"), []byte(`{"Profile":{"Scheme":"unionpay"}}`)
	whole := packed(f, Manifest{Format: Format}, map[string][]byte{"state.json": state, "diagnoses.jsonl": diagnoses, "config.json": conf})
	f.Add(whole, state, diagnoses, conf)
	f.Add(zipped(f, Part{ManifestName, []byte(`{"format":"` + Format + `","members":[]}`)}), []byte("{}"), []byte("\n\n"), []byte("null"))
	f.Fuzz(func(t *testing.T, raw, state, diagnoses, conf []byte) {
		if m, content, err := Read(raw); err == nil {
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
		_, content, err := Read(packed(t, Manifest{Format: Format}, map[string][]byte{"state.json": state, "diagnoses.jsonl": diagnoses, "config.json": conf}))
		if err != nil {
			t.Fatal(err)
		}
		if len(content) != 3 {
			t.Fatalf("%d members", len(content))
		}
	})
}
