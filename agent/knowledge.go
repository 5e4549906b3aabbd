package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
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
	conf "posdx/agent/internal/config"
	"posdx/codes"
)

const (
	// packLook is how often the daemon looks whether another pack was put in place; SIGHUP makes it look at once.
	packLook = 10 * time.Minute
)

// A library is the knowledge in force: what the program was built with, or a newer signed pack in the state directory.
// Whatever is wrong with a pack, the knowledge in force stays.
type library struct {
	path  string
	keys  []ed25519.PublicKey
	log   *slog.Logger
	now   atomic.Pointer[codes.Knowledge]
	stamp time.Time // modification time of the pack last looked at; belongs to run
}

func newLibrary(c config, log *slog.Logger) (*library, error) {
	l := &library{path: filepath.Join(c.StateDir, "knowledge.pack"), log: log}
	l.now.Store(codes.Builtin())
	for i, k := range c.Knowledge.Keys {
		key, err := codes.ParseKey(k)
		if err != nil {
			return nil, fmt.Errorf("config: knowledge.keys[%d]: %w", i, err)
		}
		l.keys = append(l.keys, key)
	}
	l.look()
	return l, nil
}

// look loads the pack if it is another one than last time.
func (l *library) look() {
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
		l.log.Warn("knowledge pack not used", "file", l.path, "err", err, "in_force", l.now.Load().Version)
		return
	}
	l.now.Store(k)
	l.log.Info("knowledge", "version", k.Version, "hash", k.Hash)
}

// judge reads a pack and refuses one that is not newer than the knowledge in force: an old pack with a good signature
// must not bring old mistakes back. Versions are dates and compare as text.
func (l *library) judge(b []byte) (*codes.Knowledge, error) {
	if len(l.keys) == 0 {
		return nil, errors.New("no key in knowledge.keys, so no pack can be trusted")
	}
	k, err := codes.LoadPack(b, l.keys)
	if err != nil {
		return nil, err
	}
	if now := l.now.Load(); k.Version <= now.Version {
		return nil, fmt.Errorf("version %s is not newer than %s, which is in force", k.Version, now.Version)
	}
	return k, nil
}

// install puts a pack in force and keeps it.
func (l *library) install(b []byte) (*codes.Knowledge, error) {
	k, err := l.judge(b)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Replace(l.path, b); err != nil {
		return nil, err
	}
	l.now.Store(k)
	return k, nil
}

func (l *library) run(ctx context.Context) error {
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
		l.look()
	}
}

// packOf takes the pack out of a command of the fleet.
func packOf(args map[string]any) ([]byte, error) {
	text, _ := args["pack"].(string)
	if text == "" {
		return nil, errors.New("args.pack: want a signed pack in base64")
	}
	return base64.StdEncoding.DecodeString(strings.TrimSpace(text))
}

func runKnowledge(_ context.Context, s stdio, args []string) int {
	f := flags(s, "knowledge", "[--config FILE] [--json] [PACK]",
		"Prints which knowledge is in force. With a PACK it checks the signature and the version and puts it in place; the\nrunning daemon takes it up within ten minutes, or at once on SIGHUP.\nExit codes: 0 done, 1 the pack was refused.",
		"posdx knowledge /tmp/knowledge-2027.01.15.pack")
	path := f.String("config", defaultConfig, "the configuration `FILE`")
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 1 {
		f.Usage()
		return exitUsage
	}
	c, _, err := readConfig(*path)
	if unwritten(*path) && len(words) == 0 {
		c, err = config{Config: conf.Defaults()}, nil
	}
	var l *library
	if err == nil {
		l, err = newLibrary(c, slog.New(slog.NewTextHandler(s.err, nil)))
	}
	if err == nil && len(words) == 1 {
		var b []byte
		if b, err = atomicfile.Read(words[0], codes.MaxPack); err == nil {
			_, err = l.install(b)
		}
	}
	if err != nil {
		fmt.Fprintf(s.err, "posdx: %v\n", err)
		return exitFailed
	}
	k := l.now.Load()
	if *asJSON {
		json.NewEncoder(s.out).Encode(map[string]any{"version": k.Version, "hash": k.Hash, "builtin": k.Hash == codes.Builtin().Hash})
		return exitOK
	}
	fmt.Fprintf(s.out, "knowledge %s  %s\n", k.Version, k.Hash)
	return exitOK
}
