package codes

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func testPack(t testing.TB, version string) []byte {
	t.Helper()
	b, err := Pack(os.DirFS("data"), version, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealed puts a signed head before a body, whatever it is.
func sealed(body []byte) []byte {
	sum := sha256.Sum256(body)
	b := append([]byte(packMagic), sum[:]...)
	b = append(b, ed25519.Sign(testKey(1), b)...)
	return append(b, body...)
}

func TestPackIsTheKnowledge(t *testing.T) {
	b := testPack(t, Builtin().Version)
	k, err := LoadPack(b, []ed25519.PublicKey{public(testKey(9)), public(testKey(1))})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Builtin(), k, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("loaded (-builtin +pack):\n%.2000s", d)
	}
	t.Logf("%d bytes", len(b))
}

func TestPackHasItsOwnVersion(t *testing.T) {
	k, err := LoadPack(testPack(t, "2027.1-beta"), []ed25519.PublicKey{public(testKey(1))})
	if err != nil || k.Version != "2027.1-beta" || k.Hash == Builtin().Hash {
		t.Errorf("version %q, hash %q, %v", k.Version, k.Hash, err)
	}
}

func TestPackIsReproducible(t *testing.T) {
	if !bytes.Equal(testPack(t, "1"), testPack(t, "1")) {
		t.Error("two packs of the same files differ")
	}
}

func TestPackRefusesBadFilesAndVersions(t *testing.T) {
	m := dataFiles(t)
	line := spoil(t, m, "causes.txt", "店内路由器没有响应", "router")
	if _, err := Pack(m, "1", testKey(1)); err == nil || !strings.Contains(err.Error(), "causes.txt") || line == 0 {
		t.Errorf("err = %v", err)
	}
	for _, v := range []string{"", "a b", "../x", strings.Repeat("1", maxVersion+1)} {
		if _, err := Pack(os.DirFS("data"), v, testKey(1)); err == nil {
			t.Errorf("version %q is accepted", v)
		}
	}
}

func TestLoadPackTrustsOnlyItsKeys(t *testing.T) {
	b := testPack(t, "1")
	for name, keys := range map[string][]ed25519.PublicKey{
		"no key": nil, "another key": {public(testKey(2))}, "a short key": {public(testKey(1))[:31]}, "an empty key": {nil},
	} {
		if _, err := LoadPack(b, keys); !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: err = %v, want %v", name, err, ErrUntrusted)
		}
	}
}

// TestEveryByteIsSigned flips one byte at a time: all of the head, and some of the body.
func TestEveryByteIsSigned(t *testing.T) {
	b := testPack(t, "1")
	keys := []ed25519.PublicKey{public(testKey(1))}
	step := 1
	for i := 0; i < len(b); i += step {
		if i >= packHead {
			step = 997
		}
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := LoadPack(c, keys); err == nil {
			t.Errorf("byte %d of %d is not signed", i, len(b))
		}
	}
	for _, n := range []int{0, 1, packHead - 1, packHead, len(b) - 1} {
		if _, err := LoadPack(b[:n], keys); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(b))
		}
	}
	if _, err := LoadPack(append(bytes.Clone(b), 0), keys); err == nil {
		t.Error("a byte behind the end is accepted")
	}
	if _, err := LoadPack(make([]byte, MaxPack+1), keys); err == nil {
		t.Error("a pack above the bound is accepted")
	}
}

// TestSignedRubbishIsRefused: even a trusted signer cannot make a terminal use more than the bounds, or broken tables.
func TestSignedRubbishIsRefused(t *testing.T) {
	archive := func(files fstest.MapFS) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, f := range files {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(f.Data)
		}
		z.Close()
		return b.Bytes()
	}
	spoiled := dataFiles(t)
	spoil(t, spoiled, "codes/visa.tsv", "Lost card", "-")
	bomb := dataFiles(t)
	bomb["codes/visa.tsv"] = &fstest.MapFile{Data: make([]byte, maxFileSize+1)}
	tests := map[string]struct {
		body []byte
		says string
	}{
		"no archive":         {[]byte("hello"), "open pack"},
		"empty":              {nil, "open pack"},
		"empty archive":      {archive(nil), "VERSION"},
		"a bomb":             {archive(bomb), "larger than"},
		"broken tables":      {archive(spoiled), "codes/visa.tsv"},
		"name that goes out": {archive(fstest.MapFS{"../../evil": {}}), "load pack"},
	}
	for name, tt := range tests {
		_, err := LoadPack(sealed(tt.body), []ed25519.PublicKey{public(testKey(1))})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: err = %v, want %q", name, err, tt.says)
		}
	}
}

func TestParseKey(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(public(testKey(1)))
	if k, err := ParseKey(good); err != nil || !k.Equal(public(testKey(1))) {
		t.Errorf("ParseKey(%q) = %v, %v", good, k, err)
	}
	for _, s := range []string{"", "AAAA", good + "AAAA", "not base64!"} {
		if _, err := ParseKey(s); err == nil {
			t.Errorf("ParseKey(%q) is accepted", s)
		}
	}
}

// FuzzLoadPack: foreign bytes as a pack, and as the body of a signed one.
func FuzzLoadPack(f *testing.F) {
	f.Add(testPack(f, "1"))
	f.Add([]byte(packMagic))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	keys := []ed25519.PublicKey{public(testKey(2))}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := LoadPack(b, keys); err == nil {
			t.Error("a pack that nobody signed is accepted")
		}
		if len(b) > packHead {
			LoadPack(sealed(b[packHead:]), []ed25519.PublicKey{public(testKey(1))})
		}
		LoadPack(sealed(b), []ed25519.PublicKey{public(testKey(1))})
	})
}
