package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"posdx/fleet/access"
	"posdx/fleet/store"
)

// addStore adds the flags that say which store a command works on; it may be that of a running fleet.
func addStore(f *flag.FlagSet) (open func(ctx context.Context) (*store.Store, error)) {
	return openStore(f, f.String("data", defaultData, "管理平台的数据目录 `DIR`\n`DIR` of the fleet"))
}

// openStore is addStore for a command that has the data directory's flag already.
func openStore(f *flag.FlagSet, data *string) (open func(ctx context.Context) (*store.Store, error)) {
	address := f.String("store", "", "数据库地址 `ADDRESS`：sqlite:PATH 或 postgres://…（默认用 --data 里的 sqlite）\n`ADDRESS` of the store: sqlite:PATH or postgres://… (default sqlite in --data)")
	return func(ctx context.Context) (*store.Store, error) {
		if *address != "" {
			return store.Open(ctx, *address)
		}
		return openData(ctx, *data)
	}
}

func storeFile(data string) string { return filepath.Join(data, "fleet.db") }

// openData opens the store in a data directory. A wrong one must not become a new, empty fleet.
func openData(ctx context.Context, data string) (*store.Store, error) {
	if _, err := os.Stat(storeFile(data)); err != nil {
		return nil, fmt.Errorf("open store: %w; give --data or --store", err)
	}
	return store.Open(ctx, "sqlite:"+storeFile(data))
}

// here is who works at this machine's command line: its rights are those of the files. No account can have its name.
func here() access.User {
	name := "root"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return access.User{Name: store.OwnerHere + name, Role: access.Admin, Source: "cli"}
}

// stdin is where passwords are read.
var stdin io.Reader = os.Stdin

