// Package config reads the configuration of a terminal: from files it makes one typed and checked value, and a list of
// everything that is wrong with them, in words for the person who edits them over a serial line.
//
// It checks the form of the file, names, places and what exists on this machine. What only a driver or a source knows,
// such as the names of protocols, the assembly of the agent adds with Config.Problem, when it builds everything without
// starting it.
package config

import (
	"fmt"
	"time"
)

// Path is where a packaged terminal keeps its configuration. Fragments lie beside it, in conf.d.
const Path = "/etc/posdx/posdx.toml"

// Socket is where the daemon listens unless the configuration says otherwise.
const Socket = "/run/posdx/hook.sock"

// Config is the configuration. Every key is described in firmware-build/posdx.toml.
type Config struct {
	Language string `toml:"language"`
	Estate   string `toml:"estate"`
	Terminal string `toml:"terminal"`
	StateDir string `toml:"state_dir"`

	Hook    Hook     `toml:"hook"`
	Log     []Log    `toml:"log"`
	ECR     []ECR    `toml:"ecr"`
	Capture Capture  `toml:"capture"`
	Reader  []Port   `toml:"reader"`
	Modem   []Port   `toml:"modem"`
	PINPad  []Port   `toml:"pinpad"`
	Printer []Port   `toml:"printer"`
	Network Network  `toml:"network"`
	Target  []Target `toml:"target"`
	Storage Storage  `toml:"storage"`
	App     App      `toml:"app"`
	Broker  Broker   `toml:"broker"`
	Outbox  Outbox   `toml:"outbox"`
	Profile Profile  `toml:"profile"`
	Console Console  `toml:"console"`

	Contacts Contacts `toml:"contacts"`

	Knowledge Knowledge `toml:"knowledge"`

	Labels map[string]string `toml:"labels"`

	places map[string]place
	file   string // the main one
}

// Knowledge holds the public keys whose signatures on knowledge packs are trusted.
type Knowledge struct {
	Keys []string `toml:"keys"`
}

// Hook is the local socket, and the same over HTTP on a loopback address.
type Hook struct {
	Socket    string `toml:"socket"`
	Group     string `toml:"group"`
	HTTP      string `toml:"http"`       // address and port; empty: not over HTTP
	TokenFile string `toml:"token_file"` // what a client over HTTP has to show
}

// Log is a payment log that is followed.
type Log struct {
	Path     string   `toml:"path"`
	Encoding string   `toml:"encoding"`
	Begin    string   `toml:"begin"`
	Patterns []string `toml:"patterns"`
	Scheme   string   `toml:"scheme"`
	Origin   string   `toml:"origin"`
	Time     string   `toml:"time_layout"`

	Step []Step `toml:"step"`
}

// Step finds a step of a transaction in a log: without steps the agent cannot know that a sale is running.
type Step struct {
	Pattern string `toml:"pattern"`
	Phase   string `toml:"phase"`
	Result  string `toml:"result"`
}

// ECR is a link between a terminal and a cash register, listened to on ports of its own.
type ECR struct {
	Name    string   `toml:"name"`
	Framing string   `toml:"framing"`
	RX      []string `toml:"rx"`
	Port    string   `toml:"port"`
	Way     string   `toml:"way"`
	Address string   `toml:"address"` // of the terminal, where the link is a network
	Baud    int      `toml:"baud"`
	Parity  string   `toml:"parity"`
	Bits    int      `toml:"data_bits"`
}

// Ports are those that are listened to; none where a relay has the port.
func (e ECR) Ports() []string {
	switch {
	case e.Way == "relay", e.Way == "lan":
		return nil
	case e.Port != "":
		return []string{e.Port}
	}
	return e.RX
}

// Capture is the watching of the connections to the hosts on the network; their addresses are those of the targets.
type Capture struct {
	On        bool   `toml:"on"`
	Interface string `toml:"interface"`
	Length    string `toml:"length"`
	Dialect   string `toml:"dialect"`
}

// Port is a device: a card reader, a modem, a PIN pad or a printer.
type Port struct {
	Name     string `toml:"name"`
	Port     string `toml:"port"`
	Baud     int    `toml:"baud"`
	Protocol string `toml:"protocol"`
	APN      string `toml:"apn"`

	RX   []string `toml:"rx"`   // of a reader: ports that receive its line
	Keys []string `toml:"keys"` // of a PIN pad: keys that must be there

	Dedicated bool `toml:"dedicated"`
	DialUp    bool `toml:"dial_up"`
	MayReset  bool `toml:"may_reset"`
}

