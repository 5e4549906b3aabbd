package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/broker"
	"posdx/fleet/enroll"
)

func runEnroll(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"enroll",
		"token ESTATE/TERMINAL | list ESTATE/TERMINAL | revoke ESTATE/TERMINAL [OPTIONS]",
		"终端证书。token 生成令牌，一台终端凭它领取第一张证书，只能用一次：请交给那台终端上的 posdx enroll。list 列出已签发的。revoke 使一台终端的全部证书和未用的令牌失效；消息服务器从吊销列表（authority/crl.pem，/crl.pem）得知，内置的在一分钟内或收到 SIGHUP 时得知。",
		"Certificates of terminals. token makes a token with which one terminal gets its first certificate, once: give it to posdx enroll there. list shows what was issued. revoke makes every certificate of a terminal worthless, and its unused tokens; brokers learn of it by the revocation list (authority/crl.pem, /crl.pem), the embedded one within a minute or at SIGHUP.",
		"posdx-fleet enroll token shop/t1 --life 24h\nposdx-fleet enroll revoke shop/t1 --reason stolen",
	)
	data := f.String("data", defaultData, "管理平台的数据目录 `DIR`，证书机构的密钥在其中\n`DIR` of the fleet, where the authority's keys lie")
	open := openStore(f, data)
	life := f.Duration("life", 24*time.Hour, "token：可用`多久`，最长 720h\ntoken: how long it may be used, `DURATION`, up to 720h")
	reason := f.String("reason", "", "revoke：`原因`，记入日志\nrevoke: `WHY`, for the log")
	asJSON := f.Bool("json", false, "list：输出 JSON\nlist: print JSON")
	words, code, ok := parse(s, f, args, 2)
	if !ok {
		return code
	}
	var at report.Address
	at.Estate, at.Terminal, _ = strings.Cut(words[1], "/")
	if err := at.Check(); err != nil || words[0] != "token" && words[0] != "list" && words[0] != "revoke" {
		return s.wrong("enroll", "%q：应为 token、list 或 revoke，再加 ESTATE/TERMINAL", "%q: want token, list or revoke, and ESTATE/TERMINAL",
			strings.Join(words, " "))
	}
	db, err := open(ctx)
	if err != nil {
		return failed(s, "enroll", err)
	}
	defer db.Close()
	a := &enroll.Authority{Store: db, Dir: filepath.Join(*data, "authority"), Policy: enroll.Default}
	k := &access.Keeper{Store: db}
	switch words[0] {
	case "token":
		token, err := a.MakeToken(ctx, at, *life, here().Name)
		if err == nil {
			err = k.Note(ctx, here(), "certificate.token", at.Estate, at.Terminal, "for "+life.String())
		}
		if err != nil {
			return failed(s, "enroll", err)
		}
		fmt.Fprintln(s.out, token)
		if err := broker.CheckID(at.Terminal); err != nil {
			s.wrong("enroll", "%s；这台终端要用接受它的消息服务器", "%s; this terminal needs a broker that does", s.error(err))
		}
	case "list":
		list, err := db.Certificates(ctx, nil, at)
		if err != nil {
			return failed(s, "enroll", err)
		}
		if *asJSON {
			return printJSON(s.out, list)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, c := range list {
			state := s.say("已签发", "issued")
			switch {
			case !c.Revoked.IsZero():
				state = s.say("已吊销 ", "revoked ") + printable(c.Reason)
			case time.Now().After(c.To):
				state = s.say("已过期", "over")
			case !c.Worked.IsZero():
				state = s.say("使用中", "in use")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Serial, c.From.Format(time.DateOnly), c.To.Format(time.DateOnly), state)
		}
		w.Flush()
	case "revoke":
		if err := a.Open(ctx); err != nil {
			return failed(s, "enroll", err)
		}
		n, err := a.Revoke(ctx, at, *reason)
		if err == nil {
			err = k.Note(ctx, here(), "certificate.revoke", at.Estate, at.Terminal, *reason)
		}
		if err != nil {
			return failed(s, "enroll", err)
		}
		s.print("吊销了 %d 张", "%d revoked", n)
	}
	return exitOK
}
