package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"posdx/fleet/otlp"
)

// alertKeep is how long Alertmanager is told that something is over.
const alertKeep = 15 * time.Minute

// alertLife is after which Alertmanager may take what it is told no more of for over.
const alertLife = 5 * time.Minute

func (w Way) sender() (sender, error) {
	if w.Kind == "email" {
		return &mailer{w}, nil
	}
	h := &hook{Way: w, client: client(w.AllowPrivate), now: time.Now}
	if w.BearerFile != "" {
		token, err := secretFrom(w.BearerFile)
		if err != nil {
			return nil, err
		}
		h.bearer = token
	}
	if w.Kind == "alertmanager" {
		return &alertmanager{h}, nil
	}
	return h, nil
}

// reserved are networks that are nobody's on the Internet, beyond those that netip knows.
var reserved = func() (list []netip.Prefix) {
	for _, s := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

// outside reports whether an address is on the Internet, and not in a network that only the fleet's machine can reach.
func outside(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// client connects only to the host that the address names: it uses no proxy and follows no redirects, and unless
// private is allowed it connects to no address that is not on the Internet. The address is checked when it is dialled,
// so a name cannot lead to another address after the check.
func client(private bool) *http.Client {
	d := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !private && !outside(a.Addr()) {
			return permanent{fmt.Errorf("%s is not on the Internet; give allow_private if it is meant", a.Addr())}
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           d.DialContext,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: sendWait,
			MaxIdleConns:          2,
			IdleConnTimeout:       time.Minute,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A hook posts JSON.
type hook struct {
	Way
	client *http.Client
	bearer string
	now    func() time.Time
}

const maxAnswer = 64 << 10

func (h *hook) post(ctx context.Context, to string, body []byte, header http.Header) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, permanent{errors.New("url: not one")}
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "posdx-fleet")
	if h.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+h.bearer)
	}
	answer, err := h.client.Do(r)
	if err != nil {
		var u *url.Error // it has the whole address in it, and with that the receiver's key
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch s := answer.StatusCode; {
	case s >= 200 && s < 300:
		return b, err
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		return nil, fmt.Errorf("the receiver answers %d", s)
	case s >= 300 && s < 400:
		return nil, permanent{fmt.Errorf("the receiver answers %d and sends elsewhere; give that address", s)}
	default:
		return nil, permanent{fmt.Errorf("the receiver answers %d: %.200q", s, b)}
	}
}

// tame takes out of a text what would be a mark, a mention or a link where it is shown: names come from terminals.
var tame = strings.NewReplacer(
	"<",
	"‹",
	">",
	"›",
	"[",
	"(",
	"]",
	")",
	"`",
	"'",
	"*",
	"∗",
	"@",
	"＠",
	"#",
	"＃",
	"|",
	"¦",
	"\\",
	"＼",
	"~",
	"∼",
	"\r",
	"",
	"\t",
	" ",
)

// most shortens a text to so many bytes.
func most(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "…"
}

// markdown is the notice with its title in bold and the link as one.
func markdown(n Notice, limit int) string {
	text := strings.TrimSuffix(strings.TrimPrefix(n.Text, n.Title+"\n"), n.Link)
	s := "**" + tame.Replace(
		n.Title,
	) + "**\n\n" + strings.ReplaceAll(
		most(tame.Replace(strings.TrimSpace(text)), limit),
		"\n",
		"\n\n",
	)
	if n.Link != "" {
		s += "\n\n[" + n.Link + "](" + n.Link + ")"
	}
	return s
}

func (h *hook) send(ctx context.Context, n Notice) error {
	to, header := h.URL, http.Header{}
	var v any
	switch h.Kind {
	case "wecom":
		v = map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": markdown(n, 3000)}}
	case "dingtalk":
		v = map[string]any{
			"msgtype":  "markdown",
			"markdown": map[string]string{"title": most(tame.Replace(n.Title), 200), "text": markdown(n, 15000)},
		}
		if h.Secret != "" {
			// https://open.dingtalk.com/document/robots/customize-robot-security-settings
			at := strconv.FormatInt(h.now().UnixMilli(), 10)
			u, err := url.Parse(to)
			if err != nil {
				return permanent{errors.New("url: not one")}
			}
			q := u.Query()
			q.Set("timestamp", at)
			q.Set("sign", base64.StdEncoding.EncodeToString(sign(h.Secret, at+"\n"+h.Secret)))
			u.RawQuery = q.Encode()
			to = u.String()
		}
	case "slack":
		v = map[string]string{
			"text": most(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(n.Text), 30000),
		}
	case "teams":
		card := map[string]any{
			"type":    "AdaptiveCard",
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
			"version": "1.4",
			"body": []any{
				map[string]any{
					"type":   "TextBlock",
					"text":   tame.Replace(n.Title),
					"weight": "Bolder",
					"size":   "Medium",
					"wrap":   true,
				},
				map[string]any{
					"type": "TextBlock",
					"text": strings.ReplaceAll(
						most(
							tame.Replace(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(n.Text, n.Title+"\n"), n.Link))),
							15000,
						),
						"\n",
						"\n\n",
					),
					"wrap": true,
				},
			},
		}
		if n.Link != "" {
			card["actions"] = []any{map[string]string{"type": "Action.OpenUrl", "title": n.Link, "url": n.Link}}
		}
		v = map[string]any{
			"type": "message",
			"attachments": []any{
				map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card},
			},
		}
	case "otlp":
		severity, at := otlp.Warn, n.Since
		if n.Event == Closed {
			severity, at = otlp.Info, n.Until
		}
		to = strings.TrimSuffix(to, "/") + "/v1/logs"
		v = otlp.Log("", "posdx.incident."+n.Event, n.Text, severity, at, h.now(), map[string]string{
			"posdx.incident": strconv.FormatInt(
				n.Incident,
				10,
			), "posdx.estate": n.Estate, "posdx.cause": n.Cause, "posdx.segment": n.Segment, "posdx.code": n.Code,
			"posdx.place": n.Place, "posdx.terminals": strconv.Itoa(n.Terminals), "posdx.act_by": n.ActBy, "url.full": n.Link,
		})
	default:
		v = n
	}
	body, err := json.Marshal(v)
	if h.Template != "" {
		body, err = h.render(n)
	}
	if err != nil {
		return permanent{err}
	}
	if h.Kind == "webhook" && h.Secret != "" {
		// The receiver computes the same over what it got and compares; the time keeps a copy from being sent again later.
		at := strconv.FormatInt(h.now().Unix(), 10)
		header.Set("X-Posdx-Signature", "t="+at+",v1="+hex.EncodeToString(sign(h.Secret, at+"."+string(body))))
	}
	answer, err := h.post(ctx, to, body, header)
	if err != nil {
		return err
	}
	if h.Kind == "wecom" || h.Kind == "dingtalk" { // they say 200 and then what is wrong
		var a struct {
			Code int    `json:"errcode"`
			Says string `json:"errmsg"`
		}
		if err := json.Unmarshal(answer, &a); err != nil {
			return fmt.Errorf("the receiver's answer is not understood: %.100q", answer)
		}
		switch a.Code {
		case 0:
		case -1, 130101, 45009, 410100: // busy, or too many
			return fmt.Errorf("the receiver answers %d %.200q", a.Code, a.Says)
		default:
			return permanent{fmt.Errorf("the receiver answers %d %.200q", a.Code, a.Says)}
		}
	}
	return nil
}

