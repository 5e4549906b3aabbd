package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
)

const least = "estate = \"shop\"\nterminal = \"t1\"\n"

func TestTargetsByAnotherWay(t *testing.T) {
	target := "[[target]]\nname = \"%s\"\nhost = \"203.0.113.10\"\nport = 80\n"
	c, err := parseConfig([]byte(least + fmt.Sprintf(target, "host-primary") + fmt.Sprintf(target, "host-primary") + "via = \"wwan0\"\n" + fmt.Sprintf(target, "internet") + "portal_path = \"/generate_204\"\n"))
	if err != nil {
		t.Fatal(err)
	}
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

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"OK least", least, ""},
		{"OK log", least + "[[log]]\npath = \"/var/log/pay.log\"\nencoding = \"gb18030\"\npatterns = ['RC=(?P<code>\\w+)']\n", ""},
		{"OK time spans", least + "[broker]\nkeepalive = \"15m\"\n", ""},
		{"bad unknown key", least + "[broker]\nulr = \"tcp://b\"\n", "line 4, column 1: unknown key \"broker.ulr\""},
		{"bad unknown table", least + "[brokr]\n", "unknown key"},
		{"bad syntax", least + "language = zh\n", "line 3, column 12"},
		{"bad type", least + "[[reader]]\nname = \"r\"\nport = \"p\"\nbaud = \"fast\"\n", "line 6"},
		{"bad language", least + "language = \"fr\"\n", "language: \"fr\" is not one of zh, en"},
		{"bad estate", "terminal = \"t1\"\n", "estate \"\""},
		{"bad terminal", "estate = \"e\"\nterminal = \"a/b\"\n", "'/' is not allowed"},
		{"bad pattern", least + "[[log]]\npath = \"p\"\npatterns = ['RC=(\\w+']\n", "log[0].patterns[0]"},
		{"bad pattern without code", least + "[[log]]\npath = \"p\"\npatterns = ['RC=(\\w+)']\n", "no group named code"},
		{"bad device twice", least + "[[reader]]\nname = \"r\"\nport = \"p\"\n[[modem]]\nname = \"r\"\nport = \"q\"\n", "used twice"},
		{"bad port", least + "[[target]]\nname = \"host-primary\"\nhost = \"h\"\nport = 70000\n", "70000 is no TCP port"},
		{"bad target", least + "[[target]]\nname = \"bank\"\nhost = \"h\"\nport = 7\n", "host-primary"},
		{"bad half a certificate", least + "[broker]\ncert = \"c\"\n", "needs both"},
		{"bad keepalive", least + "[broker]\nkeepalive = \"1s\"\n", "not between"},
		{"bad time span", least + "[broker]\nkeepalive = \"soon\"\n", "no time span"},
		{"bad log twice", least + "[[log]]\npath = \"p\"\npatterns = ['(?P<code>x)']\n[[log]]\npath = \"p\"\npatterns = ['(?P<code>y)']\n", "followed already"},
		{"OK register link", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\", \"b\"]\nbaud = 9600\n", ""},
		{"OK register link of our own", least + "[[ecr]]\nname = \"e\"\nframing = \"ecr17\"\nport = \"a\"\nway = \"own\"\nbaud = 9600\nparity = \"even\"\n", ""},
		{"OK relayed link", least + "[[ecr]]\nname = \"e\"\nframing = \"abecs\"\nway = \"relay\"\n", ""},
		{"OK seven bits", least + "[[ecr]]\nname = \"e\"\nframing = \"ecr17\"\nrx = [\"a\"]\nbaud = 9600\nparity = \"even\"\ndata_bits = 7\n", ""},
		{"bad relayed port", least + "[[ecr]]\nname = \"e\"\nframing = \"abecs\"\nway = \"relay\"\nport = \"a\"\nbaud = 9600\n", "give neither rx nor port"},
		{"bad relayed name", least + "[[ecr]]\nname = \"e/f\"\nframing = \"abecs\"\nway = \"relay\"\n", "no / in"},
		{"bad data bits", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\ndata_bits = 6\n", "neither 7 nor 8"},
		{"bad framing", least + "[[ecr]]\nname = \"e\"\nframing = \"morse\"\nrx = [\"a\"]\nbaud = 9600\n", "\"morse\" is not one of mispos"},
		{"bad parity", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\nparity = \"mark\"\n", "ecr[0].parity"},
		{"bad link without a port", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nbaud = 9600\n", "ecr[0].rx: name one or two"},
		{"bad link with both", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nport = \"b\"\nbaud = 9600\n", "ecr[0].rx: name one or two"},
		{"bad link with three", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\", \"b\", \"c\"]\nbaud = 9600\n", "ecr[0].rx: name one or two"},
		{"bad link without a rate", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\n", "ecr[0].baud"},
		{"bad way", least + "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nport = \"a\"\nway = \"write\"\nbaud = 9600\n", "ecr[0].way"},
		{"bad port of two", least + "[[reader]]\nname = \"r\"\nport = \"a\"\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\n", "read by something else"},
		{"bad link name", least + "[[reader]]\nname = \"e\"\nport = \"p\"\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\n", "ecr[0].name"},
		{"OK reader overheard", least + "[[reader]]\nname = \"r\"\nprotocol = \"msr\"\nrx = [\"a\"]\n", ""},
		{"bad reader without a port", least + "[[reader]]\nname = \"r\"\n", "reader[0].port"},
		{"bad port heard by two", least + "[[reader]]\nname = \"r\"\nrx = [\"a\"]\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\n", "read by something else"},
		{"OK PIN pad and printer", least + "[[pinpad]]\nname = \"p\"\nport = \"a\"\nkeys = [\"mk-pin:0\"]\n[[printer]]\nname = \"q\"\nport = \"/dev/usb/lp0\"\n", ""},
		{"bad printer overheard", least + "[[printer]]\nname = \"q\"\nport = \"b\"\nrx = [\"a\"]\n", "printer[0].rx"},
		{"bad PIN pad without a port", least + "[[pinpad]]\nname = \"p\"\n", "pinpad[0].port"},
		{"bad port of a PIN pad and a link", least + "[[pinpad]]\nname = \"p\"\nport = \"a\"\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"a\"]\nbaud = 9600\n", "read by something else"},
		{"bad modem overheard", least + "[[modem]]\nname = \"m\"\nport = \"b\"\nrx = [\"a\"]\n", "modem[0].rx"},
		{"OK capture", least + "[[target]]\nname = \"host-primary\"\nhost = \"h\"\nport = 7\n[capture]\non = true\nlength = \"bcd2\"\ndialect = \"nac\"\n", ""},
		{"bad capture of nothing", least + "[capture]\non = true\n", "nothing to watch"},
		{"bad length header", least + "[capture]\nlength = \"tpdu\"\n", "capture.length"},
		{"bad dialect", least + "[capture]\ndialect = \"latin\"\n", "capture.dialect"},
		{"OK labels", least + "[labels]\ncarrier = \"cmcc\"\n", ""},
		{"bad label", least + "[labels]\ncolour = \"red\"\n", "\"colour\" is not one of acquirer"},
		{"bad outbox", least + "[outbox]\nmax_bytes = 262143\n", "256 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseConfig([]byte(c.text))
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
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
	c, err := parseConfig([]byte(least))
	if err != nil {
		t.Fatal(err)
	}
	if c.Language != "zh" || c.Profile.Scheme != "unionpay" || time.Duration(c.Broker.KeepAlive) != time.Minute || c.Broker.Delivery != "fleet" {
		t.Errorf("got %+v", c)
	}
}

func TestOnlyAdvisoriesOfThisTerminalCount(t *testing.T) {
	c, err := parseConfig([]byte(least + "[labels]\ncarrier = \"中国移动\"\nmodel = \"M2\"\napplication = \"1.4\"\n"))
	if err != nil {
		t.Fatal(err)
	}
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
