package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/firmware-build/housetest"
	"posdx/fleet/metrics"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// daemon runs a program that listens on a port of loopback until the test ends.
func daemon(t *testing.T, pkg, port string, args ...string) {
	t.Helper()
	bin, err := exec.LookPath(pkg)
	if err != nil {
		t.Skipf("needs Debian's %s", pkg)
	}
	c := exec.Command(bin, args...)
	if testing.Verbose() {
		c.Stderr = t.Output()
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	housetest.Listening(t, port)
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ask reads JSON from a program of this machine.
func ask(t *testing.T, address string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, address)), into); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
}

// With Debian's prometheus and its Alertmanager beside a running fleet: an incident arrives in Alertmanager from the
// fleet itself and from the alerting rules, every rule evaluates, every panel of the dashboard finds its numbers, and
// once a person has closed the incident it is resolved in Alertmanager.
func TestPrometheusAndAlertmanagerBesideAFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("long: rules wait before they wake")
	}
	dir, data := t.TempDir(), t.TempDir()
	am := housetest.FreePort(t)
	daemon(t, "prometheus-alertmanager", am, "--config.file="+write(t, filepath.Join(dir, "am.yml"),
		"route: {receiver: nobody, group_wait: 1s}\nreceivers: [{name: nobody}]\n"), "--storage.path="+filepath.Join(dir, "am"),
		"--web.listen-address=127.0.0.1:"+am, "--cluster.listen-address=", "--log.level=warn")
	args := []string{"--mqtt-listen", "127.0.0.1:0", "--notify", write(t, filepath.Join(dir, "notify.toml"),
		"language = \"en\"\n[[way]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:"+am+"\"\nallow_private = true\n")}
	f := start(t, data, args...)
	for i := range 5 {
		u := dial(t, f.mqtt, sample.New("shop", fmt.Sprint("t", i)))
		u.publish(t, true, u.At.Topic("status"), []byte(`{"state":"online","boot_id":"boot-1"}`))
		u.say(t)(u.Uncounted(report.KindBirth, u.Birth(1)))
		u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")))
		u.wantAck(t, report.Ack{Epoch: "e1", Boot: 1, Seq: 1})
		if i == 0 {
			u.Wrap(report.KindDiagnosis, u.Diagnosis(2, 2, "96", "host.malfunction", "acquirer")) // is lost on its way
			u.say(t)(u.Wrap(report.KindDiagnosis, u.Diagnosis(3, 2, "96", "host.malfunction", "acquirer")))
		}
	}
	f.stop(t) // it looks at once when it starts
	f = start(t, data, args...)
	dial(t, f.mqtt, sample.New("shop", "odd")).say(t)("pos/v1/shop/odd/health", []byte("no document"))
	page, err := neturl.Parse(f.page)
	if err != nil {
		t.Fatal(err)
	}
	prom := housetest.FreePort(t)
	write(t, filepath.Join(dir, "rules.yml"), strings.ReplaceAll(string(metrics.Rules()), "for: 1m", "for: 1s"))
	daemon(t, "prometheus", prom, "--config.file="+write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:%s"]}]}]}
scrape_configs: [{job_name: posdx-fleet, static_configs: [{targets: [%q]}]}]
`, am, page.Host)), "--storage.tsdb.path="+filepath.Join(dir, "prometheus"), "--web.listen-address=127.0.0.1:"+prom,
		"--log.level=warn")

	type alert struct {
		Labels, Annotations map[string]string
		Status              struct{ State string }
		GeneratorURL        string
	}
	alerts := func(fits func(alert) bool) (list []alert) {
		var all []alert
		ask(t, "http://127.0.0.1:"+am+"/api/v2/alerts?active=true", &all)
		for _, a := range all {
			if fits(a) {
				list = append(list, a)
			}
		}
		return list
	}
	var inc struct{ Incidents []store.Incident }
	housetest.Until(t, "the incident is found", func() bool {
		f.get(t, "/api/v1/incidents", &inc)
		return len(inc.Incidents) == 1
	})
	no := fmt.Sprint(inc.Incidents[0].No)
	told := func(a alert) bool { return a.Labels["incident"] == no }
	housetest.Until(t, "the fleet's own alert is in Alertmanager", func() bool { return len(alerts(told)) == 1 })
	a := alerts(told)[0]
	if a.Labels["alertname"] != "PosdxIncident" || a.Labels["estate"] != "shop" || a.Labels["cause"] != "host.malfunction" ||
		a.Labels["segment"] != "acquirer" || a.Annotations["summary"] == "" || a.Annotations["terminals"] != "5" {
		t.Errorf("Alertmanager has %+v", a)
	}
	byRule := func(a alert) bool { return a.Labels["alertname"] == "PosdxIncident" && a.Labels["incident"] == "" }
	housetest.Until(t, "the rule's alert is in Alertmanager", func() bool { return len(alerts(byRule)) == 1 })

	api := func(path string, into any) {
		t.Helper()
		var answer struct {
			Status, Error string
			Data          json.RawMessage
		}
		ask(t, "http://127.0.0.1:"+prom+path, &answer)
		if answer.Status != "success" || json.Unmarshal(answer.Data, into) != nil {
			t.Fatalf("%s: %s %s", path, answer.Status, answer.Error)
		}
	}
	query := func(expr string) int {
		t.Helper()
		var v struct{ Result []json.RawMessage }
		api("/api/v1/query?query="+neturl.QueryEscape(expr), &v)
		return len(v.Result)
	}
	housetest.Until(t, "some scrapes are there", func() bool {
		return query("count_over_time(posdx_fleet_store_up[5m]) >= 3 and on() posdx_fleet_store_up == 1") == 1
	})
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	housetest.Until(t, "every rule was evaluated", func() bool {
		api("/api/v1/rules", &rules)
		return !strings.Contains(fmt.Sprint(rules), "unknown")
	})
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Health != "ok" {
				t.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(metrics.Dashboard(), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			n := query(strings.ReplaceAll(q.Expr, "$estate", ".*"))
			// This fleet issues no certificates: of all panels that one alone has nothing to show.
			if none := strings.Contains(q.Expr, "_certificates"); (n == 0) != none {
				t.Errorf("panel %q: %d series by %s", p.Title, n, q.Expr)
			}
		}
	}

	answer, err := http.PostForm(f.page+"/incident/"+no+"/close", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	housetest.Until(t, "the incident is resolved in Alertmanager", func() bool { return len(alerts(told)) == 0 })
}
