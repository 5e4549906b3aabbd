package notify

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posdx/codes"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)

// A receiver keeps what it gets and answers as it is told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
	urls   []string
	answer func(n int) (int, string)
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{answer: func(int) (int, string) { return 200, `{"errcode":0}` }}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.heads, r.urls = append(r.bodies, string(b)), append(r.heads, q.Header), append(r.urls, q.URL.String())
		code, text := r.answer(len(r.bodies))
		if code/100 == 3 {
			w.Header().Set("Location", text)
		}
		w.WriteHeader(code)
		io.WriteString(w, text)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

type bench struct {
	*Teller
	db  *store.Store
	now time.Time
}

func setUp(t *testing.T, toml string) *bench {
	t.Helper()
	c, err := parse([]byte(toml))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{db: db, now: t0}
	if b.Teller, err = New(c, db, codes.Builtin(), nil, slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
	b.Now = func() time.Time { return b.now }
	return b
}

func (b *bench) look(t *testing.T) {
	t.Helper()
	for _, w := range b.ways {
		if err := b.Teller.look(t.Context(), w); err != nil {
			t.Log(err)
		}
	}
}

func (b *bench) incident(t *testing.T, change func(*store.Incident)) *store.Incident {
	t.Helper()
	i := &store.Incident{
		Estate:    "shop",
		Scope:     "carrier",
		Key:       "x",
		Cause:     "wan.outage",
		Segment:   "wan",
		Code:      "E5",
		Opened:    t0,
		Seen:      t0,
		Terminals: 12,
		Of:        90,
		Peak:      14,
		Detail:    store.Detail{Kind: "surge", Place: map[string]string{"carrier": "中国移动"}},
	}
	if change != nil {
		change(i)
	}
	if err := b.db.SaveIncident(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	return i
}

const evil = "<script>alert(1)</script> [click](http://evil.example) @all <!channel> \"}\r\nBcc: x@evil.example"

// What only some sales meet is said so, in both languages, with every dimension by its name.
func TestOnlySomeSalesFail(t *testing.T) {
	for lang, wants := range map[string][]string{
		"zh": {"共同点：固件 2.1 · 机型 M2", "只有这些交易失败：卡组织 visa · 读卡方式 非接"},
		"en": {"Shared: firmware 2.1 · model M2", "Only these sales fail: card scheme visa · entry contactless"},
	} {
		tell := Teller{Knowledge: codes.Builtin()}
		i := store.Incident{No: 1, Estate: "shop", Cause: "issuer.declined", Segment: "issuer", Code: "57", Detail: store.Detail{
			Place: map[string]string{"firmware": "2.1", "model": "M2"},
			Only:  map[string]string{"card_scheme": "visa", "entry": "contactless"}}}
		n := tell.Notice(i, Opened, lang)
		for _, w := range wants {
			if !strings.Contains(n.Text, w) {
				t.Errorf("%s: no %q in %s", lang, w, n.Text)
			}
		}
		if n.Place != "firmware=2.1 model=M2" || n.Only != "card_scheme=visa entry=contactless" {
			t.Errorf("%+v", n)
		}
		i.Place = nil
		if n = tell.Notice(i, Opened, lang); strings.Contains(n.Text, words["outside"].In(lang)) {
			t.Errorf("%s: cards that fail everywhere are no unknown place: %s", lang, n.Text)
		}
	}
}

// What all terminals of one acquirer meet, whatever their carrier, is not told to be the carrier's to mend, nor how a
// carrier would.
func TestThePlaceSaysWhoActs(t *testing.T) {
	tell := Teller{Knowledge: codes.Builtin()}
	c, _ := tell.Knowledge.Cause("wan.dns")
	step := c.StepsFor("").In("en")
	for _, x := range []struct {
		place map[string]string
		want  string
	}{
		{map[string]string{"carrier": "x"}, "carrier"}, {map[string]string{"acquirer": "bank"}, "acquirer"},
		{map[string]string{"acquirer": "bank", "region": "north"}, "carrier"}, {nil, "carrier"},
	} {
		n := tell.Notice(store.Incident{Estate: "shop", Cause: c.ID, Segment: c.Segment,
			Detail: store.Detail{Place: x.place}}, Opened, "en")
		if n.ActBy != x.want || strings.Contains(n.Text, step) != (x.want == c.Act) {
			t.Errorf("at %v: %s acts: %s", x.place, n.ActBy, n.Text)
		}
	}
}

// Each kind of receiver gets what it understands, in the way's language; what a terminal is called becomes no mark-up,
// mention, link, header or JSON of its own.
func TestEachKindGetsItsForm(t *testing.T) {
	for kind, wants := range map[string][]string{
		"wecom":    {`"msgtype":"markdown"`, "**事件 1：", "运营商", "12 台，共 90 台", "[https://fleet.example/incident/1](https://fleet.example/incident/1)"},
		"dingtalk": {`"msgtype":"markdown"`, `"title":"事件 1：`},
		"slack":    {`{"text":"事件 1：`, "&lt;script&gt;"},
		"teams":    {"AdaptiveCard", "Action.OpenUrl", "application/vnd.microsoft.card.adaptive"},
		"otlp":     {`"resourceLogs"`, `"severityText":"WARN"`, `"posdx.incident.opened"`},
		"webhook":  {`"event":"opened"`, `"terminals":12`, `"link":"https://fleet.example/incident/1"`},
	} {
		t.Run(kind, func(t *testing.T) {
			r := newReceiver(t)
			b := setUp(
				t,
				"link = \"https://fleet.example/\"\n[[way]]\nname = \"a\"\nkind = \""+kind+"\"\nallow_private = true\nurl = \""+r.URL+"/send?key=k\"\n",
			)
			b.incident(t, func(i *store.Incident) { i.Place["site"] = evil })
			b.look(t)
			got := r.got()
			if len(got) != 1 {
				t.Fatal(got)
			}
			var v map[string]any
			if err := json.Unmarshal([]byte(got[0]), &v); err != nil {
				t.Fatal(err)
			}
			plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(got[0])
			for _, w := range wants {
				if !strings.Contains(plain, w) {
					t.Errorf("no %q in %s", w, plain)
				}
			}
			if kind != "webhook" && kind != "otlp" {
				for _, bad := range []string{"<script>", "<!channel>"} {
					if strings.Contains(plain, bad) {
						t.Errorf("%q in %s", bad, plain)
					}
				}
			}
			if kind != "webhook" && kind != "slack" && kind != "otlp" {
				for _, bad := range []string{"](http://evil", "@all"} {
					if strings.Contains(plain, bad) {
						t.Errorf("%q in %s", bad, plain)
					}
				}
			}
		})
	}
}

// What was told stands in the store: once opened, once over, again if it comes back, and nothing twice after a restart.
func TestEverythingIsToldOnce(t *testing.T) {
	r := newReceiver(t)
	b := setUp(
		t,
		"language = \"en\"\n[[way]]\nname = \"a\"\nkind = \"slack\"\nallow_private = true\nurl = \""+r.URL+"\"\nestates = [\"shop\"]\nmin_terminals = 5\nsegments = [\"wan\"]\n",
	)
	i := b.incident(t, nil)
	b.incident(t, func(i *store.Incident) { i.Estate = "mall" })
	b.incident(t, func(i *store.Incident) { i.Terminals = 3 })
	b.incident(t, func(i *store.Incident) { i.Segment = "reader" })
	b.incident(t, func(i *store.Incident) { i.Closed = t0 }) // came and went unsaid
	muted := b.incident(t, nil)
	deed := store.LogEntry{Incident: muted.No, At: t0, Who: "ann", Deed: store.DeedMute}
	if err := b.db.Tend(t.Context(), nil, deed, store.Care{Muted: t0.Add(time.Hour)}, 0); err != nil {
		t.Fatal(err)
	}
	var want []string
	expect := func(what string, more ...string) {
		t.Helper()
		b.look(t)
		b.look(t)
		want = append(want, more...)
		got := r.got()
		if len(got) != len(want) {
			t.Fatalf("%s: %q", what, got)
		}
		for k := range want {
			if !strings.Contains(got[k], want[k]) {
				t.Errorf("%s: %q, want %q", what, got[k], want[k])
			}
		}
	}
	expect("opened", "Incident 1: ")
	b.ways[0].failing = map[int64]*failing{} // as after a restart
	expect("after a restart")
	i.Closed = t0.Add(time.Hour)
	b.db.SaveIncident(t.Context(), i)
	b.now = t0.Add(30 * time.Minute)
	expect("over", "Over, incident 1: ")
	i.Closed = time.Time{}
	b.db.SaveIncident(t.Context(), i)
	expect("back", "Incident 1: ")
	b.now = t0.Add(2 * time.Hour)
	expect("no longer muted", "Incident 6: ")
}

// A receiver that is away is tried again, with growing pauses, while others are told; what it will never take is not.
func TestTryingAgain(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		answer func(n int) (int, string)
		told   string
		tries  int
	}{
		"away for a while":   {"slack", func(n int) (int, string) { return map[bool]int{true: 503, false: 200}[n < 4], "" }, Opened, 4},
		"too many":           {"slack", func(n int) (int, string) { return map[bool]int{true: 429, false: 200}[n < 3], "" }, Opened, 3},
		"not found":          {"slack", func(int) (int, string) { return 404, "no such hook" }, GaveUp, 1},
		"sends elsewhere":    {"slack", func(int) (int, string) { return 302, "http://127.0.0.1:1/" }, GaveUp, 1},
		"says 200 and wrong": {"dingtalk", func(int) (int, string) { return 200, `{"errcode":310000,"errmsg":"sign not match"}` }, GaveUp, 1},
		"says 200 and busy": {"wecom", func(n int) (int, string) {
			return 200, map[bool]string{true: `{"errcode":-1}`, false: `{"errcode":0}`}[n < 3]
		}, Opened, 3},
		"says 200 and HTML": {"wecom", func(n int) (int, string) { return 200, map[bool]string{true: `<html>`, false: `{"errcode":0}`}[n < 3] }, Opened, 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.answer = c.answer
			b := setUp(t, "[[way]]\nname = \"a\"\nkind = \""+c.kind+"\"\nallow_private = true\nurl = \""+r.URL+"\"\n")
			i := b.incident(t, nil)
			var gaps []time.Duration
			last, seen := t0, 0
			for range 200 {
				b.look(t)
				if n := len(r.got()); n > seen {
					gaps, last, seen = append(gaps, b.now.Sub(last)), b.now, n
				}
				b.now = b.now.Add(time.Second)
			}
			told, err := b.db.Notices(t.Context(), "a")
			if err != nil || told[i.No] != c.told || seen != c.tries {
				t.Errorf("%v %v, %d tries, want %s after %d", told, err, seen, c.told, c.tries)
			}
			for k := 2; k < len(gaps); k++ {
				if gaps[k] < gaps[k-1] {
					t.Errorf("the pauses do not grow: %v", gaps)
				}
			}
		})
	}
	r := newReceiver(t)
	r.answer = func(int) (int, string) { return 500, "" }
	b := setUp(t, "[[way]]\nname = \"a\"\nkind = \"slack\"\nallow_private = true\nurl = \""+r.URL+"\"\n")
	i := b.incident(t, nil)
	for b.now.Before(t0.Add(giveUp + time.Hour)) {
		b.look(t)
		b.now = b.now.Add(time.Minute)
	}
	if told, _ := b.db.Notices(t.Context(), "a"); told[i.No] != GaveUp {
		t.Error(told)
	}
	if n := len(r.got()); n < 50 || n > 100 {
		t.Errorf("%d tries in %s", n, giveUp)
	}
}

