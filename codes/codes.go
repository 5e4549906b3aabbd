// Package codes is the knowledge: what a response code means in which scheme, which causes exist, what speaks for and
// against each, and what to do. It does no I/O; its data files lie in the data folder and are compiled in.
package codes

// Text is one sentence in every language the product speaks.
type Text struct{ ZH, EN string }

// In returns the text in a language, "zh" or "en"; anything else is zh, the default.
func (t Text) In(lang string) string {
	if lang == "en" {
		return t.EN
	}
	return t.ZH
}

// Knowledge is everything the data files say. It never changes once made, so any number of goroutines may use it.
type Knowledge struct {
	Version   string
	Hash      string // "sha256:" and the hash of the data files in hex
	Schemes   []Scheme
	Meanings  []Meaning // sorted by scheme, then code
	Profiles  []Profile
	Causes    []Cause // sorted by id
	Coverage  []Coverage
	Claims    []Claim
	Inference Inference
}

// A Scheme is one table of codes: those of a standard, a network, a host dialect or a terminal's own firmware.
type Scheme struct {
	Name    string // unionpay, iso8583-1987, gicc-de, terminal-local, …
	Title   Text
	Writers []string // who writes codes of this scheme: acquirer switch issuer terminal cashier
}

// A Meaning is what one code means in one scheme.
type Meaning struct {
	Scheme   string
	Code     string
	Text     Text
	Class    string   // A success, B may retry, C do not retry, D operator must act, E system fault; or the table's own word; "" if none
	Domain   string   // where the fault sits, as the table's fault_domain: issuer acquirer-host terminal-keys network-path …
	Retry    string   // no yes unknown after-signin after-reversal
	SentBy   []string // acquirer switch issuer terminal cashier
	Sources  []string // keys of the sources that print it
	Disputed bool     // sources disagree on the meaning
	Note     string   // what the sources add or how they differ
}

// A Cause is one member of the catalogue.
type Cause struct {
	ID      string // segment dot noun: host.malfunction
	Segment string // card operator reader pinpad printer terminal modem lan wan acquirer switch issuer unknown
	Act     string // who must act: staff technician acquirer carrier issuer cardholder none
	Visit   bool   // must someone travel to the site?
	Title   Text
	Step    Text // who does what, in order, and what to say on the phone
}

// Problem is one mistake in a data file.
type Problem struct {
	File string
	Line int
	What string
}
