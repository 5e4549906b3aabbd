package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/agent/translate"
	"posdx/firmware-build/housetest"
	"posdx/fleet/access"
	"posdx/fleet/store"
)

// errorMakers make an error of a text: of what was to be done, around what went wrong, the last three.
var errorMakers = []map[string]int{housetest.ErrorMakers, {"problem": 2}, {"inTx": 1, "wrap": 1, "none": 1}}

// TestEveryErrorHasChinese walks the places where errors are made: a command that ends with one says it in its caller's
// language, with the values that it holds. A row of the table that nothing says any more is left over.
func TestEveryErrorHasChinese(t *testing.T) {
	folders, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	// Nothing ends a command with what the simulator of fleets says.
	folders = append(slices.DeleteFunc(folders, func(f string) bool { return f == "simulate" || f == "sample" }), ".")
	made := map[string]string{}
	for i, m := range errorMakers {
		for text, path := range housetest.TextsMade(t, m, folders...) {
			if i == 2 {
				text += ": %w"
			}
			made[text] = path
		}
	}
	if len(made) < 250 {
		t.Fatalf("the walk finds %d errors only", len(made))
	}
	zh := stdio{lang: "zh"}
	for text, path := range made {
		if !housetest.HasWords(text) {
			continue
		}
		err := housetest.SampleOf(text, errors.New("no PEM in it"))
		said := zh.error(err)
		if !housetest.HasHan(said) || strings.Contains(said, "系统报告") || housetest.English(said) != "" {
			t.Errorf("%s: %q is said as %q: it needs a row in errorTexts", path, text, said)
		}
		for _, value := range []string{"X1", "7"} {
			if strings.Count(err.Error(), value) > strings.Count(said, value) && !strings.Contains(text, value) {
				t.Errorf("%s: %q loses a value in %q", path, text, said)
			}
		}
		if strings.Contains(text, "%w") && !strings.Contains(said, "里面没有 PEM") {
			t.Errorf("%s: %q loses what it is around in %q", path, text, said)
		}
		if s := (stdio{lang: "en"}); s.error(err) != err.Error() {
			t.Errorf("%q in English: %q", text, s.error(err))
		}
	}
	// Of package flag, of time, of other rooms.
	elsewhere := []string{"flag ", "invalid ", "parse error", "value out of", "too many tries", "advisory: not", "topic "}
	for _, row := range errorTexts {
		if made[row.EN] == "" && !strings.Contains(row.EN, "%v") &&
			!slices.ContainsFunc(elsewhere, func(h string) bool { return strings.HasPrefix(row.EN, h) }) {
			t.Errorf("nothing says %q", row.EN)
		}
	}
}

