package housetest

// Wilson are score intervals of a share at 95 % (E. B. Wilson, JASA 22, 1927), computed apart, in Python. A reader's
// cards and what became of diagnoses are judged by it in rooms that may not know each other; both are held to this.
var Wilson = []struct {
	K, N      int
	Low, High float64
}{{5, 5, 0.5655, 1}, {0, 5, 0, 0.4345}, {3, 6, 0.1876, 0.8124}, {1, 10, 0.0179, 0.4042}}
