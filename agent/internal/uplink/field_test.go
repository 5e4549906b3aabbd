package uplink

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"posdx/agent/report"
)

// Brokers that hang up at a packet above their limit, as they were met: the document is found out and stood in for,
// what stands behind it goes through, and the session does not flap for ever. By eclipse/paho.mqtt.c #47 (4 kB),
// mqttjs/MQTT.js #768 (64 kB), aws/aws-iot-device-sdk-js-v2 #535 and eclipse/paho.mqtt.python #760 (128 kB and a
// byte, whatever the broker announces: gigabytes over mobile networks), eclipse-mosquitto/mosquitto #3515 (the header
// is counted, or is not).
func TestBrokersLimitsOfTheField(t *testing.T) {
	const largest = 60 << 10 // of a document: the outbox takes 64 kB
	for _, limit := range []int{4 << 10, 4<<10 + 4, 32 << 10, 64 << 10, 128 << 10} {
		synctest.Test(t, func(t *testing.T) {
			box := newBox(t)
			s := newScript(t)
			s.publish = func(_ *link, p *packets.PublishPacket) string {
				if len(p.Payload) > limit {
					return "refuse"
				}
				return ""
			}
			r := start(t, s, box, Config{}, Handlers{})
			defer r.stop()
			rest(time.Minute)
			noise := make([]byte, min(3*limit/2, largest*3/4)) // packed, it is three quarters as large
			rand.Read(noise)
			big, _ := json.Marshal(map[string]string{"id": "big", "noise": base64.StdEncoding.EncodeToString(noise)})
			for i, doc := range [][]byte{[]byte(`{"id":"before"}`), big, []byte(`{"id":"behind"}`)} {
				if _, err := box.Append(report.KindDiagnosis, true, time.Now(), doc); err != nil {
					t.Fatal(i, err)
				}
			}
			r.Kick()
			rest(15 * time.Minute)
			if n := box.Stats().Records; n != 0 {
				t.Errorf("limit %d: %d records still wait", limit, n)
			}
			fits := limit > largest
			if n := r.Counters().SetAside; (n == 0) != fits || n > 3 {
				t.Errorf("limit %d: %d times set aside", limit, n)
			}
			if w := r.State().Warning; strings.Contains(w, "raise its size limit") == fits {
				t.Errorf("limit %d: warning %q", limit, w)
			}
			before := s.connections()
			rest(2 * time.Hour)
			if n := s.connections() - before; n > 0 || !r.State().Connected {
				t.Errorf("limit %d: %d more sessions in two hours", limit, n)
			}
		})
	}
}

// A message that is larger than the client takes comes again at every connection, for as long as the session lives:
// thin-edge/thin-edge.io #3124 (1 MiB), nanomq/nanomq #1236, eclipse-mosquitto/mosquitto #3503 (a broker holds none
// back). It is passed over, acknowledged and answered, whatever its topic, and the session lives.
func TestAMessageAboveTheLimitComesOnce(t *testing.T) {
	for _, name := range []string{"cmd/knowledge", "cmd/nobody", "ack"} {
		synctest.Test(t, func(t *testing.T) {
			box := newBox(t)
			s := newScript(t)
			r := start(t, s, box, Config{}, Handlers{})
			defer r.stop()
			rest(time.Minute)
			s.current().say(at.Topic(name), false, []byte(strings.Repeat("x", 1<<20+1)))
			rest(time.Minute)
			fill(t, box, 3)
			r.Kick()
			rest(time.Minute)
			if n := box.Stats().Records; n != 0 || s.connections() != 1 {
				t.Errorf("%s: %d records wait, %d connections", name, n, s.connections())
			}
		})
	}
}

// Sessions that end soon after they begin, while documents wait and the broker is well again, bring no wait of ten
// minutes: that is for two clients of one name, which have nothing to say to each other.
func TestShortSessionsHoldUpNoDocuments(t *testing.T) {
	for _, waiting := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			box := newBox(t)
			fill(t, box, waiting)
			s := newScript(t)
			short := 3 * fightAfter
			s.publish = func(l *link, p *packets.PublishPacket) string {
				if l.n <= short && strings.HasSuffix(p.TopicName, report.KindBirth) {
					return "refuse"
				}
				return ""
			}
			r := start(t, s, box, Config{}, Handlers{})
			defer r.stop()
			began, longest := time.Now(), time.Duration(0)
			for !r.State().Connected || s.connections() <= short {
				if rest(time.Second); time.Since(began) > 5*time.Hour {
					t.Fatalf("%d waiting: not back after %d sessions", waiting, s.connections())
				}
			}
			rest(time.Minute)
			dials := s.dials()
			for i := 1; i < len(dials); i++ {
				longest = max(longest, dials[i].Sub(dials[i-1]))
			}
			if waiting > 0 && (longest > time.Minute+time.Second || box.Stats().Records > 0) {
				t.Errorf("%d documents waited %v at most between two tries, %d are left", waiting, longest, box.Stats().Records)
			}
			if waiting == 0 && longest < time.Minute {
				t.Errorf("with nothing to say it came again within %v each time: this test could not fail", longest)
			}
		})
	}
}
