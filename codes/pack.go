package codes

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A knowledge pack is one file that replaces the built-in knowledge: a magic line, the SHA-256 of the body, an ed25519
// signature over magic and sum, and the body, a ZIP archive of the data files. README.md has the layout.
const (
	packMagic = "posdx knowledge 3\n"
	packHead  = len(packMagic) + sha256.Size + ed25519.SignatureSize

	// MaxPack is the size of the largest pack that is looked at, in bytes; the built-in knowledge makes about a tenth.
	MaxPack = 1 << 20
)

// ErrUntrusted is returned for a pack that none of the keys has signed.
var ErrUntrusted = errors.New("signed by no trusted key")

// Pack makes a signed knowledge pack of the data files below the root of files. version names it. Files with problems
// make no pack, and the same files, version and key give the same bytes.
func Pack(files fs.FS, version string, key ed25519.PrivateKey) ([]byte, error) {
	p := &parser{k: &Knowledge{}}
	p.read(files)
	p.files["VERSION"] = []byte(version + "\n")
	if len(p.problems) == 0 {
		p.parse()
	}
	if len(p.problems) > 0 {
		return nil, fmt.Errorf("pack %q: %w", version, problemsError(p.problems))
	}
	var body bytes.Buffer
	z := zip.NewWriter(&body)
	z.RegisterCompressor(zip.Deflate,
		func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, name := range p.names("") {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return nil, fmt.Errorf("pack %q: %w", name, err)
		}
		if _, err := w.Write(p.files[name]); err != nil {
			return nil, fmt.Errorf("pack %q: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack %q: %w", version, err)
	}
	sum := sha256.Sum256(body.Bytes())
	b := append([]byte(packMagic), sum[:]...)
	b = append(b, ed25519.Sign(key, b)...)
	b = append(b, body.Bytes()...)
	if len(b) > MaxPack {
		return nil, fmt.Errorf("pack %q: %d bytes, more than %d", version, len(b), MaxPack)
	}
	return b, nil
}

// LoadPack returns the knowledge in a pack that one of the keys has signed. The signature is checked before anything
// of the archive is read. On an error the caller keeps the knowledge that it has.
func LoadPack(b []byte, keys []ed25519.PublicKey) (*Knowledge, error) {
	if err := checkHead(b); err != nil {
		return nil, fmt.Errorf("load pack: %w", err)
	}
	signed, signature := b[:len(packMagic)+sha256.Size], b[len(packMagic)+sha256.Size:packHead]
	trusted := false
	for _, key := range keys {
		trusted = trusted || len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, signature)
	}
	if !trusted {
		return nil, fmt.Errorf("load pack: %w", ErrUntrusted)
	}
	files, err := OpenPack(b)
	if err != nil {
		return nil, err
	}
	k, problems := Parse(files)
	if len(problems) > 0 {
		return nil, fmt.Errorf("load pack: %w", problemsError(problems))
	}
	return k, nil
}

// OpenPack returns the data files in a pack whose check sum is right, whoever signed it: to look at a pack, never to
// use one.
func OpenPack(b []byte) (fs.FS, error) {
	if err := checkHead(b); err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	body := b[packHead:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(packMagic):len(packMagic)+sha256.Size]) {
		return nil, errors.New("open pack: the sum is wrong, the file is damaged")
	}
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	if len(z.File) > maxFiles {
		return nil, fmt.Errorf("open pack: more than %d files", maxFiles)
	}
	return z, nil
}

// packForms are the forms of knowledge before this one, which are read no more.
var packForms = [...]string{"first form, with weights in numbers", "second form, with a finding in three tables"}

// checkHead tells what is no pack of this form from its size and first line.
func checkHead(b []byte) error {
	for i, form := range packForms {
		if bytes.HasPrefix(b, fmt.Appendf(nil, "posdx knowledge %d\n", i+1)) {
			return fmt.Errorf("a pack of the %s; this program reads the third: make it anew from its data", form)
		}
	}
	if len(b) < packHead || len(b) > MaxPack || !bytes.HasPrefix(b, []byte(packMagic)) {
		return fmt.Errorf("not a knowledge pack of at most %d bytes", MaxPack)
	}
	return nil
}

// ParseKey reads an ed25519 public key: 32 bytes in base64.
func ParseKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("parse key %q: want %d bytes in base64", s, ed25519.PublicKeySize)
	}
	return b, nil
}
