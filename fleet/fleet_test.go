package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// asFleet makes the test binary be posdx-fleet, so that it can be killed as a process of its own.
const asFleet = "POSDX_TEST_AS_FLEET"

func TestMain(m *testing.M) {
	os.Setenv("LANG", "en_US.UTF-8") // what commands say is held against English, unless a test asks for Chinese
	os.Unsetenv("LC_ALL")
	os.Unsetenv("LC_MESSAGES")
	if os.Getenv(asFleet) != "" {
		main()
	}
	if dir := os.Getenv(asNode); dir != "" {
		runNode(dir)
	}
	if spec := os.Getenv(asPace); spec != "" {
		runPace(spec)
	}
	code := m.Run()
	housetest.StopPostgres()
	if _, err := os.Stat(defaultData); err == nil {
		fmt.Fprintf(os.Stderr, "a test ran without --data and left %s in the source tree\n", defaultData)
		code = max(code, 1)
	}
	os.Exit(code)
}

// soon bounds every wait; it is far above what a busy machine needs.
const soon = 60 * time.Second

// A fleet is a running posdx-fleet serve.
type fleet struct {
	cmd  *exec.Cmd
	page string // http://127.0.0.1:port
	mqtt string // tcp://127.0.0.1:port of the embedded broker, else empty
	dir  string
	done chan struct{}
}

// start runs posdx-fleet serve over a data directory and waits until it is ready and connected.
func start(t testing.TB, dir string, args ...string) *fleet {
	t.Helper()
	f := &fleet{dir: dir, done: make(chan struct{})}
	f.cmd = exec.Command(os.Args[0], append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--open", "admin", "--rate", "0"}, args...)...)
	f.cmd.Env = append(os.Environ(), asFleet+"=1")
	out, err := f.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan bool, 1)
	var mu sync.Mutex
	var said []string
	go func() {
		defer close(f.done)
		session := false
		page, address := regexp.MustCompile(`page=(\S+?)/ `), regexp.MustCompile(`"broker listens" address=(\S+)`)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := lines.Text()
			mu.Lock()
			said = append(said, line)
			mu.Unlock()
			if m := page.FindStringSubmatch(line); m != nil {
				f.page = m[1]
			}
			if m := address.FindStringSubmatch(line); m != nil {
				f.mqtt = "tcp://" + m[1]
			}
			session = session || strings.Contains(line, "session with the broker") && strings.Contains(line, "level=INFO")
			if session && f.page != "" { // they come in any order
				select {
				case ready <- true:
				default:
				}
			}
		}
		f.cmd.Wait()
	}()
	t.Cleanup(func() {
		f.kill()
		if t.Failed() {
			mu.Lock()
			t.Log(strings.Join(said[max(0, len(said)-30):], "\n"))
			mu.Unlock()
		}
	})
	select {
	case <-ready:
	case <-f.done:
		mu.Lock()
		t.Fatalf("the fleet ended: %s", strings.Join(said, "\n"))
	case <-time.After(soon):
		t.Fatal("the fleet is not ready in time")
	}
	return f
}

func (f *fleet) kill() {
	f.cmd.Process.Kill()
	<-f.done
}

func (f *fleet) stop(t testing.TB) {
	t.Helper()
	f.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-f.done:
	case <-time.After(soon):
		t.Fatal("the fleet does not end on SIGTERM")
	}
	if code := f.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func (f *fleet) get(t testing.TB, path string, into any) {
	t.Helper()
	answer, err := http.Get(f.page + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v in %.200s", path, err, body)
	}
}

type diagnosesAnswer struct {
	Diagnoses []store.Row `json:"diagnoses"`
	Next      string      `json:"next"`
}

// all reads every diagnosis, page by page.
func (f *fleet) all(t testing.TB) []store.Row {
	t.Helper()
	var rows []store.Row
	for before := ""; ; {
		var a diagnosesAnswer
		f.get(t, "/api/v1/diagnoses?limit=500&before="+before, &a)
		rows = append(rows, a.Diagnoses...)
		if before = a.Next; before == "" {
			return rows
		}
	}
}

// An uplink plays a terminal: it publishes a list of documents in order and repeats what is not acknowledged.
type uplink struct {
	*sample.Terminal
	client mqtt.Client
	line   net.Conn // closing it is a cable pulled
	acks   chan report.Ack
}

