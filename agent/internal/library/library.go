// Package library holds the knowledge in force: that which the program was built with, or a newer signed pack.
package library

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"posdx/agent/internal/atomicfile"
	"posdx/agent/internal/say"
	"posdx/codes"
)

const (
	// packLook is how often the daemon looks whether another pack was put in place; SIGHUP makes it look at once.
	packLook = 10 * time.Minute
)

// A Library is the knowledge in force: that which the program was built with, or a newer signed pack in the state
// directory. If anything is wrong with a pack, the knowledge in force stays.
type Library struct {
	path  string
	keys  []ed25519.PublicKey
	log   *slog.Logger
	Now   atomic.Pointer[codes.Knowledge]
	stamp time.Time // modification time of the pack last looked at; belongs to run
}

// New loads the pack in a state directory, if there is one with a signature by one of the keys.
func New(stateDir string, keys []string, log *slog.Logger) (*Library, error) {
	l := &Library{path: filepath.Join(stateDir, "knowledge.pack"), log: log}
	l.Now.Store(codes.Builtin())
	for i, k := range keys {
		key, err := codes.ParseKey(k)
		if err != nil {
			return nil, say.New("library-key", i, err)
		}
		l.keys = append(l.keys, key)
	}
	l.Look()
	return l, nil
}

// Look loads the pack if it has changed since the last look.
func (l *Library) Look() {
	info, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil && info.ModTime().Equal(l.stamp) {
		return
	}
	var b []byte
	if err == nil {
		l.stamp = info.ModTime()
		b, err = atomicfile.Read(l.path, codes.MaxPack)
	}
	var k *codes.Knowledge
	if err == nil {
		k, err = l.judge(b)
	}
	if err != nil {
		l.log.Warn("knowledge pack not used", "file", l.path, "err", err, "in_force", l.Now.Load().Version)
		return
	}
	l.Now.Store(k)
	l.log.Info("knowledge", "version", k.Version, "hash", k.Hash)
}

// judge reads a pack and refuses one that is not newer than the knowledge in force: an old pack with a good signature
// must not bring old mistakes back. Versions are dates and compare as text.
func (l *Library) judge(b []byte) (*codes.Knowledge, error) {
	if len(l.keys) == 0 {
		return nil, errors.New("no key in knowledge.keys, so no pack can be trusted")
	}
	k, err := codes.LoadPack(b, l.keys)
	if err != nil {
		return nil, err
	}
	if now := l.Now.Load(); k.Version <= now.Version {
		return nil, fmt.Errorf("version %s is not newer than %s, which is in force", k.Version, now.Version)
	}
	return k, nil
}

// Install puts a pack in force and keeps it.
func (l *Library) Install(b []byte) (*codes.Knowledge, error) {
	k, err := l.judge(b)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Replace(l.path, b); err != nil {
		return nil, err
	}
	l.Now.Store(k)
	return k, nil
}

// Run looks for another pack until ctx ends, at once on SIGHUP.
func (l *Library) Run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	t := time.NewTicker(packLook)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		case <-t.C:
		}
		l.Look()
	}
}

// PackOf returns the pack that a command of the fleet carries.
func PackOf(args map[string]any) ([]byte, error) {
	text, _ := args["pack"].(string)
	if text == "" {
		return nil, errors.New("args.pack: want a signed pack in base64")
	}
	return base64.StdEncoding.DecodeString(strings.TrimSpace(text))
}
