package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// A browser is a headless Chromium, told what to do over its debugging pipe
// (chromedevtools.github.io/devtools-protocol).
type browser struct {
	in      io.Writer
	out     *bufio.Reader
	session string
	id      int
	bound   *time.Timer // ends a browser that answers no more; each page that is opened has all of it
	acts    int         // clicks and searches since a page was opened by its address
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium here (Debian: chromium)")
	}
	toR, toW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromR, fromW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{toR, fromW} // 3 and 4, as the flag wants them
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toR.Close()
	fromW.Close()
	bound := time.AfterFunc(10*soon, func() { cmd.Process.Kill() })
	b := &browser{in: toW, out: bufio.NewReader(fromR), bound: bound}
	t.Cleanup(func() {
		b.try("Browser.close", nil)
		cmd.Wait()
		bound.Stop()
		toW.Close()
		fromR.Close()
	})
	var target struct{ TargetID string }
	b.call(t, "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	return b
}

func (b *browser) try(method string, params any) (json.RawMessage, error) {
	b.id++
	m := map[string]any{"id": b.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" && !strings.HasPrefix(method, "Browser.") {
		m["sessionId"] = b.session
	}
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if _, err := b.in.Write(append(line, 0)); err != nil {
		return nil, err
	}
	for {
		answer, err := b.out.ReadBytes(0)
		if err != nil {
			return nil, err
		}
		var r struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(answer[:len(answer)-1], &r); err != nil {
			return nil, err
		}
		if r.ID != b.id {
			continue // an event
		}
		if r.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, r.Error.Message)
		}
		return r.Result, nil
	}
}

func (b *browser) call(t *testing.T, method string, params, into any) {
	t.Helper()
	r, err := b.try(method, params)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(r, into); err != nil {
			t.Fatal(err)
		}
	}
}

