package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"posdx/fleet/settings"
	"posdx/fleet/store"
)

// A Config says who is told of what. It is a TOML file:
//
//	language = "zh"
//	link = "https://fleet.example.com"
//
//	[[way]]
//	name = "ops"
//	kind = "dingtalk"
//	url = "https://oapi.dingtalk.com/robot/send?access_token=…"
//	secret_file = "/etc/posdx-fleet/dingtalk.secret"
//	estates = ["shop"]
//	min_terminals = 5
type Config struct {
	Language string `toml:"language"` // zh or en; zh if none is given
	Link     string `toml:"link"`     // where people reach the pages
	Way      []Way  `toml:"way"`
}

// A Way is one receiver.
type Way struct {
	Name         string        `toml:"name"`
	Kind         string        `toml:"kind"` // one of Kinds
	Language     string        `toml:"language"`
	Estates      store.Estates `toml:"estates"`       // none: all
	Segments     []string      `toml:"segments"`      // none: all
	MinTerminals int           `toml:"min_terminals"` // of smaller incidents no notice is sent

	URL          string `toml:"url"`
	Secret       string `toml:"secret"` // signs what is sent: webhook, dingtalk
	SecretFile   string `toml:"secret_file"`
	BearerFile   string `toml:"bearer_file"`   // a token to show: webhook, alertmanager, otlp
	Template     string `toml:"template"`      // text/template of a Notice that makes the JSON body: webhook
	AllowPrivate bool   `toml:"allow_private"` // the receiver is in one's own network; otherwise such addresses, and http, are refused

	SMTP         string   `toml:"smtp"` // host:587 (STARTTLS) or host:465 (TLS)
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	From         string   `toml:"from"`
	To           []string `toml:"to"`
	Plain        bool     `toml:"plain"` // no TLS to a mail server on this machine
}

// Kinds of ways.
var Kinds = []string{"alertmanager", "dingtalk", "email", "otlp", "slack", "teams", "webhook", "wecom"}

const maxWays = 50

// Read reads and checks a configuration.
func Read(file string) (Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("read notifications: %w", err)
	}
	c, err := parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("read notifications %s: %w", file, err)
	}
	return c, nil
}

func parse(b []byte) (Config, error) {
	c := Config{Language: "zh"}
	if err := settings.Decode(b, &c); err != nil {
		return c, err
	}
	if c.Language != "zh" && c.Language != "en" {
		return c, fmt.Errorf("language %q: want zh or en", c.Language)
	}
	if c.Link != "" {
		if u, err := url.Parse(c.Link); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return c, fmt.Errorf("link %q: want the https address of the pages", c.Link)
		}
	}
	if len(c.Way) > maxWays {
		return c, fmt.Errorf("%d ways: want %d at most", len(c.Way), maxWays)
	}
	names := map[string]bool{}
	for i := range c.Way {
		w := &c.Way[i]
		if w.Name == "" || len(w.Name) > 64 || names[w.Name] {
			return c, fmt.Errorf("way %d: want a name of its own", i+1)
		}
		names[w.Name] = true
		if err := w.check(); err != nil {
			return c, fmt.Errorf("way %q: %w", w.Name, err)
		}
	}
	return c, nil
}

func (w *Way) language(of string) string {
	if w.Language != "" {
		return w.Language
	}
	return of
}

func (w *Way) check() error {
	if !slices.Contains(Kinds, w.Kind) {
		return fmt.Errorf("kind %q: want one of %s", w.Kind, strings.Join(Kinds, " "))
	}
	if w.Language != "" && w.Language != "zh" && w.Language != "en" {
		return fmt.Errorf("language %q: want zh or en", w.Language)
	}
	if w.MinTerminals < 0 {
		return errors.New("min_terminals: want 0 or more")
	}
	if w.Secret != "" && w.SecretFile != "" {
		return errors.New("secret and secret_file: want one of them")
	}
	if (w.Secret != "" || w.SecretFile != "") && w.Kind != "webhook" && w.Kind != "dingtalk" {
		return fmt.Errorf("secret: %s takes none", w.Kind)
	}
	if w.SecretFile != "" {
		s, err := secretFrom(w.SecretFile)
		if err != nil {
			return err
		}
		w.Secret = s
	}
	if w.BearerFile != "" {
		if _, err := secretFrom(w.BearerFile); err != nil {
			return err
		}
	}
	if w.Template != "" {
		if w.Kind != "webhook" {
			return fmt.Errorf("template: %s has its own", w.Kind)
		}
		if _, err := w.render(Notice{Title: `a "title"`, Text: "text\nof two lines"}); err != nil {
			return err
		}
	}
	if w.Kind == "email" {
		host, port, err := net.SplitHostPort(w.SMTP)
		if err != nil || host == "" || port == "" {
			return fmt.Errorf("smtp %q: want host:port", w.SMTP)
		}
		if w.Plain && host != "localhost" && !net.ParseIP(host).IsLoopback() {
			return errors.New("plain: only to a mail server on this machine")
		}
		if len(w.To) == 0 || len(w.To) > 50 {
			return errors.New("to: want 1 to 50 addresses")
		}
		for _, a := range append([]string{w.From}, w.To...) {
			if p, err := mail.ParseAddress(a); err != nil || strings.ContainsAny(p.Address, "\r\n") {
				return fmt.Errorf("address %q: want name@host", a)
			}
		}
		if (w.User == "") != (w.PasswordFile == "") {
			return errors.New("user and password_file belong together")
		}
		return nil
	}
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("url: want https://…")
	}
	if u.Scheme == "http" && !w.AllowPrivate {
		return errors.New("url: want https; http only with allow_private, in one's own network")
	}
	return nil
}

func secretFrom(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" {
		return "", fmt.Errorf("%s: empty", file)
	}
	return s, nil
}

// render makes the body of a webhook that has a template. In it, json writes a value as JSON.
func (w *Way) render(n Notice) ([]byte, error) {
	t, err := template.New("template").
		Option("missingkey=error").
		Funcs(template.FuncMap{"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		}}).
		Parse(w.Template)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, n); err != nil {
		return nil, err
	}
	if !json.Valid(b.Bytes()) {
		return nil, fmt.Errorf("template: makes no JSON; write values as {{json .Text}}: %.200s", b.String())
	}
	return b.Bytes(), nil
}

// Test is a notice to try a way with.
func (c Config) Test(now time.Time, lang string) Notice {
	t := words["test"].In(lang)
	return Notice{
		Event:   "test",
		Estate:  "test",
		Cause:   "test",
		Segment: "unknown",
		Since:   now,
		ActBy:   "none",
		Link:    c.Link,
		Title:   t,
		Text:    t,
	}
}
