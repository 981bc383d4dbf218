package multicast

// A Drop names why a datagram was not delivered.
type Drop string

// The reasons.
const (
	// ForeignLink: it arrived on a link that was not chosen.
	ForeignLink Drop = "foreign link"
	// ForeignGroup: it was sent to another group, or to a broadcast address.
	ForeignGroup Drop = "foreign group"
	// Truncated: it was longer than any datagram of ours.
	Truncated Drop = "truncated"
	// Unmarked: the kernel did not say where it came from.
	Unmarked Drop = "unmarked"
)

// Stats count datagrams.
type Stats struct {
	Received uint64
	// Sent counts datagrams that went to single peers; those to the group are counted
	// for each link.
	Sent    uint64
	Dropped map[Drop]uint64
	// Links are the joined ones, sorted by index.
	Links []LinkStats
}

// LinkStats count what went to the group on one link since it was joined.
type LinkStats struct {
	Name   string
	Index  int
	Sent   uint64
	Failed uint64
}

// A LinkError says which link failed.
type LinkError struct {
	Link string
	Err  error
}

func (e *LinkError) Error() string { return "link " + e.Link + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }
