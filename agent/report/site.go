package report

import (
	"crypto/sha256"
	"encoding/hex"
)

// A SiteWord tells the other terminals of a site that a sale has just failed with a code. It goes by the broker alone,
// without a fleet: two terminals of a shop that meet the same have it from what they share. The broker does not retain
// it. A terminal counts it from when it hears it, since clocks differ.
type SiteWord struct {
	Code string `json:"code"`
}

// MaxSiteWord is the largest payload of a SiteWord in bytes.
const MaxSiteWord = 512

// Check reports whether a word may be heeded: its code has a code's length and could not be a card number.
func (w SiteWord) Check() bool {
	return w.Code != "" && len(w.Code) <= MaxCode && !Suspect([]byte(w.Code))
}

// siteKey is a site's part of a topic: a hash, so that no topic names a place.
func siteKey(site string) string {
	sum := sha256.Sum256([]byte("site\n" + site))
	return hex.EncodeToString(sum[:8])
}

// KindSiteWord is the level of a SiteWord's topics. It is none of Dimensions, so that no client's name, "advisory" for
// one, makes an advisory of the fleet of it.
const KindSiteWord = "siteword"

// SiteTopic is the topic on which a terminal tells the others of its site.
func (a Address) SiteTopic(site string) string { return a.Topic(KindSiteWord + "/" + siteKey(site)) }

// SiteFilter is the subscription that matches the SiteTopic of every terminal of a site.
func (a Address) SiteFilter(site string) string {
	return Address{a.Estate, "+"}.SiteTopic(site)
}
