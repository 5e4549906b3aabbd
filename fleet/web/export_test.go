package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
	"posdx/fleet/sbom"
	"posdx/fleet/store"
)

// A long list is exported row by row while reports come in: ingest does not wait for a reader that is slow, and what
// the reader gets is whole, in both forms, and no formula for a spreadsheet.
func TestLongListsAreExportedWhileReportsComeIn(t *testing.T) {
	rows := maxExport
	if testing.Short() {
		rows = 1000
	}
	h := closed(t)
	a := sample.New("shop", "t1")
	n := 0
	commit := func(ctx context.Context, many int) error {
		var docs []store.Document
		for range many {
			n++
			d := a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer")
			d.Event.Code = []string{"96", "=1+1", "+cmd|x", "-x()", "@x", "<b>", `"q"`}[n%7]
			topic, p := a.Wrap(report.KindDiagnosis, d)
			doc := ingest.Decode(topic, p, time.Now())
			if doc.Reason != "" {
				t.Fatal(doc.Reason)
			}
			docs = append(docs, doc)
		}
		_, err := h.db.Commit(ctx, docs)
		return err
	}
	for n < rows+200 {
		if err := commit(t.Context(), 200); err != nil {
			t.Fatal(err)
		}
	}
	token, _, err := h.keeper.MakeToken(
		t.Context(),
		root,
		"script",
		access.Viewer,
		access.Read,
		[]string{"shop"},
		time.Hour,
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"csv", "json"} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.URL+"/diagnoses?format="+format, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(q)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		// The reader has the first bytes and stops reading; reports are committed meanwhile.
		first := make([]byte, 1)
		if _, err := answer.Body.Read(first); err != nil {
			t.Fatal(err)
		}
		bound, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		for range 5 {
			if err := commit(bound, 50); err != nil {
				t.Error("ingest waits for a reader:", err)
			}
		}
		cancel()
		got := 0
		if format == "csv" {
			answer.Body.Read(make([]byte, 2)) // the rest of the mark
			list, err := csv.NewReader(answer.Body).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			got = len(list) - 1
			for _, row := range list[1:] {
				for _, cell := range row {
					if cell != "" && strings.ContainsAny(cell[:1], "=@\t\r") || strings.HasPrefix(cell, "+c") ||
						strings.HasPrefix(cell, "-x") {
						t.Fatalf("a spreadsheet computes %q", cell)
					}
				}
			}
		} else {
			var list []json.RawMessage
			body := json.NewDecoder(multi(first, answer))
			if err := body.Decode(&list); err != nil {
				t.Fatal(err)
			}
			got = len(list)
		}
		answer.Body.Close()
		if want := min(rows+200, maxExport); got < want {
			t.Errorf("%s: %d rows, want %d", format, got, want)
		}
		t.Log(fmt.Sprintf("%s: %d rows", format, got))
	}
}

func multi(first []byte, answer *http.Response) io.Reader {
	return io.MultiReader(bytes.NewReader(first), answer.Body)
}

// formsOnly are pages to do something at, which show nothing that a file would hold.
var formsOnly = []string{"/account", "/admin/accounts", "/admin/tokens", "/first", "/login", "/logout"}

// notHere are pages of what this test's store does not hold: what nobody has found yet, and what is counted by the
// watch over all terminals.
var notHere = []string{"/outcomes", "/rejected", "/expiry", "/work", "/versions"}

