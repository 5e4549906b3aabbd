package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/console"
	"posdx/agent/internal/say"
	"posdx/agent/report"
	"posdx/codes"
)

// maxReply bounds one line that a person types.
const maxReply = 256

func runGuide(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "guide", "[--code C] | --replay FILE [--answer NAME]… [--json]",
		"每次只问最能分清原因的一个问题，需要时运行检查，最后在标准输出给出结论。从守护进程最近的诊断开始；用 --code 先现做一次诊断；用 --replay 从文件开始，这时设备不在这里，只提问。\n"+
			"答案从标准输入读取，每行一个：答案的编号或名字，1 运行检查，0 不知道，b 上一步，q 结束。脚本可以用 --answer 给出名字。--json 不提问，只输出计划、各答案的名字及其指向的原因，还有诊断。\n"+
			"退出码：0 已解释；3 证据不足；1 读不了或没有谁可问；2 用法不对；8 守护进程没有回答。",
		"Asks question by question what would tell most about the cause, runs the checks it needs, and ends with the verdict on stdout. It begins with the last diagnosis of the daemon, with --code with one made now, with --replay with one of a file; then only questions are asked, for the devices are elsewhere.\n"+
			"Answers are read from stdin, a line each: the number of an answer or its name, 1 to run a check, 0 not known, b back, q to end. A script may give names with --answer instead. --json asks nothing: it prints the plan, each answer with its name and the cause it leads to, and the diagnosis.\n"+
			"Exit codes: 0 explained, 3 the evidence does not suffice, 1 unreadable or nobody to ask, 2 usage, 8 the daemon does not answer.",
		"posdx guide\nposdx guide --replay case.json --answer ask.card-fails --json\nprintf 'ask.lamp-green\\nq\\n' | posdx guide --replay case.json --lang en")
	replay := f.String("replay", "", "从这个 `FILE` 开始，内容同 posdx diagnose --replay\nbegin with what this `FILE` holds, as posdx diagnose --replay reads it")
	profile := f.String("profile", "unionpay", "按哪种收单`配置`读文件里的码\nthe `profile` by which codes of a replayed file are read")
	asJSON := f.Bool("json", false, "以 JSON 输出计划，不提问\nprint the plan as JSON, ask nothing")
	var answers []string
	f.Func("answer", "预先给出的答案`名字`，可以多次\n`name` of an answer given beforehand, may be repeated", func(a string) error {
		answers = append(answers, a)
		return nil
	})
	live := addLiveFlags(s, f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	switch {
	case len(words) > 0 || *replay == "-" && !*asJSON:
		misuse(s, f, words, 0)
		return exitUsage
	case !live.valid(s):
		return exitUsage
	}
	w := guideWork{s: s, live: live, lang: s.lang()}
	var err error
	if *replay != "" {
		err = w.replay(*replay, *profile)
	} else {
		err = w.begin(ctx)
	}
	for _, a := range answers {
		if err == nil && !w.guide.Say(a, time.Now()) {
			s.fail("guide", say.New("no-answer-named", a))
			return exitUsage
		}
	}
	switch {
	case err != nil:
	case *asJSON:
		return w.printPlan()
	default:
		err = w.talk(ctx)
	}
	if err != nil {
		return live.failed(s, err)
	}
	if w.guide.Step == nil {
		for _, e := range w.guide.Elsewhere() {
			fmt.Fprintf(s.err, codes.Text{ZH: "还可以：%s（%s）\n", EN: "what would help elsewhere: %s (%s)\n"}.In(w.lang), e.How, e.Check)
		}
	}
	return printDiagnosis(s, &w.guide.Now, diagnose.Options{Lang: w.lang}, false)
}

// guideWork is one run of the command.
type guideWork struct {
	s     stdio
	live  *liveFlags
	lang  string
	guide *console.Guide
	check func(ctx context.Context, names []string) ([]report.Evidence, error)
}

func (w *guideWork) replay(name, profile string) error {
	r, err := readRecording(w.s, name)
	if err != nil {
		return err
	}
	d := r.Diagnosis
	d.Event, d.Evidence = *r.Event, *r.Evidence
	w.guide = console.NewGuide(d, inForce(*w.live.config), profile, w.lang, nil)
	return nil
}

