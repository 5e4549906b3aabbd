package frame

// AllDigits reports whether b holds only the ASCII digits 0 to 9; an empty one does.
func AllDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
