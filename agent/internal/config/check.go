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
var speeds = []int{50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600, 76800, 115200,
	128000, 230400, 250000, 256000, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000}

// kinds are the sorts of interface that [network] metered may name.
var kinds = []string{"ethernet", "wifi", "cellular", "ppp"}

// A checker collects what is wrong with a configuration whose form is right.
type checker struct {
	c    *Config
	list Problems
}

func (k *checker) add(level Level, key, format string, args ...any) {
	k.list = append(k.list, k.c.Problem(level, key, format, args...))
}

func (k *checker) bad(key, format string, args ...any) { k.add(Error, key, format, args...) }

func (k *checker) oneOf(key, value string, of ...string) bool {
	if slices.Contains(of, value) {
		return true
	}
	words := slices.DeleteFunc(slices.Clone(of), func(s string) bool { return s == "" })
	k.bad(key, "%q is not one of %s", value, strings.Join(words, ", "))
	return false
}

// absolute checks the name of a file or folder.
func (k *checker) absolute(key, value string) bool {
	switch {
	case value == "":
	case !filepath.IsAbs(value):
		k.bad(key, "%q depends on where the daemon was started; want a path that begins with /", value)
		return false
	case strings.ContainsFunc(value, unicode.IsControl):
		k.bad(key, "%q has a control character in it", value)
		return false
	}
	return true
}

func (k *checker) notNegative(key string, n int64, unset string) {
	if n < 0 {
		k.bad(key, "%d is negative; want bytes, or 0 for %s", n, unset)
	}
}

// checkNames is what can be said beside keys and values of the wrong form: the rest of the checks would speak of values
// that nobody wrote.
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
			k.bad(key, "is empty; name a folder, such as /data")
		} else if k.absolute(key, p) {
			k.expect(key, p, "the file system is not watched until it is there")
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
			k.bad(key, "%q is no label; want at most %d bytes without control characters", v, report.MaxLabel)
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

// Bounds of what the console may be told.
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
		k.bad("console.pin", "is no PIN; want %d to %d digits, or nothing to ask for none", minPIN, maxPIN)
	}
	if time.Duration(c.Idle) < minIdle {
		k.bad("console.idle", "%v is too short to work; want at least %v", time.Duration(c.Idle), minIdle)
	}
	for _, n := range [...]struct{ key, number string }{
		{"contacts.acquirer", k.c.Contacts.Acquirer}, {"contacts.carrier", k.c.Contacts.Carrier}, {"contacts.service", k.c.Contacts.Service},
	} {
		if len(n.number) > maxContact || strings.ContainsFunc(n.number, unicode.IsControl) {
			k.bad(n.key, "%q is no telephone number; want at most %d bytes without control characters", n.number, maxContact)
		}
	}
}

func (k *checker) names() {
	c := k.c
	for _, n := range [...]struct{ key, value, what string }{
		{"estate", c.Estate, "the fleet's name, the same on all its terminals"}, {"terminal", c.Terminal, "this terminal's own name, the CN of its client certificate"},
	} {
		if _, written := c.places[n.key]; !written {
			k.bad(n.key, `is not there; write a line %s = "…" at the top of the file: %s`, n.key, n.what)
			continue
		}
		if strings.EqualFold(n.value, shipped) {
			p := c.Problem(Error, n.key, "")
			k.bad(n.key, `is still %q, as it was shipped, and every terminal forgotten like this is the same one to the fleet; give %s:  sed -i 's/^%s = .*/%s = "NAME"/' %s`,
				n.value, n.what, n.key, n.key, p.File)
			continue
		}
		a := report.Address{Estate: "x", Terminal: "x"}
		if n.key == "estate" {
			a.Estate = n.value
		} else {
			a.Terminal = n.value
		}
		if err := a.Check(); err != nil {
			k.bad(n.key, "%s", strings.TrimPrefix(err.Error(), n.key+" "))
		}
	}
}

func (k *checker) stateDir() {
	c := k.c
	switch {
	case c.StateDir == "":
		k.bad("state_dir", "is empty; name the folder for what must survive a restart, such as /var/lib/posdx")
	case k.absolute("state_dir", c.StateDir):
		if info, err := os.Stat(c.StateDir); err == nil && !info.IsDir() {
			k.bad("state_dir", "%q is a file; want a folder", c.StateDir)
		}
	}
}

