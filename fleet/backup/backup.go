// Package backup keeps a copy of a fleet's data directory in one file, and makes a data directory of one.
//
// In it are the store, the keys of the terminals' authority and the name of the broker's session: what a fleet cannot
// be made anew from. The file is a tar of plain files with their sums, readable by its owner only. What waits in the
// embedded broker is not in it: terminals repeat what was not acknowledged.
package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"posdx/fleet/durable"
	"posdx/fleet/store"
)

// Kept are the files and folders of a data directory that are kept beside the store.
var Kept = []string{"client-id", "authority", "inventory.csv"}

const (
	manifestName = "manifest.json"
	storeName    = "fleet.db"
	maxFile      = 1 << 40
	maxManifest  = 1 << 20
)

// A Manifest lists what is in a backup. It comes first in the file.
type Manifest struct {
	Made    time.Time         `json:"made"`
	Program string            `json:"program"` // version that made it
	Schema  int               `json:"schema"`
	Files   map[string]string `json:"files"` // SHA-256 by name
}

// Write makes a backup of a data directory and its open store while both are in use. The file must not be there yet.
func Write(ctx context.Context, db *store.Store, dir, file, program string) (m Manifest, err error) {
	tmp, err := os.MkdirTemp(filepath.Dir(file), ".posdx-backup-")
	if err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	defer os.RemoveAll(tmp)
	copied := filepath.Join(tmp, storeName)
	if err := db.Backup(ctx, copied); err != nil {
		return m, err
	}
	if m.Schema, err = store.Check(ctx, copied); err != nil {
		return m, err
	}
	m.Made, m.Program, m.Files = time.Now().UTC(), program, map[string]string{}
	sources := map[string]string{storeName: copied}
	for _, k := range Kept {
		err := filepath.WalkDir(filepath.Join(dir, k), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") { // half a file that a power cut left
				return err
			}
			name, err := filepath.Rel(dir, p)
			sources[filepath.ToSlash(name)] = p
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, fmt.Errorf("back up: %w", err)
		}
	}
	for name, p := range sources {
		if m.Files[name], err = sum(p); err != nil {
			return m, fmt.Errorf("back up: %w", err)
		}
	}

	// Written beside it and put in place whole, so that a file of that name is a whole backup.
	part := filepath.Join(tmp, "part")
	w, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	defer w.Close()
	if err := pack(w, m, sources); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if err := w.Sync(); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if err := durable.Link(part, file); err != nil { // unlike a rename it replaces nothing
		return m, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

func sum(file string) (string, error) {
	r, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	_, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

func pack(w io.Writer, m Manifest, sources map[string]string) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	head := &tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(b)), ModTime: m.Made}
	if err := t.WriteHeader(head); err != nil {
		return err
	}
	if _, err := t.Write(b); err != nil {
		return err
	}
	for name, p := range sources {
		r, err := os.Open(p)
		if err != nil {
			return err
		}
		info, err := r.Stat()
		if err == nil {
			err = t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: m.Made})
		}
		if err == nil {
			_, err = io.Copy(t, r)
		}
		r.Close()
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// Restore makes a data directory of a backup. The directory must not be there yet, or be empty: a fleet that is there
// is never written over. On an error nothing is left behind.
func Restore(ctx context.Context, file, dir string) (m Manifest, err error) {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return m, fmt.Errorf("restore to %s: there is something in it; move it away first, or give another --data", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("restore: %w", err)
	}
	r, err := os.Open(file)
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o700); err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".posdx-restore-")
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	defer os.RemoveAll(tmp)
	if m, err = unpack(r, tmp); err != nil {
		return m, fmt.Errorf("restore %s: %w", file, err)
	}
	if _, err := store.Check(ctx, filepath.Join(tmp, storeName)); err != nil {
		return m, fmt.Errorf("restore %s: %w", file, err)
	}
	err = filepath.WalkDir(tmp, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = durable.Folder(p)
		}
		return err
	})
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	os.Remove(dir) // if it is there it is empty
	if err := durable.Rename(tmp, filepath.Clean(dir)); err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	return m, nil
}

func unpack(r io.Reader, dir string) (m Manifest, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return m, fmt.Errorf("not a backup of posdx-fleet: %w", err)
	}
	t := tar.NewReader(z)
	h, err := t.Next()
	if err != nil || h.Name != manifestName || h.Size > maxManifest {
		return m, errors.Join(errors.New("not a backup of posdx-fleet"), err)
	}
	if err := json.NewDecoder(t).Decode(&m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if m.Schema > store.Version() {
		return m, fmt.Errorf(
			"made by posdx-fleet %s with store version %d; this one knows versions up to %d",
			m.Program,
			m.Schema,
			store.Version(),
		)
	}
	left := len(m.Files)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, fmt.Errorf("cut short or damaged: %w", err)
		}
		want, ok := m.Files[h.Name]
		if !ok || h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || path.Clean(h.Name) != h.Name ||
			h.Size > maxFile ||
			!known(h.Name) {
			return m, fmt.Errorf("%q does not belong into a backup", h.Name)
		}
		delete(m.Files, h.Name)
		left--
		to := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return m, err
		}
		w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return m, err
		}
		sum := sha256.New()
		_, err = io.Copy(io.MultiWriter(w, sum), t)
		err = errors.Join(err, w.Sync(), w.Close())
		if err != nil {
			return m, fmt.Errorf("%s: %w", h.Name, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != want {
			return m, fmt.Errorf("%s: damaged, its sum is another", h.Name)
		}
	}
	if left != 0 {
		return m, fmt.Errorf("cut short: %d files are missing", left)
	}
	return m, nil
}

func known(name string) bool {
	if name == storeName {
		return true
	}
	for _, k := range Kept {
		if name == k || strings.HasPrefix(name, k+"/") {
			return true
		}
	}
	return false
}
