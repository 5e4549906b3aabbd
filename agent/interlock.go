package main

import (
	"fmt"
	"time"

	"posdx/agent/report"
)

// journalFresh is the age up to which a report of the payment application about unfinished sales is believed. In a
// longer time a cashier may have begun another sale.
const journalFresh = 10 * time.Minute

// interlock says why nothing may be done now that could lose a sale; empty when it may. Only a terminal whose payment
// application has lately said that every sale is settled, and whose last code leaves no sale in doubt, is free. Not
// knowing counts as no.
func interlock(st report.State, lang string) string {
	say := func(zh, en string) string {
		if lang == "en" {
			return en
		}
		return zh
	}
	if st.InSale {
		return say("正在交易", "a sale is running")
	}
	var journal *report.Evidence
	for i, e := range st.Evidence {
		if e.Check == "app.journal" && (journal == nil || e.At.After(journal.At)) {
			journal = &st.Evidence[i]
		}
	}
	if journal == nil {
		return say("支付应用没有报告未结交易，不知道是否都已完成", "the payment application has not told whether sales are open")
	}
	if age := st.Time.Sub(journal.At); age > journalFresh || age < -journalFresh {
		return say(fmt.Sprintf("支付应用 %v 前才报告过未结交易，之后不知道", age.Round(time.Minute)),
			fmt.Sprintf("the payment application told of open sales %v ago, and not since", age.Round(time.Minute)))
	}
	for _, f := range [...]struct{ name, zh, en string }{
		{"unsettled", "笔交易未结算", "sales are not settled"},
		{"pending_reversals", "笔冲正待发", "reversals are pending"},
	} {
		n, ok := journal.Facts.Num(f.name)
		if !ok {
			return say("支付应用没有报告有多少"+f.zh, "the payment application does not tell how many "+f.en)
		}
		if n > 0 {
			return say(fmt.Sprintf("%.0f %s", n, f.zh), fmt.Sprintf("%.0f %s", n, f.en))
		}
	}
	if d := st.Last; d != nil && (d.Money.State == report.MoneySentNoAnswer || d.Money.State == report.MoneyUnknown) &&
		!journal.At.After(d.Event.Time) {
		return say(fmt.Sprintf("应答码 %s 的那笔交易结果未知", d.Event.Code), fmt.Sprintf("what became of the sale with code %s is not known", d.Event.Code))
	}
	return ""
}
