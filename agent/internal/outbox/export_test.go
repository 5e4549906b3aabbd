package outbox

// OpenSmall opens a box with segments and bounds too small for Open.
func OpenSmall(o Options, segment int64) (*Box, error) {
	if o.RAMBytes == 0 {
		o.RAMBytes = DefaultRAM
	}
	return open("", o, segment)
}

// RetryMax is how long flash that is well again may go unused.
const RetryMax = retryMax
