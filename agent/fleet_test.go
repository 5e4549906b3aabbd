package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"posdx/agent/internal/uplink"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestFleetCommandsOverMosquitto sends every command through a real broker to a whole daemon, a knowledge pack of real
// size among them.
func TestFleetCommandsOverMosquitto(t *testing.T) {
	url := housetest.NewMosquitto(t, "allow_anonymous true\n").URL()

	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := mustParse(t, least+"state_dir = \""+dir+"\"\n[hook]\nsocket = \""+dir+
		"/s\"\n[broker]\nurl = [\""+url+"\"]\n[knowledge]\nkeys = [\""+base64.StdEncoding.EncodeToString(public)+"\"]\n")
	replies := make(chan report.Reply, 8)
	fleet := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("fleet").
		SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond))
	if k := fleet.Connect(); !k.WaitTimeout(20*time.Second) || k.Error() != nil {
		t.Fatalf("connect: %v", k.Error())
	}
	defer fleet.Disconnect(0)
	at := report.Address{Estate: c.Estate, Terminal: c.Terminal}
	online := make(chan struct{}, 1)
	fleet.Subscribe(at.Topic("birth"), 1, func(mqtt.Client, mqtt.Message) {
		select {
		case online <- struct{}{}:
		default:
		}
	}).WaitTimeout(10 * time.Second)
	fleet.Subscribe(at.Topic("reply/+"), 1, func(_ mqtt.Client, m mqtt.Message) {
		var e report.Envelope
		var r report.Reply
		body := m.Payload()
		if json.Unmarshal(body, &e) == nil && len(e.Data) > 0 && e.Type != "" {
			body = e.Data
		}
		if err := json.Unmarshal(body, &r); err != nil {
			t.Errorf("reply on %s: %v", m.Topic(), err)
		}
		replies <- r
	}).WaitTimeout(10 * time.Second)

	_, stop := startIn(t, c)
	defer stop()
	select {
	case <-online:
	case <-time.After(30 * time.Second):
		t.Fatal("the terminal was never born")
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := signedPack(t, "2999.01.01", private)
	pack := base64.StdEncoding.EncodeToString(signed)
	forged := base64.StdEncoding.EncodeToString(signedPack(t, "2999.01.01", stranger))
	signed[len(signed)/2] ^= 1
	spoiled := base64.StdEncoding.EncodeToString(signed)
	for i, q := range []struct {
		name string
		args map[string]any
		want string
	}{
		{"ping", nil, "done"}, {"health", nil, "done"}, {"diagnose", map[string]any{"code": "96", "origin": "host"}, "done"},
		{"diagnose", nil, "refused"}, {"bundle", nil, "done"}, {"reboot", nil, "refused"},
		{"knowledge", map[string]any{"pack": "AAAA"}, "refused"}, {"knowledge", map[string]any{"pack": forged}, "refused"},
		{"knowledge", map[string]any{"pack": spoiled}, "refused"}, {"knowledge", map[string]any{"pack": pack}, "done"},
		{"knowledge", map[string]any{"pack": pack}, "refused"}, // not newer than itself
	} {
		id := fmt.Sprintf("c%d", i)
		fleet.Publish(at.Topic("cmd/"+q.name), 1, false, mustJSON(t, report.Command{ID: id, Args: q.args}))
		select {
		case r := <-replies:
			if r.ID != id || r.Result != q.want || q.want == "refused" && r.Why == "" {
				t.Errorf("%s: got %+v, want %s", q.name, r, q.want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: no reply", q.name)
		}
	}
}

// TestEveryCountIsTold: what the session counts, losses above all, is in the health that the fleet reads.
func TestEveryCountIsTold(t *testing.T) {
	var c uplink.Counters
	m := map[string]int64{}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Int64 {
			v.Field(i).SetInt(int64(1000 + i))
		}
	}
	tellCounts(c, m)
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Int64 && !slices.Contains(slices.Collect(maps.Values(m)), f.Int()) {
			t.Errorf("%s is counted and told to nobody", v.Type().Field(i).Name)
		}
	}
}