// eval returns the value of an expression on the page.
func (b *browser) eval(t *testing.T, expression string) any {
	t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails any
	}
	b.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		t.Fatalf("%s: %v", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

func (b *browser) open(t *testing.T, url string, width, height int, dark bool) {
	t.Helper()
	b.acts = 0
	b.bound.Reset(10 * soon)
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call(t, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call(t, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.call(t, "Page.navigate", map[string]any{"url": url}, nil)
	housetest.Until(t, "page loaded", func() bool {
		return b.eval(t, "document.readyState === 'complete' && location.href !== 'about:blank'") == true
	})
}

// picture keeps a picture of the page if POSDX_PICTURES names a folder.
func (b *browser) picture(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("POSDX_PICTURES")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call(t, "Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// live waits until the open page hears of news.
func (b *browser) live(t *testing.T) {
	t.Helper()
	housetest.Until(t, "the page is live", func() bool { return b.eval(t, "document.getElementById('live').className") == "live on" })
}

// rows is how many rows the list of diagnoses on the page has.
func (b *browser) rows(t *testing.T) float64 {
	t.Helper()
	n, _ := b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length").(float64)
	return n
}

// What happens appears on the open pages by itself, and takes nothing from the reader: no focus, no half a word, no
// open detail, not the place on the page.
func TestLivePages(t *testing.T) {
	b := newBrowser(t)
	f := start(t, t.TempDir(), "--mqtt-listen", "127.0.0.1:0")
	url := f.mqtt

	b.open(t, f.page+"/", 1280, 800, false)
	b.live(t)
	u := dial(t, url, sample.New("shop", "t1"))
	u.publish(t, true, u.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
	u.say(t)(u.Uncounted(report.KindBirth, u.Birth(1)))
	u.say(t)(u.Uncounted(report.KindHealth, u.Health()))
	began := time.Now()
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
	housetest.Until(t, "the diagnosis appears by itself", func() bool { return b.rows(t) == 1 })
	t.Logf("from publish to the open page: %v", time.Since(began))
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "switch.malfunction", "switch")))
	housetest.Until(t, "the final revision replaces the first", func() bool {
		return b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length === 1 && !document.querySelector('#diagnoses').innerText.includes('诊断进行中')") == true
	})
	for n := 2; n < 30; n++ {
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(n, 2, "51", "account.funds", "issuer")))
	}
	housetest.Until(t, "all of them", func() bool { return strings.Count(get(t, f.page+"/diagnoses?format=csv"), "\n") == 30 })

	b.open(t, f.page+"/diagnoses", 1280, 800, false)
	b.live(t)
	b.eval(t, "document.querySelector('input[name=q][type=search]').focus(), document.activeElement.value = 'half a wo'")
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(40, 2, "96", "host.malfunction", "acquirer")))
	housetest.Until(t, "the next one", func() bool {
		return b.eval(t, "document.querySelector('#diagnoses tbody .code b').innerText") == "96"
	})
	if got := b.eval(t, "document.activeElement.value"); got != "half a wo" {
		t.Errorf("the field now holds %q", got)
	}
	b.eval(t, "document.querySelectorAll('#diagnoses tbody tr')[15].querySelector('a').focus(), window.scrollTo(0, 500), window.at = document.activeElement, window.top0 = window.at.getBoundingClientRect().top")
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(41, 2, "97", "terminal.not-registered", "acquirer")))
	housetest.Until(t, "one more", func() bool {
		return b.eval(t, "document.querySelector('#diagnoses tbody .code b').innerText") == "97"
	})
	if got := b.eval(t, "document.activeElement === window.at && Math.abs(window.at.getBoundingClientRect().top - window.top0) < 2"); got != true {
		t.Errorf("news moved the page under the reader: focus on %v, moved by %v", b.eval(t, "document.activeElement.outerHTML"), b.eval(t, "window.at.getBoundingClientRect().top - window.top0"))
	}

	// Ask it now and watch.
	asked := make(chan report.Command, 4)
	token := u.client.Subscribe(u.At.Topic("cmd/+"), 1, func(_ mqtt.Client, m mqtt.Message) {
		var c report.Command
		if m.Retained() {
			t.Error("a retained command")
		}
		if json.Unmarshal(m.Payload(), &c) == nil {
			asked <- c
		}
	})
	if !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	b.open(t, f.page+"/terminal/shop/t1?lang=en", 1280, 800, false)
	b.eval(t, "document.querySelector('#ask ~ .forms input[name=code]').value = '96', document.querySelector('#ask ~ .forms button').click()")
	c := <-asked
	if c.Args["code"] != "96" {
		t.Errorf("the command asks %v", c.Args)
	}
	says := func(what string) {
		t.Helper()
		housetest.Until(t, "the page says "+what, func() bool {
			return b.eval(t, "document.readyState === 'complete' && (document.getElementById('commands')?.innerText || '').includes("+strconv.Quote(what)+")") == true
		})
	}
	says("waiting for the answer")
	b.live(t)
	d := u.Diagnosis(99, 2, "96", "host.malfunction", "acquirer")
	d.Asked, d.Event.Channel = true, report.ChannelCommand
	u.say(t)(u.Uncounted(report.KindAsked, d))
	u.publish(t, false, u.At.Topic("reply/diagnose"), mustJSON(t, report.Reply{ID: c.ID, Result: "done", Data: map[string]any{"diagnosis": d.ID, "asked": true}}))
	says("see the diagnosis")
	if body := get(t, f.page+"/asked/shop/t1/"+d.ID+"?lang=en"); !strings.Contains(body, "somebody asked; no sale failed") {
		t.Error("what was asked is shown as what happened")
	}
	if strings.Contains(get(t, f.page+"/diagnoses?format=csv"), d.ID) {
		t.Error("what was asked is counted as what happened")
	}

	for i := range 4 {
		v := dial(t, url, sample.New("shop", fmt.Sprint("POS-9", i)))
		v.say(t)(v.Wrap(report.KindDiagnosis, v.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		v.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
	}
	// The page says when it is not live, and is again when the fleet is back.
	b.open(t, f.page+"/", 1280, 800, false)
	b.live(t)
	f.kill()
	housetest.Until(t, "the page says that it is not live", func() bool { return b.eval(t, "document.getElementById('live').className") == "live off" })
	start(t, f.dir, "--mqtt-listen", strings.TrimPrefix(url, "tcp://"), "--listen", strings.TrimPrefix(f.page, "http://"))
	b.live(t)
	housetest.Until(t, "the incident appears by itself", func() bool { return b.eval(t, "document.querySelectorAll('#burning tbody tr').length") == 1.0 })
}

// another reports whether the page that is there, whole, is not the one that began here. A page that is being left does
// not answer.
func (b *browser) another(here any) bool {
	r, err := b.try("Runtime.evaluate", map[string]any{
		"expression": "document.readyState === 'complete' ? performance.timeOrigin : null", "returnByValue": true,
	})
	var got struct{ Result struct{ Value any } }
	return err == nil && json.Unmarshal(r, &got) == nil && got.Result.Value != nil && got.Result.Value != here
}

// click follows a link or presses a button, and waits for the page after it.
func (b *browser) click(t *testing.T, selector string) {
	t.Helper()
	b.acts++
	here := b.eval(t, "window.before = performance.timeOrigin")
	if b.eval(t, "(e => { e?.click(); return !!e })(document.querySelector("+strconv.Quote(selector)+"))") != true {
		t.Fatalf("nothing to click: %s on %v", selector, b.eval(t, "location.href"))
	}
	housetest.Until(t, "the page after "+selector, func() bool {
		return b.another(here)
	})
}

// search types into the field of every page and presses Enter.
func (b *browser) search(t *testing.T, text string) {
	t.Helper()
	b.eval(t, "document.querySelector('.search input').value = "+strconv.Quote(text))
	b.acts++
	here := b.eval(t, "performance.timeOrigin")
	b.eval(t, "document.querySelector('.search').requestSubmit()")
	housetest.Until(t, "the page after a search", func() bool {
		return b.another(here)
	})
}

// within holds a journey from the first page to what it may cost.
func (b *browser) within(t *testing.T, journey string, most int) {
	t.Helper()
	t.Logf("%s: %d", journey, b.acts)
	if b.acts > most {
		t.Errorf("%s takes %d clicks, want at most %d", journey, b.acts, most)
	}
}

// says tells whether the page holds a text.
func (b *browser) says(t *testing.T, text string) {
	t.Helper()
	if b.eval(t, "document.querySelector('main').innerText.includes("+strconv.Quote(text)+")") != true {
		t.Errorf("%v does not say %q", b.eval(t, "location.href"), text)
	}
}

// Whatever a reader comes for is reached in few clicks, and without scripts.
func TestJourneys(t *testing.T) {
	b := newBrowser(t)
	dir := t.TempDir()
	fill(t, dir, 300, 4)
	f := start(t, dir, "--mqtt-listen", "127.0.0.1:0")
	housetest.Until(t, "sites are known, incidents looked for", func() bool {
		page := get(t, f.page+"/?lang=en")
		return strings.Contains(page, "Hosts&#39; certificate chains") && strings.Contains(page, `class="tag">96</span>`)
	})
	b.call(t, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)

	// Why is shop X failing? A search, and one click.
	b.open(t, f.page+"/?lang=en", 1280, 900, false)
	b.search(t, "site-00000")
	b.says(t, "site-00000")
	b.click(t, "main td.terminal a")
	b.says(t, "Timeline")
	b.within(t, "why is shop X failing (search, terminal)", 2)

	// Who must act on the 96 storm? It stands on the first page; what to do, one click further.
	b.open(t, f.page+"/?lang=en", 1280, 900, false)
	if b.eval(t, "[...document.querySelectorAll('#burning tbody tr')].some(r => r.innerText.includes('96') && r.innerText.includes('acquirer') && r.innerText.includes('nobody'))") != true {
		t.Error("the first page does not say who acts on the storm, and that nobody owns it")
	}
	b.within(t, "who must act on the 96 storm", 0)
	b.click(t, "#burning tbody a")
	b.says(t, "call the acquirer")
	b.says(t, "Evidence of three examples")
	b.within(t, "what to do about the 96 storm", 1)
	b.click(t, "form[action$='/acknowledge'] button")
	b.says(t, "acknowledged it")
	b.eval(t, "document.querySelector('textarea[name=said]').value = 'bank called; ticket <b>4711</b>'")
	b.click(t, "form[action$='/note'] button")
	b.says(t, "bank called; ticket <b>4711</b>")
	b.eval(t, "document.querySelector('select[name=long]').value = '8h'")
	b.click(t, "form[action$='/mute'] button")
	b.says(t, "muted until")
	b.open(t, f.page+"/?lang=en", 1280, 900, false)
	b.says(t, "1 muted")
	b.click(t, "a[href='/incidents?state=muted']")
	b.click(t, "#incidents tbody a")
	b.click(t, "form[action$='/close'] button")
	b.says(t, "closed by a person")

	// What dies in 90 days? It stands on the first page; which, one click further; where, one more.
	b.open(t, f.page+"/?lang=en", 1280, 900, false)
	b.says(t, "Hosts' certificate chains")
	b.within(t, "how much dies in 90 days", 0)
	b.click(t, "#radar tbody td:nth-child(5) a")
	b.says(t, "within 90 d")
	b.within(t, "what dies in 90 days", 1)
	b.click(t, "#list tbody a")
	b.says(t, "What is about to end")
	b.within(t, "where it dies", 2)

	// What was found on site, and a view to come back to.
	b.open(t, f.page+"/diagnoses?lang=en&code=51", 1280, 900, false)
	b.click(t, "#diagnoses tbody a")
	b.eval(t, "document.querySelector('select[name=found]').value = 'none'")
	b.click(t, "form[action$='/found'] button")
	b.says(t, "found on site: no fault found")
	b.open(t, f.page+"/outcomes", 1280, 900, false)
	b.says(t, "no fault found")
	b.open(t, f.page+"/diagnoses?code=96&range=24h", 1280, 900, false)
	b.eval(t, "document.querySelector('form[action=\"/views\"] input[name=name]').value = 'storms'")
	b.click(t, "form[action='/views'] button")
	b.open(t, f.page+"/", 1280, 900, false)
	b.click(t, ".views a")
	if got, _ := b.eval(t, "location.search").(string); got != "?code=96&range=24h" {
		t.Errorf("the view leads to %q", got)
	}
}
