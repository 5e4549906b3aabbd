package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"posdx/agent/internal/outbox"
	"posdx/agent/report"
	"posdx/drivers/ecr"

	"github.com/pelletier/go-toml/v2"
)

// maxConfig bounds the configuration file; a real one is under 4 kB.
const maxConfig = 256 << 10

// config is the configuration file. Every key is described in firmware-build/posdx.toml.
type config struct {
	Language string `toml:"language"`
	Estate   string `toml:"estate"`
	Terminal string `toml:"terminal"`
	StateDir string `toml:"state_dir"`

	Hook    hookConfig     `toml:"hook"`
	Log     []logConfig    `toml:"log"`
	ECR     []ecrConfig    `toml:"ecr"`
	Capture captureConfig  `toml:"capture"`
	Reader  []portConfig   `toml:"reader"`
	Modem   []portConfig   `toml:"modem"`
	PINPad  []portConfig   `toml:"pinpad"`
	Printer []portConfig   `toml:"printer"`
	Network networkConfig  `toml:"network"`
	Target  []targetConfig `toml:"target"`
	Storage storageConfig  `toml:"storage"`
	App     appConfig      `toml:"app"`
	Broker  brokerConfig   `toml:"broker"`
	Outbox  outboxConfig   `toml:"outbox"`
	Profile profileConfig  `toml:"profile"`
	Console consoleConfig  `toml:"console"`

	Knowledge knowledgeConfig `toml:"knowledge"`

	Labels map[string]string `toml:"labels"`

	host *hostClock // what the host says the time is; nil where nobody can tell
	life *lives     // how the starts before this one ended; nil where that does not matter
}

type knowledgeConfig struct {
	Keys []string `toml:"keys"`
}

type hookConfig struct {
	Socket string `toml:"socket"`
	Group  string `toml:"group"`
}

type logConfig struct {
	Path     string   `toml:"path"`
	Encoding string   `toml:"encoding"`
	Begin    string   `toml:"begin"`
	Patterns []string `toml:"patterns"`
	Scheme   string   `toml:"scheme"`
	Origin   string   `toml:"origin"`
	Time     string   `toml:"time_layout"`

	Step []stepConfig `toml:"step"`
}

// stepConfig reads steps of a transaction from a log: without them the agent cannot know that a sale is running.
type stepConfig struct {
	Pattern string `toml:"pattern"`
	Phase   string `toml:"phase"`
	Result  string `toml:"result"`
}

// ecrConfig is a link between a terminal and a cash register, listened to on ports of its own.
type ecrConfig struct {
	Name    string   `toml:"name"`
	Framing string   `toml:"framing"`
	RX      []string `toml:"rx"`
	Port    string   `toml:"port"`
	Way     string   `toml:"way"`
	Baud    int      `toml:"baud"`
	Parity  string   `toml:"parity"`
	Bits    int      `toml:"data_bits"`
}

// captureConfig watches the connections to the hosts on the wire; where they are, the targets say.
type captureConfig struct {
	On        bool   `toml:"on"`
	Interface string `toml:"interface"`
	Length    string `toml:"length"`
	Dialect   string `toml:"dialect"`
}

type portConfig struct {
	Name     string `toml:"name"`
	Port     string `toml:"port"`
	Baud     int    `toml:"baud"`
	Protocol string `toml:"protocol"`
	APN      string `toml:"apn"`

	RX   []string `toml:"rx"`   // of a reader: ports that hear its line
	Keys []string `toml:"keys"` // of a PIN pad: keys that must be there

	Dedicated bool `toml:"dedicated"`
	DialUp    bool `toml:"dial_up"`
	MayReset  bool `toml:"may_reset"`
}

type networkConfig struct {
	Interfaces []string `toml:"interfaces"`
	Resolvers  []string `toml:"resolvers"`
	ResolvConf string   `toml:"resolv_conf"`
	Metered    []string `toml:"metered"`
	DailyBytes int64    `toml:"daily_bytes"`
	SSID       string   `toml:"ssid"`
}

