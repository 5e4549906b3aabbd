package incident

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
)

func TestInventorySaysWhatIsWrong(t *testing.T) {
	for file, says := range map[string]string{
		"":                                       "EOF",
		"terminal\nt1\n":                         "no column estate",
		"estate,terminal\nshop\n":                "wrong number of fields",
		"estate,terminal\nshop,t1\nshop,a b\n":   "line 3",
		"estate,terminal,site\nshop,t1,\"x\ny\n": "quote",
		"estate,terminal,site\nshop,t1," + strings.Repeat("x", 200) + "\n": "site is longer",
	} {
		if _, err := ReadInventory(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", file, err, says)
		}
	}
}

// The inventory says over the birth, and an empty value of it says nothing.
func TestInventoryOverrides(t *testing.T) {
	birth := report.Birth{Agent: report.Agent{Version: "1.2", Knowledge: "k"}, Labels: map[string]string{"carrier": "中国移动", "site": "north", "application": "4.2", "colour": "red"}}
	inv, err := ReadInventory(strings.NewReader("\ufeffEstate,terminal,carrier,site,note\nshop,t1,中国联通,,x\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := PlaceOf(birth, "unionpay", inv[report.Address{Estate: "shop", Terminal: "t1"}]).String()
	if want := "acquirer=unionpay agent=1.2 application=4.2 carrier=中国联通 knowledge=k scheme=unionpay site=north"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestInventoryIsReadAgainWhenItChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "inventory.csv")
	write := func(text string, when time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	at := report.Address{Estate: "shop", Terminal: "t1"}
	write("estate,terminal,site\nshop,t1,a\n", t0)
	f := &InventoryFile{Path: file}
	if news, err := f.Load(false); err != nil || !news || f.Of(at)["site"] != "a" {
		t.Fatal(news, err, f.Of(at))
	}
	if news, err := f.Load(false); err != nil || news {
		t.Error("read again though nothing changed", news, err)
	}
	write("estate,terminal,site\nshop,t1,b\n", t0.Add(time.Minute))
	if news, err := f.Load(false); err != nil || !news || f.Of(at)["site"] != "b" {
		t.Error(news, err, f.Of(at))
	}
	write("rubbish\n", t0.Add(2*time.Minute))
	if _, err := f.Load(false); err == nil || f.Of(at)["site"] != "b" {
		t.Error("a spoiled file must leave what was read before", err, f.Of(at))
	}
	if _, err := f.Load(false); err != nil {
		t.Error("complained of twice:", err)
	}
	if _, err := f.Load(true); err == nil {
		t.Error("asked to read it, and nothing is said")
	}
}
