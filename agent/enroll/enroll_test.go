package enroll

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// FuzzAnswer reads whatever an address that is not a fleet's may say: no answer but a fleet's is one.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"chain\":\"x\"}", "HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":\"no\"}", "HTTP/1.0 200 OK\r\n\r\n{}", "HTTP/1.0 200 OK\r\n\r\n<html>",
		"HTTP/1.0 200 OK\r\n\r\n{\"not_due\":true}", "HTTP/1.0 503 x\r\n\r\n{\"not_due\":true}", "220 mail\r\n\r\n", "", "HTTP/1.0\r\n\r\n", "HTTP/1.0 x\r\n\r\n{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err == nil && (!bytes.HasPrefix(b, []byte("HTTP/1.")) || a.Chain == "" && !a.NotDue || a.Error != "") {
			t.Errorf("%q is taken for %+v", b, a)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\n\x1b") {
			t.Errorf("%q makes the error %q", b, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for s, ok := range map[string]bool{"https://fleet.example.com": true, "https://[::1]:8443/fleet": true, "http://x": false, "https://": false, "fleet": false, "https://a:b@x": false, "https://x?y": false, "": false} {
		if _, err := CheckURL(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
		if !ok {
			if _, err := (Asker{URL: s}).Ask(context.Background(), Request{}); err == nil {
				t.Error(s)
			}
		}
	}
}

type flash map[string][]byte

func (f flash) Read(name string) ([]byte, error) {
	if b, ok := f[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}
func (f flash) Replace(name string, b []byte) error { f[name] = b; return nil }
func (f flash) Remove(name string) error            { delete(f, name); return nil }

// A renewed pair that a broker refuses again and again, while the old one works, is given up, and asked for anew.
func TestARefusedPairIsGivenUp(t *testing.T) {
	f := flash{"p": []byte("old")}
	w := &Wallet{Files: f, Name: "p"}
	if err := w.Keep([]byte("new")); err != nil {
		t.Fatal(err)
	}
	tries := 0
	for w.Waiting() {
		if tries++; tries > 100 {
			t.Fatal("for ever")
		}
		pair, renewed, err := w.Choose()
		if err != nil {
			t.Fatal(err)
		}
		if renewed {
			w.Refused(true)
		} else if err := w.Worked(pair, false); err != nil {
			t.Fatal(err)
		}
	}
	if tries != 2*refusals || string(f["p"]) != "old" {
		t.Errorf("after %d tries, %s", tries, f["p"])
	}
	// Nothing at all is an error, not a crash.
	if _, _, err := (&Wallet{Files: flash{}, Name: "p"}).Choose(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := Renewal([]byte("x")); err == nil {
		t.Error("a renewal of nothing")
	}
}
