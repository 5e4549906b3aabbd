package config

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"posdx/agent/enroll"
	"posdx/agent/internal/say"
	"posdx/agent/internal/sshsig"
	"posdx/agent/report"
)

const (
	// longestSocket is what the kernel takes as the name of a socket (sockaddr_un, unix(7)), less the ".new" under which
	// the daemon makes it.
	longestSocket = 107 - len(".new")
	// longestInterface is IFNAMSIZ of the kernel less its final zero.
	longestInterface = 15
	// longestComm is what /proc/PID/comm holds of a program's name (TASK_COMM_LEN less its final zero, proc(5)).
	longestComm = 15
	longestName = 32 // of a device

	minKeepAlive = 5 * time.Second
	maxKeepAlive = 18 * time.Hour // the protocol's own bound, 65535 s
)

// shipped is what stands in the example where only the owner can know the value.
const shipped = "change-me"

// speeds are those that a serial port of Linux knows by name (termios(3)) and the usual ones of devices beside them.
var speeds = []int{50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400,
	57600, 76800, 115200,
	128000, 230400, 250000, 256000, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000,
	3500000, 4000000}

// kinds are the sorts of interface that [network] metered may name.
var kinds = []string{"ethernet", "wifi", "cellular", "ppp"}

// A checker collects what is wrong with a configuration whose form is right.
type checker struct {
	c    *Config
	list Problems
}

func (k *checker) add(level Level, key, id string, args ...any) {
	k.list = append(k.list, k.c.Problem(level, key, say.New(id, args...)))
}

func (k *checker) bad(key, id string, args ...any) { k.add(Error, key, id, args...) }

func (k *checker) oneOf(key, value string, of ...string) bool {
	if slices.Contains(of, value) {
		return true
	}
	words := slices.DeleteFunc(slices.Clone(of), func(s string) bool { return s == "" })
	k.bad(key, "not-one-of", value, strings.Join(words, ", "))
	return false
}

// absolute checks the name of a file or folder.
func (k *checker) absolute(key, value string) bool {
	switch {
	case value == "":
	case !filepath.IsAbs(value):
		k.bad(key, "not-absolute", value)
		return false
	case strings.ContainsFunc(value, unicode.IsControl):
		k.bad(key, "control-character", value)
		return false
	}
	return true
}

func (k *checker) notNegative(key string, n int64, unset string) {
	if n < 0 {
		k.bad(key, "negative-bytes", n, say.New(unset))
	}
}

// checkNames checks only estate and terminal. It is used where other keys could not be read: the full check would judge
// the defaults in their place.
func (c *Config) checkNames() Problems {
	k := checker{c: c}
	k.names()
	return k.list
}

// check tells everything that is wrong at once: a technician edits this over a serial line.
func (c *Config) check() Problems {
	k := checker{c: c}
	k.names()
	k.oneOf("language", c.Language, "zh", "en")
	k.stateDir()
	k.hook()
	k.logs()
	k.devices()
	k.links()
	k.network()
	k.targets()
	for i, p := range c.Storage.Paths {
		key := fmt.Sprintf("storage.paths[%d]", i)
		if p == "" {
			k.bad(key, "empty-folder")
		} else if k.absolute(key, p) {
			k.expect(key, p, "not-there-storage")
		}
	}
	k.app()
	k.broker()
	for _, scope := range sorted(c.Labels) {
		key := "labels." + scope
		if !k.oneOf(key, scope, "acquirer", "carrier", "bearer", "site", "region", "model", "firmware", "application") {
			continue
		}
		if v := c.Labels[scope]; len(v) > report.MaxLabel || strings.ContainsFunc(v, unicode.IsControl) {
			k.bad(key, "no-label", v, report.MaxLabel)
		}
	}
	k.console()
	k.ports()
	return k.list
}

