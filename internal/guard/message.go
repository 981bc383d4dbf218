package guard

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// Charge is what a guard looks after.
type Charge struct {
	// Managed are the addresses that the daemon may have in the kernel. Whatever carries
	// its mark goes as well.
	Managed []vipgroup.VIP
	// Chat is the group to which the farewell goes, and Interfaces chooses the links, as
	// in multicast.Config.
	Chat       netip.AddrPort
	Interfaces []string
	// Stamps says that each removal is to be logged with its time.
	Stamps bool
}

// letter says what a message is.
type letter byte

// The messages from the daemon.
const (
	// letterCharge carries a Charge, in JSON.
	letterCharge letter = 'c'
	// letterWill carries the datagrams of the farewell, in JSON.
	letterWill letter = 'w'
	// letterGrant carries the instant of CLOCK_BOOTTIME, in nanoseconds, until which the
	// daemon may have addresses; 0 says that it has none and no time counts.
	letterGrant letter = 'g'
	// letterBye says that nothing is held and the farewell is said.
	letterBye letter = 'b'
	// letterYours says that the daemon writes no address any more, and that what is left
	// is the guard's to remove.
	letterYours letter = 'y'
)

func encodeGrant(until time.Duration) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(letterGrant)}, uint64(until))
}

func encode(l letter, contents any) []byte {
	text, err := json.Marshal(contents)
	if err != nil {
		panic("guard: " + err.Error()) // only of types that JSON has
	}
	return append([]byte{byte(l)}, text...)
}

var errMessage = errors.New("a message that this guard does not understand")

// take brings a message into the guard's knowledge.
func (w *ward) take(m []byte) error {
	if len(m) == 0 {
		return errMessage
	}
	what, rest := letter(m[0]), m[1:]
	switch what {
	case letterGrant:
		if len(rest) != 8 {
			return errMessage
		}
		w.grant = time.Duration(binary.BigEndian.Uint64(rest))
		return nil
	case letterCharge:
		var c Charge
		if err := json.Unmarshal(rest, &c); err != nil {
			return fmt.Errorf("charge: %w", err)
		}
		w.charge = c
		return nil
	case letterWill:
		var will []cluster.Datagram
		if err := json.Unmarshal(rest, &will); err != nil {
			return fmt.Errorf("will: %w", err)
		}
		w.will = will
		return nil
	}
	return errMessage
}
