package codes

// A Profile is how one acquirer's codes are read: base scheme, overrides, rules.
type Profile struct{}

// A Coverage row says where a cause or remedy named by the seed articles went.
type Coverage struct{}

// A Claim is what a seed article says about a code, and whether it is true.
type Claim struct{}
