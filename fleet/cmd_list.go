package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/store"
	"posdx/fleet/web"
)

const (
	askWait   = 10 * time.Second
	maxAnswer = 64 << 20 // 500 diagnoses of 64 kB, twice
)

// A client asks a running fleet.
type client struct{ base, token, lang string }

// addClient adds the flags that say where the fleet is.
func addClient(f interface {
	StringVar(p *string, name, value, usage string)
}) (c *client, tokenFile *string) {
	c, tokenFile = new(client), new(string)
	f.StringVar(&c.base, "url", "http://127.0.0.1:8080", "运行中的管理平台的地址 `URL`\n`URL` of the running fleet")
	f.StringVar(tokenFile, "token-file", "", "存放令牌的 `FILE`\n`FILE` with its token")
	return c, tokenFile
}

func (c *client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.base, "/")+path, nil)
	if err != nil {
		return err
	}
	if c.lang == "zh" {
		r.Header.Set("Accept-Language", c.lang) // of what is wrong with the question
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return json.Unmarshal(body, into)
	case http.StatusNotFound:
		return store.ErrNone
	case http.StatusUnauthorized:
		return errors.New("the fleet asks for a token: posdx-fleet token add makes one, --token-file FILE shows it")
	case http.StatusForbidden:
		return errors.New("the token does not reach this: its scope, role or estates are too narrow")
	}
	var said struct{ Error string }
	if json.Unmarshal(body, &said) == nil && said.Error != "" && answer.StatusCode == http.StatusBadRequest {
		return fmt.Errorf("the fleet refuses: %v", printable(said.Error))
	}
	return fmt.Errorf("the fleet answers %q", answer.Status)
}

func printJSON(w io.Writer, v any) int {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if e.Encode(v) != nil {
		return exitFailed
	}
	return exitOK
}

func runList(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "list", "[OPTIONS]", "列出运行中的管理平台最新的诊断。", "Lists the newest diagnoses of a running fleet.", "posdx-fleet list --code 96 --limit 10")
	c, tokenFile := addClient(f)
	asJSON := f.Bool("json", false, "输出 JSON\nprint JSON")
	q := url.Values{}
	for _, o := range []struct{ name, usage string }{
		{"estate", "只列这个`机构`的\nonly this `ESTATE`"}, {"terminal", "只列这台`终端`的\nonly this `TERMINAL`"}, {"code", "只列这个`应答码`的\nonly this `CODE`"},
		{"cause", "只列首要原因是这个 `ID` 的\nonly this leading cause `ID`"}, {"segment", "只列这一`段`的\nonly this `SEGMENT`"}, {"q", "只列含有这些`文字`的\nonly with this `TEXT`"}, {"limit", "最多 `N` 条，不超过 500\nat most `N`, up to 500"},
	} {
		f.Func(o.name, o.usage, func(v string) error { q.Set(o.name, v); return nil })
	}
	if _, code, ok := parse(s, f, args, 0); !ok {
		return code
	}
	var err error
	c.lang = s.language()
	if c.token, err = readToken(*tokenFile); err != nil {
		return failed(s, "list", mistake{err})
	}
	var answer struct {
		Diagnoses []store.Row `json:"diagnoses"`
		Next      string      `json:"next,omitempty"`
	}
	for { // a search for what is rare finds nothing in its first answers
		if err := c.get(ctx, "/api/v1/diagnoses?"+q.Encode(), &answer); err != nil {
			return failed(s, "list", err)
		}
		if len(answer.Diagnoses) > 0 || answer.Next == "" {
			break
		}
		q.Set("before", answer.Next)
		answer.Next = ""
	}
	if *asJSON {
		return printJSON(s.out, answer)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, r := range answer.Diagnoses {
		var d report.Diagnosis
		if err := json.Unmarshal(r.Body, &d); err != nil {
			return failed(s, "list", fmt.Errorf("diagnosis %d: %w", r.Place, err))
		}
		first := store.First(&d)
		title := first.Title
		if k, ok := codes.Builtin().Cause(first.ID); ok {
			title = k.Title.In(s.language())
		}
		fmt.Fprintf(w, "%s\t%s/%s\t%s\t%s\t%.0f%%\t%s\n", r.Received.Local().Format("2006-01-02 15:04:05"), r.Estate,
			r.Terminal, printable(d.Event.Code), first.ID, 100*first.Probability, printable(title))
	}
	w.Flush()
	return exitOK
}

func runShow(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "show", "ESTATE/TERMINAL [--json]", "显示运行中的管理平台对一台终端所知的。", "Shows what a running fleet knows of one terminal.", "posdx-fleet show shop/t1")
	c, tokenFile := addClient(f)
	asJSON := f.Bool("json", false, "输出 JSON\nprint JSON")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	var at report.Address
	at.Estate, at.Terminal, _ = strings.Cut(words[0], "/")
	if err := at.Check(); err != nil {
		return s.wrong("show", "%s；应为 ESTATE/TERMINAL", "%s; want ESTATE/TERMINAL", s.error(err))
	}
	var err error
	c.lang = s.language()
	if c.token, err = readToken(*tokenFile); err != nil {
		return failed(s, "show", mistake{err})
	}
	var t store.Terminal
	if err := c.get(ctx, "/api/v1/terminals/"+at.Estate+"/"+at.Terminal, &t); err != nil {
		return failed(s, "show", fmt.Errorf("%s: %w", words[0], err))
	}
	if *asJSON {
		return printJSON(s.out, t)
	}
	s.print("%s/%s  %[4]s 起%[3]s，最后一次收到 %[5]s", "%s/%s  %s since %s, last heard %s", t.Estate, t.Terminal, web.Word(s.language(), "state", t.State),
		t.StateAt.Local().Format(time.DateTime), t.LastSeen.Local().Format(time.DateTime))
	var h report.Health
	if len(t.Health) > 0 {
		if err := json.Unmarshal(t.Health, &h); err != nil {
			return failed(s, "show", fmt.Errorf("health: %w", err))
		}
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, e := range h.Evidence {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", web.Word(s.language(), "result", string(e.Status)), printable(e.Check), printable(e.Subject))
	}
	w.Flush()
	for _, st := range t.Streams {
		for _, g := range st.Gaps {
			s.print("  缺 %d-%d %s %s", "  gap %d-%d %s %s", g.First, g.Last, web.Word(s.language(), "gap", g.State), printable(g.Reason))
		}
	}
	return exitOK
}

// printable takes out what could steer the reader's screen.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