func (k *checker) hook() {
	h := k.c.Hook
	switch {
	case h.Socket == "":
		k.bad("hook.socket", "is empty; want the path of the local socket, such as %s", Socket)
	case !k.absolute("hook.socket", h.Socket):
	case len(h.Socket) > longestSocket:
		k.bad("hook.socket", "has %d bytes; the system takes a socket's path of at most %d", len(h.Socket), longestSocket)
	default:
		if info, err := os.Lstat(h.Socket); err == nil && info.Mode().Type() != fs.ModeSocket {
			k.bad("hook.socket", "at %q there is something that is no socket; remove it or name another path", h.Socket)
		}
	}
	switch {
	case h.HTTP == "":
	case h.TokenFile == "":
		k.bad("hook.token_file", "is needed with hook.http, where every program on the terminal could speak; name a file of one line, made with: head -c 24 /dev/urandom | base64 >FILE; chmod 640 FILE")
	case k.absolute("hook.token_file", h.TokenFile):
		if info, err := os.Stat(h.TokenFile); err != nil {
			k.add(Fault, "hook.token_file", "%q cannot be read, so every request over HTTP is refused; make it with: head -c 24 /dev/urandom | base64 >%s; chmod 640 %s", h.TokenFile, h.TokenFile, h.TokenFile)
		} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o007 != 0 {
			k.add(Fault, "hook.token_file", "everybody may read %q, or it is no file, so every request over HTTP is refused; chmod 640 %s", h.TokenFile, h.TokenFile)
		}
	}
	if h.Group == "" {
		return
	}
	if n, err := strconv.Atoi(h.Group); err == nil {
		if n < 0 {
			k.bad("hook.group", "%d is no group", n)
		}
		return
	}
	if _, err := user.LookupGroup(h.Group); err != nil {
		k.add(Fault, "hook.group", "this system has no group %q, so the socket stays closed and no cashier gets a verdict; create it (groupadd %s), or name the payment application's group", h.Group, h.Group)
	}
}

func (k *checker) logs() {
	for i, l := range k.c.Log {
		key := fmt.Sprintf("log[%d]", i)
		switch {
		case l.Path == "":
			k.bad(key+".path", "is empty; name the payment log to follow")
		case strings.HasPrefix(l.Path, "journal:"): // of a unit
		case k.absolute(key+".path", l.Path):
			k.logFile(key+".path", l.Path)
		}
		k.oneOf(key+".origin", l.Origin, "", "host", "terminal", "cashier", "unknown")
		if _, err := regexp.Compile(l.Begin); err != nil {
			k.bad(key+".begin", "%s", broken(err))
		}
		if len(l.Patterns) == 0 {
			k.bad(key+".patterns", "is empty; give a regular expression with a group named code, such as 'RC=(?P<code>\\w+)'")
		}
		starts, ends := false, false
		for j, st := range l.Step {
			at := fmt.Sprintf("%s.step[%d]", key, j)
			if st.Pattern == "" {
				k.bad(at+".pattern", "is empty and would match every line; give a regular expression")
			}
			k.oneOf(at+".phase", st.Phase, "start", "sent", "answered", "end")
			k.oneOf(at+".result", st.Result, "", "approved", "declined", "failed", "cancelled")
			if st.Result != "" && st.Phase != "end" {
				k.bad(at+".result", "only a step with phase = \"end\" has a result")
			}
			starts, ends = starts || st.Phase == "start", ends || st.Phase == "end"
		}
		if starts && !ends {
			k.add(Warning, key+".step", "sales start and never end: a code ends one, else it takes three minutes; add a step with phase = \"end\"")
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
		k.expect(key, path, "codes are read from it as soon as it is there")
	case info.IsDir():
		k.bad(key, "%q is a folder; name the log in it", path)
	default:
		f, err := os.Open(path)
		if err != nil {
			k.add(Warning, key, "%q may not be read by this user; the daemon's user must be in the log's group", path)
			return
		}
		f.Close()
	}
}

// broken is what is wrong with a regular expression.
func broken(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }

// expect warns of something that is not there and may come.
func (k *checker) expect(key, path, until string) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		k.add(Warning, key, "%q is not there; %s", path, until)
	} else if errors.Is(err, fs.ErrPermission) {
		k.add(Warning, key, "%q may not be looked at by this user", path)
	}
}