func sorted(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// Bounds of the values in [console] and [contacts].
const (
	minPIN, maxPIN = 4, 8 // digits; an entry of the console never holds as many as tell a card
	minIdle        = time.Minute
	maxContact     = 40 // bytes: a number, or two
)

func (k *checker) console() {
	c := k.c.Console
	if c.TTY != "" && k.device("console.tty", c.TTY) {
		k.baud("console.baud", c.Baud, true)
	}
	k.oneOf("console.charset", c.Charset, "utf-8", "gbk")
	k.oneOf("console.locked", c.Locked, "verdict", "nothing")
	if c.Language != "" {
		k.oneOf("console.language", c.Language, "zh", "en")
	}
	if n := len(c.PIN); n > 0 && (n < minPIN || n > maxPIN || strings.Trim(c.PIN, "0123456789") != "") {
		k.bad("console.pin", "no-pin", minPIN, maxPIN)
	}
	for i, line := range c.Keys {
		if _, err := sshsig.ParseKey(line); err != nil {
			k.bad(fmt.Sprintf("console.keys[%d]", i), "no-ssh-key", line)
		}
	}
	if time.Duration(c.Idle) < minIdle {
		k.bad("console.idle", "idle-too-short", time.Duration(c.Idle), minIdle)
	}
	for _, n := range [...]struct{ key, number string }{
		{"contacts.acquirer", k.c.Contacts.Acquirer}, {"contacts.carrier", k.c.Contacts.Carrier}, {"contacts.service", k.c.Contacts.Service},
	} {
		if len(n.number) > maxContact || strings.ContainsFunc(n.number, unicode.IsControl) {
			k.bad(n.key, "no-telephone", n.number, maxContact)
		}
	}
}

func (k *checker) names() {
	c := k.c
	for _, n := range [...]struct{ key, value, what string }{
		{"estate", c.Estate, "what-estate"}, {"terminal", c.Terminal, "what-terminal"},
	} {
		if _, written := c.places[n.key]; !written {
			k.bad(n.key, "name-missing", n.key, say.New(n.what))
			continue
		}
		if strings.EqualFold(n.value, shipped) {
			p := c.Problem(Error, n.key, fs.ErrInvalid)
			k.bad(n.key, "name-as-shipped", n.value, say.New(n.what), n.key, n.key, p.File)
			continue
		}
		a := report.Address{Estate: "x", Terminal: "x"}
		if n.key == "estate" {
			a.Estate = n.value
		} else {
			a.Terminal = n.value
		}
		if err := a.Check(); err != nil {
			k.list = append(k.list, c.Problem(Error, n.key, err))
		}
	}
}

func (k *checker) stateDir() {
	c := k.c
	switch {
	case c.StateDir == "":
		k.bad("state_dir", "state-dir-empty")
	case k.absolute("state_dir", c.StateDir):
		if info, err := os.Stat(c.StateDir); err == nil && !info.IsDir() {
			k.bad("state_dir", "file-not-folder", c.StateDir)
		}
	}
}

func (k *checker) hook() {
	h := k.c.Hook
	switch {
	case h.Socket == "":
		k.bad("hook.socket", "socket-empty", Socket)
	case !k.absolute("hook.socket", h.Socket):
	case len(h.Socket) > longestSocket:
		k.bad("hook.socket", "socket-too-long", len(h.Socket), longestSocket)
	default:
		if info, err := os.Lstat(h.Socket); err == nil && info.Mode().Type() != fs.ModeSocket {
			k.bad("hook.socket", "no-socket", h.Socket)
		}
	}
	switch {
	case h.HTTP == "":
	case h.TokenFile == "":
		k.bad("hook.token_file", "token-needed")
	case k.absolute("hook.token_file", h.TokenFile):
		if info, err := os.Stat(h.TokenFile); err != nil {
			k.add(Fault, "hook.token_file", "token-unreadable", h.TokenFile, h.TokenFile, h.TokenFile)
		} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o007 != 0 {
			k.add(Fault, "hook.token_file", "token-open", h.TokenFile, h.TokenFile)
		}
	}
	if h.Group == "" {
		return
	}
	if n, err := strconv.Atoi(h.Group); err == nil {
		if n < 0 {
			k.bad("hook.group", "no-group-number", n)
		}
		return
	}
	if _, err := user.LookupGroup(h.Group); err != nil {
		k.add(Fault, "hook.group", "group-missing", h.Group, h.Group)
	}
}

func (k *checker) logs() {
	patterns := map[[2]string]string{} // of each file, and where they stand
	for i, l := range k.c.Log {
		key := fmt.Sprintf("log[%d]", i)
		switch {
		case l.Path == "":
			k.bad(key+".path", "log-path-empty")
		case strings.HasPrefix(l.Path, "journal:"): // of a unit
		case k.absolute(key+".path", l.Path):
			k.logFile(key+".path", l.Path)
		}
		k.oneOf(key+".origin", l.Origin, "", "host", "terminal", "cashier", "unknown")
		if _, err := regexp.Compile(l.Begin); err != nil {
			k.list = append(k.list, k.c.Problem(Error, key+".begin", err))
		}
		if len(l.Patterns) == 0 {
			k.bad(key+".patterns", "log-no-patterns")
		}
		for j, p := range l.Patterns {
			at := fmt.Sprintf("%s.patterns[%d]", key, j)
			if first, twice := patterns[[2]string{l.Path, p}]; twice {
				k.bad(at, "pattern-twice", p, first)
			} else {
				patterns[[2]string{l.Path, p}] = at
			}
		}
		starts, ends := false, false
		for j, st := range l.Step {
			at := fmt.Sprintf("%s.step[%d]", key, j)
			if st.Pattern == "" {
				k.bad(at+".pattern", "step-empty")
			}
			k.oneOf(at+".phase", st.Phase, "start", "sent", "answered", "end")
			k.oneOf(at+".result", st.Result, "", "approved", "declined", "failed", "cancelled")
			if st.Result != "" && st.Phase != "end" {
				k.bad(at+".result", "result-of-end")
			}
			starts, ends = starts || st.Phase == "start", ends || st.Phase == "end"
		}
		if starts && !ends {
			k.add(Warning, key+".step", "sales-never-end")
		}
	}
}

// logFile looks for a log. One that is named by date, with a * or a %, is another file tomorrow.
func (k *checker) logFile(key, path string) {
	if strings.ContainsAny(path, "*?%[") {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		k.expect(key, path, "not-there-log")
	case info.IsDir():
		k.bad(key, "folder-not-log", path)
	default:
		f, err := os.Open(path)
		if err != nil {
			k.add(Warning, key, "log-unreadable", path)
			return
		}
		f.Close()
	}
}

// expect warns of something that is not there and may come.
func (k *checker) expect(key, path, until string) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		k.add(Warning, key, "not-there", path, say.New(until))
	} else if errors.Is(err, fs.ErrPermission) {
		k.add(Warning, key, "not-looked-at", path)
	}
}

