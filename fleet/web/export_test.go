package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/ingest"
	"posdx/fleet/sample"
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
