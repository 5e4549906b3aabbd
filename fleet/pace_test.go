package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// A pace is a stream of documents at a steady rate, sent by a process of its own so that its CPU and its memory are
// apart. A document is due at its moment whether the fleet is ready or not, and its wait begins then.
type pace struct {
	Rate      float64 // documents a second
	For       time.Duration
	Every     time.Duration // between reports
	Terminals int           // each sends in turn, in an order that is none of the store's
	Broker    string        // host:port of a broker; empty: this process is the broker's end of the fleet's session
}

// A paced is one report of a pace: what became of the documents since the last one.
type paced struct {
	Address       string // the first report only: where the fleet's session is awaited
	Bytes         int    // of a document, on the average
	Due, Sent     int    // all since the beginning
	Kept          int    // acknowledged by the fleet as committed, since the beginning
	P50, P95, Max time.Duration
	CPU           time.Duration // of this process since the beginning
	Over          bool
	Wrong         string // the stream ended
}

// asPace makes the test binary be a pace.
const asPace = "POSDX_TEST_PACE"

// fallBehind is how far the fleet may be behind the pace, as while its log is copied into its file.
const fallBehind = 10 * time.Second

// inFlight is how many documents may be on their way: an MQTT session has 65 535 numbers for them.
const inFlight = 30_000

// pieces is a document as it is sent, cut where its numbers and its terminal go.
type pieces struct {
	kind    string
	literal []string
	what    []byte // follows each literal: t terminal, s sequence, i that in hex, n the event's number, e the end
}

// cutDocument makes a document in its envelope.
func cutDocument(kind string, doc func(a *sample.Terminal, event int) any) pieces {
	const name, seq, event = "t9876543", 8_765_432_109, 0x7654321098
	a := sample.New("shop", name)
	a.Seq = seq - 1
	_, whole := a.Wrap(kind, doc(a, event))
	marks := map[string]byte{
		name: 't', strconv.Itoa(seq): 's', fmt.Sprintf("%010x", seq): 'i', fmt.Sprintf("%010x", event): 'n',
	}
	p := pieces{kind: kind}
	for text := string(whole); ; {
		at, mark := len(text), ""
		for m := range marks {
			if i := strings.Index(text, m); i >= 0 && i < at {
				at, mark = i, m
			}
		}
		p.literal = append(p.literal, text[:at])
		if mark == "" {
			p.what = append(p.what, 'e')
			return p
		}
		p.what = append(p.what, marks[mark])
		text = text[at+len(mark):]
	}
}

// least is a diagnosis without evidence.
func least(revision int, code, cause, segment string) pieces {
	return cutDocument(report.KindDiagnosis, func(a *sample.Terminal, event int) any {
		d := a.Diagnosis(event, revision, code, cause, segment)
		d.Causes, d.Evidence, d.NextTest, d.CannotSeparate = d.Causes[:1], nil, nil, nil
		d.Causes[0].Probability = 0.95
		return d
	})
}

// What a terminal sends in turn: of eight documents two diagnoses in a first revision and in their final one, one that
// is final at once, and three tallies; see SCALE.md, "Ten million terminals".
const (
	first = iota
	final
	hours
)

var turns = [...]int{first, final, hours, first, final, hours, final, hours}

// raises tells whether a turn's document is the final revision of the one before.
func raises(turn int) bool {
	return turns[turn%len(turns)] == final && turns[(turn+len(turns)-1)%len(turns)] == first
}

// write appends the document of a terminal.
func (p *pieces) write(b []byte, terminal, seq, event int) []byte {
	for i, text := range p.literal {
		b = append(b, text...)
		switch p.what[i] {
		case 't':
			b = appendName(b, terminal)
		case 's':
			b = strconv.AppendInt(b, int64(seq), 10)
		case 'i':
			b = appendHex(b, seq)
		case 'n':
			b = appendHex(b, event)
		}
	}
	return b
}

func appendHex(b []byte, n int) []byte {
	const digits = "0123456789abcdef"
	for shift := 36; shift >= 0; shift -= 4 {
		b = append(b, digits[n>>shift&15])
	}
	return b
}

func appendName(b []byte, terminal int) []byte {
	b = append(b, 't')
	for div := 1_000_000; div > 0; div /= 10 {
		b = append(b, byte('0'+terminal/div%10))
	}
	return b
}

