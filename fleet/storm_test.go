package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// A thin client is a terminal's session without a library around it, so that thousands fit into one test.
type thin struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialThin(address, id string, bound time.Duration) (*thin, error) {
	conn, err := net.DialTimeout("tcp", address, bound)
	if err != nil {
		return nil, err
	}
	c := &thin{conn, bufio.NewReaderSize(conn, 512)}
	conn.SetDeadline(time.Now().Add(bound))
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.ClientIdentifier, p.Keepalive, p.CleanSession = "MQTT", 4, id, 600, false
	err = p.Write(conn)
	if err == nil {
		var answer packets.ControlPacket
		if answer, err = packets.ReadPacket(c.in); err == nil {
			if a, ok := answer.(*packets.ConnackPacket); !ok || a.ReturnCode != packets.Accepted {
				err = fmt.Errorf("refused: %v", answer)
			}
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *thin) subscribe(topic string) error {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.MessageID, p.Topics, p.Qoss = 1, []string{topic}, []byte{1}
	return p.Write(c.conn)
}

func (c *thin) publish(number uint16, topic string, payload []byte) error {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, number, topic, payload
	return p.Write(c.conn)
}

// acked reads the next of the fleet's acks: up to which number everything is kept.
func (c *thin) acked(bound time.Time) (uint64, error) {
	c.conn.SetDeadline(bound)
	for {
		p, err := packets.ReadPacket(c.in)
		if err != nil {
			return 0, err
		}
		m, ok := p.(*packets.PublishPacket)
		if !ok {
			continue
		}
		a := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		a.MessageID = m.MessageID
		if err := a.Write(c.conn); err != nil {
			return 0, err
		}
		var ack report.Ack
		if json.Unmarshal(m.Payload, &ack) == nil {
			return ack.Seq, nil
		}
	}
}

// repeatAfter is an agent's patience with the fleet: what is not acknowledged so long after the last ack that moved
// goes out again, on the same connection, and the next time after twice as long.
const repeatAfter = time.Minute

// deliver sends documents and returns when the fleet has all, how often it had to be asked again.
func (c *thin) deliver(topics []string, payloads [][]byte, from *uint64) (repeats int, err error) {
	wait := repeatAfter
	send := func() error {
		c.conn.SetDeadline(time.Now().Add(repeatAfter))
		for n := *from; n < uint64(len(topics)); n++ {
			if err := c.publish(uint16(n+2), topics[n], payloads[n]); err != nil {
				return err
			}
		}
		return nil
	}
	err = send()
	for bound := time.Now().Add(wait); err == nil && *from < uint64(len(topics)); {
		var seq uint64
		seq, err = c.acked(bound)
		switch {
		case err == nil && seq > *from:
			*from, wait = seq, repeatAfter
			bound = time.Now().Add(wait)
		case errors.Is(err, os.ErrDeadlineExceeded) && repeats < 4:
			repeats++
			wait *= 2
			err = send()
			bound = time.Now().Add(wait)
		}
	}
	return repeats, err
}

// counter reads one of the fleet's own numbers.
func (f *fleet) counter(t testing.TB, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(get(t, f.page+"/metrics"))
	if m == nil {
		t.Fatal("no counter", name)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// TestStorm: all terminals come back within seconds, each with what it kept meanwhile, at a mosquitto. Each repeats
// what is not acknowledged as an agent does; so every document that comes twice was acknowledged too late, or sent on a
// connection that the broker ended. POSDX_STORM=10000 is the number of terminals.
func TestStorm(t *testing.T) {
	terminals, each := 200, 6
	if n := os.Getenv("POSDX_STORM"); n != "" {
		fmt.Sscan(n, &terminals)
	}
	m := housetest.NewMosquitto(t, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n")
	f := start(t, t.TempDir(), "--broker", m.URL())
	address := strings.TrimPrefix(m.URL(), "tcp://")
	within := time.Duration(terminals) * time.Millisecond // all of them begin to come back
	var wg sync.WaitGroup
	var mu sync.Mutex
	var waits []time.Duration
	var again, lost atomic.Int64
	began := time.Now()
	for i := range terminals {
		a := sample.New("shop", fmt.Sprintf("t%05d", i))
		wg.Go(func() {
			// The pace of a storm: agents spread their return.
			time.Sleep(within * time.Duration(i) / time.Duration(terminals))
			var topics []string
			var payloads [][]byte
			for n := range each {
				topic, p := a.Wrap(report.KindDiagnosis, a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer"))
				topics, payloads = append(topics, topic), append(payloads, p)
			}
			first := time.Now()
			kept := uint64(0)
			for try := range 8 {
				err := func() error {
					c, err := dialThin(address, a.At.Terminal, soon)
					if err != nil {
						return err
					}
					defer c.conn.Close()
					if err := c.subscribe(a.At.Topic("ack")); err != nil {
						return err
					}
					repeats, err := c.deliver(topics, payloads, &kept)
					again.Add(int64(repeats))
					return err
				}()
				if err == nil {
					mu.Lock()
					waits = append(waits, time.Since(first))
					mu.Unlock()
					return
				}
				if try == 7 {
					t.Errorf("%s: %v", a.At.Terminal, err)
					return
				}
				lost.Add(1)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	took := time.Since(began)
	slices.Sort(waits)
	stored, twice := f.counter(t, "posdx_fleet_documents_stored_total"), f.counter(t, "posdx_fleet_documents_duplicate_total")
	if stored != terminals*each {
		t.Errorf("%d documents are kept, want %d", stored, terminals*each)
	}
	if twice > 0 && again.Load()+lost.Load() == 0 {
		t.Errorf("%d documents came twice and nobody repeated one", twice)
	}
	late := f.counter(t, "posdx_fleet_acks_lost_total")
	f.stop(t)
	used := f.cmd.ProcessState.UserTime() + f.cmd.ProcessState.SystemTime()
	t.Logf("%d terminals, %d documents in %v, %v of the fleet's CPU; terminals that repeated %d, connections lost %d, documents that came twice %d, acks not taken at once %d; from connect to the last ack: p50 %v, p95 %v",
		terminals, stored, took.Round(time.Millisecond), used.Round(time.Millisecond), again.Load(), lost.Load(), twice, late,
		waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)*95/100].Round(time.Millisecond))
}
