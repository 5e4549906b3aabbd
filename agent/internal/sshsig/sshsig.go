// Package sshsig checks the signatures that `ssh-keygen -Y sign` makes, by Ed25519 keys as authorized_keys files hold
// them. The format is PROTOCOL.sshsig of OpenSSH; keys and signatures inside of it are those of RFC 8709.
package sshsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"strings"
)

const (
	algorithm = "ssh-ed25519"
	magic     = "SSHSIG"
	block     = "SSH SIGNATURE"

	// Begin and End are the lines around a signature.
	Begin = "-----BEGIN " + block + "-----"
	End   = "-----END " + block + "-----"
)

// What may be wrong with a key or a signature.
var (
	ErrKey       = errors.New("no ssh-ed25519 public key")
	ErrSignature = errors.New("no Ed25519 signature of ssh-keygen -Y sign")
	ErrNamespace = errors.New("signed for another purpose")
	ErrUnknown   = errors.New("signed by a key that is not known here")
	ErrMessage   = errors.New("signed something else")
)

// A Key is a public key, with the name that stands behind it in the file.
type Key struct {
	Name   string // the comment behind the key: whose it is
	public ed25519.PublicKey
}

// ParseKey reads a line of an authorized_keys file or of id_ed25519.pub: "ssh-ed25519 BASE64 NAME", without options.
func ParseKey(line string) (Key, error) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != algorithm {
		return Key{}, ErrKey
	}
	blob, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil {
		return Key{}, ErrKey
	}
	public, ok := publicKey(blob)
	if !ok {
		return Key{}, ErrKey
	}
	return Key{strings.Join(f[2:], " "), public}, nil
}

// Signer tells which of the keys made a signature, as ssh-keygen prints it, of any of these messages in a namespace.
func Signer(signature []byte, namespace string, keys []Key, messages ...string) (Key, error) {
	b, rest := pem.Decode(signature)
	if b == nil || b.Type != block || len(b.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, ErrSignature
	}
	r := reader{b: b.Bytes}
	head := r.take(len(magic))
	version := r.take(4)
	public, known := publicKey(r.text())
	space := string(r.text())
	reserved := r.text()
	hash := string(r.text())
	in := reader{b: r.text()}
	kind, sig := string(in.text()), in.text()
	switch {
	case r.bad || in.bad || len(r.b)+len(in.b) > 0 || string(head) != magic || binary.BigEndian.Uint32(version) != 1 ||
		!known || kind != algorithm || hash != "sha512" && hash != "sha256":
		return Key{}, ErrSignature
	case space != namespace:
		return Key{}, ErrNamespace
	}
	for _, k := range keys {
		if !k.public.Equal(public) {
			continue
		}
		for _, m := range messages {
			sum := sha512.Sum512([]byte(m))
			digest := sum[:]
			if hash == "sha256" {
				short := sha256.Sum256([]byte(m))
				digest = short[:]
			}
			signed := []byte(magic)
			for _, s := range [...][]byte{[]byte(space), reserved, []byte(hash), digest} {
				signed = append(binary.BigEndian.AppendUint32(signed, uint32(len(s))), s...)
			}
			if ed25519.Verify(k.public, signed, sig) {
				return k, nil
			}
		}
		return Key{}, ErrMessage
	}
	return Key{}, ErrUnknown
}

// publicKey reads a key as SSH sends it.
func publicKey(blob []byte) (ed25519.PublicKey, bool) {
	r := reader{b: blob}
	kind, key := string(r.text()), r.text()
	return key, !r.bad && len(r.b) == 0 && kind == algorithm && len(key) == ed25519.PublicKeySize
}

// A reader reads what SSH writes (RFC 4251, 5). After something that is not there it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, min(max(n, 0), 4))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() []byte { return r.take(int(int32(binary.BigEndian.Uint32(r.take(4))))) }