// name checks a device's name, which becomes the subject of its evidence and part of file names.
func (k *checker) name(key, name, like string, names map[string]string) {
	switch first, used := names[name]; {
	case name == "":
		k.bad(key, "is empty; each device needs its own name, such as %s", like)
	case used:
		k.bad(key, "%q is used twice, by %s too; each device needs its own name", name, first)
	case len(name) > longestName || strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r)
	}):
		k.bad(key, "%q cannot be a device's name; want at most %d of A-Z a-z 0-9 . _ -", name, longestName)
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
			k.bad(key, "%q names no USB port; want usb:VVVV:PPPP with vendor and product in hexadecimal, as lsusb prints them", port)
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
		k.expect(key, port, "its checks say so until it is plugged in")
	case info.IsDir() || info.Mode().IsRegular():
		k.bad(key, "%q is no device; name a device file, such as /dev/ttyUSB0 or /dev/serial/by-id/…", port)
		return false
	}
	return true
}

func (k *checker) baud(key string, baud int, needed bool) {
	switch {
	case baud == 0 && !needed:
	case baud <= 0 || baud > 4_000_000:
		k.bad(key, "%d is no baud rate; want one such as 9600 or 115200", baud)
	case !slices.Contains(speeds, baud):
		best := slices.MinFunc(speeds, func(a, b int) int {
			return distance(strconv.Itoa(a), strconv.Itoa(baud)) - distance(strconv.Itoa(b), strconv.Itoa(baud))
		})
		k.add(Warning, key, "%d is an unusual baud rate; is %d meant?", baud, best)
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
			k.bad(key+".port", "is empty; name the device file, such as /dev/ttyUSB0 or /dev/serial/by-id/…")
		} else {
			k.device(key+".port", p.Port)
		}
		k.baud(key+".baud", p.Baud, false)
		for i, rx := range p.RX {
			at := fmt.Sprintf("%s.rx[%d]", key, i)
			if rx == "" {
				k.bad(at, "is empty; name the port")
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
				k.bad(key+"."+only.name, "means nothing for a %s; it belongs to a [[%s]]", kind, only.kind)
			}
		}
		if kind == "modem" && p.Protocol != "" {
			k.bad(key+".protocol", "a modem has none; its maker is found out")
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
			k.bad(key+".data_bits", "%d is neither 7 nor 8", l.Bits)
		}
		if !k.oneOf(key+".way", l.Way, "", "rx", "own", "relay", "lan") {
			continue
		}
		if l.Way == "lan" {
			if l.Port != "" || len(l.RX) > 0 {
				k.bad(key+".way", "a link on the network has no port: give the terminal's address alone")
			}
			if _, err := netip.ParseAddrPort(l.Address); err != nil {
				k.bad(key+".address", "%q is no address of a terminal; write it as 192.168.1.50:20007", l.Address)
			}
			continue
		}
		if l.Address != "" {
			k.bad(key+".address", "belongs to way = \"lan\", a link on the network")
		}
		if l.Way == "relay" {
			if l.Port != "" || len(l.RX) > 0 {
				k.bad(key+".way", "a relay has the port, and its copies go by the link's name: give neither rx nor port")
			}
			continue
		}
		k.baud(key+".baud", l.Baud, true)
		way := "rx"
		if l.Port != "" {
			way = "own"
		}
		if l.Way != "" && l.Way != way {
			k.bad(key+".way", "%q does not fit the ports: rx goes with rx, own with port, relay with neither", l.Way)
		}
		if (l.Port != "") == (len(l.RX) > 0) || len(l.RX) > 2 {
			k.bad(key+".rx", "name one or two receive-only ports here, what the terminal sends first, or one in %s.port", key)
			continue
		}
		for j, p := range l.Ports() {
			at := key + ".port"
			if l.Port == "" {
				at = fmt.Sprintf("%s.rx[%d]", key, j)
			}
			if p == "" {
				k.bad(at, "is empty; name the port")
			} else {
				k.device(at, p)
			}
		}
	}
}

