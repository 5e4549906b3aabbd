package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"posdx/agent/enroll"
	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/sample"
)

// A terminal gets its certificate from a running fleet, comes in with it at the embedded broker as itself and nobody
// else, is told that no renewal is due, and is shut out when it is revoked. Another estate's topics are closed to it.
func TestTerminalsEnrolAndComeIn(t *testing.T) {
	dir := housetest.Certificates(t, "server")
	at := func(name string) string { return filepath.Join(dir, name) }
	data := t.TempDir()
	f := start(
		t,
		data,
		"--enroll",
		"--web-cert",
		at("server.pem"),
		"--web-key",
		at("server.key"),
		"--mqtt-listen",
		"127.0.0.1:0",
		"--mqtt-cert",
		at("server.pem"),
		"--mqtt-key",
		at("server.key"),
	)
	ca, err := os.ReadFile(at("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	trust := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	t.Cleanup(client.CloseIdleConnections)

	command := func(args ...string) string {
		t.Helper()
		var out, talk strings.Builder
		if code := run(t.Context(), stdio{out: &out, err: &talk}, append(args, "--data", data)); code != 0 {
			t.Fatalf("%v: %d %s", args, code, talk.String())
		}
		return strings.TrimSpace(out.String())
	}
	asker := enroll.Asker{URL: f.page, TLS: trust}
	get := func(address string) []byte {
		t.Helper()
		key, r, err := enroll.New("x")
		if err != nil {
			t.Fatal(err)
		}
		r.Token = command("enroll", "token", address)
		a, err := asker.Ask(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := enroll.Pair(key, a.Chain)
		if err != nil {
			t.Fatal(err)
		}
		if _, r, _ := enroll.New("x"); true {
			r.Token = "posdx_enroll_guessed"
			if _, err := asker.Ask(t.Context(), r); err == nil || !strings.Contains(err.Error(), "not known") {
				t.Error("a guessed token:", err)
			}
		}
		return pair
	}
	pair := get("shop/t1")
	with := func(pair []byte) func(*mqtt.ClientOptions) {
		return func(o *mqtt.ClientOptions) {
			c := trust.Clone()
			if pair != nil {
				p, err := tls.X509KeyPair(pair, pair)
				if err != nil {
					t.Fatal(err)
				}
				c.Certificates = []tls.Certificate{p}
			}
			o.SetTLSConfig(c)
		}
	}
	broker := strings.Replace(f.mqtt, "tcp:", "ssl:", 1)
	u := dial(t, broker, sample.New("shop", "t1"), with(pair))
	topic, payload := u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))
	u.client.Publish(topic, 1, false, payload).Wait()
	<-u.acks
	// Its name in another estate is another terminal.
	forged := sample.New("mall", "t1")
	topic, payload = forged.Wrap(report.KindDiagnosis, forged.Diagnosis(1, 2, "97", "host.malfunction", "acquirer"))
	u.client.Publish(topic, 1, false, payload).Wait()
	topic, payload = u.Wrap(report.KindDiagnosis, u.Diagnosis(2, 2, "98", "host.malfunction", "acquirer"))
	u2 := dial(t, broker, sample.New("shop", "t1"), with(pair)) // the broker may have ended the session
	u2.client.Publish(topic, 1, false, payload).Wait()
	housetest.Until(t, "its own second report", func() bool {
		answer, err := client.Get(f.page + "/api/v1/diagnoses")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var a diagnosesAnswer
		if err := json.NewDecoder(answer.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		for _, d := range a.Diagnoses {
			if d.Estate != "shop" {
				t.Fatal("a terminal speaks for another estate")
			}
		}
		return len(a.Diagnoses) == 2
	})

	if _, r, err := enroll.Renewal(pair); err != nil {
		t.Fatal(err)
	} else if a, err := asker.Ask(t.Context(), r); err != nil || !a.NotDue {
		t.Error(a, err)
	}
	if list := command("enroll", "list", "shop/t1"); !regexp.MustCompile(`^[0-9a-f]{32} +\S+ +\S+ +in use$`).
		MatchString(list) {
		t.Error(list)
	}
	command("enroll", "revoke", "shop/t1", "--reason", "stolen")
	if list := command("enroll", "list", "shop/t1"); !strings.Contains(list, "revoked stolen") {
		t.Error(list)
	}
	if log := command("audit"); !strings.Contains(log, "certificate.revoke") ||
		!strings.Contains(log, "certificate.token") {
		t.Error(log)
	}
	_, r, _ := enroll.Renewal(pair)
	if _, err := asker.Ask(t.Context(), r); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Error("a revoked certificate renews:", err)
	}
	comes := func(pair []byte) bool {
		o := mqtt.NewClientOptions().AddBroker(broker).SetClientID("t1").SetAutoReconnect(false).SetConnectTimeout(soon)
		with(pair)(o)
		c := mqtt.NewClient(o)
		token := c.Connect()
		token.Wait()
		defer c.Disconnect(0)
		return token.Error() == nil
	}
	if comes(nil) {
		t.Error("in without a certificate")
	}
	f.cmd.Process.Signal(syscall.SIGHUP) // the fleet reads what another process revoked
	housetest.Until(t, "its session ends", func() bool { return !u2.client.IsConnectionOpen() })
	housetest.Until(t, "shut out", func() bool { return !comes(pair) })
	if other := get("shop/t2"); !comes(other) {
		t.Error("another terminal is shut out too")
	}
}