// begin starts from the daemon's last diagnosis or from one made now, with the checks of the daemon or our own.
func (w *guideWork) begin(ctx context.Context) error {
	client, err := w.live.daemon()
	if err != nil {
		return err
	}
	st, err := client.State(ctx)
	if err != nil && !w.live.alone(err) {
		return err
	}
	w.check = func(ctx context.Context, names []string) ([]report.Evidence, error) {
		list, err := client.Check(ctx, names)
		client.sayInSale(w.s)
		return list, err
	}
	if err != nil {
		r, p, err := local(*w.live.config)
		if err != nil {
			return err
		}
		st.Checks, st.Profile = checksOf(r), cmp.Or(p.Name, p.Base)
		w.check = func(ctx context.Context, names []string) ([]report.Evidence, error) { return checkNow(ctx, r, names) }
	}
	if st.Last == nil || *w.live.code != anyCode {
		d, err := w.live.diagnose(ctx, w.s, diagnose.Options{Lang: w.lang, Version: version, Revision: 1, Final: true})
		if err != nil {
			return err
		}
		st.Last = &d
	}
	w.guide = console.NewGuide(*st.Last, knowledge(*w.live.config)(), st.Profile, w.lang, console.Worthwhile(st))
	return nil
}

// talk asks until the guide is over, the person leaves or the answers end. Questions go to stderr: stdout has the
// verdict.
func (w *guideWork) talk(ctx context.Context) error {
	lines := readLines(ctx, w.s.in)
	for ask := true; w.guide.Step != nil; {
		if ask {
			fmt.Fprintln(w.s.err, strings.Join(w.guide.Lines(renderWidth-1), "\n"))
		}
		fmt.Fprint(w.s.err, "> ")
		var reply string
		var ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case reply, ok = <-lines:
		}
		if fmt.Fprintln(w.s.err); !ok || reply == "q" {
			return nil
		}
		n, err := strconv.Atoi(reply)
		switch {
		case reply == "b":
			ask = w.guide.Back()
		case reply == "0":
			w.guide.Skip()
			ask = true
		case n == 1 && !w.guide.Asks():
			list, err := w.check(ctx, []string{w.guide.Step.Check})
			if err != nil {
				return err
			}
			w.guide.Got(w.guide.Step.Check, list)
			ask = true
		case err == nil && w.guide.Answer(n, time.Now()), err != nil && w.guide.Say(reply, time.Now()):
			ask = true
		default:
			ask = reply == ""
			fmt.Fprintln(w.s.err, codes.Text{ZH: "请输入答案的编号，0 不知道，b 上一步，q 结束", EN: "want the number of an answer, 0 not known, b back, q end"}.In(w.lang))
		}
	}
	return nil
}

// readLines hands on what is typed. A read from a terminal cannot be ended; it ends with the command.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, maxReply)
		for sc.Scan() {
			select {
			case lines <- strings.ToLower(strings.TrimSpace(sc.Text())):
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}

// A plannedStep is one step of the plan for programs.
type plannedStep struct {
	report.NextTest
	Here    bool            `json:"here"` // can be asked or run from here
	Answers []plannedAnswer `json:"answers"`
}

type plannedAnswer struct {
	Name        string  `json:"name"` // for --answer, if the step is a question
	Say         string  `json:"say"`
	Probability float64 `json:"probability"` // of this answer
	First       string  `json:"first"`       // the most probable cause after it
	FirstP      float64 `json:"first_p"`
}

func (w *guideWork) printPlan() int {
	out := struct {
		Plan      []plannedStep    `json:"plan"`
		Diagnosis report.Diagnosis `json:"diagnosis"`
	}{[]plannedStep{}, w.guide.Now}
	add := func(steps []diagnose.Step, here bool) {
		for _, s := range steps {
			p := plannedStep{NextTest: s.NextTest, Here: here}
			for _, a := range s.Answers {
				p.Answers = append(p.Answers, plannedAnswer{a.Sign, a.Say, a.Probability, a.First, a.FirstP})
			}
			out.Plan = append(out.Plan, p)
		}
	}
	add(w.guide.Plan, true)
	add(w.guide.Elsewhere(), false)
	e := json.NewEncoder(w.s.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(out); err != nil {
		w.s.fail("guide", err)
		return exitFailed
	}
	if out.Diagnosis.Abstained {
		return exitAbstain
	}
	return exitOK
}