// No receiver may lie in a network that only the fleet's machine can reach, by whatever name or form of address.
func TestReceiversOutsideOnly(t *testing.T) {
	for a, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "::1": false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "fe80::1%eth0": false, "fd12::1%eth0": false,
	} {
		if outside(netip.MustParseAddr(a)) != want {
			t.Error(a)
		}
	}
	r := newReceiver(t)
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		h := &hook{Way: Way{URL: "http://" + host + port}, client: client(false), now: time.Now}
		var p permanent
		if err := h.send(t.Context(), Notice{}); err == nil || !errors.As(err, &p) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if got := r.got(); len(got) != 0 {
		t.Error(got)
	}
	// The receiver's address holds its key: no error may tell it.
	h := &hook{Way: Way{URL: "http://127.0.0.1:1/send?key=topsecret"}, client: client(true), now: time.Now}
	if err := h.send(t.Context(), Notice{}); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Error(err)
	}
}

func TestSignatures(t *testing.T) {
	r := newReceiver(t)
	b := setUp(
		t,
		"[[way]]\nname = \"w\"\nkind = \"webhook\"\nsecret = \"s1\"\nallow_private = true\nurl = \""+r.URL+"\"\n[[way]]\nname = \"d\"\nkind = \"dingtalk\"\nsecret = \"s2\"\nallow_private = true\nurl = \""+r.URL+"/robot?access_token=a\"\n",
	)
	b.incident(t, nil)
	b.look(t)
	if len(r.got()) != 2 {
		t.Fatal(r.got())
	}
	mac := func(key, text string) []byte {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	at, v1, ok := strings.Cut(strings.TrimPrefix(r.heads[0].Get("X-Posdx-Signature"), "t="), ",v1=")
	if !ok || v1 != hex.EncodeToString(mac("s1", at+"."+r.bodies[0])) {
		t.Error(r.heads[0])
	}
	q := mustQuery(t, r.urls[1])
	if q.Get("access_token") != "a" ||
		q.Get("sign") != base64.StdEncoding.EncodeToString(mac("s2", q.Get("timestamp")+"\ns2")) {
		t.Error(r.urls[1])
	}
}

// Alertmanager is told again and again while an incident lasts, and once it is over that it is.
func TestAlertmanagerIsToldAgain(t *testing.T) {
	r := newReceiver(t)
	b := setUp(t, "[[way]]\nname = \"am\"\nkind = \"alertmanager\"\nallow_private = true\nurl = \""+r.URL+"/\"\n")
	i := b.incident(t, nil)
	for range 3 {
		b.look(t)
		b.now = b.now.Add(lookEvery)
	}
	i.Closed = b.now
	b.db.SaveIncident(t.Context(), i)
	b.look(t)
	b.now = b.now.Add(alertKeep + time.Minute)
	b.look(t)
	got := r.got()
	if len(got) != 4 || r.urls[0] != "/api/v2/alerts" {
		t.Fatal(got, r.urls)
	}
	for k, body := range got {
		var list []alert
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 1 ||
			list[0].Labels["alertname"] != "PosdxIncident" ||
			list[0].Labels["estate"] != "shop" ||
			list[0].StartsAt != t0 {
			t.Fatal(body, err)
		}
		if over := list[0].EndsAt.Equal(i.Closed); over != (k == 3) {
			t.Errorf("%d: ends %s", k, list[0].EndsAt)
		}
	}
}

func TestTemplates(t *testing.T) {
	r := newReceiver(t)
	b := setUp(
		t,
		"[[way]]\nname = \"a\"\nkind = \"webhook\"\nallow_private = true\nurl = \""+r.URL+"\"\ntemplate = '{\"summary\": {{json .Title}}, \"n\": {{.Terminals}}}'\n",
	)
	b.incident(t, func(i *store.Incident) { i.Cause = `"},{"x":"` })
	b.look(t)
	var v struct {
		Summary string
		N       int
	}
	if got := r.got(); len(got) != 1 || json.Unmarshal([]byte(got[0]), &v) != nil || v.N != 12 ||
		!strings.Contains(v.Summary, `"},{"x":"`) {
		t.Error(got)
	}
}

func TestConfigurationsSayWhatIsWrong(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "s")
	os.WriteFile(secret, nil, 0o600)
	way := "[[way]]\nname = \"a\"\n"
	for text, says := range map[string]string{
		"languag = \"zh\"":                                            "languag",
		"language = \"de\"":                                           "zh or en",
		"link = \"fleet\"":                                            "https address",
		"[[way]]\nkind = \"slack\"":                                   "name of its own",
		way + "kind = \"fax\"":                                        "alertmanager dingtalk email otlp",
		way + "kind = \"slack\"\nurl = \"ftp://x\"":                   "https://",
		way + "kind = \"slack\"\nurl = \"http://x\"":                  "allow_private",
		way + "kind = \"slack\"\nurl = \"https://x\"\nsecret = \"s\"": "takes none",
		way + "kind = \"webhook\"\nurl = \"https://x\"\nsecret_file = \"/no/such\"":                     "no such file",
		way + "kind = \"webhook\"\nurl = \"https://x\"\nsecret_file = \"" + secret + "\"":               "empty",
		way + "kind = \"webhook\"\nurl = \"https://x\"\ntemplate = \"{{.Nothing}}\"":                    "Nothing",
		way + "kind = \"webhook\"\nurl = \"https://x\"\ntemplate = '{\"a\": \"{{.Title}}\"}'":           "json .Text",
		way + "kind = \"slack\"\nurl = \"https://x\"\ntemplate = \"{}\"":                                "has its own",
		way + "kind = \"email\"\nsmtp = \"mail\"":                                                       "host:port",
		way + "kind = \"email\"\nsmtp = \"mail:25\"\nplain = true":                                      "this machine",
		way + "kind = \"email\"\nsmtp = \"mail:587\"\nfrom = \"a@b\"":                                   "1 to 50",
		way + "kind = \"email\"\nsmtp = \"mail:587\"\nfrom = \"a@b\"\nto = [\"a@b\\nBcc: x@y\"]":        "name@host",
		way + "kind = \"email\"\nsmtp = \"mail:587\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nuser = \"u\"":     "belong together",
		way + "kind = \"slack\"\nurl = \"https://x\"\n" + way + "kind = \"slack\"\nurl = \"https://x\"": "name of its own",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s\n%v, want %q", text, err, says)
		}
	}
	if c, err := parse([]byte(way + "kind = \"slack\"\nurl = \"https://hooks.slack.com/x\"")); err != nil ||
		c.Language != "zh" {
		t.Error(c, err)
	}
}

