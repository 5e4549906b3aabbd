package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"posdx/agent/diagnose"
	"posdx/agent/internal/bundle"
	conf "posdx/agent/internal/config"
	"posdx/agent/internal/console"
	"posdx/agent/internal/outbox"
	"posdx/agent/internal/say"
	"posdx/agent/internal/text"
	"posdx/agent/report"
	"posdx/codes"
)

func runHistory(ctx context.Context, s stdio, args []string) int {
	f := flags(s, "history", "[--code C] [--since T] [--again] [--json] [ID]",
		"列出本机最近 200 条诊断，新的在前，不论管理平台有没有收到；不需要守护进程，也不碰设备。给出编号或其末尾几位就显示那一条诊断的全文。--again 用现在的知识重新解释当时看到的，并说明结论是否仍然相同。时间是本机当地时间。\n"+
			"退出码：0 找到；3 没有，或那一条诊断证据不足；1 读不了；2 用法不对；4 用 --again 时结论变了；8 存储没有回应。",
		"Lists the last 200 diagnoses of this terminal, newest first, whether or not the fleet has them; it needs no daemon and touches no device. With an ID, or its end, the whole diagnosis is printed. --again explains with today's knowledge what was seen then, and says whether the verdict is still the same. Times are this terminal's local time.\n"+
			"Exit codes: 0 found; 3 nothing is there, or with an ID the diagnosis abstained; 1 unreadable; 2 wrong usage; 4 with --again, a verdict is another now; 8 the flash does not answer.",
		"posdx history --since 24h\nposdx history --code 97 --since 2026-11-01 --json")
	config := f.String("config", defaultConfig, "本机配置 `FILE`\nthe configuration `FILE` of the terminal")
	code := f.String("code", "", "只列这个`应答码`的\nof this response `code` only")
	since := f.String("since", "", "不早于这个`时间`：24h、2026-11-28 或 \"2026-11-28 10:00\"\nnot older than this `time`: 24h, 2026-11-28 or \"2026-11-28 10:00\"")
	again := f.Bool("again", false, "用现在的知识重新解释\nexplain again with the knowledge in force")
	asJSON := f.Bool("json", false, "输出 JSON，每行一个；给出编号时输出整条诊断\nprint JSON, one object a line; with an ID the whole diagnosis")
	timeout := f.Duration("timeout", answerWait, "等存储回应`多久`\nhow `long` the flash may take")
	words, exit, ok := parse(s, f, args)
	if !ok {
		return exit
	}
	if len(words) > 1 {
		misuse(s, f, words, 1)
		return exitUsage
	}
	if *timeout <= 0 {
		s.fail("history", say.New("timeout", *timeout))
		return exitUsage
	}
	from, err := sinceWhen(*since, time.Now())
	if err != nil {
		s.fail("history", say.New("since", err))
		return exitUsage
	}
	c, _, err := readConfig(*config)
	if unwritten(*config) {
		c, err = config0(), nil
	}
	var list []report.Diagnosis
	if err == nil {
		list, err = readInTime(ctx, pastDir(c), *timeout, readHistory)
	}
	if err != nil {
		s.fail("history", bundle.Why(err))
		if errors.Is(err, context.DeadlineExceeded) {
			return exitTimeout
		}
		return exitFailed
	}
	list = slices.DeleteFunc(list, func(d report.Diagnosis) bool {
		return *code != "" && d.Event.Code != *code || d.Event.Time.Before(from) || len(words) > 0 &&
			!strings.HasSuffix(d.ID, words[0])
	})
	h := historyWriter{s: s, lang: s.lang(), json: *asJSON, now: time.Now(), know: inForce(*config), again: *again}
	if h.profile, err = chooseProfile(h.know, c.Profile); err != nil {
		s.fail("history", err)
		return exitFailed
	}
	switch {
	case len(list) == 0:
		fmt.Fprintln(s.err, say.New("no-history").In(s.lang()))
		return exitAbstain
	case len(words) == 0:
		return h.table(list)
	case len(list) > 1:
		s.fail("history", say.New("id-of-several", len(list), words[0]))
		return exitUsage
	}
	return h.one(list[0])
}

// localTime is how a moment is written for people: in the terminal's own time, with its zone. Documents stay UTC.
const localTime = "2006-01-02 15:04:05 MST -07:00"

// config0 is the configuration of a terminal that has none yet.
func config0() config { return config{Config: conf.Defaults()} }

// sinceWhen reads a moment as a person writes it: how long ago, a day, or a day and a time of this terminal's zone.
func sinceWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, say.New("no-time", s)
}

