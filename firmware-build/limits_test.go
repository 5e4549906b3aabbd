package firmware

import (
	"os"
	"strings"
	"testing"

	"posdx/agent/report"
)

// One number bounds every message: what a terminal takes, the brokers' files and the schema say.
func TestOneNumberBoundsEveryMessage(t *testing.T) {
	if report.MaxMessage != 294912 || report.MaxMessage%1024 != 0 {
		t.Fatalf("the limit is %d now: change it in the files below too", report.MaxMessage)
	}
	for file, line := range map[string]string{
		"broker/mosquitto/posdx.conf":          "\nmax_packet_size 294912\n",
		"broker/nats/posdx.conf":               "\nmax_payload: 294912\n",
		"broker/emqx/acl.conf":                 "max_packet_size = 288KB",
		"../agent/report/schema/command.json":  "294912 bytes",
		"../agent/report/schema/envelope.json": "294912 bytes",
		"../fleet/broker/broker.go":            "MaxPayload: report.MaxMessage",
		"../agent/internal/uplink/conn.go":     "const maxPacket = report.MaxMessage",
		"../agent/internal/uplink/command.go":  "maxKnowledge   = report.MaxMessage",
	} {
		b, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(b), line) {
			t.Errorf("%s does not say %q: %v", file, line, err)
		}
	}
}

// A terminal may say everywhere what it has to say.
func TestBrokersLetEveryKindThrough(t *testing.T) {
	for _, kind := range []string{report.KindStatus, report.KindBirth, report.KindDiagnosis, report.KindAsked,
		report.KindOutcome, report.KindHealth, report.KindTally, report.KindDropped} {
		for file, line := range map[string]string{
			"broker/mosquitto/posdx.acl": "pattern write pos/v1/shop/%u/" + kind + "\n",
			"broker/nats/posdx.conf":     `"pos.v1.shop.t1.` + kind + `"`,
			"broker/emqx/acl.conf":       `"pos/v1/shop/${username}/` + kind + `"`,
		} {
			b, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(b), line) {
				t.Errorf("%s does not have %q: %v", file, line, err)
			}
		}
	}
}