// name checks a device's name, which becomes the subject of its evidence and part of file names.
func (k *checker) name(key, name, like string, names map[string]string) {
	switch first, used := names[name]; {
	case name == "":
		k.bad(key, "device-name-empty", like)
	case used:
		k.bad(key, "device-name-twice", name, first)
	case len(name) > longestName || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r)
	}):
		k.bad(key, "device-name-wrong", name, longestName)
	}
	names[name] = key
}

// device checks the name of a port. A device that is absent now may be plugged in later.
func (k *checker) device(key, port string) bool {
	if usb, ok := strings.CutPrefix(port, "usb:"); ok {
		id, _, _ := strings.Cut(usb, ",")
		vendor, product, ok := strings.Cut(id, ":")
		_, e1 := strconv.ParseUint(vendor, 16, 16)
		_, e2 := strconv.ParseUint(product, 16, 16)
		if !ok || e1 != nil || e2 != nil || len(vendor) != 4 || len(product) != 4 {
			k.bad(key, "no-usb-port", port)
			return false
		}
		return true
	}
	if !k.absolute(key, port) {
		return false
	}
	info, err := os.Stat(port)
	switch {
	case err != nil:
		k.expect(key, port, "not-there-device")
	case info.IsDir() || info.Mode().IsRegular():
		k.bad(key, "no-device", port)
		return false
	}
	return true
}

