package web

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posdx/fleet/access"
	"posdx/fleet/store"
)

// A value of a filter that a page does not know is refused with the values that there are: a list that ignored it would
// be taken for the one that was asked for.
func TestUnknownFilterValuesAreRefused(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Viewer)
	ann := h.browser(t, "ann")
	for path, names := range map[string]map[string]string{ // the filters of a page, each with a value that it knows
		"/":                  {"range": "24h", "by": "cause"},
		"/incidents":         {"state": "over", "sort": "opened", "range": "7d", "format": "csv"},
		"/expiry":            {"within": "30", "format": "json"},
		"/work":              {"visit": "no", "format": "csv"},
		"/diagnoses":         {"segment": "wan", "range": "24h", "format": "csv"},
		"/terminals":         {"state": "online", "quiet": "unheard", "sort": "heard", "format": "csv"},
		"/versions":          {"dim": "model", "format": "csv"},
		"/codes":             {"format": "csv"},
		"/causes":            {"segment": "wan", "format": "csv"},
		"/outcomes":          {"range": "30d", "format": "csv"},
		"/rejected":          {"format": "csv"},
		"/terminal/shop/t1":  {"only": "change", "segment": "wan", "range": "24h"},
		"/api/v1/terminals":  {"state": "offline", "quiet": "unsold", "sort": "name"},
		"/api/v1/diagnoses":  {"segment": "wan", "range": "24h"},
		"/api/v1/incidents":  {"state": "open"},
		"/api/v1/outcomes":   {"range": "24h"},
		"/api/v1/terminals?": {"limit": "3"},
	} {
		for name, good := range names {
			ask := func(value string) (int, string) {
				status, body, _ := h.send(t, ann, "GET", strings.TrimSuffix(path, "?")+"?lang=en&"+name+"="+value, nil)
				return status, body
			}
			if status, body := ask(good); status != http.StatusOK {
				t.Errorf("%s %s=%s: %d %s", path, name, good, status, body)
			}
			status, body := ask("zz")
			if status != http.StatusBadRequest || !strings.Contains(body, name+": ") {
				t.Errorf("%s %s=zz: %d, says nothing of %s", path, name, status, name)
			}
			if name != "limit" && name != "within" && !strings.Contains(body, good) {
				t.Errorf("%s %s=zz: the answer does not list %s", path, name, good)
			}
		}
	}
}

// An address that is there, asked by a method that it does not take, says which it takes; one that is not there says
// so.
func TestOtherMethodsAreToldTheRightOnes(t *testing.T) {
	h := closed(t)
	diagnosis, incident := fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Admin)
	ann := h.browser(t, "ann")
	for _, pattern := range h.site.routes {
		way, path := paths(t, pattern, "shop", "t1", diagnosis, incident)
		if pattern == "/" {
			continue
		}
		for _, method := range []string{"DELETE", "PUT", "PATCH", "OPTIONS"} {
			status, _, head := h.send(t, ann, method, path, nil)
			if status != http.StatusMethodNotAllowed || !strings.Contains(head.Get("Allow"), way) {
				t.Errorf("%s %s: %d, Allow %q lacks %s", method, path, status, head.Get("Allow"), way)
			}
		}
	}
	if status, _, head := h.send(t, ann, "DELETE", "/nowhere", nil); status != http.StatusNotFound || head.Get("Allow") != "" {
		t.Errorf("DELETE /nowhere: %d, Allow %q", status, head.Get("Allow"))
	}
	if status, _, head := h.send(t, ann, "GET", "/views", nil); status != http.StatusMethodNotAllowed || head.Get("Allow") != "POST" {
		t.Errorf("GET /views: %d, Allow %q", status, head.Get("Allow"))
	}
}

// A page of an error offers no choice of an estate: there is no list that it would choose from.
func TestErrorPagesOfferNoEstate(t *testing.T) {
	h := closed(t)
	fill(t, h, "shop", "t1", false)
	fill(t, h, "mall", "t2", false)
	h.account(t, "ann", access.Viewer)
	ann := h.browser(t, "ann")
	if _, body, _ := h.send(t, ann, "GET", "/diagnoses", nil); !strings.Contains(body, `class="estate"`) {
		t.Error("the list of diagnoses offers no estate: the test looks for what is not there")
	}
	for _, path := range []string{"/nowhere", "/incident/77", "/diagnoses?segment=zz", "/admin/audit"} {
		if status, body, _ := h.send(t, ann, "GET", path, nil); status < 400 || strings.Contains(body, `class="estate"`) {
			t.Errorf("%s: %d, or it offers an estate", path, status)
		}
	}
}

// Every deed that the audit log gets has its words in both languages.
func TestEveryDeedHasItsWords(t *testing.T) {
	posted := regexp.MustCompile(`s\.(?:post|admin)\("([a-z.]+)"(\+deed)?`)
	noted := regexp.MustCompile(`(?s)(?:Note|NoteOn|begin|note|issue)\(\s*(?:ctx|w, r|r\.Context\(\))[^"]{0,90}?"([a-z]+[a-z.]*)"`)
	found := map[string]string{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		b, err := os.ReadFile(file)
		for _, m := range posted.FindAllStringSubmatch(string(b), -1) {
			if m[2] == "" {
				found[m[1]] = file
			}
		}
		for _, m := range noted.FindAllStringSubmatch(string(b), -1) {
			found[m[1]] = file
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, deed := range []string{store.DeedAcknowledge, store.DeedAssign, store.DeedMute, store.DeedUnmute,
		store.DeedMerge, store.DeedClose, store.DeedNote} {
		found["incident."+deed] = "incident"
	}
	for what, file := range found {
		if _, ok := texts["did."+strings.TrimSuffix(what, refusedEnd)]; !ok {
			t.Errorf("%s: %q has no words", file, what)
		}
	}
	if len(found) < 20 {
		t.Errorf("only %v: the test finds nothing", found)
	}
}
