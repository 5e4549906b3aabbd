package frame

// Health counts what went wrong on the line to a device, and between a reader and its card.
type Health struct {
	Answers  uint64 // well-formed answers
	CRC      uint64 // frames whose check sum was wrong, either way
	NAK      uint64 // our frames that the reader could not read
	LostEcho uint64 // commands that a reader which echoes did not echo
	Garbage  uint64 // bytes that belong to no frame
	Silence  uint64 // commands without an answer in time
	Stray    uint64 // well-formed frames that answer nothing we asked
	Mute     uint64 // cards that did not answer
	Parity   uint64 // parity errors between reader and card
	Overrun  uint64 // overruns between reader and card
	Hardware uint64 // hardware errors the reader reports
	Moves    uint64 // cards put in or taken out
	Resets   uint64 // boot notices
	Swapped  uint64 // frames whose check sum stood in the other order: firmware that is not what its guide says
}

// Add returns the sums of two counts.
func (h Health) Add(o Health) Health {
	return Health{h.Answers + o.Answers, h.CRC + o.CRC, h.NAK + o.NAK, h.LostEcho + o.LostEcho, h.Garbage + o.Garbage,
		h.Silence + o.Silence, h.Stray + o.Stray, h.Mute + o.Mute, h.Parity + o.Parity, h.Overrun + o.Overrun,
		h.Hardware + o.Hardware, h.Moves + o.Moves, h.Resets + o.Resets, h.Swapped + o.Swapped}
}

// Line is how many frames the line spoiled.
func (h Health) Line() uint64 { return h.CRC + h.NAK + h.LostEcho }
