package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// asNode makes this test's program a node of a NATS cluster, with the configuration in the named directory.
const asNode = "POSDX_TEST_NODE"

func runNode(dir string) {
	o, err := server.ProcessConfigFile(filepath.Join(dir, "node.conf"))
	if err == nil {
		var s *server.Server
		if s, err = server.NewServer(o); err == nil {
			s.ConfigureLogger()
			s.Start()
			s.WaitForShutdown()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A process of a cluster: a node or a worker.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	said []string // guarded by mu
}

func begin(t testing.TB, name string, env string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(os.Args[0], args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.said = append(p.said, lines.Text())
			p.mu.Unlock()
		}
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, strings.Join(p.said[max(0, len(p.said)-12):], "\n"))
		}
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

func (p *process) says(word string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.said, func(line string) bool { return strings.Contains(line, word) })
}

// A natsCluster is three nats-servers on loopback, each with an MQTT listener and JetStream.
type natsCluster struct {
	nodes   []*process
	nats    string   // addresses, parted by commas
	mqtt    []string // of the listeners
	starter []func() *process
}

func startCluster(t *testing.T) *natsCluster {
	t.Helper()
	const nodes = 3
	c := new(natsCluster)
	var routes, clients []string
	ports := make([][3]string, nodes)
	for i := range ports {
		ports[i] = [3]string{housetest.FreePort(t), housetest.FreePort(t), housetest.FreePort(t)}
		clients = append(clients, "nats://127.0.0.1:"+ports[i][0])
		routes = append(routes, "nats://127.0.0.1:"+ports[i][1])
		c.mqtt = append(c.mqtt, "tcp://127.0.0.1:"+ports[i][2])
	}
	c.nats = strings.Join(clients, ",")
	for i, p := range ports {
		dir := t.TempDir()
		conf := fmt.Sprintf(`server_name: n%d
listen: "127.0.0.1:%s"
cluster { name: posdx, listen: "127.0.0.1:%s", routes: [%s] }
jetstream { store_dir: %q, max_memory_store: 256MB, max_file_store: 4GB }
mqtt { listen: "127.0.0.1:%s", max_ack_pending: 4000 }
`, i+1, p[0], p[1], strings.Join(routes, ", "), dir, p[2])
		if err := os.WriteFile(filepath.Join(dir, "node.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		start := func() *process { return begin(t, fmt.Sprint("node ", i+1), asNode+"="+dir) }
		c.starter = append(c.starter, start)
		c.nodes = append(c.nodes, start())
	}
	return c
}

// A carrier plays a terminal of a cluster: it goes to another node when one is gone, and repeats what is not
// acknowledged by the fleet.
type carrier struct {
	*sample.Terminal
	outbox [][2]string

	mu    sync.Mutex
	acked uint64 // guarded by mu
	sent  int
}

func (c *carrier) run(t *testing.T, brokers []string, sent func()) {
	o := mqtt.NewClientOptions().SetClientID(c.At.Terminal).SetProtocolVersion(4).SetCleanSession(false).
		SetAutoReconnect(true).
		SetConnectRetry(true).SetConnectRetryInterval(200 * time.Millisecond).SetMaxReconnectInterval(time.Second).
		SetConnectTimeout(5 * time.Second).SetKeepAlive(5 * time.Second).SetPingTimeout(5 * time.Second).
		SetWriteTimeout(5 * time.Second)
	for _, b := range brokers {
		o.AddBroker(b)
	}
	took := func(_ mqtt.Client, m mqtt.Message) {
		var a report.Ack
		if json.Unmarshal(m.Payload(), &a) == nil {
			c.mu.Lock()
			c.acked = max(c.acked, a.Seq)
			c.mu.Unlock()
		}
	}
	o.SetOnConnectHandler(func(m mqtt.Client) { m.Subscribe(c.At.Topic("ack"), 1, took) })
	client := mqtt.NewClient(o)
	client.Connect()
	defer client.Disconnect(100)
	far := func() uint64 { c.mu.Lock(); defer c.mu.Unlock(); return c.acked }
	for end := time.Now().Add(10 * time.Minute); far() < uint64(len(c.outbox)); {
		if time.Now().After(end) {
			t.Errorf("%s: acknowledged to %d of %d", c.At.Terminal, far(), len(c.outbox))
			return
		}
		before := far()
		for _, d := range c.outbox[before:] {
			if !client.IsConnectionOpen() {
				break
			}
			client.Publish(d[0], 1, false, d[1]).WaitTimeout(2 * time.Second)
			c.sent++
			sent()
		}
		// As an agent does, only faster: what is not acknowledged after a while goes again.
		for wait := time.Now().Add(3 * time.Second); time.Now().Before(wait) && far() < uint64(len(c.outbox)); {
			time.Sleep(20 * time.Millisecond) // the pace of looking, under a bound
		}
	}
}

// TestCluster: three nats-servers, three workers, one PostgreSQL. In full flow a worker ends and comes back. Every
// document of every terminal is kept once, and every terminal is told so. POSDX_CLUSTER=full is the long form: the
// worker is killed and then a node, which the others notice after some ten seconds each.
func TestCluster(t *testing.T) {
	terminals, each, full := 6, 20, os.Getenv("POSDX_CLUSTER") == "full"
	if full {
		terminals, each = 60, 200
	}
	address := housetest.Postgres(t)
	cluster := startCluster(t)
	worker := func(n int) *process {
		return begin(t, fmt.Sprint("worker ", n), asFleet+"=1", "ingest", "--stream-gb", "1", "--nats", cluster.nats, "--store", address)
	}
	workers := []*process{worker(1), worker(2), worker(3)}
	for _, w := range workers {
		housetest.Until(t, w.name+" has its session", func() bool { return w.says(`INFO msg="session with the broker"`) })
	}
	db, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	list := make([]*carrier, terminals)
	for i := range list {
		c := &carrier{Terminal: sample.New("shop.north", fmt.Sprint("till", i))} // with a full stop, which NATS writes otherwise
		for n := range each {
			topic, p := c.Wrap(report.KindDiagnosis, c.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
			c.outbox = append(c.outbox, [2]string{topic, string(p)})
		}
		list[i] = c
	}
	total := terminals * each
	var mu sync.Mutex
	count, marks := 0, map[int]chan struct{}{total / 5: make(chan struct{}), total / 2: make(chan struct{})}
	sent := func() {
		mu.Lock()
		defer mu.Unlock()
		if count++; marks[count] != nil {
			close(marks[count])
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i, c := range list {
		brokers := append(slices.Clone(cluster.mqtt[i%3:]), cluster.mqtt[:i%3]...)
		wg.Go(func() { c.run(t, brokers, sent) })
	}
	reached := func(n int) {
		t.Helper()
		select {
		case <-marks[n]:
		case <-time.After(5 * soon):
			t.Fatalf("terminals do not publish: %d of %d", count, n)
		}
	}
	reached(total / 5)
	if full {
		workers[0].kill()
		t.Logf("%v: worker 1 killed", time.Since(began).Round(time.Millisecond))
	} else {
		workers[0].cmd.Process.Signal(syscall.SIGTERM)
		<-workers[0].done
	}
	reached(total / 2)
	workers[0] = worker(1)
	if full {
		cluster.nodes[2].kill()
		t.Logf("%v: node 3 killed", time.Since(began).Round(time.Millisecond))
		cluster.nodes[2] = cluster.starter[2]()
	}
	wg.Wait()
	took := time.Since(began)

	seen := map[string]int{}
	for f := (store.Filter{Limit: store.MaxRows}); ; {
		rows, next, err := db.Diagnoses(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seen[fmt.Sprint(r.Terminal, " ", r.Seq)]++
		}
		if next == (store.Place{}) {
			break
		}
		f.Before = next
	}
	repeated := -total
	for _, c := range list {
		repeated += c.sent
		for n := range each {
			if k := fmt.Sprint(c.At.Terminal, " ", n+1); seen[k] != 1 {
				t.Errorf("%s is kept %d times", k, seen[k])
			}
		}
		term, err := db.Terminal(t.Context(), nil, c.At)
		if err != nil || len(term.Streams) != 1 {
			t.Fatal(err, term)
		}
		if st := term.Streams[0]; st.Ack().Seq != uint64(each) || len(st.Gaps) != 0 || term.Rejected != 0 {
			t.Errorf("the account of %s: %+v, rejected %d", c.At.Terminal, st, term.Rejected)
		}
	}
	if len(seen) != total {
		t.Errorf("%d diagnoses are kept, want %d", len(seen), total)
	}
	t.Logf("produced %d, kept %d, sent again %d, in %v", total, len(seen), repeated, took.Round(time.Millisecond))
}

// What workers keep a view shows, with the state of terminals, though it takes in no document itself.
func TestWorkersKeepWhatAViewShows(t *testing.T) {
	address := housetest.Postgres(t)
	broker := housetest.NewMosquitto(t, "allow_anonymous true\n").URL()
	for n := range 2 {
		w := begin(t, fmt.Sprint("worker ", n+1), asFleet+"=1", "ingest", "--broker", broker, "--share", "workers", "--store", address)
		housetest.Until(t, w.name+" has its session", func() bool { return w.says(`INFO msg="session with the broker"`) })
	}
	view := start(t, t.TempDir(), "--view", "--broker", broker, "--store", address)
	const terminals = 6
	for i := range terminals {
		u := dial(t, broker, sample.New("shop", fmt.Sprint("t", i)))
		u.say(t)(u.At.Topic("status"), []byte(`{"state":"online","reason":"","boot_id":"boot-1"}`))
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
	}
	if rows := view.all(t); len(rows) != terminals {
		t.Errorf("%d diagnoses are shown, want %d", len(rows), terminals)
	}
	housetest.Until(t, "all are online", func() bool {
		var s struct{ Terminals, Online int }
		view.get(t, "/api/v1/summary", &s)
		return s.Terminals == terminals && s.Online == terminals
	})
	if body := get(t, view.page+"/metrics"); !strings.Contains(body, "\nposdx_fleet_batch_documents_count 0\n") {
		t.Error("the view took documents in")
	}
}

// Workers of one group on a mosquitto get one terminal's backlog in turns, each a part. It is kept once, in its order,
// nothing of it is refused, and the terminal is never told of more than what is kept from the first on.
func TestBacklogOverSharedWorkers(t *testing.T) {
	const each = 1500
	address := housetest.Postgres(t)
	broker := housetest.NewMosquitto(t, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n").URL()
	for n := range 3 {
		w := begin(t, fmt.Sprint("worker ", n+1), asFleet+"=1", "ingest", "--broker", broker, "--share", "workers", "--store", address)
		housetest.Until(t, w.name+" has its session", func() bool { return w.says(`INFO msg="session with the broker"`) })
	}
	db, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	u := dial(t, broker, sample.New("shop", "t1"))
	for n := range each {
		topic, p := u.Wrap(report.KindDiagnosis, u.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
		u.client.Publish(topic, 1, false, p)
	}
	for last, bound := uint64(0), time.After(soon); last < each; {
		select {
		case a := <-u.acks:
			term, err := db.Terminal(t.Context(), nil, u.At)
			if err != nil || term.Streams[0].Ack().Seq < a.Seq {
				t.Fatalf("told %d, kept %+v; %v", a.Seq, term.Streams, err)
			}
			last = max(last, a.Seq)
		case <-bound:
			t.Fatalf("acknowledged to %d of %d", last, each)
		}
	}
	term, err := db.Terminal(t.Context(), nil, u.At)
	if err != nil {
		t.Fatal(err)
	}
	if st := term.Streams[0]; st.Received != each || len(st.Gaps) != 0 || term.Rejected != 0 {
		t.Errorf("received %d, duplicates %d, gaps %v, rejected %d", st.Received, st.Duplicates, st.Gaps, term.Rejected)
	}
	last := uint64(each + 1)
	for f := (store.Filter{Estate: "shop", Terminal: "t1", Limit: store.MaxRows}); last > 1; {
		rows, next, err := db.Diagnoses(t.Context(), f)
		if err != nil || len(rows) == 0 {
			t.Fatal(len(rows), err)
		}
		for _, r := range rows {
			if r.Seq != last-1 {
				t.Fatalf("after %d comes %d", last, r.Seq)
			}
			last = r.Seq
		}
		f.Before = next
	}
}