// Whatever page shows something is had as CSV and JSON, offers both, and refuses a form that there is not: an address
// that promises a table and answers with a page breaks the sheet that reads it.
func TestEveryViewIsExported(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "mall", "xq77", true)
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	h.send(t, c, "POST", fmt.Sprintf("/incident/%d/note", incident), url.Values{"said": {"=cmd|' /C calc'!A0"}})
	a := sample.New("mall", "xq77")
	var docs []store.Document
	for _, d := range []any{sample.Tally(map[string]int{"00": 40, "F7": 2}), a.Diagnosis(7, 2, "F7", "host.malfunction", "acquirer")} {
		kind := report.KindTally
		if _, ok := d.(report.Diagnosis); ok {
			kind = report.KindDiagnosis
		}
		a.Seq += 10 // beyond what fill made
		topic, payload := a.Wrap(kind, d)
		docs = append(docs, ingest.Decode(topic, payload, time.Now()))
	}
	if _, err := h.db.Commit(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	views := 0
	for _, pattern := range h.site.routes {
		method, path := paths(t, pattern, "mall", "xq77", diagnosis, incident)
		switch {
		case method != "GET" || public(path) || slices.Contains(formsOnly, path) || strings.HasPrefix(path, "/api/"),
			path == "/live", path == "/metrics", pattern == "/", strings.HasPrefix(path, "/asked/"):
			continue
		case path == "/code":
			path += "?code=F7"
		case path == "/search":
			path += "?q=host"
		case path == "/versions":
			path += "?dim=model"
		case strings.HasPrefix(path, "/cause/"):
			path = "/cause/host.malfunction"
		}
		views++
		ask := func(format string) string {
			if strings.Contains(path, "?") {
				return path + "&lang=en&format=" + format
			}
			return path + "?lang=en&format=" + format
		}
		if status, body, _ := h.send(t, c, "GET", ask(""), nil); status != 200 || !strings.Contains(body, "format=csv") ||
			!strings.Contains(body, "format=json") {
			t.Errorf("%s: %d, does not offer its files", path, status)
		}
		status, body, head := h.send(t, c, "GET", ask("csv"), nil)
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
		if status != 200 || !strings.HasPrefix(head.Get("Content-Type"), "text/csv") || err != nil || len(rows) == 0 ||
			len(rows[0]) < 2 || !strings.Contains(head.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s as CSV: %d %q %v", path, status, head.Get("Content-Type"), err)
		} else if len(rows) == 1 && !slices.Contains(notHere, strings.TrimSuffix(path, "?dim=model")) {
			t.Errorf("%s as CSV has no rows, and there is something to show", path)
		}
		for _, row := range rows {
			for _, cell := range row {
				if strings.HasPrefix(cell, "=") {
					t.Errorf("%s: a spreadsheet computes %q", path, cell)
				}
			}
		}
		status, body, head = h.send(t, c, "GET", ask("json"), nil)
		var list []map[string]any
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 ||
			head.Get("Content-Type") != "application/json" || len(list) != len(rows)-1 {
			t.Errorf("%s as JSON: %d %q %v, %d rows beside %d", path, status, head.Get("Content-Type"), err, len(list), len(rows)-1)
		}
		for _, v := range list {
			for k := range v {
				if k != strings.ToLower(k) {
					t.Errorf("%s as JSON: %q is not named as the others", path, k)
				}
			}
		}
		if status, _, _ := h.send(t, c, "GET", ask("xml"), nil); status != http.StatusBadRequest {
			t.Errorf("%s as XML: %d", path, status)
		}
	}
	if views < 17 {
		t.Errorf("only %d views were looked at", views)
	}
}

