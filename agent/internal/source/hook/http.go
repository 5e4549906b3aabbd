package hook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
)

// Bounds of the hook over HTTP.
const (
	maxHead    = 4 << 10
	maxVisits  = 16
	lingerFor  = time.Second
	minToken   = 16
	maxToken   = 512
	realm      = "posdx"
	hookPath   = "/v1/hook"
	nexoPath   = "/v1/nexo"
	infoPath   = "/v1/version"
	statusPath = "/v1/status"
)

// An HTTP is the hook for programs that cannot reach a Unix socket of another user, such as Android applications: the
// same requests and answers over HTTP on a loopback address, each request with the token of a file. Requests are read,
// answered and zeroed by the same code as on the socket.
type HTTP struct {
	Address   string // numeric and of the loopback, with its port
	TokenFile string // read for every request, so that a new token counts at once
	Hook      *Hook  // whose daemon answers; it need not run

	mu     sync.Mutex
	visits map[*visit]struct{}
}

// A visit is one connection: one request and its answer.
type visit struct {
	c     net.Conn
	since time.Time
	works bool // its request has come and is being answered: it does not give way
}

// CheckHTTP returns what is wrong with an address to listen on, nil if it is good: it must be a loopback address.
func CheckHTTP(address string) error {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil || at.Port() == 0:
		return say.New("http-address", address)
	case !at.Addr().IsLoopback() || at.Addr().Zone() != "":
		return say.New("http-open", address, at.Port())
	}
	return nil
}

// ReadToken reads the token that a client has to send. Only those who may use the hook may be able to read the file.
func ReadToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("%s: everybody may read it, or it is no file; chmod 640 it", file)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	b = bytes.TrimSpace(b)
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if len(b) < minToken || len(b) > maxToken || bytes.ContainsFunc(b, odd) {
		return "", fmt.Errorf("%s: want one line of %d to %d printable characters; head -c 24 /dev/urandom | base64 makes one", file, minToken, maxToken)
	}
	return string(b), nil
}

// AskHTTP asks a daemon over HTTP for its version, as a client would: so it finds out whether it listens, and accepts
// the token of this file.
func AskHTTP(ctx context.Context, address, tokenFile string) (about About, err error) {
	token, err := ReadToken(tokenFile)
	if err != nil {
		return about, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return about, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", infoPath, address, token); err != nil {
		return about, err
	}
	b, err := io.ReadAll(io.LimitReader(c, maxAnswer))
	if err != nil {
		return about, err
	}
	_, body, _ := bytes.Cut(b, headEnd)
	var a Answer
	switch err := json.Unmarshal(body, &a); {
	case err != nil || a.V != protocol:
		return about, fmt.Errorf("%s: what answers there is not posdx", address)
	case a.About == nil:
		return about, errors.New(a.Why)
	}
	return *a.About, nil
}

// Run listens until ctx ends. An address that another process uses is tried again; meanwhile the terminal still has its
// socket.
func (s *HTTP) Run(ctx context.Context) error {
	source.Keep(ctx, listenAgain, func(works func()) error {
		if err := CheckHTTP(s.Address); err != nil {
			return err
		}
		l, err := net.Listen("tcp", s.Address)
		if err != nil {
			return err
		}
		works()
		s.Hook.Log.Info("hook listens", "http", s.Address)
		return s.accept(ctx, l)
	}, func(err error) { s.Hook.Log.Error("hook over http is closed", "err", err) })
	return nil
}

func (s *HTTP) accept(ctx context.Context, l net.Listener) error {
	return s.Hook.welcome(ctx, l, "hook over http takes nobody in", func(c net.Conn) func() {
		v := s.room(c)
		if v == nil {
			s.Hook.warn("hook over http is full", "connections", maxVisits)
			c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			c.Write(s.response(503, Answer{V: protocol, Result: Busy,
				Why: "16 requests are being answered: try again a second later"}))
			c.Close()
			return nil
		}
		return func() {
			defer context.AfterFunc(ctx, func() { c.Close() })()
			s.serve(ctx, v)
			s.linger(v.c)
			s.mu.Lock()
			delete(s.visits, v)
			s.mu.Unlock()
			c.Close()
		}
	})
}

