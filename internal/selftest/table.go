package selftest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a line for each result, and below it what was wrong or
// could not be checked.
func WriteTable(w io.Writer, results []Result) {
	var below strings.Builder
	counts := map[Outcome]int{}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PREVENTS\tOUTCOME\tSENT\tLEARNT FROM")
	for _, r := range results {
		counts[r.Outcome]++
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", r.Name, r.Outcome, r.Sent, r.Learnt())
		for _, p := range r.Problems {
			fmt.Fprintf(&below, "%s: %s\n", r.Name, p)
		}
		if r.Lacks != "" {
			fmt.Fprintf(&below, "%s: not run without %s\n", r.Name, r.Lacks)
		}
		for _, p := range r.Partly {
			fmt.Fprintf(&below, "%s: not checked: %s\n", r.Name, p)
		}
	}
	_ = table.Flush() // to where nothing can be done about it
	fmt.Fprintf(w, "\n%s%d held, %d broken, %d not run\n", below.String(), counts[Held], counts[Broken], counts[NotRun])
}