func (k *checker) baud(key string, baud int, needed bool) {
	switch {
	case baud == 0 && !needed:
	case baud <= 0 || baud > 4_000_000:
		k.bad(key, "no-baud", baud)
	case !slices.Contains(speeds, baud):
		best := slices.MinFunc(speeds, func(a, b int) int {
			return distance(strconv.Itoa(a), strconv.Itoa(baud)) - distance(strconv.Itoa(b), strconv.Itoa(baud))
		})
		k.add(Warning, key, "unusual-baud", baud, best)
	}
}

// kindsOfDevices gives every [[device]] of the configuration with its key.
func (c *Config) kindsOfDevices(each func(kind, key string, p Port)) {
	for _, kind := range [...]struct {
		name string
		list []Port
	}{{"reader", c.Reader}, {"modem", c.Modem}, {"pinpad", c.PINPad}, {"printer", c.Printer}} {
		for i, p := range kind.list {
			each(kind.name, fmt.Sprintf("%s[%d]", kind.name, i), p)
		}
	}
}

func (k *checker) devices() {
	names := map[string]string{}
	k.c.kindsOfDevices(func(kind, key string, p Port) {
		k.name(key+".name", p.Name, kind+"0", names)
		if p.Port == "" && len(p.RX) == 0 {
			k.bad(key+".port", "port-empty-device")
		} else {
			k.device(key+".port", p.Port)
		}
		k.baud(key+".baud", p.Baud, false)
		for i, rx := range p.RX {
			at := fmt.Sprintf("%s.rx[%d]", key, i)
			if rx == "" {
				k.bad(at, "port-empty")
			} else {
				k.device(at, rx)
			}
		}
		for _, only := range [...]struct {
			set        bool
			name, kind string
		}{{len(p.RX) > 0, "rx", "reader"}, {len(p.Keys) > 0, "keys", "pinpad"}, {p.APN != "", "apn", "modem"}, {p.DialUp, "dial_up", "modem"},
			{p.MayReset, "may_reset", "modem"}} {
			if only.set && kind != only.kind {
				k.bad(key+"."+only.name, "key-of-another", kind, only.kind)
			}
		}
		if kind == "modem" && p.Protocol != "" {
			k.bad(key+".protocol", "modem-protocol")
		}
	})
	for i, l := range k.c.ECR {
		k.name(fmt.Sprintf("ecr[%d].name", i), l.Name, "ecr0", names)
	}
}

func (k *checker) links() {
	for i, l := range k.c.ECR {
		key := fmt.Sprintf("ecr[%d]", i)
		k.oneOf(key+".parity", l.Parity, "", "none", "odd", "even")
		if l.Bits != 0 && l.Bits != 7 && l.Bits != 8 {
			k.bad(key+".data_bits", "data-bits", l.Bits)
		}
		if !k.oneOf(key+".way", l.Way, "", "rx", "own", "relay", "lan") {
			continue
		}
		if l.Way == "lan" {
			if l.Port != "" || len(l.RX) > 0 {
				k.bad(key+".way", "lan-with-port")
			}
			if _, err := netip.ParseAddrPort(l.Address); err != nil {
				k.bad(key+".address", "lan-address", l.Address)
			}
			continue
		}
		if l.Address != "" {
			k.bad(key+".address", "address-of-lan")
		}
		if l.Way == "relay" {
			if l.Port != "" || len(l.RX) > 0 {
				k.bad(key+".way", "relay-with-port")
			}
			continue
		}
		k.baud(key+".baud", l.Baud, true)
		way := "rx"
		if l.Port != "" {
			way = "own"
		}
		if l.Way != "" && l.Way != way {
			k.bad(key+".way", "way-and-ports", l.Way)
		}
		if (l.Port != "") == (len(l.RX) > 0) || len(l.RX) > 2 {
			k.bad(key+".rx", "link-ports", key)
			continue
		}
		for j, p := range l.Ports() {
			at := key + ".port"
			if l.Port == "" {
				at = fmt.Sprintf("%s.rx[%d]", key, j)
			}
			if p == "" {
				k.bad(at, "port-empty")
			} else {
				k.device(at, p)
			}
		}
	}
}

