package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"posdx/agent/internal/console"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source/hook"
	"posdx/agent/report"
	"posdx/codes"
)

// Exit codes of check: the worst of what was found.
const (
	exitBad        = 4
	exitCannotTell = 5
	exitNotRun     = 6
)

func runStatus(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "status", "[--config FILE] [--json]",
		"显示运行中的守护进程知道什么：终端、与管理平台的连接、各设备最近一次检查、最近一笔交易的诊断。不碰任何东西。\n退出码：0；1 没有守护进程；2 用法不对；8 有守护进程但没有回答。",
		"Prints what the running daemon knows: the terminal, the way to the fleet, every device's latest check, the last diagnosis of a sale. Nothing is touched.\nExit codes: 0, 1 if no daemon runs, 2 usage, 8 if one runs and does not answer.",
		"posdx status --lang en")
	asJSON := f.Bool("json", false, jsonUsage)
	client := addClientFlags(f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if len(words) > 0 || !client.valid(s) {
		misuse(s, f, words, 0)
		return exitUsage
	}
	d, err := client.daemon()
	var st report.State
	if err == nil {
		st, err = d.State(ctx)
	}
	if err != nil {
		return client.failed(s, err)
	}
	if *asJSON {
		json.NewEncoder(s.out).Encode(st)
		return exitOK
	}
	lang := s.lang()
	fmt.Fprintln(s.out, console.Head(st, lang))
	for _, line := range console.Table(st.Evidence, lang, renderWidth) {
		fmt.Fprintln(s.out, line)
	}
	if st.Last != nil {
		fmt.Fprintln(s.out)
		k := inForce(*client.config)
		last := console.InLanguage(*st.Last, k, st.Profile, lang)
		for _, line := range append(console.Outcome(st.Outcome, &last, k, lang, renderWidth),
			console.Verdict(&last, k, lang, renderWidth)...) {
			fmt.Fprintln(s.out, line)
		}
	}
	return exitOK
}

func runCheck(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "check", "[NAME…] [--config FILE] [--json] [--offline]",
		"马上检查设备和网络并显示结果。由守护进程来做，它管着设备，也知道有没有交易。正被占用的设备不去打扰；交易进行中什么也不检查，只显示之前的结果和时间。NAME 是检查项，如 net.tcp，或一类检查项的前半部分，如 net、modem；不写或写 \"*\" 就全部检查。没有守护进程时，不加 --offline 就不检查。\n"+
			"退出码，取最坏的：0 全部正常；4 有故障；5 有的无法判断；6 都没有执行；1 没能去检查；2 用法不对；8 守护进程没有回答。没装或没配置的不算。",
		"Checks devices and network now and prints what was found, through the daemon, which owns the devices and knows of sales. A device that is in use is left in peace, and in a sale nothing is asked: what was known before is printed with its age. A NAME is a check's, as net.tcp, or the first part of several, as net or modem; without one, or with \"*\", everything is checked. Without a daemon nothing is asked unless --offline says so.\n"+
			"Exit codes, the worst of all: 0 all ok; 4 something is bad; 5 something could not be told; 6 nothing ran; 1 the check could not be asked for; 2 wrong usage; 8 the daemon does not answer. What is not fitted or not configured does not count.",
		"posdx check net.tcp reader\nposdx check modem --json")
	asJSON := f.Bool("json", false, jsonUsage)
	client := addClientFlags(f)
	client.addOffline(f)
	names, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if !client.valid(s) {
		return exitUsage
	}
	if wrong := hook.Wrong(hook.CheckRequest(names)); len(wrong) > 0 {
		_, why, _ := strings.Cut(wrong[0], ": ")
		s.fail("check", say.New("field-why", "NAME", say.Heard(why)))
		return exitUsage
	}
	d, err := client.daemon()
	var list []report.Evidence
	if err == nil {
		list, err = d.Check(ctx, names)
	}
	if client.alone(err) {
		fmt.Fprintln(s.err, say.New("checking-from-here", d.Path).In(s.lang()))
		list, err = checkHere(ctx, *client.config, hook.CheckNames(names))
	}
	if errors.Is(err, say.New("hook-no-check")) {
		s.fail("check", err)
		return exitUsage
	}
	if err != nil {
		return client.failed(s, err)
	}
	d.sayInSale(s)
	return printChecks(s, list, *asJSON, s.lang(), d.inSale)
}

// printChecks prints evidence and returns the exit code of check. Where nothing was asked now, it says how old each
// answer is.
func printChecks(s stdio, list []report.Evidence, asJSON bool, lang string, ages bool) int {
	switch {
	case asJSON:
		if list == nil {
			list = []report.Evidence{}
		}
		json.NewEncoder(s.out).Encode(list)
	case ages:
		for _, e := range list {
			age := codes.Text{ZH: "%s 前  ", EN: "%s ago  "}.In(lang)
			at := fmt.Sprintf(age, (time.Duration(e.AgeMS) * time.Millisecond).Round(time.Second))
			if e.Status == report.NotRun {
				at = ""
			}
			for _, line := range console.Table([]report.Evidence{e}, lang, renderWidth-len(at)) {
				fmt.Fprintln(s.out, at+line)
			}
		}
	default:
		for _, line := range console.Table(list, lang, renderWidth) {
			fmt.Fprintln(s.out, line)
		}
	}
	return worst(list)
}

func worst(list []report.Evidence) int {
	code := exitNotRun
	for _, e := range list {
		reason, _ := e.Facts.Str("reason")
		switch e.Status {
		case report.Bad:
			return exitBad
		case report.CannotTell:
			if reason != report.ReasonAbsent {
				code = exitCannotTell
			}
		case report.OK:
			if code == exitNotRun {
				code = exitOK
			}
		}
	}
	return code
}
