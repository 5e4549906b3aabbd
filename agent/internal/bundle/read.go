package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// memberName is what a member may be called: nothing that a careless unpacker could take for a path.
var memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,40}\.[a-z0-9]{1,8}$`)

// Read takes a bundle apart and holds every member against the manifest.
func Read(b []byte) (Manifest, map[string][]byte, error) {
	var m Manifest
	if len(b) > MaxSize {
		return m, nil, fmt.Errorf("%d bytes, more than the %d of a bundle", len(b), MaxSize)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return m, nil, fmt.Errorf("not a bundle: %w", err)
	}
	if n := len(z.File); n == 0 || n > maxMembers+1 {
		return m, nil, fmt.Errorf("%d members, want 1 to %d", n, maxMembers+1)
	}
	content := map[string][]byte{}
	left := maxContent
	for _, f := range z.File {
		if !memberName.MatchString(f.Name) || !f.Mode().IsRegular() {
			return m, nil, fmt.Errorf("member %.80q: no name of a bundle's member", f.Name)
		}
		if _, twice := content[f.Name]; twice {
			return m, nil, fmt.Errorf("member %s: there twice", f.Name)
		}
		body, err := unpack(f, min(left, maxMember))
		if err != nil {
			return m, nil, fmt.Errorf("member %s: %w", f.Name, err)
		}
		left -= len(body)
		content[f.Name] = body
	}
	head, ok := content[ManifestName]
	if !ok {
		return m, nil, errors.New("not a bundle: no " + ManifestName + " in it")
	}
	delete(content, ManifestName)
	if err := json.Unmarshal(head, &m); err != nil {
		return m, nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	if m.Format != Format {
		return m, nil, fmt.Errorf("%s: format %.40q, this version reads %s", ManifestName, m.Format, Format)
	}
	return m, content, m.hold(content)
}

// unpack reads a member of at most limit bytes, whatever size it claims.
func unpack(f *zip.File, limit int) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(body) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return body, err
}

// hold compares what is there with what the Manifest names.
func (m *Manifest) hold(content map[string][]byte) error {
	if len(m.Members) != len(content) {
		return fmt.Errorf("%s names %d members, there are %d", ManifestName, len(m.Members), len(content))
	}
	for _, e := range m.Members {
		body, ok := content[e.Name]
		if !ok {
			return fmt.Errorf("member %.80q: named in %s and not there", e.Name, ManifestName)
		}
		sum := sha256.Sum256(body)
		if e.Size != len(body) || e.SHA256 != "sha256:"+hex.EncodeToString(sum[:]) {
			return fmt.Errorf("member %s: not what %s says: it was changed or damaged", e.Name, ManifestName)
		}
	}
	return nil
}
