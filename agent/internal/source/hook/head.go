package hook

import "bytes"

// A head is what is used of an HTTP request's head (RFC 9112). Its members are parts of the connection's buffer: like a
// request's body they are read in place and zeroed afterwards, because an address may hold card data that a payment app
// put there by mistake. That, and half a megabyte of program, is why this is not net/http.
type head struct {
	method, path          []byte
	host, auth, kind      []byte // of the headers Host, Authorization, Content-Type
	lines                 bool   // the client takes an answer a line
	browser               bool   // a browser wrote it: none has any business here
	chunked, expects, old bool
	length                int64 // of the body; -1 where it is not said
}

var (
	crlf      = []byte("\r\n")
	headEnd   = []byte("\r\n\r\n")
	spaceTab  = " \t"
	http11    = []byte("HTTP/1.1")
	http10    = []byte("HTTP/1.0")
	ndjson    = []byte("application/x-ndjson")
	continue1 = []byte("100-continue")
)

// parseHead reads a request's head, without the empty line that ends it. why is what is wrong with it, empty if nothing
// is; it repeats nothing of the head.
func parseHead(b []byte) (h head, why string) {
	h.length = -1
	line, rest, _ := bytes.Cut(b, crlf)
	method, target, ok1 := bytes.Cut(line, []byte(" "))
	path, version, ok2 := bytes.Cut(target, []byte(" "))
	if h.old = bytes.Equal(version, http10); !ok1 || !ok2 || !h.old && !bytes.Equal(version, http11) {
		return h, "no HTTP/1.1 request line; send for example: POST /v1/hook HTTP/1.1"
	}
	if !token(method) || len(path) == 0 || path[0] != '/' {
		return h, "the request line wants a method and a path that begins with /"
	}
	h.method, h.path = method, path
	hosts, lengths := 0, 0
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, crlf)
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !token(name) || bytes.ContainsAny(value, "\r\n\x00") {
			return h, "a header is no header: want Name: value, and none may go on in the next line"
		}
		value = bytes.Trim(value, spaceTab)
		switch lower(name); string(name) {
		case "host":
			hosts++
			h.host = value
		case "authorization":
			h.auth = value
		case "content-type":
			h.kind = value
		case "content-length":
			n, ok := whole(value)
			if lengths++; !ok || lengths > 1 {
				return h, "Content-Length wants one whole number"
			}
			h.length = n
		case "transfer-encoding":
			h.chunked = true
		case "expect":
			lower(value)
			h.expects = !h.old && bytes.Equal(value, continue1)
		case "accept":
			h.lines = bytes.Contains(value, ndjson)
		default:
			h.browser = h.browser || string(name) == "origin" || bytes.HasPrefix(name, []byte("sec-fetch-")) || string(name) == "referer"
		}
	}
	if hosts != 1 {
		return h, "want one header Host"
	}
	return h, ""
}

// token tells whether b is one of RFC 9110's tokens: names of methods and headers.
func token(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`"(),/:;<=>?@[\]{}`), c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

// lower makes b lower case in place.
func lower(b []byte) {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}
