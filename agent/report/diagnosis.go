package report

// A Diagnosis explains one event. Revision 1 is what is known at once, the final one follows the probes.
// The same event, evidence and knowledge give the same bytes.
type Diagnosis struct {
	ID             string   `json:"id"` // the event's
	Revision       int      `json:"revision"`
	Final          bool     `json:"final"`
	TookMS         int64    `json:"took_ms"`
	Event          Event    `json:"event"`
	Repeats        int      `json:"repeats"` // how often the code came again while this one was open
	Code           CodeInfo `json:"code"`
	Money          Money    `json:"money"`
	Causes         []Cause  `json:"causes"` // at most 5 and "unexplained", most probable first
	Abstained      bool     `json:"abstained"`
	CannotSeparate []string `json:"cannot_separate"` // cause ids
	Masked         []string `json:"masked"`          // cause ids whose signs a deeper fault explains
	Also           []Also   `json:"also,omitempty"`  // found broken, did not cause this event
	Set            []string `json:"set,omitempty"`   // the causes of which one holds with 95 %
	// independent ones for the first cause, the code among them where its writer knows
	Witnesses int        `json:"witnesses"`
	NextTest  *NextTest  `json:"next_test,omitempty"` // none while abstained: no test here can change what is to be done
	Evidence  []Evidence `json:"evidence"`
	Handoff   string     `json:"handoff"`
	Asked     bool       `json:"asked,omitempty"` // a person or the fleet asked: no sale failed
	Agent     Agent      `json:"agent"`
}

// CodeInfo is what the tables say about a code.
type CodeInfo struct {
	Scheme   string   `json:"scheme"`
	Code     string   `json:"code"`
	Known    bool     `json:"known"`
	Class    string   `json:"class"` // UnionPay action class A to E, or the table's own word; empty when unknown
	Meaning  string   `json:"meaning"`
	SentBy   []string `json:"sent_by"`            // acquirer switch issuer terminal cashier
	Disputed bool     `json:"disputed"`           // it may mean something else here: its sources disagree, or it is borrowed
	Borrowed bool     `json:"borrowed,omitempty"` // read by another table than its writer's, for want of one
	Sources  int      `json:"sources"`
	Searched []string `json:"searched,omitempty"` // the tables looked in, when the code is in none
}

// Money says what became of the customer's money, apart from the cause.
type Money struct {
	State string `json:"state"` // not-sent sent-no-answer declined approved unknown
	Retry string `json:"retry"` // safe later query-first after-signin other-means no
	Say   string `json:"say"`
}

// States of the money.
const (
	MoneyNotSent      = "not-sent"
	MoneySentNoAnswer = "sent-no-answer"
	MoneyDeclined     = "declined"
	MoneyApproved     = "approved"
	MoneyUnknown      = "unknown"
)

// Advice on trying again. RetrySafe and RetryLater are never said when the request may have left without an answer.
const (
	RetrySafe        = "safe"
	RetryLater       = "later"
	RetryQueryFirst  = "query-first"
	RetryAfterSignin = "after-signin"
	RetryOtherMeans  = "other-means"
	RetryNo          = "no"
)

// Unexplained is the id of the cause that stands for all we do not know.
const Unexplained = "unexplained"

// A Cause is one explanation, with what speaks for it and against it.
type Cause struct {
	ID          string   `json:"id"`
	Segment     string   `json:"segment"`
	Probability float64  `json:"probability"`
	Verdict     string   `json:"verdict"` // confirmed likely possible rejected indeterminate
	Act         Act      `json:"act"`
	Title       string   `json:"title"`
	For         []Reason `json:"for"`
	Against     []Reason `json:"against"`
}

// Also is something broken that cannot have caused this event, and needs somebody all the same.
type Also struct {
	ID      string `json:"id"`
	Segment string `json:"segment"`
	Act     Act    `json:"act"`
	Finding Reason `json:"finding"`
}

// Act says who has to do what.
type Act struct {
	By    string `json:"by"`    // staff technician acquirer carrier issuer cardholder none
	Visit bool   `json:"visit"` // must someone travel to the site?
	Step  string `json:"step"`
}

// A Reason is one piece of evidence with its weight in decibans: ten times the decimal logarithm of a likelihood ratio.
type Reason struct {
	Check    string  `json:"check"`
	Say      string  `json:"say"`
	WeightDB float64 `json:"weight_db"`
}

// NextTest is the test that would teach the most for its cost.
type NextTest struct {
	Check    string  `json:"check"`
	How      string  `json:"how"`
	CostS    float64 `json:"cost_s"`
	GainBits float64 `json:"gain_bits"`
	Depth    Depth   `json:"depth"`
}

// Agent says which program and which knowledge made a document.
type Agent struct {
	Version   string `json:"version"`
	Knowledge string `json:"knowledge"` // "sha256:" and the hash of the knowledge in hex
}