// readHistory returns the newest revision of every diagnosis that is kept, newest first.
func readHistory(dir string) ([]report.Diagnosis, error) {
	var list []report.Diagnosis
	at := map[string]int{}
	err := outbox.ReadPast(dir, func(p outbox.PastDoc) {
		var d report.Diagnosis
		if json.Unmarshal(p.Doc, &d) != nil || d.ID == "" || len(d.Causes) == 0 {
			return
		}
		if i, known := at[d.ID]; known {
			if d.Revision >= list[i].Revision {
				list[i] = d
			}
			return
		}
		at[d.ID] = len(list)
		list = append(list, d)
	})
	sort.SliceStable(list, func(i, j int) bool { return list[i].ID > list[j].ID })
	return list[:min(len(list), outbox.PastKept)], err
}

// readInTime reads the history, and gives up where the flash hangs: nobody can end a read that the kernel does not.
func readInTime(ctx context.Context, dir string, limit time.Duration,
	from func(dir string) ([]report.Diagnosis, error)) ([]report.Diagnosis, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	type read struct {
		list []report.Diagnosis
		err  error
	}
	done := make(chan read, 1)
	go func() {
		list, err := from(dir)
		done <- read{list, err}
	}()
	select {
	case r := <-done:
		return r.list, r.err
	case <-ctx.Done():
		return nil, say.New("flash-hung", dir, limit, ctx.Err())
	}
}

type historyWriter struct {
	s       stdio
	lang    string
	json    bool
	now     time.Time
	know    *codes.Knowledge // in force
	again   bool             // explain again
	profile codes.Profile
}

// explain explains a diagnosis of then with what is known now.
func (h historyWriter) explain(d report.Diagnosis) report.Diagnosis {
	return diagnose.Explain(d.Event, d.Evidence, h.know, diagnose.Options{
		Lang: h.lang, Version: version, Profile: h.profile, Revision: d.Revision, Final: d.Final, Repeats: d.Repeats,
		TookMS: d.TookMS,
	})
}

// causeOf says the first cause in words, and how sure it is; or that none could be told.
func (h historyWriter) causeOf(d *report.Diagnosis) string {
	if d.Abstained || len(d.Causes) == 0 {
		return codes.Builtin().Word("verdict", "abstained").In(h.lang)
	}
	first := &d.Causes[0]
	name := shown(first.ID)
	if c, ok := h.know.Cause(first.ID); ok {
		name = c.Title.In(h.lang)
	}
	return name + " " + text.Percent(first.Probability)
}

// table lists diagnoses, a line each.
func (h historyWriter) table(list []report.Diagnosis) int {
	exit := exitOK
	if !h.json {
		fmt.Fprintf(h.s.out, codes.Text{ZH: "诊断：共 %d 条，时间为本机当地时间（%s）\n", EN: "diagnoses: %d, times are local (%s)\n"}.In(h.lang), len(list), h.now.Format("MST -07:00"))
		if slices.ContainsFunc(list, func(d report.Diagnosis) bool { return !d.Event.ClockTrusted }) {
			fmt.Fprintln(h.s.out, codes.Text{ZH: "带 ~ 的时间：当时本机时钟不可信", EN: "times with ~: the clock was not trusted then"}.In(h.lang))
		}
	}
	for i := range list {
		d := &list[i]
		line := report.InOneLine(d)
		changed := ""
		if h.again {
			now := h.explain(*d)
			if !sameVerdict(d, &now) {
				exit = exitBad
				changed = codes.Text{ZH: "  现在：", EN: "  now: "}.In(h.lang) + h.causeOf(&now)
			}
		}
		if h.json {
			json.NewEncoder(h.s.out).Encode(line)
			continue
		}
		trust := " "
		if !d.Event.ClockTrusted {
			trust = "~"
		}
		repeats := ""
		if line.Repeats > 0 {
			repeats = fmt.Sprintf(" x%d", line.Repeats+1)
		}
		retry := codes.Builtin().Word("retry.short", line.Retry).In(h.lang)
		fmt.Fprintf(h.s.out, "%s%s  %s  %s %s %s%s%s\n", d.Event.Time.Local().Format("01-02 15:04:05"), trust, line.ID,
			text.Pad(shown(d.Event.Code), 14), text.Pad(retry, 12), h.causeOf(d), repeats, changed)
	}
	return exit
}

// shown is a code as it may stand on a screen.
func shown(code string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, code)
}

// one prints a whole diagnosis.
func (h historyWriter) one(d report.Diagnosis) int {
	then := d
	if h.again {
		d = h.explain(d)
		fmt.Fprintln(h.s.err, compareReplay(&then, &d).In(h.lang))
	}
	if !h.again && !h.json {
		d = console.InLanguage(d, h.know, cmp.Or(h.profile.Name, h.profile.Base), h.lang)
	}
	if !h.json {
		fmt.Fprintf(h.s.out, "%s  %s\n", then.ID, then.Event.Time.Local().Format(localTime))
	}
	exit := printDiagnosis(h.s, &d, diagnose.Options{Lang: h.lang}, h.json)
	if h.again && !sameVerdict(&then, &d) {
		return exitBad
	}
	return exit
}
