package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// A Refusal names why a datagram was not believed; "" means that it was. One
// enumeration serves log, counter and test.
type Refusal string

// The refusals, in the order in which they are found.
const (
	WrongTTL       Refusal = "wrong TTL"
	TooShort       Refusal = "too short"
	WrongFormat    Refusal = "wrong format"
	UnknownKey     Refusal = "unknown key"
	BadSeal        Refusal = "bad seal"
	Malformed      Refusal = "malformed"
	WrongCluster   Refusal = "wrong cluster"
	Reflected      Refusal = "own packet came back"
	DuplicateName  Refusal = "own name from another boot"
	UnknownNode    Refusal = "unknown node"
	SecondProcess  Refusal = "second process of a node"
	SupersededBoot Refusal = "superseded boot"
	Replayed       Refusal = "sequence not above the last"
	Misaddressed   Refusal = "order for another process or moment"
)

// Refusals lists every reason.
func Refusals() []Refusal {
	return []Refusal{WrongTTL, TooShort, WrongFormat, UnknownKey, BadSeal, Malformed, WrongCluster,
		Reflected, DuplicateName, UnknownNode, SecondProcess, SupersededBoot, Replayed, Misaddressed}
}

// Inert says whether a datagram that was refused so changed nothing but counters and alarms,
// so that no turn has to follow it: a flood of them costs little more than opening each.
func (r Refusal) Inert() bool {
	switch r {
	case WrongTTL, TooShort, WrongFormat, UnknownKey, BadSeal, WrongCluster, Reflected, Replayed:
		return true
	}
	return false
}

// Remedy says what to look at where a host is refused so that should be believed; "" where
// there is nothing to see to.
func (r Refusal) Remedy() string {
	switch r {
	case WrongTTL:
		return "a router is in between: all nodes must be on one segment"
	case WrongFormat:
		return "another program or version speaks on this port: one of the two needs another chat"
	case UnknownKey:
		return "compare secret, secrets or the file of secret_file on the two hosts"
	case BadSeal:
		return "the secret is the right one, but the packet was changed on its way, or forged"
	case WrongCluster:
		return "compare cluster in the configs of the two hosts"
	case UnknownNode:
		return "compare nodes and voters in the configs of the two hosts"
	}
	return ""
}

// The frame around every message: magic and format version, kind, key id, the message,
// and last the seal over all that precedes it.
const (
	formatVersion = 1
	headerSize    = 4 + 1 + 4
	sealSize      = sha256.Size
)

// kind says what a datagram carries.
type kind byte

const (
	kindAnnouncement kind = 1
	kindPlanRequest  kind = 2
	kindPlanPart     kind = 3
	kindNeighbours   kind = 4
	kindOrder        kind = 5
	kindAnswer       kind = 6
)

// A Key is a secret that all nodes share, ready to seal and open. It is not safe for
// use by several goroutines at once.
type Key struct {
	id  [4]byte
	mac hash.Hash
}

// NewKey makes a key of a secret of any length.
func NewKey(secret []byte) Key {
	sum := func(label string) []byte {
		h := sha256.New()
		h.Write([]byte(label))
		h.Write(secret)
		return h.Sum(nil)
	}
	return Key{id: [4]byte(sum("vippy key id 1\x00")), mac: hmac.New(sha256.New, sum("vippy seal 1\x00"))}
}

// String hides the secret.
func (Key) String() string { return "(secret)" }

// GoString hides the secret.
func (Key) GoString() string { return "(secret)" }

// frame starts a datagram of the given kind; sealFrame ends it.
func (k Key) frame(buf []byte, what kind) []byte {
	return append(append(buf, 'V', 'I', 'P', formatVersion, byte(what)), k.id[:]...)
}

// sealFrame appends the HMAC-SHA256 (RFC 2104) of everything in buf.
func (k Key) sealFrame(buf []byte) []byte {
	k.mac.Reset()
	k.mac.Write(buf)
	return k.mac.Sum(buf)
}

// unseal checks a datagram and returns its kind and message. The cheap checks come
// before the seal, so that floods of rubbish cost little.
func unseal(keys []Key, ttl int, data []byte) (kind, []byte, Refusal) {
	switch {
	case ttl != 255:
		return 0, nil, WrongTTL
	case len(data) < headerSize+sealSize:
		return 0, nil, TooShort
	case string(data[:3]) != "VIP" || data[3] != formatVersion:
		return 0, nil, WrongFormat
	}
	known := false
	for _, k := range keys {
		if [4]byte(data[5:9]) != k.id {
			continue
		}
		known = true
		body, seal := data[:len(data)-sealSize], data[len(data)-sealSize:]
		k.mac.Reset()
		k.mac.Write(body)
		var sum [sealSize]byte
		if hmac.Equal(k.mac.Sum(sum[:0]), seal) {
			return kind(data[4]), body[headerSize:], ""
		}
	}
	if known {
		return 0, nil, BadSeal
	}
	return 0, nil, UnknownKey
}
