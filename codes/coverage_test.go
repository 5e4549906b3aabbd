package codes

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryCheckIsMade: what nobody looks at is no check. A probe names it by its constant, or the payment application
// may report it.
func TestEveryCheckIsMade(t *testing.T) {
	names, err := os.ReadFile("../agent/evidence/names.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := regexp.MustCompile(`(?m)^\t(\w+) +Check += "(.*?)"`).FindAllStringSubmatch(string(names), -1)
	if len(constants) != len(Builtin().Checks) {
		t.Errorf("%d checks have a constant, of %d", len(constants), len(Builtin().Checks))
	}
	var source strings.Builder
	err = filepath.WalkDir("../agent", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "names.go" {
			return err
		}
		b, err := os.ReadFile(path)
		source.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range constants {
		reported := slices.ContainsFunc(Builtin().FactsOf(c[2]), func(f Fact) bool { return f.Hook })
		if !reported && !regexp.MustCompile(`\b`+c[1]+`\b`).MatchString(source.String()) {
			t.Errorf("nothing makes %s", c[2])
		}
	}
}

// TestCoverageIsWhole walks every cause and remedy of the seed articles and those that only better sources name.
func TestCoverageIsWhole(t *testing.T) {
	k := Builtin()
	var want []string
	for _, group := range []struct {
		letter string
		n      int
	}{{"C", 62}, {"R", 43}, {"S", 9}} {
		for i := range group.n {
			want = append(want, fmt.Sprint(group.letter, i+1))
		}
	}
	var got []string
	for _, c := range k.Coverage {
		got = append(got, c.ID)
		hidden := c.Hidden != Text{}
		if !hidden && (len(c.Causes) == 0 || len(c.Checks) == 0 || len(c.Remedies) == 0) {
			t.Errorf("%s %q: causes %v, checks %v, advice %v, and no reason", c.ID, c.What.EN, c.Causes, c.Checks, c.Remedies)
		}
		if c.ID[0] != 'S' && c.ID != "C41" && len(c.Seeds) == 0 {
			t.Errorf("%s: no seed article", c.ID)
		}
		for _, id := range c.Causes {
			if _, ok := k.Cause(id); !ok {
				t.Errorf("%s: no cause %q", c.ID, id)
			}
		}
		for _, name := range c.Checks {
			if _, ok := k.Check(name); !ok {
				t.Errorf("%s: no check %q", c.ID, name)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// TestHiddenRows names the rows that nothing inside a terminal can confirm, so that none hides there by accident.
func TestHiddenRows(t *testing.T) {
	want := "C26 C56 C57 C58 R4 R29 R31 R32 R33 R34 R35 R36 R38 R39 R41 R42"
	var got []string
	for _, c := range Builtin().Coverage {
		if len(c.Causes) == 0 {
			got = append(got, c.ID)
		}
	}
	if g := strings.Join(got, " "); g != want {
		t.Errorf("rows without a cause are %s, want %s", g, want)
	}
}

func TestClaims(t *testing.T) {
	perSeed := map[string]int{}
	for _, c := range Builtin().Claims {
		perSeed[c.Seed]++
		if len(c.Codes) == 0 {
			t.Errorf("claim %q speaks of no code", c.Claim.EN)
		}
	}
	want := map[string]int{"000": 14, "001": 5, "002": 5, "003": 10, "004": 9}
	if d := cmp.Diff(want, perSeed); d != "" {
		t.Errorf("claims of each article (-want +got):\n%s", d)
	}
}

// TestForbiddenIsHeld: a step that offers a remedy where it cannot help is a mistake in the data.
func TestForbiddenIsHeld(t *testing.T) {
	tests := []struct{ cause, remedy, zh, en string }{
		{"switch.malfunction", "R3", "重启终端。", "Restart the terminal."},
		{"terminal.not-registered", "R3", "重启终端。", "Restart the terminal."},
		{"host.malfunction", "R22", "联系发卡行。", "Call the issuing bank."},
		{"terminal.not-registered", "R24", "请顾客充值。", "Ask the customer to top up."},
		{"issuer.unavailable", "R24", "请顾客充值。", "Ask the customer to top up."},
		{"terminal.not-registered", "R14", "清洁终端。", "Clean the terminal."},
		{"terminal.config", "R14", "清洁终端。", "Clean the terminal."},
		{"account.funds", "R5", "重启路由器。", "Restart the router."},
		{"issuer.unavailable", "R9", "开放端口。", "Open the port."},
		{"terminal.session", "R6", "换一个网络。", "Try another network."},
	}
	for _, tt := range tests {
		m := dataFiles(t)
		step := fmt.Sprintf("  step %s\n  zh %s\n  en %s\n", tt.remedy, tt.zh, tt.en)
		before, after, _ := strings.Cut(string(m["causes.txt"].Data), "\ncause "+tt.cause+" ")
		own, after, _ := strings.Cut(after, "\ncause ")
		m["causes.txt"].Data = []byte(before + "\ncause " + tt.cause + " " + own + step + "\ncause " + after)
		_, problems := Parse(m)
		want := fmt.Sprintf("a step of cause %q offers remedy %q", tt.cause, tt.remedy)
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.File == "forbidden.tsv" && p.What.EN == want }) {
			t.Errorf("no problem says %q: %v", want, problems)
		}
	}
}

// TestForbiddenListIsWhole holds the pairs of code and remedy that must never be advised.
func TestForbiddenListIsWhole(t *testing.T) {
	k := Builtin()
	for _, tt := range []struct{ code, remedy string }{
		{"96", "R3"}, {"97", "R3"}, {"96", "R22"}, {"97", "R22"}, {"96", "R24"}, {"97", "R24"}, {"98", "R24"}, {"97", "R14"},
		{"51", "R5"}, {"96", "R6"}, {"97", "R9"}, {"00", "R10"},
	} {
		if !slices.ContainsFunc(k.Forbidden, func(f Forbidden) bool {
			return f.Origin == "host" && (f.Scheme == "" || f.Scheme == "unionpay") &&
				(len(f.Codes) == 0 || slices.Contains(f.Codes, tt.code)) &&
				slices.Contains(f.Remedies, tt.remedy) && len(f.Causes) > 0
		}) {
			t.Errorf("%s is not forbidden at %s", tt.remedy, tt.code)
		}
	}
}

// TestNetworkRemediesBelongToTheNetwork: what a host's answer refutes is the only place where the network is advised.
func TestNetworkRemediesBelongToTheNetwork(t *testing.T) {
	network := []string{"R5", "R6", "R7", "R8", "R9"}
	for _, c := range Builtin().Causes {
		unreached := slices.Contains([]string{"lan", "wan", "modem"}, c.Segment) ||
			slices.Contains([]string{"host.unreachable", "host.port-closed", "host.tls"}, c.ID)
		for _, r := range c.Remedies {
			if slices.Contains(network, r) && !unreached {
				t.Errorf("cause %q offers %s", c.ID, r)
			}
		}
	}
}

// TestStepsSayWhatToSay: who has to call somebody is told what to name.
func TestStepsSayWhatToSay(t *testing.T) {
	for _, c := range Builtin().Causes {
		if c.Act != "acquirer" && c.Act != "technician" && c.Act != "carrier" {
			continue
		}
		if c.ID == "lan.firewall" { // the shop's own people
			continue
		}
		if zh := c.StepsFor("").ZH; !strings.ContainsAny(zh, "报") && !strings.Contains(zh, "说明") {
			t.Errorf("cause %s: no step tells whoever calls what to report; one has to say it with 报 or 说明: %q", c.ID, zh)
		}
	}
}

// maxTitle keeps a title on one line of the technician's console, in columns.
const maxTitle = 76

func TestTitlesFitALine(t *testing.T) {
	for _, c := range Builtin().Causes {
		if len(c.Title.EN) > 100 || 2*len([]rune(c.Title.ZH)) > maxTitle {
			t.Errorf("%s: %q %q", c.ID, c.Title.ZH, c.Title.EN)
		}
	}
}
