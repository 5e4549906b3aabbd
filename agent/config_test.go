package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/report"
)

const least = "estate = \"shop\"\nterminal = \"t1\"\n"

// parseConfig is readConfig for a configuration in memory.
func parseConfig(b []byte) (config, error) {
	c, _, err := prove(conf.Parse("posdx.toml", b))
	return c, err
}

// mustParse is the configuration of a text that is right.
func mustParse(t testing.TB, text string) config {
	t.Helper()
	c, err := parseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// assembled is the daemon of a configuration, with its tasks, until the test ends. None of them runs.
func assembled(t testing.TB, c config) (*daemon, []task) {
	t.Helper()
	d, tasks, closing, err := assemble(c, slog.New(slog.DiscardHandler), &report.Gate{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closing)
	return d, tasks
}

func TestTargetsByAnotherWay(t *testing.T) {
	target := "[[target]]\nname = \"%s\"\nhost = \"203.0.113.10\"\nport = 80\n"
	c := mustParse(t, least+fmt.Sprintf(target, "host-primary")+fmt.Sprintf(target, "host-primary")+
		"via = \"wwan0\"\n"+fmt.Sprintf(target, "internet")+"portal_path = \"/generate_204\"\n")
	list := targets(c)
	if len(list) != 3 || list[0].Name != "host-primary" || list[1].Name != "host-primary@wwan0" || list[1].Via != "wwan0" || list[2].PortalPath != "/generate_204" {
		t.Errorf("%+v", list)
	}
	for text, says := range map[string]string{
		fmt.Sprintf(target, "host-primary") + "portal_path = \"/x\"\n":         "portal_path",
		fmt.Sprintf(target, "internet") + "portal_path = \"x\"\n":              "portal_path",
		fmt.Sprintf(target, "internet") + "tls = true\nportal_path = \"/x\"\n": "portal_path",
		fmt.Sprintf(target, "host-primary") + "via = \"host-primary@wwan0\"\n": "via",
		fmt.Sprintf(target, "host-primary") + "via = \"an-interface-of-16\"\n": "via",
	} {
		if _, err := parseConfig([]byte(least + text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestConfigTellsEverythingAtOnce(t *testing.T) {
	_, err := parseConfig([]byte("language = \"fr\"\n[broker]\ndelivery = \"pigeon\"\n"))
	for _, want := range []string{"language", "estate", "delivery"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it too", err, want)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	c := mustParse(t, least)
	if c.Language != "zh" || c.Profile.Scheme != "unionpay" || time.Duration(c.Broker.KeepAlive) != time.Minute ||
		c.Broker.Delivery != "fleet" {
		t.Errorf("got %+v", c)
	}
}

func TestOnlyAdvisoriesOfThisTerminalCount(t *testing.T) {
	c := mustParse(t, least+"[labels]\ncarrier = \"中国移动\"\nmodel = \"M2\"\napplication = \"1.4\"\n")
	for _, a := range []struct {
		scope, key string
		place      map[string]string
		want       bool
	}{
		{"carrier", report.TopicKey("中国移动"), nil, true}, {"carrier", report.TopicKey("中国联通"), nil, false}, {"carrier", "----", nil, false},
		{"acquirer", "unionpay", nil, true}, {"acquirer", "gicc-de", nil, false}, {"site", "", nil, false}, {"site", "x", nil, false},
		{"model", "-", map[string]string{"model": "M2", "application": "1.4"}, true},
		{"model", "M2", map[string]string{"model": "M2", "application": "1.3"}, false},
		{"model", "M2", map[string]string{"model": "M2", "region": "north"}, false},
		{"model", "M2", map[string]string{"model": "M2", "hour": "3"}, false},
	} {
		if got := concerns(c, a.scope, a.key, a.place); got != a.want {
			t.Errorf("%s %s: got %v", a.scope, a.key, got)
		}
	}
}
