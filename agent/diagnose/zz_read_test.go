package diagnose

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestZZRead(t *testing.T) {
	f := os.Getenv("READ")
	if f == "" {
		t.Skip()
	}
	k := knowledge(t)
	lang := os.Getenv("RLANG")
	if lang == "" {
		lang = "en"
	}
	for _, c := range readStories(t, f) {
		d := Explain(c.Event, c.Evidence, k, Options{Lang: lang})
		mti := ""
		if d.Event.Txn != nil {
			mti = d.Event.Txn.MTI
		}
		fmt.Printf("## %s [%s %s] known=%v %s\n  $ %s/%s: %s\n", c.Name, d.Event.Code, mti, d.Code.Known, d.Code.Meaning, d.Money.State, d.Money.Retry, d.Money.Say)
		x := d.Causes[0]
		fmt.Printf("  %s %.2f %s abst=%v | act %s visit=%v: %s\n", x.ID, x.Probability, x.Verdict, d.Abstained, x.Act.By, x.Act.Visit, strings.ReplaceAll(x.Act.Step, "\n", " / "))
		for _, r := range x.For {
			fmt.Printf("    + %s %.1f\n", r.Say, r.WeightDB)
		}
		for _, r := range x.Against {
			fmt.Printf("    - %s %.1f\n", r.Say, r.WeightDB)
		}
		for _, y := range d.Causes[1:min(3, len(d.Causes))] {
			fmt.Printf("  2nd %s %.2f\n", y.ID, y.Probability)
		}
		for _, a := range d.Also {
			fmt.Printf("  also %s: %s\n", a.ID, a.Finding.Say)
		}
		if d.Abstained {
			fmt.Printf("  cannot separate %v\n", d.CannotSeparate)
		}
		if d.NextTest != nil {
			fmt.Printf("  next %s: %s\n", d.NextTest.Check, d.NextTest.How)
		}
	}
}
