package inventory

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"posdx/agent/report"
	"posdx/fleet/incident"
)

func encoded(t *testing.T, s string, how func(string) (string, error)) string {
	t.Helper()
	out, err := how(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A list comes as a spreadsheet wrote it.
func TestListsComeAsSpreadsheetsWriteThem(t *testing.T) {
	const zh = "机构,终端号,门店,运营商\r\nshop,t1,人民路店,中国移动\r\nshop,t2,\"东街, 2号\",\r\n,,,\r\n"
	for name, text := range map[string]string{
		"UTF-8":         zh,
		"with mark":     "\ufeff" + zh,
		"UTF-16":        encoded(t, zh, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String),
		"GB 18030":      encoded(t, zh, simplifiedchinese.GB18030.NewEncoder().String),
		"semicolons":    "Estate;Terminal;Store;Carrier;Remark\nshop;t1;人民路店;中国移动;x\nshop;t2;东街, 2号;;\nshop;t2;东街, 2号;;\n",
		"tabs":          "estate\tterminal\tsite\tcarrier\nshop\tt1\t人民路店\t中国移动\nshop\tt2\t东街, 2号\t\n",
		"other columns": "remark,terminal,estate,carrier,site\n\"a\nb\",t1,shop,中国移动,人民路店\n,t2,shop,,\"东街, 2号\"\n",
	} {
		list, err := Read(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		inv := list.Terminals
		one, two := inv[report.Address{Estate: "shop", Terminal: "t1"}], inv[report.Address{Estate: "shop", Terminal: "t2"}]
		if len(inv) != 2 || one["site"] != "人民路店" || one["carrier"] != "中国移动" || two["site"] != "东街, 2号" {
			t.Errorf("%s: %v", name, inv)
		}
	}
	for text, says := range map[string]string{
		"": "empty", "a,b\n1,2\n": "estate and terminal",
		"estate,terminal,sitee\ns,t,a\n": `column "sitee" is not known: want estate terminal, any of acquirer carrier`,
		"机构,终端号,门头\ns,t,a\n":             "门头", "estate,terminal,site,store\ns,t,a,b\n": "two columns site",
		"estate,terminal,site\ns,t,a\ns,t,b\n": "line 2 and in line 3", "estate,terminal\n\ns,a/b\n": "line 3", "estate,terminal\ns\n": "wrong number of fields",
		"estate,terminal,site\ns,t," + strings.Repeat("x", report.MaxLabel+1) + "\n": "longer than", "estate,terminal,site\ns,t,\xff\xff\xff\n": "save it as CSV UTF-8",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", text, err, says)
		}
	}
}

// What was written is read as it was, whatever stands in it, and a fleet of the greatest size is.
func TestWhatIsKeptIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "inventory.csv")
	if err := Ensure(file); err != nil {
		t.Fatal(err)
	}
	inv, err := Load(file)
	if err != nil || len(inv) != 0 {
		t.Fatal(inv, err)
	}
	for i := range 20_000 {
		inv[report.Address{Estate: "shop", Terminal: fmt.Sprint("t", i)}] = map[string]string{
			"site":  "=cmd|' /C calc'!A0",
			"model": `a "b"; c`,
		}
	}
	if err := Save(file, inv); err != nil {
		t.Fatal(err)
	}
	again, err := Load(file)
	if err != nil || len(again) != len(inv) ||
		again[report.Address{Estate: "shop", Terminal: "t7"}]["model"] != `a "b"; c` {
		t.Error(len(again), err)
	}
	var one, two bytes.Buffer
	Write(&one, inv)
	Write(&two, again)
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("written again it is another")
	}
}

// A list changes the columns that it has and no others; an empty cell of them takes away what was said.
func TestAListChangesOnlyItsColumns(t *testing.T) {
	t1, t2 := report.Address{Estate: "shop", Terminal: "t1"}, report.Address{Estate: "shop", Terminal: "t2"}
	inv := incident.Inventory{t1: {"site": "a", "carrier": "x", "model": "M"}, t2: {"site": "b"}}
	for _, c := range []struct {
		list           string
		fresh, changed int
		want           string // of t1
	}{
		{"estate,terminal,carrier\nshop,t1,y\n", 0, 1, "map[carrier:y model:M site:a]"},
		{"estate,terminal,carrier\nshop,t1,y\n", 0, 0, "map[carrier:y model:M site:a]"},
		{"estate,terminal,site,carrier,remark\nshop,t1,c,,new\n", 0, 1, "map[model:M site:c]"},
		{"estate,terminal\nshop,t1\nshop,t3\n", 1, 0, "map[model:M site:c]"},
	} {
		list, err := Read(strings.NewReader(c.list))
		if err != nil {
			t.Fatal(err)
		}
		fresh, changed := list.Merge(inv)
		if got := fmt.Sprint(inv[t1]); fresh != c.fresh || changed != c.changed || got != c.want || inv[t2]["site"] != "b" {
			t.Errorf("%q: %d new, %d changed, %s, %v", c.list, fresh, changed, got, inv[t2])
		}
	}
}

// FuzzRead: no file makes more than an error, and what is read is written and read as the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte("estate,terminal,site\nshop,t1,x\n"))
	f.Add([]byte("机构;终端号\n;\n"))
	f.Add([]byte("\xff\xfee\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		inv := list.Terminals
		var out bytes.Buffer
		if err := Write(&out, inv); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&out)
		if err != nil || len(again.Terminals) != len(inv) {
			t.Errorf("%q: %d terminals, then %d: %v", b, len(inv), len(again.Terminals), err)
		}
	})
}

// How many terminals there may be is the store's to say; an inventory that could not be read again is not written.
func TestAnInventoryIsBoundedByItsBytes(t *testing.T) {
	const many = 200_001
	b := []byte("estate,terminal\n")
	for n := range many {
		b = fmt.Appendf(b, "shop,%d\n", n)
	}
	if list, err := Read(bytes.NewReader(b)); err != nil || len(list.Terminals) != many {
		t.Errorf("%d of %d: %v", len(list.Terminals), many, err)
	}
	defer func(n int) { maxFile = n }(maxFile)
	maxFile = 100
	inv := incident.Inventory{{Estate: "shop", Terminal: "t1"}: {"site": strings.Repeat("a", 100)}}
	if err := Save(filepath.Join(t.TempDir(), "inventory.csv"), inv); err == nil {
		t.Error("written beyond what is read")
	}
}
