package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/keeper"
	"posdx/agent/internal/library"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/source/paylog"
	"posdx/agent/internal/uplink"
	"posdx/codes"
	"posdx/drivers/ecr"
	"posdx/drivers/reader"
)

// config is the configuration of a terminal, with what a running daemon adds to it.
type config struct {
	conf.Config

	host *hostClock    // the time that the host gave; nil where none can be had
	life *keeper.Lives // how the starts before this one ended; nil where that does not matter

	track1 bool // sales may be made of a stripe's track 1 alone: so the profile says
}

// readConfig reads a configuration and builds everything of it without starting anything. The daemon, `config check`
// and every other command read it here: what one of them refuses, all refuse, in the same words. The problems hold what
// does not keep the daemon from starting as well; the error is the rest of them.
func readConfig(path string) (config, conf.Problems, error) { return prove(conf.Read(path)) }

func prove(c conf.Config, problems conf.Problems) (config, conf.Problems, error) {
	out := config{Config: c}
	problems = append(problems, out.dry()...)
	problems.Sort()
	problems = slices.CompactFunc(problems, func(a, b conf.Problem) bool { return a.Error() == b.Error() })
	return out, problems, problems.Refused()
}

// A keyed error is about one key of the configuration.
type keyed struct {
	key string
	err error
}

func (k keyed) Error() string { return "config: " + k.key + ": " + k.err.Error() }
func (k keyed) Unwrap() error { return k.err }

// dry makes every part of the daemon that can be made wrongly, and starts none. What a part says of the configuration
// it was given is returned with the key that is to blame.
func (c *config) dry() (list conf.Problems) {
	bad := func(key string, err error) {
		var k keyed
		if errors.As(err, &k) {
			key, err = k.key, k.err
		}
		list = append(list, c.Problem(conf.Error, key, err))
	}
	check := func(key string, err error) {
		if err != nil {
			bad(key, err)
		}
	}
	silent := slog.New(slog.DiscardHandler)
	for i, k := range c.Knowledge.Keys {
		if _, err := codes.ParseKey(k); err != nil {
			bad(fmt.Sprintf("knowledge.keys[%d]", i), say.New("knowledge-key", k, ed25519.PublicKeySize))
		}
	}
	know := codes.Builtin()
	if lib, err := library.New(c.StateDir, c.Knowledge.Keys, silent); err == nil {
		know = lib.Now.Load()
	}
	_, err := chooseProfile(know, c.Profile)
	check("profile", err)
	scheme := func(key, name string) {
		if _, ok := know.Scheme(name); name != "" && !ok {
			bad(key, say.New("no-scheme", name, schemesOf(know)))
		}
	}
	if c.Hook.HTTP != "" {
		check("hook.http", hook.CheckHTTP(c.Hook.HTTP))
	}
	for i, l := range c.Log {
		scheme(fmt.Sprintf("log[%d].scheme", i), l.Scheme)
		check(fmt.Sprintf("log[%d].encoding", i), paylog.CheckEncoding(l.Encoding))
		check(fmt.Sprintf("log[%d].path", i), paylog.CheckPath(l.Path))
	}
	logs, faults := follow(*c, silent)
	for _, err := range faults {
		bad("log", err)
	}
	if len(list) == 0 {
		check("log", logs.Check())
	}
	for i, l := range links(*c, silent) {
		check(fmt.Sprintf("ecr[%d].framing", i), l.Check())
	}
	oneOf := func(key, value string, of []string) {
		if value != "" && !slices.Contains(of, value) {
			bad(key, say.New("not-one-of", value, strings.Join(of, ", ")))
		}
	}
	oneOf("capture.length", c.Capture.Length, ecr.LengthHeaderNames())
	oneOf("capture.dialect", c.Capture.Dialect, ecr.DialectNames())
	for i, r := range c.Reader {
		key := fmt.Sprintf("reader[%d].protocol", i)
		if len(r.RX) > 0 {
			key = fmt.Sprintf("reader[%d].rx", i)
		}
		check(key, probe.CheckReader(probe.ReaderConfig{Name: r.Name, Port: r.Port, Protocol: r.Protocol, Baud: r.Baud},
			r.RX))
	}
	for i, p := range c.PINPad {
		keys := p.Keys
		p.Keys = nil
		_, err := pinpad(p)
		check(fmt.Sprintf("pinpad[%d].protocol", i), err)
		for j := range keys {
			if p.Keys = keys[j : j+1]; err == nil {
				_, err := pinpad(p)
				check(fmt.Sprintf("pinpad[%d].keys[%d]", i, j), err)
			}
		}
	}
	for i, p := range c.Printer {
		_, err := printer(p)
		check(fmt.Sprintf("printer[%d].protocol", i), err)
	}
	for i, u := range c.Broker.URL {
		check(fmt.Sprintf("broker.url[%d]", i), uplink.CheckBroker(u))
	}
	if c.Outbox.MaxBytes < outbox.MinBytes {
		bad("outbox.max_bytes", say.New("outbox-small", c.Outbox.MaxBytes, outbox.MinBytes>>10))
	}
	if len(list) == 0 {
		// Whatever else the parts may say: then they are all made as the daemon makes them.
		_, err := sense(*c, "", &reader.Reads{}, silent)
		check("", err)
	}
	return list
}

// schemesOf lists the code tables.
func schemesOf(k *codes.Knowledge) string {
	var names []string
	for _, s := range k.Schemes {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
