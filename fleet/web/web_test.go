package web

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"flag"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// site serves a fresh store.
func site(t *testing.T, token string) (*httptest.Server, *store.Store, *Hub) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	hub := new(Hub)
	s := &Site{Source: db, Hub: hub, Knowledge: codes.Builtin(), Metrics: http.NotFoundHandler(),
		Connected: func() bool { return true }, Open: RoleAdmin,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Stop: t.Context()}
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); db.Close() })
	return server, db, hub
}

func put(t *testing.T, db *store.Store, topic string, payload []byte) {
	t.Helper()
	d := ingest.Decode(topic, payload, t0)
	if d.Reason != "" {
		t.Fatalf("%s: %s", topic, d.Reason)
	}
	if _, err := db.Commit(t.Context(), []store.Document{d}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

// evil is what a hostile terminal would like to see on the page as markup, with marks that turn the text around.
const evil = `<script>alert(1)</script>"><img src=x onerror=alert(2)>{{.}}'` + "\u202e\u2066\x1b[31m\u200b"

// everyPage is the address of every page, alone and with parameters.
func everyPage(a *sample.Terminal, params ...string) []string {
	at := a.At.Estate + "/" + a.At.Terminal
	paths := []string{"/incident/1", "/diagnosis/" + at + "/" + a.EventID(1), "/asked/" + at + "/" + a.EventID(2), "/terminal/" + at,
		"/code?code=96", "/cause/host.malfunction", "/search"}
	for _, group := range menu() {
		for _, e := range group {
			paths = append(paths, e.Path)
		}
	}
	out := append(paths, "/nowhere/%3Cscript%3Ealert(6)")
	for _, p := range params {
		for _, path := range paths {
			if !strings.Contains(path, "?") {
				out = append(out, path+p)
			}
		}
	}
	return out
}

func hostile(t *testing.T, db *store.Store) *sample.Terminal {
	a := sample.New("shop", "t1")
	d := a.Diagnosis(1, 2, evil[:60], evil, evil)
	d.Code.Meaning, d.Code.Class, d.Money.Say, d.Money.State, d.Handoff, d.Event.Channel = evil, evil, evil, evil, evil,
		report.Channel(evil)
	d.Code.Known, d.Code.Code = true, "no such"
	d.Causes[0].Title, d.Causes[0].Act.Step, d.Causes[0].Act.By, d.Causes[0].For[0].Say = evil, evil, evil, evil
	d.Evidence[0].Check, d.Evidence[0].Subject, d.Evidence[0].Status = evil, evil, report.Status(evil)
	d.Evidence[0].Facts = report.Facts{evil: evil, "list": []string{evil}, "table": map[string]float64{evil: 1}}
	d.Agent.Version, d.Masked, d.NextTest.How = evil, []string{evil}, evil
	put2 := func(topic string, payload []byte) { put(t, db, topic, payload) }
	put2(a.Wrap(report.KindDiagnosis, d))
	h := a.Health()
	h.Evidence = d.Evidence
	h.Self = map[string]int64{evil: 3}
	put2(a.Uncounted(report.KindHealth, h))
	b := a.Birth(1)
	b.Devices[0] = report.Device{Name: evil, Kind: evil, Port: evil}
	put2(a.Uncounted(report.KindBirth, b))
	put2(a.At.Topic("status"), []byte(`{"state":"online","reason":"<script>alert(3)</script>","boot_id":"b"}`))
	put2(a.At.Topic("reply/ping"), []byte(`{"id":"<script>alert(4)</script>","result":"done"}`))
	asked := a.Diagnosis(2, 2, evil[:60], evil, evil)
	asked.Asked = true
	put2(a.Uncounted(report.KindAsked, asked))
	if err := db.NoteCommand(t.Context(), a.At, store.Command{Name: "ping", ID: "<script>alert(4)</script>", Who: evil, Sent: t0}); err != nil {
		t.Fatal(err)
	}
	if err := db.SavePlaces(t.Context(), []store.Placed{{At: a.At, When: t0, Place: map[string]string{"site": evil}},
		{At: a.At, When: t0, Place: map[string]string{"site": evil + "2", "carrier": evil}}}); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveDues(t.Context(),
		[]store.Dated{{At: a.At, Seen: t0, List: []store.Due{{Kind: evil, Subject: evil, At: t0}}}}); err != nil {
		t.Fatal(err)
	}
	i := store.Incident{Estate: "shop", Scope: "site", Key: evil, Cause: evil, Segment: evil, Code: evil, Opened: t0,
		Seen: t0, Terminals: 4, Of: 9, Peak: 5,
		Detail: store.Detail{Kind: "surge", Place: map[string]string{"site": evil}, Also: []string{evil},
			Codes: []string{evil}, Entry: evil}}
	if err := db.SaveIncident(t.Context(), &i); err != nil {
		t.Fatal(err)
	}
	if err := db.Tend(t.Context(), nil, store.LogEntry{Incident: i.No, At: t0, Who: evil, Deed: store.DeedNote,
		Said: evil}, store.Care{}, 0); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveFind(t.Context(), a.At, store.Find{Diagnosis: a.EventID(1), Cause: evil, Found: evil, Said: evil,
		Who: evil, At: t0}); err != nil {
		t.Fatal(err)
	}
	if err := db.SaveView(t.Context(), store.View{Who: "admin", Name: evil, Path: "/codes", Made: t0}); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNothingOfATerminalBecomesMarkup(t *testing.T) {
	server, db, _ := site(t, "")
	a := hostile(t, db)
	for _, path := range everyPage(a, "?q="+"%3Cscript%3Ealert(5)%3C/script%3E", "?code=%22%3E%3Cscript%3E", "?site=%22%3E%3Cscript%3E&has=%3Cimg%3E&estate=%3Cscript%3E", "?all=1") {
		for _, lang := range []string{"zh", "en"} {
			status, body, header := get(t, server.URL+path, "Accept-Language", lang)
			if status != 200 && !strings.HasPrefix(path, "/nowhere") && !(status == 404 && strings.HasPrefix(path, "/code?")) {
				t.Errorf("%s: %d", path, status)
			}
			bare := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(body, `""`)
			if strings.Contains(body, "<script>") || strings.Contains(body, "<img") || regexp.MustCompile(`<[^>]* on\w+=`).MatchString(bare) {
				t.Errorf("%s: markup of a terminal on the page", path)
			}
			if hidden := regexp.MustCompile("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\x00-\x08\x0b-\x1f\x7f-\u009f]").FindString(body); hidden != "" {
				t.Errorf("%s: %q of a terminal on the page", path, hidden)
			}
			if strings.Contains(body, "style=") {
				t.Errorf("%s: an inline style, which the policy forbids", path)
			}
			if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: not guarded: %v", path, header)
			}
		}
	}
}

func TestPagesSayWhatIsStored(t *testing.T) {
	server, db, _ := site(t, "")
	a := sample.New("shop", "t1")
	d := a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")
	d.Event.ClockTrusted = false
	put2 := func(topic string, payload []byte) { put(t, db, topic, payload) }
	put2(a.Wrap(report.KindDiagnosis, d))
	put2(a.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"b"}`))
	put2(a.Uncounted(report.KindHealth, a.Health()))
	put2(a.Uncounted(report.KindBirth, a.Birth(1)))
	a.Seq = 5
	put2(a.Wrap(report.KindDiagnosis, a.Diagnosis(2, 2, "97", "terminal.not-registered", "acquirer")))

	cause, ok := codes.Builtin().Cause("host.malfunction")
	if !ok {
		cause.Title = codes.Text{ZH: "收单处理中心故障", EN: "收单处理中心故障"} // the catalogue is not compiled in: as the terminal wrote it
	}
	for path, says := range map[string][]string{
		"/?lang=zh":                                       {cause.Title.ZH, "在线", "96", "97", "86 %", "稍后再试", "终端时钟不可信", `href="/terminal/shop/t1"`, "正在发生", "没有声音"},
		"/?lang=en":                                       {cause.Title.EN, "online", "retry later", "clock not trusted"},
		"/diagnoses?lang=en&code=96":                      {"<b>96</b>"},
		"/terminal/shop/t1?lang=en":                       {"reader0", "/dev/ttyS1", "outcome</i> gone", "2–5", "may still come", "modem.signal"},
		"/terminal/shop/t1?lang=zh":                       {"缺号", "等待中", "故障"},
		"/diagnosis/shop/t1/" + a.EventID(1):              {"K7QF-3MXP-9A2C-77DD", "顾客没有被扣款", "+12.0", "host_answer_seen", "流水号</i> 000123", `<meter min="0" max="1" value="0.86"`},
		"/diagnosis/shop/t1/" + a.EventID(1) + "?lang=en": {"Hand-off code", "declined", cause.Title.EN},
		"/terminals?lang=en&state=online":                 {"t1"},
		"/terminals?lang=en&state=offline":                {"Nothing here"},
		"/incidents?lang=en":                              {"Nothing here"},
		"/api/v1/diagnoses":                               {`"seq": 6`, `"code": "96"`},
		"/api/v1/diagnoses?limit=1":                       {`"next": "`},
		"/api/v1/diagnoses/shop/t1/" + a.EventID(2):       {`"97"`},
		"/api/v1/terminals":                               {`"state": "online"`},
		"/api/v1/terminals/shop/t1":                       {`"last": 5`, `"health"`, "reader.port"},
		"/api/v1/summary":                                 {`"terminals_with_gaps": 1`},
		"/api/v1/incidents":                               {`"incidents": []`},
		"/api/v1/rejected":                                {`"rejected": []`},
		"/healthz":                                        {`"store": true`},
	} {
		status, body, _ := get(t, server.URL+path)
		if status != 200 {
			t.Errorf("%s: %d", path, status)
		}
		for _, s := range says {
			if !strings.Contains(html.UnescapeString(body), s) {
				t.Errorf("%s does not say %q", path, s)
			}
		}
		if strings.HasPrefix(path, "/api/") && !json.Valid([]byte(body)) {
			t.Errorf("%s is not JSON", path)
		}
	}
	if _, body, _ := get(t, server.URL+"/diagnoses?code=96"); strings.Contains(body, "<b>97</b>") {
		t.Error("the filter lets through what it should not")
	}
	for path, status := range map[string]int{
		"/terminal/shop/t9": 404, "/diagnosis/shop/t1/none": 404, "/api/v1/diagnoses/shop/t1/none": 404, "/api/v1/terminals/a/b": 404, "/static/../web.go": 404, "/nowhere": 404,
		"/api/v1/diagnoses?limit=0": 400, "/api/v1/diagnoses?limit=99999": 400, "/api/v1/diagnoses?before=x": 400, "/diagnoses?before=1-2": 400, "/diagnoses?range=2h": 400, "/diagnoses?from=soon": 400, "/diagnoses?format=xml": 400, "/terminals?sort=colour": 400, "/terminals?skip=-1": 400, "/incidents?state=lost": 400,
		"/incident/9": 404, "/incident/x": 404, "/cause/no.such": 404, "/code?code=nosuch": 404, "/code": 404, "/asked/shop/t1/none": 404, "/expiry?within=soon": 400, "/versions?dim=colour": 400, "/work?visit=maybe": 400, "/?by=mood": 400,
	} {
		if got, _, _ := get(t, server.URL+path); got != status {
			t.Errorf("%s: %d, want %d", path, got, status)
		}
	}
}

func TestLanguage(t *testing.T) {
	server, _, _ := site(t, "")
	for _, c := range []struct{ accept, cookie, query, want string }{
		{"", "", "", "zh-CN"}, {"en-GB,en;q=0.9", "", "", "en"}, {"de", "", "", "zh-CN"}, {"de,en;q=0.3", "", "", "en"}, {"zh-TW", "", "", "zh-CN"},
		{"en", "lang=zh", "", "zh-CN"}, {"en", "lang=zh", "en", "en"}, {"zh", "lang=xx", "", "zh-CN"}, {";;;", "", "", "zh-CN"},
	} {
		_, body, _ := get(t, server.URL+"/?lang="+c.query, "Accept-Language", c.accept, "Cookie", c.cookie)
		if !strings.Contains(body, `<html lang="`+c.want+`">`) {
			t.Errorf("%+v: another language", c)
		}
	}
}

func TestWhoMayRead(t *testing.T) {
	open, _, _ := site(t, "")
	for host, status := range map[string]int{"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "[::1]:8080": 200, "evil.example": 421, "localhost.evil.example:80": 421} {
		if got, _, _ := get(t, open.URL+"/api/v1/summary", "Host", host); got != status {
			t.Errorf("host %s: %d, want %d", host, got, status)
		}
	}
}

func TestLive(t *testing.T) {
	server, _, hub := site(t, "")
	answer, err := http.Get(server.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	next := func(prefix string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", prefix, lines.Err())
	}
	next("retry:")
	for range 3 {
		hub.Changed()
		next("data: changed")
	}
}

func TestHubIsBounded(t *testing.T) {
	h := new(Hub)
	for range maxViewers {
		if h.join() == nil {
			t.Fatal("refused below the bound")
		}
	}
	if h.join() != nil {
		t.Error("joined above the bound")
	}
	for range 10 { // must never wait, though nobody reads
		h.Changed()
	}
}

// Every text that a template names exists, in both languages.
func TestTexts(t *testing.T) {
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\.T "([a-z.]+)"(\s+[.("\$])?|\.T\("([a-z.]+)"(,)?`)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, sources...) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			if m[1] == "" {
				m[1], m[2] = m[3], m[4]
			}
			if m[2] != "" { // a group
				found := false
				for k := range texts {
					found = found || strings.HasPrefix(k, m[1]+".")
				}
				kind := m[1]
				if of, ok := vocabulary[kind]; ok {
					kind = of
				}
				for _, w := range codes.Builtin().Words {
					found = found || w.Kind == kind
				}
				if !found {
					t.Errorf("%s: no text of group %q", f, m[1])
				}
			} else if _, ok := texts[m[1]]; !ok {
				t.Errorf("%s: no text %q", f, m[1])
			}
		}
	}
	for k, v := range texts {
		if v.ZH == "" || v.EN == "" {
			t.Errorf("%s: a language is missing", k)
		}
	}
	for _, s := range segments {
		if codes.Builtin().Word("segment", s).ZH == s {
			t.Errorf("segment %s has no word", s)
		}
	}
}

// An incident's page and the list say where it is, whatever the place is called, what else it is reported as, and how
// it ended.
func TestIncidents(t *testing.T) {
	server, db, _ := site(t, "")
	for _, i := range []store.Incident{
		{Estate: "shop", Scope: "carrier", Key: "中国移动", Cause: "wan.outage", Segment: "wan", Code: "E5", Opened: t0, Seen: t0, Terminals: 4, Of: 9, Peak: 5,
			Detail: store.Detail{Kind: "surge", Place: map[string]string{"carrier": "中国移动"}, Also: []string{"modem.denied"}, Reopened: 2, Lost: 12}},
		{Estate: "shop", Scope: "place", Key: "x", Cause: report.Unexplained, Segment: "silence", Opened: t0, Seen: t0, Terminals: 4, Of: 9, Peak: 5,
			Detail: store.Detail{Kind: "silence", Place: map[string]string{"model": "<img src=x>", "application": "4.2"}}},
		{Estate: "shop", Scope: "estate", Key: "shop", Cause: "reader.dirty", Segment: "reader", Opened: t0, Seen: t0,
			Closed: t0.Add(time.Hour), Terminals: 4, Of: 9, Peak: 5,
			Detail: store.Detail{Kind: "slow", Proof: "sales"}},
	} {
		if err := db.SaveIncident(t.Context(), &i); err != nil {
			t.Fatal(err)
		}
	}
	for lang, want := range map[string][]string{
		"en": {"carrier</i> 中国移动", "also reported as", "came back 2×", "fell silent", "application</i> 4.2", "&lt;img src=x&gt;", "outside of what is recorded", "proved over by good sales", "slow rise"},
		"zh": {"运营商</i> 中国移动", "同时报告", "失联", "支付应用", "不在已记录的维度内", "成功交易证明已恢复"},
	} {
		var all string
		for _, path := range []string{"/incidents?state=all&", "/incident/1?", "/incident/2?", "/incident/3?"} {
			_, body, _ := get(t, server.URL+path+"lang="+lang)
			all += body
		}
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%s: no %q", lang, w)
			}
		}
		if strings.Contains(all, "<img") {
			t.Error("a place became markup")
		}
	}
	// The link to its diagnoses keeps scope and time.
	_, body, _ := get(t, server.URL+"/incident/1")
	for _, part := range []string{"carrier=" + url.QueryEscape("中国移动"), "cause=wan.outage", "estate=shop", "from=2026-11-21T11%3A45%3A00Z", "to="} {
		if !strings.Contains(html.UnescapeString(body), part) {
			t.Errorf("the link to an incident's diagnoses does not keep %s", part)
		}
	}
}

