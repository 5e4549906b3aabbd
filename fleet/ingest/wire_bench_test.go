package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/store"
)

// A feed is the broker's end of one session, in a process of its own, so that its CPU is apart: it makes its documents
// before anybody connects, sends them as fast as the other end acknowledges them, and takes in the fleet's acks.
type feed struct {
	Evidence, Warm, Documents int
	Acks                      bool // wait for the fleet's word, not only for the broker's acknowledgements
}

// A fed is what a feed saw after its warm-up.
type fed struct {
	Bytes  int           // of one document, without topic and header
	Took   time.Duration // from the first byte to the last acknowledgement
	CPU    time.Duration // of the feed
	AckP95 time.Duration // from a document into the socket to the ack that covers it
}

const (
	feedEnv = "POSDX_FEED"

	// feedWindow is how many documents are on their way unacknowledged, as from a mosquitto whose max_inflight_messages
	// is 4000.
	feedWindow = 4000
)

// runFeed is the other process: its address goes to stdout, then "warm"; a line on stdin starts the clock, and what was
// seen ends it.
func runFeed(spec string) error {
	var f feed
	if err := json.Unmarshal([]byte(spec), &f); err != nil {
		return err
	}
	topics, payloads := documents(f.Warm+f.Documents, f.Evidence)
	list := make([][]byte, len(payloads))
	for i := range payloads {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.Qos, p.MessageID, p.TopicName, p.Payload = 1, uint16(i%65_535+1), topics[i], payloads[i]
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			return err
		}
		list[i] = b.Bytes()
	}
	result := fed{Bytes: len(payloads[len(payloads)-1])}
	topics, payloads = nil, nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()

	var mu sync.Mutex
	moved := sync.NewCond(&mu)
	puback, acked := 0, make([]int, benchTerminals)
	sent := make([]time.Time, len(list)) // of document i, the i/benchTerminals-th of terminal i%benchTerminals
	var waits []time.Duration
	ready := make(chan struct{})
	go func() {
		err := func() error {
			in := bufio.NewReaderSize(conn, 64<<10)
			for {
				p, err := packets.ReadPacket(in)
				if err != nil {
					return err
				}
				switch p := p.(type) {
				case *packets.ConnectPacket:
					err = packets.NewControlPacket(packets.Connack).Write(conn)
				case *packets.SubscribePacket:
					a := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
					a.MessageID, a.ReturnCodes = p.MessageID, p.Qoss
					err = a.Write(conn)
					close(ready)
				case *packets.PubackPacket:
					mu.Lock()
					puback++
					moved.Signal()
					mu.Unlock()
				case *packets.PublishPacket:
					var ack report.Ack
					who, e := strconv.Atoi(strings.TrimPrefix(strings.Split(p.TopicName, "/")[3], "b"))
					if err = cmp.Or(e, json.Unmarshal(p.Payload, &ack)); err != nil {
						return err
					}
					now := time.Now()
					mu.Lock()
					for ; acked[who] < int(ack.Seq); acked[who]++ {
						if i := acked[who]*benchTerminals + who; i >= f.Warm {
							waits = append(waits, now.Sub(sent[i]))
						}
					}
					moved.Signal()
					mu.Unlock()
					a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
					a.MessageID = p.MessageID
					err = a.Write(conn)
				}
				if err != nil {
					return err
				}
			}
		}()
		if err != nil && err != io.EOF {
			fmt.Fprintln(os.Stderr, "feed:", err)
		}
	}()
	<-ready
	next := 0
	all := func(upTo int) error {
		var chunk net.Buffers
		for next < upTo {
			mu.Lock()
			for next-puback >= feedWindow {
				moved.Wait()
			}
			now, size := time.Now(), 0
			for ; next < upTo && next-puback < feedWindow && size < 64<<10; next++ {
				chunk, size, sent[next] = append(chunk, list[next]), size+len(list[next]), now
			}
			mu.Unlock()
			if _, err := chunk.WriteTo(conn); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
		mu.Lock()
		defer mu.Unlock()
		kept := func() bool {
			for who, n := range acked {
				if n < (upTo-who+benchTerminals-1)/benchTerminals {
					return false
				}
			}
			return true
		}
		for puback < upTo || f.Acks && !kept() {
			moved.Wait()
		}
		return nil
	}
	if err := all(f.Warm); err != nil {
		return err
	}
	fmt.Println("warm")
	stdin := bufio.NewReader(os.Stdin)
	if _, err := stdin.ReadString('\n'); err != nil {
		return err
	}
	began, used := time.Now(), cpu()
	if err := all(len(list)); err != nil {
		return err
	}
	result.Took, result.CPU = time.Since(began), cpu()-used
	if slices.Sort(waits); len(waits) > 0 {
		result.AckP95 = waits[len(waits)*95/100]
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	_, err = stdin.ReadString('\n') // the other end goes first
	return err
}

// through starts a feed, calls receive with its address, and reports what came through once it was warm.
func through(b *testing.B, f feed, receive func(ctx context.Context, url string), pid func() []int) {
	spec, err := json.Marshal(f)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), feedEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewReader(out)
	line := func() string {
		s, err := lines.ReadString('\n')
		if err != nil {
			b.Fatal("the feed ended: ", err)
		}
		return strings.TrimSpace(s)
	}
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	address := line()
	wg.Go(func() { receive(ctx, "tcp://"+address) })
	defer wg.Wait()
	defer stop()
	line()
	used, server := cpu(), cpuOf(pid())
	fmt.Fprintln(in)
	var r fed
	if err := json.Unmarshal([]byte(line()), &r); err != nil {
		b.Fatal(err)
	}
	used, server = cpu()-used, cpuOf(pid())-server
	n := float64(f.Documents)
	b.ReportMetric(n/r.Took.Seconds(), "docs/s")
	b.ReportMetric(float64(used.Microseconds())/n, "cpu-µs/doc")
	b.ReportMetric(float64(r.CPU.Microseconds())/n, "feed-µs/doc")
	if server > 0 {
		b.ReportMetric(float64(server.Microseconds())/n, "server-µs/doc")
	}
	if f.Acks {
		b.ReportMetric(r.AckP95.Seconds(), "ack-p95-s")
	}
	b.ReportMetric(float64(r.Bytes), "bytes")
	b.ReportMetric(0, "ns/op")
}

