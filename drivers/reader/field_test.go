package reader

import (
	"testing"
	"testing/synctest"

	"posdx/drivers/frame"
)

// Answers of real readers that say nothing of the reader, and that were taken for health or for a bad card. The bytes
// are those of the reports; sources beside each.
func TestAnswersOfTheField(t *testing.T) {
	for _, c := range []struct {
		name        string
		status, err byte // of every answer to GetSlotStatus
		slot        Slot
		refused     bool
		mute        uint64
	}{
		// LudovicRousseau/CCID #158: a SIM reader answers GetSlotStatus with "Command not supported or not allowed" until
		// the card has been powered off once.
		{name: "does not know the status of its slot", status: 0x40, err: 0x00, slot: SlotUnknown, refused: true},
		// LudovicRousseau/PCSC #66: 81 00 00 00 00 00 00 42 FE 01, a reader without a card: failed, mute, no card there.
		{name: "no card, called mute", status: 0x42, err: 0xFE, slot: SlotAbsent},
		// LudovicRousseau/CCID #120: "Activity aborted by Host", at every question from a morning on.
		{name: "aborted by the host", status: 0x41, err: 0xFF, slot: SlotUnknown, refused: true},
		// acshk/acsccid #15: C3, an error of the maker's own.
		{name: "an error of the maker's own", status: 0x41, err: 0xC3, slot: SlotUnknown, refused: true},
		// GoogleChromeLabs/chromeos_smart_card_connector #142: a card that was pushed back in too fast is present and mute.
		{name: "a card that does not answer", status: 0x41, err: 0xFE, slot: SlotMute, mute: statusAsks},
		// LudovicRousseau/CCID #30: mute, with bmICCStatus 2: nothing is in the slot (CCID 1.1, 6.1.7).
		{name: "mute and absent while the reader is busy", status: 0x82, err: 0xFE, slot: SlotAbsent},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link, end := scripted(t, func(m Message) []byte {
					if m.Type == Escape {
						return Frame(nil, statusOf(m, c.status|failed, 0))
					}
					return Frame(nil, statusOf(m, c.status, c.err))
				})
				defer end()
				got, err := AskCCID(t.Context(), link, CCIDConfig{})
				want := Report{Slot: c.slot, Refused: c.refused, Health: frame.Health{Answers: statusAsks + 2, Mute: c.mute}}
				if got != want || err != nil {
					t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
				}
			})
		})
	}
}

// What stripe readers print of real cards, by samyk/magspoof #27 (both tracks unreadable), #31 (track 2 never, the
// other track twice), #19 (the same track again) and zacharyweiss/magspoof_flipper #9 (a number behind a digit that
// belongs to nothing, and one that is too short for a card). The digits are ours.
func TestStripesOfTheField(t *testing.T) {
	const one = "%B4761739001010010^JAMES SMITH              ^2107205100000000000000208000000?"
	const two = "4761739001010010=21072051000000000208?"
	for _, c := range []struct {
		name, in      string
		track2, track bool // is a sale possible that needs track 2, and one for which track 1 is enough
	}{
		{"neither track", "%E?;E?+E?\r", false, false},
		{"track 1 stands where track 3 should, track 2 never", one + ";E?+" + one[1:] + "\r", false, true},
		{"track 2 twice, and track 1 never", "%E?;" + two + "+" + two + "\r", true, true},
		{"track 1 alone", one + "\r", false, true},
		{"a digit in front of track 2", "0;" + two + "\r", true, true},
		{"too short to be a card", ";1234123412341234?\r", false, false},
	} {
		list := swipes(c.in)
		if len(list) != 1 {
			t.Errorf("%s: %d swipes", c.name, len(list))
			continue
		}
		if got := [2]bool{list[0].Good(false), list[0].Good(true)}; got != [2]bool{c.track2, c.track} {
			t.Errorf("%s: %+v good %v, want %v", c.name, list[0], got, [2]bool{c.track2, c.track})
		}
	}
}