// A mail server without TLS is told nothing; one on this machine may be. A letter holds what it should, and a name
// makes no header.
func TestLetters(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	letters := make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveMail(c, letters)
		}
	}()
	n := Notice{Incident: 7, Title: "事件 7：断网\r\nBcc: x@evil.example", Text: "第一行\nsecond line\n.\nthird"}
	m := &mailer{
		Way{SMTP: l.Addr().String(), From: "fleet@example.com", To: []string{"ops@example.com", "Ann <ann@example.com>"}},
	}
	var p permanent
	if err := m.send(t.Context(), n); err == nil || !errors.As(err, &p) {
		t.Error("in the clear:", err)
	}
	m.Plain = true
	if err := m.send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	raw := <-letters
	letter, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
	if err != nil || subject != "事件 7：断网 Bcc: x@evil.example" || letter.Header.Get("Bcc") != "" ||
		letter.Header.Get("To") != `<ops@example.com>, "Ann" <ann@example.com>` {
		t.Errorf("%q %v", subject, letter.Header)
	}
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, letter.Body))
	if err != nil || string(body) != n.Text {
		t.Errorf("%q %v", body, err)
	}
	for line := range strings.SplitSeq(raw, "\r\n") {
		if len(line) > 78 && !strings.HasPrefix(line, "Subject") {
			t.Errorf("a long line: %q", line)
		}
	}
}

