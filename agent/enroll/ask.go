package enroll

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// askWait bounds one question.
const askWait = 30 * time.Second

// An Asker sends requests to the fleet. It has its own HTTP/1.0 over TLS: a terminal has no room for a whole client.
type Asker struct {
	URL  string // https://host:port of the fleet's pages; a path before /enroll is kept
	TLS  *tls.Config
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: as usual
}

// CheckURL parses a fleet's address; the error is what is wrong with it.
func CheckURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address %q: want https://host:port of the fleet's pages", s)
	}
	return u, nil
}

// Ask sends a request and returns the answer. An answer with an Error is an error.
func (a Asker) Ask(ctx context.Context, r Request) (Answer, error) {
	path := "/renew"
	if r.Token != "" {
		path = "/enroll"
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	u, err := CheckURL(a.URL)
	if err != nil {
		return Answer{}, err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	dial := a.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", host)
	if err != nil {
		return Answer{}, fmt.Errorf("ask the fleet: %w", err)
	}
	defer raw.Close()
	end, _ := ctx.Deadline()
	raw.SetDeadline(end)
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.TLS != nil {
		config = a.TLS.Clone()
	}
	config.ServerName = u.Hostname()
	config.NextProtos = []string{"http/1.1"}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return Answer{}, fmt.Errorf("ask the fleet: %w", err)
	}
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.0\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nUser-Agent: posdx\r\n\r\n%s",
		strings.TrimSuffix(u.EscapedPath(), "/")+path, u.Host, len(body), body); err != nil {
		return Answer{}, fmt.Errorf("ask the fleet: %w", err)
	}
	return readAnswer(io.LimitReader(c, MaxMessage))
}

// readAnswer reads an HTTP/1.0 answer up to its end.
func readAnswer(r io.Reader) (Answer, error) {
	b, err := io.ReadAll(r)
	if err != nil && len(b) == 0 {
		return Answer{}, fmt.Errorf("read the fleet's answer: %w", err)
	}
	head, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	line, _ := bufio.NewReader(bytes.NewReader(head)).ReadString('\n')
	words := strings.Fields(line)
	if !ok || len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") {
		return Answer{}, errors.New("read the fleet's answer: not HTTP; is this the address of its pages?")
	}
	status, err := strconv.Atoi(words[1])
	if err != nil {
		return Answer{}, errors.New("read the fleet's answer: not HTTP; is this the address of its pages?")
	}
	var a Answer
	if json.Unmarshal(body, &a) != nil || a.Error == "" && a.Chain == "" && !a.NotDue {
		return Answer{}, fmt.Errorf(
			"read the fleet's answer: status %d, and not what a posdx-fleet says; is this the address of its pages?",
			status,
		)
	}
	if a.Error != "" || status != 200 {
		return Answer{}, fmt.Errorf("the fleet refuses: %q", a.Error)
	}
	return a, nil
}
