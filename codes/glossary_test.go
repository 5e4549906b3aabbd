package codes

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// glossary says which word is used for each thing in Chinese; the keys are what other people call it and we do not.
var glossary = map[string]string{
	"返回码": "应答码", "响应码": "应答码", "回复码": "应答码",
	"钱款":   "款项",
	"不能确定": "无法判断", "不能判断": "无法判断", "无法确定": "无法判断", "已确认原因": "已证实",
	"技术员": "技术人员", "维护人员": "技术人员", "维修人员": "技术人员", "维修员": "技术人员", "工程师": "技术人员",
	"通讯模块": "通信模块", "调制解调器": "通信模块", "无线模块": "通信模块",
	"诊断码": "交接码", "移交码": "交接码",
	"机群": "其他终端 or 管理平台", "车队": "其他终端 or 管理平台", "舰队": "其他终端 or 管理平台",
	"收银程序": "支付应用, or 收银软件 for who wrote a code", "支付程序": "支付应用",
	"银联等转接": "卡组织 or 转接网络",
}

// TestGlossary: no Chinese text of the product uses another word for a thing that has one. What articles claim and what
// code tables print is theirs.
func TestGlossary(t *testing.T) {
	check := func(where, text string) {
		for not, use := range glossary {
			if strings.Contains(text, not) {
				t.Errorf("%s: %q in %q; the word is %s", where, not, text, use)
			}
		}
	}
	k := Builtin()
	for _, c := range k.Causes {
		check(c.ID, c.Title.ZH)
		for _, s := range c.Steps {
			check(c.ID, s.Text.ZH)
		}
	}
	for _, w := range k.Words {
		check(w.Kind+" "+w.ID, w.Text.ZH)
	}
	for _, c := range k.Checks {
		check(c.Name, c.Title.ZH)
	}
	for _, s := range k.Inference.Signs {
		check(s.Name, s.Text.ZH)
	}
	for _, p := range k.Inference.Priors {
		check(p.Topic, p.Text.ZH)
	}
	for _, x := range k.Inference.Tests {
		check(x.Name, x.Text.ZH)
	}
	texts := 0
	for _, root := range []string{"../agent", "../fleet"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := goparser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.ContainsFunc(lit.Value, han) {
					texts++
					check(path, lit.Value)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../README.zh.md")
	if err != nil {
		t.Fatal(err)
	}
	check("README.zh.md", string(page))
	if texts < 100 {
		t.Errorf("only %d Chinese texts were found in the programs", texts)
	}
}
