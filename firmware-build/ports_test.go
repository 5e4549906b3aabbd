package firmware

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
)

// ports are serial ports and printers of terminals in the field, with the number or name by which the kernel knows
// their driver (Documentation/admin-guide/devices.txt, /proc/devices).
var ports = []struct{ subsystem, name, driver string }{
	{"tty", "ttyS0", "ttyS"}, {"tty", "ttyUSB3", "188"}, {"tty", "ttyACM0", "166"}, {"tty", "ttyAMA1", "ttyAMA"},
	{"tty", "ttymxc2", "ttymxc"}, {"tty", "ttyHSL1", "ttyHSL"}, {"tty", "ttyHS0", "ttyHS"}, {"tty", "ttyMSM0", "ttyMSM"},
	{"tty", "ttySAC3", "ttySAC"}, {"tty", "ttyO2", "ttyO"}, {"tty", "ttyPS0", "ttyPS"}, {"tty", "ttyAT1", "ttyAT"},
	{"tty", "ttyLP0", "ttyLP"}, {"tty", "ttyMT1", "ttyMT"}, {"tty", "ttySTM10", "ttySTM"}, {"tty", "ttyXRUSB0", "ttyXRUSB"},
	{"tty", "ttyGS0", "ttyGS"}, {"usbmisc", "lp0", "180"},
}

// noPorts are what a rule for ports must leave alone: virtual consoles, terminals of programs, other devices.
var noPorts = []struct{ subsystem, name string }{
	{"tty", "tty"}, {"tty", "tty1"}, {"tty", "console"}, {"tty", "ptmx"}, {"tty", "ttyprintk"}, {"tty", "ptyp0"}, {"tty", "ttyp0"},
	{"usbmisc", "hiddev0"}, {"block", "sda"}, {"mem", "mem"},
}

// A rule of udev as we write it: what it matches, and what it sets.
type rule struct{ match, set map[string]string }

var ruleWord = regexp.MustCompile(`^([A-Z]+)(==|=)"([^"]*)"$`)

func rules(t *testing.T) (list []rule) {
	text, err := os.ReadFile("posdx.rules")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r := rule{map[string]string{}, map[string]string{}}
		for _, word := range strings.Split(line, ", ") {
			m := ruleWord.FindStringSubmatch(word)
			switch {
			case m == nil:
				t.Errorf("no word of a rule: %q", word)
			case m[2] == "==":
				r.match[m[1]] = m[3]
			default:
				r.set[m[1]] = m[3]
			}
		}
		list = append(list, r)
	}
	return list
}

// allows tells whether one of udev's alternatives, or of systemd's groups of devices, is a name's.
func allows(patterns, name string) bool {
	for _, p := range strings.Split(patterns, "|") {
		if ok, err := path.Match(p, name); ok && err == nil {
			return true
		}
	}
	return false
}

func TestRulesCoverThePortsOfTheField(t *testing.T) {
	of := func(subsystem, name string) (all []rule) {
		for _, r := range rules(t) {
			if r.match["SUBSYSTEM"] == subsystem && allows(r.match["KERNEL"], name) {
				all = append(all, r)
			}
		}
		return all
	}
	for _, p := range ports {
		group := map[string]string{"tty": "dialout", "usbmisc": "lp"}[p.subsystem]
		if all := of(p.subsystem, p.name); len(all) != 1 || all[0].set["GROUP"] != group || all[0].set["MODE"] != "0660" {
			t.Errorf("%s: %v, want one rule with %s, 0660", p.name, all, group)
		}
	}
	for _, p := range noPorts {
		if all := of(p.subsystem, p.name); len(all) > 0 {
			t.Errorf("%s is no port of ours: %v", p.name, all)
		}
	}
}

// What is plugged in after the start brings its driver then, and systemd has looked names up before: such drivers are
// there by number.
func TestUnitAllowsThePortsOfTheField(t *testing.T) {
	unit, err := os.ReadFile("posdx.service")
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for line := range strings.Lines(string(unit)) {
		if g, ok := strings.CutPrefix(line, "DeviceAllow=char-"); ok {
			g, access, _ := strings.Cut(strings.TrimSpace(g), " ")
			if access != "rw" {
				t.Errorf("%s may be used for %q", g, access)
			}
			groups = append(groups, g)
		}
	}
	for _, p := range ports {
		if !allows(strings.Join(groups, "|"), p.driver) {
			t.Errorf("%s, of the driver %s, is not allowed: %v", p.name, p.driver, groups)
		}
	}
	if allows(strings.Join(groups, "|"), "tty") || allows(strings.Join(groups, "|"), "*") {
		t.Errorf("more than ports is allowed: %v", groups)
	}
}

func TestRulesAreValidForUdev(t *testing.T) {
	if out, err := exec.Command("udevadm", "verify", "--help").CombinedOutput(); err != nil {
		t.Skipf("no udevadm that can verify (Debian package udev, 254 or later): %v %s", err, strings.TrimSpace(string(out)))
	}
	if out, err := exec.Command("udevadm", "verify", "--no-style", "posdx.rules").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
