package check

import (
	"context"
	"errors"
	"net"

	"github.com/vippy-ha/vippy/plugin"
)

// TCP connects to an address every so often, and says nothing there.
type TCP struct {
	Common
	// Address is HOST:PORT.
	Address string
}

// Validate says what is wrong with the settings, all at once.
func (t TCP) Validate() error {
	err := t.validate()
	if _, port, e := net.SplitHostPort(t.Address); e != nil || port == "" {
		err = errors.Join(err, t.fault("tcp: %q is not HOST:PORT", t.Address))
	}
	return err
}

// Run checks until ctx is cancelled, and returns nil then.
func (t TCP) Run(ctx context.Context, host plugin.Host) error {
	if err := t.Validate(); err != nil {
		return err
	}
	t.watch(ctx, host, t.look, nil)
	return nil
}

func (t TCP) look(ctx context.Context) string {
	dialer := net.Dialer{Timeout: t.limit()}
	conn, err := dialer.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return err.Error()
	}
	_ = conn.Close()
	return ""
}
