package report

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// A SiteWord is what a terminal tells the others of its site of a sale that failed, by the broker alone: two terminals
// of a shop that meet the same have it from what they share. It is not retained and not kept.
type SiteWord struct {
	Code    string    `json:"code"`
	Cause   string    `json:"cause"`   // the first one named
	Segment string    `json:"segment"` // of that cause
	Time    time.Time `json:"time"`    // the sale's, by the clock of who says it; not to be relied on
}

// MaxSiteWord is the largest payload of a SiteWord in bytes.
const MaxSiteWord = 512

// Check tells whether a word says something that may be heeded.
func (w SiteWord) Check() bool {
	return w.Code != "" && len(w.Code) <= 64 && len(w.Cause) <= 64 && len(w.Segment) <= 32 && !Suspect([]byte(w.Code))
}

// siteKey is a site's part of a topic. It is a sum: no topic names a place.
func siteKey(site string) string {
	sum := sha256.Sum256([]byte("site\n" + site))
	return hex.EncodeToString(sum[:8])
}

// KindSiteWord is the level of a SiteWord's topics. It is none of Dimensions: a broker whose rules let a client called
// advisory write it would let that one speak as the fleet does of a site.
const KindSiteWord = "siteword"

// SiteTopic is where a terminal tells those of its site.
func (a Address) SiteTopic(site string) string { return a.Topic(KindSiteWord + "/" + siteKey(site)) }

// SiteFilter matches what the terminals of a site tell each other.
func (a Address) SiteFilter(site string) string {
	return Address{a.Estate, "+"}.SiteTopic(site)
}
