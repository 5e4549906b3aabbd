package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// A carrier's labels come in the births; its incident is found by its name, whatever letters that has; and what the
// terminals are told is signed.
func TestLabelsBecomeAPlaceAndASignedAdvisory(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "advisory.key")
	public := func() string {
		var out, errs strings.Builder
		if code := runAdvisoryKey(t.Context(), stdio{out: &out, err: &errs}, []string{key}); code != exitOK {
			t.Fatal(errs.String())
		}
		return strings.TrimSpace(out.String())
	}
	shown := public()
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 || public() != shown {
		t.Errorf("the key is made once and read by its owner only: %v %v", info.Mode(), err)
	}
	raw, err := base64.StdEncoding.DecodeString(shown)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		t.Fatal(shown, err)
	}

	f := start(t, dir, "--mqtt-listen", "127.0.0.1:0", "--advisory-key", key)
	carriers := []string{"中国移动", "中国联通"}
	for i := range 24 {
		u := dial(t, f.mqtt, sample.New("shop", fmt.Sprint("t", i)))
		b := u.Birth(1)
		b.Labels = map[string]string{"carrier": carriers[i%2], "acquirer": fmt.Sprint("bank-", i%3), "site": fmt.Sprint("site-", i/4)}
		u.say(t)(u.Uncounted(report.KindBirth, b))
		if i%2 == 1 {
			u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "ConnectError", "wan.outage", "wan")))
			u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
		}
	}
	housetest.Until(t, "the incident has the carrier's name", func() bool {
		var a struct{ Incidents []store.Incident }
		f.get(t, "/api/v1/incidents", &a)
		return len(a.Incidents) == 1 && a.Incidents[0].Scope == "carrier" && a.Incidents[0].Key == "中国联通" && a.Incidents[0].Terminals == 12
	})
	housetest.Until(t, "the advisory is retained and signed", func() bool {
		u := dial(t, f.mqtt, sample.New("shop", "late"))
		defer u.client.Disconnect(100)
		got := make(chan mqtt.Message, 4)
		u.client.Subscribe(u.At.AdvisoryFilter(), 1, func(_ mqtt.Client, m mqtt.Message) { got <- m })
		select {
		case m := <-got:
			a, err := report.ReadAdvisory(m.Topic(), m.Payload(), []ed25519.PublicKey{raw})
			return err == nil && m.Topic() == "pos/v1/shop/advisory/carrier/"+report.TopicKey("中国联通") && a.Terminals == 12 && a.SharePct == 100 && !a.Since.IsZero()
		case <-time.After(time.Second):
			return false
		}
	})
}
