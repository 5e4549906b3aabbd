package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// The fleet behind a broker as one would really run it: TLS, client certificates that are the users, and access rules.
func TestMosquittoWithCertificates(t *testing.T) {
	dir := housetest.Certificates(t, "server", "posdx-fleet", "t1")
	at := func(name string) string { return filepath.Join(dir, name) }
	rules, err := filepath.Abs("../firmware-build/broker/mosquitto/posdx.acl")
	if err != nil {
		t.Fatal(err)
	}
	url := housetest.NewMosquitto(t, "cafile "+at("ca.pem")+"\ncertfile "+at("server.pem")+"\nkeyfile "+at("server.key")+"\nrequire_certificate true\nuse_identity_as_username true\nacl_file "+rules+"\n").URL()
	f := start(t, t.TempDir(), "--broker", url, "--ca", at("ca.pem"), "--cert", at("posdx-fleet.pem"), "--key", at("posdx-fleet.key"))

	pair, err := tls.LoadX509KeyPair(at("t1.pem"), at("t1.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, _ := os.ReadFile(at("ca.pem"))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	u := dial(t, url, sample.New("shop", "t1"), func(o *mqtt.ClientOptions) {
		o.SetTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool})
	})
	other := sample.New("shop", "t2")
	u.say(t)(other.Wrap(report.KindDiagnosis, other.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))) // the broker takes it and throws it away
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
	u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
	if rows := f.all(t); len(rows) != 1 || rows[0].Terminal != "t1" {
		t.Errorf("%+v", rows)
	}
}

// A broker that refuses is named with its reason, and the fleet goes on trying.
func TestBrokerRefuses(t *testing.T) {
	url := housetest.NewMosquitto(t, "allow_anonymous false\n").URL()
	var says strings.Builder
	done := make(chan int, 1)
	sink := &lockedBuilder{b: &says, seen: make(chan struct{}, 100)}
	dir := t.TempDir()
	ctx, cancel := withCancel(t)
	go func() {
		done <- run(ctx, stdio{out: sink, err: sink}, []string{"serve", "--listen", "127.0.0.1:0", "--data", dir, "--broker", url})
	}()
	sink.wait(t, "ot Authorized") // paho's word for it
	sink.wait(t, "trying again")
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// Workers of one group share what the broker has: each document is stored once, by either.
func TestWorkersShareDocuments(t *testing.T) {
	url := housetest.NewMosquitto(t, "allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n").URL()
	one := start(t, t.TempDir(), "--broker", url, "--share", "workers")
	two := start(t, t.TempDir(), "--broker", url, "--share", "workers")
	const terminals = 20
	for i := range terminals {
		u := dial(t, url, sample.New("shop", fmt.Sprint("t", i)))
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
	}
	a, b := one.all(t), two.all(t)
	if len(a)+len(b) != terminals || len(a) == 0 || len(b) == 0 {
		t.Errorf("%d and %d stored, want %d together and some each", len(a), len(b), terminals)
	}
}

// Two fleets on one broker do not throw each other out.
func TestTwoFleetsOnOneBroker(t *testing.T) {
	url := housetest.NewMosquitto(t, "allow_anonymous true\n").URL()
	one := start(t, t.TempDir(), "--broker", url)
	two := start(t, t.TempDir(), "--broker", url)
	u := dial(t, url, sample.New("shop", "t1"))
	u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
	housetest.Until(t, "both have it", func() bool { return len(one.all(t)) == 1 && len(two.all(t)) == 1 })
}
