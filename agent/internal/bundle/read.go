package bundle

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"regexp"

	"posdx/agent/internal/say"
)

// memberName is what a member may be called: nothing that a careless unpacker could take for a path.
var memberName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,40}\.[a-z0-9]{1,8}$`)

// Read unpacks a bundle and checks every member against the manifest.
func Read(b []byte) (Manifest, map[string][]byte, error) {
	var m Manifest
	if len(b) > MaxSize {
		return m, nil, say.New("bundle-large", len(b), MaxSize)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		if errors.Is(err, zip.ErrFormat) {
			err = say.New("zip-none")
		}
		return m, nil, say.New("bundle-none", err)
	}
	if n := len(z.File); n == 0 || n > maxMembers+1 {
		return m, nil, say.New("bundle-members", n, maxMembers+1)
	}
	content := map[string][]byte{}
	left := maxContent
	for _, f := range z.File {
		if !memberName.MatchString(f.Name) || !f.Mode().IsRegular() {
			return m, nil, say.New("bundle-name", f.Name)
		}
		if _, twice := content[f.Name]; twice {
			return m, nil, say.New("bundle-twice", f.Name)
		}
		body, err := unpack(f, min(left, maxMember))
		if err != nil {
			return m, nil, say.New("bundle-member", f.Name, err)
		}
		left -= len(body)
		content[f.Name] = body
	}
	head, ok := content[ManifestName]
	if !ok {
		return m, nil, say.New("bundle-manifest-missing", ManifestName)
	}
	delete(content, ManifestName)
	if err := json.Unmarshal(head, &m); err != nil {
		return m, nil, say.New("bundle-manifest", ManifestName, err)
	}
	if m.Format != Format {
		return m, nil, say.New("bundle-format", ManifestName, m.Format, Format)
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
		return nil, say.New("bundle-more", limit)
	}
	return body, err
}

// hold compares what is there with what the Manifest names.
func (m *Manifest) hold(content map[string][]byte) error {
	if len(m.Members) != len(content) {
		return say.New("bundle-count", ManifestName, len(m.Members), len(content))
	}
	for _, e := range m.Members {
		body, ok := content[e.Name]
		if !ok {
			return say.New("bundle-not-there", e.Name, ManifestName)
		}
		sum := sha256.Sum256(body)
		if e.Size != len(body) || e.SHA256 != "sha256:"+hex.EncodeToString(sum[:]) {
			return say.New("bundle-changed", e.Name, ManifestName)
		}
	}
	return nil
}
