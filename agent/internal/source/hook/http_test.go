package hook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
)

const testToken = "a-token-of-the-tests"

// startHTTP runs a hook over HTTP until the test ends and returns its address.
func startHTTP(t *testing.T, d source.Daemon, change func(*HTTP)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(testToken+"\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	s := &HTTP{Address: address, TokenFile: file, Hook: &Hook{To: d, Log: slog.New(slog.DiscardHandler)}}
	if change != nil {
		change(s)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-over:
		case <-time.After(sourcetest.Soon):
			t.Error("Run does not end with its context")
		}
	})
	housetest.Until(t, "the hook listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address
}

// call makes one request and returns the status, the answer's header and its body.
func call(t *testing.T, r *http.Request) (*http.Response, []byte) {
	t.Helper()
	client := http.Client{Timeout: sourcetest.Soon, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func httpRequest(t *testing.T, method, address, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// nexoDaemon knows a little of a terminal.
type nexoDaemon struct {
	*sourcetest.FakeDaemon
	state   report.State
	checked []string
}

func (d *nexoDaemon) State() report.State { return d.state }
func (d *nexoDaemon) Check(_ context.Context, names []string) ([]report.Evidence, error) {
	d.checked = append(d.checked, names...)
	return nil, nil
}

func found(check, subject string, s report.Status, facts report.Facts) report.Evidence {
	return report.Evidence{Check: check, Subject: subject, Status: s, Facts: facts, At: time.Now()}
}

const nexoAsk = `{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.1","MessageClass":"Service","MessageCategory":"Diagnosis","MessageType":"Request","ServiceID":"42","SaleID":"till-1","POIID":"pos-7"},"DiagnosisRequest":{"HostDiagnosisFlag":true}}}`

// What the daemon answers is what its OpenAPI document says, for every request of it and for what is wrong; and the
// document is one (kin-openapi validates it and every request and answer).
func TestWhatHTTPAnswersIsInTheOpenAPIDocument(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := &nexoDaemon{FakeDaemon: sourcetest.NewDaemon()}
	d.state = report.State{Terminal: "shop/t1", Time: time.Now(), Agent: report.Agent{Version: "1.0",
		Knowledge: "sha256:x"}, Evidence: []report.Evidence{
		found("net.tcp", "host-primary", report.OK, nil), found("printer.status", "printer0", report.Bad, report.Facts{"outcome": "no-paper"})}}
	address := startHTTP(t, d, nil)
	doc.Servers[0].URL = "http://" + address
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.FileBodyDecoder)
	noAuth := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		IncludeResponseStatus: true}
	seen := map[string]bool{}
	for _, c := range []struct {
		method, path, body string
		change             func(*http.Request)
		status             int
		has                string
	}{
		{"POST", "/v1/hook", `{"type":"code","code":"96","origin":"host","txn":{"mti":"0210","stan":"000123"},"wait":"first","display":20,"receipt":32,"lang":"en"}`, nil, 200, `"display":["not charged","retry later"]`},
		{"POST", "/v1/hook", `{"type":"code","code":"96","wait":"final","full":true}`, nil, 200, `"result":"final"`},
		{"POST", "/v1/hook", `{"type":"code","code":"96","wait":"none"}`, nil, 202, `"result":"accepted"`},
		{"POST", "/v1/hook", `{"type":"verdict","id":"000001-0000000001","wait":"final"}`, nil, 200, `"result":"final"`},
		{"POST", "/v1/hook", `{"type":"verdict","id":"000001-0000000002"}`, nil, 400, `"field":"id"`},
		{"POST", "/v1/hook", `{"type":"txn","phase":"start"}`, nil, 202, `accepted`},
		{"POST", "/v1/hook", `{"type":"fact","check":"app.session","facts":{"signed_in":true}}`, nil, 202, `accepted`},
		{"POST", "/v1/hook", `{"type":"check","names":["net.tcp"]}`, nil, 200, `"done"`},
		{"POST", "/v1/hook", `{"type":"code"}`, nil, 400, `missing`},
		{"POST", "/v1/hook", `{"type":"code","code":"96","display":8}`, nil, 200, `from 16 to 40`},
		{"POST", "/v1/hook", `{"type":"code","code":"4761739001010010"}`, nil, 400, `looks like a card number`},
		{"POST", "/v1/hook", `{"type":"code","code":"96"}`, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, `token`},
		{"POST", "/v1/hook", `{"type":"code","code":"96"}`, func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, `browsers`},
		{"POST", "/v1/hook", `{"type":"code","code":"96"}`, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, `browsers`},
		{"POST", "/v1/hook", `{"type":"code","code":"96"}`, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, `application/json`},
		{"POST", "/v1/hook", `{"type":"code","code":"96"}`, func(r *http.Request) { r.ContentLength = -1 }, 411, `Content-Length`},
		{"POST", "/v1/hook", `{"type":"status","x":"` + strings.Repeat("x", maxLine) + `"}`, nil, 413, `longer`},
		{"GET", "/v1/version", "", nil, 200, `"timeout_ms":{"first":1500,"final":15500,"check":60500}`},
		{"GET", "/v1/version", "", func(r *http.Request) { r.Header.Del("Authorization") }, 401, `token`},
		{"GET", "/v1/status", "", nil, 200, `shop/t1`},
		{"POST", "/v1/nexo", nexoAsk, nil, 200, `"HostStatus":[{"AcquirerID":"host-primary","IsReachableFlag":true}]`},
		{"POST", "/v1/nexo", strings.Replace(nexoAsk, "Diagnosis", "Payment", 1), nil, 400, `no payment system`},
	} {
		r := httpRequest(t, c.method, address, c.path, c.body)
		if c.change != nil {
			c.change(r)
		}
		resp, body := call(t, r)
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.has) {
			t.Errorf("%s %s %s\n got %d %s\nwant %d with %s", c.method, c.path, c.body, resp.StatusCode, body, c.status, c.has)
		}
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		in := &openapi3filter.RequestValidationInput{Request: httpRequest(t, c.method, address, c.path, c.body),
			PathParams: params, Route: route, Options: noAuth}
		if c.status < 300 && !strings.Contains(c.has, "from 16") {
			if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
				t.Errorf("%s %s is no request of the document: %v", c.path, c.body, err)
			}
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode,
			Header: resp.Header, Options: noAuth}
		out.SetBodyBytes(body)
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
			t.Errorf("%s %s: the answer is none of the document: %v\n%s", c.path, c.body, err, body)
		}
		seen[route.Operation.OperationID+fmt.Sprint(c.status)] = true
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !seen[op.OperationID+"200"] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
	if got, _ := call(t, httpRequest(t, "GET", address, "/", "")); got.StatusCode != 404 {
		t.Errorf("a path that is none: %d", got.StatusCode)
	}
	if got, _ := call(t, httpRequest(t, "OPTIONS", address, "/v1/hook", "")); got.StatusCode != 405 || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a browser's question beforehand: %d %v", got.StatusCode, got.Header)
	}
}