// TestErrorsInTheCallersLanguage: an inner error is said by its own text, the system's by what is known of it, and
// words of a library stand in quotes.
func TestErrorsInTheCallersLanguage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("open store: %w; give --data or --store", &fs.PathError{Op: "stat", Path: "/a/fleet.db", Err: fs.ErrNotExist}),
			"打开数据库：/a/fleet.db：没有这个文件或目录；请给出 --data 或 --store"},
		{fmt.Errorf("start broker: %w", errors.New("boom")), "启动消息服务器：系统报告 “boom”"},
		{fmt.Errorf("read inventory: line %d: %w", 3, errors.New("boom: it is so")), "读取清单：第 3 行：系统报告 “boom: it is so”"},
		{errors.Join(errors.New("not a backup of posdx-fleet"), errors.New("cut short: 2 files are missing")), "不是 posdx-fleet 的备份\n不完整：缺 2 个文件"},
		{errors.New("boom"), "系统报告 “boom”"},
	} {
		if got := translate.Error(c.err, errorTexts); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// TestCommandsAnswerInTheCallersLanguage walks the table of commands: each is made to go wrong and, where that needs
// no running fleet, to do its work. In Chinese there is no English sentence, in English no Chinese word.
func TestCommandsAnswerInTheCallersLanguage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none, nobody := filepath.Join(dir, "none"), " --url http://127.0.0.1:1"
	terminals := write("terminals.csv", "estate,terminal,site\nshop,t1,north\n")
	counts := write("counts.csv", "min,region,value,cnt\n0,a,0,10\n60,a,9,10\n60,b,0,10\n")
	ways := write("notify.toml", "[[way]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\nallow_private = true\n")
	trials := map[string][]string{
		"serve":        {"--keep-rows 0", "--listen 0.0.0.0:0", "--store mysql:x --data " + dir, "now", "--data"},
		"ingest":       {"", "--store x --nats y --broker z", "--store postgres://127.0.0.1:1/x --nats nats://127.0.0.1:1 --partitions 0"},
		"list":         {nobody, "--token-file " + none, "--limit"},
		"show":         {"a", "shop/t1" + nobody},
		"localise":     {none, none + " --at 60", counts, counts + " --at 60", counts + " --at 61", terminals + " --at 60"},
		"account":      {"list --data " + none, "dance", "add ann", "list DATA", "add ann --role god DATA", "add ann --role admin DATA", "change bob --disable DATA"},
		"token":        {"list --data " + none, "dance", "revoke x DATA", "revoke 9 DATA", "add p --scope metrics DATA", "list DATA", "revoke 1 DATA", "list DATA", "add p --role x DATA"},
		"enroll":       {"token shop/t1 --data " + none, "dance x", "token shop/t1 DATA", "token shop/t$ DATA", "list shop/t1 DATA", "revoke shop/t1 DATA", "token shop/t1 --life 1s DATA"},
		"inventory":    {"check " + none, "dance", "check " + counts, "check " + terminals, "import " + terminals + " DATA", "import " + terminals + " --data " + none},
		"mcp":          {"--token-file " + none},
		"audit":        {"dance", "--data " + none, "verify --data " + none},
		"backup":       {none + " --data " + none, none + "/x DATA", dir + "/LANG.gz DATA"},
		"restore":      {none + " --data " + dir, ways + " --data " + none, none + " --data " + none + "1", dir + "/LANG.gz --data " + dir + "/LANG"},
		"store":        {"dance", "check --data " + none, "down --data " + none, "check DATA", "check --store postgres://x", "down --to 1000 DATA"},
		"notify":       {"dance", "check --config " + none, "check --config " + counts, "test x --config " + ways, "test ops --config " + ways},
		"openapi":      {"x"},
		"rules":        {"x"},
		"dashboard":    {"x"},
		"advisory-key": {"", none + "/x", ways},
		"version":      {"", "x"},
	}
	for _, lang := range []string{"zh", "en"} {
		data := filepath.Join(dir, "data-"+lang)
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), "sqlite:"+storeFile(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, c := range commands() {
			if len(trials[c.name]) == 0 {
				t.Errorf("%s is not tried here", c.name)
			}
			for _, trial := range trials[c.name] {
				stdin = strings.NewReader("correct horse battery\n")
				args := strings.ReplaceAll(strings.ReplaceAll(c.name+" "+trial, "DATA", "--data "+data), "LANG", lang)
				var out, talk strings.Builder
				words := append([]string{c.name, "--lang", lang}, strings.Fields(args)[1:]...)
				code := run(t.Context(), stdio{out: &out, err: &talk}, words)
				said, _, _ := strings.Cut(out.String()+talk.String(), "\n\n") // help comes behind what is wrong
				if housetest.HasHan(said) && lang == "en" || !housetest.HasHan(said) && lang == "zh" && code != exitOK {
					t.Errorf("%s in %s: exit %d, %q", args, lang, code, said)
				}
				ours := said
				for _, values := range []string{dir, strings.Join(access.Roles(), " "), strings.Join(report.Dimensions, " ")} {
					ours = strings.ReplaceAll(ours, values, "")
				}
				if lang == "zh" && (housetest.English(ours) != "" || strings.Contains(said, "系统报告")) {
					t.Errorf("%s: %s", args, said)
				}
			}
		}
	}
	stdin = os.Stdin
}