func sign(secret, text string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// An alertmanager takes alerts by its API version 2.
type alertmanager struct{ *hook }

// An alert is one of Alertmanager's.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	URL         string            `json:"generatorURL,omitempty"`
}

func asAlert(n Notice, now time.Time) alert {
	a := alert{
		Labels: map[string]string{
			"alertname": "PosdxIncident",
			"incident":  strconv.FormatInt(n.Incident, 10),
			"estate":    n.Estate,
			"segment":   n.Segment,
			"cause":     n.Cause,
			"act_by":    n.ActBy,
		},
		Annotations: map[string]string{"summary": n.Title, "description": n.Text, "place": n.Place, "code": n.Code,
			"terminals": strconv.Itoa(n.Terminals), "of_terminals": strconv.Itoa(n.Of)},
		StartsAt: n.Since, EndsAt: now.Add(alertLife), URL: n.Link,
	}
	if n.Event == Closed {
		a.EndsAt = n.Until
	}
	return a
}

func (a *alertmanager) post(ctx context.Context, list []alert) error {
	body, err := json.Marshal(list)
	if err != nil {
		return permanent{err}
	}
	_, err = a.hook.post(ctx, strings.TrimSuffix(a.URL, "/")+"/api/v2/alerts", body, nil)
	return err
}

func (a *alertmanager) send(ctx context.Context, n Notice) error {
	return a.post(ctx, []alert{asAlert(n, a.now())})
}
