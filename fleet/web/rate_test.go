package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"posdx/fleet/access"
	"posdx/fleet/store"
)

// once lets a reader ask one thing, and the next after a quarter of an hour.
var once = Rate{Second: .001, Files: 1}

// Whoever asks for more than its part is told so, and when to come back: people in their language, programs in JSON.
func TestTooManyRequestsAreRefused(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Viewer)
	refused := func(what string, status int, body string, head http.Header, says string) {
		t.Helper()
		if n, err := strconv.Atoi(head.Get("Retry-After")); status != http.StatusTooManyRequests || err != nil || n < 1 {
			t.Errorf("%s: %d, Retry-After %q", what, status, head.Get("Retry-After"))
		}
		if !strings.Contains(body, says) {
			t.Errorf("%s: says nothing of %q: %s", what, says, body)
		}
	}
	for path, says := range map[string]string{
		"/?lang=zh": "请求太多", "/?lang=en": "Too many requests; try again in ", "/diagnoses?format=csv&lang=en": "Too many requests",
		"/admin/audit?lang=zh": "请求太多", "/api/v1/diagnoses": `{"error":"Too many requests; try again in `, "/live": `{"error":"Too many`,
		"/static/style.css": "请求太多", "/metrics": `{"error":"Too many`,
	} {
		h.site.Rate = Rate{}
		ann := h.browser(t, "ann")
		h.site.Rate, h.site.buckets = once, buckets{}
		if status, _, _ := h.send(t, ann, "GET", path, nil); status == http.StatusTooManyRequests {
			t.Fatalf("%s: the first is refused", path)
		}
		status, body, head := h.send(t, ann, "GET", path, nil)
		refused(path, status, body, head, says)
		if strings.HasPrefix(body, "{") && json.Unmarshal([]byte(body), new(map[string]string)) != nil {
			t.Errorf("%s: no JSON: %s", path, body)
		}
		if status, _, _ := h.send(t, ann, "GET", "/healthz", nil); status != http.StatusOK {
			t.Errorf("%s: then /healthz answers %d", path, status)
		}
	}
	h.site.Rate, h.site.buckets = once, buckets{}
	stranger := h.browser(t, "")
	h.send(t, stranger, "GET", "/login", nil)
	status, body, head := h.send(t, stranger, "POST", "/login", url.Values{"name": {"ann"}, "password": {word}})
	refused("POST /login", status, body, head, "请求太多")
	status, body, head = h.send(t, stranger, "POST", "/renew", url.Values{})
	refused("POST /renew", status, body, head, `{"error":"Too many`)
	status, body, head = h.send(t, stranger, "GET", "/", nil, "Cookie", "posdx=guessed")
	refused("a guessed session", status, body, head, "请求太多")
}

// One who asks too much keeps out nobody else who is signed in, though all come from one address.
func TestTooManyRequestsAreOnesOwn(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Viewer)
	h.account(t, "bob", access.Viewer)
	secret, _, err := h.keeper.MakeToken(t.Context(), root, "reader", access.Viewer, access.Read, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ann, again, bob, stranger := h.browser(t, "ann"), h.browser(t, "ann"), h.browser(t, "bob"), h.browser(t, "")
	h.site.Rate = once
	ask := func(c *http.Client, path string, header ...string) int {
		status, _, _ := h.send(t, c, "GET", path, nil, header...)
		return status
	}
	for range 3 {
		ask(stranger, "/login")
	}
	if got := ask(stranger, "/login"); got != http.StatusTooManyRequests {
		t.Fatalf("the stranger still gets %d", got)
	}
	for name, c := range map[string]*http.Client{"ann": ann, "ann's other browser": again, "bob": bob} {
		if got := ask(c, "/"); got != http.StatusOK {
			t.Errorf("%s gets %d for what others asked", name, got)
		}
		if got := ask(c, "/"); got != http.StatusTooManyRequests {
			t.Errorf("%s then gets %d", name, got)
		}
	}
	bearer := []string{"Authorization", "Bearer " + secret}
	if got := ask(stranger, "/api/v1/diagnoses", bearer...); got != http.StatusOK {
		t.Errorf("the token gets %d for what others asked", got)
	}
	if got := ask(stranger, "/api/v1/diagnoses", bearer...); got != http.StatusTooManyRequests {
		t.Errorf("the token then gets %d", got)
	}
}