// ports reports every serial port that two parts of the configuration name. Two readers of one port take bytes from
// each other.
func (k *checker) ports() {
	c := k.c
	taken := map[string]string{}
	take := func(key, port string) {
		if port == "" {
			return
		}
		real := port
		if p, err := filepath.EvalSymlinks(port); err == nil {
			real = p
		} else if filepath.IsAbs(port) {
			real = filepath.Clean(port)
		}
		if first, ok := taken[real]; ok {
			k.bad(key, "port-taken", port, first)
			return
		}
		taken[real] = key
	}
	c.kindsOfDevices(func(_, key string, p Port) {
		take(key+".port", p.Port)
		for i, rx := range p.RX {
			take(fmt.Sprintf("%s.rx[%d]", key, i), rx)
		}
	})
	for i, l := range c.ECR {
		for j, p := range l.Ports() {
			if l.Port != "" {
				take(fmt.Sprintf("ecr[%d].port", i), p)
			} else {
				take(fmt.Sprintf("ecr[%d].rx[%d]", i, j), p)
			}
		}
	}
	take("console.tty", c.Console.TTY)
}

// iface checks the name of a network interface.
func (k *checker) iface(key, name string) {
	switch {
	case name == "" || len(name) > longestInterface || strings.ContainsAny(name, "/@: ") ||
		strings.ContainsFunc(name, unicode.IsControl):
		k.bad(key, "no-interface", name)
	case !hasInterface(name):
		k.add(Warning, key, "interface-absent", name)
	}
}

func hasInterface(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name))
	return err == nil
}

func (k *checker) network() {
	n := k.c.Network
	for i, name := range n.Interfaces {
		k.iface(fmt.Sprintf("network.interfaces[%d]", i), name)
	}
	for i, s := range n.Resolvers {
		if _, err := Resolver(s); err != nil {
			k.list = append(k.list, k.c.Problem(Error, fmt.Sprintf("network.resolvers[%d]", i), err))
		}
	}
	if n.HostsFile == "" {
		k.bad("network.hosts_file", "hosts-file-empty")
	} else {
		k.absolute("network.hosts_file", n.HostsFile)
	}
	if n.ResolvConf == "" {
		k.bad("network.resolv_conf", "resolv-conf-empty")
	} else if k.absolute("network.resolv_conf", n.ResolvConf) && len(n.Resolvers) == 0 {
		k.expect("network.resolv_conf", n.ResolvConf, "not-there-resolv")
	}
	for i, m := range n.Metered {
		if !slices.Contains(kinds, m) {
			if !hasInterface(m) {
				k.add(Warning, fmt.Sprintf("network.metered[%d]", i), "metered-unknown", m, strings.Join(kinds, " "))
			}
		}
	}
	k.notNegative("network.daily_bytes", n.DailyBytes, "a-day")
	if len(n.SSID) > 32 {
		k.bad("network.ssid", "ssid-too-long", len(n.SSID))
	}
	if k.c.Capture.Interface != "" {
		k.iface("capture.interface", k.c.Capture.Interface)
	}
}

