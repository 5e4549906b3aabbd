package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"posdx/firmware-build/housetest"
	"posdx/fleet/access"
	"posdx/fleet/store"
)

// axeVersion is the release of axe-core that pages are held against (npm: axe-core, by Deque).
const axeVersion = "4.14.1"

// axeScript is axe-core's text: the file that POSDX_AXE names, or what npm fetches, kept in the user's cache. Empty
// without either.
func axeScript(t *testing.T) string {
	t.Helper()
	if f := os.Getenv("POSDX_AXE"); f != "" {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir := filepath.Join(cache, "posdx")
	file := filepath.Join(dir, "axe-"+axeVersion+".min.js")
	if b, err := os.ReadFile(file); err == nil {
		return string(b)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return ""
	}
	tmp := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), npm, "pack", "--silent", "--pack-destination", tmp, "axe-core@"+axeVersion).CombinedOutput(); err != nil {
		t.Logf("npm cannot fetch axe-core: %s", out)
		return ""
	}
	b, err := exec.CommandContext(t.Context(), "tar", "-xzOf", filepath.Join(tmp, "axe-core-"+axeVersion+".tgz"), "package/axe.min.js").Output()
	if err != nil {
		t.Logf("npm's package has no axe.min.js: %v", err)
		return ""
	}
	if os.MkdirAll(dir, 0o755) == nil {
		os.WriteFile(file, b, 0o644)
	}
	return string(b)
}