func dial(t testing.TB, url string, a *sample.Terminal, more ...func(*mqtt.ClientOptions)) *uplink {
	t.Helper()
	u := &uplink{Terminal: a, acks: make(chan report.Ack, 10_000)}
	o := mqtt.NewClientOptions().AddBroker(url).SetClientID(a.At.Terminal).SetAutoReconnect(false).
		SetWill(a.At.Topic("status"), `{"state":"offline","reason":"will","boot_id":"boot-1"}`, 1, true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			var ack report.Ack
			if json.Unmarshal(m.Payload(), &ack) == nil {
				u.acks <- ack
			}
		})
	for _, f := range more {
		f(o)
	}
	if strings.HasPrefix(url, "tcp:") {
		o.SetCustomOpenConnectionFn(func(to *neturl.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			var err error
			u.line, err = net.Dial("tcp", to.Host)
			return u.line, err
		})
	}
	u.client = mqtt.NewClient(o)
	housetest.Until(t, "connect", func() bool {
		token := u.client.Connect()
		return token.WaitTimeout(soon) && token.Error() == nil
	})
	if token := u.client.Subscribe(a.At.Topic("ack"), 1, nil); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal("subscribe:", token.Error())
	}
	return u
}

func (u *uplink) publish(t testing.TB, retained bool, topic string, payload []byte) {
	t.Helper()
	if token := u.client.Publish(topic, 1, retained, payload); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Fatal("publish:", token.Error())
	}
}

func (u *uplink) say(t testing.TB) func(topic string, payload []byte) {
	return func(topic string, payload []byte) {
		t.Helper()
		u.publish(t, false, topic, payload)
	}
}

func (u *uplink) wantAck(t testing.TB, want report.Ack) {
	t.Helper()
	for bound := time.After(soon); ; {
		select {
		case got := <-u.acks:
			if got == want {
				return
			}
			if got.Epoch == want.Epoch && got.Seq > want.Seq {
				t.Fatalf("ack %+v, want %+v", got, want)
			}
		case <-bound:
			t.Fatalf("no ack %+v", want)
		}
	}
}

// brokers runs a test with the embedded broker and with a mosquitto.
func brokers(t *testing.T, test func(t *testing.T, start func() *fleet, url func(*fleet) string)) {
	t.Run("embedded", func(t *testing.T) {
		dir, port := t.TempDir(), housetest.FreePort(t)
		test(t, func() *fleet { return start(t, dir, "--mqtt-listen", "127.0.0.1:"+port) }, func(f *fleet) string { return f.mqtt })
	})
	t.Run("mosquitto", func(t *testing.T) {
		url, dir := housetest.NewMosquitto(t, "allow_anonymous true\n").URL(), t.TempDir()
		test(t, func() *fleet { return start(t, dir, "--broker", url) }, func(*fleet) string { return url })
	})
}

// TestMaxTerminals: the flag is what the store goes by.
func TestMaxTerminals(t *testing.T) {
	f := start(t, t.TempDir(), "--mqtt-listen", "127.0.0.1:0", "--max-terminals", "1")
	for _, name := range []string{"t1", "t2"} {
		u := dial(t, f.mqtt, sample.New("shop", name))
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
	}
	housetest.Until(t, "the second terminal is refused", func() bool {
		return strings.Contains(get(t, f.page+"/metrics"), `posdx_fleet_documents_rejected_total{reason="too many terminals"} 1`)
	})
	if n := len(f.all(t)); n != 1 {
		t.Errorf("%d diagnoses are kept of two terminals, want that of one", n)
	}
}