// serveMail speaks as much SMTP as a letter takes.
func serveMail(c net.Conn, letters chan<- string) {
	defer c.Close()
	say := func(s string) { io.WriteString(c, s+"\r\n") }
	say("220 mail.example")
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word := strings.ToUpper(strings.Fields(line + " x")[0]); word {
		case "EHLO", "HELO":
			say("250 mail.example")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			letters <- b.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestNoticesHaveBothLanguages(t *testing.T) {
	for k, w := range words {
		if w.ZH == "" || w.EN == "" || strings.Count(w.ZH, "%") != strings.Count(w.EN, "%") {
			t.Errorf("%s: %+v", k, w)
		}
	}
	b := setUp(t, "")
	i := store.Incident{
		No:        3,
		Estate:    "shop",
		Cause:     "host.malfunction",
		Segment:   "acquirer",
		Opened:    t0,
		Terminals: 4,
		Of:        9,
	}
	for lang, not := range map[string]string{"zh": "Incident", "en": "事件"} {
		if n := b.Notice(i, Opened, lang); strings.Contains(n.Text, not) || n.ActBy != "acquirer" {
			t.Error(n)
		}
	}
	if n := b.Notice(store.Incident{Cause: "unexplained", Segment: "silence"}, Opened, "zh"); !strings.Contains(
		n.Title,
		"终端失联",
	) {
		t.Error(n)
	}
}

// Run ends when it is told to, also in the middle of a receiver that never answers.
func TestRunEnds(t *testing.T) {
	reached := make(chan bool, 1)
	r := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body) // else the server does not hear that the asker is gone
		reached <- true
		<-q.Context().Done()
	}))
	t.Cleanup(r.Close)
	b := setUp(t, "[[way]]\nname = \"a\"\nkind = \"slack\"\nallow_private = true\nurl = \""+r.URL+"\"\n")
	b.incident(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	<-reached
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if told, _ := b.db.Notices(t.Context(), "a"); len(told) != 0 {
		t.Error(told)
	}
}

func mustQuery(t *testing.T, s string) url.Values {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}
