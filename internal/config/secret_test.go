package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretNeverShows: every way to print a config, or a struct around one.
func TestSecretNeverShows(t *testing.T) {
	c := &Config{Secrets: []Secret{NewSecret("hunter2")}}
	private := struct{ s Secret }{c.Secrets[0]} // fmt can't call methods on s
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "config", c, "secret", c.Secrets[0], "secrets", c.Secrets, "private", private)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{log.String(), string(encoded), c.Secrets[0].String(), fmt.Errorf("x: %v", c.Secrets[0]).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{c, *c, c.Secrets, c.Secrets[0], &c.Secrets[0], private} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
	}
	for _, s := range shown {
		if strings.Contains(s, "hunter") || strings.Contains(s, fmt.Sprintf("%x", "hunter")) {
			t.Errorf("the secret shows in %s", s)
		}
	}
}

func TestSecretEqual(t *testing.T) {
	a, b, none := NewSecret("a"), NewSecret("b"), Secret{}
	if !a.Equal(NewSecret("a")) || a.Equal(b) || a.Equal(none) || none.Reveal() != nil {
		t.Error("secrets compare wrongly")
	}
}