func TestEndToEnd(t *testing.T) {
	brokers(t, func(t *testing.T, start func() *fleet, url func(*fleet) string) {
		f := start()
		u := dial(t, url(f), sample.New("shop", "t1"))
		u.publish(t, true, u.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
		topic, birth := u.Uncounted(report.KindBirth, u.Birth(1))
		u.publish(t, true, topic, birth)
		topic, health := u.Uncounted(report.KindHealth, u.Health())
		u.publish(t, true, topic, health)

		began := time.Now()
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
		housetest.Until(t, "the diagnosis on the page", func() bool { return len(f.all(t)) == 1 })
		t.Logf("from publish to the API: %v", time.Since(began))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})

		// The same again, the final revision, a tally; then a hole that a report explains.
		u.Seq = 0
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 1, "96", "host.malfunction", "acquirer")))
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "switch.malfunction", "switch")))
		u.say(t)(u.Wrap(report.KindTally, sample.Tally(map[string]int{"00": 30, "96": 1})))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 3})
		u.Seq = 6
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(2, 2, "97", "terminal.not-registered", "acquirer")))
		housetest.Until(t, "the one behind the hole", func() bool { return len(f.all(t)) == 2 })
		var term store.Terminal
		f.get(t, "/api/v1/terminals/shop/t1", &term)
		if len(term.Streams) != 1 || len(term.Streams[0].Gaps) != 1 || term.Streams[0].Gaps[0].First != 4 ||
			term.Streams[0].Gaps[0].Last != 6 {
			t.Errorf("gaps %+v", term.Streams)
		}
		u.say(t)(u.Wrap(report.KindDropped, report.Dropped{First: 4, Last: 6, Counts: map[string]int{"tally": 3}, Reason: "space"}))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 8})
		rows := f.all(t)
		if len(rows) != 2 || !strings.Contains(string(rows[1].Body), `"revision": 2`) {
			t.Errorf("%d rows: %s", len(rows), rows[len(rows)-1].Body)
		}

		// A hostile client beside it disturbs nothing.
		h := dial(t, url(f), sample.New("shop", "evil"))
		for _, m := range []struct{ topic, payload string }{
			{"pos/v1/shop/t1/diagnosis", `{"specversion":"1.0"}`}, {"pos/v1/shop/t1/diagnosis", "\xff\x00"}, {"pos/v1/shop/t1/status", "[]"},
			{"pos/v1/shop/evil/diagnosis", strings.Repeat("[", 20_000)}, {"pos/v1/shop/evil/dropped", `{"specversion":"1.0","source":"/shop/evil","type":"posdx.dropped.v1","epoch":"e","seq":18446744073709551615,"data":{}}`},
			{"pos/v1/shop/evil/reply/x", "{"}, {"pos/v1/shop/evil/diagnosis", strings.Repeat("x", 100_000)},
		} {
			h.say(t)(m.topic, []byte(m.payload))
		}
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(3, 2, "51", "account.funds", "issuer")))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 9})
		housetest.Until(t, "the rejected ones counted", func() bool {
			var a struct{ Rejected []store.Rejection }
			f.get(t, "/api/v1/rejected", &a)
			return len(a.Rejected) == 7
		})

		// The last will.
		state := func() string { f.get(t, "/api/v1/terminals/shop/t1", &term); return term.State }
		housetest.Until(t, "online", func() bool { return state() == "online" })
		var list strings.Builder
		if code := run(t.Context(), stdio{out: &list, err: io.Discard}, []string{"list", "--url", f.page, "--code", "97", "--lang",
			"en"}); code != exitOK || !strings.Contains(list.String(), "shop/t1") || strings.Count(list.String(), "\n") != 1 {
			t.Errorf("list: %d %q", code, list.String())
		}
		list.Reset()
		if code := run(t.Context(), stdio{out: io.Discard, err: &list}, []string{"list", "--url", f.page, "--limit",
			"0"}); code != exitFailed || !strings.Contains(list.String(), "limit: want 1 to 500") {
			t.Errorf("what the fleet says of a wrong limit: %d %q", code, list.String())
		}
		list.Reset()
		if code := run(t.Context(), stdio{out: &list, err: io.Discard}, []string{"show", "shop/t1", "--url", f.page}); code != exitOK ||
			!strings.Contains(list.String(), "online") || !strings.Contains(list.String(), "gap 4-6 dropped") {
			t.Errorf("show: %d %q", code, list.String())
		}
		u.line.Close()
		housetest.Until(t, "offline", func() bool { return state() == "offline" })
		f.stop(t)
	})
}