// axe lists what axe-core finds wrong with the page that is open.
func (b *browser) axe(t *testing.T, script string) []string {
	t.Helper()
	b.eval(t, script+"; true")
	found, _ := b.eval(t, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target.join(" ") + " " + (n.any[0]?.message || "")).slice(0, 3).join(" | "))))`).(string)
	var list []string
	if err := json.Unmarshal([]byte(found), &list); err != nil {
		t.Fatalf("axe answered %q", found)
	}
	return list
}

// A look is how a page is looked at.
type look struct {
	name, lang, theme string
	width, height     int
	dark              bool
}

// deskPages are the pages of a fleet, with what is there.
func deskPages(t *testing.T, f *fleet) []struct{ name, path string } {
	t.Helper()
	pages := []struct{ name, path string }{
		{"overview", "/"}, {"overview-cause", "/?by=cause&range=7d"}, {"incidents", "/incidents?state=all"}, {"expiry", "/expiry"}, {"work", "/work?visit=all"}, {"diagnoses", "/diagnoses"}, {"terminals", "/terminals"},
		{"versions", "/versions?dim=firmware"}, {"codes", "/codes"}, {"causes", "/causes?all=1"}, {"outcomes", "/outcomes"}, {"search", "/search?q=a"}, {"rejected", "/rejected"}, {"audit", "/audit"}, {"error", "/nowhere"}, {"code", "/code?code=51"}, {"cause", "/cause/host.malfunction"},
	}
	var inc struct{ Incidents []store.Incident }
	f.get(t, "/api/v1/incidents", &inc)
	for i, v := range inc.Incidents {
		if i < 2 || len(v.Code) == 64 {
			pages = append(pages, struct{ name, path string }{fmt.Sprint("incident-", i+1), fmt.Sprint("/incident/", v.No)})
		}
	}
	var dx, long diagnosesAnswer
	f.get(t, "/api/v1/diagnoses?limit=1&estate=sim", &dx)
	f.get(t, "/api/v1/diagnoses?limit=1&terminal="+strings.Repeat("M", 64), &long)
	for i, d := range append(dx.Diagnoses, long.Diagnoses...) {
		var id struct{ ID string }
		if err := json.Unmarshal(d.Body, &id); err != nil {
			t.Fatal(err)
		}
		pages = append(pages, struct{ name, path string }{fmt.Sprint("diagnosis-", i), "/diagnosis/" + d.Estate + "/" +
			d.Terminal + "/" + id.ID}, struct{ name, path string }{fmt.Sprint("terminal-", i), "/terminal/" + d.Estate + "/" + d.Terminal})
	}
	return pages
}

// Every page, of a fleet of none and of many, in both languages, wide and on a telephone, light and dark: none is too
// wide, and axe-core finds nothing. POSDX_TERMINALS=5000 looks at 0, 3 and so many in all combinations;
// POSDX_PICTURES=DIR keeps pictures.
func TestDeskPages(t *testing.T) {
	script := axeScript(t)
	if script == "" {
		t.Log("skipped: axe-core (neither POSDX_AXE nor npm)")
	}
	sizes := []int{0, 300}
	looks := []look{{"wide", "zh", "auto", 1280, 900, false}, {"phone-dark", "en", "auto", 390, 844, true}}
	if s := os.Getenv("POSDX_TERMINALS"); s != "" {
		many, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		sizes = []int{0, 3, many}
		looks = append(looks, look{"wide-dark", "en", "dark", 1280, 900, false}, look{"phone", "zh", "light", 390, 844, true})
	}
	b := newBrowser(t)
	for _, n := range sizes {
		dir := t.TempDir()
		if n > 0 {
			fill(t, dir, n, 6)
		}
		f := start(t, dir, "--mqtt-listen", "127.0.0.1:0")
		if n > 100 {
			housetest.Until(t, "incidents are found", func() bool {
				var inc struct{ Incidents []store.Incident }
				f.get(t, "/api/v1/incidents", &inc)
				return len(inc.Incidents) >= 1
			})
		}
		if n > 0 {
			housetest.Until(t, "what ends is known", func() bool {
				return strings.Count(get(t, f.page+"/expiry?format=csv"), "\n") > n/2
			})
		}
		pages := deskPages(t, f)
		for _, w := range looks {
			for _, p := range pages {
				u, err := url.Parse(p.path)
				if err != nil {
					t.Fatal(err)
				}
				q := u.Query()
				q.Set("lang", w.lang)
				q.Set("theme", w.theme)
				u.RawQuery = q.Encode()
				b.open(t, f.page+u.String(), w.width, w.height, w.dark)
				b.looksRight(t, script, fmt.Sprintf("%d-%s-%s", n, p.name, w.name))
			}
		}
		f.stop(t)
	}
}

// looksRight keeps a picture of the page that is open, and says what is wrong with it: too wide, things that lie over
// one another, fields without a name, and what axe-core finds.
func (b *browser) looksRight(t *testing.T, script, name string) {
	t.Helper()
	b.picture(t, name)
	if over := b.eval(t, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over != 0.0 {
		t.Errorf("%s: %v pixels too wide: %v", name, over, b.eval(t, "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth).map(e => e.tagName + '.' + e.className).slice(0, 8).join(' ')"))
	}
	if got := b.eval(t, "[...document.querySelectorAll('input,select,textarea')].filter(e => !e.labels?.length && !e.ariaLabel && e.type !== 'hidden').length"); got != 0.0 {
		t.Errorf("%s: %v fields without a label", name, got)
	}
	if got, _ := b.eval(t, overlaps).(string); got != "" {
		t.Errorf("%s: lie over one another: %s", name, got)
	}
	if script != "" {
		for _, v := range b.axe(t, script) {
			t.Errorf("%s: axe: %s", name, v)
		}
	}
}

// overlaps finds cells of one row whose text runs into the next cell's, or is squeezed into a column of single letters.
const overlaps = `[...document.querySelectorAll('main tr')].flatMap(row => {
	const seen = cell => {
		const rects = [], walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
		for (let node; node = walk.nextNode();) {
			const range = document.createRange();
			range.selectNodeContents(node);
			let shown = {left: 0, top: -1e9, right: 1e9, bottom: 1e9};
			for (let e = node.parentElement; e !== cell; e = e.parentElement)
				if (getComputedStyle(e).overflow !== 'visible') shown = e.getBoundingClientRect();
			for (const r of range.getClientRects()) {
				const q = {left: Math.max(r.left, shown.left), right: Math.min(r.right, shown.right), top: Math.max(r.top, shown.top), bottom: Math.min(r.bottom, shown.bottom)};
				if (q.right - q.left > 1 && q.bottom - q.top > 1) rects.push(q);
			}
		}
		return rects;
	};
	const boxes = [...row.children].map(cell => ({cell, rects: seen(cell)}));
	const found = [];
	boxes.forEach((a, i) => {
		const text = a.cell.innerText.trim();
		if (a.rects.length && text.length > 6 && a.cell.getBoundingClientRect().width < 24) found.push('squeezed: ' + text.slice(0, 30));
		boxes.slice(i + 1).forEach(b => {
			if (a.rects.some(p => b.rects.some(q => p.left < q.right - 2 && q.left < p.right - 2 && p.top < q.bottom - 2 && q.top < p.bottom - 2)))
				found.push(text.slice(0, 30) + ' / ' + b.cell.innerText.slice(0, 30));
		});
	});
	return found;
}).slice(0, 4).join(' | ')`

// The pages of people who sign in: to do so, their account, and what admins see.
func TestSignedInPages(t *testing.T) {
	script := axeScript(t)
	b := newBrowser(t)
	dir := t.TempDir()
	fill(t, dir, 120, 3)
	const word = "correct horse battery"
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "fleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	k, root := &access.Keeper{Store: db}, access.User{Name: "root", Role: access.Admin}
	for name, estates := range map[string]store.Estates{"ann": nil, "bob": {"sim"}, strings.Repeat("w", 64): {strings.Repeat("e", 60), "sim"}} {
		if err := k.AddAccount(t.Context(), root, store.Account{Name: name, Role: "admin", Estates: estates}, word); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := k.MakeToken(t.Context(), root, "grafana", access.Viewer, access.Metrics, nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	k.Login(t.Context(), "ann", "wrong", "192.0.2.7")
	db.Close()
	f := start(t, dir, "--open", "", "--mqtt-listen", "127.0.0.1:0")
	looks := []look{{"wide", "zh", "light", 1280, 900, false}, {"phone-dark", "en", "dark", 390, 844, true}}
	show := func(name, path string) {
		t.Helper()
		for _, w := range looks {
			b.open(t, f.page+path+"?lang="+w.lang+"&theme="+w.theme, w.width, w.height, w.dark)
			b.looksRight(t, script, "signed-"+name+"-"+w.name)
		}
	}
	show("login", "/login")
	b.open(t, f.page+"/login?lang=en", 1280, 900, false)
	b.eval(t, "document.querySelector('#name').value = 'ann', document.querySelector('#password').value = '"+word+"', true")
	b.click(t, "form.sheet button")
	for name, path := range map[string]string{"overview": "/", "account": "/account", "accounts": "/admin/accounts", "tokens": "/admin/tokens",
		"audit": "/admin/audit", "incident": "/incident/2", "nowhere": "/nowhere"} {
		show(name, path)
	}
}

func get(t testing.TB, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", address, answer.StatusCode, err)
	}
	return string(body)
}
