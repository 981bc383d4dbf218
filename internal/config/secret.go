package config

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
)

// A Secret is a text that all nodes share. However it is printed, logged or encoded, it
// does not show; only Reveal gives it away.
type Secret struct {
	// A pointer, so that a printer which walks the fields shows an address and no text.
	text *string
}

const hidden = "(secret)"

// NewSecret keeps text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the secret's bytes, for making a key of them and for nothing else.
func (s Secret) Reveal() []byte {
	if s.text == nil {
		return nil
	}
	return []byte(*s.text)
}

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.Reveal(), o.Reveal()) == 1 }

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// Format hides the secret whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalJSON hides the secret.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
