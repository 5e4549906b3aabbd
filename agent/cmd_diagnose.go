package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"posdx/agent/diagnose"
	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/report"
	"posdx/codes"
)

// maxReplay bounds the file that is replayed; a diagnosis takes a few kilobytes.
const maxReplay = 4 << 20

// renderWidth is the width of a diagnosis printed for people, in columns.
const renderWidth = 80

func runDiagnose(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "diagnose", "[--code C] | --replay FILE [--json | --explain]",
		"现在就诊断本机：通过守护进程，或没有守护进程时用 --offline 由本命令直接做。这是询问，不是失败的交易：不计数，交易进行中只按已知的回答。\n"+
			"--replay 重新解释一个文件，不碰任何设备：{\"event\":…, \"evidence\":[…]}，或一条记录下来的诊断，并说明结论是否仍然相同。FILE 写 - 表示标准输入。\n"+
			"退出码：0 已解释；3 证据不足；1 读不了或没有谁可问；2 用法不对；8 守护进程没有回答。",
		"Examines this terminal now, through the daemon, or with --offline by itself if none runs. It is a question and no failed sale: it is not counted, and in a sale it is answered from what is known.\n"+
			"With --replay it explains again what a file holds, touching nothing: {\"event\":…, \"evidence\":[…]}, or a recorded diagnosis, of which it then says whether the verdict is still the same. FILE - is the standard input.\n"+
			"Exit codes: 0 explained, 3 abstained, 1 unreadable or nobody to ask, 2 usage, 8 the daemon does not answer.",
		"posdx diagnose --code 96\nposdx diagnose --replay case.json --lang en\nposdx diagnose --replay case.json --explain")
	replay := f.String("replay", "", "解释这个 `FILE`\nexplain this `FILE`")
	profile := f.String("profile", "unionpay", "按哪种收单`配置`读码\nthe `profile` by which codes are read")
	asJSON := f.Bool("json", false, "以 JSON 输出诊断\nprint the diagnosis as JSON")
	explain := f.Bool("explain", false, "输出全部计算过程\nprint the whole calculation")
	live := addLiveFlags(s, f)
	words, code, ok := parse(s, f, args)
	if !ok {
		return code
	}
	if !live.valid(s) {
		return exitUsage
	}
	o := diagnose.Options{Lang: s.lang(), Version: version, Revision: 1, Final: true}
	var known bool
	k := inForce(*live.config)
	o.Profile, known = k.Profile(*profile)
	switch {
	case !known:
		s.fail("diagnose", say.New("no-profile-here", *profile, profilesOf(k)))
	case len(words) > 0 || *asJSON && *explain:
		misuse(s, f, words, 0)
	case *replay != "":
		return replayFile(s, k, *replay, o, *asJSON, *explain)
	default:
		return diagnoseLive(ctx, s, live, o, *asJSON, *explain)
	}
	return exitUsage
}

// A recording is what --replay reads. A recorded diagnosis has the same members and more.
type recording struct {
	report.Diagnosis
	Event    *report.Event      `json:"event"`
	Evidence *[]report.Evidence `json:"evidence"`
}

func replayFile(s stdio, k *codes.Knowledge, name string, o diagnose.Options, asJSON, explain bool) int {
	r, err := readRecording(s, name)
	if err != nil {
		s.fail("diagnose", err)
		return exitFailed
	}
	recorded := r.Agent.Knowledge != "" && len(r.Causes) > 0
	if recorded {
		o.Revision, o.Final, o.Repeats, o.TookMS = r.Revision, r.Final, r.Repeats, r.TookMS
	}
	d := diagnose.Explain(*r.Event, *r.Evidence, k, o)
	code := printDiagnosis(s, &d, o, asJSON)
	if explain {
		fmt.Fprint(s.out, "\n", diagnose.Ledger(*r.Event, *r.Evidence, k, o))
	}
	if recorded {
		fmt.Fprintln(s.err, compareReplay(&r.Diagnosis, &d).In(o.Lang))
	}
	return code
}

// readRecording reads event and evidence; without an event there is nothing to explain.
func readRecording(s stdio, name string) (recording, error) {
	var r recording
	in := s.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return r, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxReplay+1))
	switch {
	case err != nil:
		return r, say.New("read", name, err)
	case len(b) > maxReplay:
		return r, say.New("read-large", name, maxReplay)
	}
	// What was saved on Windows may begin with a mark, and be UTF-16.
	if b, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), b); err != nil {
		return r, say.New("read", name, err)
	}
	if err := report.Decode(b, &r); err != nil {
		return r, say.New("read", name, err)
	}
	switch {
	case r.Event == nil || r.Event.Code == "":
		return r, say.New("read", name, say.New("read-no-event"))
	case r.Evidence == nil:
		r.Evidence = &[]report.Evidence{}
	}
	if problem := source.CodeProblem(r.Event.Code); problem != "" {
		return r, say.New("event-code", name, say.Heard(problem))
	}
	if o := string(r.Event.Origin); o != "" && !source.OneOf(o, source.Origins) {
		return r, say.New("event-origin", name, strings.Join(source.Origins, " "))
	}
	return r, nil
}

// sameVerdict compares what somebody would act on.
func sameVerdict(then, now *report.Diagnosis) bool {
	return then.Causes[0].ID == now.Causes[0].ID && then.Abstained == now.Abstained && then.Money.Retry == now.Money.Retry
}

// compareReplay says whether a recorded verdict still stands, and if not, what has changed.
func compareReplay(then, now *report.Diagnosis) say.Message {
	same := sameVerdict(then, now)
	if then.Agent.Knowledge == now.Agent.Knowledge {
		if same {
			return say.New("same-same")
		}
		return say.New("same-other", then.Causes[0].ID, then.Agent.Version, now.Agent.Version)
	}
	if same {
		return say.New("other-same", then.Agent.Knowledge)
	}
	return say.New("other-other",
		then.Causes[0].ID, then.Money.Retry, then.Agent.Knowledge, now.Agent.Knowledge)
}

// printDiagnosis prints for people or for programs, and returns the exit code that tells an answer from an abstention.
func printDiagnosis(s stdio, d *report.Diagnosis, o diagnose.Options, asJSON bool) int {
	if asJSON {
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(d); err != nil {
			s.fail("diagnose", err)
			return exitFailed
		}
	} else {
		fmt.Fprint(s.out, diagnose.Render(*d, o.Lang, renderWidth))
	}
	if d.Abstained {
		return exitAbstain
	}
	return exitOK
}