// Kill the fleet again and again while terminals report: what was acknowledged is never lost, and in the end everything
// is stored once.
func TestKilledAnywhere(t *testing.T) {
	brokers(t, func(t *testing.T, start func() *fleet, url func(*fleet) string) {
		const kills, each, terminals = 6, 60, 3
		f := start()
		outbox := make([][][2]string, terminals) // all documents so far
		lines := make([]*sample.Terminal, terminals)
		acked := make([]uint64, terminals)
		for i := range lines {
			lines[i] = sample.New("shop", fmt.Sprint("k", i))
		}
		for round := range kills + 1 {
			last := round == kills
			half := make(chan struct{}, terminals)
			var wg sync.WaitGroup
			for i, a := range lines {
				for range each {
					topic, payload := a.Wrap(report.KindDiagnosis, a.Diagnosis(int(a.Seq), 2, "96", "host.malfunction", "acquirer"))
					outbox[i] = append(outbox[i], [2]string{topic, string(payload)})
				}
				u := dial(t, url(f), a)
				wg.Go(func() {
					defer u.client.Disconnect(0)
					send := func(upTo int) {
						for n, d := range outbox[i][acked[i]:] { // what is not acknowledged is sent again
							if n == upTo {
								return
							}
							u.client.Publish(d[0], 1, false, d[1]).WaitTimeout(time.Second)
						}
					}
					if !last {
						send(each / 2)
						half <- struct{}{} // in full flow: now it may be killed
					} else {
						send(-1)
					}
					for bound := time.After(soon); last && acked[i] < uint64(len(outbox[i])); {
						select {
						case ack := <-u.acks:
							acked[i] = max(acked[i], ack.Seq)
						case <-time.After(2 * time.Second): // mosquitto throws away what it acknowledged if its queue is full
							t.Logf("terminal %d repeats from %d", i, acked[i])
							send(-1)
						case <-bound:
							t.Errorf("terminal %d: acknowledged to %d of %d", i, acked[i], len(outbox[i]))
							return
						}
					}
					for len(u.acks) > 0 {
						acked[i] = max(acked[i], (<-u.acks).Seq)
					}
				})
			}
			if last {
				wg.Wait()
				break
			}
			for range lines {
				<-half
			}
			f.kill()
			wg.Wait()
			f = start()
			for i, a := range lines {
				if acked[i] == 0 {
					continue
				}
				var term store.Terminal
				f.get(t, "/api/v1/terminals/shop/"+a.At.Terminal, &term)
				if len(term.Streams) != 1 || term.Streams[0].Ack().Seq < acked[i] {
					t.Fatalf("terminal %d: acknowledged to %d, after the kill the store has %+v", i, acked[i], term.Streams)
				}
			}
			t.Logf("kill %d: acknowledged %v", round+1, acked)
		}
		seen := map[string]int{}
		for _, r := range f.all(t) {
			seen[fmt.Sprint(r.Terminal, " ", r.Seq)]++
		}
		if want := terminals * each * (kills + 1); len(seen) != want {
			t.Errorf("%d diagnoses, want %d", len(seen), want)
		}
		for k, n := range seen {
			if n != 1 {
				t.Errorf("%s is there %d times", k, n)
			}
		}
	})
}

// What terminals publish while the fleet is away waits at a broker of its own.
func TestBrokerKeepsWhileAway(t *testing.T) {
	url, dir := housetest.NewMosquitto(t, "allow_anonymous true\nmax_queued_messages 0\n").URL(), t.TempDir()
	start(t, dir, "--broker", url).stop(t)
	u := dial(t, url, sample.New("shop", "t1"))
	for n := range 300 {
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(n, 2, "96", "host.malfunction", "acquirer")))
	}
	f := start(t, dir, "--broker", url)
	u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 300})
	if n := len(f.all(t)); n != 300 {
		t.Errorf("%d diagnoses, want 300", n)
	}
}

// An incident reaches the page and, as a retained advisory, the terminals; also those that connect later.
func TestIncident(t *testing.T) {
	brokers(t, func(t *testing.T, start func() *fleet, url func(*fleet) string) {
		f := start()
		for i := range 5 {
			u := dial(t, url(f), sample.New("shop", fmt.Sprint("t", i)))
			u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
			u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
			u.client.Disconnect(100)
		}
		f.stop(t) // it looks at once when it starts
		f = start()
		housetest.Until(t, "the incident on the page", func() bool {
			var a struct{ Incidents []store.Incident }
			f.get(t, "/api/v1/incidents", &a)
			return len(a.Incidents) == 1 && a.Incidents[0].Terminals == 5 && a.Incidents[0].Cause == "host.malfunction"
		})
		housetest.Until(t, "the advisory is retained", func() bool {
			u := dial(t, url(f), sample.New("shop", "late"))
			defer u.client.Disconnect(100)
			got := make(chan mqtt.Message, 1)
			u.client.Subscribe(u.At.AdvisoryFilter(), 1, func(_ mqtt.Client, m mqtt.Message) { got <- m })
			select {
			case m := <-got:
				var a report.Advisory
				return json.Unmarshal(m.Payload(), &a) == nil && m.Retained() && m.Topic() == "pos/v1/shop/advisory/acquirer/unionpay" && a.Terminals == 5 && a.Code == "96"
			case <-time.After(time.Second):
				return false
			}
		})
	})
}

