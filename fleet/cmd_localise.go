package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"posdx/fleet/localise"
)

func runLocalise(_ context.Context, s stdio, args []string) int {
	f := flags(s, "localise", "FILE.csv --at TIME [OPTIONS]",
		"找出某一时刻各次失败的共同点：最多三个维度的取值。文件中每个时刻、每种取值组合一行；之前最多十分钟用来判断什么是正常。没有突出的就什么也不说；失败普遍上升时，回答是原因不在文件记录的范围内。从计数上分不开的一起说，最多三个，并给出各自的概率。",
		"Names what the failures of one moment have in common: values of up to three dimensions. The file has one row a time and combination of values; the times before, ten minutes at most, say what is normal. Nothing is named when nothing stands out, and when failures rose evenly the answer is that the cause lies outside of what the file records. Elements that the counts cannot separate are named together, three at most, with the probability of each.",
		"posdx-fleet localise minutes.csv --at 1566397800 --json")
	at := f.String("at", "", "要解释的`时刻`，写法与文件一致：Unix 秒数或 2006-01-02T15:04:05Z\nthe `TIME` to explain, as in the file: Unix seconds or 2006-01-02T15:04:05Z")
	var c localise.Columns
	f.StringVar(&c.Failed, "fail", "value", "失败次数所在的`列`\n`COLUMN` with the failures")
	f.StringVar(&c.Total, "total", "cnt", "总次数所在的`列`\n`COLUMN` with all calls")
	f.StringVar(&c.Time, "time", "min", "时刻所在的`列`；其余每一列是一个维度\n`COLUMN` with the time; every further column is a dimension")
	asJSON := f.Bool("json", false, "输出 JSON\nprint JSON")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	when, err := localise.ParseTime(*at)
	if err != nil {
		return s.wrong("localise", "--at：%s", "--at: %s", s.error(err))
	}
	r, err := os.Open(words[0])
	if err != nil {
		return failed(s, "localise", err)
	}
	defer r.Close()
	table, err := localise.Read(r, c)
	if err != nil {
		return failed(s, "localise", fmt.Errorf("read %s: %w", words[0], err))
	}
	leaves, err := table.At(when)
	if err != nil {
		return failed(s, "localise", fmt.Errorf("%s: %w", words[0], err))
	}
	found := localise.Localise(table.Dims, leaves, localise.Published)
	if *asJSON {
		return printJSON(s.out, found)
	}
	switch {
	case found.Outside:
		s.print("失败普遍上升：%[2].0f 次中 %[1].0f 次，预计 %[3].0f 次；原因不在文件记录的范围内",
			"failures rose evenly: %.0f of %.0f calls, foretold %.0f; the cause lies outside of what is recorded", found.Failed, found.Total, found.Expected)
	case len(found.Elements) == 0:
		s.print("没有突出的：%[2].0f 次中 %[1].0f 次失败，预计 %[3].0f 次",
			"nothing stands out: %.0f of %.0f calls failed, foretold %.0f", found.Failed, found.Total, found.Expected)
	default:
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, s.say("概率\t失败\t预计\t总数\t共同点", "P\tFAILED\tFORETOLD\tCALLS\tELEMENT"))
		for _, e := range found.Elements {
			fmt.Fprintf(w, "%.2f\t%.0f\t%.0f\t%.0f\t%s\n", e.P, e.Failed, e.Expected, e.Total, e)
		}
		if w.Flush() != nil {
			return exitFailed
		}
	}
	return exitOK
}
