package main

import (
	"fmt"
	"strings"

	"posdx/agent/report"
)

// render is what a merchant and a technician read.
func render(d report.Diagnosis, lang string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", d.Money.Say)
	for _, c := range d.Causes {
		fmt.Fprintf(&b, "  %3.0f %% %s %s\n", c.Probability*100, c.ID, c.Title)
	}
	return b.String()
}
