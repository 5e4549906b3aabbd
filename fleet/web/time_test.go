package web

import (
	"encoding/json"
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

// A view of what happened can be asked for a time; one of what is says so. Nobody shall take the one for the other.
func TestEveryViewSaysItsTime(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Admin)
	ann := h.browser(t, "ann")
	now := map[string]map[string]string{ // what a view of the present says
		"/expiry":    {"en": "as known now", "zh": "现在已知"},
		"/terminals": {"en": "as they are now", "zh": "现在的状态"},
		"/versions":  {"en": "run now", "zh": "现在运行"},
		"/work":      {"en": "to be done now", "zh": "现在仍待处理"},
	}
	list := []string{"/admin/audit"}
	for _, group := range menu() {
		for _, e := range group {
			list = append(list, e.Path)
		}
	}
	for _, path := range list {
		for lang, word := range map[string]string{"zh": "时间", "en": "Time"} {
			_, body, _ := h.send(t, ann, "GET", path+"?lang="+lang, nil)
			if any := map[string]string{"zh": ">不限<", "en": ">any<"}[lang]; path == "/outcomes" && strings.Contains(body, any) {
				t.Errorf("%s %s: shows 90 days and says that it shows any time", path, lang)
			}
			ranged := strings.Contains(body, `role="group" aria-label="`+word+`"`)
			says := now[path][lang]
			if says != "" && !strings.Contains(body, says) {
				t.Errorf("%s %s: does not say that it is of now", path, lang)
			}
			if !ranged && says == "" {
				t.Errorf("%s %s: no time can be chosen", path, lang)
			}
		}
	}
}

// What is chosen of a time is what is listed, on the page and in its files alike.
func TestTimesChosen(t *testing.T) {
	h := closed(t)
	h.account(t, "ann", access.Admin)
	ann := h.browser(t, "ann")
	now := time.Now()
	day := 24 * time.Hour
	terminals := []string{"oldest", "older", "fresh"} // as they came
	for i, ago := range []time.Duration{20 * day, 3 * day, time.Hour} {
		terminal := terminals[i]
		a := sample.New("shop", terminal)
		for _, doc := range []func() (string, []byte){
			func() (string, []byte) {
				return a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "R1", "reader.fault", "reader"))
			},
			func() (string, []byte) { return a.At.Topic("health"), []byte("no document") },
		} {
			topic, payload := doc()
			d := ingest.Decode(topic, payload, now.Add(-ago))
			if _, err := h.db.Commit(t.Context(), []store.Document{d}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, terminal := range terminals {
		at := report.Address{Estate: "shop", Terminal: terminal}
		place := []store.Placed{{At: at, When: now, Place: map[string]string{"model": terminal}}}
		if err := h.db.SavePlaces(t.Context(), place); err != nil {
			t.Fatal(err)
		}
	}
	at := func(ago time.Duration) string { return now.Add(-ago).UTC().Format(time.RFC3339) }
	for query, want := range map[string]string{
		"range=24h": "fresh", "range=7d": "fresh older", "range=30d": "fresh older oldest", "range=all": "fresh older oldest",
		"from=" + at(4*day) + "&to=" + at(2*day): "older", "to=" + at(2*day): "older oldest", "from=" + at(2*day): "fresh",
	} {
		for _, path := range []string{"/work?visit=all&", "/rejected?", "/diagnoses?", "/api/v1/rejected?"} {
			status, body, _ := h.send(t, ann, "GET", path+query+"&lang=en", nil)
			if status != http.StatusOK {
				t.Errorf("%s%s: %d %s", path, query, status, body)
			}
			var got []string
			for _, terminal := range []string{"fresh", "older", "oldest"} {
				if strings.Contains(body, "/terminal/shop/"+terminal+`"`) || strings.Contains(body, `"terminal": "`+terminal+`"`) {
					got = append(got, terminal)
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s%s lists %v, want %s", path, query, got, want)
			}
			if strings.HasPrefix(path, "/api") {
				continue
			}
			_, body, _ = h.send(t, ann, "GET", path+query+"&format=json", nil)
			var file []struct{ Terminal string }
			if err := json.Unmarshal([]byte(body), &file); err != nil || len(file) != len(got) {
				t.Errorf("%s%s as a file: %v, %d rows, want %d", path, query, err, len(file), len(got))
			}
		}
	}
	// A week, unless something else is asked for.
	if _, body, _ := h.send(t, ann, "GET", "/work?visit=all", nil); strings.Contains(body, "/terminal/shop/oldest") ||
		!strings.Contains(body, "/terminal/shop/older") {
		t.Error("the list of visits does not look back a week by itself")
	}
	for query, want := range map[string]int{"": 1, "range=7d": 2, "range=30d": 3} { // terminals that failed
		_, body, _ := h.send(t, ann, "GET", "/versions?dim=model&format=json&"+query, nil)
		var file []struct{ Reporting int }
		sum := 0
		if err := json.Unmarshal([]byte(body), &file); err != nil {
			t.Fatal(err)
		}
		for _, v := range file {
			sum += v.Reporting
		}
		if len(file) != 3 || sum != want {
			t.Errorf("/versions?%s: %d models, %d terminals failed, want 3 and %d", query, len(file), sum, want)
		}
	}
	// The audit log: all of it is of today.
	for query, want := range map[string]bool{"range=1h": true, "to=" + at(day): false, "from=" + at(day): true} {
		for _, path := range []string{"/admin/audit?", "/api/v1/audit?", "/admin/audit?format=csv&"} {
			if _, body, _ := h.send(t, ann, "GET", path+query, nil); strings.Contains(body, "account.add") != want {
				t.Errorf("%s%s: has today's entries: %t, want %t", path, query, !want, want)
			}
		}
	}
	// What names an estate alone is of all its terminals.
	if _, body, _ := h.send(t, ann, "GET", "/api/v1/rejected?estate=shop", nil); strings.Count(body, `"terminal": "`) != 3 {
		t.Errorf("/api/v1/rejected?estate=shop: %s", body)
	}
}
