package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/evidence"
	"posdx/agent/internal/probe"
	"posdx/agent/internal/triage"
	"posdx/agent/report"
)

func TestWhatChangedSinceTheLastApproval(t *testing.T) {
	dir := t.TempDir()
	parameters, ca := filepath.Join(dir, "param.ini"), filepath.Join(dir, "ca.pem")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(parameters, "limit=500")
	write(ca, "one")
	c := mustParse(t, least+"state_dir = \""+dir+"\"\n[app]\nparameters = [\""+parameters+"\"]\n[[target]]\nname = \"host-primary\"\nhost = \"127.0.0.1\"\nport = 9\nca = \""+ca+"\"\n")
	d, _ := assembled(t, c)
	facts := map[string]report.Facts{
		"reader.port": {"firmware": "1.20"}, "net.address": {"address": "192.168.1.23", "prefix": 24, "gateway": "192.168.1.1"}, "net.tls": {}, "app.process": {},
	}
	var probes []probe.Probe
	for check := range facts {
		probes = append(probes, probe.Probe{Checks: []evidence.Check{evidence.Check(check)},
			Run: func(context.Context) []report.Evidence {
				return []report.Evidence{{Check: check, Status: report.OK, Facts: facts[check]}}
			}})
	}
	d.notice(probes)
	look := func() []string {
		t.Helper()
		for _, p := range probes {
			p.Run(t.Context())
		}
		names, known := d.loop.Changed()
		if !known {
			t.Fatal("nothing is known of the last approval")
		}
		slices.Sort(names)
		return names
	}
	for _, p := range probes {
		p.Run(t.Context())
	}
	d.loop.Approved(triage.Approval{Channel: report.ChannelHook, Txn: report.Txn{Entry: "chip", STAN: "000001"}})
	if got := look(); len(got) != 0 {
		t.Errorf("changed %v, want nothing", got)
	}
	facts["net.address"]["dhcp"] = false
	facts["reader.port"] = report.Facts{} // in use: says nothing
	if got := look(); len(got) != 0 {
		t.Errorf("changed %v, want nothing", got)
	}
	facts["reader.port"] = report.Facts{"firmware": "1.21"}
	facts["net.address"] = report.Facts{"address": "192.168.1.24", "prefix": 24, "gateway": "192.168.1.1"}
	write(parameters, "limit=5000")
	write(ca, "other")
	if got, want := look(), []string{"certificate", "ip_config", "parameters", "reader_firmware"}; !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
}

// Where a DHCP server gives the address, another address is no change of anything.
func TestAddressOfADHCPServerIsNoChange(t *testing.T) {
	at := func(address string) string {
		return addressing(report.Evidence{Facts: report.Facts{"address": address, "prefix": 24, "gateway": "10.0.0.1", "dhcp": true}})
	}
	if a, b := at("10.0.0.7"), at("10.0.0.8"); a != b || a == "" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestVersionIsComparedWithTheFleets(t *testing.T) {
	c := mustParse(t, least+"state_dir = \""+t.TempDir()+"\"\n[app]\nexpected_version = \"5.3.0\"\n")
	d, _ := assembled(t, c)
	for installed, want := range map[string]report.Status{"5.2.9": report.Bad, "5.3.0": report.OK} {
		d.Fact(report.Evidence{Check: "app.version", Subject: "payment-app", Status: report.OK, Facts: report.Facts{"installed": installed}})
		for _, e := range d.runner.Known(time.Now()) {
			if expected, _ := e.Facts.Str("expected"); e.Check == "app.version" && (e.Status != want || expected != "5.3.0") {
				t.Errorf("%s: %s %v, want %s", installed, e.Status, e.Facts, want)
			}
		}
	}
}

func TestHostClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nobody *hostClock
		if _, ok := nobody.reference(); ok {
			t.Error("nobody told the time")
		}
		h := &hostClock{}
		if _, ok := h.reference(); ok {
			t.Error("nobody told the time yet")
		}
		h.told(-3 * time.Minute)
		time.Sleep(time.Hour)
		if r, ok := h.reference(); !ok || r.Offset != -3*time.Minute || r.Age != time.Hour {
			t.Errorf("%+v %v", r, ok)
		}
	})
}