func TestUsage(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	os.WriteFile(token, []byte("short\n"), 0o600)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "usage: posdx-fleet COMMAND"}, {"help", 0, "serve"}, {"dance", 2, `no command "dance"`},
		{"serve --help", 0, "example:"}, {"list --help", 0, "example:"}, {"show --help", 0, "example:"}, {"version --help", 0, "example:"},
		{"version", 0, "posdx-fleet dev"}, {"version --json", 0, `"knowledge"`},
		{"serve --port 1", 2, "flag provided but not defined"}, {"serve now", 2, "1 arguments, want 0"}, {"show", 2, "want 1"}, {"show a", 2, "ESTATE/TERMINAL"},
		{"serve --listen 0.0.0.0:0", 2, "--web-cert"}, {"serve --listen 0.0.0.0:0 --open viewer", 2, "anyone who reaches"}, {"serve --open god", 2, "viewer, technician"},
		{"serve --open viewer --behind-proxy", 2, "whoever reaches the proxy"},
		{"serve --web-cert x", 2, "belong together"}, {"serve --oidc /no/such --data " + t.TempDir() + " --broker tcp://127.0.0.1:1", 2, "no such file"},
		{"list --lang fr", 2, "want zh or en"}, {"list --lang", 2, "needs an argument"},
		{"list --token-file /no/such", 2, "no such file"}, {"list --token-file " + token, 2, "at least 16"},
		{"serve --store mysql:x --data " + t.TempDir(), 2, "want sqlite:PATH"}, {"serve --mqtt-listen nowhere --data " + t.TempDir(), 2, "broker address"},
		{"serve --mqtt-sessions 5001 --data " + t.TempDir(), 2, "want 1 to 5000"}, {"serve --mqtt-sessions -1 --data " + t.TempDir(), 2, "want 1 to 5000"},
		{"serve --inventory /no/such --data " + t.TempDir(), 2, "read inventory"}, {"serve --keep-rows 0", 2, "--keep-rows"}, {"list --url http://127.0.0.1:1", 1, "refused"},
		{"serve --rate -1", 2, "--rate"}, {"serve --rate NaN", 2, "--rate"}, {"serve --exports 0", 2, "--exports"},
		{"serve --max-terminals 0", 2, "--max-terminals"}, {"serve --listen here", 2, "--listen"},
		{"serve --web-cert /no/such --web-key /no/such", 2, "no such file"},
		{"serve --mqtt-users /no/such --data " + t.TempDir(), 2, "no such file"},
		{"serve --notify /no/such --data " + t.TempDir() + " --broker tcp://127.0.0.1:1", 2, "no such file"},
		{"ingest --store postgres://db --nats nats://n --partitions 0", 2, "--partitions"}, {"ingest --store mysql:x --nats nats://n", 2, "want sqlite:PATH"},
		{"account list --store mysql:x", 2, "want sqlite:PATH"}, {"notify check --config /no/such", 2, "no such file"},
		{"serve --data /dev/null/x", 1, "not a directory"},
	} {
		var out, err strings.Builder
		code := run(t.Context(), stdio{out: &out, err: &err}, strings.Fields(c.args))
		if code != c.code || !strings.Contains(out.String()+err.String(), c.says) {
			t.Errorf("posdx-fleet %s: %d %q %q, want %d %q", c.args, code, out.String(), err.String(), c.code, c.says)
		}
		if code == 0 && err.Len() > 0 || code != 0 && out.Len() > 0 {
			t.Errorf("posdx-fleet %s: results on stdout, talk on stderr: %q, %q", c.args, out.String(), err.String())
		}
	}
}
