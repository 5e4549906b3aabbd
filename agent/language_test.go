package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"posdx/agent/internal/source/paylog"
	"posdx/codes"
	"posdx/firmware-build/housetest"
)

// TestErrorsOfCommandsInBothLanguages makes each command go wrong, and reads what it says first: in Chinese no English
// word but for options, values and names, in English no Chinese one.
func TestErrorsOfCommandsInBothLanguages(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none := filepath.Join(dir, "none")
	config := write("posdx.toml", "estate = \"shop\"\nterminal = \"t1\"\nstate_dir = \""+dir+"/state\"\n[hook]\nsocket = \""+dir+"/s\"\n")
	wrong := write("wrong.toml", "terminal = \"t1\"\n")
	modem := write("modem.toml", "estate = \"shop\"\nterminal = \"t1\"\nstate_dir = \""+dir+"/state\"\n[hook]\nsocket = \""+dir+"/s\"\n"+
		"[[modem]]\nname = \"modem0\"\nport = \"/dev/ttyNONE\"\n[[modem]]\nname = \"modem1\"\nport = \"/dev/ttyNONE1\"\nmay_reset = true\n")
	keys := []string{"event", "evidence", "true", "false"}
	for _, c := range commands() {
		keys = append(keys, c.name)
	}
	for _, s := range codes.Builtin().Schemes {
		keys = append(keys, strings.Split(s.Name, "-")...)
		keys = append(keys, s.Name)
	}
	for _, p := range codes.Builtin().Profiles {
		keys = append(keys, p.Name)
	}
	keys = append(keys, strings.Fields(`systemctl root run bash zsh fish VID PID dev tty stan json sec help level error msg key config language
		CA HTTP knowledge.keys https host host:port terminal cashier unknown SOCKET socket suggest try end T8 Authorization A-Z a-z zip manifest.json CN event.code estate udfff`)...)
	keys = append(keys, paylog.Encodings()...)
	keys = append(keys, "shift-jis")
	for _, c := range []struct {
		what  string
		args  []string
		stdin string
	}{
		{"no such command", []string{"doctr"}, ""},
		{"no such option", []string{"status", "--colour"}, ""},
		{"option without a value", []string{"status", "--socket"}, ""},
		{"option of another kind", []string{"status", "--timeout", "soon"}, ""},
		{"switch with a word", []string{"status", "--json=perhaps"}, ""},
		{"no time to answer", []string{"status", "--timeout", "0s"}, ""},
		{"no daemon: status", []string{"status", "--socket", none}, ""},
		{"no daemon: check", []string{"check", "--socket", none}, ""},
		{"no daemon: report", []string{"report", "--code", "96", "--socket", none}, ""},
		{"no daemon: diagnose", []string{"diagnose", "--socket", none}, ""},
		{"no daemon: guide", []string{"guide", "--socket", none}, ""},
		{"no configuration: status", []string{"status", "--config", none}, ""},
		{"no configuration: history", []string{"history", "--config", none}, ""},
		{"no configuration: selfcheck", []string{"selfcheck", "--config", none}, ""},
		{"no configuration: reset", []string{"reset", "--config", none, "modem0"}, ""},
		{"no configuration: knowledge", []string{"knowledge", "--config", none, none}, ""},
		{"wrong configuration: selfcheck", []string{"selfcheck", "--config", wrong}, ""},
		{"no such modem", []string{"reset", "--config", config, "modem0"}, ""},
		{"code like a card's", []string{"report", "--config", config, "--code", "4111111111111111"}, ""},
		{"origin of nobody", []string{"report", "--config", config, "--code", "96", "--origin", "bank"}, ""},
		{"table of nobody", []string{"report", "--config", config, "--code", "96", "--scheme", "nobody"}, ""},
		{"member of a transaction", []string{"report", "--config", config, "--code", "96", "--txn", "stan"}, ""},
		{"time of a transaction", []string{"report", "--config", config, "--code", "96", "--txn", "connect_ms=soon"}, ""},
		{"replay of no file", []string{"diagnose", "--replay", none}, ""},
		{"replay of nothing", []string{"diagnose", "--replay", "-"}, ""},
		{"replay of no JSON", []string{"diagnose", "--replay", "-"}, "hello"},
		{"replay cut short", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"96"`},
		{"replay without an event", []string{"diagnose", "--replay", "-"}, `{}`},
		{"number for text", []string{"diagnose", "--replay", "-"}, `{"event":{"code":96}}`},
		{"text for an object", []string{"diagnose", "--replay", "-"}, `{"event":"96"}`},
		{"object for a list", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"96"},"evidence":{}}`},
		{"list for an object", []string{"diagnose", "--replay", "-"}, `[1]`},
		{"text for yes or no", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"96","txn":{"sent":"yes"}}}`},
		{"time of another form", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"96","time":"today"}}`},
		{"member twice", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"96","code":"97"}}`},
		{"half of a pair", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"\ud800"}}`},
		{"not UTF-8", []string{"diagnose", "--replay", "-"}, "{\"event\":{\"code\":\"\xff\"}}"},
		{"code of a replay", []string{"diagnose", "--replay", "-"}, `{"event":{"code":"4111111111111111"}}`},
		{"no such profile", []string{"diagnose", "--profile", "nobody"}, ""},
		{"hand-off code too short", []string{"decode", "ABCD"}, ""},
		{"hand-off code with a letter of none", []string{"decode", "T6K3-MB3G-EE7J-FZZY-DKM?"}, ""},
		{"hand-off code misheard", []string{"decode", "T6K3-MB3G-EE7J-FZZY-DKMX"}, ""},
		{"no such time", []string{"history", "--since", "soon"}, ""},
		{"no such answer", []string{"guide", "--replay", "diagnose/testdata/cases/wan-mtu.json", "--answer", "ask.nothing"}, ""},
		{"no table for a code", []string{"code", "--scheme", "nobody", "96"}, ""},
		{"tables that are not there", []string{"code", "--lint", none}, ""},
		{"tables that are a file", []string{"code", "--lint", config}, ""},
		{"bundle that is none", []string{"replay", config}, ""},
		{"bundle onto nothing", []string{"bundle", "--config", config, "--require-mount", none, none + "/b.zip"}, ""},
		{"log that is not there", []string{"log", "try", "--pattern", "(?P<code>..)", none}, ""},
		{"pattern that is none", []string{"log", "try", "--pattern", "(", config}, ""},
		{"relay with another framing", []string{"relay", "--device", none, "--link", none, "--baud", "9600", "--framing", "9X9"}, ""},
		{"check that is none", []string{"check", "nosuch", "--offline", "--config", config, "--socket", none}, ""},
		{"code of a name", []string{"code", "JOHN SMITH"}, ""},
		{"code of a card", []string{"code", "4111111111111111"}, ""},
		{"code of nothing", []string{"code"}, ""},
		{"page into a file", []string{"man", "--dir", config}, ""},
		{"bundle into no folder", []string{"bundle", "--config", config, none + "/b.zip"}, ""},
		{"bundle to nobody", []string{"bundle"}, ""},
		{"console without a terminal", []string{"console", "--config", config}, ""},
		{"console of another charset", []string{"console", "--charset", "ebcdic"}, ""},
		{"console with a wrong configuration", []string{"console", "--config", wrong, "--tty", none}, ""},
		{"run with a wrong configuration", []string{"run", "--config", wrong}, ""},
		{"run without one", []string{"run", "--config", none}, ""},
		{"selfcheck of nobody", []string{"selfcheck", "--config", config, "--live", "1"}, ""},
		{"reset without a name", []string{"reset", "--config", config}, ""},
		{"reset not allowed", []string{"reset", "--config", modem, "modem0"}, ""},
		{"reset without a daemon", []string{"reset", "--config", modem, "modem1"}, ""},
		{"pack that is none", []string{"knowledge", "--config", config, config}, ""},
		{"two packs", []string{"knowledge", "--config", config, "a", "b"}, ""},
		{"enroll without an address", []string{"enroll"}, ""},
		{"enroll without TLS", []string{"enroll", "--url", "http://fleet.example"}, "posdx_enroll_x"},
		{"enroll without a token", []string{"enroll", "--url", "https://127.0.0.1:1", "--out", none}, ""},
		{"enroll at nobody", []string{"enroll", "--url", "https://127.0.0.1:1", "--out", none}, "posdx_enroll_x"},
		{"enroll over a certificate", []string{"enroll", "--url", "https://127.0.0.1:1", "--out", config}, "posdx_enroll_x"},
		{"enroll with no CA", []string{"enroll", "--url", "https://127.0.0.1:1", "--out", none, "--ca", config}, "posdx_enroll_x"},
		{"enroll with another token", []string{"enroll", "--url", "https://127.0.0.1:1", "--out", none}, "hello"},
		{"log in another encoding", []string{"log", "try", "--pattern", "(?P<code>..)", "--encoding", "klingon", config}, ""},
		{"pattern without a code", []string{"log", "try", "--pattern", "x", config}, ""},
		{"begin that is none", []string{"log", "try", "--pattern", "(?P<code>..)", "--begin", "[", config}, ""},
		{"log of no configuration", []string{"log", "try", "--config", config, config}, ""},
		{"suggest of a folder", []string{"log", "suggest", dir}, ""},
		{"suggest of nothing like codes", []string{"log", "suggest", config}, ""},
		{"replay of nobody", []string{"replay"}, ""},
		{"replay of nothing", []string{"replay", "-"}, ""},
		{"id of nobody", []string{"history", "--config", config, "x"}, ""},
		{"history that may take no time", []string{"history", "--timeout", "0s"}, ""},
		{"guide of nothing", []string{"guide", "--replay", none}, ""},
		{"guide of a table of nobody", []string{"guide", "--scheme", "nobody"}, ""},
		{"relay without a speed", []string{"relay", "--device", none, "--link", none}, ""},
		{"relay for nobody", []string{"relay", "--device", none, "--link", none, "--baud", "9600", "--group", "nobody-here"}, ""},
		{"relay into no folder", []string{"relay", "--device", none, "--link", none + "/x/y", "--baud", "9600"}, ""},
		{"relay onto a file", []string{"relay", "--device", none, "--link", config, "--baud", "9600"}, ""},
		{"offline with a wrong configuration", []string{"diagnose", "--offline", "--config", wrong, "--socket", none}, ""},
		{"configuration of nobody", []string{"config", "check", none}, ""},
		{"configuration that is a folder", []string{"config", "check", dir}, ""},
		{"config of nothing", []string{"config"}, ""},
		{"hand-off code too long", []string{"decode", strings.Repeat("K", 5000)}, ""},
		{"word for version", []string{"version", "--of"}, ""},
		{"no such shell", []string{"completion", "csh"}, ""},
		{"no such page", []string{"man", "nothing"}, ""},
		{"no such language", []string{"status", "--lang", "fr"}, ""},
	} {
		for _, lang := range []string{"zh", "en"} {
			s, args := stdio{in: strings.NewReader(c.stdin)}, append(slices.Clone(c.args), "--lang", lang)
			if slices.Contains([]string{"no such language", "no such command", "option without a value"}, c.what) {
				s.speak, args = lang, c.args
			}
			var out, talk housetest.Buffer
			s.out, s.err = &out, &talk
			code := run(t.Context(), s, args)
			said, _, _ := strings.Cut(talk.String(), "\n")
			chinese := strings.ContainsFunc(said, func(r rune) bool { return unicode.Is(unicode.Han, r) })
			switch {
			case code == exitOK || said == "":
				t.Errorf("%s: exit %d, %q", c.what, code, said)
			case lang == "en" && chinese, lang == "zh" && !chinese:
				t.Errorf("%s in %s: %s", c.what, lang, said)
			case lang == "zh" && !strings.HasPrefix(said, "用法："):
				if words := foreignWords(strings.ReplaceAll(said, dir, ""), keys); len(words) > 0 {
					t.Errorf("%s: %q in %s", c.what, words, said)
				}
			}
			if lang == "en" && housetest.HasHan(talk.String()) {
				t.Errorf("%s: Chinese in %s", c.what, talk.String())
			}
			if strings.Contains(said, "系统报告") {
				t.Errorf("%s has words of its own: %s", c.what, said)
			}
			for _, l := range sentences(talk.String()) {
				if lang == "zh" {
					t.Errorf("%s: %s", c.what, l)
				}
			}
			for _, goes := range []string{" json:", "unmarshal", "struct", "syscall", "flag provided", "strconv", "%!"} {
				if strings.Contains(said, goes) {
					t.Errorf("%s in %s speaks Go: %s", c.what, lang, said)
				}
			}
		}
	}
}