func readPassword(s stdio) (string, error) {
	if f, ok := stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.err, s.say("口令：", "password: "))
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.err)
		return string(b), err
	}
	line, err := bufio.NewReader(io.LimitReader(stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func estateList(text string) store.Estates {
	if text == "" || text == "*" {
		return nil
	}
	return strings.Split(text, ",")
}

func estateText(list store.Estates) string {
	if list == nil {
		return "*"
	}
	return strings.Join(list, ",")
}

func runAccount(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"account",
		"list | add NAME | change NAME [OPTIONS]",
		"规定谁可以登录网页。口令从标准输入读取，在终端上输入时不回显。账户改动后，它已登录的会话随即结束。可在管理平台运行时使用。",
		"Says who may sign in to the pages. A password is read from stdin, without an echo at a terminal. A change ends the sessions of its account. It works beside a running fleet.",
		"posdx-fleet account add ann --role operator --estates shop,mall\nposdx-fleet account change ann --disable\nposdx-fleet account change ann --password <file",
	)
	open := addStore(f)
	role := f.String("role", "", roleUsage())
	estates := f.String(
		"estates",
		"",
		"能看到的机构`名字`，用逗号分开；* 表示全部（add 的默认值）\n`NAMES` of the estates that it sees, parted by commas; * for all (the default of add)",
	)
	subject := f.String("subject", "", "在 OpenID 提供方的身份 `ISSUER#SUBJECT`；这时不需要口令\n`ISSUER#SUBJECT` at an OpenID provider; then no password is needed")
	password := f.Bool("password", false, "change：从标准输入读取新口令\nchange: read a new password from stdin")
	disable := f.Bool("disable", false, "change：不能再登录\nchange: it may not sign in any more")
	enable := f.Bool("enable", false, "change：可以重新登录\nchange: it may sign in again")
	asJSON := f.Bool("json", false, "list：输出 JSON\nlist: print JSON")
	words, code, ok := parseWords(s, f, args, 1, 2)
	if !ok {
		return code
	}
	if verb := words[0]; verb != "list" && verb != "add" && verb != "change" || (verb == "list") != (len(words) == 1) {
		return s.wrong("account", "%q：应为 list、add NAME 或 change NAME", "%q: want list, add NAME or change NAME", strings.Join(words, " "))
	}
	if words[0] == "add" && *role == "" {
		return s.wrong("account", "add %s：请给出 --role：%s", "add %s: give its --role: %s", words[1], strings.Join(access.Roles(), " "))
	}
	db, err := open(ctx)
	if err != nil {
		return failed(s, "account", err)
	}
	defer db.Close()
	k := &access.Keeper{Store: db}
	switch words[0] {
	case "list":
		list, err := db.Accounts(ctx)
		if err != nil {
			return failed(s, "account", err)
		}
		if *asJSON {
			return printJSON(s.out, list)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, a := range list {
			state := s.say("可以登录", "enabled")
			if a.Disabled {
				state = s.say("已停用", "disabled")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Name, a.Role, estateText(a.Estates), state)
		}
		w.Flush()
	case "add":
		word := ""
		if *subject == "" {
			if word, err = readPassword(s); err != nil {
				return failed(s, "account", err)
			}
		}
		err = k.AddAccount(
			ctx,
			here(),
			store.Account{Name: words[1], Subject: *subject, Role: *role, Estates: estateList(*estates)},
			word,
		)
	case "change":
		word := ""
		if *password {
			if word, err = readPassword(s); err == nil && word == "" {
				err = errors.New("no password on stdin")
			}
			if err != nil {
				return failed(s, "account", err)
			}
		}
		err = k.ChangeAccount(ctx, here(), words[1], func(a *store.Account) {
			if *role != "" {
				a.Role = *role
			}
			if *estates != "" {
				a.Estates = estateList(*estates)
			}
			if *subject != "" {
				a.Subject = *subject
			}
			a.Disabled = a.Disabled && !*enable || *disable
		}, word)
	}
	if err != nil {
		return failed(s, "account", err)
	}
	return exitOK
}

func runToken(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "token", "list | add NAME | revoke NUMBER [OPTIONS]",
		"令牌让程序读取 JSON、指标，或执行操作。令牌只显示一次，平台只保存它的散列值。",
		"Tokens let programs read the JSON, the metrics, or act. The token is printed once; only its hash is kept.",
		"posdx-fleet token add prometheus --scope metrics >token\nposdx-fleet token revoke 3")
	open := addStore(f)
	role := f.String("role", "viewer", roleUsage())
	scope := f.String("scope", "read", "`范围`：metrics、read 或 write\n`SCOPE`: metrics, read, or write")
	estates := f.String("estates", "", "能看到的机构`名字`，用逗号分开；* 表示全部（默认）\n`NAMES` of the estates that it sees, parted by commas; * for all (the default)")
	days := f.Int("days", 90, "有效`天数`，最多 366\nhow long it lives, `DAYS`, up to 366")
	asJSON := f.Bool("json", false, "list：输出 JSON\nlist: print JSON")
	words, code, ok := parseWords(s, f, args, 1, 2)
	if !ok {
		return code
	}
	if verb := words[0]; verb != "list" && verb != "add" && verb != "revoke" || (verb == "list") != (len(words) == 1) {
		return s.wrong("token", "%q：应为 list、add NAME 或 revoke NUMBER", "%q: want list, add NAME or revoke NUMBER", strings.Join(words, " "))
	}
	db, err := open(ctx)
	if err != nil {
		return failed(s, "token", err)
	}
	defer db.Close()
	k := &access.Keeper{Store: db}
	switch words[0] {
	case "list":
		list, err := db.Tokens(ctx)
		if err != nil {
			return failed(s, "token", err)
		}
		if *asJSON {
			return printJSON(s.out, list)
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, t := range list {
			state := s.say("有效至 ", "until ") + t.Expires.Format(time.DateOnly)
			switch {
			case !t.Revoked.IsZero():
				state = s.say("已吊销 ", "revoked ") + t.Revoked.Format(time.DateOnly)
			case time.Now().After(t.Expires):
				state = s.say("已过期 ", "expired ") + t.Expires.Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", t.No, t.Name, t.Role, t.Scope, estateText(t.Estates), state)
		}
		w.Flush()
	case "add":
		r, err := access.ParseRole(*role)
		if err != nil {
			return failed(s, "token", err)
		}
		c, err := access.ParseScope(*scope)
		if err != nil {
			return failed(s, "token", err)
		}
		secret, _, err := k.MakeToken(ctx, here(), words[1], r, c, estateList(*estates), time.Duration(*days)*24*time.Hour)
		if err != nil {
			return failed(s, "token", err)
		}
		fmt.Fprintln(s.out, secret)
	case "revoke":
		var no int64
		if _, err := fmt.Sscan(words[1], &no); err != nil {
			return s.wrong("token", "%q：应为令牌的编号，见 token list", "%q: want the number of a token, as token list shows it", words[1])
		}
		if err := k.Revoke(ctx, here(), no); err != nil {
			return failed(s, "token", err)
		}
	}
	return exitOK
}

func runAudit(ctx context.Context, s stdio, args []string) int {
	f := flags(
		s,
		"audit",
		"[verify] [OPTIONS]",
		"输出在管理平台上做过什么，新的在前：何时、谁、从哪里、做了什么、对什么。verify 重新计算每一条的校验和，并输出最后一条的编号和校验和：请另存一份，日志若被截短就看得出来。",
		"Prints what was done at the fleet view, newest first: when, by whom, from where, what, on what. With verify it computes every entry's sum anew and prints the last one's number and sum: keep them elsewhere, and a log that was cut short shows.",
		"posdx-fleet audit --who ann --limit 20\nposdx-fleet audit verify",
	)
	open := addStore(f)
	var q store.AuditFilter
	f.StringVar(&q.Who, "who", "", "只列这个`账户`的\nonly of this `ACCOUNT`")
	f.StringVar(&q.What, "what", "", "只列这种`操作`：login、account.change、…\nonly this `DEED`: login, account.change, …")
	f.IntVar(&q.Limit, "limit", 50, "最多 `N` 条，不超过 500\nat most `N`, up to 500")
	f.Int64Var(&q.Before, "before", 0, "这个`编号`以前的条目\nentries before this `NUMBER`")
	asJSON := f.Bool("json", false, "输出 JSON\nprint JSON")
	words, code, ok := parseWords(s, f, args, 0, 1)
	if !ok {
		return code
	}
	if len(words) == 1 && words[0] != "verify" {
		return s.wrong("audit", "%q：应为 verify，或什么都不写", "%q: want verify or nothing", words[0])
	}
	db, err := open(ctx)
	if err != nil {
		return failed(s, "audit", err)
	}
	defer db.Close()
	if len(words) == 1 {
		last, err := db.VerifyAudit(ctx)
		if err != nil {
			return failed(s, "audit", err)
		}
		if *asJSON {
			return printJSON(s.out, last)
		}
		fmt.Fprintf(s.out, "%d %s\n", last.No, last.Sum)
		return exitOK
	}
	list, err := db.Audits(ctx, q)
	if err != nil {
		return failed(s, "audit", err)
	}
	if *asJSON {
		return printJSON(s.out, list)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, e := range list {
		fmt.Fprintf(
			w,
			"%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			e.No,
			e.At.Local().Format(time.DateTime),
			printable(e.Who),
			printable(e.Source),
			printable(e.What),
			printable(e.Estate),
			printable(e.Object),
			printable(e.Detail),
		)
	}
	w.Flush()
	return exitOK
}

// roleUsage is the help of --role.
func roleUsage() string {
	roles := strings.Join(access.Roles(), " ")
	return "`角色`：" + roles + "\n`ROLE`: " + roles
}
