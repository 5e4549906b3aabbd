// Package codes is the knowledge of the product: what a response code means in which scheme, which causes exist, what
// speaks for and against each, and what to do about it. The data files lie in the folder data; go generate compiles
// them in (Builtin), and a signed pack of them can replace them on a terminal (LoadPack). The package does no other
// I/O.
package codes

import (
	"fmt"
	"slices"
	"strings"
)

//go:generate go run -tags bootstrap ./gen

// Text is a sentence or phrase in both languages of the product.
type Text struct{ ZH, EN string }

// In returns the text in a language, "zh" or "en"; for anything else in Chinese, the default.
func (t Text) In(lang string) string {
	if lang == "en" {
		return t.EN
	}
	return t.ZH
}

// Knowledge is everything that the data files say. It never changes once made, so any number of goroutines may use it.
type Knowledge struct {
	Version   string        // of the data, as a pack or the file VERSION names it
	Hash      string        // "sha256:" and the hash of the data files in hex
	Schemes   []Scheme      // sorted by name
	Sources   []Source      // sorted by key
	Checks    []Check       // sorted by name
	Facts     []Fact        // sorted by check, then name
	Limits    []Limit       // sorted by check, then as they stand in the table
	News      []FindingNews // sorted by finding
	Meanings  []Meaning     // sorted by scheme, then code; several rows of one code stand in the order of the file
	Profiles  []Profile     // sorted by name
	Words     []Word        // sorted by kind, then id
	Causes    []Cause       // sorted by id
	Coverage  []Coverage    // what became of the causes and remedies of the seed articles
	Claims    []Claim       // what the seed articles say of codes
	Forbidden []Forbidden   // remedies that must not be offered
	Sunsets   []Sunset      // radio networks that were switched off, or will be
	Inference Inference     // what the diagnosis weighs with
}

// A Scheme is a table of codes: of a standard, a network, a host dialect, or a terminal's own firmware.
type Scheme struct {
	Name    string // unionpay, iso8583-1987, gicc-de, terminal-local, …
	Title   Text
	Writers []string // who writes codes of this scheme: acquirer switch issuer terminal cashier
}

// Schemes that the code must know by name, to choose between tables. All others are data.
const (
	SchemeLocal    = "terminal-local"  // errors of the terminal's own firmware, `newpos:E5`
	SchemeAcquirer = "acquirer-4"      // four characters of acquirer front ends and cashier programs, one code space per source
	SchemeReversal = "reversal-reason" // field 39 of a reversal request: why the terminal reverses
	SchemeCard     = "emv-arc"         // the answer the terminal or the chip gave when no host did
)

// A Source is a document in which meanings of codes were read.
type Source struct {
	Key  string // as it stands in the tables: CUP15, GICC-LYRA, …
	What string // title, place or repository
}

// A Check is a kind of evidence: something that is looked at.
type Check struct {
	Name  string  // net.tcp
	Fresh float64 // seconds for which its result counts in full; older ones count less
	Depth string  // how far it reaches: internal external
	Hook  string  // the subject under which the payment application may report it, "" if it may not
	Title Text    // what it looks at, for people
	// Touches is what the probe touches that makes this check and those it makes beside it; "" for a check that is made
	// beside another, or by no probe.
	Touches string
}

// A Meaning is one row of a table: what one code means in one scheme, by some sources.
type Meaning struct {
	Scheme  string
	Code    string
	Pattern bool // Code is a pattern, see Match
	Text    Text
	// A success, B may retry, C do not retry, D operator must act, E system fault; or the table's own word; "" if none
	Class string
	// where the fault sits: none unknown operator card-medium cardholder-account issuer risk scheme-switch acquirer-host
	// merchant-config terminal-config terminal-keys terminal-hardware network-path
	Domain   string
	Retry    string   // no yes unknown after-signin after-reversal
	Maps     string   // the field 39 value this longer code stands for, "" if none is printed
	SentBy   []string // acquirer switch issuer terminal cashier; empty where no source says
	Sources  []string // keys of the sources that print it
	Disputed bool     // sources disagree on the meaning
	Note     string   // what the sources add or how they differ
}

// Approves tells whether the code says that the sale was made.
func (m Meaning) Approves() bool { return m.Class == "A" || m.Class == "approve" }

