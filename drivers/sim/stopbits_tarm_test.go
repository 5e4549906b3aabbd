//go:build tarm

package sim

const stopBits = 1 // all that tarm/serial can
