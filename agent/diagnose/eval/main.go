// The command eval measures the diagnosis on cases it makes itself, from a model of faults that knows nothing of the
// engine's limits or weights.
//
// A mechanism (cable out, resolver dead, head dirty) with all its codes and wordings is wholly left out when it is
// judged. Every trial counts: those whose deciding check is missing or old, with two faults, with contradictions, with
// values on the edge.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"posdx/agent/diagnose"
	"posdx/agent/report"
	"posdx/codes"
)

// trials makes n trials of every fault.
func trials(n int, seed uint64) []trial {
	var list []trial
	for _, f := range faults() {
		for i := range n {
			list = append(list, makeTrial(f, seed+uint64(i), schedule[i%len(schedule)]))
		}
	}
	return list
}

//go:embed folds.tsv
var foldTable string

//go:embed fit.tsv
var lastFit string

// evaluate explains trials, each with the numbers that were fitted without its mechanism.
func evaluate(k *codes.Knowledge, list []trial) (score, error) {
	var s score
	parts, err := readFolds(foldTable, k.Inference.Settings)
	if err != nil {
		return s, err
	}
	var without [folds]codes.Knowledge
	for i := range without {
		without[i] = *k
		without[i].Inference.Settings = parts[i]
	}
	for i := range list {
		t := &list[i]
		d := diagnose.Explain(t.ev, t.evidence, &without[foldOf(&t.fault)], diagnose.Options{Lang: "en"})
		s.add(k, t, &d)
	}
	return s, nil
}

func main() {
	n := flag.Int("n", 64, "cases of each fault")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	data := flag.String("data", "", "a folder of data files instead of the knowledge compiled in")
	lost := flag.Bool("lost", false, "print for every mechanism how often it was found, and what was named instead")
	misses := flag.Int("misses", 0, "print so many of the commonest misses")
	show := flag.String("show", "", "print the calculation of the first case of this fault that is missed")
	write := flag.String("write", "", "put the table between the marks in this file")
	refit := flag.Bool("fit", false, "fit the settings, and those of every part of the mechanisms by the others; writes both into the sources")
	most := flag.Bool("ceiling", false, "estimate instead how often anybody could be right: somebody who has learned other trials of the same mechanisms")
	rounds := flag.Int("rounds", 9, "of fitting")
	outcomes := flag.String("outcomes", "", "what a fleet's /api/v1/outcomes answered: print what was said against what came of it; with -fit, count it")
	flag.Parse()
	if *most {
		ceiling(*n, *seed, *lost)
		return
	}
	field, err := []report.Lesson(nil), error(nil)
	if *outcomes != "" {
		field, err = readLessons(*outcomes)
	}
	switch {
	case err != nil:
	case *refit:
		err = refitAll(*data, field, *n, *seed, *rounds)
	case *outcomes != "":
		err = tellOutcomes(*data, field)
	default:
		err = run(*n, *seed, *data, *misses, *lost, *show, *write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

func run(n int, seed uint64, data string, misses int, lost bool, show, write string) error {
	k, err := knowledge(data)
	if err != nil {
		return err
	}
	if show != "" {
		showMiss(k, show, n, seed)
		return nil
	}
	s, err := evaluate(k, trials(n, seed))
	if err != nil {
		return err
	}
	table := s.table() + fitRows(k)
	fmt.Print(table)
	if lost {
		s.tellLost(os.Stdout)
	}
	names := make([]string, 0, len(s.misses))
	for name := range s.misses {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return s.misses[names[i]] > s.misses[names[j]] || s.misses[names[i]] == s.misses[names[j]] && names[i] < names[j]
	})
	for _, name := range names[:min(len(names), misses)] {
		fmt.Printf("    %4d  %s\n", s.misses[name], name)
	}
	if write != "" {
		return writeBetween(write, table)
	}
	return nil
}

func knowledge(data string) (*codes.Knowledge, error) {
	if data == "" {
		return codes.Builtin(), nil
	}
	k, problems := codes.Parse(os.DirFS(data))
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s: %v", data, problems)
	}
	return k, nil
}

func tellOutcomes(data string, field []report.Lesson) error {
	k, err := knowledge(data)
	if err != nil {
		return err
	}
	printReliability(os.Stdout, k, field)
	return nil
}

func refitAll(data string, field []report.Lesson, n int, seed uint64, rounds int) error {
	if data == "" {
		return errors.New("-fit writes into a folder of data files: name it with -data")
	}
	k, err := knowledge(data)
	if err != nil {
		return err
	}
	return fitAll(k, data, "agent/diagnose/eval/folds.tsv", field, n, seed, rounds)
}

const openMark, closeMark = "<!-- eval: written by `make eval` -->\n", "<!-- /eval -->\n"

// writeBetween replaces what stands between the marks of a file.
func writeBetween(file, table string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), openMark)
	_, after, closed := strings.Cut(rest, closeMark)
	if !ok || !closed {
		return fmt.Errorf("%s: no %q … %q to write between", file, openMark, closeMark)
	}
	return os.WriteFile(file, []byte(before+openMark+table+closeMark+after), 0o644)
}

// showMiss prints the first trial of a fault whose first cause is wrong, with the whole calculation.
func showMiss(k *codes.Knowledge, name string, n int, seed uint64) {
	name, instead, _ := strings.Cut(name, ": ")
	how, name, both := strings.Cut(name, "; ")
	if !both {
		how, name = "", how
	}
	for _, f := range faults() {
		if f.name != name {
			continue
		}
		for i := range n {
			t := makeTrial(f, seed+uint64(i), schedule[i%len(schedule)])
			d := diagnose.Explain(t.ev, t.evidence, k, diagnose.Options{Lang: "en"})
			if t.right(d.Causes[0].ID) || t.kind == blind || how != "" && kindNames[t.kind] != how ||
				instead != "" && d.Causes[0].ID != instead {
				continue
			}
			fmt.Printf("%s: %+v %+v\n", kindNames[t.kind], t.ev, *t.ev.Txn)
			for _, e := range slices.Backward(t.evidence) {
				fmt.Printf("  %-20s %-16s %-11s %v age %d\n", e.Check, e.Subject, e.Status, e.Facts, e.AgeMS)
			}
			fmt.Println(diagnose.Ledger(t.ev, t.evidence, k, diagnose.Options{Lang: "en"}))
			return
		}
	}
}
