package paylog

import (
	"strings"

	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// originWords are what logs call those that write codes, in small letters. A word of the contract stands for itself.
var originWords = [...]struct {
	origin report.Origin
	words  []string
}{
	{report.OriginHost, []string{"host", "server", "bank", "acquirer", "issuer", "switch", "network", "central", "center", "centre", "gateway", "online", "remote",
		"主机", "后台", "后端", "平台", "银行", "银联", "网联", "收单行", "收单机构", "发卡行", "交换中心", "前置", "中心", "联机",
		"主機", "銀行", "發卡行", "收單行", "banco", "servidor", "autorizador", "emissor", "хост", "банк"}},
	{report.OriginTerminal, []string{"terminal", "term", "pos", "pinpad", "device", "local", "reader", "kernel", "offline", "edc",
		"终端", "本地", "机具", "设备", "密码键盘", "读卡器", "脱机", "終端", "端末", "設備", "терминал"}},
	{report.OriginCashier, []string{"cashier", "ecr", "register", "till", "operator", "收银", "收银机", "收银台", "收银员", "收款机", "操作员", "收銀", "收銀機", "caja", "caixa"}},
}

// originOf finds who a word of a log says wrote the code.
func originOf(word string) (report.Origin, bool) {
	if source.OneOf(word, source.Origins) {
		return report.Origin(strings.Clone(word)), true
	}
	for _, o := range originWords {
		for _, w := range o.words {
			if strings.EqualFold(w, word) {
				return o.origin, true
			}
		}
	}
	return "", false
}
