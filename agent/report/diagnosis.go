package report

// A Diagnosis explains one event. Revision 1 holds what is known at once; later ones follow the probes, and the last
// one is final.
type Diagnosis struct {
	ID             string   `json:"id"`       // the event's
	Revision       int      `json:"revision"` // from 1
	Final          bool     `json:"final"`    // no other revision follows
	TookMS         int64    `json:"took_ms"`  // from the event to this revision
	Event          Event    `json:"event"`
	Repeats        int      `json:"repeats"` // how often the code came again while this one was open
	Code           CodeInfo `json:"code"`
	Money          Money    `json:"money"`
	Causes         []Cause  `json:"causes"`          // at most 5 and "unexplained", most probable first
	Abstained      bool     `json:"abstained"`       // the evidence names nobody who should act
	CannotSeparate []string `json:"cannot_separate"` // cause ids
	Masked         []string `json:"masked"`          // cause ids whose signs a deeper fault explains
	Also           []Also   `json:"also,omitempty"`  // found broken, did not cause this event
	Set            []string `json:"set,omitempty"`   // ids of the causes of which one holds with 95 %
	// independent witnesses for the first cause, the code among them where its writer knows what it says
	Witnesses int        `json:"witnesses"`
	NextTest  *NextTest  `json:"next_test,omitempty"` // none while abstained: no test here can change what is to be done
	Evidence  []Evidence `json:"evidence"`
	Handoff   string     `json:"handoff"`         // the whole in 20 letters, to be read out on the phone
	Asked     bool       `json:"asked,omitempty"` // a person or the fleet asked: no sale failed
	Agent     Agent      `json:"agent"`
}

// CodeInfo is what the tables say about a code.
type CodeInfo struct {
	Scheme   string   `json:"scheme"` // the table that has it; as in the event if none has
	Code     string   `json:"code"`
	Known    bool     `json:"known"`
	Class    string   `json:"class"` // UnionPay action class A to E, or the table's own word; empty when unknown
	Meaning  string   `json:"meaning"`
	SentBy   []string `json:"sent_by"`            // acquirer switch issuer terminal cashier
	Disputed bool     `json:"disputed"`           // it may mean something else here: its sources disagree, or it is borrowed
	Borrowed bool     `json:"borrowed,omitempty"` // read by another table than its writer's, for want of one
	Sources  int      `json:"sources"`            // how many print this meaning
	Searched []string `json:"searched,omitempty"` // the tables looked in, when the code is in none
}

// Money says what became of the customer's money, apart from the cause.
type Money struct {
	State string `json:"state"` // not-sent sent-no-answer declined approved unknown
	Retry string `json:"retry"` // safe later query-first after-signin other-means no
	Say   string `json:"say"`   // both in sentences
}

// States of the money.
const (
	MoneyNotSent      = "not-sent"       // no request left the terminal: nothing was charged
	MoneySentNoAnswer = "sent-no-answer" // it left and nobody answered: it may have been charged
	MoneyDeclined     = "declined"       // the host refused: nothing was charged
	MoneyApproved     = "approved"       // it was charged
	MoneyUnknown      = "unknown"        // any of these
)

// Advice on trying again. RetrySafe and RetryLater are never said when the request may have left without an answer.
const (
	RetrySafe        = "safe"         // at once: nobody can be charged twice
	RetryLater       = "later"        // when what is wrong has passed or was put right
	RetryQueryFirst  = "query-first"  // only after asking the host what became of the first try
	RetryAfterSignin = "after-signin" // after the terminal has signed in
	RetryOtherMeans  = "other-means"  // with another card, or another way to pay
	RetryNo          = "no"           // not at all
)

// Unexplained is the id of the cause that stands for everything nobody thought of.
const Unexplained = "unexplained"

// A Cause is one explanation, with what speaks for it and against it.
type Cause struct {
	ID          string   `json:"id"`          // in the catalogue of codes: wan.outage
	Segment     string   `json:"segment"`     // of the way from card to issuer: codes.Cause.Segment
	Probability float64  `json:"probability"` // all of a diagnosis sum to 1
	Verdict     string   `json:"verdict"`     // confirmed likely possible rejected indeterminate
	Act         Act      `json:"act"`
	Title       string   `json:"title"`
	For         []Reason `json:"for"`
	Against     []Reason `json:"against"`
}

// Also is something that was found broken, cannot have caused this event, and needs somebody all the same.
type Also struct {
	ID      string `json:"id"`
	Segment string `json:"segment"`
	Act     Act    `json:"act"`
	Finding Reason `json:"finding"` // that shows it most clearly
}

// Act says who has to do what.
type Act struct {
	By    string `json:"by"`    // staff technician acquirer carrier issuer cardholder none
	Visit bool   `json:"visit"` // must someone travel to the site?
	Step  string `json:"step"`  // what to do, in sentences
}

// A Reason is one piece of evidence with its weight in decibans: ten times the decimal logarithm of a likelihood ratio.
type Reason struct {
	Check    string  `json:"check"`     // that found it; "code" for the code itself
	Say      string  `json:"say"`       // as a sentence
	WeightDB float64 `json:"weight_db"` // below 0 against the cause
}

// NextTest is the test that is most worth making next.
type NextTest struct {
	Check    string  `json:"check"`     // name of the test: a check, or a question (ask.…)
	How      string  `json:"how"`       // what to do, as a sentence
	CostS    float64 `json:"cost_s"`    // seconds of whoever does it
	GainBits float64 `json:"gain_bits"` // information that it is expected to bring
	Depth    Depth   `json:"depth"`
}

// Agent says which program and which knowledge made a document.
type Agent struct {
	Version   string `json:"version"`
	Knowledge string `json:"knowledge"` // "sha256:" and the hash of the knowledge in hex
}
