package hook

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/child"
)

// An Event is what a program is told: what GET /events tells, and who tells it.
type Event struct {
	// Identity is this node, Cluster its cluster.
	Identity string `json:"identity"`
	Cluster  string `json:"cluster"`
	ctlsocket.Event
	// Interfaces are those of Addresses, in their order, on this host.
	Interfaces []string `json:"interfaces,omitempty"`
}

// Environment is the event as environment variables. All of them are always set, for a shell
// that has -u; what an event doesn't have is empty.
func (e Event) Environment() []string {
	addresses := make([]string, len(e.Addresses))
	for i, a := range e.Addresses {
		addresses[i] = a.String()
	}
	env := []string{
		"VIPPY_EVENT=" + e.Kind,
		"VIPPY_IDENTITY=" + e.Identity,
		"VIPPY_CLUSTER=" + e.Cluster,
		"VIPPY_GROUP=" + e.Group,
		"VIPPY_KEY=" + e.Key,
		"VIPPY_ADDRESSES=" + strings.Join(addresses, " "),
		"VIPPY_INTERFACES=" + strings.Join(e.Interfaces, " "),
		"VIPPY_NODE=" + e.Node,
		"VIPPY_FORMER=" + e.Former,
		"VIPPY_REASON=" + child.Line([]byte(e.Reason)),
		"VIPPY_SEQ=" + strconv.FormatUint(e.Seq, 10),
		"VIPPY_TIME=" + e.Time.Format(time.RFC3339Nano),
		"VIPPY_PLAN_VERSION=" + strconv.FormatUint(e.PlanVersion, 10),
		"VIPPY_LOST=" + strconv.FormatUint(e.Lost, 10),
	}
	for i := range env {
		env[i] = strings.ReplaceAll(env[i], "\x00", "") // execve(2) would refuse it
	}
	return env
}

// document is the event as a JSON object on one line.
func (e Event) document() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic("hook: an event is not JSON: " + err.Error()) // it has nothing that can't be
	}
	return append(b, '\n')
}
