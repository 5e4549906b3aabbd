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
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/fleet/sample"
	"posdx/housetest"
)

// A browser is a headless Chromium, told what to do over its debugging pipe (chromedevtools.github.io/devtools-protocol).
type browser struct {
	in      io.Writer
	out     *bufio.Reader
	session string
	id      int
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
	bound := time.AfterFunc(2*soon, func() { cmd.Process.Kill() })
	b := &browser{in: toW, out: bufio.NewReader(fromR)}
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

func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	f := start(t, t.TempDir(), "--mqtt-listen", "127.0.0.1:0")
	url := f.mqtt

	b.open(t, f.page+"/", 1280, 800, false)
	b.picture(t, "empty")
	housetest.Until(t, "the page is live", func() bool { return b.eval(t, "document.getElementById('live').className") == "live on" })

	u := dial(t, url, sample.New("shop", "t1"))
	u.publish(t, true, u.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
	u.say(t)(u.Uncounted(report.KindBirth, u.Birth(1)))
	u.say(t)(u.Uncounted(report.KindHealth, u.Health()))
	began := time.Now()
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
	housetest.Until(t, "the diagnosis appears by itself", func() bool {
		return b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length") == 1.0
	})
	t.Logf("from publish to the open page: %v", time.Since(began))
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "switch.malfunction", "switch")))
	housetest.Until(t, "the final revision replaces the first", func() bool {
		return b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length === 1 && !document.querySelector('#diagnoses').innerText.includes('诊断进行中')") == true
	})

	for i, c := range []struct{ code, cause, segment string }{
		{"97", "terminal.not-registered", "acquirer"}, {"newpos:E5", "modem.sim", "modem"}, {"51", "account.funds", "issuer"}, {"ConnectError", "lan.cable", "lan"}, {"9997", report.Unexplained, "unknown"}, {"A0", "terminal.keys", "terminal"},
	} {
		a := sample.New("shop", fmt.Sprintf("POS-8841-00%d", i))
		v := dial(t, url, a)
		if i%2 == 0 {
			v.publish(t, true, a.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
		} else {
			v.publish(t, true, a.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"boot-1"}`))
		}
		d := a.Diagnosis(1, 2, c.code, c.cause, c.segment)
		d.Event.ClockTrusted, d.Abstained = i != 2, i == 4
		if i == 4 {
			d.Code.Known, d.Code.Meaning = false, ""
		}
		if i == 5 {
			a.Seq = 3
		}
		v.say(t)(a.Wrap(report.KindDiagnosis, d))
	}
	housetest.Until(t, "all of them", func() bool {
		return b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length") == 7.0
	})

	for _, w := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"wide", 1280, 900, false}, {"phone", 390, 844, true}} {
		for _, p := range []struct{ name, path string }{
			{"home", "/?lang=zh"}, {"home-en", "/?lang=en"}, {"terminals", "/terminals"}, {"terminal", "/terminal/shop/t1"}, {"terminal-gap", "/terminal/shop/POS-8841-005?lang=zh"},
			{"diagnosis", "/diagnosis/shop/t1/" + u.EventID(1) + "?lang=zh"}, {"diagnosis-en", "/diagnosis/shop/t1/" + u.EventID(1) + "?lang=en"}, {"rejected", "/rejected"}, {"none", "/nowhere"},
		} {
			b.open(t, f.page+p.path, w.width, w.height, w.dark)
			b.picture(t, p.name+"-"+w.name)
			if over := b.eval(t, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over != 0.0 {
				t.Errorf("%s %s: %v pixels too wide: %v", p.name, w.name, over, b.eval(t, "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth).map(e => e.tagName + '.' + e.className).join(' ')"))
			}
			if got := b.eval(t, "[...document.querySelectorAll('input,select,button')].filter(e => !e.labels?.length && e.tagName !== 'BUTTON' && e.type !== 'hidden').length"); got != 0.0 {
				t.Errorf("%s: %v fields without a label", p.name, got)
			}
		}
	}

	// A field that is being filled is not swept away by news.
	b.open(t, f.page+"/", 1280, 900, false)
	housetest.Until(t, "live again", func() bool { return b.eval(t, "document.getElementById('live').className") == "live on" })
	b.eval(t, "document.querySelector('input[name=q]').focus(), document.querySelector('input[name=q]').value = 'half a wo'")
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(9, 2, "96", "host.malfunction", "acquirer")))
	housetest.Until(t, "the next one", func() bool {
		return b.eval(t, "document.querySelectorAll('#diagnoses tbody tr').length") == 8.0
	})
	if got := b.eval(t, "document.querySelector('input[name=q]').value + (document.activeElement.name || '')"); got != "half a woq" {
		t.Errorf("the field now holds %q", got)
	}

	for i := range 4 {
		v := dial(t, url, sample.New("shop", fmt.Sprint("POS-9", i)))
		v.say(t)(v.Wrap(report.KindDiagnosis, v.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		v.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
	}

	// The page says when it is not live, and is again when the fleet is back.
	f.kill()
	housetest.Until(t, "the page says that it is not live", func() bool { return b.eval(t, "document.getElementById('live').className") == "live off" })
	start(t, f.dir, "--mqtt-listen", strings.TrimPrefix(url, "tcp://"), "--listen", strings.TrimPrefix(f.page, "http://"))
	housetest.Until(t, "live after a restart", func() bool { return b.eval(t, "document.getElementById('live').className") == "live on" })
	housetest.Until(t, "the incident appears by itself", func() bool { return b.eval(t, "document.querySelectorAll('article.incident').length") == 1.0 })
	b.picture(t, "incident")
	b.open(t, f.page+"/incidents", 390, 844, true)
	b.picture(t, "incidents-phone")
}
