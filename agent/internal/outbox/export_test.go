package outbox

// OpenSmall opens a box with segments and bounds too small for Open.
func OpenSmall(o Options, segment int64) (*Box, error) {
	if o.RAMBytes == 0 {
		o.RAMBytes = DefaultRAM
	}
	return open("", o, segment)
}

// OpenPastIn and ReadPastIn are OpenPast and ReadPast over a directory of a test.
var (
	OpenPastIn = openPast
	ReadPastIn = readPast
)

// OnSyncDir has f called for every folder that a journal makes certain.
func OnSyncDir(f func(string)) (restore func()) {
	old := syncDir
	syncDir = func(dir string) error {
		f(dir)
		return old(dir)
	}
	return func() { syncDir = old }
}

// RetryMax is how long flash that is well again may go unused.
const RetryMax = retryMax