// A file holds what its page shows under the same address: of versions that have a weakness, those that have it.
func TestFilesKeepWhatThePageWasAsked(t *testing.T) {
	h := closed(t)
	fill(t, h, "mall", "xq77", true)
	dir := t.TempDir()
	bill := `{"bomFormat":"CycloneDX","specVersion":"1.5","metadata":{"component":{"name":"posdx","version":"1.2.3"}},
		"components":[{"name":"zlib","version":"1.2.11","bom-ref":"z"}],
		"vulnerabilities":[{"id":"CVE-2026-1234","affects":[{"ref":"z"}]}]}`
	if err := os.WriteFile(filepath.Join(dir, "posdx.json"), []byte(bill), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.site.Bills, err = sbom.ReadDir(dir); err != nil {
		t.Fatal(err)
	}
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	_, body, _ := h.send(t, c, "GET", "/versions?has=CVE-2026-1234&format=csv", nil)
	if !strings.Contains(body, "CVE-2026-1234") || !strings.Contains(body, "1.2.3") {
		t.Errorf("the file of a weakness does not name it: %s", body)
	}
	if _, body, _ = h.send(t, c, "GET", "/versions?has=CVE-1999-1&format=json", nil); strings.TrimSpace(body) != "[]" {
		t.Errorf("a weakness that nothing has: %s", body)
	}
}

// What is counted over time is counted over the time that was asked for, and beside one as long before.
func TestCodesAndCausesKeepTheirTime(t *testing.T) {
	h := closed(t)
	h.account(t, "chief", access.Admin)
	c := h.browser(t, "chief")
	a := sample.New("mall", "t1")
	var docs []store.Document
	for _, at := range []struct{ hours, n int }{{0, 1}, {10, 2}, {30, 4}, {100, 8}, {200, 16}} {
		when := time.Now().Add(-time.Duration(at.hours) * time.Hour)
		topic, payload := a.Wrap(report.KindTally, sample.Tally(map[string]int{"96": at.n}))
		docs = append(docs, ingest.Decode(topic, payload, when))
	}
	if _, err := h.db.Commit(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	for ask, want := range map[string]string{"/codes?": "15,16", "/codes?range=7d&": "15,16", "/codes?range=24h&": "3,4"} {
		if _, body, _ := h.send(t, c, "GET", ask+"format=csv", nil); !strings.Contains(body, ",96,"+want+",") {
			t.Errorf("%s: %s, want %s", ask, body, want)
		}
	}
	for ask, rows := range map[string]int{"/code?code=96&range=24h": 48, "/code?code=96": 28} {
		_, body, _ := h.send(t, c, "GET", ask+"&format=csv", nil)
		if got := strings.Count(body, "\n") - 1; got != rows {
			t.Errorf("%s: %d steps, want %d", ask, got, rows)
		}
	}
	for _, path := range []string{"/codes?", "/causes?", "/code?code=96&", "/cause/host.malfunction?"} {
		if status, _, _ := h.send(t, c, "GET", path+"range=9y", nil); status != http.StatusBadRequest {
			t.Errorf("%s of 9 years: %d", path, status)
		}
		if _, body, _ := h.send(t, c, "GET", path+"lang=en&range=24h", nil); !strings.Contains(body, `aria-current="true">24 h</a>`) {
			t.Errorf("%s does not say its time", path)
		}
	}
}

// No text from outside begins a formula in a spreadsheet, by whichever mark; numbers stay numbers.
func TestNoCellIsAFormula(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1+1": "'+1+1", "-1-1": "'-1-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "\ufffd=1", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1",
		"＠A1": "'＠A1", "-97": "-97", "+3.5": "+3.5", "": "", "t1": "t1", "一号店": "一号店", "\u202e=1": "\ufffd=1",
	} {
		if got := cell(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// A slow store answers lists of diagnoses in pieces of one, and takes long for each.
type slow struct {
	*store.Store
	each time.Duration
}

func (s slow) Diagnoses(ctx context.Context, f store.Filter) ([]store.Row, store.Place, error) {
	f.Limit = 1
	select {
	case <-ctx.Done(): // the answer was ended
	case <-time.After(s.each):
	}
	return s.Store.Diagnoses(ctx, f)
}

// The time that a reader has for a piece of a file, and a page for its answer, is not the store's: a file for which
// much is looked through comes whole, over HTTP/1 and over HTTP/2.
func TestASlowStoreCutsNoFileShort(t *testing.T) {
	piece := exportWrite
	exportWrite = time.Second
	t.Cleanup(func() { exportWrite = piece })
	for _, two := range []bool{false, true} {
		h := closed(t)
		fill(t, h, "shop", "t1", false)
		fill(t, h, "shop", "t2", false)
		h.account(t, "ann", access.Viewer)
		ann := h.browser(t, "ann")
		h.site.Source = slow{h.db, 3 * exportWrite / 2}
		server := httptest.NewUnstartedServer(h.Server.Config.Handler)
		server.EnableHTTP2 = two
		server.Config.WriteTimeout = exportWrite
		server.StartTLS()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/diagnoses?format=json", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range ann.Jar.Cookies(mustURL(h.URL)) {
			r.AddCookie(c)
		}
		answer, err := server.Client().Do(r)
		if err != nil || answer.StatusCode != http.StatusOK || (answer.ProtoMajor == 2) != two {
			t.Fatalf("HTTP/2 %t: %v %+v", two, err, answer)
		}
		var rows []struct{ Terminal string }
		if err := json.NewDecoder(answer.Body).Decode(&rows); err != nil || len(rows) != 2 {
			t.Errorf("HTTP/%d: %d rows, %v", answer.ProtoMajor, len(rows), err)
		}
		answer.Body.Close()
		server.Close()
	}
}