// A Cause is something that can stop a sale, with who acts on it and how.
type Cause struct {
	ID       string   // segment dot noun: host.malfunction
	Segment  string   // card operator reader pinpad printer terminal modem lan wan acquirer switch issuer unknown
	Act      string   // who must act: staff technician acquirer carrier issuer cardholder none
	Visit    bool     // must someone travel to the site?
	Stages   []string // of a sale at which it can end one; empty: any
	Writers  []string // who can write a code because of it: terminal acquirer switch issuer; empty: anybody
	Title    Text
	Steps    []Step   // who does what, in order, and what to say on the phone
	Remedies []string // ids of the remedies its steps carry out, sorted
}

// A Step is one thing to do about a cause.
type Step struct {
	Text Text
	When []string // the advice (money.retry) that it goes with, or one of the Steps words; nil is every one
}

// StepsFor returns the steps that go with an advice for the money (a value of report.Money.Retry) or with one of the
// Steps words, numbered if there are several. A merchant who is told not to try again must not read a step that says
// to. "" selects every step.
func (c *Cause) StepsFor(advice string) Text {
	fit := c.ListFor(advice)
	if len(fit) == 1 {
		return fit[0]
	}
	var zh, en strings.Builder
	for i, t := range fit {
		if i > 0 {
			zh.WriteByte(' ')
			en.WriteByte(' ')
		}
		fmt.Fprintf(&zh, "%d. %s", i+1, t.ZH)
		fmt.Fprintf(&en, "%d. %s", i+1, t.EN)
	}
	return Text{zh.String(), en.String()}
}

// FirstStepFor returns the first of the steps that StepsFor selects.
func (c *Cause) FirstStepFor(advice string) Text {
	if fit := c.ListFor(advice); len(fit) > 0 {
		return fit[0]
	}
	return Text{}
}

// ListFor returns the steps that StepsFor selects, one by one.
func (c *Cause) ListFor(advice string) (fit []Text) {
	if advice == StepsReversed && !slices.ContainsFunc(c.Steps,
		func(s Step) bool { return slices.Contains(s.When, advice) }) {
		advice = "query-first" // what was taken back shows the journal
	}
	for _, s := range c.Steps {
		if advice == "" || len(s.When) == 0 || slices.Contains(s.When, advice) {
			fit = append(fit, s.Text)
		}
	}
	return fit
}

// StepIn translates a cause's steps into a language, as a document holds them in the other one. A text that this
// catalogue does not have, such as a newer one's, is returned as it is.
func (c *Cause) StepIn(written, lang string) string {
	if advice, ok := c.adviceOf(written); ok {
		return c.StepsFor(advice).In(lang)
	}
	return written
}

// AdviceOf returns the advice, or Steps word, for which StepsFor gives the text that a document holds, in either
// language. If this catalogue gives it for none, it is retry, the document's own advice.
func (c *Cause) AdviceOf(written, retry string) string {
	if advice, ok := c.adviceOf(written); ok {
		return advice
	}
	return retry
}

func (c *Cause) adviceOf(written string) (advice string, ok bool) {
	for _, advice := range append([]string{""}, stepWords...) {
		if t := c.StepsFor(advice); written == t.ZH || written == t.EN {
			return advice, true
		}
	}
	return "", false
}

// Builtin returns the knowledge that was compiled in. The call costs nothing: it lies in the program's data.
func Builtin() *Knowledge { return &builtin }

// Cause returns the cause with this id.
func (k *Knowledge) Cause(id string) (Cause, bool) {
	i, ok := slices.BinarySearchFunc(k.Causes, id, func(c Cause, id string) int { return strings.Compare(c.ID, id) })
	if !ok {
		return Cause{}, false
	}
	return k.Causes[i], true
}

// Scheme returns the scheme with this name.
func (k *Knowledge) Scheme(name string) (Scheme, bool) {
	i, ok := slices.BinarySearchFunc(k.Schemes, name,
		func(s Scheme, name string) int { return strings.Compare(s.Name, name) })
	if !ok {
		return Scheme{}, false
	}
	return k.Schemes[i], true
}

// Check returns the check with this name.
func (k *Knowledge) Check(name string) (Check, bool) {
	i, ok := slices.BinarySearchFunc(k.Checks, name,
		func(c Check, name string) int { return strings.Compare(c.Name, name) })
	if !ok {
		return Check{}, false
	}
	return k.Checks[i], true
}

// Source returns the source with this key.
func (k *Knowledge) Source(key string) (Source, bool) {
	i, ok := slices.BinarySearchFunc(k.Sources, key, func(s Source, key string) int { return strings.Compare(s.Key, key) })
	if !ok {
		return Source{}, false
	}
	return k.Sources[i], true
}
