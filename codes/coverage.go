package codes

// A Coverage row says where a cause or remedy of the seed articles went. These are five articles on POS error codes,
// numbered "000" to "004", that the catalogue was begun from; nothing that they name is left out without a reason.
type Coverage struct {
	ID       string // C and a number for a cause, R for a remedy, S for a remedy that only better sources name
	What     Text
	Seeds    []string // the seed articles that name it: "000" to "004"; empty for none
	Causes   []string // the causes it became, or those whose advice offers the remedy; sorted
	Checks   []string // what confirms or refutes it, or shows that the remedy worked
	Remedies []string // what the advice offers when a cause of this row is found; sorted
	// why it cannot be observed from inside a terminal, or is no advice of a terminal; empty if it is mapped
	Hidden Text
}

// A Claim is what a seed article says about some codes, and whether the sources bear it out.
type Claim struct {
	Seed    string
	Codes   []string // the codes it speaks of, bare; "unknown" for codes in no table
	Claim   Text     // what it says
	Finding Text     // what the sources say
	Verdict string   // true false partly unknowable
}

// A Forbidden row names remedies that cannot help against some codes and so must not be advised.
type Forbidden struct {
	Scheme   string   // "" for every scheme
	Codes    []string // none for every code
	Origin   string   // who wrote the code: host; "" for whoever
	Remedies []string // that cannot help
	Causes   []string // what such a code can still mean, and whose steps may therefore not hold the remedies
	Why      Text
}
