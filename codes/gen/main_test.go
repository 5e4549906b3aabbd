package main

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"posdx/codes"
)

// TestGeneratedFilesAreFresh fails when someone has changed a data file and not run go generate ./codes.
func TestGeneratedFilesAreFresh(t *testing.T) {
	k, err := load("../data")
	if err != nil {
		t.Fatal(err)
	}
	for file, make := range map[string]func(*codes.Knowledge) ([]byte, error){
		"../builtin.go": generate, "../../agent/evidence/names.go": names, "../../agent/report/schema/evidence.json": schema,
		"../FACTS.md": func(k *codes.Knowledge) ([]byte, error) { return table(k), nil },
	} {
		want, err := make(k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the data files say: run go generate ./codes", file)
		}
	}
}

// TestPrinterRefusesWhatCannotBeLaidOut: a map or a pointer would have to be made at every start.
func TestPrinterRefusesWhatCannotBeLaidOut(t *testing.T) {
	for _, v := range []any{map[string]int{"a": 1}, struct{ P *int }{new(int)}, []func(){nil}} {
		p := printer{lists: map[string]string{}}
		p.value(reflect.ValueOf(v))
		if p.err == nil {
			t.Errorf("%T is printed as %s", v, p.out.String())
		}
	}
}

func TestKeyAndPack(t *testing.T) {
	dir := t.TempDir()
	key, pack := filepath.Join(dir, "key.pem"), filepath.Join(dir, "knowledge.pack")
	if err := run([]string{"key", "-out", key}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if err := run([]string{"key", "-out", key}); err == nil {
		t.Error("a key is written over another")
	}
	if err := run([]string{"pack", "-key", key, "-version", "7", "-out", pack, "../data"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	private, err := readKey(key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := codes.LoadPack(b, []ed25519.PublicKey{private.Public().(ed25519.PublicKey)})
	if err != nil || k.Version != "7" {
		t.Errorf("loaded %v, %v", k, err)
	}
}

func TestPackNamesEveryProblem(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../data")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "schemes.tsv")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, ".key.pem")
	if err := run([]string{"key", "-out", key}); err != nil {
		t.Fatal(err)
	}
	err := run([]string{"pack", "-key", key, "-version", "7", "-out", filepath.Join(dir, "p"), dir})
	if err == nil || !strings.Contains(err.Error(), file+":1:") {
		t.Errorf("err = %v, want one that names %s:1", err, file)
	}
}
