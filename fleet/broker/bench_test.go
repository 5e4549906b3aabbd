package broker

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// BenchmarkSessions has terminals connect all at once, each with six documents of 1.4 kB that waited, to a broker that
// takes a number of sessions. It tells how many were let in, how long the last of them waited to be, and how many of
// their documents were acknowledged and reached the fleet, by when. A run gives up after two minutes.
func BenchmarkSessions(b *testing.B) {
	for _, c := range []struct{ terminals, sessions int }{
		{1000, 2000}, {2000, 2000}, {5000, 2000}, {3000, 3000}, {5000, 5000},
	} {
		b.Run(fmt.Sprintf("terminals=%d/limit=%d", c.terminals, c.sessions), func(b *testing.B) {
			for b.Loop() {
				reconnect(b, c.terminals, c.sessions)
			}
		})
	}
}

func reconnect(b *testing.B, terminals, sessions int) {
	const (
		documents = 6
		patience  = 2 * time.Minute
	)
	br, err := Start(Config{Listen: "127.0.0.1:0", Dir: b.TempDir(), Sessions: sessions}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer br.Stop()
	var reached atomic.Int64
	fleet := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(br.URL()).SetClientID("fleet").SetAutoReconnect(false).
		SetOrderMatters(false))
	if t := fleet.Connect(); !t.WaitTimeout(soon) || t.Error() != nil {
		b.Fatal(t.Error())
	}
	defer fleet.Disconnect(0)
	news := make(chan struct{}, 1)
	fleet.Subscribe("pos/v1/+/+/diagnosis", 1, func(mqtt.Client, mqtt.Message) {
		reached.Add(1)
		select {
		case news <- struct{}{}:
		default:
		}
	}).WaitTimeout(soon)

	begin := time.Now()
	deadline := begin.Add(patience)
	var in, acknowledged, slowest atomic.Int64
	var all sync.WaitGroup
	for i := range terminals {
		all.Go(func() {
			conn, err := net.Dial("tcp", br.Address())
			if err != nil {
				return
			}
			b.Cleanup(func() { conn.Close() })
			conn.SetDeadline(deadline)
			hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
			hello.ProtocolName, hello.ProtocolVersion, hello.Keepalive = "MQTT", 4, 300
			hello.ClientIdentifier = fmt.Sprint("t", i)
			if hello.Write(conn) != nil {
				return
			}
			p, err := packets.ReadPacket(conn)
			if ack, ok := p.(*packets.ConnackPacket); err != nil || !ok || ack.ReturnCode != packets.Accepted {
				return
			}
			in.Add(1)
			for took := int64(time.Since(begin)); ; {
				if was := slowest.Load(); took <= was || slowest.CompareAndSwap(was, took) {
					break
				}
			}
			for n := range documents {
				doc := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
				doc.TopicName, doc.Qos, doc.MessageID = fmt.Sprintf("pos/v1/shop/t%d/diagnosis", i), 1, uint16(n+1)
				doc.Payload = make([]byte, 1400)
				if doc.Write(conn) != nil {
					return
				}
				if _, err := packets.ReadPacket(conn); err != nil {
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	all.Wait()
	late := time.After(time.Until(deadline))
	for waiting := true; waiting && reached.Load() < acknowledged.Load(); {
		select {
		case <-news:
		case <-late:
			waiting = false
		}
	}
	b.ReportMetric(float64(in.Load()), "let-in")
	b.ReportMetric(time.Duration(slowest.Load()).Seconds(), "s-to-last-session")
	b.ReportMetric(float64(acknowledged.Load())/float64(max(1, in.Load()*documents))*100, "%-acknowledged")
	b.ReportMetric(float64(reached.Load())/float64(max(1, in.Load()*documents))*100, "%-reached")
	b.ReportMetric(time.Since(begin).Seconds(), "s-to-all")
	b.ReportMetric(0, "ns/op")
}