// room finds a place for a connection. If all are taken, the one is closed whose request has been incomplete longest,
// so that slow clients, and those that connect and send nothing, do not keep the others out.
func (s *HTTP) room(c net.Conn) *visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits == nil {
		s.visits = map[*visit]struct{}{}
	}
	if len(s.visits) >= maxVisits {
		var slow *visit
		for v := range s.visits {
			if !v.works && (slow == nil || v.since.Before(slow.since)) {
				slow = v
			}
		}
		if slow == nil {
			return nil
		}
		delete(s.visits, slow)
		slow.c.Close()
	}
	v := &visit{c: c, since: time.Now()}
	s.visits[v] = struct{}{}
	return v
}

// works notes whether a visit's request is being answered.
func (s *HTTP) works(v *visit, yes bool) {
	s.mu.Lock()
	v.works = yes
	s.mu.Unlock()
}

// serve reads one request, answers it and hangs up.
func (s *HTTP) serve(ctx context.Context, v *visit) {
	c := v.c
	buf := make([]byte, maxHead+maxLine)
	defer clear(buf)
	c.SetReadDeadline(time.Now().Add(cmp.Or(s.Hook.line, lineWait)))
	n, end := 0, -1
	for end < 0 {
		if n >= maxHead {
			s.refuse(c, 431, "the request's head is longer than 4096 bytes: nothing of it was kept")
			return
		}
		got, err := c.Read(buf[n:maxHead])
		from := max(0, n-3)
		n += got
		if i := bytes.Index(buf[from:n], headEnd); i >= 0 {
			end = from + i
		} else if err != nil {
			if n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
				s.refuse(c, 408, "a request has to come within 5 s: nothing of it was kept")
			}
			return
		}
	}
	body := buf[end+len(headEnd) : n]
	h, why := parseHead(buf[:end])
	status := 400
	if why == "" {
		status, why = s.judge(&h)
	}
	if why != "" {
		s.refuse(c, status, why)
		return
	}
	if want := int(max(0, h.length)); len(body) < want {
		if h.expects {
			c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
		got, err := io.ReadFull(c, buf[n:end+len(headEnd)+want])
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.refuse(c, 408, "a request has to come within 5 s: nothing of it was kept")
			}
			return
		}
		n += got
		body = buf[end+len(headEnd) : n]
	} else {
		body = body[:want]
	}
	s.works(v, true)
	path := string(h.path) // one of ours: judge has seen to it
	switch path {
	case infoPath:
		body = append(buf[:0], `{"type":"version"}`...)
	case statusPath:
		body = append(buf[:0], `{"type":"status"}`...)
	}
	if path == nexoPath {
		s.nexo(ctx, c, body)
	} else {
		s.exchange(ctx, c, body, h.lines)
	}
	s.works(v, false)
}

// judge says whether a request may be made at all, with the status of the refusal.
func (s *HTTP) judge(h *head) (status int, why string) {
	method := map[string]string{hookPath: "POST", nexoPath: "POST", infoPath: "GET", statusPath: "GET"}[string(h.path)]
	switch {
	// A page in a browser may make it speak to this address, by a name of its own too (DNS rebinding).
	case !ownName(View(h.host)):
		return 421, "the header Host wants this machine's loopback address, or localhost"
	case h.browser:
		return 403, "not for browsers: a request with Origin, Referer or Sec-Fetch headers is refused"
	}
	token, err := ReadToken(s.TokenFile)
	if err != nil {
		s.Hook.warn("hook over http refuses all", "err", err)
		return 503, "the daemon cannot read its token file; its log, and posdx config check, say why"
	}
	scheme, shown, ok := bytes.Cut(h.auth, []byte(" "))
	ok = ok && bytes.EqualFold(scheme, []byte("bearer"))
	switch {
	case !ok || subtle.ConstantTimeCompare(bytes.Trim(shown, spaceTab), []byte(token)) != 1:
		s.Hook.warn("hook over http: wrong or no token")
		return 401, "want the header Authorization: Bearer and the token of the file hook.token_file"
	case method == "":
		return 404, "no such path; there are POST " + hookPath + ", POST " + nexoPath + ", GET " + infoPath + " and GET " + statusPath
	case string(h.method) != method:
		return 405, "want " + method + " here"
	case h.chunked || method == "POST" && h.length < 0:
		return 411, "want a body with Content-Length, not in chunks"
	case h.length > maxLine:
		return 413, fmt.Sprintf("longer than %d bytes: nothing of it was kept", maxLine)
	case method == "POST" && !isJSON(h.kind):
		return 415, "want Content-Type: application/json"
	}
	return 0, ""
}