// ports finds those that two want. A port has one reader: a second one would take bytes from the first.
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
			k.bad(key, "port %q is that of %s already; a port has one reader, for a second one would take bytes from the first", port, first)
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
	case name == "" || len(name) > longestInterface || strings.ContainsAny(name, "/@: ") || strings.ContainsFunc(name, unicode.IsControl):
		k.bad(key, "%q is no interface; want a name as ip link prints it, such as eth0", name)
	case !hasInterface(name):
		k.add(Warning, key, "there is no interface %q now; ip link prints those there are", name)
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
			k.bad(fmt.Sprintf("network.resolvers[%d]", i), "%v", err)
		}
	}
	if n.HostsFile == "" {
		k.bad("network.hosts_file", "is empty; want the hosts file that the payment application reads, such as /etc/hosts")
	} else {
		k.absolute("network.hosts_file", n.HostsFile)
	}
	if n.ResolvConf == "" {
		k.bad("network.resolv_conf", "is empty; want the file that names the resolvers, such as /etc/resolv.conf")
	} else if k.absolute("network.resolv_conf", n.ResolvConf) && len(n.Resolvers) == 0 {
		k.expect("network.resolv_conf", n.ResolvConf, "names are not looked up until it is")
	}
	for i, m := range n.Metered {
		if !slices.Contains(kinds, m) {
			if !hasInterface(m) {
				k.add(Warning, fmt.Sprintf("network.metered[%d]", i), "%q is neither an interface here nor a kind; the kinds are %s", m, strings.Join(kinds, " "))
			}
		}
	}
	k.notNegative("network.daily_bytes", n.DailyBytes, "200 kB a day")
	if len(n.SSID) > 32 {
		k.bad("network.ssid", "has %d bytes; a Wi-Fi network's name has at most 32", len(n.SSID))
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
		return netip.AddrPort{}, fmt.Errorf("%q is no IP address; want one such as 192.0.2.53, or with a port 192.0.2.53:5353", s)
	}
	return netip.AddrPortFrom(a, 53), nil
}

func (k *checker) host(key, host, port string) {
	switch {
	case host == "":
		k.bad(key, "is empty; want a name or an address")
	case strings.Contains(host, "://") || strings.ContainsAny(host, "/@ ") || strings.ContainsFunc(host, unicode.IsControl):
		k.bad(key, "%q is no host; want a name or an address alone, such as pos.acquirer.example", host)
	case strings.Count(host, ":") == 1:
		k.bad(key, "%q has a port in it; that goes into %s", host, port)
	case strings.Contains(host, ":"):
		if _, err := netip.ParseAddr(host); err != nil {
			k.bad(key, "%q is no IPv6 address; want it without brackets", host)
		}
	case len(host) > 253:
		k.bad(key, "has %d characters; a name has at most 253", len(host))
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
				k.bad(key+".name", "%q is there already, as %s; a second one of a name needs another way to it, in via", t.Name, first)
			} else {
				seen[which] = key
			}
		}
		k.host(key+".host", t.Host, key+".port")
		if t.Port < 1 || t.Port > 65535 {
			k.bad(key+".port", "%d is no TCP port; want 1 to 65535", t.Port)
		}
		if t.Via != "" {
			k.iface(key+".via", t.Via)
		}
		if t.Proxy != "" {
			host, port, err := net.SplitHostPort(t.Proxy)
			if number, e := strconv.Atoi(port); err != nil || e != nil || number < 1 || number > 65535 || host == "" {
				k.bad(key+".proxy", "%q is no proxy; want its name or address and port alone, such as proxy.shop.lan:3128", t.Proxy)
			} else {
				k.host(key+".proxy", host, key+".proxy")
			}
			if t.PortalPath != "" || t.Via != "" {
				k.bad(key+".proxy", "cannot be together with via or portal_path")
			}
		}
		if t.PortalPath != "" && (t.PortalPath[0] != '/' || t.TLS || t.Name != "internet") {
			k.bad(key+".portal_path", "want a path such as /generate_204, of the target internet, without tls")
		}
		if !t.TLS && (t.CA != "" || t.ServerName != "") {
			k.add(Warning, key+".tls", "is false, so ca and server_name are not used")
		}
		k.trust(key+".ca", t.CA)
	}
	c := k.c.Capture
	if c.On && !watched {
		k.bad("capture.on", "there is nothing to watch: no [[target]] is called host-primary or host-backup")
	}
}

// trust looks into a file of root certificates. A file can be put right beside a running daemon, so it is no reason not to
// start.
func (k *checker) trust(key, path string) {
	if path == "" || !k.absolute(key, path) {
		return
	}
	b, ok := k.content(key, path)
	if !ok {
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		k.add(Fault, key, "%q holds no certificate in PEM, so nothing can be trusted by it; convert one in DER with: openssl x509 -inform der -in FILE -out %s", path, path)
	}
}

