package sshsig

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// keygen has the real ssh-keygen make a key, and sign.
type keygen struct {
	t    *testing.T
	file string
}

func newKeygen(t *testing.T, kind ...string) keygen {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("needs ssh-keygen (Debian package openssh-client)")
	}
	k := keygen{t, filepath.Join(t.TempDir(), "id")}
	if out, err := exec.Command("ssh-keygen", append([]string{"-q", "-N", "", "-C", "wang lei", "-f", k.file, "-t"}, kind...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return k
}

func (k keygen) public() string {
	b, err := os.ReadFile(k.file + ".pub")
	if err != nil {
		k.t.Fatal(err)
	}
	return string(b)
}

func (k keygen) sign(namespace, message string, options ...string) []byte {
	k.t.Helper()
	c := exec.Command("ssh-keygen", append([]string{"-Y", "sign", "-n", namespace, "-f", k.file}, options...)...)
	c.Stdin = strings.NewReader(message)
	out, err := c.Output()
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// A signature of before is good for ever, also where there is no ssh-keygen.
func TestARecordedSignature(t *testing.T) {
	key, err := ParseKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1e1KDvW8hqn8LQhQrutBSZyUhQTZ74aXTLCeGnvEXz test")
	if err != nil {
		t.Fatal(err)
	}
	const signature = `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgHV7UoO9byGqfwtCFCu60FJnJSF
BNnvhpdMsJ4ae8RfMAAAAEZG9vcgAAAAAAAAAGc2hhNTEyAAAAUwAAAAtzc2gtZWQyNTUx
OQAAAEDqfc5YrT83DXZp+6wPo9UWZ0BqJoPsKt2+kxq9SX3YIeEigYEDnQJQSPRtGI37cU
WhP1Jz7dOSxH8xcQ31OSMA
-----END SSH SIGNATURE-----
`
	if _, err := Signer([]byte(signature), "door", []Key{key}, "m"); err != nil {
		t.Error(err)
	}
	if _, err := Signer([]byte(signature), "door", []Key{key}, "n"); !errors.Is(err, ErrMessage) {
		t.Error(err)
	}
}

// What ssh-keygen signs is taken, from the key and of the message that it signed, and of no other.
func TestSignaturesOfSSHKeygen(t *testing.T) {
	mine, others := newKeygen(t, "ed25519"), newKeygen(t, "ed25519")
	key, err := ParseKey(mine.public())
	if err != nil || key.Name != "wang lei" {
		t.Fatalf("%+v, %v", key, err)
	}
	keys := []Key{{public: make([]byte, 32)}, key}
	good := mine.sign("door", "t1.abc\n")
	crlf := []byte(strings.ReplaceAll(string(good), "\n", "\r\n"))
	for name, c := range map[string]struct {
		signature []byte
		want      error
	}{
		"good":                {good, nil},
		"sha256":              {mine.sign("door", "t1.abc\n", "-O", "hashalg=sha256"), nil},
		"without a line end":  {mine.sign("door", "t1.abc"), nil},
		"lines end with CRLF": {crlf, nil},
		"text around it":      {append([]byte("x\n"), good...), nil},
		"another message":     {mine.sign("door", "t2.abc\n"), ErrMessage},
		"another purpose":     {mine.sign("file", "t1.abc\n"), ErrNamespace},
		"another's key":       {others.sign("door", "t1.abc\n"), ErrUnknown},
		"cut":                 {good[:len(good)/2], ErrSignature},
		"twice":               {append(good[:len(good):len(good)], good...), ErrSignature},
		"nothing":             {nil, ErrSignature},
		"an RSA key":          {newKeygen(t, "rsa", "-b", "2048").sign("door", "t1.abc\n"), ErrSignature},
	} {
		got, err := Signer(c.signature, "door", keys, "t1.abc", "t1.abc\n")
		if !errors.Is(err, c.want) || err == nil && got.Name != "wang lei" {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, c.want)
		}
	}
	for i := range good { // no changed letter may be taken for what was signed
		b := append([]byte(nil), good...)
		b[i] ^= 1
		if bytes.ContainsRune([]byte("\n="), rune(good[i])) {
			continue // a line may end elsewhere
		}
		if _, err := Signer(b, "door", keys, "t1.abc\n"); err == nil {
			t.Errorf("with letter %d changed it is taken:\n%s", i, b)
		}
	}
}

func TestParseKey(t *testing.T) {
	good := strings.TrimSpace(newKeygen(t, "ed25519").public())
	for name, line := range map[string]string{
		"empty": "", "RSA": newKeygen(t, "rsa", "-b", "2048").public(), "ECDSA": newKeygen(t, "ecdsa").public(),
		"called Ed25519": "ssh-ed25519 " + strings.Fields(newKeygen(t, "ecdsa").public())[1],
		"with options":   "no-pty " + good, "cut": good[:40], "no base64": "ssh-ed25519 $$$$", "the kind alone": "ssh-ed25519",
	} {
		if k, err := ParseKey(line); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

func FuzzSigner(f *testing.F) {
	f.Add([]byte(Begin+"\nU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTk=\n"+End+"\n"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x")
	f.Fuzz(func(t *testing.T, signature []byte, line string) {
		k, err := ParseKey(line)
		if err != nil && !errors.Is(err, ErrKey) {
			t.Fatal(err)
		}
		if _, err := Signer(signature, "door", []Key{k}, "n"); err == nil {
			t.Error("a forgery")
		}
	})
}
