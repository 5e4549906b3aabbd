package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

func newSmallFS() outbox.FS { return crashfs.New() }

func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := Handlers{Command: func(ctx context.Context, name string, cmd report.Command) report.Reply {
			if name == "diagnose" {
				<-release
			}
			return report.Reply{ID: "not mine to set", Result: "done", Data: cmd.Args["n"]}
		}}
		s := newScript(t)
		file := filepath.Join(t.TempDir(), "audit")
		r := start(t, s, newBox(t), Config{AuditFile: file}, h)
		rest(time.Second)
		say := func(name, payload string, retained bool) (replies []report.Reply) {
			before := len(r.controls("reply/"))
			s.current().say(at.Topic("cmd/"+name), retained, []byte(payload))
			rest(time.Second)
			for _, c := range r.controls("reply/")[before:] {
				var a report.Reply
				if err := json.Unmarshal([]byte(c.payload), &a); err != nil || c.retained {
					t.Errorf("reply %+v: %v", c, err)
				}
				replies = append(replies, a)
			}
			return replies
		}
		for _, c := range []struct {
			name, payload string
			retained      bool
			result, why   string
		}{
			{"ping", `{"id":"a1"}`, false, "done", ""},
			{"health", `{"id":"a2","args":{"n":7}}`, false, "done", ""},
			{"health", `{"id":"a2"}`, false, "refused", "taken before"},
			{"reboot", `{"id":"a3"}`, false, "refused", "no such command"},
			{"health", `{"id":"a4"}`, true, "refused", "retained"},
			{"health", `{"id":"a b"}`, false, "refused", "the id must be"},
			{"health", `{`, false, "refused", "JSON"},
			{"health", `{"id":"a6","id":"a7"}`, false, "refused", `"id": stands in one object twice`},
			{"health", `{"id":"a6","args":{"n":1,"N":2}}`, false, "refused", "twice"},
			{"health", `{"id":"a6","args":{"n":"\udc00"}}`, false, "refused", "surrogate"},
			{"health", `{"id":6}`, false, "refused", "want text in quotes, found a number"},
			{"health", `{"id":"a5","args":{"x":"` + strings.Repeat("y", maxCommand) + `"}}`, false, "refused", "over"},
		} {
			got := say(c.name, c.payload, c.retained)
			if len(got) != 1 || got[0].Result != c.result || !strings.Contains(got[0].Why, c.why) {
				t.Errorf("%s %.40s: replies %+v, want one %s because %q", c.name, c.payload, got, c.result, c.why)
			}
		}
		// One at a time, a few wait, more are refused at once; all get their answer.
		n := len(r.controls("reply/"))
		for i := range maxOrders + 3 {
			s.current().say(at.Topic("cmd/diagnose"), false, fmt.Appendf(nil, `{"id":"b%d"}`, i))
		}
		rest(time.Second)
		if refused := len(r.controls("reply/")) - n; refused != 2 {
			t.Errorf("%d refused of %d, want 2: one runs, %d wait", refused, maxOrders+3, maxOrders)
		}
		close(release)
		rest(time.Second)
		if all := len(r.controls("reply/")) - n; all != maxOrders+3 {
			t.Errorf("%d answers to %d commands", all, maxOrders+3)
		}
		r.stop()

		// After a restart the ids are still known.
		s2 := newScript(t)
		r2 := start(t, s2, newBox(t), Config{AuditFile: file}, h)
		rest(time.Second)
		s2.current().say(at.Topic("cmd/health"), false, []byte(`{"id":"a2"}`))
		rest(time.Second)
		if c := r2.controls("reply/"); len(c) != 1 || !strings.Contains(c[0].payload, "taken before") {
			t.Errorf("replay after a restart: %+v", c)
		}
		r2.stop()
		b, err := os.ReadFile(file)
		if err != nil || strings.Count(string(b), `"result":"taken"`) != 2+maxOrders+1 {
			t.Errorf("audit trail %q, %v", b, err)
		}
	})
}

