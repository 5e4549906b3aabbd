package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/stamp"
	"posdx/agent/internal/uplink"
	"posdx/agent/report"
)

// A fleetSession is the way to the fleet as the daemon sees it.
type fleetSession struct{ *uplink.Uplink }

// connect makes the way to the fleet; run is nil without a broker.
func connect(c config, d *daemon) (link fleetLink, run func(context.Context) error, err error) {
	if len(c.Broker.URL) == 0 {
		return nil, nil, nil
	}
	var keys []ed25519.PublicKey
	for i, s := range c.Broker.AdvisoryKeys {
		k, err := conf.AdvisoryKey(s)
		if err != nil {
			return nil, nil, keyed{fmt.Sprintf("broker.advisory_keys[%d]", i), err}
		}
		keys = append(keys, k)
	}
	u, err := uplink.New(uplink.Config{
		Brokers: c.Broker.URL, Address: d.address, BootID: d.stamp.BootID,
		CAFile: c.Broker.CA, CertFile: c.Broker.Cert, KeyFile: c.Broker.Key, ServerName: c.Broker.ServerName,
		UserFile:     c.Broker.UserFile,
		RenewURL:     c.Broker.Renew,
		AdvisoryKeys: keys,
		Site:         siteOf(c),
		KeepAlive:    time.Duration(c.Broker.KeepAlive), Delivery: c.Broker.Delivery, Compress: c.Broker.Compress,
		DayBytes:  c.Broker.DailyBytes,
		TimeFloor: stamp.Floor, AuditFile: filepath.Join(c.StateDir, "commands.audit"), StateFile: filepath.Join(c.StateDir, "uplink.json"),
		Uptime: time.Duration(stamp.UptimeMS()) * time.Millisecond,
	}, d.box, uplink.Handlers{
		Site:  func(who string, w report.SiteWord) { d.loop.Neighbour(who, w, time.Now()) },
		Birth: d.birth, Command: d.command, Log: d.log,
		Advisory: func(scope, key string, a report.Advisory, gone bool) {
			if !gone && !concerns(c, scope, key, a.Place) {
				return
			}
			if gone {
				d.loop.Advise(scope, key, nil)
				return
			}
			d.loop.Advise(scope, key, &a)
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return fleetSession{u}, u.Run, nil
}

// siteOf names the site whose terminals tell each other what they meet, empty where they do not.
func siteOf(c config) string {
	if !c.Broker.SiteWords {
		return ""
	}
	return c.Labels["site"]
}

// siteAgain is how soon the others of the site are told of one code again.
const siteAgain = 5 * time.Minute

// tellSite tells the other terminals of the site what a sale failed with, once a cause is named.
func (d *daemon) tellSite(doc *report.Diagnosis, now time.Time) {
	maps.DeleteFunc(d.toldSite, func(_ string, at time.Time) bool { return now.Sub(at) >= siteAgain })
	if _, told := d.toldSite[doc.Event.Code]; told || d.up == nil || doc.Abstained || len(doc.Causes) == 0 ||
		doc.Causes[0].ID == report.Unexplained || now.Sub(doc.Event.Time) > siteAgain {
		return
	}
	if d.toldSite == nil {
		d.toldSite = map[string]time.Time{}
	}
	d.toldSite[doc.Event.Code] = now
	d.up.TellSite(report.SiteWord{Code: doc.Event.Code})
}

// State is the session for people.
func (f fleetSession) State() report.Uplink {
	s := f.Uplink.State()
	why := s.LastError
	if why == "" {
		why = s.Warning
	}
	return report.Uplink{Connected: s.Connected, Since: s.Since.UTC(), Why: why}
}

// Counts adds what the session counts to a snapshot of health.
func (f fleetSession) Counts(m map[string]int64) { tellCounts(f.Uplink.Counters(), m) }

func tellCounts(c uplink.Counters, m map[string]int64) {
	m["sessions"], m["connect_failures"], m["resent"], m["wire_out"], m["wire_in"] = c.Sessions, c.Failures, c.Resent, c.WireOut, c.WireIn
	m["commands"], m["commands_refused"], m["budget_left"] = c.Commands, c.Refused, c.BudgetLeft
	m["bad_messages"], m["replies_lost"], m["set_aside"] = c.BadMessages, c.Lost, c.SetAside
	for kind, n := range c.Bytes {
		m["bytes_"+kind] = n
	}
}

// concerns tells whether what the fleet says of a place speaks of this terminal: it has all of the place's labels.
// Without a place, scope and key are it. A terminal without a label for the acquirer has its code table's name for one.
func concerns(c config, scope, key string, place map[string]string) bool {
	label := func(d string) string {
		switch own := c.Labels[d]; {
		case own != "":
			return own
		case d == "acquirer" || d == "scheme":
			return c.Profile.Scheme
		case d == "agent":
			return version
		}
		return ""
	}
	if len(place) == 0 {
		own := label(scope)
		return own != "" && report.TopicKey(own) == key
	}
	for d, value := range place {
		if own := label(d); own == "" || own != value {
			return false
		}
	}
	return true
}

// brokerAddress splits a broker's URL into what a check needs.
func brokerAddress(s string) (host string, port int, secure bool, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", 0, false, err
	}
	secure = u.Scheme != "tcp" && u.Scheme != "mqtt"
	port = 1883
	if secure {
		port = 8883
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return "", 0, false, fmt.Errorf("broker %q: port %q is no number", s, p)
		}
	}
	return u.Hostname(), port, secure, nil
}
