package codes

// A Coverage row says where a cause (C1…), a remedy (R1…) or a remedy that only better sources name (S1…) went.
type Coverage struct {
	ID       string
	What     Text
	Seeds    []string // the seed articles that name it: "000" to "004"; empty for none
	Causes   []string // the causes it became, or those whose advice offers the remedy; sorted
	Checks   []string // what confirms or refutes it, or shows that the remedy worked
	Remedies []string // what the advice offers when a cause of this row is found; sorted
	// why it cannot be observed from inside a terminal, or is no advice of a terminal; empty if it is mapped
	Hidden Text
}

// A Claim is what a seed article says about a code, and whether it is true.
type Claim struct {
	Seed    string
	Codes   []string // the codes it speaks of, bare; "unknown" for codes in no table
	Claim   Text
	Finding Text   // what the sources say
	Verdict string // true false partly unknowable
}

// A Forbidden row is advice that must not be given: those remedies cannot help against that code.
type Forbidden struct {
	Scheme   string   // "" for every scheme
	Codes    []string // none for every code
	Origin   string   // who wrote the code: host; "" for whoever
	Remedies []string // that cannot help
	Causes   []string // what such a code can still mean, and whose steps may therefore not hold the remedies
	Why      Text
}