// Resolver reads the address of a name server, with or without a port.
func Resolver(s string) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		return ap, nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.AddrPort{}, say.New("no-resolver", s)
	}
	return netip.AddrPortFrom(a, 53), nil
}

func (k *checker) host(key, host, port string) {
	switch {
	case host == "":
		k.bad(key, "host-empty")
	case strings.Contains(host, "://") || strings.ContainsAny(host, "/@ ") || strings.ContainsFunc(host, unicode.IsControl):
		k.bad(key, "no-host", host)
	case strings.Count(host, ":") == 1:
		k.bad(key, "host-with-port", host, port)
	case strings.Contains(host, ":"):
		if _, err := netip.ParseAddr(host); err != nil {
			k.bad(key, "no-ipv6", host)
		}
	case len(host) > 253:
		k.bad(key, "host-too-long", len(host))
	}
}

func (k *checker) targets() {
	seen := map[string]string{}
	watched := false
	for i, t := range k.c.Target {
		key := fmt.Sprintf("target[%d]", i)
		watched = watched || strings.HasPrefix(t.Name, "host-")
		if k.oneOf(key+".name", t.Name, "host-primary", "host-backup", "internet") {
			which := t.Name + "@" + t.Via
			if first, twice := seen[which]; twice {
				k.bad(key+".name", "target-twice", t.Name, first)
			} else {
				seen[which] = key
			}
		}
		k.host(key+".host", t.Host, key+".port")
		if t.Port < 1 || t.Port > 65535 {
			k.bad(key+".port", "no-tcp-port", t.Port)
		}
		if t.Via != "" {
			k.iface(key+".via", t.Via)
		}
		if t.Proxy != "" {
			host, port, err := net.SplitHostPort(t.Proxy)
			if number, e := strconv.Atoi(port); err != nil || e != nil || number < 1 || number > 65535 || host == "" {
				k.bad(key+".proxy", "no-proxy", t.Proxy)
			} else {
				k.host(key+".proxy", host, key+".proxy")
			}
			if t.PortalPath != "" || t.Via != "" {
				k.bad(key+".proxy", "proxy-alone")
			}
		}
		if t.PortalPath != "" && (t.PortalPath[0] != '/' || t.TLS || t.Name != "internet") {
			k.bad(key+".portal_path", "portal-path")
		}
		if !t.TLS && (t.CA != "" || t.ServerName != "") {
			k.add(Warning, key+".tls", "tls-unused")
		}
		k.trust(key+".ca", t.CA)
	}
	c := k.c.Capture
	if c.On && !watched {
		k.bad("capture.on", "capture-of-nothing")
	}
}

// trust checks a file of root certificates. A problem with it is a warning, since the file can be repaired while the
// daemon runs.
func (k *checker) trust(key, path string) {
	if path == "" || !k.absolute(key, path) {
		return
	}
	b, ok := k.content(key, path)
	if !ok {
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		k.add(Fault, key, "no-pem", path, path)
	}
}

// content reads a small file that must be there for something to work.
func (k *checker) content(key, path string) ([]byte, bool) {
	b, err := bounded(path)
	switch {
	case err == nil:
		return b, true
	case errors.Is(err, fs.ErrPermission):
		k.add(Warning, key, "content-unreadable", path)
	case errors.Is(err, fs.ErrNotExist):
		k.add(Fault, key, "content-missing", path)
	default:
		k.add(Fault, key, "content-broken", path, unreadable(err))
	}
	return nil, false
}

func (k *checker) app() {
	a := k.c.App
	if len(a.Process) > longestComm || strings.Contains(a.Process, "/") {
		k.bad("app.process", "process-name", a.Process, longestComm)
	}
	files := func(name string, list []string, until string) {
		for i, p := range list {
			key := fmt.Sprintf("app.%s[%d]", name, i)
			if p == "" {
				k.bad(key, "file-empty")
			} else if k.absolute(key, p) {
				k.expect(key, p, until)
			}
		}
	}
	files("parameters", a.Parameters, "not-there-parameters")
	files("certificates", a.Certificates, "not-there-certificates")
}