// A list of thousands is exported while documents come in: all of it, none twice, and the ingest waits for nothing. A
// terminal's text is no formula in it.
func TestExportWhileIngestRuns(t *testing.T) {
	server, db, _ := site(t, "")
	a := sample.New("shop", "t1")
	const rows = 1200
	var list []store.Document
	for n := range rows {
		code := "96"
		if n == 7 {
			code = "=cmd|'/c calc'!A0"
		}
		topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, code, "host.malfunction", "acquirer"))
		list = append(list, ingest.Decode(topic, p, t0))
	}
	if _, err := db.Commit(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		b := sample.New("shop", "t2")
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
				topic, p := b.Wrap(report.KindDiagnosis, b.Diagnosis(n, 2, "51", "account.funds", "issuer"))
				if _, err := db.Commit(t.Context(), []store.Document{ingest.Decode(topic, p, t0)}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	_, body, header := get(t, server.URL+"/diagnoses?terminal=t1&format=csv")
	_, js, _ := get(t, server.URL+"/diagnoses?terminal=t1&format=json")
	close(stop)
	if n := <-stopped; n == 0 {
		t.Error("nothing was committed meanwhile")
	}
	read, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	if err != nil || len(read) != rows+1 || !strings.Contains(header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%d lines, %v %v", len(read), err, header)
	}
	seen := map[string]bool{}
	for _, line := range read[1:] {
		if seen[line[3]] {
			t.Errorf("%s twice", line[3])
		}
		seen[line[3]] = true
		if strings.HasPrefix(line[5], "=") {
			t.Errorf("a formula in the file: %q", line[5])
		}
	}
	var all []store.Row
	if err := json.Unmarshal([]byte(js), &all); err != nil || len(all) != rows {
		t.Errorf("%d rows of JSON, %v", len(all), err)
	}
	for _, path := range []string{"/incidents", "/expiry", "/work", "/terminals", "/versions", "/codes", "/causes", "/outcomes", "/rejected"} {
		for _, form := range []string{"csv", "json"} {
			status, body, _ := get(t, server.URL+path+"?format="+form)
			if status != 200 || form == "json" && !json.Valid([]byte(body)) || form == "csv" && !strings.HasPrefix(body, "\ufeff") {
				t.Errorf("%s as %s: %d %.60q", path, form, status, body)
			}
		}
	}
}

// outcomesFile is what apiOutcomes writes here: the evaluation of the diagnosis is tested with it. -update writes it.
const outcomesFile = "../../agent/diagnose/eval/testdata/outcomes.ndjson"

var update = flag.Bool("update", false, "write what is compared")

// The export for fitting holds what proved right or wrong, with what it was made of; people's word goes before the
// terminal's.
func TestOutcomesForFitting(t *testing.T) {
	server, db, _ := site(t, "")
	a := sample.New("shop", "t1")
	for n := 1; n < 5; n++ {
		topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
		put(t, db, topic, p)
	}
	for n, o := range map[int]string{1: report.OutcomeBorneOut, 2: report.OutcomeUntested, 3: report.OutcomeBorneOut,
		4: report.OutcomeRefuted} {
		topic, p := a.Uncounted(report.KindOutcome, report.Outcome{Diagnosis: a.EventID(n), Cause: "host.malfunction", Outcome: o, Time: t0})
		put(t, db, topic, p)
	}
	if err := db.SaveFind(t.Context(), a.At, store.Find{Diagnosis: a.EventID(3), Cause: "host.malfunction",
		Found: "lan.cable", Who: "ann", At: t0}); err != nil {
		t.Fatal(err)
	}
	_, body, _ := get(t, server.URL+"/api/v1/outcomes")
	got := map[string]string{}
	var lines []string
	for line := range strings.Lines(body) {
		var l report.Lesson
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Event.Code != "96" || len(l.Evidence) != 3 || l.P != 0.86 {
			t.Fatalf("%v: %s", err, line)
		}
		got[l.Diagnosis] = l.Outcome + " " + l.Found
		lines = append(lines, line)
	}
	if len(got) != 3 || got[a.EventID(1)] != "borne-out " || got[a.EventID(3)] != "borne-out lan.cable" ||
		got[a.EventID(4)] != "refuted " {
		t.Errorf("%v", got)
	}
	slices.Sort(lines)
	body = strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(outcomesFile, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(outcomesFile); err != nil || string(want) != body {
		t.Errorf("%s, %v: the handler writes another file now; -update writes it\n%s", outcomesFile, err, body)
	}
}

// A live page is quiet for most of its life: the stream of changes outlives the time in which a page must take what it
// is told, over HTTP/1 and over HTTP/2, which is what browsers speak by TLS.
func TestAQuietStreamOfChangesLives(t *testing.T) {
	beat, write := liveBeat, liveWrite
	liveBeat, liveWrite = time.Second, 500*time.Millisecond
	t.Cleanup(func() { liveBeat, liveWrite = beat, write })
	for _, two := range []bool{false, true} {
		h := closed(t)
		h.account(t, "ann", access.Viewer)
		ann := h.browser(t, "ann")
		server := httptest.NewUnstartedServer(h.Server.Config.Handler)
		server.EnableHTTP2 = two
		server.StartTLS()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range ann.Jar.Cookies(mustURL(h.URL)) {
			r.AddCookie(c)
		}
		answer, err := server.Client().Do(r)
		if err != nil || answer.StatusCode != http.StatusOK || (answer.ProtoMajor == 2) != two {
			t.Fatalf("%v %+v", err, answer)
		}
		lines := bufio.NewScanner(answer.Body)
		beats := 0
		for beats < 2 && lines.Scan() {
			if strings.HasPrefix(lines.Text(), ":") {
				beats++
			}
		}
		h.site.Hub.Changed()
		told := false
		for !told && lines.Scan() {
			told = lines.Text() == "data: changed"
		}
		if beats < 2 || !told {
			t.Errorf("HTTP/%d: %d beats, change told: %t, %v", answer.ProtoMajor, beats, told, lines.Err())
		}
		answer.Body.Close()
		server.CloseClientConnections()
		server.Close()
	}
}

// What a terminal names can be long and without a space: a cell that shows it breaks it, or the table would push the
// page wider than the screen.
func TestCellsOfForeignWordsBreak(t *testing.T) {
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	breaks := regexp.MustCompile(`class="[^"]*\b(terminal|code|cause|what|facts|free)\b`)
	cells := 0
	for _, file := range files {
		b, err := templateFiles.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, rest := range strings.Split(string(b), "<td")[1:] {
			cell, _, _ := strings.Cut(rest, "</td>")
			head, _, _ := strings.Cut(cell, ">")
			if !strings.Contains(cell, ".CauseTitle") {
				continue
			}
			if cells++; !breaks.MatchString(head) {
				t.Errorf("%s: <td%s> shows a cause and does not break it", file, head)
			}
		}
	}
	if cells < 4 {
		t.Errorf("%d cells were found", cells)
	}
}

// The pages count as sold whatever code is the word of a sale that was made.
func TestEveryApprovalIsNoFailure(t *testing.T) {
	s := Site{Knowledge: codes.Builtin()}
	for _, m := range s.Knowledge.Meanings {
		if m.Approves() != s.approved(m.Scheme, m.Code) && strings.Trim(m.Code, "0") != "" {
			t.Errorf("%s %s: approves %t, is counted as sold %t", m.Scheme, m.Code, m.Approves(), s.approved(m.Scheme, m.Code))
		}
	}
}
