package console

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// One thing has one word on every screen: what stands beside it are the other words that people use for it, which no
// screen does. words.tsv has the words that go by an id; these are of the screens' own sentences.
var glossary = []struct{ one, never string }{
	{"终端", `POS机|机具|刷卡机|本终端机`},
	{"收单机构", `收单行|收单方|收单银行`},
	{"发卡行", `发卡银行|发卡机构|发卡方`},
	{"读卡器", `读卡机|刷卡器`},
	{"密码键盘", `PIN键盘|密码器|加密键盘`},
	{"SIM卡", `手机卡|流量卡|SIM 卡`},
	{"交接码", `移交码|交付码|诊断码`},
	{"管理平台", `云平台|后台|中台`},
	{"应答码", `响应码|返回码|错误码`},
	{"款项", `资金|钱款`},
	{"顾客", `客户|消费者|用户`},
	{"技术人员", `工程师|维修员|师傅`},
	{"店员", `营业员|收银员`},
	{"hand-off", `(?i)\bhandoff|handover`},
	{"acquirer", `(?i)acquiring bank|\bprocessor bank`},
	{"issuing bank", `(?i)card issuer bank|bank of issue`},
	{"card reader", `(?i)card machine|card slot reader`},
	{"PIN pad", `(?i)\bpinpad\b(?:[^0-9.]|$)|\bpin-pad`},
	{"technician", `(?i)\bengineer\b|repairman`},
	{"customer", `(?i)\bclient\b|\bconsumer\b`},
	{"terminal", `(?i)\bPOS machine|\bmachine\b`},
	{"response code", `(?i)return code|error code|result code`},
}

// Every screen that is kept as a golden file is read for its wording.
func TestScreensKeepToTheGlossary(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	more, _ := filepath.Glob("testdata/guided/*.txt")
	if files = append(files, more...); len(files) < 60 {
		t.Fatalf("%d screens", len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.Join(strings.Fields(string(b)), " ")
		for _, g := range glossary {
			if found := regexp.MustCompile(g.never).FindString(page); found != "" {
				t.Errorf("%s says %q for %q", file, found, g.one)
			}
		}
	}
}