// Who did not sign in is told apart by the address, which a proxy is believed to say only where there is one.
func TestForwardedAddressesAreTheProxysToSay(t *testing.T) {
	h := closed(t)
	h.site.Rate = once
	stranger := h.browser(t, "")
	ask := func(from string) int {
		status, _, _ := h.send(t, stranger, "GET", "/login", nil, "X-Forwarded-For", from)
		return status
	}
	if a, b := ask("192.0.2.1"), ask("192.0.2.2"); a != http.StatusOK || b != http.StatusTooManyRequests {
		t.Errorf("no proxy: %d, then as somebody else %d", a, b)
	}
	h.site.Proxied, h.site.buckets = true, buckets{}
	if a, b := ask("192.0.2.1"), ask("192.0.2.2"); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("behind a proxy two addresses get %d and %d", a, b)
	}
	// What the browser itself claims stands before what the proxy saw.
	if got := ask("192.0.2.77, 192.0.2.1"); got != http.StatusTooManyRequests {
		t.Errorf("an invented address before the true one: %d", got)
	}
	// Of one IPv6 network every address is one reader's.
	if a, b := ask("2001:db8::1"), ask("2001:db8::2"); a != http.StatusOK || b != http.StatusTooManyRequests {
		t.Errorf("two addresses of an IPv6 network get %d and %d", a, b)
	}
}

// A gated store answers lists of diagnoses one after the other, when it is let.
type gated struct {
	*store.Store
	asked, let chan struct{}
}

func (g gated) Diagnoses(ctx context.Context, f store.Filter) ([]store.Row, store.Place, error) {
	g.asked <- struct{}{}
	<-g.let
	return g.Store.Diagnoses(ctx, f)
}

// A reader has a few exports running at one time, however many requests it may make; others have theirs.
func TestFewExportsAtOnce(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Viewer)
	h.account(t, "bob", access.Viewer)
	ann, bob := h.browser(t, "ann"), h.browser(t, "bob")
	g := gated{h.db, make(chan struct{}), make(chan struct{})}
	h.site.Source, h.site.Rate = g, Rate{Files: 2}
	got := make(chan int)
	export := func(c *http.Client) {
		status, _, _ := h.send(t, c, "GET", "/diagnoses?format=json", nil)
		got <- status
	}
	for range 2 {
		go export(ann)
		<-g.asked
	}
	status, _, head := h.send(t, ann, "GET", "/diagnoses?format=csv", nil)
	if status != http.StatusTooManyRequests || head.Get("Retry-After") == "" || head.Get("Content-Disposition") != "" {
		t.Errorf("a third export: %d %v", status, head)
	}
	if status, _, _ := h.send(t, ann, "GET", "/api/v1/outcomes", nil); status != http.StatusTooManyRequests {
		t.Errorf("an export of another kind: %d", status)
	}
	if status, _, _ := h.send(t, ann, "GET", "/terminals", nil); status != http.StatusOK {
		t.Errorf("a page meanwhile: %d", status)
	}
	go export(bob)
	<-g.asked
	for range 3 {
		g.let <- struct{}{}
	}
	for range 3 {
		if status := <-got; status != http.StatusOK {
			t.Errorf("an export ends with %d", status)
		}
	}
	go export(ann)
	<-g.asked
	g.let <- struct{}{}
	if status := <-got; status != http.StatusOK {
		t.Errorf("once the others ended: %d", status)
	}
}

// A day at the desk: six live pages in sight, a page turned every second, the reader never waits.
func TestOperatorsNeverMeetTheLimit(t *testing.T) {
	var b buckets
	r := Rate{Second: DefaultRate, Files: DefaultFiles}
	for second := range 3600 {
		now := time.Unix(int64(second), 0)
		asks := 6 + 4 // each page looks anew once a second; a page with its style, its script, and the stream of changes
		if second%600 == 0 {
			asks += 20 * 4 // the browser comes back with all its tabs
		}
		for range asks {
			if err := b.ask(r, "session ann", now); err != nil {
				t.Fatalf("second %d: %v", second, err)
			}
		}
	}
}

// However many addresses an attacker has, what is remembered of them is bounded, and who is signed in goes on.
func TestManyAddressesAreBounded(t *testing.T) {
	var b buckets
	now := time.Unix(0, 0)
	for i := range maxBuckets + 1000 {
		b.ask(once, byAddress+fmt.Sprint(i), now)
	}
	if len(b.list) > maxBuckets+1 {
		t.Errorf("%d readers are remembered", len(b.list))
	}
	if b.ask(once, byAddress+"another", now) == nil {
		t.Error("a new address has a bucket of its own though there is no room")
	}
	if err := b.ask(once, "session ann", now); err != nil {
		t.Errorf("who is signed in: %v", err)
	}
	if now = now.Add(time.Hour); b.ask(once, byAddress+"later", now) != nil || len(b.list) > 10 {
		t.Errorf("an hour later %d are remembered still", len(b.list))
	}
}
