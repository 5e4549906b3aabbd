package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"posdx/agent/diagnose"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
)

// pairs are the values of a flag that is given as name=value, several times.
type pairs map[string]any

func (p pairs) String() string { return "" }

// Set takes one name=value. The daemon checks both; here a value only gets the type that its name asks for. It returns
// no error, because package flag would print the value, whatever that is, where a script's output is logged: what is no
// pair gets the empty name.
func (p pairs) Set(s string) error {
	name, v, ok := strings.Cut(s, "=")
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case !ok || name == "":
		p[""] = say.New("txn-form")
	case v == "true" || v == "false":
		p[name] = v == "true"
	case (name == "connect_ms" || name == "response_ms") && err != nil:
		p[""] = say.New("txn-ms", name)
	case strings.HasSuffix(name, "_ms") && err == nil:
		p[name] = n
	default:
		p[name] = v
	}
	return nil
}

func runReport(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "report", "--code CODE [--origin WHO] [--scheme TABLE] [--txn NAME=VALUE]… [--wait none|first|final] | --id ID",
		"把应答码交给运行中的守护进程，并显示它得出的结论；--id 按以前得到的编号再问结论，不算交易。\n"+
			"交易信息可以给：mti stan terminal_id entry card_scheme connect_ms response_ms sent host_answer_seen。\n"+
			"不要给卡号、金额或姓名：会被拒绝。有值不对就什么也不发送。\n"+
			"退出码：0 已解释，或用 --wait none 时已收下；1 守护进程不在、忙或拒绝；2 用法不对；3 证据不足；8 还没解释完：不要再报一次，稍后用 --id 再问。",
		"Hands a response code to the running daemon and prints what it found. --id asks again for the verdict of an earlier one, and counts nothing.\n"+
			"Of a transaction these are taken: mti stan terminal_id entry card_scheme connect_ms response_ms sent host_answer_seen.\n"+
			"Never give a card number, an amount or a name: they are refused. Nothing is sent if a value is wrong.\n"+
			"Exit codes: 0 explained, or taken in with --wait none; 1 no daemon, or it is busy or refuses; 2 wrong usage; 3 the evidence does not decide; 8 not explained to the end yet: do not report it again, ask later with --id.",
		"posdx report --code 96 --origin host --txn stan=000123")
	q := hook.CodeRequest{Type: "code", Full: true, Txn: pairs{}}
	origin := ""
	f.StringVar(&q.Code, "code", "", "支付应用显示的`应答码`\nthe response `code` as the payment app shows it")
	f.StringVar(&origin, "origin", "", "应答码由`谁`写出：host terminal cashier unknown\n`who` wrote the code: host terminal cashier unknown")
	f.StringVar(&q.Scheme, "scheme", "", "`码表`，例如 unionpay；默认按配置\ncode `table`, such as unionpay; default: the configured profile's")
	f.Var(pairs(q.Txn), "txn", "交易信息`名字=值`，可以多次\n`name=value` of the transaction, may be repeated")
	f.StringVar(&q.Wait, "wait", "final", "等到`何时`：none 不等，first 第一版，final 最终\nuntil `when` to wait: none first final")
	f.StringVar(&q.ID, "id", "", "以前那次回答里的`编号`\nthe `id` of an earlier answer")
	asJSON := f.Bool("json", false, "输出守护进程的回答，每行一个 JSON\nprint the daemon's answers, one JSON object a line")
	client := addClientFlags(f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if q.Code == "" && len(words) == 1 {
		q.Code, words = words[0], nil
	}
	if q.ID != "" {
		q.Type = "verdict"
	}
	if (q.Code == "") == (q.ID == "") || len(words) > 0 || q.ID != "" && (origin != "" || q.Scheme != "" || len(q.Txn) > 0) {
		misuse(s, f, words, 0)
		return exitUsage
	}
	if why, bad := q.Txn[""]; bad {
		s.fail("report", say.New("txn", why))
		return exitUsage
	}
	if !client.valid(s) {
		return exitUsage
	}
	q.Origin, q.Lang = report.Origin(origin), s.lang()
	wrong := hook.Wrong(q)
	if k := inForce(*client.config); q.Scheme != "" && len(wrong) == 0 {
		if _, known := k.Scheme(q.Scheme); !known {
			wrong = append(wrong, fmt.Sprintf("scheme: there is no code table %q; there are %s", q.Scheme, schemesOf(k)))
		}
	}
	for _, w := range wrong {
		s.fail("report", wrongValue(strings.Replace(w, "txn.", "txn ", 1)))
	}
	if len(wrong) > 0 {
		return exitUsage
	}
	d, err := client.daemon()
	var last hook.Answer
	if err == nil {
		err = d.within(ctx, d.wait, func(ctx context.Context) error {
			return d.Do(ctx, q, func(a hook.Answer) {
				for _, w := range a.Warnings {
					field, why, _ := strings.Cut(w, ": ")
					s.fail("report", say.New("left-out", say.New("field-why", field, say.Heard(why))))
				}
				if *asJSON {
					json.NewEncoder(s.out).Encode(a)
				}
				if a.Diagnosis == nil { // its end is late: what was said before stands
					a.Diagnosis = last.Diagnosis
				}
				last = a
			})
		})
	}
	if err != nil && last.ID == "" {
		return client.failed(s, err)
	}
	if last.MemoryOnly {
		s.fail("report", say.New("code-in-memory"))
	}
	switch {
	case *asJSON:
	case last.Diagnosis != nil:
		fmt.Fprint(s.out, diagnose.Render(*last.Diagnosis, s.lang(), renderWidth))
	default:
		fmt.Fprintf(s.out, "%s %s\n", last.Result, last.ID)
	}
	late := err == nil && last.Result == hook.Accepted && last.Diagnosis != nil
	switch {
	case errors.Is(err, errNoAnswer), late: // it was taken in, and is still being explained
		s.fail("report", say.New("final-late-kept", say.New("final-late"), last.ID))
		return exitTimeout
	case err != nil:
		return client.failed(s, err)
	case last.Why != "":
		s.fail("report", say.Heard(last.Why))
	}
	switch {
	case last.Diagnosis == nil && q.Wait != "none":
		return exitTimeout
	case last.Diagnosis != nil && last.Diagnosis.Abstained:
		return exitAbstain
	}
	return exitOK
}