// Network is how the network is checked.
type Network struct {
	Interfaces []string `toml:"interfaces"`
	Resolvers  []string `toml:"resolvers"`
	ResolvConf string   `toml:"resolv_conf"`
	HostsFile  string   `toml:"hosts_file"`
	Metered    []string `toml:"metered"`
	DailyBytes int64    `toml:"daily_bytes"`
	SSID       string   `toml:"ssid"`
}

// Target is a host that payments go to, or another place that is checked to tell a fault of the host from one of the
// whole network.
type Target struct {
	Name       string `toml:"name"`
	Host       string `toml:"host"`
	Port       int    `toml:"port"`
	TLS        bool   `toml:"tls"`
	ServerName string `toml:"server_name"`
	CA         string `toml:"ca"`
	Via        string `toml:"via"`
	Proxy      string `toml:"proxy"` // of the payment application: host:port
	PortalPath string `toml:"portal_path"`
}

// Storage is the list of file systems to watch.
type Storage struct {
	Paths []string `toml:"paths"`
}

// App is the payment application.
type App struct {
	Process  string `toml:"process"`
	Expected string `toml:"expected_version"`

	Parameters   []string `toml:"parameters"`
	Certificates []string `toml:"certificates"`
}

// Broker is how the fleet is reached.
type Broker struct {
	URL        []string `toml:"url"`
	CA         string   `toml:"ca"`
	Cert       string   `toml:"cert"`
	Key        string   `toml:"key"`
	ServerName string   `toml:"server_name"`
	UserFile   string   `toml:"user_file"`
	Renew      string   `toml:"renew"`
	KeepAlive  Duration `toml:"keepalive"`
	Delivery   string   `toml:"delivery"`
	Compress   bool     `toml:"compress"`
	SiteWords  bool     `toml:"site_words"`
	DailyBytes int64    `toml:"daily_bytes"`

	AdvisoryKeys []string `toml:"advisory_keys"`
}

// Outbox bounds what waits for the fleet.
type Outbox struct {
	MaxBytes int64    `toml:"max_bytes"`
	MaxAge   Duration `toml:"max_age"`
}

// Profile is how this acquirer's codes are read.
type Profile struct {
	Name   string `toml:"name"`
	Scheme string `toml:"scheme"`
}

// Console is the technician's console: the serial line that the service itself serves, and how posdx console looks.
type Console struct {
	TTY      string `toml:"tty"`
	Baud     int    `toml:"baud"`
	Charset  string `toml:"charset"`  // of the terminal program: utf-8 or gbk
	Language string `toml:"language"` // zh or en; empty is the terminal's
	// 4 to 8 digits, asked on a serial line before anything but the verdict is shown; empty asks for none
	PIN    string   `toml:"pin"`
	Keys   []string `toml:"keys"`   // of technicians, lines as in authorized_keys; whoever signs with one needs no PIN
	Plain  bool     `toml:"plain"`  // lines only, for a terminal without cursor addressing
	Locked string   `toml:"locked"` // what is shown before PIN or key: verdict or nothing
	Idle   Duration `toml:"idle"`   // after which a serial line is locked again
}

// Contacts are the telephone numbers that a person is told to call, in the form in which they are shown.
type Contacts struct {
	Acquirer string `toml:"acquirer"`
	Carrier  string `toml:"carrier"`
	Service  string `toml:"service"`
}

// Duration is a time span as people write it: 90s, 15m, 720h.
type Duration time.Duration

// UnmarshalText reads a time span with its unit.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no time span; write 90s, 15m or 720h", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes a time span as UnmarshalText reads it; written in nanoseconds it could be taken for a card number.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Defaults is the configuration of an empty file.
func Defaults() Config {
	return Config{
		Language: "zh", StateDir: "/var/lib/posdx",
		Hook:    Hook{Socket: Socket},
		Network: Network{ResolvConf: "/etc/resolv.conf", HostsFile: "/etc/hosts"},
		Broker:  Broker{Delivery: "fleet", KeepAlive: Duration(time.Minute)},
		Outbox:  Outbox{MaxBytes: 8 << 20, MaxAge: Duration(30 * 24 * time.Hour)},
		Profile: Profile{Scheme: "unionpay"},
		Console: Console{Baud: 115200, Charset: "utf-8", Locked: "verdict", Idle: Duration(10 * time.Minute)},
	}
}
