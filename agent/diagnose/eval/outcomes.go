package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"posdx/agent/diagnose"
	"posdx/agent/diagnose/reliability"
	"posdx/agent/report"
	"posdx/codes"
)

// maxLesson bounds one line of an export.
const maxLesson = 4 << 20

// readLessons reads a fleet's export of what became of diagnoses: /api/v1/outcomes, one JSON document a line.
func readLessons(file string) ([]report.Lesson, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []report.Lesson
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLesson)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var l report.Lesson
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w; it must be the answer of /api/v1/outcomes", file, n, err)
		}
		if _, told := l.Right(); !told || l.Event.Code == "" {
			return nil, fmt.Errorf("%s, line %d: no diagnosis of which anything became; it must be the answer of /api/v1/outcomes",
				file, n)
		}
		list = append(list, l)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// printReliability prints what was said in the field against what came of it, and what the tables at hand would say.
func printReliability(w io.Writer, k *codes.Knowledge, list []report.Lesson) {
	became := make([]report.Became, len(list))
	right, known, p := 0, 0, 0.0
	for i := range list {
		became[i] = list[i].Became
		truth := list[i].Truth()
		if truth == "" {
			continue
		}
		known++
		d := diagnose.Explain(list[i].Event, list[i].Evidence, k, diagnose.Options{Lang: "en"})
		for j, c := range d.Causes {
			if c.ID == truth {
				p += c.Probability
				if j == 0 {
					right++
				}
			}
		}
	}
	bins, all := reliability.Of(became)
	fmt.Fprintf(w, "| said | diagnoses | said in the mean | borne out | 95 %% |\n|---|---|---|---|---|\n")
	for _, b := range bins {
		if b.N > 0 {
			fmt.Fprintf(w, "| %.2f to %.2f | %d | %.2f | %.2f | %.2f to %.2f |\n", b.Low, b.High, b.N, b.Stated, b.True, b.Lo, b.Hi)
		}
	}
	fmt.Fprintf(w, "| all | %d | %.2f | %.2f | mean gap %.3f |\n\n", all.Judged, all.Stated, all.True, all.Gap)
	fmt.Fprintf(w, "| cause | diagnoses | said in the mean | borne out | people found another | people found nothing |\n|---|---|---|---|---|---|\n")
	for _, c := range reliability.ByCause(became) {
		fmt.Fprintf(w, "| %s | %d | %.2f | %.2f | %d | %d |\n", c.Cause, c.Judged, c.Stated, c.True, c.FoundOther, c.FoundNothing)
	}
	fmt.Fprintf(w, "\nThe tables at hand, over the %d of which the cause is known: first %d, its probability %.2f in the mean.\n",
		known, right, p/float64(max(1, known)))
}

// lessons prepares what became of diagnoses for fitting. Where the cause is known its probability is to be high; where
// it is only known what it was not, that one's is to be low.
func lessons(k *codes.Knowledge, list []report.Lesson) []prepared {
	p, _ := k.Profile("unionpay")
	out := make([]prepared, len(list))
	for i := range list {
		l := &list[i]
		out[i] = prepared{w: diagnose.Read(l.Event, l.Evidence, k, p), weight: 1}
		if truth := l.Truth(); truth != "" {
			out[i].right = func(id string) bool { return id == truth }
		} else {
			out[i].right, out[i].not = func(id string) bool { return id == l.Cause }, true
		}
	}
	return out
}