func TestAdvisories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		h := Handlers{Advisory: func(scope, key string, a report.Advisory, gone bool) {
			got = append(got, fmt.Sprintf("%s/%s %s %d %v", scope, key, a.Code, a.Terminals, gone))
		}}
		s := newScript(t)
		r := start(t, s, newBox(t), Config{}, h)
		rest(time.Second)
		l := s.current()
		l.say("pos/v1/shop/advisory/acquirer/bank-1", true, []byte(`{"scope":"acquirer","key":"bank-1","code":"96","terminals":12}`))
		l.say("pos/v1/shop/advisory/acquirer/bank-1", true, nil)
		l.say("pos/v1/shop/advisory/acquirer/bank-1", true, []byte(`[]`))
		l.say("pos/v1/shop/advisory/acquirer/bank-1", true, []byte(`{"code":"`+strings.Repeat("x", maxAdvisory)+`"}`))
		l.say("pos/v1/other/advisory/acquirer/bank-1", true, []byte(`{}`))
		rest(time.Second)
		if g := strings.Join(got, ", "); g != "acquirer/bank-1 96 12 false, acquirer/bank-1  0 true" {
			t.Errorf("got %s", g)
		}
		if n := r.Counters().BadMessages; n != 3 {
			t.Errorf("%d bad messages, want 3", n)
		}
		r.stop()
	})
}

// A word of the site is heeded once, when it is said: what a broker keeps, this terminal's own, another site's and what
// is no word are none.
func TestWordsOfTheSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s := newScript(t)
		r := start(t, s, newBox(t), Config{Site: "s"}, Handlers{Site: func(who string, w report.SiteWord) {
			got = append(got, who+" "+w.Code)
		}})
		rest(time.Second)
		word := []byte(`{"code":"96","cause":"wan.outage","segment":"wan","time":"2026-11-21T12:00:00Z"}`)
		other := report.Address{Estate: at.Estate, Terminal: "other"}
		l := s.current()
		l.say(other.SiteTopic("s"), false, word)
		l.say(other.SiteTopic("s"), true, word)
		l.say(at.SiteTopic("s"), false, word)
		l.say(other.SiteTopic("elsewhere"), false, word)
		l.say(other.SiteTopic("s"), false, []byte(`{"code":""}`))
		rest(time.Second)
		if g := strings.Join(got, ", "); g != "other 96" {
			t.Errorf("got %s", g)
		}
		if n := r.Counters().BadMessages; n != 3 {
			t.Errorf("%d bad messages, want 3", n)
		}
		r.stop()
	})
}

// What another terminal's certificate could write among the commands, where a broker's rules take any name, is neither
// carried out nor answered without end: not what is no command, and not the one that is.
func TestCommandsThatATerminalCouldWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := 0
		h := Handlers{Command: func(context.Context, string, report.Command) report.Reply {
			done++
			return report.Reply{Result: "done"}
		}}
		s := newScript(t)
		r := start(t, s, newBox(t), Config{}, h)
		rest(time.Second)
		forge := func(n int) (replies int) {
			before := len(r.controls("reply/"))
			for i := range n {
				for _, name := range written {
					s.current().say(at.Topic("cmd/"+name), false, []byte(fmt.Sprintf(`{"id":"%s-%d-%d"}`, name, n, i)))
				}
				rest(100 * time.Millisecond)
			}
			rest(time.Second)
			return len(r.controls("reply/")) - before
		}
		if n := forge(50); n != doubtfulMost || done != doubtfulMost {
			t.Errorf("%d answered, %d carried out, want %d", n, done, doubtfulMost)
		}
		rest(3 * doubtfulEvery)
		if n := forge(20); n != 3 {
			t.Errorf("%d answered after three times %v", n, doubtfulEvery)
		}
	})
}