type targetConfig struct {
	Name       string `toml:"name"`
	Host       string `toml:"host"`
	Port       int    `toml:"port"`
	TLS        bool   `toml:"tls"`
	ServerName string `toml:"server_name"`
	CA         string `toml:"ca"`
	Via        string `toml:"via"`
	PortalPath string `toml:"portal_path"`
}

type storageConfig struct {
	Paths []string `toml:"paths"`
}

type appConfig struct {
	Process  string `toml:"process"`
	Expected string `toml:"expected_version"`

	Parameters []string `toml:"parameters"`
}

type brokerConfig struct {
	URL        []string `toml:"url"`
	CA         string   `toml:"ca"`
	Cert       string   `toml:"cert"`
	Key        string   `toml:"key"`
	ServerName string   `toml:"server_name"`
	UserFile   string   `toml:"user_file"`
	KeepAlive  duration `toml:"keepalive"`
	Delivery   string   `toml:"delivery"`
	Compress   bool     `toml:"compress"`
	DailyBytes int64    `toml:"daily_bytes"`

	AdvisoryKeys []string `toml:"advisory_keys"`
	advisoryKeys []ed25519.PublicKey
}

type outboxConfig struct {
	MaxBytes int64    `toml:"max_bytes"`
	MaxAge   duration `toml:"max_age"`
}

type profileConfig struct {
	Name   string `toml:"name"`
	Scheme string `toml:"scheme"`
}

type consoleConfig struct {
	TTY  string `toml:"tty"`
	Baud int    `toml:"baud"`
}

// duration is a time span as people write it: 90s, 15m, 720h.
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no time span; write 90s, 15m or 720h", b)
	}
	*d = duration(v)
	return nil
}

// defaults is the configuration of a file that says nothing.
func defaults() config {
	return config{
		Language: "zh", StateDir: "/var/lib/posdx",
		Hook:    hookConfig{Socket: "/run/posdx/hook.sock"},
		Network: networkConfig{ResolvConf: "/etc/resolv.conf"},
		Broker:  brokerConfig{Delivery: "fleet", KeepAlive: duration(time.Minute)},
		Outbox:  outboxConfig{MaxBytes: 8 << 20, MaxAge: duration(30 * 24 * time.Hour)},
		Profile: profileConfig{Scheme: "unionpay"},
		Console: consoleConfig{Baud: 115200},
	}
}

// readConfig reads and checks a configuration file. The error names every mistake with its line and column.
func readConfig(path string) (config, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, fmt.Errorf("read config: %w; write it (README.md names every key) or name another with --config", err)
	}
	if err != nil {
		return config{}, fmt.Errorf("read config: %w", err)
	}
	if info.Size() > maxConfig {
		return config{}, fmt.Errorf("read config %s: %d bytes, want at most %d", path, info.Size(), maxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("read config: %w", err)
	}
	c, err := parseConfig(b)
	if err != nil {
		return config{}, fmt.Errorf("config %s: %w", path, err)
	}
	return c, nil
}

func parseConfig(b []byte) (config, error) {
	c := defaults()
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		var bad *toml.DecodeError
		switch {
		case errors.As(err, &unknown):
			var list []error
			for _, e := range unknown.Errors {
				row, col := e.Position()
				list = append(list, fmt.Errorf("line %d, column %d: unknown key %q", row, col, strings.Join(e.Key(), ".")))
			}
			return c, errors.Join(list...)
		case errors.As(err, &bad):
			row, col := bad.Position()
			return c, fmt.Errorf("line %d, column %d: %s", row, col, strings.TrimPrefix(bad.Error(), "toml: "))
		}
		return c, err
	}
	return c, c.check()
}

