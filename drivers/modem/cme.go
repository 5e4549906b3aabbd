package modem

import "strings"

// Codes of +CME ERROR (27.007 9.2) that say something about a terminal's trouble.
const (
	cmeNotAllowed      = 3
	cmeUnsupported     = 4
	cmePHSIM           = 5
	cmePHFSIM          = 6
	cmePHFSIMPUK       = 7
	cmeNoSIM           = 10
	cmePIN             = 11
	cmePUK             = 12
	cmeSIMFailure      = 13
	cmeSIMBusy         = 14
	cmeSIMWrong        = 15
	cmeNoNetwork       = 30
	cmeNetworkTimeout  = 31
	cmeEmergencyOnly   = 32
	cmeNetworkPIN      = 40
	cmeNetworkPUK      = 41
	cmeSubsetPIN       = 42
	cmeSubsetPUK       = 43
	cmeProviderPIN     = 44
	cmeProviderPUK     = 45
	cmeCorporatePIN    = 46
	cmeCorporatePUK    = 47
	cmeUnknown         = 100
	cmeIllegalMS       = 103
	cmeIllegalME       = 106
	cmeNoGPRS          = 107
	cmePLMN            = 111
	cmeLA              = 112
	cmeRoaming         = 113
	cmeServiceOption   = 132
	cmeNotSubscribed   = 133
	cmeOutOfOrder      = 134
	cmeUnspecifiedGPRS = 148
	cmePDPAuth         = 149
)

// cmeCode reads the long form of an error, as AT+CMEE=2 asks for it; -1 if it is not known.
func cmeCode(text string) int {
	t := strings.ToLower(text)
	for _, e := range []struct {
		text string
		code int
	}{
		{"sim not inserted", cmeNoSIM}, {"no sim", cmeNoSIM},
		{"ph-sim pin required", cmePHSIM}, {"ph-fsim pin required", cmePHFSIM}, {"ph-fsim puk required", cmePHFSIMPUK},
		{"network personali", cmeNetworkPIN}, {"network subset personali", cmeSubsetPIN}, {"service provider personali", cmeProviderPIN},
		{"corporate personali", cmeCorporatePIN}, {"sim pin required", cmePIN}, {"sim puk required", cmePUK},
		{"sim failure", cmeSIMFailure}, {"sim busy", cmeSIMBusy}, {"sim wrong", cmeSIMWrong},
		{"operation not allowed", cmeNotAllowed}, {"operation not supported", cmeUnsupported},
		{"no network service", cmeNoNetwork}, {"network timeout", cmeNetworkTimeout},
		{"network not allowed", cmeEmergencyOnly}, {"unknown", cmeUnknown},
		{"illegal ms", cmeIllegalMS}, {"illegal me", cmeIllegalME},
		{"gprs services not allowed", cmeNoGPRS}, {"plmn not allowed", cmePLMN},
		{"location area not allowed", cmeLA}, {"roaming not allowed in this location area", cmeRoaming},
		{"service option not supported", cmeServiceOption},
		{"requested service option not subscribed", cmeNotSubscribed},
		{"service option temporarily out of order", cmeOutOfOrder},
		{"unspecified gprs error", cmeUnspecifiedGPRS}, {"pdp authentication failure", cmePDPAuth},
	} {
		if strings.HasPrefix(t, e.text) {
			return e.code
		}
	}
	return -1
}
