package cluster

// A Refusal names why a datagram was not believed; "" means it was.
type Refusal string

// A Key is a secret that all nodes share.
type Key struct{}

// NewKey makes a key of a secret of any length.
func NewKey(secret []byte) Key { return Key{} }

// String hides the secret.
func (Key) String() string { return "(secret)" }