// ownName tells whether a header Host names this machine by its loopback.
func ownName(host string) bool {
	if at, err := netip.ParseAddrPort(host); err == nil {
		return at.Addr().IsLoopback()
	}
	if at, err := netip.ParseAddr(host); err == nil {
		return at.IsLoopback()
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	return host == "localhost" || host == "[::1]"
}

func isJSON(kind []byte) bool {
	kind, _, _ = bytes.Cut(kind, []byte(";"))
	return bytes.EqualFold(bytes.Trim(kind, spaceTab), []byte("application/json"))
}

// exchange answers one request of the hook's protocol: with the last answer, or with every one on a line of its own
// as it comes.
func (s *HTTP) exchange(ctx context.Context, c net.Conn, body []byte, lines bool) {
	begun := false
	say := func(a Answer) {
		if a.More && !lines {
			return
		}
		c.SetWriteDeadline(time.Now().Add(writeWait))
		if !lines {
			c.Write(s.response(statusOf(a), a))
			return
		}
		doc, err := json.Marshal(a)
		if err != nil {
			s.Hook.Log.Error("hook answer", "err", err)
			return
		}
		if !begun {
			begun = true
			c.Write(headOf(statusOf(a), string(ndjson), -1))
		}
		c.Write(append(s.Hook.Gate.Out(doc), '\n'))
	}
	if rest := s.Hook.begin(ctx, body, func() bool { return true }, say); rest != nil {
		rest()
	}
}

// statusOf is what HTTP calls an answer.
func statusOf(a Answer) int {
	switch a.Result {
	case Refused:
		return 400
	case Busy:
		return 503
	case Accepted:
		return 202
	}
	return 200
}

// refuse answers what was not taken in.
func (s *HTTP) refuse(c net.Conn, status int, why string) {
	c.SetWriteDeadline(time.Now().Add(writeWait))
	c.Write(s.response(status, Answer{V: protocol, Result: Refused, Why: why}))
}

// linger lets the other side read the answer: closing at once with bytes unread would take it away again.
func (s *HTTP) linger(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	t.CloseWrite()
	t.SetReadDeadline(time.Now().Add(lingerFor))
	scrap := make([]byte, 1<<10)
	for skipped := 0; skipped < maxSkip; {
		n, err := t.Read(scrap)
		clear(scrap[:n])
		if skipped += n; err != nil {
			return
		}
	}
}

// response is a whole answer over HTTP.
func (s *HTTP) response(status int, a any) []byte {
	doc, err := json.Marshal(a)
	if err != nil {
		s.Hook.Log.Error("hook answer", "err", err)
		return headOf(500, "application/json", 0)
	}
	doc = s.Hook.Gate.Out(doc)
	return append(headOf(status, "application/json", len(doc)), doc...)
}

// reasons are the phrases of RFC 9110.
var reasons = [...]struct {
	status int
	text   string
}{
	{200, "OK"}, {202, "Accepted"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
	{408, "Request Timeout"}, {411, "Length Required"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"}, {421, "Misdirected Request"},
	{431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {503, "Service Unavailable"},
}

// headOf is the head of an answer; a length below 0 is not known, and the answer ends with the connection.
func headOf(status int, kind string, length int) []byte {
	reason := ""
	for _, r := range reasons {
		if r.status == status {
			reason = r.text
		}
	}
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n", status, reason, kind)
	if length >= 0 {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", length)
	}
	switch status {
	case 405:
		b = append(b, "Allow: GET, POST\r\n"...)
	case 401:
		b = fmt.Appendf(b, "WWW-Authenticate: Bearer realm=%q\r\n", realm)
	case 503:
		b = append(b, "Retry-After: 1\r\n"...)
	}
	return append(b, crlf...)
}
