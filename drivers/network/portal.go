package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A Portal is what stands between a site and the Internet.
type Portal string

// Answers of AskPortal.
const (
	PortalNone    Portal = "none"    // the expected answer came
	PortalFound   Portal = "found"   // another machine answered
	PortalUnknown Portal = "unknown" // no answer
)

const (
	portalWait  = 2 * time.Second
	portalBytes = 512 // of the answer that are looked at
)

// AskPortal asks for a page of the fleet that answers "204 No Content" (what came before RFC 8910 works so). Any other
// answer comes from a device that intercepts the connections of the site. It must never be pointed at an acquirer. The
// answer is compared and not kept.
func AskPortal(ctx context.Context, w Way, host, path string) (Portal, int) {
	if strings.ContainsAny(host+path, " \r\n") {
		return PortalUnknown, 0
	}
	try, cancel := context.WithTimeout(ctx, portalWait)
	defer cancel()
	conn, c := connect(try, w, portalWait)
	if conn == nil {
		return PortalUnknown, c.Bytes
	}
	defer conn.Close()
	defer context.AfterFunc(try, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	n, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nUser-Agent: posdx\r\n\r\n", path, host)
	if err != nil {
		return PortalUnknown, c.Bytes
	}
	b := make([]byte, portalBytes)
	m, err := io.ReadAtLeast(conn, b, len("HTTP/1.1 204"))
	total := c.Bytes + n + m
	if err != nil && (m == 0 || errors.Is(err, net.ErrClosed)) {
		return PortalUnknown, total
	}
	return parsePortal(b[:m]), total
}

func parsePortal(b []byte) Portal {
	s := string(b)
	if !strings.HasPrefix(s, "HTTP/1.") || len(s) < len("HTTP/1.1 204") {
		return PortalFound
	}
	if s[9:12] == "204" {
		return PortalNone
	}
	return PortalFound
}
