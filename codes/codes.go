// Package codes is the knowledge: what a response code means in which scheme, which causes exist, what speaks for and
// against each, and what to do. It does no I/O; its data files lie in the data folder and are compiled in.
package codes

import (
	"fmt"
	"slices"
	"strings"
)

//go:generate go run -tags bootstrap ./gen

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
	Coverage  []Coverage
	Claims    []Claim
	Forbidden []Forbidden
	Sunsets   []Sunset
	Inference Inference
}

// A Scheme is one table of codes: those of a standard, a network, a host dialect or a terminal's own firmware.
type Scheme struct {
	Name    string // unionpay, iso8583-1987, gicc-de, terminal-local, …
	Title   Text
	Writers []string // who writes codes of this scheme: acquirer switch issuer terminal cashier
}

// Schemes that the way of selecting a table must know by name; all others are data.
const (
	SchemeLocal    = "terminal-local"  // errors of the terminal's own firmware, `newpos:E5`
	SchemeAcquirer = "acquirer-4"      // four characters of acquirer front ends and cashier programs, one code space per source
	SchemeReversal = "reversal-reason" // field 39 of a reversal request: why the terminal reverses
	SchemeCard     = "emv-arc"         // the answer the terminal or the chip gave when no host did
)

// A Source is where meanings were read.
type Source struct {
	Key  string // as it stands in the tables: CUP15, GICC-LYRA, …
	What string // title, place or repository
}

// A Check is one kind of evidence, by the name it has in the documents.
type Check struct {
	Name  string  // net.tcp
	Fresh float64 // seconds for which what it found may be trusted in full
	Depth string  // how far it reaches: internal external
	Hook  string  // the subject under which the payment application may report it, "" if it may not
	Title Text    // what it looks at, for people
	// Touches is what the probe touches that makes this check and those it makes beside it; "" for a check that is made
	// beside another, or by no probe.
	Touches string
}

// A Meaning is what one code means in one scheme.
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

// Approves tells whether this is the word of a sale that was made, in UnionPay's classes or in the other tables' words.
func (m Meaning) Approves() bool { return m.Class == "A" || m.Class == "approve" }

// A Cause is one member of the catalogue.
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

// StepsFor returns what to do about a cause where this is the advice for the money (money.retry, or one of the Steps
// words in its place), numbered if there are several: no step may tell a merchant to charge again whom the advice above
// it tells not to. "" is every step.
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

// FirstStepFor returns the first of these steps: what to do now.
func (c *Cause) FirstStepFor(advice string) Text {
	if fit := c.ListFor(advice); len(fit) > 0 {
		return fit[0]
	}
	return Text{}
}

// ListFor returns these steps one by one.
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

// StepIn translates a cause's steps, as a document holds them in one language, into another language. A text that this
// catalogue does not have, from a newer one perhaps, is returned unchanged.
func (c *Cause) StepIn(written, lang string) string {
	if advice, ok := c.adviceOf(written); ok {
		return c.StepsFor(advice).In(lang)
	}
	return written
}

// AdviceOf tells with what the steps go that a document holds in either language: with the advice for the money, or one
// of the Steps words in its place. Where this catalogue does not have them, that is the document's own advice.
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

// Builtin returns the knowledge compiled in. It costs nothing: the value lies in the program's data.
func Builtin() *Knowledge { return &builtin }

// Cause returns the member of the catalogue with this id.
func (k *Knowledge) Cause(id string) (Cause, bool) {
	i, ok := slices.BinarySearchFunc(k.Causes, id, func(c Cause, id string) int { return strings.Compare(c.ID, id) })
	if !ok {
		return Cause{}, false
	}
	return k.Causes[i], true
}

// Scheme returns the table with this name.
func (k *Knowledge) Scheme(name string) (Scheme, bool) {
	i, ok := slices.BinarySearchFunc(k.Schemes, name,
		func(s Scheme, name string) int { return strings.Compare(s.Name, name) })
	if !ok {
		return Scheme{}, false
	}
	return k.Schemes[i], true
}

// Check returns the kind of evidence with this name.
func (k *Knowledge) Check(name string) (Check, bool) {
	i, ok := slices.BinarySearchFunc(k.Checks, name,
		func(c Check, name string) int { return strings.Compare(c.Name, name) })
	if !ok {
		return Check{}, false
	}
	return k.Checks[i], true
}

// Source returns what stands behind a source's key.
func (k *Knowledge) Source(key string) (Source, bool) {
	i, ok := slices.BinarySearchFunc(k.Sources, key, func(s Source, key string) int { return strings.Compare(s.Key, key) })
	if !ok {
		return Source{}, false
	}
	return k.Sources[i], true
}
