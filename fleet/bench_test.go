package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// BenchmarkIngest brings documents of three sizes at once through mosquitto, first to a bare subscriber that only
// counts them, then to the fleet over each kind of store, and through the embedded broker, whose CPU is the fleet's:
// how much of the sink's rate it reaches, its own CPU (a PostgreSQL's is not in it), and how long a terminal waits for
// its ack while the backlog lasts. The senders, the broker and the fleet share the machine. go test ./fleet -run -
// -bench Ingest -benchtime 1x
func BenchmarkIngest(b *testing.B) {
	const terminals, each = 20, 300
	for _, evidence := range []int{-1, 0, 24} {
		list := make([]*sample.Terminal, terminals)
		topics, payloads := make([]string, terminals), make([][][]byte, terminals)
		size := 0
		for i := range list {
			a := sample.New("shop", fmt.Sprint("b", i))
			for n := range each {
				d := a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer")
				if evidence < 0 { // the least that a terminal may send
					d.Causes, d.Evidence, d.NextTest, d.CannotSeparate = d.Causes[1:], nil, nil, nil
				}
				for k := range max(0, evidence) {
					d.Evidence = append(d.Evidence, report.Evidence{Check: "net.tcp", Subject: fmt.Sprint("host-", k),
						Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 41.0 + float64(n), "address": "203.0.113.10",
							"port": 443.0}, At: time.Now(), Depth: report.Internal})
				}
				topic, p := a.Wrap(report.KindDiagnosis, d)
				topics[i], payloads[i] = topic, append(payloads[i], p)
				size = len(p)
			}
			list[i] = a
		}
		for _, kind := range []string{"sqlite", "postgres", "embedded"} {
			b.Run(fmt.Sprintf("%s/%d bytes", kind, size), func(b *testing.B) {
				dir, address := b.TempDir(), ""
				if kind == "postgres" {
					address = housetest.Postgres(b)
				}
				var f *fleet
				url := ""
				if kind == "embedded" {
					f = start(b, dir, "--mqtt-listen", "127.0.0.1:0")
					url = f.mqtt
				} else {
					url = housetest.NewMosquitto(b, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n").URL()
				}
				client := func(id string) mqtt.Client {
					c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(id).SetAutoReconnect(false))
					if t := c.Connect(); !t.WaitTimeout(soon) || t.Error() != nil {
						b.Fatal("connect", t.Error())
					}
					return c
				}
				senders := make([]mqtt.Client, terminals)
				for i := range senders {
					senders[i] = client(list[i].At.Terminal)
					defer senders[i].Disconnect(0)
				}
				send := func(sent func(i, n int)) {
					var wg sync.WaitGroup
					for i, c := range senders {
						wg.Go(func() {
							for n, p := range payloads[i] {
								sent(i, n)
								c.Publish(topics[i], 1, false, p)
							}
						})
					}
					wg.Wait()
				}
				var bare time.Duration
				if f == nil {
					var got atomic.Int64
					all := make(chan struct{})
					sink := client("sink")
					sink.Subscribe("pos/v1/+/+/diagnosis", 1, func(mqtt.Client, mqtt.Message) {
						if got.Add(1) == terminals*each {
							close(all)
						}
					}).WaitTimeout(soon)
					began := time.Now()
					send(func(int, int) {})
					<-all
					bare = time.Since(began)
					sink.Disconnect(0)
					f = start(b, dir, "--broker", url, "--store", address)
				}
				var mu sync.Mutex
				at := make([][each]time.Time, terminals)
				acked := make([]int, terminals)
				var waits []time.Duration
				var left atomic.Int64
				left.Store(terminals)
				done := make(chan struct{})
				for i, c := range senders {
					c.Subscribe(list[i].At.Topic("ack"), 1, func(_ mqtt.Client, m mqtt.Message) {
						var a report.Ack
						if json.Unmarshal(m.Payload(), &a) != nil {
							return
						}
						mu.Lock()
						for ; acked[i] < int(a.Seq); acked[i]++ {
							waits = append(waits, time.Since(at[i][acked[i]]))
						}
						last := acked[i] == each
						mu.Unlock()
						if last && left.Add(-1) == 0 {
							close(done)
						}
					}).WaitTimeout(soon)
				}
				began := time.Now()
				send(func(i, n int) { mu.Lock(); at[i][n] = time.Now(); mu.Unlock() })
				<-done
				took := time.Since(began)
				slices.Sort(waits)
				b.ReportMetric(terminals*each/took.Seconds(), "docs/s")
				if bare > 0 {
					b.ReportMetric(bare.Seconds()/took.Seconds(), "of-sink")
				}
				b.ReportMetric(waits[len(waits)*95/100].Seconds(), "ack-p95-s")
				f.stop(b)
				used := f.cmd.ProcessState.UserTime() + f.cmd.ProcessState.SystemTime()
				b.ReportMetric(float64(used.Microseconds())/(terminals*each), "fleet-µs/doc")
			})
		}
	}
}