// publishing appends a PUBLISH of QoS 1 (MQTT 3.1.1, 3.3).
func publishing(b []byte, number uint16, terminal int, kind string, payload []byte) []byte {
	const before = "pos/v1/shop/"
	topic := len(before) + 8 + 1 + len(kind)
	b = append(b, 0x32)
	for n := 2 + topic + 2 + len(payload); ; {
		digit := byte(n & 127)
		if n >>= 7; n == 0 {
			b = append(b, digit)
			break
		}
		b = append(b, digit|128)
	}
	b = append(b, byte(topic>>8), byte(topic))
	b = append(b, before...)
	b = appendName(b, terminal)
	b = append(append(b, '/'), kind...)
	b = append(b, byte(number>>8), byte(number))
	return append(b, payload...)
}

// scatter deals the turns of a round among the terminals: neighbours in time are none in the store's order.
func scatter(n int) (to, back []int32) {
	step := n*618/1000 | 1
	for gcd(step, n) != 1 {
		step += 2
	}
	to, back = make([]int32, n), make([]int32, n)
	for slot := range n {
		t := slot * step % n
		to[slot], back[t] = int32(t), int32(slot)
	}
	return to, back
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// runPace is the other process: reports go to stdout, a line each.
func runPace(spec string) {
	var p pace
	out := json.NewEncoder(os.Stdout)
	err := json.Unmarshal([]byte(spec), &p)
	if err == nil {
		err = p.run(func(r paced) { out.Encode(r) })
	}
	if err != nil {
		out.Encode(paced{Wrong: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

// open makes the session: as a client of a broker, or as the broker of the fleet that is about to connect.
func (p *pace) open(say func(paced)) (net.Conn, *bufio.Reader, error) {
	if p.Broker != "" {
		c, err := dialThin(p.Broker, "pace", soon)
		if err == nil {
			err = c.subscribe("pos/v1/+/+/ack")
		}
		if err != nil {
			return nil, nil, err
		}
		c.conn.SetDeadline(time.Time{})
		return c.conn, bufio.NewReaderSize(c.conn, 64<<10), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	say(paced{Address: l.Addr().String()})
	conn, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return conn, bufio.NewReaderSize(conn, 64<<10), nil
}

// cpuUsed is what this process has used.
func cpuUsed() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (p *pace) run(say func(paced)) error {
	var kinds [][3]pieces // first and final revision, and a tally beside them
	for i, k := range [][3]string{
		{"96", "host.malfunction", "acquirer"}, {"91", "issuer.down", "issuer"}, {"98", "network.timeout", "network"},
		{"51", "account.funds", "customer"}, {"55", "card.pin", "customer"}, {"68", "host.late", "acquirer"},
	} {
		kinds = append(kinds, [3]pieces{least(1, k[0], k[1], k[2]), least(2, k[0], k[1], k[2]),
			cutDocument(report.KindTally, func(*sample.Terminal, int) any {
				return sample.Tally(map[string]int{"00": 20 + i, k[0]: 1})
			})})
	}
	to, back := scatter(p.Terminals)
	conn, in, err := p.open(say)
	if err != nil {
		return err
	}
	defer conn.Close()

	var mu sync.Mutex
	moved := sync.NewCond(&mu)
	acked := make([]int32, p.Terminals)
	kept := 0
	var waits []time.Duration
	var ended error
	var began time.Time
	due := func(i int) time.Time { return began.Add(time.Duration(float64(i) / p.Rate * float64(time.Second))) }
	ready := make(chan struct{}, 1)
	if p.Broker != "" {
		ready <- struct{}{}
	}
	var outgoing sync.Mutex
	write := func(b []byte) error {
		outgoing.Lock()
		defer outgoing.Unlock()
		_, err := conn.Write(b)
		return err
	}
	seqOf := []byte(`"seq":`)
	go func() {
		var answer bytes.Buffer
		err := func() error {
			for {
				// Answers go out together, when nothing more is there to read.
				if in.Buffered() == 0 && answer.Len() > 0 {
					if err := write(answer.Bytes()); err != nil {
						return err
					}
					answer.Reset()
				}
				x, err := packets.ReadPacket(in)
				if err != nil {
					return err
				}
				switch x := x.(type) {
				case *packets.ConnectPacket:
					packets.NewControlPacket(packets.Connack).Write(&answer)
				case *packets.SubscribePacket:
					a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
					a.MessageID, a.ReturnCodes = x.MessageID, x.Qoss
					a.Write(&answer)
					ready <- struct{}{}
				case *packets.PingreqPacket:
					packets.NewControlPacket(packets.Pingresp).Write(&answer)
				case *packets.DisconnectPacket:
					return fmt.Errorf("the fleet leaves")
				case *packets.PublishPacket:
					if x.Qos > 0 {
						a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
						a.MessageID = x.MessageID
						a.Write(&answer)
					}
					if !strings.HasSuffix(x.TopicName, "/ack") {
						continue // an advisory
					}
					who, err := strconv.Atoi(x.TopicName[len("pos/v1/shop/t"):strings.LastIndexByte(x.TopicName, '/')])
					i := bytes.Index(x.Payload, seqOf)
					if err != nil || i < 0 || who >= p.Terminals {
						return fmt.Errorf("an ack that is none: %s %s", x.TopicName, x.Payload)
					}
					seq := 0
					for _, c := range x.Payload[i+len(seqOf):] {
						if c < '0' || c > '9' {
							break
						}
						seq = seq*10 + int(c-'0')
					}
					now := time.Now()
					mu.Lock()
					for ; int(acked[who]) < seq; acked[who]++ {
						kept++
						waits = append(waits, now.Sub(due(int(acked[who])*p.Terminals+int(back[who]))))
					}
					moved.Signal()
					mu.Unlock()
				}
			}
		}()
		mu.Lock()
		ended = err
		moved.Broadcast()
		mu.Unlock()
	}()
	<-ready
	if p.Broker != "" {
		// The fleet is connected already: the test waited for it.
		say(paced{Address: p.Broker})
	}

	total := int(p.Rate * p.For.Seconds())
	sent, size := 0, 0
	bytes := 0 // of documents
	began = time.Now()
	tell := func(over bool) error {
		mu.Lock()
		slices.Sort(waits)
		r := paced{Bytes: size, Sent: sent, Kept: kept, CPU: cpuUsed(), Over: over}
		r.Due = min(total, int(time.Since(began).Seconds()*p.Rate))
		if n := len(waits); n > 0 {
			r.P50, r.P95, r.Max = waits[n/2], waits[n*95/100], waits[n-1]
		}
		waits = waits[:0]
		err := ended
		mu.Unlock()
		say(r)
		return err
	}
	next := began.Add(p.Every)
	var chunk, doc []byte
	for sent < total {
		now := time.Now()
		if now.After(next) {
			if err := tell(false); err != nil {
				return err
			}
			next = next.Add(p.Every)
		}
		upTo := min(total, int(now.Sub(began).Seconds()*p.Rate))
		mu.Lock()
		for sent-kept >= inFlight && ended == nil && time.Now().Before(next) {
			mu.Unlock()
			time.Sleep(time.Millisecond) // the pace is over anyhow: the report says so
			mu.Lock()
		}
		upTo = min(upTo, kept+inFlight)
		err := ended
		mu.Unlock()
		if err != nil {
			return err
		}
		chunk = chunk[:0]
		for ; sent < upTo && len(chunk) < 256<<10; sent++ {
			who := int(to[sent%p.Terminals])
			seq := sent/p.Terminals + 1
			turn := seq - 1 + who // terminals are not all in the same one
			event := turn
			if raises(turn) {
				event--
			}
			kind := &kinds[(event+event/8)%len(kinds)][turns[turn%len(turns)]]
			doc = kind.write(doc[:0], who, seq, event)
			bytes += len(doc)
			chunk = publishing(chunk, uint16(sent%65_535+1), who, kind.kind, doc)
		}
		if len(chunk) == 0 {
			time.Sleep(5 * time.Millisecond) // the pace
			continue
		}
		size = bytes / sent
		if err := write(chunk); err != nil {
			return err
		}
	}
	for late := time.Now().Add(soon); ; {
		mu.Lock()
		all, err := kept == total, ended
		mu.Unlock()
		switch {
		case all:
			return tell(true)
		case err != nil:
			return err
		case time.Now().After(late):
			tell(false)
			return fmt.Errorf("%d of %d documents are not acknowledged", total-kept, total)
		}
		time.Sleep(5 * time.Millisecond) // the pace
	}
}

// rss is what a process holds in memory, in bytes.
func rss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b); err == nil && m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	return 0
}

// ticks is what a process has used, in hundredths of a second (proc(5)).
func ticks(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), ") ")
	var n int
	for _, s := range strings.Fields(after)[11:13] {
		k, _ := strconv.Atoi(s)
		n += k
	}
	return time.Duration(n) * time.Second / 100
}

// wrote is how many bytes a process had written to disk (proc(5)).
func wrote(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if m := regexp.MustCompile(`(?m)^write_bytes: (\d+)`).FindSubmatch(b); err == nil && m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n
	}
	return 0
}

// TestPace brings documents to a whole posdx-fleet at a steady pace, with the bounds that the product has by itself, so
// that it sweeps while they come. Each document is acknowledged after its commit, or this fails; so it does if one is
// kept twice, if the fleet falls behind or if its memory or its file grows once it is full. The short form is of a few
// seconds and a slow pace, and takes its time; POSDX_PACE=1h is the hour of 11 111 a second, which a million terminals
// send that report every 90 s.
//
//	POSDX_PACE=1h go test ./fleet -run TestPace -timeout 2h -v
//
// POSDX_PACE_RATE is the pace, POSDX_PACE_TERMINALS how many send, POSDX_PACE_KEEP how many diagnoses are kept,
// POSDX_PACE_STORE=postgres the store; POSDX_PACE_BROKER=mosquitto has one between, else the generator is the broker's
// end of the fleet's session.
func TestPace(t *testing.T) {
	p := pace{Rate: 200, For: 5 * time.Second, Every: time.Minute, Terminals: 50}
	full := os.Getenv("POSDX_PACE")
	if full != "" {
		var err error
		if p.For, err = time.ParseDuration(full); err != nil {
			t.Fatal(err)
		}
		p.Rate, p.Terminals = 11_111, 200
	}
	for name, into := range map[string]any{"POSDX_PACE_RATE": &p.Rate, "POSDX_PACE_TERMINALS": &p.Terminals} {
		if s := os.Getenv(name); s != "" {
			fmt.Sscan(s, into)
		}
	}
	if p.For < 10*time.Minute {
		p.Every = max(time.Second, p.For/6)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.db")
	args := []string{"--max-terminals", strconv.Itoa(max(p.Terminals, 200_000))}
	keep := 1_000_000
	if s := os.Getenv("POSDX_PACE_KEEP"); s != "" {
		fmt.Sscan(s, &keep)
	}
	args = append(args, "--keep-rows", strconv.Itoa(keep))
	postgres := os.Getenv("POSDX_PACE_STORE") == "postgres"
	if postgres {
		// As its handbook advises for a server that writes much (PostgreSQL 15, 20.5.2 and 30.5).
		housetest.SetPostgres("shared_buffers=1GB", "max_wal_size=12GB", "checkpoint_timeout=15min", "wal_compression=lz4",
			"autovacuum_naptime=10s", "autovacuum_vacuum_cost_limit=2000", "wal_buffers=64MB")
		args = append(args, "--store", housetest.Postgres(t))
	} else {
		args = append(args, "--store", "sqlite:"+file)
	}
	var f *fleet
	if os.Getenv("POSDX_PACE_BROKER") == "mosquitto" {
		m := housetest.NewMosquitto(t, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n")
		f = start(t, dir, append(args, "--broker", m.URL())...)
		p.Broker = strings.TrimPrefix(m.URL(), "tcp://")
	}
	spec, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asPace+"="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	reports := json.NewDecoder(out)
	report := func() (r paced) {
		if err := reports.Decode(&r); err != nil {
			t.Fatal("the generator ended: ", err)
		}
		if r.Wrong != "" {
			t.Fatal("the generator ended: ", r.Wrong)
		}
		return r
	}
	if r := report(); f == nil {
		f = start(t, dir, append(args, "--broker", "tcp://"+r.Address)...)
	}
	pid := f.cmd.Process.Pid
	// A server's processes come and go: what one had when it was last seen counts.
	ofServer := map[int]time.Duration{}
	servers := func() (used time.Duration) {
		if postgres {
			for _, pid := range housetest.PostgresPIDs() {
				ofServer[pid] = max(ofServer[pid], ticks(pid))
			}
		}
		for _, d := range ofServer {
			used += d
		}
		return used
	}
	ofDisk := map[int]int64{}
	written := func() (n int64) {
		for _, pid := range append(housetest.PostgresPIDs(), pid) {
			ofDisk[pid] = max(ofDisk[pid], wrote(pid))
		}
		for _, k := range ofDisk {
			n += k
		}
		return n
	}
	filed := func() (n int64) {
		for _, name := range []string{file, file + "-wal"} {
			if info, err := os.Stat(name); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	began := time.Now()
	last, used, server, put := paced{}, ticks(pid), servers(), written()
	startCPU, startServer := used, server
	var memory, disk []int64
	t.Logf("%v of %.0f documents a second from %d terminals, %v", p.For, p.Rate, p.Terminals, strings.Join(args, " "))
	for !last.Over {
		r := report()
		since := time.Since(began)
		began = time.Now()
		now, nowServer, nowPut := ticks(pid), servers(), written()
		n := max(1, r.Kept-last.Kept)
		memory, disk = append(memory, rss(pid)), append(disk, filed())
		line := fmt.Sprintf("%6d kept, %6.0f/s, behind %5d; ack p50 %v p95 %v max %v", r.Kept,
			float64(n)/since.Seconds(), r.Due-r.Kept, r.P50.Round(time.Millisecond), r.P95.Round(time.Millisecond),
			r.Max.Round(time.Millisecond))
		line += fmt.Sprintf("; fleet %.0f µs, generator %.0f µs a document",
			float64((now-used).Microseconds())/float64(n), float64((r.CPU-last.CPU).Microseconds())/float64(n))
		if postgres {
			line += fmt.Sprintf(", server %.0f µs", float64((nowServer-server).Microseconds())/float64(n))
		}
		line += fmt.Sprintf(", %.1f kB to disk", float64(nowPut-put)/1e3/float64(n))
		wal := int64(0)
		if info, err := os.Stat(file + "-wal"); err == nil {
			wal = info.Size()
		}
		t.Logf("%s; memory %d MB, file %d MB (log %d MB); %d bytes", line, memory[len(memory)-1]>>20,
			disk[len(disk)-1]>>20, wal>>20, r.Bytes)
		last, used, server, put = r, now, nowServer, nowPut
		if behind := time.Duration(float64(r.Due-r.Kept) / p.Rate * float64(time.Second)); full != "" && behind > fallBehind {
			t.Fatalf("it falls behind, by %v", behind)
		}
	}
	stored := f.counter(t, "posdx_fleet_documents_stored_total")
	twice := f.counter(t, "posdx_fleet_documents_duplicate_total")
	lost := f.counter(t, "posdx_fleet_acks_lost_total")
	failures := f.counter(t, "posdx_fleet_commit_failures_total")
	rejected := len(regexp.MustCompile(`(?m)^posdx_fleet_documents_rejected_total\{.*\} [1-9]`).FindAllString(get(t, f.page+"/metrics"), -1))
	total := last.Kept
	t.Logf("%d kept, %d twice, rejected for %d reasons, %d acks again, %d commits failed; "+
		"fleet %.0f µs a document, server %.0f, %d bytes each", stored, twice, rejected, lost, failures,
		float64((used-startCPU).Microseconds())/float64(total),
		float64((server-startServer).Microseconds())/float64(total), last.Bytes)
	want := int(p.Rate * p.For.Seconds())
	if stored != want || total != want || twice+rejected+failures != 0 {
		t.Errorf("%d documents are kept and %d acknowledged, want %d, each once, none refused", stored, total, want)
	}
	f.stop(t)
	if !postgres {
		to, _ := scatter(p.Terminals)
		db, err := sql.Open("sqlite", "file:"+file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var received, duplicates, gaps, rows, distinct, made int
		err = db.QueryRow("SELECT sum(received), sum(duplicates), sum(gaps <> '[]') FROM streams").
			Scan(&received, &duplicates, &gaps)
		if err != nil || received != total || duplicates != 0 || gaps != 0 {
			t.Errorf("the streams hold %d documents, %d twice, %d have gaps: %v; want %d, 0, 0", received, duplicates, gaps,
				err, total)
		}
		for i := range total {
			// A final revision makes a row where the first one did not: none came before, or it was before this began.
			turn := i/p.Terminals + int(to[i%p.Terminals])
			if turns[turn%len(turns)] != hours && (i < p.Terminals || !raises(turn)) {
				made++
			}
		}
		err = db.QueryRow("SELECT count(*), count(DISTINCT terminal || ' ' || seq) FROM diagnoses").Scan(&rows, &distinct)
		if err != nil || rows != distinct || rows < min(keep, made) || rows > made {
			t.Errorf("%d diagnoses are there, %d distinct: %v; want %d at least of %d", rows, distinct, err, min(keep, made), made)
		}
		t.Logf("%d diagnoses are left in the store", rows)
	}
	if full == "" {
		return
	}
	// Half of the time is for filling what has bounds.
	half := len(memory) / 2
	if was, is := slices.Max(memory[:max(1, half)]), slices.Max(memory[half:]); is > was*5/4+(64<<20) {
		t.Errorf("memory grew from %d MB to %d MB", was>>20, is>>20)
	}
	if was, is := slices.Max(disk[:max(1, half)]), slices.Max(disk[half:]); p.For >= 10*time.Minute && is > was*5/4 {
		t.Errorf("the store's file grew from %d MB to %d MB", was>>20, is>>20)
	}
}