// cpuOf is what processes and their children have used.
func cpuOf(pids []int) time.Duration {
	var ticks time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(b), ") ")
		for _, s := range strings.Fields(after)[11:15] { // utime stime cutime cstime, proc(5)
			n, _ := strconv.Atoi(s)
			ticks += time.Duration(n)
		}
	}
	return ticks * (time.Second / 100)
}

// BenchmarkWire is the whole way from the bytes of MQTT packets on a connection to the ack that was handed to it: read,
// decoded, committed and synced, answered. The documents are made beforehand by another process, each another one, and
// only what comes after a warm-up counts; the senders' and the broker's work is not in it but for what it takes to copy
// the bytes into a socket and to read the answers, which is feed-µs/doc on the same cores. "sink" is a bare client that
// acknowledges and does nothing else; server-µs/doc is a PostgreSQL's own. POSDX_WIRE is the number of documents.
// go test ./fleet/ingest -run - -bench Wire -benchtime 1x
func BenchmarkWire(b *testing.B) {
	n := 20_000
	if s := os.Getenv("POSDX_WIRE"); s != "" {
		fmt.Sscan(s, &n)
	}
	n -= n % benchTerminals
	for _, evidence := range []int{-1, 24} {
		for _, kind := range []string{"sink", "sqlite", "postgres"} {
			size := "7kB"
			if evidence < 0 {
				size = "1kB"
			}
			b.Run(kind+"/"+size, func(b *testing.B) {
				f := feed{Evidence: evidence, Warm: 4000, Documents: n, Acks: kind != "sink"}
				none := func() []int { return nil }
				if kind == "sink" {
					through(b, f, sink, none)
					return
				}
				address, pids := "sqlite:"+filepath.Join(b.TempDir(), "fleet.db"), none
				if kind == "postgres" {
					address, pids = housetest.Postgres(b), housetest.PostgresPIDs
				}
				s, err := store.Open(b.Context(), address)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				m := NewMetrics(prometheus.NewRegistry())
				through(b, f, func(ctx context.Context, url string) {
					New(Config{URL: url, ClientID: "fleet"}, s, m, slog.New(slog.DiscardHandler), func() {},
						func(string, []byte) {}).Run(ctx)
				}, pids)
			})
		}
	}
}

// sink takes documents and does nothing else.
func sink(ctx context.Context, url string) {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("sink").SetAutoReconnect(false).
		SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {}))
	c.Connect().Wait()
	c.Subscribe("pos/v1/+/+/diagnosis", 1, nil).Wait()
	<-ctx.Done()
	c.Disconnect(0)
}