func (k *checker) broker() {
	c := k.c
	b := c.Broker
	k.oneOf("broker.delivery", b.Delivery, "fleet", "broker")
	if (b.Cert == "") != (b.Key == "") {
		k.bad("broker.cert", "cert-and-key")
	}
	if b.Renew != "" {
		if _, err := enroll.CheckURL(b.Renew); err != nil {
			k.bad("broker.renew", "renew-address", b.Renew)
		}
		if b.Cert == "" || b.Cert != b.Key {
			k.bad("broker.renew", "renew-one-file")
		}
	}
	if t := time.Duration(b.KeepAlive); t < minKeepAlive || t > maxKeepAlive {
		k.bad("broker.keepalive", "keepalive", t, minKeepAlive, maxKeepAlive)
	}
	k.notNegative("broker.daily_bytes", b.DailyBytes, "no-limit")
	if c.Outbox.MaxAge <= 0 {
		k.bad("outbox.max_age", "max-age", time.Duration(c.Outbox.MaxAge))
	}
	for i, s := range b.AdvisoryKeys {
		if _, err := AdvisoryKey(s); err != nil {
			k.list = append(k.list, k.c.Problem(Error, fmt.Sprintf("broker.advisory_keys[%d]", i), err))
		}
	}
	seen := map[string]bool{}
	plain := false
	for i, u := range b.URL {
		if seen[u] {
			k.bad(fmt.Sprintf("broker.url[%d]", i), "broker-twice", u)
		}
		seen[u] = true
		plain = plain || strings.HasPrefix(u, "tcp:") || strings.HasPrefix(u, "mqtt:")
	}
	if plain && (b.CA != "" || b.Cert != "") {
		k.add(Warning, "broker.url", "broker-plain")
	}
	k.trust("broker.ca", b.CA)
	k.clientCertificate()
	if b.UserFile != "" && k.absolute("broker.user_file", b.UserFile) {
		if text, ok := k.content("broker.user_file", b.UserFile); ok {
			if user, _, two := bytes.Cut(bytes.TrimSpace(text), []byte("\n")); !two || len(bytes.TrimSpace(user)) == 0 {
				k.add(Fault, "broker.user_file", "user-file", b.UserFile)
			}
			k.private("broker.user_file", b.UserFile)
		}
	}
}

// AdvisoryKey reads a public key with which the fleet signs what it tells about other terminals.
func AdvisoryKey(s string) (ed25519.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, say.New("advisory-key", s)
	}
	return raw, nil
}

// clientCertificate looks whether certificate and key are a pair, of this terminal and still valid.
func (k *checker) clientCertificate() {
	b := k.c.Broker
	if b.Cert == "" || b.Key == "" || !k.absolute("broker.cert", b.Cert) || !k.absolute("broker.key", b.Key) {
		return
	}
	cert, ok1 := k.content("broker.cert", b.Cert)
	key, ok2 := k.content("broker.key", b.Key)
	if ok2 {
		k.private("broker.key", b.Key)
	}
	if !ok1 || !ok2 {
		return
	}
	if block, _ := pem.Decode(key); block == nil {
		k.add(Fault, "broker.key", "key-no-pem", b.Key)
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		k.add(Fault, "broker.cert", "no-pair", b.Cert, b.Key, strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err == nil {
		if cn := leaf.Subject.CommonName; cn != k.c.Terminal {
			k.add(Warning, "broker.cert", "cert-name", cn, k.c.Terminal)
		}
		if now := time.Now(); now.After(leaf.NotAfter) {
			k.add(Warning, "broker.cert", "cert-expired", leaf.NotAfter.Format(time.DateOnly))
		}
	}
}

// private warns of a secret that everybody on the terminal may read.
func (k *checker) private(key, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		k.add(Warning, key, "secret-open", path)
	}
}