// check tells everything that is wrong at once: a technician edits this over a serial line.
func (c *config) check() error {
	var list []error
	bad := func(key, format string, args ...any) {
		list = append(list, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	oneOf := func(key, value string, of ...string) {
		for _, o := range of {
			if value == o {
				return
			}
		}
		bad(key, "%q is not one of %s", value, strings.Join(of, ", "))
	}
	oneOf("language", c.Language, "zh", "en")
	if err := (report.Address{Estate: c.Estate, Terminal: c.Terminal}).Check(); err != nil {
		list = append(list, err)
	}
	paths := map[string]bool{}
	for i, l := range c.Log {
		key := fmt.Sprintf("log[%d]", i)
		if l.Path == "" {
			bad(key+".path", "is empty; name the payment log to follow")
		} else if paths[l.Path] {
			bad(key+".path", "%q is followed already; put all patterns of a log into one [[log]]", l.Path)
		}
		paths[l.Path] = true
		oneOf(key+".encoding", l.Encoding, "", "utf-8", "gb18030")
		oneOf(key+".origin", l.Origin, "", "host", "terminal", "cashier", "unknown")
		for j, st := range l.Step {
			oneOf(fmt.Sprintf("%s.step[%d].phase", key, j), st.Phase, "start", "sent", "answered", "end")
			oneOf(fmt.Sprintf("%s.step[%d].result", key, j), st.Result, "", "approved", "declined", "failed", "cancelled")
		}
		if _, err := regexp.Compile(l.Begin); err != nil {
			bad(key+".begin", "%v", err)
		}
		if len(l.Patterns) == 0 {
			bad(key+".patterns", "is empty; give a regular expression with a group named code")
		}
		for j, p := range l.Patterns {
			re, err := regexp.Compile(p)
			if err != nil {
				bad(fmt.Sprintf("%s.patterns[%d]", key, j), "%v", err)
			} else if re.SubexpIndex("code") < 0 {
				bad(fmt.Sprintf("%s.patterns[%d]", key, j), "has no group named code; write (?P<code>…) around the response code")
			}
		}
	}
	for scope, value := range c.Labels {
		oneOf("labels", scope, "acquirer", "carrier", "bearer", "site", "region", "model", "firmware", "application")
		if !utf8.ValidString(value) || len(value) > report.MaxLabel {
			bad("labels."+scope, "is longer than %d bytes, or not UTF-8", report.MaxLabel)
		}
	}
	names := map[string]bool{}
	port := func(key string, p portConfig) {
		if p.Name == "" || names[p.Name] {
			bad(key+".name", "%q is empty or used twice; each device needs its own, such as reader0", p.Name)
		}
		names[p.Name] = true
		if p.Port == "" && len(p.RX) == 0 {
			bad(key+".port", "is empty; name the device file, such as /dev/ttyUSB0 or /dev/serial/by-id/…")
		}
		if p.Baud < 0 {
			bad(key+".baud", "%d is no baud rate", p.Baud)
		}
	}
	for i, p := range c.Reader {
		port(fmt.Sprintf("reader[%d]", i), p)
	}
	for _, kind := range []struct {
		name string
		list []portConfig
	}{{"modem", c.Modem}, {"pinpad", c.PINPad}, {"printer", c.Printer}} {
		for i, p := range kind.list {
			key := fmt.Sprintf("%s[%d]", kind.name, i)
			port(key, p)
			if len(p.RX) > 0 {
				bad(key+".rx", "only a reader can be overheard")
			}
		}
	}
	c.checkLinks(names, bad, oneOf)
	for i, t := range c.Target {
		key := fmt.Sprintf("target[%d]", i)
		oneOf(key+".name", t.Name, "host-primary", "host-backup", "internet")
		if t.Host == "" {
			bad(key+".host", "is empty")
		}
		if t.Port < 1 || t.Port > 65535 {
			bad(key+".port", "%d is no TCP port", t.Port)
		}
		if len(t.Via) > 15 || strings.ContainsAny(t.Via, "/@ ") {
			bad(key+".via", "%q is no interface", t.Via)
		}
		if t.PortalPath != "" && (t.PortalPath[0] != '/' || t.TLS || t.Name != "internet") {
			bad(key+".portal_path", "want a path such as /generate_204, of the target internet, without tls")
		}
	}
	oneOf("capture.length", c.Capture.Length, "", "binary2", "bcd2", "ascii4")
	oneOf("capture.dialect", c.Capture.Dialect, "", "unionpay", "nac", "text", "text-hex")
	if c.Capture.On && len(hosts(*c)) == 0 {
		bad("capture.on", "there is nothing to watch: no [[target]] is called host-primary or host-backup")
	}
	oneOf("broker.delivery", c.Broker.Delivery, "fleet", "broker")
	for i, k := range c.Broker.AdvisoryKeys {
		raw, err := base64.StdEncoding.DecodeString(k)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			bad(fmt.Sprintf("broker.advisory_keys[%d]", i), "%q is not the base64 of an ed25519 public key; posdx-fleet advisory-key prints it", k)
			continue
		}
		c.Broker.advisoryKeys = append(c.Broker.advisoryKeys, raw)
	}
	if (c.Broker.Cert == "") != (c.Broker.Key == "") {
		bad("broker.cert", "a client certificate needs both broker.cert and broker.key")
	}
	if k := time.Duration(c.Broker.KeepAlive); k < 5*time.Second || k > 18*time.Hour {
		bad("broker.keepalive", "%v is not between 5s and 18h", k)
	}
	if c.Outbox.MaxBytes < outbox.MinBytes {
		bad("outbox.max_bytes", "%d is under %d KiB, too little for the diagnoses of an outage", c.Outbox.MaxBytes, outbox.MinBytes>>10)
	}
	return errors.Join(list...)
}

// checkLinks checks the register links. A port has one reader: a second one would take bytes from the first.
func (c *config) checkLinks(names map[string]bool, bad func(key, format string, args ...any), oneOf func(key, value string, of ...string)) {
	taken := map[string]bool{c.Console.TTY: true}
	for _, p := range slices.Concat(c.Reader, c.Modem, c.PINPad, c.Printer) {
		taken[p.Port] = true
		for _, rx := range p.RX {
			taken[rx] = true
		}
	}
	for i, l := range c.ECR {
		key := fmt.Sprintf("ecr[%d]", i)
		if l.Name == "" || names[l.Name] {
			bad(key+".name", "%q is empty or used twice; each device needs its own, such as ecr0", l.Name)
		}
		names[l.Name] = true
		oneOf(key+".framing", l.Framing, ecr.MISPOS, ecr.Transbank, ecr.ECR17, ecr.ZVT, ecr.ABECS, ecr.ISO8583)
		oneOf(key+".parity", l.Parity, "", "none", "odd", "even")
		if l.Bits != 0 && l.Bits != 7 && l.Bits != 8 {
			bad(key+".data_bits", "%d is neither 7 nor 8", l.Bits)
		}
		if l.Way == "relay" {
			if l.Port != "" || len(l.RX) > 0 || strings.Contains(l.Name, "/") {
				bad(key+".way", "a relay has the port, and its copies go by the link's name: give neither rx nor port, and no / in %q", l.Name)
			}
			continue
		}
		if l.Baud <= 0 {
			bad(key+".baud", "%d is no baud rate; give that of the terminal", l.Baud)
		}
		ports, way := l.RX, "rx"
		if l.Port != "" {
			ports, way = []string{l.Port}, "own"
		}
		if l.Way != "" && l.Way != way {
			bad(key+".way", "%q does not fit the ports: rx goes with rx, own with port, relay with neither", l.Way)
		}
		if (l.Port != "") == (len(l.RX) > 0) || len(l.RX) > 2 {
			bad(key+".rx", "name one or two receive-only ports here, what the terminal sends first, or one in %s.port", key)
		}
		for _, p := range ports {
			if p == "" || taken[p] {
				bad(key, "port %q is empty or read by something else already", p)
			}
			taken[p] = true
		}
	}
}
