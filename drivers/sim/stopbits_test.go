//go:build !tarm

package sim

const stopBits = 2 // what GemPC readers want