// The document names every member of a transaction that the daemon takes, beside a step and within a code, with the
// same words.
func TestTheOpenAPIDocumentHasEveryMemberOfATransaction(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]string{"entry": source.Entries, "card_scheme": report.CardSchemes}
	txn := reflect.TypeFor[report.Txn]()
	for _, in := range []string{"Request", "Txn"} {
		has := doc.Components.Schemas[in].Value.Properties
		for i := range txn.NumField() {
			name, _, _ := strings.Cut(txn.Field(i).Tag.Get("json"), ",")
			p := has[name]
			if p == nil {
				t.Errorf("%s has no %s", in, name)
				continue
			}
			var listed []string
			for _, w := range p.Value.Enum {
				listed = append(listed, fmt.Sprint(w))
			}
			if !slices.Equal(listed, words[name]) {
				t.Errorf("%s.%s: %v in the document, %v in the program", in, name, listed, words[name])
			}
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(doc.Components.Schemas["Request"].Value.Properties["type"].Value.Enum, any(kind)) {
			t.Errorf("the document has no request %s", kind)
		}
	}
}

// Whoever makes a browser speak to this address by a name of his own is refused, and learns nothing.
func TestHTTPIsForThisMachineByItsOwnName(t *testing.T) {
	address := startHTTP(t, sourcetest.NewDaemon(), nil)
	_, port, _ := net.SplitHostPort(address)
	for host, want := range map[string]int{
		address: 200, "localhost:" + port: 200, "localhost": 200, "127.0.0.1": 200, "[::1]:" + port: 200, "127.1.2.3:1": 200,
		"evil.example:" + port: 421, "localhost.evil.example": 421, "10.0.0.1:" + port: 421, "0.0.0.0": 421, "localhost:x": 421, "127.0.0.1.evil.example": 421,
	} {
		r := httpRequest(t, "GET", address, "/v1/version", "")
		r.Host = host
		if got, b := call(t, r); got.StatusCode != want {
			t.Errorf("Host %q: got %d, want %d: %s", host, got.StatusCode, want, b)
		}
	}
	for address, ok := range map[string]bool{"127.0.0.1:7379": true, "[::1]:7379": true, "127.9.9.9:1": true, "0.0.0.0:7379": false, "192.168.1.5:7379": false,
		"localhost:7379": false, "127.0.0.1:0": false, "127.0.0.1": false, "[::ffff:10.0.0.1]:1": false, "": false} {
		if err := CheckHTTP(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Without a token that is nobody else's, nobody gets in; a new one counts at once.
func TestHTTPTokenFile(t *testing.T) {
	var file string
	address := startHTTP(t, sourcetest.NewDaemon(), func(s *HTTP) { file = s.TokenFile })
	get := func(token string) int {
		r := httpRequest(t, "GET", address, "/v1/version", "")
		r.Header.Set("Authorization", "Bearer "+token)
		resp, _ := call(t, r)
		return resp.StatusCode
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		text string
		mode os.FileMode
		show string
		want int
	}{
		{testToken, 0o600, testToken, 200}, {testToken, 0o600, testToken + "x", 401}, {testToken, 0o600, "", 401},
		{"another-token-now\n", 0o640, "another-token-now", 200}, {"another-token-now\n", 0o640, testToken, 401},
		{testToken, 0o644, testToken, 503}, {"short", 0o600, "short", 503}, {"", 0o600, "", 503}, {"two words and more of it", 0o600, "two", 503},
	} {
		write(c.text, c.mode)
		if got := get(c.show); got != c.want {
			t.Errorf("file %q %o, shown %q: got %d, want %d", c.text, c.mode, c.show, got, c.want)
		}
	}
	os.Remove(file)
	if got := get(testToken); got != 503 {
		t.Errorf("no file: got %d", got)
	}
}

// Answers come a line each as they are known, where the client can take them so.
func TestHTTPLinesAsTheyCome(t *testing.T) {
	d := sourcetest.NewDaemon()
	d.Finish = make(chan struct{})
	address := startHTTP(t, d, nil)
	r := httpRequest(t, "POST", address, "/v1/hook", `{"type":"code","code":"96","wait":"final"}`)
	r.Header.Set("Accept", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{First, Final} {
		if !lines.Scan() {
			t.Fatalf("no line for %s: %v", want, lines.Err())
		}
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.Result != want || a.More != (want == First) {
			t.Errorf("got %s, want %s (%v)", lines.Bytes(), want, err)
		}
		if want == First {
			close(d.Finish)
		}
	}
	if lines.Scan() {
		t.Errorf("one more: %s", lines.Bytes())
	}
}

// Who opens connections and says nothing, or a byte now and then, shuts nobody out.
func TestSlowHTTPClientsShutNobodyOut(t *testing.T) {
	d := sourcetest.NewDaemon()
	address := startHTTP(t, d, nil)
	for i := range 3 * maxVisits {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			io.WriteString(c, "POST /v1/hook HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "+testToken+"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		}
	}
	for range 5 {
		if resp, b := call(t, httpRequest(t, "POST", address, "/v1/hook", `{"type":"code","code":"96"}`)); resp.StatusCode != 200 {
			t.Fatalf("got %d %s beside silent clients", resp.StatusCode, b)
		}
	}
	// Those who wait for an answer keep their place; who finds none is told so.
	d.Finish = make(chan struct{})
	done := make(chan int, maxVisits)
	for range maxVisits {
		go func() {
			// Of those who come together one may give up its place before it was read, and comes again.
			for t.Context().Err() == nil {
				r := httpRequest(t, "POST", address, "/v1/hook", `{"type":"code","code":"97","wait":"final"}`)
				if resp, err := http.DefaultClient.Do(r); err == nil {
					resp.Body.Close()
					done <- resp.StatusCode
					return
				}
			}
		}()
	}
	housetest.Until(t, "all wait", func() bool { return len(d.All()) >= 5+maxVisits })
	var last *http.Response
	housetest.Until(t, "it is full", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		last, err = http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && last.StatusCode == 503 && last.Header.Get("Retry-After") != ""
	})
	close(d.Finish)
	for range maxVisits {
		if got := <-done; got != 200 {
			t.Errorf("who waited got %d", got)
		}
	}
}

// What is no request is refused with the reason or closed, and keeps nothing.
func TestWhatIsNoHTTPRequest(t *testing.T) {
	d := sourcetest.NewDaemon()
	address := startHTTP(t, d, func(s *HTTP) { s.Hook.line = 300 * time.Millisecond })
	head := "Host: 127.0.0.1\r\nAuthorization: Bearer " + testToken + "\r\nContent-Type: application/json\r\n"
	body := `{"type":"code","code":"96"}`
	for _, c := range []struct{ want, raw string }{
		{"400", "hello\r\n\r\n"},
		{"400", "GET /v1/version HTTP/2\r\n\r\n"},
		{"400", "GET /v1/version HTTP/1.1\r\n\r\n"}, // no Host
		{"400", "GET v1 HTTP/1.1\r\n" + head + "\r\n"},
		{"411", "POST /v1/hook HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n1b\r\n" + body + "\r\n0\r\n\r\n"},
		{"400", "POST /v1/hook HTTP/1.1\r\n" + head + "Content-Length: 27\r\nContent-Length: 3\r\n\r\n" + body},
		{"400", "POST /v1/hook HTTP/1.1\r\n" + head + "Content-Length: -1\r\n\r\n" + body},
		{"400", "POST /v1/hook HTTP/1.1\r\n" + head + "Content-Length: 27\r\n folded\r\n\r\n" + body},
		{"400", "POST /v1/hook HTTP/1.1\r\nHost: a\r\n" + head + "Content-Length: 27\r\n\r\n" + body},
		{"408", "POST /v1/hook HTTP/1.1\r\n" + head + "Content-Length: 99\r\n\r\n" + body},
		{"408", "POST /v1/hook HTTP/1.1\r\n" + head},
		{"431", "POST /v1/hook HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead) + "\r\n\r\n"},
		{"404", "POST /v1/hook?pan=" + sourcetest.PlantedCard + " HTTP/1.1\r\n" + head +
			"Content-Length: 27\r\n\r\n" + body},
		{"200", "POST /v1/hook HTTP/1.0\r\n" + head + "Expect: 100-continue\r\nContent-Length: 27\r\n\r\n" + body},
		{"200", "POST /v1/hook HTTP/1.1\r\n" + strings.ToUpper("host: 127.0.0.1\r\n") +
			head[len("Host: 127.0.0.1\r\n"):] + "Content-Length: 27\r\n\r\n" + body + "GET / HTTP/1.1\r\n\r\n"},
	} {
		raw, want := c.raw, c.want
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, raw)
		c.SetReadDeadline(time.Now().Add(sourcetest.Soon))
		got, _ := io.ReadAll(c)
		c.Close()
		if !bytes.Contains(got, []byte(" "+want+" ")) || bytes.Contains(got, []byte(sourcetest.PlantedCard)) {
			t.Errorf("%q\n got %q\nwant %s", raw, got, want)
		}
	}
	if n := len(d.All()); n != 2 {
		t.Errorf("%d events came of it, want 2", n)
	}
}

// Of what nexo has members for, what is known is told, and of what is not known nothing: an absent IsReachableFlag
// means true.
func TestNexoTellsWhatIsKnown(t *testing.T) {
	q, why := parseNexo([]byte(nexoAsk))
	if why != "" {
		t.Fatal(why)
	}
	now := time.Now()
	say := func(inSale bool, list ...report.Evidence) string {
		b, _ := json.Marshal(nexoAnswer(q, report.State{Time: now, InSale: inSale, Evidence: list}))
		return string(b)
	}
	old := found("net.tcp", "host-primary", report.OK, nil)
	old.At = now.Add(-time.Hour)
	for _, c := range []struct {
		name   string
		inSale bool
		list   []report.Evidence
		want   string
	}{
		{"nothing", false, nil, `{"Response":{"Result":"Partial"},"POIStatus":{"GlobalStatus":"OK"}}`},
		{"one of two ways", false, []report.Evidence{found("net.tcp", "host-primary@eth0", report.Bad, nil), found("net.tcp", "host-primary@wwan0", report.OK, nil)},
			`{"Response":{"Result":"Success"},"POIStatus":{"GlobalStatus":"OK","CommunicationOKFlag":true},"HostStatus":[{"AcquirerID":"host-primary","IsReachableFlag":true}]}`},
		{"one host of two", false, []report.Evidence{found("net.tcp", "host-primary", report.Bad, nil), found("net.tcp", "host-backup", report.CannotTell, nil)},
			`{"Response":{"Result":"Partial"},"POIStatus":{"GlobalStatus":"OK","CommunicationOKFlag":false},"HostStatus":[{"AcquirerID":"host-primary","IsReachableFlag":false}]}`},
		{"old news", false, []report.Evidence{old}, `{"Response":{"Result":"Partial"},"POIStatus":{"GlobalStatus":"OK"}}`},
		{"in a sale", true, []report.Evidence{old}, `{"Response":{"Result":"Partial","ErrorCondition":"Busy"},"POIStatus":{"GlobalStatus":"Busy"}}`},
		{"devices", false, []report.Evidence{found("net.tcp", "host-primary", report.OK, nil), found("reader.port", "reader0", report.Bad, nil), found("pinpad.port", "pinpad0", report.OK, nil),
			found("printer.status", "printer0", report.Bad, report.Facts{"outcome": "jam"}), found("app.keys", "", report.Bad, nil), found("reader.selftest", "reader0", report.OK, nil),
			found("app.process", "pay", report.Bad, nil)},
			`{"Response":{"Result":"Success"},"POIStatus":{"GlobalStatus":"Unreachable","SecurityOKFlag":false,"PEDOKFlag":true,"CardReaderOKFlag":false,"PrinterStatus":"PaperJam","CommunicationOKFlag":true},"HostStatus":[{"AcquirerID":"host-primary","IsReachableFlag":true}]}`},
	} {
		if got := say(c.inSale, c.list...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	d := &nexoDaemon{FakeDaemon: sourcetest.NewDaemon()}
	address := startHTTP(t, d, nil)
	call(t, httpRequest(t, "POST", address, "/v1/nexo", nexoAsk))
	if len(d.checked) != 1 || d.checked[0] != "net.tcp" {
		t.Errorf("HostDiagnosisFlag: checked %v", d.checked)
	}
	d.state.InSale = true
	call(t, httpRequest(t, "POST", address, "/v1/nexo", nexoAsk))
	if len(d.checked) != 1 {
		t.Errorf("checked in a sale: %v", d.checked)
	}
}

// FuzzHead reads any bytes as a request's head.
func FuzzHead(f *testing.F) {
	f.Add([]byte("POST /v1/hook HTTP/1.1\r\nHost: 127.0.0.1:7379\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: 27"))
	f.Add([]byte("GET / HTTP/1.0\r\nHost: [::1]\r\nSec-Fetch-Site: none\r\nExpect: 100-Continue\r\nAccept: application/x-ndjson\r\nTransfer-Encoding: chunked"))
	f.Add([]byte("X\r\n:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, why := parseHead(bytes.Clone(b))
		if why == "" && (len(h.path) == 0 || h.path[0] != '/' || len(h.method) == 0 || h.length < -1) {
			t.Fatalf("%q: %+v", b, h)
		}
		ownName(string(h.host))
	})
}

// FuzzNexo reads any bytes as a DiagnosisRequest, with a card put into it.
func FuzzNexo(f *testing.F) {
	f.Add([]byte(nexoAsk))
	f.Add([]byte(strings.Replace(nexoAsk, "till-1", sourcetest.PlantedCard, 1)))
	f.Add([]byte(`{"SaleToPOIRequest":{"MessageHeader":[],"DiagnosisRequest":{"AcquirerID":["host-primary",1]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxLine {
			return
		}
		planted := bytes.Contains(b, []byte(sourcetest.PlantedCard))
		q, why := parseNexo(b)
		if planted {
			sourcetest.MustBeClean(t, q.header, q.only, why)
		}
		if why == "" && (q.header.SaleID == "" || q.header.POIID == "") {
			t.Fatalf("%+v", q)
		}
	})
}

// BenchmarkHTTP is one code over HTTP, connection and token included, to its first verdict.
func BenchmarkHTTP(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
		b.Fatal(err)
	}
	s := &HTTP{Address: l.Addr().String(), TokenFile: file, Hook: &Hook{To: sourcetest.NewDaemon(),
		Log: slog.New(slog.DiscardHandler)}}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.accept(ctx, l)
	}()
	defer func() { stop(); <-done }()
	body := `{"type":"code","code":"96","origin":"host","txn":{"stan":"000123"},"display":20}`
	ask := fmt.Sprintf("POST /v1/hook HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.Address, testToken, len(body), body)
	for b.Loop() {
		c, err := net.Dial("tcp", s.Address)
		if err != nil {
			b.Fatal(err)
		}
		io.WriteString(c, ask)
		if got, err := io.ReadAll(c); err != nil || !bytes.Contains(got, []byte(`"result":"first"`)) {
			b.Fatalf("%v %s", err, got)
		}
		c.Close()
	}
}
