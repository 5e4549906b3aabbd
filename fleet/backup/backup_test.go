package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posdx/fleet/store"
)

func fleet(t *testing.T) (dir string, db *store.Store) {
	t.Helper()
	dir = t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.AddAccount(t.Context(), store.Account{Name: "ann", Role: "admin", Password: "x"}); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"client-id": "posdx-fleet-abc\n", "authority/1.key": "KEY", "broker/queue": "waits"} {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o700)
		if err := os.WriteFile(p, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, db
}

func TestBackupAndRestore(t *testing.T) {
	dir, db := fleet(t)
	out := t.TempDir()
	file, back := filepath.Join(out, "b.tar.gz"), filepath.Join(out, "new", "data")
	if _, err := Write(t.Context(), db, dir, file, "1.0"); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
	if _, err := Write(t.Context(), db, dir, file, "1.0"); err == nil {
		t.Error("a backup that is there is written over")
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*")); len(left) != 0 {
		t.Error("left behind:", left)
	}
	m, err := Restore(t.Context(), file, back)
	if err != nil || m.Program != "1.0" || m.Schema != store.Version() {
		t.Fatal(m, err)
	}
	if b, err := os.ReadFile(filepath.Join(back, "authority/1.key")); err != nil || string(b) != "KEY" {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(back, "broker")); err == nil {
		t.Error("the broker's queue came with it")
	}
	again, err := store.Open(t.Context(), "sqlite:"+filepath.Join(back, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if a, err := again.Account(t.Context(), "ann"); err != nil || a.Role != "admin" {
		t.Error(a, err)
	}
	if _, err := Restore(t.Context(), file, back); err == nil || !strings.Contains(err.Error(), "something in it") {
		t.Error("a fleet that is there is written over:", err)
	}
}

// A backup that was cut short, damaged, or made to write elsewhere restores nothing and leaves nothing.
func TestBadBackupsRestoreNothing(t *testing.T) {
	dir, db := fleet(t)
	good := filepath.Join(t.TempDir(), "b.tar.gz")
	if _, err := Write(t.Context(), db, dir, good, "1.0"); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	made := func(m Manifest, names ...string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		add := func(name string, body []byte) {
			w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body))})
			w.Write(body)
		}
		j, _ := json.Marshal(m)
		add(manifestName, j)
		for _, n := range names {
			add(n, nil)
		}
		w.Close()
		z.Close()
		return b.Bytes()
	}
	const none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	cases := map[string][]byte{
		"":         {},
		"text":     []byte("hello"),
		"no store": made(Manifest{Schema: 1, Files: map[string]string{"client-id": none}}, "client-id"),
		"missing":  made(Manifest{Schema: 1, Files: map[string]string{"fleet.db": none}}),
		"other sum": made(
			Manifest{Schema: 1, Files: map[string]string{"client-id": strings.Repeat("0", 64)}},
			"client-id",
		),
		"not in manifest": made(Manifest{Schema: 1}, "client-id"),
		"climbs out": made(
			Manifest{Schema: 1, Files: map[string]string{"authority/../../x": none}},
			"authority/../../x",
		),
		"absolute":          made(Manifest{Schema: 1, Files: map[string]string{"/etc/x": none}}, "/etc/x"),
		"not ours":          made(Manifest{Schema: 1, Files: map[string]string{"x": none}}, "x"),
		"of a later schema": made(Manifest{Schema: 1000, Files: map[string]string{"fleet.db": none}}, "fleet.db"),
	}
	for i := 1; i < 8; i++ {
		cases[fmt.Sprint("cut ", i)] = whole[:len(whole)*i/8]
		turned := bytes.Clone(whole)
		turned[len(whole)*i/8] ^= 0x10
		cases[fmt.Sprint("turned bit ", i)] = turned
	}
	for name, b := range cases {
		out := t.TempDir()
		file := filepath.Join(out, "bad.tar.gz")
		os.WriteFile(file, b, 0o600)
		if _, err := Restore(t.Context(), file, filepath.Join(out, "data")); err == nil {
			t.Errorf("%s: restored", name)
		}
		if list, _ := os.ReadDir(out); len(list) != 1 {
			t.Errorf("%s: left behind: %v", name, list)
		}
	}
}