// content reads a small file that must be there for something to work.
func (k *checker) content(key, path string) ([]byte, bool) {
	b, err := bounded(path)
	switch {
	case err == nil:
		return b, true
	case errors.Is(err, fs.ErrPermission):
		k.add(Warning, key, "%q may not be read by this user; the daemon's user must be able to", path)
	case errors.Is(err, fs.ErrNotExist):
		k.add(Fault, key, "%q is not there; put it there or correct the path", path)
	default:
		k.add(Fault, key, "%q %s", path, unreadable(err))
	}
	return nil, false
}

func (k *checker) app() {
	a := k.c.App
	if len(a.Process) > longestComm || strings.Contains(a.Process, "/") {
		k.bad("app.process", "%q is never in /proc/*/comm, which holds the first %d characters of the program's name without its folder", a.Process, longestComm)
	}
	files := func(name string, list []string, until string) {
		for i, p := range list {
			key := fmt.Sprintf("app.%s[%d]", name, i)
			if p == "" {
				k.bad(key, "is empty; name a file")
			} else if k.absolute(key, p) {
				k.expect(key, p, until)
			}
		}
	}
	files("parameters", a.Parameters, "its changes are not seen until it is")
	files("certificates", a.Certificates, "when it ends is not known until it is")
}

func (k *checker) broker() {
	c := k.c
	b := c.Broker
	k.oneOf("broker.delivery", b.Delivery, "fleet", "broker")
	if (b.Cert == "") != (b.Key == "") {
		k.bad("broker.cert", "a client certificate needs both broker.cert and broker.key")
	}
	if t := time.Duration(b.KeepAlive); t < minKeepAlive || t > maxKeepAlive {
		k.bad("broker.keepalive", "%v is not between %v and %v", t, minKeepAlive, maxKeepAlive)
	}
	k.notNegative("broker.daily_bytes", b.DailyBytes, "no limit")
	if c.Outbox.MaxAge <= 0 {
		k.bad("outbox.max_age", "%v keeps nothing; want a time span such as \"720h\"", time.Duration(c.Outbox.MaxAge))
	}
	for i, s := range b.AdvisoryKeys {
		if _, err := AdvisoryKey(s); err != nil {
			k.bad(fmt.Sprintf("broker.advisory_keys[%d]", i), "%v", err)
		}
	}
	seen := map[string]bool{}
	plain := false
	for i, u := range b.URL {
		if seen[u] {
			k.bad(fmt.Sprintf("broker.url[%d]", i), "%q is there twice", u)
		}
		seen[u] = true
		plain = plain || strings.HasPrefix(u, "tcp:") || strings.HasPrefix(u, "mqtt:")
	}
	if plain && (b.CA != "" || b.Cert != "") {
		k.add(Warning, "broker.url", "one of the addresses is not encrypted, so ca and cert are not used on it; want ssl://")
	}
	k.trust("broker.ca", b.CA)
	k.clientCertificate()
	if b.UserFile != "" && k.absolute("broker.user_file", b.UserFile) {
		if text, ok := k.content("broker.user_file", b.UserFile); ok {
			if user, _, two := bytes.Cut(bytes.TrimSpace(text), []byte("\n")); !two || len(bytes.TrimSpace(user)) == 0 {
				k.add(Fault, "broker.user_file", "%q wants the user on its first line and the password on its second", b.UserFile)
			}
			k.private("broker.user_file", b.UserFile)
		}
	}
}

// AdvisoryKey reads a key that what the fleet says of other terminals is signed with.
func AdvisoryKey(s string) (ed25519.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%q is not the base64 of an ed25519 public key; posdx-fleet advisory-key prints it", s)
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
		k.add(Fault, "broker.key", "%q holds no key in PEM", b.Key)
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		k.add(Fault, "broker.cert", "%q and the key in %q are no pair: %s", b.Cert, b.Key, strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err == nil {
		if cn := leaf.Subject.CommonName; cn != k.c.Terminal {
			k.add(Warning, "broker.cert", "is made out to %q and the terminal is called %q: brokers take the name from the certificate", cn, k.c.Terminal)
		}
		if now := time.Now(); now.After(leaf.NotAfter) {
			k.add(Warning, "broker.cert", "has expired on %s (by this terminal's clock)", leaf.NotAfter.Format(time.DateOnly))
		}
	}
}

// private warns of a secret that everybody on the terminal may read.
func (k *checker) private(key, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		k.add(Warning, key, "%q may be read by everybody on this terminal; chmod 640 it and give it to the daemon's user", path)
	}
}
