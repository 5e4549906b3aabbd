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
		"Names what the failures of one moment have in common: values of up to three dimensions. The file has one row a time\n"+
			"and combination of values; the times before, ten minutes at most, say what is normal. Nothing is named when nothing\n"+
			"stands out, and when failures rose evenly the answer is that the cause lies outside of what the file records.\n"+
			"Elements that the counts cannot separate are named together, three at most, with the probability of each.",
		"posdx-fleet localise minutes.csv --at 1566397800 --fail value --total cnt --json")
	at := f.String("at", "", "the `TIME` to explain, as in the file: Unix seconds or 2006-01-02T15:04:05Z")
	var c localise.Columns
	f.StringVar(&c.Failed, "fail", "value", "`COLUMN` with the failures")
	f.StringVar(&c.Total, "total", "cnt", "`COLUMN` with all calls")
	f.StringVar(&c.Time, "time", "min", "`COLUMN` with the time; every further column is a dimension")
	asJSON := f.Bool("json", false, "print JSON")
	words, code, ok := parse(s, f, args, 1)
	if !ok {
		return code
	}
	when, err := localise.ParseTime(*at)
	if err != nil {
		fmt.Fprintf(s.err, "posdx-fleet localise: --at: %v\n", err)
		return exitUsage
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
		fmt.Fprintf(s.out, "failures rose evenly: %.0f of %.0f calls, foretold %.0f; the cause lies outside of what is recorded\n", found.Failed, found.Total, found.Expected)
	case len(found.Elements) == 0:
		fmt.Fprintf(s.out, "nothing stands out: %.0f of %.0f calls failed, foretold %.0f\n", found.Failed, found.Total, found.Expected)
	default:
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "P\tFAILED\tFORETOLD\tCALLS\tELEMENT")
		for _, e := range found.Elements {
			fmt.Fprintf(w, "%.2f\t%.0f\t%.0f\t%.0f\t%s\n", e.P, e.Failed, e.Expected, e.Total, e)
		}
		if w.Flush() != nil {
			return exitFailed
		}
	}
	return exitOK
}
