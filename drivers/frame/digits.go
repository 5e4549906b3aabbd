package frame

// AllDigits reports whether b holds nothing but the digits of ASCII; it does of an empty one.
func AllDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
